"""A forward pass, run as it is, in which every tensor's dependence on the input is carried along."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

from torchlurk.models.survey.dependence import mixing, moving, windows
from torchlurk.models.survey.dependence.calls import Call, base_name, handed_on
from torchlurk.models.survey.dependence.intervals import NOTHING, Reach, everything, nothing, of_image, union

RULE_MODULES = (moving, windows, mixing)
"""Imported for the rules that they register."""

UNWRITTEN = frozenset({"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "empty_permuted", "resize"})
"""Operations that give memory with nothing in it: if it comes to hold something unseen, that may be anything."""


class Tracing(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While active, follows what every tensor depends on in `image`; `reach_of` tells.

    Parameters, buffers and other tensors made before are constants, and so are Python numbers taken out of tensors
    (`.item()`, conditions): the dependence found is that of the path through the code that this image took.
    """

    def __init__(self, image: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._origin = of_image(image.shape)
        self._reaches: MutableMapping[Tensor, Reach] = WeakTensorKeyDictionary()
        self._reaches[image] = self._origin
        self._written_before: dict[int, Reach] = {}

    def reach_of(self, tensor: Tensor) -> Reach:
        """What the elements of a tensor of this pass depend on."""
        known = self._reaches.get(tensor) or self._written_before.get(_storage(tensor))
        if known is None:
            return nothing(self._origin, tensor.shape)
        return known if known.shape == tuple(tensor.shape) else known.total().aligned(tensor.shape)

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Runs the operation, then notes what its results depend on."""
        kwargs = kwargs or {}
        if func._can_decompose():  # only so under inference_mode, where nothing else has taken it apart
            with self:
                return func.decompose(*args, **kwargs)
        arguments = _by_name(func, args, kwargs)
        # Read before the operation runs: an in-place one may change its tensor's shape.
        reaches = {name: tuple(map(self.reach_of, found)) for name, value in arguments.items() if (found := _tensors(value))}
        result = func(*args, **kwargs)
        written = [tensor for name in _written(func) for tensor in _tensors(arguments[name])]
        outputs = _tensors(result)
        results = outputs + [tensor for tensor in written if all(tensor is not output for output in outputs)]
        if results:
            call = Call(func, arguments, reaches, tuple(results))
            for tensor, reach in zip(results, self._results(call), strict=True):
                if any(tensor is one for one in written):
                    self._write(tensor, reach)
                self._reaches[tensor] = reach
        return result

    def _results(self, call: Call) -> tuple[Reach, ...]:
        if base_name(call.function) in UNWRITTEN:
            return tuple(everything(self._origin, output.shape) for output in call.outputs)
        if all(reach.empty for group in call.reaches.values() for reach in group):
            return tuple(nothing(self._origin, output.shape) for output in call.outputs)
        return handed_on(call)

    def _write(self, written: Tensor, reach: Reach) -> None:
        """Notes what other views of the memory that an operation has written to now depend on."""
        storage = _storage(written)
        if written not in self._reaches:
            before = self._written_before.get(storage, nothing(self._origin, ()))
            self._written_before[storage] = union([before, reach.total()], ())
        for other, old in list(self._reaches.items()):
            if other is not written and _storage(other) == storage and not (old.empty and reach.empty):
                self._reaches[other] = _seen_through(other, old, written, reach)


def _seen_through(view: Tensor, old: Reach, written: Tensor, new: Reach) -> Reach:
    """What the elements of a view depend on, of memory part of which, `written`, now depends on `new`."""
    if view.dtype != written.dtype:
        return union([old.total(), new.total()], ()).aligned(view.shape)
    size = view.untyped_storage().nbytes() // view.element_size()
    places = torch.arange(size)
    seen, changed = (places.as_strided(one.size(), one.stride(), one.storage_offset()).flatten() for one in (view, written))

    def overlaid(before: Tensor, now: Tensor) -> Tensor:
        memory = torch.full((before.shape[0], size), NOTHING)
        memory[:, seen] = before.expand(-1, *view.shape).flatten(1)
        memory[:, changed] = now.expand(-1, *written.shape).flatten(1)
        return memory[:, seen].reshape(-1, *view.shape)

    return replace(old, rows=overlaid(old.rows, new.rows), columns=overlaid(old.columns, new.columns)).compact()


def _storage(tensor: Tensor) -> int:
    """The identity of the memory behind a tensor; 0 for those without (sparse ones)."""
    return tensor.untyped_storage()._cdata if tensor.layout is torch.strided else 0


def _tensors(value: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor)]


def _by_name(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """An operation's arguments by the names of its schema, defaults included, in its order."""
    declared = func._schema.arguments
    given = dict(zip((argument.name for argument in declared), args, strict=False)) | dict(kwargs)
    return {argument.name: given.get(argument.name, argument.default_value) for argument in declared}


@cache
def _written(func: Any) -> tuple[str, ...]:
    """The names of the arguments that an operation writes to."""
    return tuple(one.name for one in func._schema.arguments if one.alias_info is not None and one.alias_info.is_write)
