"""Whether a study is whole: the file, its references, the size of every blob, the order of every ranking, every picture."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path

from torchlurk.allowance import BYTES, PIXELS, allowing
from torchlurk.errors import StudyError, in_one_line
from torchlurk.options import MOST_PIXELS
from torchlurk.records import Layer
from torchlurk.run_records import Portion
from torchlurk.store import columns, findings, rows, statistics
from torchlurk.store.columns import DamageError
from torchlurk.store.connections import UNFORESEEN, size_of, unforeseen
from torchlurk.store.picture_checking import examine_pictures
from torchlurk.store.portions import load_portion, to_batch_size, to_least_for_means, to_portion
from torchlurk.store.progress import piece_sizes
from torchlurk.store.reading import Reader
from torchlurk.store.remarks import stray_remarks
from torchlurk.store.results import (
    load_attributions,
    load_checks,
    load_counts,
    load_effective_field,
    load_kernels,
    load_syntheses,
)
from torchlurk.store.sequence_checking import SEQUENCE_EXAMINATIONS
from torchlurk.store.sequences import has_sequences
from torchlurk.store.step_attributions import ATTRIBUTIONS, load_last_steps, load_step_attributions, table_of

MOST_LINES = 20
"""Problems told of one kind; damage rarely comes alone."""

LONG = frozenset({"meta.value", "run.options", "input.description", "finding.content"})
"""Texts that are as long as `columns.LONGEST_JSON` allows, or longer."""

DENSE = 64
"""Pixels, and bytes of texts and series, in a byte of the file: more are in no study that was not made to be expensive."""


@dataclass(frozen=True, slots=True)
class StageState:
    """How far a stage is: `finished` is when it was done, None where it is not; then `shards` and their `examples` are
    done of `all_examples`.
    """

    stage: str
    finished: str | None
    shards: int
    examples: int
    all_examples: int


@dataclass(frozen=True, slots=True)
class Report:
    """What a check found: one line a problem (none: the study is whole), the state of each stage, how many there are of each
    thing, and the remarks that are on units of another network, which are no damage.
    """

    path: Path
    version: int
    problems: tuple[str, ...]
    stages: tuple[StageState, ...]
    counts: Mapping[str, int]
    portion: Portion | None = None
    """What the study is a part of."""
    strays: tuple[str, ...] = ()


def check(path: Path) -> Report:
    """Reads all of a study; raises `StudyError` where the file cannot be opened as one."""
    with Reader(path) as reader, reader.reading() as db, allowing(*(max(one, DENSE * size_of(db)) for one in (PIXELS, BYTES))):
        problems = _told("texts", _texts, db)
        for kind, examine in EXAMINATIONS.items() if not problems else ():
            problems += _told(kind, examine, db)
        stages, counts, portion = _stages(db, problems), _counts(db, problems), _portion(db, problems)
        strays = tuple(_told("remarks", stray_remarks, db))
        return Report(path, reader.version, tuple(dict.fromkeys(problems)), stages, counts, portion, strays)


def _told(kind: str, examine: Callable[[sqlite3.Connection], Iterator[str]], db: sqlite3.Connection) -> list[str]:
    told: list[str] = []
    try:
        told += islice(examine(db), MOST_LINES)
    except UnicodeDecodeError:
        told.append(f"{kind} cannot be read: text that is not UTF-8")
    except (sqlite3.Error, DamageError) as error:
        told.append(f"{kind} cannot be read: {in_one_line(error)}")
    except StudyError as error:
        told.append(f"{kind}: {error.message}")
    except UNFORESEEN as error:
        told.append(f"{kind}: {unforeseen(error)}")
    return told


def _texts(db: sqlite3.Connection) -> Iterator[str]:
    """No text is longer than it may be; where one is, nothing else is looked at, as its table's rows may take all memory."""
    for (table,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'").fetchall():
        for _, column, kind, *_ in db.execute(f"PRAGMA table_info({table})").fetchall():
            if kind == "TEXT" and f"{table}.{column}" not in LONG:
                query = f"SELECT count(*) FROM {table} WHERE length({column}) > ?"
                if count := db.execute(query, (columns.LONGEST_TEXT,)).fetchone()[0]:
                    yield f"{table}.{column} is longer than {columns.LONGEST_TEXT:,} characters in {count:,} rows"


def _integrity(db: sqlite3.Connection) -> Iterator[str]:
    for (line,) in db.execute(f"PRAGMA integrity_check({MOST_LINES})"):
        if line != "ok":
            yield f"the file: {' '.join(str(line).split())}"


def _references(db: sqlite3.Connection) -> Iterator[str]:
    broken = Counter((table, parent) for table, _, parent, _ in db.execute("PRAGMA foreign_key_check"))
    for (table, parent), count in broken.items():
        yield f"{count} rows of {table} name a row of {parent} that is not there"


def _records(db: sqlite3.Connection) -> Iterator[str]:
    rows.runs(db)
    rows.layers(db)
    rows.graph(db)
    for key, value in db.execute("SELECT key, value FROM meta"):
        if key == "preprocessing":
            rows.to_preprocessing(value)
        elif key == "input_shape":
            columns.whole_numbers(value, "meta.input_shape")
        elif key == "output_classes":
            rows.to_output_classes(value, db.execute("SELECT count(*) FROM class").fetchone()[0])
        elif key == "part":
            to_portion(value)
        elif key == "batch_size":
            to_batch_size(value)
        elif key == "least_for_means":
            to_least_for_means(value)
        else:
            yield f"meta has an unknown key '{key}'"
    known = {key for (key,) in db.execute("SELECT key FROM meta")}
    if db.execute("SELECT 1 FROM layer").fetchone():
        yield from (f"meta has no '{key}'" for key in ("input_shape", "preprocessing") if key not in known)
    for row in db.execute("SELECT count, shape, mean, covariance, spectrum FROM input_statistics"):
        rows.to_input_statistics(row)


def _numbering(db: sqlite3.Connection) -> Iterator[str]:
    for table, column in (("class", "id"), ("sample", "position"), ("layer", "id"), ("node", "rank")):
        first, last, count = db.execute(f"SELECT min({column}), max({column}), count(*) FROM {table}").fetchone()
        if count and (first, last) != (0, count - 1):
            yield f"{table} is not numbered from 0 to {count - 1}"


def _units(db: sqlite3.Connection) -> Iterator[str]:
    for id, layer in _layers(db):
        channels = layer.channels
        for table in ("unit", "class_profile", "response"):
            found = db.execute(f"SELECT min(channel), max(channel), count(*) FROM {table} WHERE layer = ?", (id,)).fetchone()
            whole = (0, channels - 1, channels)
            missing = (None, None, 0)
            if found not in (whole, missing) or (found == missing) != (_units_of(db, id) == 0):
                yield f"layer '{layer.name}': {table} has {found[2]} of {channels} units"
    if _layers(db) and "scan" not in rows.runs(db):
        yield "there are layers, and no run of the scan"
    unfinished = "SELECT count(*) FROM provisional JOIN run ON stage = 'scan' WHERE finished IS NOT NULL"
    if count := db.execute(unfinished).fetchone()[0]:
        yield f"{count} layers of a finished scan are not of all examples"


def _layers(db: sqlite3.Connection) -> list[tuple[int, Layer]]:
    return [rows.layer_of(row) for row in db.execute(f"SELECT {rows.LAYER_COLUMNS} FROM layer ORDER BY id")]


def _units_of(db: sqlite3.Connection, layer: int) -> int:
    return int(db.execute("SELECT count(*) FROM unit WHERE layer = ?", (layer,)).fetchone()[0])


def _blobs(db: sqlite3.Connection) -> Iterator[str]:
    classes, sample = (db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("class", "sample"))
    for table, column, width in (
        ("class_profile", "max", classes),
        ("class_profile", "mean", classes),
        ("response", "sample", sample),
    ):
        bytes = width * columns.NARROW.itemsize
        wrong = db.execute(
            f"SELECT name, channel FROM {table} JOIN layer ON layer.id = layer"
            f" WHERE typeof({column}) <> 'blob' OR length({column}) <> ?",
            (bytes,),
        )
        for name, channel in wrong:
            yield f"unit {name}:{channel}: {table}.{column} is not a blob of {bytes} bytes"


def _ranks(db: sqlite3.Connection) -> Iterator[str]:
    broken = db.execute(
        "SELECT name, channel, ranking FROM exemplar JOIN layer ON layer.id = layer GROUP BY layer, channel, ranking"
        " HAVING min(rank) <> 0 OR max(rank) <> count(*) - 1"
    )
    for name, channel, ranking in broken:
        yield f"unit {name}:{channel}: ranks by {ranking} have gaps"
    twice = db.execute(
        "SELECT name, channel, ranking, example FROM exemplar JOIN layer ON layer.id = layer WHERE ranking <> 'quantile'"
        " GROUP BY layer, channel, ranking, example HAVING count(*) > 1"
    )
    for name, channel, ranking, example in twice:
        yield f"unit {name}:{channel}: example {example} is twice among the exemplars by {ranking}"


def _order(db: sqlite3.Connection) -> Iterator[str]:
    """Scores fall (for quantiles they rise), equal ones go to the lower example, NaN comes last."""
    broken = db.execute(
        "SELECT name, a.channel, a.ranking, a.rank FROM exemplar AS a JOIN exemplar AS b"
        " ON b.layer = a.layer AND b.channel = a.channel AND b.ranking = a.ranking AND b.rank = a.rank + 1"
        " JOIN layer ON layer.id = a.layer"
        " WHERE CASE a.ranking WHEN 'quantile' THEN b.score < a.score ELSE"
        " b.score > a.score OR (b.score IS a.score AND b.example <= a.example) OR (a.score IS NULL AND b.score IS NOT NULL) END"
    )
    for name, channel, ranking, rank in broken:
        yield f"unit {name}:{channel}: exemplars {rank} and {rank + 1} by {ranking} are out of order"


def _places(db: sqlite3.Connection) -> Iterator[str]:
    """Positions are in the unit's map, boxes in the input. How many steps an example has is looked at with its traces."""
    found = db.execute("SELECT value FROM meta WHERE key = 'input_shape'").fetchone()
    shape = columns.whole_numbers(found[0], "meta.input_shape") if found else ()
    height, width = shape[-2:] if len(shape) == 3 else (columns.FARTHEST - 1,) * 2
    for id, layer in _layers(db):
        outside = db.execute(
            "SELECT channel, ranking, rank FROM exemplar WHERE layer = ? AND (position NOT BETWEEN 0 AND ?"
            " OR x0 IS NOT NULL AND (0 <= x0 AND x0 <= x1 AND x1 <= ? AND 0 <= y0 AND y0 <= y1 AND y1 <= ?) IS NOT 1)",
            (id, 2**31 if layer.layout == "sequence" else layer.positions - 1, width, height),
        )
        for channel, ranking, rank in outside:
            yield f"unit {layer.name}:{channel}: exemplar {rank} by {ranking} lies outside"


STEPPED = ("step_attribution", "last_steps")
"""Of studies that can hold texts and series."""
FINDINGS: Mapping[str, Callable[[sqlite3.Connection, int, int], object]] = {
    "attribution": load_attributions,
    "step_attribution": load_step_attributions,
    "last_steps": load_last_steps,
    "synthesis": load_syntheses,
}
"""What there is of units, by table."""


def _findings(db: sqlite3.Connection) -> Iterator[str]:
    """Attributions, checks, fields and syntheses are as they must be."""
    for id, layer in _layers(db):
        load_checks(db, id)
        load_effective_field(db, id)
        yield from _kernels(db, id, layer)
        for table, load in FINDINGS.items():
            if table in STEPPED and not has_sequences(db):
                continue
            for (channel,) in db.execute(f"SELECT DISTINCT channel FROM {table} WHERE layer = ?", (id,)):
                try:
                    load(db, id, channel)
                except DamageError as error:
                    yield f"unit {layer.name}:{channel}: {error}"
    load_counts(db)


def _kernels(db: sqlite3.Connection, id: int, layer: Layer) -> Iterator[str]:
    found = load_kernels(db, id)
    if found is not None and (len(found) != layer.channels or found[:1].size not in range(1, MOST_PIXELS)):
        yield f"the kernels of layer '{layer.name}' do not fit it"


def _progress(db: sqlite3.Connection) -> Iterator[str]:
    for stage, name, wanted, found in piece_sizes(db):
        if wanted != found:
            yield f"progress of {stage}: '{name}' has {found} of {wanted} bytes"
    for stage, name, piece, digest, data in db.execute("SELECT stage, name, piece, sha256, data FROM progress_piece"):
        if not isinstance(data, bytes) or sha256(data).digest() != digest:
            yield f"progress of {stage}: piece {piece} of '{name}' is not as it was written"


EXAMINATIONS: Mapping[str, Callable[[sqlite3.Connection], Iterator[str]]] = {
    "the file": _integrity,
    "references": _references,
    "records": _records,
    "numbering": _numbering,
    "units": _units,
    "blobs": _blobs,
    "statistics": statistics.examine,
    "what other stages found": findings.examine,
    "ranks": _ranks,
    "the order of exemplars": _order,
    "positions and boxes": _places,
    "findings": _findings,
    "pictures": examine_pictures,
    **SEQUENCE_EXAMINATIONS,
    "progress": _progress,
}


def _stages(db: sqlite3.Connection, problems: list[str]) -> tuple[StageState, ...]:
    states = []

    def read(db: sqlite3.Connection) -> Iterator[str]:
        examples = db.execute("SELECT count(*) FROM example").fetchone()[0]
        query = "SELECT count(*), coalesce(sum(stop - start), 0) FROM progress_shard WHERE stage = ?"
        for stage, run in rows.runs(db).items():
            shards, done = db.execute(query, (stage,)).fetchone()
            states.append(StageState(stage, run.finished, shards, done, examples))
        yield from ()

    problems += _told("stages", read, db)
    return tuple(states)


def _portion(db: sqlite3.Connection, problems: list[str]) -> Portion | None:
    portions = []

    def read(db: sqlite3.Connection) -> Iterator[str]:
        portions.append(load_portion(db))
        yield from ()

    problems += _told("what it is a part of", read, db)
    return portions[0] if portions else None


def _counts(db: sqlite3.Connection, problems: list[str]) -> Mapping[str, int]:
    sequences = has_sequences(db)
    stored = "SELECT example FROM example_picture" + (" UNION SELECT example FROM sequence" if sequences else "")
    counted = {
        "layers": "SELECT count(*) FROM layer",
        "layers scanned": "SELECT count(DISTINCT layer) FROM unit",
        "units": "SELECT count(*) FROM unit",
        "examples": "SELECT count(*) FROM example",
        "classes": "SELECT count(*) FROM class",
        "exemplars": "SELECT count(*) FROM exemplar",
        "attributions": f"SELECT count(*) FROM {table_of(db, ATTRIBUTIONS)}",
        "syntheses": "SELECT count(*) FROM synthesis",
        "pictures": "SELECT count(*) FROM picture",
        **({"texts and series": "SELECT count(*) FROM sequence"} if sequences else {}),
        "exemplars without picture": f"SELECT count(DISTINCT example) FROM exemplar WHERE example NOT IN ({stored})",
        "skipped": "SELECT count(*) FROM skip",
        "notes": "SELECT count(*) FROM note",
        **({"noted units": "SELECT count(*) FROM remark"} if sequences else {}),
    }
    counts: dict[str, int] = {}

    def read(db: sqlite3.Connection) -> Iterator[str]:
        for name, query in counted.items():
            counts[name] = db.execute(query).fetchone()[0]
        yield from ()

    problems += _told("counts", read, db)
    return counts
