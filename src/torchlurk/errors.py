"""Every error that Torchlurk raises on purpose, in one tree:

    TorchlurkError
    ├── OptionError           an option has a value that it cannot have
    ├── UnitError             a layer or unit is not there
    │   └── ChannelError      a layer, as a sequence of its units, has no such one
    ├── ModelError            a model cannot be found, built or run
    │   └── WeightsError      its weights cannot be read, or do not fit
    ├── DataError             the data cannot be found or read
    ├── DeviceError           the device is not there, or too small
    ├── StudyError            a file is no study, damaged, busy or too new
    │   └── MismatchError     it was made with another model, data or options
    ├── StorageError          something cannot be written
    ├── BusyError             too much waits for the model
    ├── NoModelError          no model is open beside the study
    ├── UnknownImageError     the image is not open
    └── MissingExtraError     an optional library is not there

A message says what is wrong, where and with what was given; the hint says what to do. The command line prints both on
one line and ends with the error's exit status. Both name options as the command line does; what Python users call says the
keywords instead (`telling_keywords`).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


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


class ChannelError(UnitError, IndexError):
    """A layer is asked for a channel that it does not have; an `IndexError` too, as of every sequence."""


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


FLAG = re.compile(r"(?<![\w-])--([a-z][a-z-]*)(?: (\d[\d,.]*|[A-Z]/[A-Z]|\d+/\d+)(?![\w.]))?")
COMMAND = re.compile(r"((?:torchlurk|pip|ray) [a-z][^;()]*)")
KEYWORDS = {"from": "merged"}
"""Of flags that are not the keyword with hyphens."""


def in_keywords(text: str) -> str:
    """A message with the keywords of Python functions in place of flags; whole commands stay as they are."""

    def keyword(found: re.Match[str]) -> str:
        name = KEYWORDS.get(found[1], found[1].replace("-", "_"))
        return f"{name}={found[2]}" if found[2] else name

    parts = COMMAND.split(text)
    return "".join(part if place % 2 else FLAG.sub(keyword, part) for place, part in enumerate(parts))


@contextmanager
def telling_keywords() -> Iterator[None]:
    """Errors from within, or from the function that it decorates, name options by their keywords."""
    try:
        yield
    except TorchlurkError as error:
        error.message, error.hint = in_keywords(error.message), in_keywords(error.hint)
        error.args = (error.message,)
        raise


OUT_OF_MEMORY = ("out of memory", "ALLOC_FAILED", "ALLOCATION_FAILED", "Invalid buffer size", "DefaultCPUAllocator")
"""Words of errors that torch raises as a plain `RuntimeError`: CUDA's and MPS's own, those of libraries such as cuBLAS and
cuDNN (`CUBLAS_STATUS_ALLOC_FAILED`), a buffer beyond what MPS allows, and a host that refuses memory.
"""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of torch says that a device has too little memory; not all of them are a `torch.OutOfMemoryError`."""
    known = any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__)
    return known or (isinstance(error, RuntimeError) and any(words in str(error) for words in OUT_OF_MEMORY))


def told(error: BaseException) -> str:
    """What kind of error of others it is, and what it says, in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split()) or 'no message'}"


def in_one_line(error: BaseException) -> str:
    """What an error of others says, in one line; its kind where it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__


def first_line(error: BaseException) -> str:
    """The first line of what an error of others says; its kind where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def a_type(value: object) -> str:
    """What a value is, with its article: `an int`."""
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeioAEIO' or name == 'ndarray' else 'a'} {name}"


def nearest(name: str, known: Iterable[str], *, most: int = 3) -> str:
    """The known names that look most like `name`, as the end of a sentence ('; nearest: a, b'); empty if none does."""
    close = difflib.get_close_matches(name, list(dict.fromkeys(known)), n=most, cutoff=0.5)
    return f"; nearest: {', '.join(close)}" if close else ""
