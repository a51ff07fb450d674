"""Python values as cells of a table, and back. What comes out of a file is checked before it is believed."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from types import NoneType
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32, Float64

from torchlurk.tables import NAME

LONGEST_JSON = 1 << 20
"""Characters. The options of a run and the shapes of layers are far below."""

LONGEST_TEXT = 1 << 14
"""Characters of any other text: names, labels, paths, notes."""

LONGEST_NAME = 1 << 10
"""Of a layer, a node or a module."""

FARTHEST = 1 << 31
"""Where a pixel or a step can be is nearer than this."""

NARROW = np.dtype("<f4")
WIDE = np.dtype("<f8")
DTYPE = re.compile(r"[<>|][biuf](1|2|4|8|16)")


class DamageError(Exception):
    """A cell does not hold what it must; says which, and becomes a `StudyError` or a line of `check` where it is caught."""


def text(value: object, what: str, *, longest: int = LONGEST_TEXT) -> str:
    """A cell that must be text of at most so many characters."""
    if not isinstance(value, str):
        raise DamageError(f"{what} is not text")
    if len(value) > longest:
        raise DamageError(f"{what} is longer than {longest:,} characters")
    return value


def word(value: object, what: str) -> str:
    """A cell that must be the name of a method or preset."""
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise DamageError(f"{what} is not 1 to 64 letters, digits and _:.-")
    return value


def optional_text(value: object, what: str) -> str | None:
    """A cell that may be NULL, text otherwise."""
    return None if value is None else text(value, what)


def whole(value: object, what: str, *, least: int = -(2**63), below: int = 2**63) -> int:
    """A cell that must be a whole number from `least` to less than `below`."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value < below:
        raise DamageError(f"{what} is not a whole number within its range")
    return value


def real(value: object, what: str) -> float:
    """A cell that must be a number; NULL is NaN."""
    if value is None:
        return math.nan
    if not isinstance(value, float | int) or isinstance(value, bool):
        raise DamageError(f"{what} is not a number")
    try:
        return float(value)
    except OverflowError:
        raise DamageError(f"{what} is beyond all numbers") from None


def finite(value: object, what: str) -> float:
    """A cell that must be a number, neither NULL nor infinite."""
    found = real(value, what)
    if not math.isfinite(found):
        raise DamageError(f"{what} is not a finite number")
    return found


def box(sides: Iterable[object], what: str) -> tuple[int, int, int, int]:
    """Four cells that must be the left, top, right and bottom of a box."""
    x0, y0, x1, y1 = (whole(side, what, least=0, below=FARTHEST) for side in sides)
    if x0 > x1 or y0 > y1:
        raise DamageError(f"{what} ends before it begins")
    return x0, y0, x1, y1


class Kind(NamedTuple):
    """What many cells may hold beside NULL, and in words."""

    types: frozenset[type]
    words: str


NUMBERS = Kind(frozenset({int, float, NoneType}), "a number")
WHOLE_NUMBERS = Kind(frozenset({int, NoneType}), "a whole number")
TEXTS = Kind(frozenset({str, NoneType}), "text")


def all_of(values: Sequence[Any], kind: Kind, what: str) -> Sequence[Any]:
    """Cells that must be of a kind or NULL, checked faster than one by one."""
    if not set(map(type, values)) <= kind.types:
        raise DamageError(f"{what} is not {kind.words}")
    return values


def one_of(value: object, known: Sequence[str], what: str) -> Any:
    """A cell that must be one of the known words."""
    if value not in known:
        raise DamageError(f"{what} is none of {', '.join(known)}")
    return value


def raw(value: object, length: int, what: str) -> bytes:
    """A cell that must be a blob of `length` bytes."""
    if not isinstance(value, bytes) or len(value) != length:
        raise DamageError(f"{what} is not a blob of {length} bytes")
    return value


def from_json(value: object, what: str, *, longest: int = LONGEST_JSON) -> Any:
    """A cell that must be JSON of at most so many characters, which can be written as JSON and UTF-8 again: Python also reads
    NaN, numbers that are infinite, and halves of characters.
    """
    written = text(value, what, longest=longest)
    try:
        found = json.loads(written)
        to_json(found).encode()
    except UnicodeEncodeError:
        raise DamageError(f"{what} has half a character") from None
    except (ValueError, RecursionError):
        raise DamageError(f"{what} is not JSON") from None
    return found


def to_json(value: Any) -> str:
    """Compact JSON; raises `ValueError` for NaN and infinities, `TypeError` for what JSON does not have."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def whole_numbers(value: object, what: str, *, least: int = 0) -> tuple[int, ...]:
    """A cell that must be a JSON list of whole numbers from `least`."""
    found = from_json(value, what)
    if not isinstance(found, list):
        raise DamageError(f"{what} is not a list")
    return tuple(whole(one, what, least=least) for one in found)


def numbers(value: object, what: str) -> tuple[float, ...]:
    """A JSON list of numbers, already parsed."""
    if not isinstance(value, list):
        raise DamageError(f"{what} is not a list")
    return tuple(finite(one, what) for one in value)


def words(value: object, what: str) -> tuple[str, ...]:
    """A cell that must be a JSON list of texts."""
    found = from_json(value, what)
    if not isinstance(found, list):
        raise DamageError(f"{what} is not a list")
    return tuple(text(one, what) for one in found)


def pair(value: object, what: str, *, least: int = 0) -> tuple[int, int] | None:
    """A cell that must be NULL or a JSON list of two whole numbers from `least`."""
    if value is None:
        return None
    found = whole_numbers(value, what, least=least)
    if len(found) != 2:
        raise DamageError(f"{what} is not a pair")
    return found[0], found[1]


def narrow_rows(matrix: Float32[np.ndarray, "unit k"]) -> list[bytes]:
    """Each row as little-endian float32."""
    return [row.tobytes() for row in np.ascontiguousarray(matrix, NARROW)]


def narrow(value: object, count: int, what: str) -> Float32[np.ndarray, " k"]:
    """A cell that must hold `count` little-endian float32 numbers."""
    return np.frombuffer(raw(value, count * NARROW.itemsize, what), NARROW).astype(np.float32)


def wide(value: object, shape: Sequence[int], what: str) -> Float64[np.ndarray, ...]:
    """A cell that must hold little-endian float64 numbers in row-major order."""
    cell = raw(value, math.prod(shape) * WIDE.itemsize, what)
    return np.frombuffer(cell, WIDE).astype(np.float64).reshape(shape)


def dtype(value: object, what: str) -> np.dtype[Any]:
    """A cell that must name a plain number type of numpy, never objects."""
    if not DTYPE.fullmatch(written := text(value, what)):
        raise DamageError(f"{what} is not a number type")
    try:
        return np.dtype(written)
    except TypeError:
        raise DamageError(f"{what} is not a number type") from None


def writable(words: str, *, longest: int = LONGEST_TEXT) -> str:
    """Text as a study can hold it: bytes of a file name that were not UTF-8 become backslash escapes, what is too long is
    cut.
    """
    written = words.encode("utf-8", "backslashreplace").decode("utf-8")
    return written if len(written) <= longest else f"{written[: longest - 1]}…"
