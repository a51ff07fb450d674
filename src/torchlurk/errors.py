"""Every error that Torchlurk raises on purpose, in one tree.

A message says what is wrong, where and with what was given; the hint says what to do. The command line prints both on
one line and ends with the error's exit status.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class TorchlurkError(Exception):
    """Something went wrong that a person can mend; `message` says what, `hint` how."""

    exit_status = 2

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    @property
    def kind(self) -> str:
        """The class name without 'Error', as machine-readable name of the error."""
        return type(self).__name__.removesuffix("Error")

    def __str__(self) -> str:
        return f"{self.message}   ({self.hint})" if self.hint else self.message


class OptionError(TorchlurkError):
    """An option has a value that it cannot have."""


class UnitError(TorchlurkError):
    """A layer or unit is named that the model or the study does not have."""


class ModelError(TorchlurkError):
    """A model cannot be found, built or run."""


class WeightsError(ModelError):
    """A weights file cannot be read, or does not fit the model."""


class DataError(TorchlurkError):
    """The data cannot be found, or nothing in it can be read."""


class DeviceError(TorchlurkError):
    """The device asked for is not there, or has too little memory."""


class StudyError(TorchlurkError):
    """A file is not a study, is damaged, busy, or from a newer version."""


class MismatchError(StudyError):
    """A study was made with another model, other data or other settings than those given now."""


class StorageError(TorchlurkError):
    """Something cannot be written: a full disk, a missing permission. What was finished before is kept."""


class BusyError(TorchlurkError):
    """Too much waits for the model already."""


class NoModelError(TorchlurkError):
    """Something needs a model, and none is open beside the study."""


class UnknownImageError(TorchlurkError):
    """An image is asked about that is not open."""


class MissingExtraError(TorchlurkError):
    """A library that only some uses need is not installed, or does not load."""


def nearest(name: str, known: Iterable[str], *, most: int = 3) -> str:
    """The known names that look most like `name`, as the end of a sentence ('; nearest: a, b'); empty if none does."""
    close = difflib.get_close_matches(name, list(known), n=most, cutoff=0.5)
    return f"; nearest: {', '.join(close)}" if close else ""
