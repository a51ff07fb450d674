"""Studies that are small as files and made to be expensive to read: what each does to a small whole study."""

import io
import json
import sqlite3
import zlib
from collections.abc import Callable, Iterable
from contextlib import closing
from hashlib import sha256
from pathlib import Path

from PIL import Image

Make = Callable[[Path], None]

GREY, COLOUR, CLEAR = "1", "RGB", "RGBA"
SIDE = 4096
"""Of the largest picture that is read."""


def changing(*statements: str) -> Make:
    """SQL that a writer would never run."""

    def make(study: Path) -> None:
        with closing(sqlite3.connect(study)) as db:
            db.executescript("PRAGMA foreign_keys = 0; PRAGMA ignore_check_constraints = 1; " + "; ".join(statements))
            db.commit()

    return make


def rows(table: str, values: Iterable[tuple[object, ...]], before: str = "") -> Make:
    """Rows put into a table, after other SQL."""

    def make(study: Path) -> None:
        changing(before)(study)
        with closing(sqlite3.connect(study)) as db:
            db.execute("PRAGMA ignore_check_constraints = 1")
            some = list(values)
            db.executemany(f"INSERT OR REPLACE INTO {table} VALUES ({', '.join('?' * len(some[0]))})", some)
            db.commit()

    return make


def pictures(*, mode: str, kind: str, side: int = SIDE, at: str, input_shape: str = "[3,16,16]", **saving: object) -> Make:
    """A picture of a single colour, for each `at` (examples, attributions, syntheses) another one."""

    def make(study: Path) -> None:
        with closing(sqlite3.connect(study)) as db:
            db.execute("UPDATE meta SET value = ? WHERE key = 'input_shape'", (input_shape,))
            of = {"examples": "example_picture", "attributions": "attribution", "syntheses": "synthesis"}[at]
            for number, (row,) in enumerate(db.execute(f"SELECT DISTINCT picture FROM {of}").fetchall()):
                Image.new(mode, (side, side - number)).save(to := io.BytesIO(), kind, **saving)
                data, media_type = to.getvalue(), f"image/{kind.lower()}"
                digest = sha256(data).digest()
                db.execute("INSERT OR REPLACE INTO picture VALUES (?, ?, ?)", (digest, media_type, data))
                db.execute(f"UPDATE {of} SET picture = ? WHERE picture = ?", (digest, row))
            db.commit()

    return make


def packed(steps: int, content: bytes, table: str = "sequence") -> Make:
    """Every text or series unpacks to that."""
    blob = zlib.compress(content, 9)

    def make(study: Path) -> None:
        with closing(sqlite3.connect(study)) as db:
            if table == "sequence":
                db.execute("UPDATE sequence SET steps = ?, first = 0, last = ?, content = ?", (steps, steps, blob))
            else:
                db.execute(
                    "UPDATE step_attribution SET steps = ?, width = ?, numbers = ?", (steps, len(content) // 4 // steps, blob)
                )
            db.commit()

    return make


def text(token: str, count: int) -> Make:
    """Texts of so many tokens."""
    return packed(count, json.dumps({"tokens": [token] * count, "offsets": []}, separators=(",", ":")).encode())


def circle(study: Path) -> None:
    """The pages of a long text, the last of which leads back to the first."""
    changing("INSERT INTO note VALUES (999, 'data', replace(hex(zeroblob(30000)), '0', 'x'))")(study)
    found = bytearray(study.read_bytes())
    size = 16384
    full = [page for page in range(size, len(found), size) if found[page + 4 : page + size] == b"x" * (size - 4)]
    for page in full:
        found[page : page + 4] = (full[0] // size + 1).to_bytes(4, "big")
    assert full
    study.write_bytes(found)


LONG = "replace(hex(zeroblob(60000)), '0', 'x')"
MANY = "WITH RECURSIVE n(i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n WHERE i < {})"
NO_EXEMPLARS = "DELETE FROM attribution; DELETE FROM exemplar; DELETE FROM synthesis"

EXPENSIVE: dict[str, tuple[str, Make]] = {
    "an input of 25 million pixels": (
        "pictures",
        changing("UPDATE meta SET value = '[3,5000,5000]' WHERE key = 'input_shape'"),
    ),
    "an input of 4000 million pixels": (
        "pictures",
        changing("UPDATE meta SET value = '[3,65000,65000]' WHERE key = 'input_shape'"),
    ),
    "an input of no size": ("pictures", changing("UPDATE meta SET value = '[3,0,16]' WHERE key = 'input_shape'")),
    "examples in black and white": ("pictures", pictures(mode=GREY, kind="PNG", at="examples")),
    "examples as large as their input": (
        "pictures",
        pictures(mode=GREY, kind="PNG", side=2800, at="examples", input_shape="[3,1400,1400]"),
    ),
    "examples in colour": (
        "pictures",
        pictures(mode=COLOUR, kind="WEBP", side=2800, at="examples", input_shape="[3,1400,1400]", lossless=True),
    ),
    "examples as WebP": ("pictures", pictures(mode=COLOUR, kind="WEBP", side=2800, at="examples", input_shape="[3,1400,1400]")),
    "attributions in black and white": ("pictures", pictures(mode=GREY, kind="PNG", at="attributions")),
    "attributions as WebP": ("pictures", pictures(mode=COLOUR, kind="WEBP", at="attributions", lossless=True)),
    "syntheses with transparency": ("pictures", pictures(mode=CLEAR, kind="WEBP", at="syntheses", lossless=True)),
    "syntheses as PNG": ("pictures", pictures(mode=CLEAR, kind="PNG", at="syntheses")),
    "pictures beyond the largest": ("pictures", pictures(mode=GREY, kind="PNG", side=12000, at="examples")),
    "a layer of 2000 million units": ("pictures", changing("UPDATE layer SET channels = 2147483647")),
    "a map of 2000 million positions": ("pictures", changing("UPDATE layer SET shape = '[46340,46340]'")),
    "a map of endless axes": (
        "pictures",
        changing("UPDATE layer SET shape = '[' || replace(hex(zeroblob(100000)), '00', '1,') || '1]'"),
    ),
    "kernels of 4000 million weights": (
        "pictures",
        changing("INSERT OR REPLACE INTO kernel VALUES (0, '[4,32000,32000,1]', zeroblob(64))"),
    ),
    "kernels of no size": ("pictures", changing("INSERT OR REPLACE INTO kernel VALUES (0, '[4,0,2000000000,3]', x'')")),
    "long names of layers": ("pictures", changing(f"UPDATE layer SET name = id || {LONG}")),
    "long names of classes": ("pictures", changing(f"UPDATE class SET label = id || {LONG}")),
    "names of many dots": (
        "pictures",
        changing(
            f"{MANY.format(160)} INSERT INTO node"
            " SELECT i, i, 'operation', 'x', replace(hex(zeroblob(250)), '00', 'a.') || i, 'T', '[]' FROM n"
        ),
    ),
    "a graph of many ways": (
        "pictures",
        changing(
            f"{MANY.format(3000)} INSERT INTO node SELECT i, i, 'operation', '', '', 'T', '[]' FROM n",
            f"{MANY.format(2999)} INSERT INTO edge SELECT NULL, i, i + 1 FROM n",
            "INSERT INTO edge SELECT NULL, id, 100 FROM node WHERE id < 100",
        ),
    ),
    "options nested deep": (
        "pictures",
        changing("UPDATE run SET options = '{\"a\":' || replace(hex(zeroblob(20000)), '00', '[') || '1}'"),
    ),
    "options of many numbers": (
        "pictures",
        changing(
            "UPDATE run SET options = '{\"a\":[' || replace(hex(zeroblob(60000)), '00', '1,') || '1]}' WHERE stage = 'scan'"
        ),
    ),
    "a number of many digits": ("pictures", changing("UPDATE run SET options = '{\"a\":1' || hex(zeroblob(4000)) || '}'")),
    "many units of nothing": (
        "pictures",
        changing(
            NO_EXEMPLARS,
            "DELETE FROM class_profile; DELETE FROM response; DELETE FROM sample; DELETE FROM class",
            "UPDATE example SET class = NULL",
            "UPDATE layer SET channels = 601 WHERE id = 0; DELETE FROM unit WHERE layer = 0",
            "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 600)"
            " INSERT INTO unit SELECT 0, i, 0, 0, 0, 0, 0, 0 FROM n",
            "INSERT INTO class_profile SELECT layer, channel, x'', x'' FROM unit",
            "INSERT INTO response SELECT layer, channel, x'' FROM unit",
        ),
    ),
    "many classes": ("pictures", changing(f"{MANY.format(2000)} INSERT INTO class SELECT i - 97, 'x', 'y' FROM n")),
    "many notes and skips": (
        "pictures",
        changing(
            f"{MANY.format(6000)} INSERT INTO skip SELECT i, 'p' || i, 'r' FROM n",
            f"{MANY.format(6000)} INSERT INTO note SELECT i, 'k' || i, 't' FROM n",
        ),
    ),
    "many exemplars of one unit": (
        "pictures",
        changing(
            NO_EXEMPLARS,
            "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 9000)"
            " INSERT INTO exemplar SELECT 0, 0, 'max', i, i % 24, 1, 1, 0, 0, 3, 3, 1 FROM n",
        ),
    ),
    "many remarks": (
        "pictures",
        changing(f"{MANY.format(5000)} INSERT INTO remark SELECT 'x' || i, 0, 'n', 't', 0, '' FROM n"),
    ),
    "pages in a circle": ("pictures", circle),
    "series of 60 million bytes": ("series", packed(5_000_000, bytes(60_000_000))),
    "series of 100 million bytes": ("series", packed(8_000_000, bytes(96_000_000))),
    "a step of very many channels": ("series", packed(1, bytes(250_000))),
    "a text of a hundred thousand tokens": ("text", text("a", 130_000)),
    "a text of ten million tokens": ("text", text("a", 10_000_000)),
    "a text of long tokens": ("text", text("ab" * 500, 30_000)),
    "numbers nested in a text": ("text", packed(20, b'{"tokens":' + b"[" * 5_000_000)),
    "attributions of 24 million bytes": ("text", packed(6_000_000, bytes(24_000_000), "step_attribution")),
    "attributions of wide steps": ("text", packed(20, bytes(24_000_000), "step_attribution")),
    "tokens that each text repeats": (
        "text",
        changing(
            f"{MANY.format(9000)} INSERT INTO example SELECT i - 92, 'p', NULL FROM n",
            "DELETE FROM example_tokens",
            "INSERT INTO example_tokens SELECT id, id, 1, x'00' FROM example",
        ),
    ),
    "a vocabulary of many tokens": (
        "text",
        changing(
            "UPDATE input SET description = json_set(description, '$.vocabulary',"
            " json('[\"\"' || replace(hex(zeroblob(40000)), '00', ',\"\"') || ']'),"
            " '$.vocabulary_size', 40001)"
        ),
    ),
}
"""By name, the kind of study that it begins with, and what is done to it."""
