"""A forward pass, run as it is, in which every tensor's dependence on the input is carried along.

Numbers that the model's own code reads out of tensors (`.item()`, conditions, NumPy, the number of elements a mask selects)
cannot be followed: everything computed afterwards is taken to depend on what they came from.
"""

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import Collection, Mapping, MutableMapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

from torchlurk.models.survey.dependence import mixing, moving, stepping, windows
from torchlurk.models.survey.dependence.calls import Call, base_name, handed_on
from torchlurk.models.survey.dependence.intervals import NOTHING, Reach, everything, nothing, of_image, of_steps, union
from torchlurk.models.taps.recurrent import GATES, STATE, Steps, Weights, unrolled_streams

RULE_MODULES = (moving, windows, mixing, stepping)
"""Imported for the rules that they register."""

UNWRITTEN = frozenset({"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "empty_permuted", "resize"})
"""Operations that give memory with nothing in it: if it comes to hold something unseen, that may be anything."""

BLIND = frozenset({
    "_assert_async", "_assert_tensor_metadata", "_assert_scalar", "is_same_size", "size", "sym_size", "stride", "sym_stride",
    "dim", "numel", "sym_numel", "storage_offset", "sym_storage_offset", "is_contiguous", "record_stream",
})  # fmt: skip
"""Operations without a tensor as result that tell the model nothing about values."""

COUNTED = {"index": "indices", "_unsafe_index": "indices", "masked_select": "mask", "repeat_interleave": "repeats"}
"""Of operations whose result's size depends on values, the argument whose values those are; all arguments of the others."""

EXPOSING = frozenset({"numpy", "__array__", "__dlpack__", "data_ptr", "untyped_storage", "storage", "_typed_storage"})
"""Methods that hand out a tensor's memory: it may be read, and written to, without another operation."""


@cache
def import_compiler() -> None:
    """Imports what torch imports by itself once a mode watches its calls, and takes back what that changes for the whole
    process: environment variables and filters of warnings.
    """
    before = dict(os.environ)
    with warnings.catch_warnings():
        importlib.import_module("torch._dynamo")
    for name in os.environ.keys() - before.keys():
        del os.environ[name]


class Tracing(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While active, follows what every tensor depends on in `image`, a picture, or a sequence with its steps along the axis
    `steps`; `reach_of` tells.

    Parameters, buffers and other tensors made before are constants. Open `following_numbers` beside it: it sees the methods
    that read a tensor without an operation.
    """

    def __init__(self, image: Tensor, steps: int | None = None) -> None:
        import_compiler()
        super().__init__()  # type: ignore[no-untyped-call]
        self._origin = of_image(image.shape) if steps is None else of_steps(image.shape, steps)
        self._reaches: MutableMapping[Tensor, Reach] = WeakTensorKeyDictionary()
        self._reaches[image] = self._origin
        self._written_before: dict[int, Reach] = {}
        self._read = nothing(self._origin, ())
        self._exposed: dict[int, Tensor] = {}
        """By their memory, the tensors whose memory was handed out. They are kept, so that no other gets the same."""

    @property
    def reads(self) -> bool:
        """Whether numbers that depend on the image have been read out of tensors so far."""
        return not self._read.empty

    def reach_of(self, tensor: Tensor) -> Reach:
        """What the elements of a tensor of this pass depend on."""
        known = tensor in self._reaches or _storage(tensor) in self._written_before
        reach = self._followed(tensor)
        return reach if known else self._with_read(reach)  # it was made from numbers, without an operation

    def read(self, tensor: Tensor, *, exposed: bool = False) -> None:
        """Takes note that the model reads the numbers in a tensor; `exposed`: and may write to its memory unseen."""
        self._note_read([self._followed(tensor)])
        if exposed and not self._followed(tensor).empty:
            self._exposed[_storage(tensor)] = tensor

    def streams(self, mode: str, weights: Weights, steps: Steps, wanted: Collection[str]) -> dict[str, Tensor]:
        """`unrolled_streams`, as zeros: at each step they depend on what the state there depends on, so nothing has to be gone
        through step by step, unless the first cell depends on the input.
        """
        first, given = steps.before[1], (weights.input, weights.state)
        if any(not self._followed(one).empty for one in (*given, *(() if first is None else (first,)))):
            return unrolled_streams(mode, weights, steps, wanted)
        seen, found = self._followed(steps.states).over([2]), {}
        for stream in set(wanted) - {STATE}:
            made = steps.states.new_zeros(*steps.states.shape[:2], weights.state.shape[0] // len(GATES[mode]))
            self._reaches[made] = seen.each(lambda sides: sides, made.shape)
            found[stream] = made
        return found

    def following_numbers(self) -> TorchFunctionMode:
        """What must be active beside this."""
        return _FollowingNumbers(self)

    def _followed(self, tensor: Tensor) -> Reach:
        if self._exposed and _storage(tensor) in self._exposed:
            return everything(self._origin, tensor.shape)
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
        reaches = {name: tuple(map(self._followed, found)) for name, value in arguments.items() if (found := _tensors(value))}
        result = func(*args, **kwargs)
        written = [tensor for name in _written(func) for tensor in _tensors(arguments[name])]
        outputs = _tensors(result)
        results = outputs + [tensor for tensor in written if all(tensor is not output for output in outputs)]
        self._note_read([reach for name in _shown(func, arguments, results) for reach in reaches.get(name, ())])
        if results:
            call = Call(func, arguments, reaches, tuple(results))
            for tensor, reach in zip(results, self._results(call), strict=True):
                if any(tensor is one for one in written):
                    self._write(tensor, reach)
                self._reaches[tensor] = reach
        return result

    def _results(self, call: Call) -> tuple[Reach, ...]:
        return tuple(map(self._with_read, self._by_rule(call)))

    def _with_read(self, reach: Reach) -> Reach:
        """What also depends on all numbers read so far: by a value taken up, or by the path through the code."""
        return reach if self._read.empty else union([reach, self._read], reach.shape)

    def _note_read(self, reaches: Sequence[Reach]) -> None:
        dependent = [one.total() for one in reaches if not one.empty]
        if dependent:
            self._read = union([self._read, *dependent], ())

    def _by_rule(self, call: Call) -> tuple[Reach, ...]:
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


class _FollowingNumbers(TorchFunctionMode):
    """Tells a tracing of the tensors that are read by methods which no dispatch mode sees."""

    def __init__(self, tracing: Tracing) -> None:
        super().__init__()
        self._tracing = tracing

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func is unrolled_streams:
            return self._tracing.streams(*args)
        name = getattr(func, "__name__", "")
        if name == "tolist" or name in EXPOSING:
            for tensor in _tensors(args[:1]):
                self._tracing.read(tensor, exposed=name in EXPOSING)
        return func(*args, **(kwargs or {}))


def _shown(func: Any, arguments: Mapping[str, Any], results: Sequence[Tensor]) -> Sequence[str]:
    """The arguments whose values the model learns by an operation: from its result, or from how large that is."""
    name = base_name(func)
    if not results:
        return () if name in BLIND else tuple(arguments)
    if torch.Tag.dynamic_output_shape not in func.tags:
        return ()
    if name not in COUNTED:
        return tuple(arguments)
    counted = COUNTED[name]
    masks = any(one.dtype in (torch.bool, torch.uint8) for one in _tensors(arguments[counted]))
    return (counted,) if masks or name == "repeat_interleave" else ()


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
