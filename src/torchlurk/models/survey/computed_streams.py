"""Layers that are streams of modules and functions which `STREAMS` has functions for: found in a pass of their own."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from torchlurk.errors import ModelError, told
from torchlurk.models.survey.axes import Axes
from torchlurk.models.taps.called_functions import CalledFunction, CalledFunctions, Reads, function_streams
from torchlurk.models.taps.modules import submodules
from torchlurk.models.taps.stream_reader import way_of
from torchlurk.records import Layer, Layout


def computed_layers(
    module: nn.Module, inputs: Shaped[Tensor, ...], axes: Axes, layers: Iterable[Layer]
) -> dict[str, list[Layer]]:
    """By the name of a call, the layers that are its streams; `layers` are those of the modules' outputs.

    Raises `ModelError` for a stream that cannot be computed or has no channels.
    """
    computed = {name: (one, way) for _, name, one in submodules(module) if isinstance(way := way_of(one), Mapping)}
    functions = function_streams()
    if not computed and not functions:
        return {}
    count = inputs.shape[axes.batch]
    outputs, taken = {layer.name: layer for layer in layers}, {path for path, _ in module.named_modules()}
    found: dict[str, list[Layer]] = {}
    calls: dict[str, int] = {}

    def add(kind: str, call: str, stream: str, values: Tensor) -> None:
        joint = "@" if f"{call.partition('#')[0]}.{stream}" in taken else "."
        made = _layer(kind, call, f"{call}{joint}{stream}", stream, values, outputs.get(call), axes, count)
        found.setdefault(call, []).append(made)

    def watch(name: str, reads: Mapping[str, Reads]) -> Any:
        def called(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any) -> None:
            number = calls[name] = calls.get(name, -1) + 1
            call = f"{name}#{number}" if number else name
            for stream, read in reads.items():
                kind = type(module).__name__
                add(kind, call, stream, _read(stream, kind, partial(read, module, output, *args, **kwargs)))

        return called

    def note(one: CalledFunction) -> None:
        for stream, read in one.streams():
            add(one.name, one.call, stream, _read(stream, one.name, partial(one.read, read)))

    with ExitStack() as opened, torch.inference_mode(False), torch.no_grad():
        for name, (one, reads) in computed.items():
            opened.callback(one.register_forward_hook(watch(name, reads), with_kwargs=True).remove)
        for handle in CalledFunctions(note).attached(module) if functions else ():
            opened.callback(handle.remove)
        module(inputs.detach().clone())
    return found


def _read(stream: str, kind: str, read: Callable[[], Tensor]) -> Float[Tensor, ...]:
    what = f"the stream '{stream}' of {kind}"
    try:
        values = read()
    except Exception as error:
        raise ModelError(f"{what} cannot be read: {told(error)}", "see STREAMS") from error
    if not isinstance(values, Tensor) or values.ndim not in (2, 3, 4):
        raise ModelError(f"{what} is no tensor of examples and channels", "see STREAMS")
    return values


def _layer(kind: str, call: str, name: str, stream: str, values: Tensor, output: Layer | None, axes: Axes, count: int) -> Layer:
    """The stream of so many examples as a layer: arranged as the module's output is where both have as many axes, otherwise as
    is usual.
    """
    rank = values.ndim
    same = output if output is not None and len(output.shape) + 2 == rank else None
    batch = same.batch_axis if same else 0
    channel = (same.channel_axis if same else 1 if rank != 3 else -1) % rank
    usual: Layout = {2: "vector", 3: "tokens" if axes.steps is None else "sequence", 4: "spatial"}[rank]
    shape = tuple(extent for place, extent in enumerate(values.shape) if place not in (batch, channel))
    folded, left = divmod(values.shape[batch], count)
    if left:
        raise ModelError(f"the stream '{stream}' of {kind} has {values.shape[batch]} rows for {count} inputs", "see STREAMS")
    if folded > 1 and usual == "tokens":  # windows, which the model has put into the batch
        shape = (folded * math.prod(shape),)
    return Layer(
        name=name,
        type=kind,
        layout=same.layout if same else usual,
        channels=values.shape[channel],
        shape=shape,
        channel_axis=1 if channel == 1 else -1,
        module=call,
        stream=stream,
        batch_axis=batch,
    )
