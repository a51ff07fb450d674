"""The records of a study that a program gives: opened already, or by its path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torchlurk.errors import OptionError
from torchlurk.option_values import shown
from torchlurk.store.reading import Reader


def reader_of(study: Any) -> tuple[Reader | None, bool]:
    """The records, None where no study is given, and whether they were opened here. Raises `OptionError` for what is none,
    `StudyError` for a file that is none.
    """
    if study is None:
        return None, False
    if isinstance(study, (str, Path)):
        return Reader(Path(study)), True
    found = study if isinstance(study, Reader) else getattr(study, "reader", None)
    if not isinstance(found, Reader):
        raise OptionError(f"study is {shown(study)}", "give a study that torchlurk.open returned, or its path")
    return found, False
