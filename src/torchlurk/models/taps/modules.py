"""The modules of a model, what they are called, and where and in which number format its parameters are."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

ROOT = "model"
"""What a model is called that is itself a layer."""


def submodules(module: nn.Module) -> Iterator[tuple[str, str, nn.Module]]:
    """All modules, each with its path and what layers call it, which differ for the model itself."""
    paths = dict(module.named_modules())
    for path, one in paths.items():
        yield path, path or ("" if ROOT in paths else ROOT), one


def device_of(module: nn.Module) -> torch.device:
    """Where the module's parameters are; the CPU where it has none."""
    return next((one.device for one in module.parameters()), torch.device("cpu"))


def dtype_of(module: nn.Module) -> torch.dtype:
    """The floating-point format of the module's parameters; float32 where it has none."""
    return next((one.dtype for one in module.parameters() if one.is_floating_point()), torch.float32)
