"""Taps: activations out of an unedited model, as context managers that leave it as they found it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from torchlurk.models.taps.forward_override import ForwardOverride, untouched
from torchlurk.models.taps.modules import submodules
from torchlurk.models.taps.nonlinearities import Function, operation_name
from torchlurk.models.taps.own_functions import around_functions, within_function
from torchlurk.models.taps.stream_reader import StreamReader
from torchlurk.models.taps.tensors import output_tensor, tensors_in
from torchlurk.records import Layer

Deliver = Callable[[Layer, Tensor], None]
Rectify = Callable[[Layer, Tensor, float], None]

PLAIN = {nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.ReLU, nn.ReLU6}
"""The modules that networks are full of: nothing looks at their hooks."""

CEILINGS = {nn.ReLU: math.inf, nn.ReLU6: 6.0}
"""Modules that cut what is below zero off, and what is above this."""


@contextmanager
def reading(
    module: nn.Module,
    layers: Sequence[Layer],
    deliver: Deliver,
    *,
    stop_after_last: bool = False,
    rectify: Rectify | None = None,
) -> Iterator[None]:
    """Within it, each forward pass of `module` delivers each layer's units, as soon as they exist.

    `deliver` gets the layer and the raw tensor (`maps` arranges it), which the model goes on using: it must not
    write to it, nor keep it where something later may overwrite it in place. A layer that a pass does not reach, or
    does not lead through the operations it is read after, delivers nothing in that pass. With `stop_after_last` the
    first pass ends, and the `with` block with it, once all layers have been delivered.

    `rectify` spares memory a journey: where units are read after an in-place ReLU or ReLU6 module, on a CPU in inference mode,
    it gets the layer, the tensor before it and the ceiling (infinity for ReLU), and must do what the module would have
    done, clamp the tensor in place, beside what `deliver` does.

    Passes must run in the thread that opened the block. Layers inside a `nn.TransformerEncoderLayer` switch its
    fused fast path off, or they would not run at all.
    """
    reader = _Reader(layers, deliver, stop_after_last, rectify)
    with ExitStack() as opened:
        for handle in reader.attach(module):
            opened.callback(handle.remove)
        if reader.needs_mode:
            opened.enter_context(_Mode(reader))
        opened.enter_context(around_functions(reader.through_function))
        try:
            yield
        except _ReadAll as done:
            if done.reader is not reader:
                raise


def maps(layer: Layer, activation: Float[Tensor, ...], examples: int | None = None) -> Float[Tensor, "batch channel *position"]:
    """The units' maps in a tensor that `reading` delivered: batch, channel, then the positions of `layer.shape`.

    Of a sequence it is as many steps as there are: of so many `examples`, where the model has folded the steps into the
    batch. It is a view wherever the memory allows, but for what runs `backward`, which is turned around. Windows that a model
    has folded into the batch are tokens of one map.
    """
    if layer.backward:
        return maps(replace(layer, stride=None), activation, examples).flip(-1)
    if layer.batch_axis:
        activation = activation.movedim(layer.batch_axis, 0)
    if layer.channel_axis == 1:
        return activation
    if layer.layout == "sequence":
        steps = activation if activation.ndim == 3 else activation.reshape(examples or 1, -1, layer.channels)
        return steps.movedim(-1, 1)
    return activation.reshape(-1, *layer.shape, layer.channels).movedim(-1, 1)


def rows_of(layer: Layer, activation: Shaped[Tensor, ...], examples: int | None = None) -> int | None:
    """Of how many examples `maps` would give the units; None where they are not arranged as the layer was found.

    Of a sequence whose steps the model has folded into the batch, it is so many `examples` as may be.
    """
    shape = activation.shape
    if layer.layout == "sequence" and layer.channel_axis != 1:
        if len(shape) == 3:
            return shape[layer.batch_axis] if shape[2] == layer.channels else None
        folded = len(shape) == 2 and shape[1] == layer.channels and examples is not None
        return examples if folded and examples and shape[0] % examples == 0 else None
    if layer.channel_axis == 1:
        return shape[0] if len(shape) > 1 and shape[1] == layer.channels else None
    whole = layer.positions * layer.channels
    fits = len(shape) > 1 and shape[-1] == layer.channels and whole > 0 and activation.numel() % whole == 0
    return activation.numel() // whole if fits else None


class _ReadAll(BaseException):
    """Ends a pass that has delivered all it was run for. Not an `Exception`: models may catch those."""

    def __init__(self, reader: _Reader) -> None:
        super().__init__("all layers were read")
        self.reader = reader


class _Pending:
    """A layer's output on its way to where the units are read: `tensor` is what the next hop will be given."""

    __slots__ = ("hop", "layer", "tensor")

    def __init__(self, layer: Layer, tensor: Tensor) -> None:
        self.layer, self.tensor, self.hop = layer, tensor, 0

    @property
    def last(self) -> str | None:
        """The next hop, if it is the last one."""
        return self.layer.read_at[-1] if self.hop == len(self.layer.read_at) - 1 else None


class _Reader:
    """Counts calls, follows pending tensors and delivers."""

    def __init__(self, layers: Sequence[Layer], deliver: Deliver, stop_after_last: bool, rectify: Rectify | None) -> None:
        self.deliver, self.rectify = deliver, rectify
        self.left = self.total = len(layers) if stop_after_last else -1
        self.pending: list[_Pending] = []
        self.late: list[tuple[Layer, Tensor]] = []
        self.busy = False
        self.by_path: dict[str, dict[int, Layer]] = {}
        self.streams = StreamReader([layer for layer in layers if layer.module], self._deliver)
        for layer in layers:
            if not layer.module:
                path, _, number = layer.name.partition("#")
                self.by_path.setdefault(path, {})[int(number or 0)] = layer
        hops = {hop for layer in layers for hop in layer.read_at}
        self.needs_mode = any(hop.endswith("()") for hop in hops)
        self.followed = {hop for hop in hops if not hop.endswith("()")}
        self.calls: dict[str, int] = {}

    def attach(self, module: nn.Module) -> Iterator[Any]:
        """The handles of the hooks, one after the other as they are set."""
        yield module.register_forward_pre_hook(self._start)
        yield from self.streams.attach(module)
        for path, name, one in submodules(module):
            if self.needs_mode and not self.streams.sees_functions and isinstance(one, nn.MultiheadAttention):
                yield from _without_mode(one)
            hop = self._hop(path) if path in self.followed else None
            output = self._output(name, self.by_path[name]) if name in self.by_path else None
            if (hop or output) and _unhooked(one):
                watched = _watched(one, hop, output)
                clamps = hop and not output and self.rectify is not None and type(one) in CEILINGS
                yield ForwardOverride(one, self._clamp(path, one, CEILINGS[type(one)], watched) if clamps else watched)
                continue
            if hop:
                yield one.register_forward_hook(hop, with_kwargs=True)
            if output:
                yield one.register_forward_hook(output)

    def _start(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        self.pending.clear()
        self.late.clear()
        self.calls.clear()
        self.streams.start()
        self.left = self.total

    def _output(self, path: str, wanted: Mapping[int, Layer]) -> Any:
        def arrived(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            number = self.calls.get(path, 0)
            self.calls[path] = number + 1
            layer = wanted.get(number)
            tensor = output_tensor(output)
            if layer is None or tensor is None:
                return
            if layer.read_at:
                self.pending.append(_Pending(layer, tensor))
            else:
                self._deliver(layer, tensor)

        return arrived

    def _hop(self, path: str) -> Any:
        def passed(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any) -> None:
            if not self.pending:
                return
            one = self.pending[0]
            if len(self.pending) == 1 and args and args[0] is one.tensor and type(output) is Tensor:  # nearly always, so quick
                if one.layer.read_at[one.hop] == path:
                    self._on(one, output)
                return
            tensor = output_tensor(output)
            if tensor is not None:
                plain = args and isinstance(args[0], Tensor)
                self.advance(path, args[:1] if plain else tensors_in((args, kwargs))[:1], tensor)

        return passed

    def advance(self, hop: str, given: Sequence[Tensor], result: Tensor) -> None:
        """Moves what is pending at this hop and is among `given` on to `result`, or delivers it."""
        for one in [one for one in self.pending if one.layer.read_at[one.hop] == hop]:
            if any(_same(tensor, one.tensor) for tensor in given):
                self._on(one, result)

    def _on(self, one: _Pending, result: Tensor) -> None:
        """Moves one on to what its hop gave, or delivers it."""
        one.hop, one.tensor = one.hop + 1, result
        if one.hop == len(one.layer.read_at):
            self.pending.remove(one)
            self._deliver(one.layer, result)

    def _clamp(
        self, path: str, module: nn.Module, ceiling: float, watched: Callable[[Tensor], Tensor]
    ) -> Callable[[Tensor], Tensor]:
        """What runs in the stead of a rectifying module: with its units' numbers read on the way, where that can be."""

        def forward(x: Tensor) -> Tensor:
            found = [one for one in self.pending if one.tensor is x]
            plain = x.is_cpu and x.dtype is torch.float32 and x.is_contiguous() and torch.is_inference_mode_enabled()
            if not (module.inplace and plain and len(found) == 1 and found[0].last == path):
                return watched(x)
            self.pending.remove(found[0])
            self._deliver(found[0].layer, x, ceiling)
            return x

        return forward

    def _deliver(self, layer: Layer, tensor: Tensor, ceiling: float | None = None) -> None:
        if within_function():
            self.late.append((layer, tensor))
            return
        self.busy = True
        try:
            if ceiling is None or self.rectify is None:
                self.deliver(layer, tensor)
            else:
                self.rectify(layer, tensor, ceiling)
        finally:
            self.busy = False
        self.left -= 1
        if self.left == 0:
            raise _ReadAll(self)

    def through_function(self, usual: Callable[..., Any], *args: Any) -> Any:
        """A call of a function of the model's own: what it gives is in the graph only when it has returned."""
        result = usual(*args)
        if self.late and not within_function():
            late, self.late = self.late, []
            for layer, tensor in late:
                self._deliver(layer, tensor)
        return result


def _unhooked(module: nn.Module) -> bool:
    """Whether watching a module's forward shows the same as hooks would, which take a slower way through `nn.Module`."""
    return type(module) in PLAIN and untouched(module)


def _watched(module: nn.Module, hop: Callable[..., None] | None, output: Callable[..., None] | None) -> Callable[..., Any]:
    """A module's forward that tells what a hook would be told."""
    usual = module.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        result = usual(*args, **kwargs)
        if hop:
            hop(module, args, kwargs, result)
        if output:
            output(module, args, result)
        return result

    return forward


class _Mode(TorchFunctionMode):
    """Sees the functional calls that units are read after."""

    def __init__(self, reader: _Reader) -> None:
        super().__init__()
        self.reader = reader

    def __torch_function__(
        self, func: Function, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        reader = self.reader
        result = func(*args, **(kwargs or {}))
        if reader.pending and not reader.busy and isinstance(result, Tensor):
            hop = f"{operation_name(func)}()"
            if any(one.layer.read_at[one.hop] == hop for one in reader.pending):
                reader.advance(hop, tensors_in((args, kwargs)), result)
        return result


def _without_mode(module: nn.Module) -> Iterator[Any]:
    """Hooks that hide the mode from attention, which else leaves its fused path and rounds differently."""
    guards: list[Any] = []

    def hide(module: nn.Module, args: tuple[Any, ...]) -> None:
        guards.append(torch._C.DisableTorchFunction())
        guards[-1].__enter__()

    def show(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if guards:
            guards.pop().__exit__(None, None, None)

    yield module.register_forward_pre_hook(hide)
    yield module.register_forward_hook(show, always_call=True)


def _same(one: Tensor, other: Tensor) -> bool:
    """Whether both are the same tensor, or (as full backward hooks pass them on) a view of all of it."""
    if one is other:
        return True
    if one.shape != other.shape or one.stride() != other.stride() or not one._is_view():
        return False
    base = other._base if other._is_view() else other
    return one._base is base and one.storage_offset() == other.storage_offset()
