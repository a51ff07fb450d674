"""Replacing what a layer hands on, while an unedited model runs: a cut, a smaller activation, a derivative beside it.

Whatever the model does with a layer's activation afterwards, it does with the replacement: operations are given the one
for the other. The activation itself stays as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from jaxtyping import Shaped
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.overrides import TorchFunctionMode

from torchlurk.models.taps.nonlinearities import Function, nonlinearity, operand
from torchlurk.models.taps.own_functions import around_functions, within_function
from torchlurk.models.taps.reading import reading
from torchlurk.records import Layer


@dataclass(frozen=True, slots=True)
class Before:
    """What the nonlinearity that gave an activation was applied to: a copy, and where it stands in the gradients' graph."""

    value: Tensor
    edge: GradientEdge | None


Replace = Callable[[Layer, Tensor, Before | None], Tensor]
"""From a layer, the tensor that holds its activation and what came before its nonlinearity (None where it ends in no
single one) to the tensor that the model goes on with, of the same shape."""


@contextmanager
def replacing(
    module: nn.Module, layers: Sequence[Layer], replace: Replace, *, stop_after_last: bool = False, note: bool = True
) -> Iterator[Replacements]:
    """Within it, each forward pass of `module` goes on with what `replace` gives for each of the layers.

    Open what changes operations (`models.rectifiers.Rules`) around it, not within. Operations that no function mode
    sees (TorchScript, inside of `nn.MultiheadAttention`) are given the activation as it was. As with `reading`, passes must
    run in this thread, and `stop_after_last` ends the block with the last layer.
    Without `note` nothing is known of what came before nonlinearities, and no copies are made of it.
    """
    mode = Replacements(note=note)

    def deliver(layer: Layer, tensor: Tensor) -> None:
        current = mode.latest(tensor)
        mode.replace(tensor, replace(layer, current, mode.before(current)))

    with mode, around_functions(mode.through_function), reading(module, layers, deliver, stop_after_last=stop_after_last):
        yield mode


class Replacements(TorchFunctionMode):
    """Which tensors stand for which others; operations are given the latter."""

    def __init__(self, *, note: bool = True) -> None:
        super().__init__()
        self._note = note
        self._given: dict[int, tuple[Tensor, Tensor]] = {}
        """By the id of the tensor replaced, which is kept alive beside its replacement."""
        self._before: dict[int, tuple[Tensor, Before]] = {}
        self._inside: Tensor | None = None
        """What the function of the model's own that is running was given, and whether it has applied a nonlinearity to it."""
        self._applied = False

    def latest(self, tensor: Shaped[Tensor, "*shape"]) -> Shaped[Tensor, "*shape"]:
        """The tensor's replacement, itself where it has none."""
        found = self._given.get(id(tensor))
        return found[1] if found is not None else tensor

    def before(self, tensor: Tensor) -> Before | None:
        """What the nonlinearity that gave the tensor was applied to."""
        found = self._before.get(id(tensor))
        return found[1] if found is not None else None

    def replace(self, tensor: Shaped[Tensor, "*shape"], replacement: Shaped[Tensor, "*shape"]) -> None:
        """From now on `replacement` stands for `tensor`, and for all that `tensor` stood for."""
        for key, (original, current) in self._given.items():
            if current is tensor:
                self._given[key] = (original, replacement)
        self._given[id(tensor)] = (tensor, replacement)

    def forget(self) -> None:
        """Lets go of all tensors, between two passes."""
        self._given.clear()
        self._before.clear()

    def through_function(self, usual: Callable[..., Any], *args: Any) -> Any:
        """A call of an autograd function of the model's own: a nonlinearity where it applies one to what it is given."""
        args = self._swapped(args)
        x = next((one for one in args if isinstance(one, Tensor)), None)
        if not self._note or x is None or within_function():
            return usual(*args)
        before = _before(x)
        self._inside, self._applied = x, False
        try:
            result = usual(*args)
        finally:
            self._inside = None
        if self._applied:
            self._remember(result, before)
        return result

    def __torch_function__(
        self, func: Function, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if self._given:
            args, kwargs = self._swapped(tuple(args)), self._swapped(dict(kwargs))
        if not self._note or nonlinearity(func, args, kwargs) is None:
            return func(*args, **kwargs)
        x = operand(args, kwargs)
        if within_function():
            self._applied = self._applied or x is self._inside
            return func(*args, **kwargs)
        before = _before(x)
        result = func(*args, **kwargs)
        self._remember(result, before)
        return result

    def _remember(self, result: Any, before: Before) -> None:
        if isinstance(result, Tensor) and result.shape == before.value.shape:
            self._before[id(result)] = (result, before)

    def _swapped(self, given: Any) -> Any:
        if isinstance(given, Tensor):
            return self.latest(given)
        if isinstance(given, dict):
            return {name: self._swapped(one) for name, one in given.items()}
        if type(given) in (list, tuple):
            return type(given)(self._swapped(one) for one in given)
        return given


def _before(x: Tensor) -> Before:
    return Before(x.clone(), get_gradient_edge(x) if x.requires_grad else None)
