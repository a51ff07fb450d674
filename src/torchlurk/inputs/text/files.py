"""Text files: decoded without shifting a character, and cut into documents."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from torchlurk.errors import DataError
from torchlurk.files import read_given

Layout = Literal["whole", "lines", "rows"]
"""One document a file; a line; or a line of a document and its class, with a tab between."""

_EXAMPLE_COLUMNS = frozenset(
    {"text", "sentence", "example", "review", "document", "content", "phrase", "tweet", "word", "input"}
)
_CLASS_COLUMNS = frozenset({"label", "labels", "class", "category", "target", "sentiment"})
"""What the columns of a table are usually called in its first row."""

_LINE = re.compile(r"[^\r\n]+")
_LINE_END = re.compile(r"\r\n|\r|\n")
_OTHER_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",  # first: it begins as that of UTF-16 does
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


@dataclass(frozen=True, slots=True)
class Piece:
    """The characters `start` to `stop` of a file, which are one document, and its class if the file tells one."""

    start: int
    stop: int
    label: str | None = None


def decode(data: bytes) -> str:
    """The text of a file's bytes: UTF-8, a byte-order mark left out, line ends as they are.

    Raises `DataError`, with the reason alone as its message, where the bytes are not text; it names the first such byte.
    """
    for mark, encoding in _OTHER_MARKS.items():
        if data.startswith(mark):
            raise DataError(f"is {encoding}, not UTF-8")
    bare = data.removeprefix(codecs.BOM_UTF8)
    skipped = len(data) - len(bare)
    try:
        text = bare.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(_not_text(bare, error.start, skipped, "is not UTF-8")) from error
    if "\0" in text:
        raise DataError(_not_text(bare, bare.index(b"\0"), skipped, "is not text"))
    return text


def _not_text(data: bytes, place: int, skipped: int, what: str) -> str:
    line = data.count(b"\n", 0, place) + 1
    return f"{what}: byte 0x{data[place]:02x} at offset {place + skipped} (line {line})"


def read_text(file: Path) -> str:
    """The text of a file; raises `DataError`, with the reason alone, where it cannot be read."""
    try:
        data = read_given(file)
    except OSError as error:
        raise DataError(f"cannot be opened: {error.strerror}") from error
    return decode(data)


def pieces(text: str, layout: Layout) -> Iterator[Piece | str]:
    """The documents in a file's text, and why a row holds none. Empty lines are left out; a line ends at \\n, \\r\\n or \\r."""
    if layout == "whole":
        yield Piece(0, len(text))
    elif layout == "lines":
        yield from (Piece(line.start(), line.end()) for line in _LINE.finditer(text))
    else:
        yield from _rows(text)


def _rows(text: str) -> Iterator[Piece | str]:
    for position, line in enumerate(_LINE.finditer(text)):
        columns = line[0].split("\t")
        if position == 0 and (header := _header(columns)):
            yield header
            continue
        if len(columns) == 2 and all(column.strip() for column in columns):
            yield Piece(line.start(), line.start() + len(columns[0]), columns[1].strip())
        else:
            number = len(_LINE_END.findall(text, 0, line.start())) + 1
            filled = sum(bool(column.strip()) for column in columns)
            yield f"line {number} has {filled} filled column(s), not two: example, tab, class"


def _header(columns: list[str]) -> str | None:
    """Why a first row that names the columns is no example; raises `DataError` where it names the class first."""
    names = [column.strip().lower() for column in columns]
    if len(names) != 2:
        return None
    if names[0] in _CLASS_COLUMNS and names[1] in _EXAMPLE_COLUMNS:
        raise DataError(
            f"has the columns '{columns[0].strip()}' and '{columns[1].strip()}' in this order",
            "write the example first, then a tab and its class",
        )
    return "line 1 names the columns" if names[0] in _EXAMPLE_COLUMNS and names[1] in _CLASS_COLUMNS else None
