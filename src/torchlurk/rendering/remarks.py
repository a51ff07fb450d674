"""What people noted of a unit, in plain text for a terminal."""

from __future__ import annotations

import textwrap

from torchlurk.records import Remark
from torchlurk.rendering.typography import clean

STAR = "★"


def mark(remark: Remark) -> str:
    """The star and the name, where there are any."""
    return " ".join(one for one in (STAR if remark.starred else "", clean(remark.name)) if one)


def paragraphs(remark: Remark, columns: int) -> list[str]:
    """The note itself, wrapped; its own lines stay apart."""
    lines = (clean(line) for line in remark.text.split("\n"))
    return [part for line in lines for part in textwrap.wrap(line, columns) or [""]] if remark.text else []
