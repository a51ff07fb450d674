"""What ran in one forward pass: calls of modules, operations in them, and the values that passed between them.

A torch function mode sees every operation and hooks see every module; together they follow tensors by identity,
through views and in-place writes, whatever the control flow. Operations on parameters and constants alone are left
out. What the mode does not see (scripted functions, NumPy, lists) is bridged, see `record`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any

import torch
from jaxtyping import Shaped
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from torch.overrides import TorchFunctionMode

from torchlurk.models.survey.channel_axis import CONVOLUTIONS, DENSE, PRODUCTS, output_axis
from torchlurk.models.survey.recorded import Call, Operation, Recording, Value
from torchlurk.models.survey.untraced import (
    REBUILDING,
    UNTRACED,
    Beneath,
    Strays,
    constants_among,
    is_wrapped,
    plain_attributes,
)
from torchlurk.models.taps.arguments import companions_of
from torchlurk.models.taps.nonlinearities import Function, nonlinearity, operand, operation_name
from torchlurk.models.taps.own_functions import within_function
from torchlurk.models.taps.tensors import output_tensor, tensors_in

COPIES = 2
"""How many copies of one example the dry pass runs on: enough to see along which axis a tensor holds the examples."""

TOLERANCE = 1e-3
"""By how much the two copies' results may differ, relative to the largest: kernels may round them differently."""

SHAPED_LIKE = {"zeros_like", "ones_like", "empty_like", "full_like", "rand_like", "randn_like", "new_zeros", "new_ones"}
SHAPED_LIKE |= {"new_empty", "new_full", "new_tensor"}
"""Operations that take only the shape of their operand: what they make does not depend on the input."""


def record(module: nn.Module, batch: Shaped[Tensor, ...], copies: int, channel_axis: int | None) -> Recording:
    """Runs `module` on `batch`, which holds the same example `copies` times, and tells what ran.

    `channel_axis` is that of the batch. What depends on further inputs alone is recorded as what depends on the input.

    One pass is enough unless it meets tensors that no operation seen has made. Then the operations inside scripted functions
    are watched too. Tensors that come from nowhere even then are compared with those of a pass on other numbers: those that
    differ count as computed from what was taken out of torch before. Whatever the forward pass raises is raised; the hooks are
    removed in any case.
    """
    recorder, output = _pass(Recorder(module, batch, copies, channel_axis), batch)
    if recorder.strays.contents:
        recorder, output = _pass(Recorder(module, batch, copies, channel_axis, beneath=True), batch)
    if strays := recorder.strays.contents:
        again = lambda other: _pass(Recorder(module, other, copies, channel_axis, beneath=True), other)[0].strays.contents  # noqa: E731
        if constants := constants_among(strays, batch, again):
            recorder, output = _pass(Recorder(module, batch, copies, channel_axis, beneath=True, constants=constants), batch)
    return recorder.finish(output)


def _pass(recorder: Recorder, batch: Tensor) -> tuple[Recorder, Any]:
    with recorder:
        return recorder, recorder.module(batch)


class Recorder(TorchFunctionMode):
    """Follows the values of one forward pass of `module` on `batch`.

    `beneath` also shows the operations that no function mode sees by itself. `constants` are the strays (by their place)
    that do not depend on the input.
    """

    def __init__(
        self,
        module: nn.Module,
        batch: Tensor,
        copies: int,
        channel_axis: int | None,
        *,
        beneath: bool = False,
        constants: Collection[int] = (),
    ) -> None:
        super().__init__()
        self.module, self.copies = module, copies
        self.beneath = Beneath() if beneath else None
        self.strays = Strays(constants)
        self.operations: list[Operation] = []
        self.values: dict[int, Value] = {}
        self.kept: dict[int, Tensor] = {}
        """Every tensor seen so far. That keeps it alive, so that an id means one tensor throughout."""
        self.aliases: dict[int, list[Tensor]] = {}
        """The same, by the memory they look at."""
        self.used: set[int] = set()
        self.mapped: set[nn.Module] = set()
        self.age = 0
        for tensor in (*module.parameters(), *module.buffers(), *plain_attributes(module)):
            self._keep(tensor)
        self.input = self._value(batch, channel_axis, None)
        self.beside = {name: self._value(one, _channel_axis(one), None) for name, one in companions_of(module).items()}
        self.stack: list[Call] = []
        self.numbers: dict[nn.Module, int] = {}
        self.root: Call | None = None
        self.hooks = ExitStack()

    def __enter__(self) -> Recorder:
        for path, module in self.module.named_modules():
            before = module.register_forward_pre_hook(self._entering(path), with_kwargs=True)
            self.hooks.callback(before.remove)
            after = module.register_forward_hook(self._leaving, with_kwargs=True)
            self.hooks.callback(after.remove)
        if self.beneath:
            self.hooks.enter_context(self.beneath)
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        super().__exit__(kind, error, traceback)  # type: ignore[no-untyped-call]
        self.hooks.close()

    def finish(self, output: Any) -> Recording:
        """The recording, once the pass is over and has given `output`."""
        assert self.root is not None
        outputs = tuple(self.values[id(one)] for one in tensors_in(output) if id(one) in self.values)
        used = frozenset(self.used)
        return Recording(
            self.copies, self.input, self.root, self.operations, outputs, self.beside, used, frozenset(self.mapped)
        )

    def _entering(self, path: str) -> Any:
        def enter(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            if any(map(is_wrapped, tensors_in((args, kwargs)))):
                self.mapped.add(module)
                return
            self._meet(tensors_in((args, kwargs)))
            number = self.numbers[module] = self.numbers.get(module, -1) + 1
            parent = self.stack[-1] if self.stack else None
            call = Call(path, number, module, parent, self._known(tensors_in((args, kwargs))))
            if parent is not None:
                parent.calls.append(call)
            elif self.root is None:
                self.root = call
            self.stack.append(call)

        return enter

    def _leaving(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        if any(map(is_wrapped, tensors_in((args, kwargs)))):
            return
        # Calls that ended in an error which the model caught never came by here.
        while self.stack[-1].module is not module:
            self.stack.pop()
        call = self.stack[-1]
        unseen = [one for one in tensors_in(output) if self._unseen(one)]
        if call.operations or not call.leaf or not call.inputs:
            self._meet(unseen)
        elif unseen:
            kernels = any(weight.ndim > 1 for weight in module.parameters(recurse=False))
            name = type(module).__name__.lower()
            axes = [output_axis(name, (), {}, call.inputs, tuple(one.shape), lambda _: False) for one in unseen]
            self._append(Operation(name, call, call.inputs, mixes=kernels, opaque=True), unseen, axes)
        self.stack.pop()
        call.steps = _steps(module, output)
        tensor = output_tensor(output)
        if tensor is not None:
            call.output = self.values.get(id(tensor))
            call.batch_axis = _batch_axis(tensor, self.copies) if call.output is not None else None

    def __torch_function__(
        self, func: Function, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        tensors = tensors_in((args, kwargs))
        if any(map(is_wrapped, tensors)):
            return func(*args, **kwargs)  # inside vmap: what comes out of it counts as one operation
        self._meet(tensors)
        self.used.update(map(id, tensors))
        versions = [_version(tensor) for tensor in tensors]
        result = func(*args, **kwargs)
        written = [tensor for tensor, version in zip(tensors, versions, strict=True) if _version(tensor) != version]
        given = {id(tensor) for tensor in tensors}
        made = [tensor for tensor in tensors_in(result) if id(tensor) not in given]
        name = operation_name(func)
        self.strays.note(name, self._known(tensors), tensors)
        if name == "set":  # an assignment to `tensor.data`
            written = tensors[:1]
        inputs: tuple[Value, ...] = ()
        if (made or written) and name not in SHAPED_LIKE:
            inputs = self._known([*tensors, *self._sharing(written)])
        if inputs and self.stack:
            self._operation(func, args, kwargs, inputs, made, written)
        elif name in REBUILDING and self.strays.taken:
            self._meet(made)
        else:
            for tensor in made:
                self._keep(tensor)
        return result

    def _unseen(self, tensor: Tensor) -> bool:
        return id(tensor) not in self.values and (id(tensor) not in self.kept or id(tensor) in self.strays.shared)

    def _meet(self, tensors: Sequence[Tensor]) -> None:
        """Takes up those tensors that no operation seen has made: as computed from what was taken out, or as constants."""
        for tensor in tensors:
            if not self._unseen(tensor):
                continue
            if self.strays.constant(tensor) or not self.stack:
                self._keep(tensor)
                continue
            sources = self._sources(tensor)
            axis = output_axis(UNTRACED, (), {}, sources, tuple(tensor.shape), lambda _: False)
            self._append(Operation(UNTRACED, self.stack[-1], sources), [tensor], [axis])

    def _sources(self, tensor: Tensor) -> tuple[Value, ...]:
        """What a tensor that came from nowhere may have been computed from.

        The value whose memory it shares; else what was last taken out of torch; else the last value that nothing has used.
        """
        if shared := self._known(self.aliases.get(_storage(tensor), ())):
            return shared[-1:]
        if taken := self.strays.taken:
            return taken
        unused = [value for value in self.values.values() if not value.consumers]
        return (max(unused, key=lambda value: value.age, default=self.input),)

    def _operation(
        self,
        func: Function,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        inputs: tuple[Value, ...],
        made: list[Tensor],
        written: list[Tensor],
    ) -> None:
        name = operation_name(func)
        weights = [one for one in tensors_in((args, kwargs)) if id(one) not in self.values and one.ndim > 1]
        mixes = name in CONVOLUTIONS or name in DENSE or (name in PRODUCTS and bool(weights))
        overwrites = bool(written) and written[0] is operand(args, kwargs)
        # The taps could not follow a unit through a nonlinearity that the mode does not see by itself.
        kind = None if self.beneath and self.beneath.running else nonlinearity(func, args, kwargs)
        operation = Operation(
            name,
            self.stack[-1],
            inputs,
            kind,
            mixes=mixes,
            overwrites=overwrites,
            within=within_function(),
            weights=tuple(weights),
        )
        affected = [*made, *written, *self._sharing(written)]
        known = {id(one): self.values[id(one)].axis for one in affected if id(one) in self.values}
        axes = [
            known[id(one)]
            if id(one) in known
            else output_axis(name, args, kwargs, inputs, tuple(one.shape), lambda given: id(given) in self.values)
            for one in affected
        ]
        self._append(operation, affected, axes)

    def _append(self, operation: Operation, tensors: Sequence[Tensor], axes: Sequence[int | None]) -> None:
        self.operations.append(operation)
        operation.call.operations.append(operation)
        for value in operation.inputs:
            value.consumers.append(operation)
        operation.outputs = [self._value(one, axis, operation) for one, axis in zip(tensors, axes, strict=True)]

    def _value(self, tensor: Tensor, axis: int | None, producer: Operation | None) -> Value:
        self._keep(tensor)
        self.age += 1
        value = self.values[id(tensor)] = Value(self.age, tuple(tensor.shape), axis, producer)
        return value

    def _keep(self, tensor: Tensor) -> None:
        if id(tensor) not in self.kept:
            self.kept[id(tensor)] = tensor
            self.aliases.setdefault(_storage(tensor), []).append(tensor)

    def _known(self, tensors: Sequence[Tensor]) -> tuple[Value, ...]:
        """The values of those that depend on the network's input, each once."""
        return tuple(dict.fromkeys(self.values[id(one)] for one in tensors if id(one) in self.values))

    def _sharing(self, written: Sequence[Tensor]) -> list[Tensor]:
        """The other tensors seen so far that look at the memory of those written to."""
        same = {id(one): one for tensor in written for one in self.aliases.get(_storage(tensor), ())}
        for tensor in written:
            same.pop(id(tensor), None)
        return list(same.values())


def _channel_axis(companion: Tensor) -> int | None:
    """Where a further input has its channels: a picture on its second axis, a series or vector on its last."""
    if not companion.is_floating_point() or companion.ndim < 2:
        return None
    return 1 if companion.ndim == 4 else companion.ndim - 1


def _version(tensor: Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version


def _storage(tensor: Tensor) -> int:
    if tensor.layout is not torch.strided or is_wrapped(tensor):
        return id(tensor)
    return tensor.untyped_storage().data_ptr() or id(tensor)


def _batch_axis(tensor: Tensor, copies: int) -> int | None:
    """The axis along which `tensor` holds the copies of the example one after the other: the first, or, where steps come
    first, the second; None for neither.
    """
    if tensor.ndim < 2:
        return None
    if tensor.shape[0] == copies or (tensor.shape[0] % copies == 0 and _alike(tensor, 0, copies)):
        return 0
    return 1 if tensor.ndim > 2 and tensor.shape[1] == copies and _alike(tensor, 1, copies) else None


def _alike(tensor: Tensor, axis: int, copies: int) -> bool:
    first, *others = tensor.detach().float().chunk(copies, axis)
    slack = TOLERANCE * float(first.abs().amax()) if first.numel() else 0.0
    return all(torch.allclose(first, other, rtol=TOLERANCE, atol=slack, equal_nan=True) for other in others)


def _steps(module: nn.Module, output: Any) -> int | None:
    """How many steps a recurrent module has taken."""
    if not isinstance(module, nn.RNNBase) or not isinstance(output, tuple):
        return None
    if isinstance(output[0], PackedSequence):
        return len(output[0].batch_sizes)
    return int(output[0].shape[1 if module.batch_first and output[0].ndim == 3 else 0])
