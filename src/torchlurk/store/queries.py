"""Questions about many units, examples or pictures at once, for the documents of a study."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from torchlurk.allowance import NUMBERS
from torchlurk.files import real
from torchlurk.records import Synthesis
from torchlurk.stage_table import STAGES
from torchlurk.store import columns
from torchlurk.store.reading import Reader
from torchlurk.store.results import SYNTHESIS_COLUMNS, synthesis_of
from torchlurk.store.schema import MEDIA_TYPES
from torchlurk.store.sequences import has_sequences, load_description
from torchlurk.store.step_attributions import ATTRIBUTIONS, table_of
from torchlurk.unit_statistics import Values, telling

ENDINGS = dict(zip(MEDIA_TYPES, ("jpg", "png", "webp"), strict=True))
"""Of file names, by media type."""

DEAD = "fraction_active = 0 AND min IS max"
"""Of the table `unit`: never above zero, and the same everywhere."""

AT_ONCE = 500
"""Parameters of one query."""


def state(path: Path) -> tuple[tuple[int, int], ...]:
    """Something that differs whenever the study has been written to."""
    found = []
    home = real(path)  # the log lies beside the file itself, not beside a link to it
    for name in (home, home.with_name(home.name + "-wal")):
        try:
            status = name.stat()
            found.append((status.st_mtime_ns, status.st_size))
        except OSError:
            found.append((0, 0))
    return tuple(found)


def scan_stamp(reader: Reader, layer: str | None = None) -> tuple[object, ...]:
    """Something that differs whenever the scan has written other results for a layer; without one, another network."""
    with reader.reading() as db:
        run = db.execute("SELECT started, model_fingerprint FROM run WHERE stage = 'scan'").fetchone() or ()
        if layer is None:
            return tuple(run)
        found = db.execute(
            "SELECT layer.id, examples, (SELECT count(*) FROM unit WHERE unit.layer = layer.id AND channel = 0)"
            " FROM layer LEFT JOIN provisional ON provisional.layer = layer.id WHERE name = ?",
            (layer,),
        ).fetchone()
        return (*run, *(found or ()))


def is_scanned(reader: Reader, layer: int) -> bool:
    """Whether the units of the layer of that number are known."""
    with reader.reading() as db:
        return db.execute("SELECT 1 FROM unit WHERE layer = ? LIMIT 1", (layer,)).fetchone() is not None


def provisional(reader: Reader) -> dict[int, int]:
    """By the layer's number, of how many examples what is known of it is, where these are not all."""
    with reader.reading() as db:
        found = db.execute("SELECT layer, examples FROM provisional")
        return {
            columns.whole(layer, "provisional.layer"): columns.whole(n, "provisional.examples", least=0) for layer, n in found
        }


def of_some_examples(reader: Reader, layer: str) -> int | None:
    """Of how many examples what is known of a layer is, where these are not all."""
    with reader.reading() as db:
        query = "SELECT examples FROM provisional WHERE layer = (SELECT id FROM layer WHERE name = ?)"
        found = db.execute(query, (layer,)).fetchone()
        return None if found is None else columns.whole(found[0], "provisional.examples", least=0)


def kernel_layers(reader: Reader) -> set[int]:
    """The numbers of the layers whose kernels are stored."""
    with reader.reading() as db:
        return {columns.whole(layer, "kernel.layer") for (layer,) in db.execute("SELECT layer FROM kernel")}


def picture_files(reader: Reader, examples: Iterable[int]) -> dict[int, str]:
    """File names of stored pictures, `SHA-256.ending`, by example; examples without one are not in it."""
    wanted = sorted(set(examples))
    names: dict[int, str] = {}
    with reader.reading() as db:
        for start in range(0, len(wanted), AT_ONCE):
            some = wanted[start : start + AT_ONCE]
            found = db.execute(
                "SELECT example, sha256, media_type FROM example_picture JOIN picture ON sha256 = picture"
                f" WHERE example IN ({', '.join('?' * len(some))})",
                some,
            )
            names |= {example: _file(digest, media_type) for example, digest, media_type in found}
    return names


def files_of(reader: Reader, pictures: Iterable[str]) -> dict[str, str]:
    """File names of stored pictures by their SHA-256 in hexadecimal."""
    wanted = sorted({bytes.fromhex(one) for one in pictures})
    names: dict[str, str] = {}
    with reader.reading() as db:
        for start in range(0, len(wanted), AT_ONCE):
            some = wanted[start : start + AT_ONCE]
            found = db.execute(f"SELECT sha256, media_type FROM picture WHERE sha256 IN ({', '.join('?' * len(some))})", some)
            names |= {digest.hex(): _file(digest, media_type) for digest, media_type in found}
    return names


def all_picture_files(reader: Reader) -> list[str]:
    """File names of all stored pictures."""
    with reader.reading() as db:
        return [_file(*row) for row in db.execute("SELECT sha256, media_type FROM picture ORDER BY sha256")]


def _file(digest: object, media_type: object) -> str:
    name = columns.raw(digest, 32, "picture.sha256").hex()
    return f"{name}.{ENDINGS[columns.one_of(media_type, MEDIA_TYPES, 'picture.media_type')]}"


def pictured_examples(reader: Reader, class_index: int, most: int) -> list[tuple[int, str]]:
    """Examples of a class whose picture, text or series is stored, as (index, path), by index."""
    with reader.reading() as db:
        stored = "SELECT example FROM example_picture"
        stored += " UNION SELECT example FROM sequence" if has_sequences(db) else ""
        found = db.execute(
            f"SELECT id, path FROM example WHERE class = ? AND id IN ({stored}) ORDER BY id LIMIT ?", (class_index, most)
        )
        return [(columns.whole(id, "example.id"), columns.text(path, "example.path")) for id, path in found]


def sequence_examples(reader: Reader) -> list[int]:
    """The examples that are stored texts or series, in order."""
    with reader.reading() as db:
        description = load_description(db)
        if description is None or description.kind == "pictures":
            return []
        found = db.execute("SELECT example FROM sequence ORDER BY example")
        return [columns.whole(one, "sequence.example", least=0) for (one,) in found]


def examples_with_pictures(reader: Reader, most: int) -> list[int]:
    """At most so many examples whose pictures are stored, evenly spread over them, in order."""
    with reader.reading() as db:
        found = [
            columns.whole(one, "example_picture.example")
            for (one,) in db.execute("SELECT example FROM example_picture ORDER BY example")
        ]
    return [found[step * len(found) // min(most, len(found))] for step in range(min(most, len(found)))]


def class_sizes(reader: Reader) -> dict[int, int]:
    """How many examples each class has."""
    with reader.reading() as db:
        found = db.execute("SELECT class, count(*) FROM example WHERE class IS NOT NULL GROUP BY class")
        return {columns.whole(one, "example.class"): count for one, count in found}


def unit_counts(reader: Reader) -> dict[int, tuple[int, int]]:
    """By the layer's number: how many units are scanned, and how many of them are dead."""
    with reader.reading() as db:
        found = db.execute(f"SELECT layer, count(*), coalesce(sum({DEAD}), 0) FROM unit GROUP BY layer")
        return {columns.whole(layer, "unit.layer"): (units, dead) for layer, units, dead in found}


def pictured(reader: Reader, stage: str) -> tuple[int, int]:
    """How many layers and how many units that are not dead a stage after the scan has made something of."""
    declared = STAGES.get(stage)
    table, of = (declared.pictures, "") if declared and declared.pictures else ("finding", " AND made.stage = ?")
    with reader.reading() as db:
        if of and not has_sequences(db):  # a study of the first format
            return 0, 0
        rows = table_of(db, table)
        made = f"EXISTS (SELECT 1 FROM {rows} AS made WHERE made.layer = unit.layer AND made.channel = unit.channel{of})"
        query = f"SELECT count(DISTINCT layer), count(*) FROM unit WHERE ({DEAD}) IS NOT 1 AND {made}"
        layers, units = db.execute(query, (stage,) if of else ()).fetchone()
        return layers, units


def methods(reader: Reader, layer: int | None = None) -> list[str]:
    """The methods of the attributions that there are, in all or of one layer."""
    return _distinct(reader, ATTRIBUTIONS, "method", layer)


def presets(reader: Reader, layer: int | None = None) -> list[str]:
    """The presets of the syntheses that there are, in all or of one layer."""
    return _distinct(reader, "synthesis", "preset", layer)


def _distinct(reader: Reader, table: str, column: str, layer: int | None) -> list[str]:
    where, values = ("", ()) if layer is None else (" WHERE layer = ?", (layer,))
    with reader.reading() as db:
        found = db.execute(f"SELECT DISTINCT {column} FROM {table_of(db, table)}{where} ORDER BY {column}", values)
        return [columns.word(one, f"{table}.{column}") for (one,) in found]


def attributed(reader: Reader, layer: int) -> dict[tuple[int, str], int]:
    """By channel of a layer and method, of how many exemplars there are attributions."""
    with reader.reading() as db:
        found = db.execute(
            f"SELECT channel, method, MAX(rank) + 1 FROM {table_of(db, ATTRIBUTIONS)} WHERE layer = ? GROUP BY channel, method",
            (layer,),
        )
        return {(channel, method): ranks for channel, method, ranks in found}


def attributed_ranks(reader: Reader, layer: str) -> dict[str, frozenset[tuple[int, int]]]:
    """By method, which exemplars by max of a layer's units have attributions: (channel, rank)."""
    found: dict[str, set[tuple[int, int]]] = {}
    with reader.reading() as db:
        query = (
            f"SELECT method, channel, rank FROM {table_of(db, ATTRIBUTIONS)}"
            " WHERE layer = (SELECT id FROM layer WHERE name = ?) AND ranking = 'max'"
        )
        for method, channel, rank in db.execute(query, (layer,)):
            found.setdefault(method, set()).add((channel, rank))
    return {method: frozenset(some) for method, some in found.items()}


def exemplars_kept(reader: Reader, layer: int) -> int:
    """How many exemplars by max of a unit of the layer are kept, at most."""
    with reader.reading() as db:
        (most,) = db.execute("SELECT MAX(rank) + 1 FROM exemplar WHERE layer = ? AND ranking = 'max'", (layer,)).fetchone()
        return int(most or 0)


def telling_selectivity(reader: Reader, layer: str) -> Values:
    """The selectivity of a layer's units, NaN where it means nothing."""
    with reader.reading():
        found = reader.statistics(layer).by_name()
        return telling(found["selectivity"], reader.samples(layer), found["min"], found["max"])


def standing_out(reader: Reader, layer: str, most: int) -> list[int]:
    """The most selective units of a layer, in this order; where selectivity means nothing, the strongest that are not dead."""
    with reader.reading():
        value, statistics = telling_selectivity(reader, layer), reader.statistics(layer)
    if not np.isfinite(value).any():
        value = np.where(statistics.dead(), np.nan, statistics.by_name()["max"])
    order = np.argsort(-np.where(np.isfinite(value), value, -np.inf), kind="stable")[:most]
    return [int(channel) for channel in order if np.isfinite(value[channel])]


def units_with_step_attributions(reader: Reader) -> list[tuple[int, int]]:
    """The units that have attributions on texts or series, as (layer's number, channel), but for those of more numbers than a
    document holds.
    """
    with reader.reading() as db:
        if not has_sequences(db):
            return []
        found = db.execute(
            "SELECT layer, channel FROM step_attribution GROUP BY layer, channel HAVING sum(steps * width) <= ? ORDER BY 1, 2",
            (NUMBERS,),
        )
        return [(columns.whole(layer, "layer"), columns.whole(channel, "channel")) for layer, channel in found]


def best_attributions(reader: Reader, layer: int, method: str) -> dict[int, str]:
    """By channel, the picture (SHA-256 in hexadecimal) of the best exemplar's attribution."""
    with reader.reading() as db:
        found = db.execute(
            "SELECT channel, picture FROM attribution WHERE layer = ? AND ranking = 'max' AND rank = 0 AND method = ?",
            (layer, method),
        )
        return {channel: columns.raw(picture, 32, "attribution.picture").hex() for channel, picture in found}


def layer_syntheses(reader: Reader, layer: int) -> Mapping[str, dict[int, Synthesis]]:
    """By preset and channel, the syntheses of a layer."""
    by_preset: dict[str, dict[int, Synthesis]] = {}
    with reader.reading() as db:
        for channel, *row in db.execute(f"SELECT channel, {SYNTHESIS_COLUMNS} FROM synthesis WHERE layer = ?", (layer,)):
            found = synthesis_of(tuple(row))
            by_preset.setdefault(found.preset, {})[columns.whole(channel, "synthesis.channel")] = found
    return by_preset
