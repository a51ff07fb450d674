"""Whether the pictures of a study are whole, and small enough to be drawn: a part of `check`."""

from __future__ import annotations

import io
import sqlite3
import struct
import warnings
from collections import Counter
from collections.abc import Iterator
from hashlib import sha256

from PIL import Image

from torchlurk.allowance import PIXELS, spend
from torchlurk.options import MOST_PIXELS, MOST_TIMES_INPUT, PER_SHEET, shows_exemplars
from torchlurk.store import columns

FORMATS = {"image/jpeg": "JPEG", "image/png": "PNG", "image/webp": "WEBP"}

UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)
"""What Pillow raises for bytes that are not a picture, or one of absurd size."""

ON_SHEETS = {
    "strongest examples": (
        "SELECT DISTINCT layer, channel / ?, '', picture FROM exemplar JOIN example_picture USING (example)"
        " WHERE ranking = 'max' AND rank = 0"
    ),
    "attributions": ("SELECT DISTINCT layer, channel / ?, method, picture FROM attribution WHERE ranking = 'max' AND rank = 0"),
    "syntheses": "SELECT DISTINCT layer, channel / ?, preset, picture FROM synthesis",
}
"""The pictures of each sheet."""


def examine_pictures(db: sqlite3.Connection) -> Iterator[str]:
    """Each is as its name and type say, and those of no sheet are too large together."""
    sizes: dict[bytes, int] = {}
    for name, media_type, data in db.execute("SELECT sha256, media_type, data FROM picture"):
        if not isinstance(name, bytes) or not isinstance(data, bytes):
            yield "a picture is not a blob"
        elif sha256(data).digest() != name:
            yield f"picture {name.hex()[:12]} is not what its name says"
        elif (pixels := _pixels(data, media_type)) is None:
            yield f"picture {name.hex()[:12]} is not a readable {media_type}"
        else:
            sizes[name] = pixels
            if pixels > MOST_PIXELS:
                yield f"picture {name.hex()[:12]} has {pixels:,} pixels; {MOST_PIXELS:,} are the most"
    yield from _examples(db, sizes)
    yield from _sheets(db, sizes)


def _pixels(data: bytes, media_type: object) -> int | None:
    """How many pixels a picture has; None where it cannot be decoded. One that is too large is not."""
    if media_type not in FORMATS:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=(kind := [FORMATS[str(media_type)]])) as picture:
                pixels = picture.width * picture.height
                picture.verify()
            if pixels <= MOST_PIXELS:
                spend(pixels, "pixels")
                with Image.open(io.BytesIO(data), formats=kind) as picture:
                    picture.load()
    except UNREADABLE:
        return None
    return pixels


def _examples(db: sqlite3.Connection, sizes: dict[bytes, int]) -> Iterator[str]:
    """Pictures of examples are about as large as the network's input."""
    found = db.execute("SELECT value FROM meta WHERE key = 'input_shape'").fetchone()
    shape = columns.whole_numbers(found[0], "meta.input_shape") if found else ()
    if not shows_exemplars(shape):
        return
    most = MOST_TIMES_INPUT * shape[1] * shape[2]
    for example, name in db.execute("SELECT example, picture FROM example_picture"):
        if sizes.get(name, 0) > most:
            yield f"the picture of example {example} has {sizes[name]:,} pixels, the network's input {shape[1] * shape[2]:,}"


def _sheets(db: sqlite3.Connection, sizes: dict[bytes, int]) -> Iterator[str]:
    names = dict(db.execute("SELECT id, name FROM layer"))
    for what, query in ON_SHEETS.items():
        together: Counter[tuple[int, int, str]] = Counter()
        for layer, sheet, by, picture in db.execute(query, (PER_SHEET,)):
            together[layer, sheet, by] += sizes.get(picture, 0)
        for (layer, sheet, by), pixels in together.items():
            if pixels > PIXELS:
                where = f"layer '{names.get(layer, layer)}': sheet {sheet} of its {what} {by}".rstrip()
                yield f"{where} takes {pixels:,} pixels; {PIXELS:,} are the most"
