"""Which layers and units a model has, from one dry pass: names, layouts, shapes, and where each unit is read."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from torchlurk.errors import ModelError
from torchlurk.models.survey.channel_axis import RECURRENT
from torchlurk.models.survey.endings import Ending, ending
from torchlurk.models.survey.graph import graph
from torchlurk.models.survey.read_points import Point, ReadPoints, joined_in
from torchlurk.models.survey.receptive_field import receptive_fields
from torchlurk.models.survey.recording import COPIES, Call, Recording, record
from torchlurk.models.taps.as_found import as_found
from torchlurk.records import Graph, Layer, Layout, Skip, Tap
from torchlurk.units import matching

WILDCARDS = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class Survey:
    """What one dry pass found.

    `layers` are in the order in which they ended, `skipped` those that would be layers but cannot be read, with the
    reason. `nodes` tells for each layer the node of the graph that its own output comes from; `input_shape` is that
    of one input, without the batch; `ending` what the network's outputs are.
    """

    layers: tuple[Layer, ...]
    graph: Graph
    input_shape: tuple[int, ...]
    skipped: tuple[Skip, ...]
    nodes: dict[str, int]
    ending: Ending

    def layer(self, name: str) -> Layer:
        """The layer of that name; raises `UnitError` where there is none."""
        return choose(self.layers, [name])[0]


def survey(module: nn.Module, inputs: Tensor, tap: Tap = "activation") -> Survey:
    """The layers and the graph of `module`, from one pass on the first of `inputs`, in evaluation mode.

    The model is left as found, also after an error: parameters, buffers, training flags, hooks, random state. Names
    are dotted paths; the second call of a module in a pass is `name#1`, the third `name#2`. Raises `ModelError`
    where the model cannot run on such inputs or has no layer with channels.
    """
    _refuse(module)
    with as_found(module):
        recording = _run(module, inputs)
        found = _interpret(module, recording, tap)
        fields = receptive_fields(module, inputs, found.layers)
    layers = tuple(
        replace(one, receptive_field=field.size, stride=field.stride, together=not field.reads)
        for one, field in ((one, fields[one.name]) for one in found.layers)
    )
    routed = () if all(one.together for one in layers) else _unreached(module, recording)
    return replace(found, layers=layers, skipped=(*found.skipped, *routed))


def _unreached(module: nn.Module, recording: Recording) -> Iterator[Skip]:
    """The modules with kernels that this example was not led through."""
    reached = {call.module for call in recording.root.inside()}
    for path, one in module.named_modules():
        if one not in reached and any(weight.ndim > 1 for weight in one.parameters(recurse=False)):
            yield Skip(path, "the first example does not reach it")


def choose(layers: Sequence[Layer], globs: Sequence[str] = ()) -> tuple[Layer, ...]:
    """The layers meant by `globs`, in the order of `layers`.

    No glob means those that are layers by default, and a glob matches among them only; a name without wildcards may
    be any layer's. Raises `UnitError` for one that matches none.
    """
    default = [layer.name for layer in layers if layer.by_default]
    every = [layer.name for layer in layers]
    wanted = set() if globs else set(default)
    for glob in globs:
        wanted.update([glob] if glob in every else matching([glob], default if WILDCARDS & set(glob) else every))
    return tuple(layer for layer in layers if layer.name in wanted)


def _refuse(module: nn.Module) -> None:
    name = type(module).__name__
    if isinstance(module, torch.jit.ScriptModule):
        raise ModelError(
            "a scripted or traced model cannot be looked into: hooks do not run in it",
            "give the torch.nn.Module it was made from",
        )
    if any(is_lazy(one) for one in (*module.parameters(), *module.buffers())):
        raise ModelError(f"{name} has lazy layers that are not initialized", "run it once on an input, then load the weights")
    needed = [
        one.name
        for one in inspect.signature(module.forward).parameters.values()
        if one.default is one.empty and one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)
    ]
    if len(needed) > 1:
        raise ModelError(
            f"the forward of {name} needs {len(needed)} inputs ({', '.join(needed)}), and only one can be given",
            "wrap it in a module whose forward takes the images alone",
        )


def _run(module: nn.Module, inputs: Tensor) -> Recording:
    # Two copies of one example tell along which axis a tensor holds the examples.
    with torch.inference_mode(False), torch.no_grad():
        one = inputs[:1].detach().clone()
        try:
            recording = record(module, one.repeat(COPIES, *(1 for _ in inputs.shape[1:])), COPIES)
            if recording.apart:
                alone = record(module, one, 1)
                recording = alone if _one_after_the_other(recording, alone) else recording
            return recording
        except Exception as error:
            what = " ".join(str(error).split()) or "no message"
            shape = "×".join(str(extent) for extent in inputs.shape[1:])
            raise ModelError(
                f"{type(module).__name__} cannot run on an input of {shape}: {type(error).__name__}: {what}",
                "set the input size that it was made for with --resize and --crop, and its channels with --mean",
            ) from error


def _one_after_the_other(several: Recording, alone: Recording) -> bool:
    """Whether modules run so many times as there are copies of the example, compared with a pass of one."""
    by_copies, once = (Counter(call.module for call in one.calls) for one in (several, alone))
    return any(once[module] and count == COPIES * once[module] for module, count in by_copies.items())


def _interpret(module: nn.Module, recording: Recording, tap: Tap) -> Survey:
    """What a recorded pass shows, all but the receptive fields."""
    edges, nodes = graph(recording)
    follower = ReadPoints(recording)
    layers: dict[str, Layer] = {}
    skipped: dict[str, Skip] = {}
    at: dict[str, int] = {}
    for call in recording.root.inside():
        if (call is recording.root and not call.leaf) or call.output is None:
            continue
        mixes = any(operation.mixes for operation in call.operations)
        joins = joined_in(call, call.output)
        layout, reason = _layout(call, recording.input.shape, recording.copies)
        if layout is None:
            if mixes or joins or any(operation.name in RECURRENT for operation in call.operations):
                skipped[call.name] = Skip(call.name, reason)
            continue
        point = follower.point(call.output, folds=mixes) if tap == "activation" else Point(call.output)
        layers[call.name] = _layer(call, layout, point, recording.copies, by_default=mixes or joins)
        at[call.name] = nodes[call.output]
    if not layers:
        raise ModelError(
            f"{type(module).__name__} has no layer whose output has channels",
            "it needs convolutions, linear layers or other modules with images, vectors or tokens as output",
        )
    return Survey(
        tuple(layers.values()), edges, recording.input.shape[1:], tuple(skipped.values()), at, ending(module, recording)
    )


def _layout(call: Call, image: tuple[int, ...], copies: int) -> tuple[Layout | None, str]:
    """How the call's output is arranged; None with the reason where its units cannot be read.

    `image` is the shape of the network's input, `copies` how many examples there were.
    """
    assert call.output is not None
    rank, axis = len(call.output.shape), _axis(call)
    if any(operation.name in RECURRENT for operation in call.operations):
        return None, "recurrent"
    if rank < 2 or rank > 4:
        return None, f"its output has {rank} axes"
    if 0 in call.output.shape:
        return None, "its output is empty"
    if not call.batched:
        return None, "its output does not hold one example after the other along the first axis"
    if axis is None:
        return None, "it cannot be told along which axis its output has channels"
    folded = call.output.shape[0] != copies
    if axis == rank - 1:
        if rank == 4 and not folded and _like_an_image(call.output.shape[1:3], image):
            return "spatial", ""
        return ("tokens", "") if rank > 2 or folded else ("vector", "")
    if folded or axis == 0 or (rank == 4 and axis != 1):
        return None, "its channels are on an axis that is not the second or the last"
    return ("spatial", "") if rank == 4 else ("sequence", "")


def _like_an_image(sides: tuple[int, ...], image: tuple[int, ...]) -> bool:
    """Whether the sides are in the proportion of the image's, up to a position: else they are windows and tokens."""
    if len(image) != 4:
        return True
    (height, width), (rows, columns) = image[-2:], sides
    return abs(rows * width - columns * height) <= max(height, width)


def _axis(call: Call) -> int | None:
    """The output's channel axis; where operations do not tell, that of the last call inside with the same shape."""
    assert call.output is not None
    if call.output.axis is not None:
        return call.output.axis
    same = [one.output for one in call.inside() if one.output is not None and one.output.shape == call.output.shape]
    return next((value.axis for value in reversed(same) if value.axis is not None), None)


def _layer(call: Call, layout: Layout, point: Point, copies: int, *, by_default: bool) -> Layer:
    assert call.output is not None
    shape, axis = call.output.shape, _axis(call)
    assert axis is not None
    positions = tuple(extent for place, extent in enumerate(shape) if place not in (0, axis))
    folded = shape[0] // copies
    if folded > 1:
        positions = (folded * torch.Size(positions).numel(),)
    return Layer(
        name=call.name,
        type=type(call.module).__name__,
        layout=layout,
        channels=shape[axis],
        shape=positions,
        channel_axis=-1 if layout == "tokens" or axis > 1 else 1,
        parameters=sum(parameter.numel() for parameter in call.module.parameters()),
        nonlinearity=point.nonlinearity,
        read_after=point.operations,
        read_at=point.hops,
        by_default=by_default,
    )
