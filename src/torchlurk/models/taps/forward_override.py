"""Another forward set on a module for a while."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn


class ForwardOverride:
    """Another forward run instead of a module's own, whose hooks still run, until it is removed."""

    def __init__(self, module: nn.Module, forward: Callable[..., Any]) -> None:
        self._module = module
        self._before = vars(module).get("forward")
        vars(module)["forward"] = forward

    def remove(self) -> None:
        """The module runs as it did before."""
        if self._before is None:
            del vars(self._module)["forward"]
        else:
            vars(self._module)["forward"] = self._before


def untouched(module: nn.Module) -> bool:
    """Whether nobody has set hooks or another forward on a module."""
    return not (module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module))
