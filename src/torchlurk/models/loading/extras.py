"""The libraries that only some MODEL specs need, imported when a spec names them.

PyPI's torchvision does not load beside a CPU-only torch: its compiled part wants CUDA, so operators that its Python part
describes do not exist. Classification needs none of them, so they are defined as ones that raise; timm and transformers,
which import torchvision, then load too.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
from collections.abc import Callable
from types import ModuleType
from typing import NoReturn, TypeVar

import torch

from torchlurk.errors import MissingExtraError

Result = TypeVar("Result")

_SUPPRESSION = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_OPERATORS = {"nms": _SUPPRESSION, "qnms": _SUPPRESSION}
"""What torchvision registers Python code for at import, with the schemas of its compiled part."""

_LOGGER = logging.getLogger("torchlurk")


def import_torchvision() -> ModuleType:
    """torchvision, also beside a CPU-only torch; raises `MissingExtraError` where it is absent or does not load."""
    _repair_torchvision()
    return importlib.import_module("torchvision")


def import_timm() -> ModuleType:
    """timm, with `timm.data`; raises `MissingExtraError` where it is absent or does not load."""
    import_torchvision()
    try:
        importlib.import_module("timm.data")
        return importlib.import_module("timm")
    except (ImportError, RuntimeError) as error:
        raise _missing("timm", error) from error


def import_transformers() -> ModuleType:
    """transformers, which does without torchvision but not with one that fails to load; raises `MissingExtraError`."""
    if importlib.util.find_spec("torchvision"):
        import_torchvision()
    try:
        return importlib.import_module("transformers")
    except (ImportError, RuntimeError) as error:
        raise _missing("transformers", error) from error


def with_torchvision(action: Callable[[], Result]) -> Result:
    """What `action` returns; done once more where it failed because torchvision could not be imported but now can."""
    try:
        return action()
    except (ImportError, RuntimeError, AttributeError):
        if not (importlib.util.find_spec("torchvision") and _repair_torchvision()):
            raise
    return action()


def _repair_torchvision() -> bool:
    """Imports torchvision; whether its missing operators had to be defined for that."""
    try:
        importlib.import_module("torchvision")
        return False
    except (ImportError, RuntimeError) as error:
        if not _lacks_operators(error):
            raise _missing("torchvision", error) from error
    _define_operators()
    try:
        importlib.import_module("torchvision")
    except (ImportError, RuntimeError) as error:
        raise _missing("torchvision", error) from error
    _LOGGER.warning("this torchvision was built for another torch: its classification models work, its detection models do not")
    return True


def _lacks_operators(error: BaseException) -> bool:
    return any(f"operator torchvision::{name} does not exist" in str(error) for name in _OPERATORS)


def _define_operators() -> None:
    for name, schema in _OPERATORS.items():
        if not hasattr(torch.ops.torchvision, name):
            torch.library.define(f"torchvision::{name}", schema)
            torch.library.impl(f"torchvision::{name}", "default", _absent)


def _absent(dets: torch.Tensor, scores: torch.Tensor, iou_threshold: float) -> NoReturn:
    raise NotImplementedError("this operator of torchvision is not compiled for this torch; install builds that match")


def _missing(library: str, error: Exception) -> MissingExtraError:
    if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] == library:
        return MissingExtraError(f"{library} is not installed", "pip install 'torchlurk[models]'")
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return MissingExtraError(
        f"{library} is installed but cannot be imported: {reason}", "pip install --upgrade 'torchlurk[models]'"
    )
