"""Another forward set on a module for a while."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn


class ForwardOverride:
    """Something else run in the stead of a module, whose hooks still run, until it is removed."""

    def __init__(self, module: nn.Module, forward: Callable[[Tensor], Tensor]) -> None:
        self._module = module
        vars(module)["forward"] = forward

    def remove(self) -> None:
        """The module runs itself again."""
        del vars(self._module)["forward"]


def untouched(module: nn.Module) -> bool:
    """Whether nobody has set hooks or another forward on a module."""
    return not (module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module))
