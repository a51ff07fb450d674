"""Studies from strangers: damaged at random, and made to be expensive. Whatever is in them, each is refused in a line or read.

Three small studies (pictures, a text, series) with all stages are changed in their bytes, their values and their schema, and
studies of less than a megabyte are made that unpack to gigabytes. Each goes through `check`, `show`, every document and the
export, in a process of its own: no traceback, no line that does not end, at most 300 MB, at most 5 s for a check, a drawing or
a document, nothing left of an export that is refused, and what is refused is found by `check`.
"""

import functools
import io
import json
import os
import random
import resource
import sqlite3
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing, redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import torch
from torch import nn

import torchlurk
from campaigns import recording
from campaigns.expensive_studies import EXPENSIVE
from torchlurk.cli import main
from torchlurk.errors import TorchlurkError
from torchlurk.export import export
from torchlurk.resources.tree import Forest
from torchlurk.store.checking import check
from torchlurk.store.reading import Reader

SEED = 5
FUZZED, AT_ONCE = 1000, 50
MOST_BYTES, MOST_SECONDS = 300 << 20, 5.0
ENDS = [0, 1, -1, 2**31, -(2**31), 2**63 - 1, -(2**63), 10**6]
REALS = [0.0, -1.0, float("inf"), float("-inf"), 1e308, 5e-324, None]
TEXTS = [
    "",
    "x",
    "\0",
    "../../etc/passwd",
    "<script>",
    "a" * 20_000,
    "ü\u202e",
    "max",
    "NaN",
    "[]",
    "{}",
    "null",
    "1e999",
    '"\\ud800"',
]
LEAVES = [None, True, -1, 2**70, 1e308, "x", "", [], {}, [[]], "\ud800", 10**400, float("nan"), float("inf")]


class Reading(nn.Module):
    """An LSTM over letters, or over series of three channels."""

    def __init__(self, letters: int | None = None) -> None:
        super().__init__()
        self.embed = nn.Embedding(letters, 4) if letters else nn.Identity()
        self.rnn = nn.LSTM(4 if letters else 3, 5, batch_first=True)
        self.head = nn.Linear(5, letters or 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.rnn(self.embed(x))[0])


def whole_studies(folder: Path) -> dict[str, Path]:
    """Finished studies of pictures, a text and series, with all stages, each about a megabyte."""
    torch.manual_seed(SEED)
    dice = np.random.default_rng(SEED)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(180, 3))
    pictures = [(torch.rand(3, 16, 16), index % 3) for index in range(24)]
    letters = {letter: index for index, letter in enumerate("abcdefgh ")}
    texts = [torch.from_numpy(dice.integers(0, len(letters), 20)) for _ in range(8)]
    series = [torch.from_numpy(dice.normal(size=(5 + index % 4, 3)).astype(np.float32)) for index in range(8)]
    found = {kind: folder / f"{kind}.lurk" for kind in ("pictures", "text", "series")}
    all_stages = ["scan", "attribute", "synthesize"]
    colours = {"mean": (0.5,) * 3, "std": (0.25,) * 3}
    torchlurk.analyze(
        net, pictures, found["pictures"], stages=all_stages, steps=2, top=4, units=["0:1", "2:3"], **colours
    ).close()
    chosen = {"stages": all_stages[:2], "top": 3, "units": ["rnn.l0:1"]}
    torchlurk.analyze(Reading(len(letters)), texts, found["text"], kind="text", vocabulary=letters, **chosen).close()
    torchlurk.analyze(Reading(), series, found["series"], kind="series", **chosen).close()
    return found


def fuzzed(whole: Path, to: Path, dice: random.Random) -> str:
    """A copy with something changed in its bytes, values or schema; returns what."""
    to.write_bytes(whole.read_bytes())
    return dice.choice([_bytes, _values, _values, _values, _schema])(to, dice)


def _bytes(study: Path, dice: random.Random) -> str:
    found = bytearray(study.read_bytes())
    match dice.randrange(4):
        case 0:
            for _ in range(dice.choice([1, 10, 1000])):
                found[dice.randrange(len(found))] = dice.randrange(256)
            how = "bytes"
        case 1:
            del found[dice.randrange(len(found)) :]
            how = "cut off"
        case 2:
            page, other = (dice.randrange(len(found) // 16384) * 16384 for _ in range(2))
            found[page : page + 16384] = found[other : other + 16384]
            how = "page for another"
        case _:
            start = dice.randrange(len(found))
            found[start : start + 4096] = bytes(len(found[start : start + 4096]))
            how = "zeros"
    study.write_bytes(found)
    return how


def _values(study: Path, dice: random.Random) -> str:
    """A few cells of a random column, with what no writer puts there."""
    with closing(sqlite3.connect(study, isolation_level=None)) as db:
        db.executescript("PRAGMA foreign_keys = 0; PRAGMA ignore_check_constraints = 1")
        filled = [name for name in _tables(db) if db.execute(f"SELECT 1 FROM {name}").fetchone()]
        table = dice.choice(filled)
        _, column, kind, *_ = dice.choice(db.execute(f"PRAGMA table_info({table})").fetchall())
        value = _value(db, table, column, kind, dice)
        count = db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        some = dice.choice(["1", f"{column} IS (SELECT {column} FROM {table} LIMIT 1 OFFSET {dice.randrange(count)})"])
        try:
            db.execute(f"UPDATE OR REPLACE {table} SET {column} = ? WHERE {some}", (value,))
        except (sqlite3.Error, OverflowError, UnicodeEncodeError):
            db.execute(f"DELETE FROM {table} WHERE {some}")
    return f"{table}.{column}"


def _value(db: sqlite3.Connection, table: str, column: str, kind: str, dice: random.Random) -> object:
    old = dice.choice(db.execute(f"SELECT {column} FROM {table}").fetchall())[0]
    if kind == "TEXT":
        try:
            return json.dumps(_changed(json.loads(old), dice)) if dice.random() < 0.8 else dice.choice(TEXTS)
        except (TypeError, ValueError):
            return dice.choice(TEXTS)
    if kind == "BLOB":
        cut = old[: dice.randrange(len(old) + 1)] if old else b""
        return dice.choice([b"", cut, bytes(len(old or b"")), dice.randbytes(len(old or b"")), b"\xff" * len(old or b"")])
    return dice.choice(ENDS if kind == "INTEGER" else REALS)


def _changed(value: object, dice: random.Random) -> object:
    """JSON with one leaf, or a branch, made something else."""
    if isinstance(value, dict | list) and value and dice.random() < 0.8:
        key = dice.choice(list(value) if isinstance(value, dict) else range(len(value)))
        value[key] = _changed(value[key], dice)
        return value
    return dice.choice(LEAVES)


def _schema(study: Path, dice: random.Random) -> str:
    with closing(sqlite3.connect(study, isolation_level=None)) as db:
        table = dice.choice(_tables(db))
        change = dice.choice(
            [
                f"DROP TABLE {table}",
                f"CREATE VIEW v AS SELECT * FROM {table}",
                f"CREATE TRIGGER t AFTER UPDATE ON {table} BEGIN DELETE FROM {table}; END",
                f"CREATE INDEX i ON {table} (1)",
                f"ALTER TABLE {table} ADD COLUMN more TEXT",
                f"ALTER TABLE {table} RENAME TO other",
                f"PRAGMA user_version = {dice.choice([-1, 0, 1, 3, 2**31 - 1])}",
                f"PRAGMA application_id = {dice.choice([0, 1, -1])}",
                "PRAGMA journal_mode = WAL",
                f"PRAGMA writable_schema = 1; UPDATE sqlite_schema SET sql = {dice.choice(['NULL', repr('x'), 'sql || 1'])}"
                f" WHERE name = '{table}'",
                f"PRAGMA writable_schema = 1; UPDATE sqlite_schema SET rootpage = {dice.choice([0, 1, 2, 10**6])}"
                f" WHERE name = '{table}'",
            ]
        )
        try:
            db.executescript(f"PRAGMA foreign_keys = 0; {change}")
        except sqlite3.Error:
            db.executescript("PRAGMA user_version = 7")
    return change.partition(";")[0][:40]


def _tables(db: sqlite3.Connection) -> list[str]:
    found = db.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY name")
    return [name for (name,) in found]


def tried(study: Path, beside: Path) -> str:
    """Puts a study through everything, in a process of its own; returns what `check` says, raises what went wrong."""
    parent = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    into, out = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(into)
        try:
            said = json.dumps(list(_all_of_it(study, beside)))
        except BaseException:
            said = json.dumps(["", [f"{study.name}: {traceback.format_exc()}"]])
        with open(out, "w") as told:
            told.write(said)
        os._exit(0)
    os.close(out)
    with open(into) as told:
        line, wrong = json.loads(told.read() or '["", ["the process ended"]]')
    _, _, used = os.wait4(child, 0)
    grown = (used.ru_maxrss - parent) << 10
    if grown > MOST_BYTES:
        wrong.append(f"{study.name}: {grown >> 20} MB")
    if wrong:
        raise AssertionError("\n".join(wrong))
    return str(line)


def _all_of_it(study: Path, beside: Path) -> Iterator[object]:
    """What `check` says, and a list of what went wrong."""
    wrong: list[str] = []

    def timed(what: str, work: Callable[[], object], most: float = MOST_SECONDS) -> object:
        start = time.process_time()
        try:
            return work()
        finally:
            if (seconds := time.process_time() - start) > most:
                wrong.append(f"{study.name}: {what} took {seconds:.1f} s")

    try:
        problems = list(timed("check", lambda: check(study)).problems)
    except TorchlurkError as error:
        problems = [str(error)]
    refused: dict[str, str] = {}
    try:
        with Reader(study) as reader, Reader(beside) as other:
            forest = Forest([reader, other])
            timed("the list", lambda: forest.find("studies.json"))
            (slug, tree), (whole, _) = forest.trees.items()
            paths = ["study.json", "layers/0.json", "layers/0/units/0.json", "classes/0.json", "examples/0.json"]
            for path in {*paths, *_listed(tree, refused)}:
                try:
                    timed(path, functools.partial(forest.find, f"{slug}/{path}"))
                except TorchlurkError as error:
                    refused[path] = str(error)
            assert forest.find(f"{whole}/study.json")
    except TorchlurkError as error:
        refused["open"] = str(error)
    for arguments in (["0:0", "--json"], ["0:1", "--out"], ["2", "--out"], ["rnn.l0:1"], ["rnn.l0:1", "--out"], ["no:9"]):
        given = [*arguments, str(study.with_suffix(".png"))] if "--out" in arguments else arguments
        timed(f"show {' '.join(arguments)}", functools.partial(_command, ["show", str(study), *given]))
    with tempfile.TemporaryDirectory() as folder:
        try:
            export([study], Path(folder) / "site")
        except TorchlurkError as error:
            refused["export"] = str(error)
            left = list(Path(folder).rglob("*.json"))
            wrong += [f"{study.name}: a refused export left {len(left)} documents"] if left else []
    lines = [*problems, *refused.values()]
    wrong += [
        f"{study.name}: a line of {len(line):,} characters: {line[:200]!r}"
        for line in lines
        if "\n" in line or len(line) > 1000
    ]
    if refused and not problems:
        wrong.append(f"{study.name}: check is content, but {refused}")
    yield problems[0] if problems else "whole"
    yield wrong


def _listed(tree: object, refused: dict[str, str]) -> list[str]:
    try:
        return list(tree.paths())
    except TorchlurkError as error:
        refused["paths"] = str(error)
        return []


def _command(arguments: list[str]) -> None:
    """Raises for anything but a line and status 0 or 2."""
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()) as said:
        try:
            main(arguments)
            status = 0
        except SystemExit as ended:
            status = ended.code or 0
    assert status in (0, 2), (arguments, status, said.getvalue())
    assert status == 0 or said.getvalue().count("\n") == 1, (arguments, said.getvalue()[:1000])


def fuzz(folder: Path, whole: dict[str, Path], numbers: range) -> dict[str, object]:
    """Some of the fuzzed studies; how many `check` took for whole."""
    kept, wrong = 0, []
    for number in numbers:
        dice = random.Random(f"{SEED}-{number}")
        kind = dice.choice(sorted(whole))
        study = folder / f"fuzzed{number}.lurk"
        how = fuzzed(whole[kind], study, dice)
        try:
            kept += tried(study, whole["pictures"]) == "whole"
        except AssertionError as error:
            wrong.append(f"{kind}, {how}: {error}")
        else:
            study.unlink()
    assert not wrong, "\n".join([f"{len(wrong)} of {len(numbers)}", *wrong])
    return {"studies": len(numbers), "taken for whole": kept}


def expensive(folder: Path, whole: dict[str, Path], name: str) -> dict[str, object]:
    """One of the studies that are made to be expensive; what `check` says of it."""
    kind, make = EXPENSIVE[name]
    study = folder / f"{name}.lurk"
    study.write_bytes(whole[kind].read_bytes())
    make(study)
    assert study.stat().st_size - whole[kind].stat().st_size < 1 << 20, study.stat().st_size
    return {"said": tried(study, whole["pictures"])[:200]}


if __name__ == "__main__":
    sys.setswitchinterval(0.005)
    with tempfile.TemporaryDirectory() as made:
        here = Path(made)
        studies = whole_studies(here)
        cases = {f"expensive: {name}": functools.partial(expensive, here, studies, name) for name in EXPENSIVE}
        for first in range(0, FUZZED, AT_ONCE):
            numbers = range(first, first + AT_ONCE)
            cases[f"fuzzed {first} to {numbers[-1]}"] = functools.partial(fuzz, here, studies, numbers)
        recording.run("hostile_studies", __doc__, SEED, cases)
