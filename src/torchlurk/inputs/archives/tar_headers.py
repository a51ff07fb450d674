"""The members of a tar file by their headers alone: where the content of each begins, and how long it is.

`tarfile` keeps an object for every member, and takes six times as long. What tar programs write today is read: ustar, GNU's
long names and pax headers; links, folders, devices and sparse files hold no picture and are left out.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from torchlurk.errors import DataError
from torchlurk.units import whole_number

BLOCK = 512
"""Headers and contents begin at multiples of it."""

READ_AT_ONCE = 16 * 1024
"""Small members come with their headers in one read; of large ones no more than this is read."""

MOST_EXTENDED = 2**20
"""A longer extended header is taken for damage."""

_PLAIN_FILES = frozenset(b"0\0" + b"7")
_PAX, _GLOBAL_PAX, _LONG_NAME, _LONG_LINK = b"xgLK"
_CHECKSUM = slice(148, 156)
_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}


@dataclass(frozen=True, slots=True)
class Member:
    """A file in the archive: its content is the bytes `offset` to `offset + size`."""

    name: str
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Damage:
    """What cannot be read at a place of the archive: of the file `name`, or of the archive itself where that is ''."""

    name: str
    reason: str


def members(file: IO[bytes]) -> Iterator[Member | Damage]:
    """All files in the archive, in order. After a damaged header it goes on at the next one that is whole.

    Raises `DataError`, with the reason alone, where the file is no tar archive.
    """
    end = file.seek(0, os.SEEK_END)
    _check_first(file, end)
    offset, told, ended, renamed = 0, False, False, _Extended()
    while offset + BLOCK <= end:
        header = _at(file, offset, BLOCK)
        if not _whole(header):
            if any(header) and not told:
                yield Damage("", f"is damaged at byte {offset:,}")
                told = True
            ended = ended or not any(header)
            offset += BLOCK
            continue
        told = ended = False
        kind, size = header[156], _number(header[124:136])
        start = offset + BLOCK
        if kind in (_PAX, _LONG_NAME) and size <= MOST_EXTENDED:
            renamed.take(kind, _at(file, start, size))
        elif kind not in (_GLOBAL_PAX, _LONG_LINK):
            name = renamed.name or _name(header)
            size = size if renamed.size is None else renamed.size
            if start + size > end:
                yield Damage(name, f"is cut off: the archive ends {start + size - end:,} bytes too early")
                return
            if kind in _PLAIN_FILES and not name.endswith("/") and not renamed.sparse:
                yield Member(name, start, size)
            renamed = _Extended()
        offset = start + -(-size // BLOCK) * BLOCK
    if offset < end and any(rest := _at(file, offset, end - offset)):
        yield Damage("", f"is cut off: {len(rest)} bytes at its end are not a complete header")
    elif not ended and offset >= end:
        yield Damage("", "may be cut off: it ends without the block of zeros that ends an archive")


def _check_first(file: IO[bytes], end: int) -> None:
    first = _at(file, 0, BLOCK)
    if not first:
        raise DataError("is empty")
    packed = next((name for magic, name in _COMPRESSED.items() if first.startswith(magic)), None)
    if packed:
        raise DataError(f"is compressed ({packed}), so its members cannot be read individually: unpack it to a plain .tar")
    if not _whole(first) and (any(first) or end % BLOCK):
        raise DataError("is not a tar file")


def _at(file: IO[bytes], offset: int, size: int) -> bytes:
    file.seek(offset)
    return file.read(size)


def _whole(header: bytes) -> bool:
    """Whether a header's checksum is right: that of its bytes, its own taken for spaces."""
    field = header[_CHECKSUM].strip(b" \0")
    if not field.isdigit() or len(header) < BLOCK:
        return False
    try:
        return int(field, 8) == sum(header) - sum(header[_CHECKSUM]) + 8 * ord(" ")
    except ValueError:  # the digits 8 and 9
        return False


def _number(field: bytes) -> int:
    """A size: octal digits, or where the first bit is set the bytes of a whole number."""
    if field[0] & 0x80:
        return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
    digits = field.strip(b" \0")
    return int(digits, 8) if digits.isdigit() and not digits.strip(b"01234567") else 0


def _name(header: bytes) -> str:
    name = header[:100].partition(b"\0")[0]
    prefix = header[345:500].partition(b"\0")[0] if header[257:263] == b"ustar\0" else b""
    return _text(prefix + b"/" + name if prefix else name)


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


@dataclass(slots=True)
class _Extended:
    """What headers before the one of a file say of it in its stead."""

    name: str = ""
    size: int | None = None
    sparse: bool = False

    def take(self, kind: int, content: bytes) -> None:
        """Takes what an extended header holds."""
        if kind == _LONG_NAME:
            self.name = _text(content.rstrip(b"\0"))
            return
        for key, value in _records(content):
            if key == b"path":
                self.name = _text(value)
            elif key == b"size" and (size := whole_number(_text(value))) is not None:
                self.size = size
            elif key.startswith(b"GNU.sparse"):
                self.sparse = True


def _records(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The lines `LENGTH KEY=VALUE` of a pax header."""
    place = 0
    while place < len(content):
        written, _, _ = content[place : place + 20].partition(b" ")
        length = whole_number(_text(written))
        if length is None or not 0 < length <= len(content) - place:
            return
        record = content[place + len(written) + 1 : place + length - 1]
        key, _, value = record.partition(b"=")
        yield key, value
        place += length
