"""What can be told of a command before torch is imported, which takes seconds."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from torchlurk.errors import WeightsError
from torchlurk.files import expanded
from torchlurk.inputs.presence import check_present
from torchlurk.models.loading.files import named_file
from torchlurk.store.connections import check_folder


def check_named(model: str | None = None, weights: str | None = None, data: str | None = None, out: Path | None = None) -> None:
    """Raises `ModelError`, `WeightsError`, `DataError` or `StorageError` where one of them is a file that is not there, or
    `out` one in a folder that is not.
    """
    if model is not None:
        named_file(model)
    if weights == "":
        raise WeightsError("--weights is an empty text", "give a file, or leave it out")
    if weights is not None and weights != "random":
        with suppress(PermissionError, ValueError):  # what else is the matter is told when the file is read
            if not expanded(weights).exists():
                raise WeightsError(f"there is no weights file '{weights}'", "check the path given to --weights")
    if data is not None:
        check_present(data)
    if out is not None:
        check_folder(out)
