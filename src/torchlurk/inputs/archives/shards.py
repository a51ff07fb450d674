"""WebDataset shards: tar files whose members belong together by their names.

A sample is all members with one name up to the first dot of the base name: `dog/7.jpg`, `dog/7.cls` and `dog/7.json`. Here
they need not stand side by side, as WebDataset wants it: `tar` packs a folder in any order.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from torchlurk.errors import DataError
from torchlurk.inputs.archives.index import Growing, Index
from torchlurk.inputs.archives.tar_headers import READ_AT_ONCE, Damage, Member, members
from torchlurk.inputs.sources.labels import CLASS_KEYS
from torchlurk.inputs.sources.listing import IMAGE_SUFFIXES, NO_CLASS
from torchlurk.units import whole_number

NUMBER, RECORD = "cls", "json"
"""What the members that tell a sample's class end in."""

MOST_RECORD = 2**20
"""A longer record is not looked into for a class."""


@dataclass(slots=True)
class _Sample:
    """What is known of a sample so far; `told` is the class that its number or record says."""

    picture: Member | None = None
    told: str | int | None = None
    by_number: bool = False
    first: str = ""


def index_shards(root: Path, files: Sequence[str]) -> Index:
    """The pictures in the tar files, in order; what cannot be read is in `skipped`.

    Names of samples that are without a picture, and of damaged members, are there too. Raises `DataError` where a single
    file is no tar archive.
    """
    growing = Growing()
    for file in files:
        try:
            with open(root / file, "rb", buffering=READ_AT_ONCE) as stream:
                _take(stream, file if len(files) > 1 else "", growing)
        except (OSError, DataError) as error:
            reason = error.message if isinstance(error, DataError) else f"cannot be opened: {error.strerror}"
            if len(files) == 1:
                raise DataError(f"{root / file} {reason}", "DATA is a plain .tar of pictures") from error
            growing.skip(file, reason)
        growing.close(file)
    return growing.finish()


def _take(stream: IO[bytes], shard: str, growing: Growing) -> None:
    """Takes the samples of one archive; `shard` is what it is called, '' where it is the only one."""
    samples: dict[str, _Sample] = {}
    further: Counter[str] = Counter()
    for one in members(stream):
        if isinstance(one, Damage):
            growing.skip(_path(shard, one.name) or "the archive", one.reason)
            continue
        folder, _, base = one.name.removeprefix("./").rpartition("/")
        if base.startswith(".") or folder.partition("/")[0] == NO_CLASS:
            continue
        key, _, ending = base.partition(".")
        sample = samples.setdefault(f"{folder}/{key}", _Sample(first=one.name))
        kept = _note(sample, one, ending.lower(), stream)
        if kept is not None:
            further[kept] += 1
    for sample in samples.values():
        if sample.picture is None:
            growing.skip(_path(shard, sample.first), "belongs to a sample without a picture")
        else:
            name = sample.picture.name.removeprefix("./")
            word = _folder(name) if sample.told is None else sample.told
            growing.add(_path(shard, name), sample.picture.offset, sample.picture.size, word)
    for ending, count in sorted(further.items()):
        growing.skip(_path(shard, f"*.{ending}"), f"{count:,} extra pictures in samples that already have one")


def _path(shard: str, name: str) -> str:
    return f"{shard}/{name}" if shard and name else shard or name


def _folder(name: str) -> str | None:
    return name.partition("/")[0] if "/" in name else None


def _note(sample: _Sample, member: Member, ending: str, stream: IO[bytes]) -> str | None:
    """Takes a member into its sample; of a picture beside another, the ending of the one that is passed over.

    `jpg` is before `mask.png`, whichever stands first.
    """
    if os.path.splitext(f"_.{ending}")[1] in IMAGE_SUFFIXES:
        known = sample.picture
        if known is None:
            sample.picture = member
            return None
        before = _ending(known.name)
        if "." in before and "." not in ending:
            sample.picture = member
            return before
        return ending
    if ending == NUMBER:
        sample.told, sample.by_number = _number(_content(stream, member)), True
    elif ending == RECORD and not sample.by_number and member.size <= MOST_RECORD:
        sample.told = _recorded(_content(stream, member))
    return None


def _ending(name: str) -> str:
    return name.rpartition("/")[2].partition(".")[2].lower()


def _content(stream: IO[bytes], member: Member) -> bytes:
    stream.seek(member.offset)
    return stream.read(min(member.size, MOST_RECORD))


def _number(content: bytes) -> str | int | None:
    text = content.decode("utf-8", "replace").strip()
    return _class(int(text) if whole_number(text) is not None and len(text) < 10 else text)


def _recorded(content: bytes) -> str | int | None:
    """The class in a record; None where it tells none."""
    try:
        record = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict):
        return _class(record)
    return next((_class(record[key]) for key in CLASS_KEYS if key in record), None)


def _class(value: object) -> str | int | None:
    if isinstance(value, str):
        return value.strip() or None
    return value if type(value) is int and value >= 0 else None
