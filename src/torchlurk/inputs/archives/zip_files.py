"""The pictures in a zip file; its folders are classes."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

from torchlurk.errors import DataError
from torchlurk.inputs.archives.index import DEFLATED, NOT_PACKED, Growing, Index
from torchlurk.inputs.sources.listing import IMAGE_SUFFIXES, NO_CLASS

LOCAL_HEADER = 30
"""What stands before a member's content: so many bytes, and as many more as two of them say."""

ENCRYPTED = 1


def index_zip(file: Path) -> Index:
    """The pictures in the file, by name; raises `DataError` where it is no zip file or is damaged."""
    try:
        with zipfile.ZipFile(file) as opened:
            members = [one for one in opened.infolist() if not one.is_dir()]
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        reason = (
            f"cannot be opened: {error.strerror}" if isinstance(error, OSError) else f"cannot be read as a zip file: {error}"
        )
        raise DataError(f"{file} {reason}", "create it again, or unpack it and give the folder") from error
    growing = Growing()
    for one in sorted(members, key=lambda one: one.filename):
        folder, _, base = one.filename.rpartition("/")
        if base.startswith(".") or folder.partition("/")[0] == NO_CLASS:
            continue
        reason = _unreadable(one)
        if reason:
            growing.skip(one.filename, reason)
        else:
            word = folder.partition("/")[0] or None
            growing.add(one.filename, one.header_offset, one.compress_size, word, one.compress_type)
    growing.close(file.name)
    return growing.finish()


def _unreadable(member: zipfile.ZipInfo) -> str:
    """Why a member cannot be an example; '' where it can."""
    if os.path.splitext(member.filename)[1].lower() not in IMAGE_SUFFIXES:
        return "is not an image"
    if member.flag_bits & ENCRYPTED:
        return "is encrypted"
    if member.compress_type not in (NOT_PACKED, DEFLATED):
        return f"is compressed by a method other than deflate ({member.compress_type})"
    return ""
