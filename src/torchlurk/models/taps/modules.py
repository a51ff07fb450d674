"""The modules of a model and what they are called."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

ROOT = "model"
"""What a model is called that is itself a layer."""


def submodules(module: nn.Module) -> Iterator[tuple[str, str, nn.Module]]:
    """All modules, each with its path and what layers call it, which differ for the model itself."""
    paths = dict(module.named_modules())
    for path, one in paths.items():
        yield path, path or ("" if ROOT in paths else ROOT), one
