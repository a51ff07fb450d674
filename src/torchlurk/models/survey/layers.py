"""Which layers and units a model has, from one dry pass: names, layouts, shapes, and where each unit is read."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from torchlurk.errors import DeviceError, ModelError, OptionError, is_out_of_memory, told
from torchlurk.models.survey.axes import PICTURES, Axes
from torchlurk.models.survey.channel_axis import RECURRENT
from torchlurk.models.survey.computed_streams import computed_layers
from torchlurk.models.survey.endings import Ending, ending
from torchlurk.models.survey.expected_input import misfit
from torchlurk.models.survey.graph import graph
from torchlurk.models.survey.heads import Widths, head_weights, values_of_states
from torchlurk.models.survey.read_points import Point, ReadPoints, joined_in
from torchlurk.models.survey.receptive_field import receptive_fields
from torchlurk.models.survey.recorded import Call, Recording, Value
from torchlurk.models.survey.recording import COPIES, record
from torchlurk.models.survey.recurrent_layers import loops, node_of, recurrent_layers, several_rows
from torchlurk.models.taps.arguments import accompanied, companions_of, of_rows
from torchlurk.models.taps.as_found import as_found
from torchlurk.models.taps.recurrent import checking_packed, mode_of
from torchlurk.records import Graph, Layer, Layout, Skip, Tap
from torchlurk.units import PART, aliased, matching

WILDCARDS = frozenset("*?[")

MAPPED = "it is called inside torch.vmap, where its values cannot be read: call it on the whole batch"
SEVERAL = "it is given several rows for each example: flipped copies, crops, windows or parts of it"
UNREACHED = "the first example does not reach it"
"""Why a module is left out that this example is not led through: a head for training, a branch for some examples."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What one dry pass found.

    `layers` are in the order in which they ended, `skipped` those that would be layers but cannot be read, with the
    reason. `nodes` tells for each layer the node of the graph that its own output comes from; `input_shape` is that
    of one input, without the batch; `ending` what the network's outputs are, and `head` the weights of the linear map that
    they come from, for each layer whose units it reads.
    """

    layers: tuple[Layer, ...]
    graph: Graph
    input_shape: tuple[int, ...]
    skipped: tuple[Skip, ...]
    nodes: dict[str, int]
    ending: Ending
    head: Mapping[str, Float[Tensor, "output unit"]] = field(default_factory=dict, repr=False, compare=False)

    def layer(self, name: str) -> Layer:
        """The layer of that name; raises `UnitError` where there is none."""
        return choose(self.layers, [name])[0]


def survey(module: nn.Module, inputs: Shaped[Tensor, ...], tap: Tap = "activation", axes: Axes = PICTURES) -> Survey:
    """The layers and the graph of `module`, from one pass on the first of `inputs`, in evaluation mode.

    `axes` says what the axes of `inputs` are; signals and vectors may be given as pictures.

    The model is left as found, also after an error: parameters, buffers, training flags, hooks, random state. Names
    are dotted paths; the second call of a module in a pass is `name#1`, the third `name#2`. Raises `ModelError`
    where the model cannot run on such inputs or has no layer with channels.
    """
    _refuse(module)
    with as_found(module):
        recording = _run(module, inputs, axes)
        found = _interpret(module, recording, tap, axes)
        found = _with_streams(found, computed_layers(module, inputs, axes, found.layers))
        fields = receptive_fields(module, inputs, found.layers, axes)
    layers = tuple(
        replace(one, receptive_field=field.size, stride=field.stride, together=not field.reads)
        for one, field in ((one, fields[one.name]) for one in found.layers)
    )
    return replace(found, layers=layers, skipped=(*found.skipped, *_unreached(module, recording)))


def _with_streams(found: Survey, streams: Mapping[str, Sequence[Layer]]) -> Survey:
    """With the streams of each call after its output; those of one whose output has no units come last."""
    layers = [one for layer in found.layers for one in (layer, *streams.get(layer.name, ()))]
    last = [one for call, some in streams.items() if call not in found.nodes for one in some]
    nodes = {one.name: found.nodes.get(call, 0) for call, some in streams.items() for one in some}
    return replace(found, layers=(*layers, *last), nodes=found.nodes | nodes)


def _unreached(module: nn.Module, recording: Recording) -> Iterator[Skip]:
    """The modules with kernels that this example was not led through, or inside `vmap` alone; of nested ones the outermost.

    A module that was not called may still have been used, through its weights.
    """
    reached = {call.module for call in recording.root.inside()}
    told: list[str] = []
    for path, one in module.named_modules():
        if one in reached or any(path.startswith(f"{outer}.") for outer in told):
            continue
        kernels = [weight for weight in one.parameters() if weight.ndim > 1]
        if kernels and one in recording.mapped:
            told.append(path)
            yield Skip(path, MAPPED)
        elif kernels and not _partly_used(one, reached, recording.used):
            told.append(path)
            yield Skip(path, UNREACHED)


def _partly_used(module: nn.Module, reached: Container[nn.Module], used: Container[int]) -> bool:
    """Whether anything in it was called, or any of its parameters taken by an operation."""
    called = any(inner in reached for inner in module.modules())
    return called or any(id(weight) in used for weight in module.parameters())


def choose(layers: Sequence[Layer], globs: Sequence[str] = (), streams: Sequence[str] = ("all",)) -> tuple[Layer, ...]:
    """The layers meant by `globs`, in the order of `layers`, and of recurrent ones these `streams` beside the states.

    No glob means those that are layers by default, and a glob matches among them only; a name without wildcards may
    be any layer's. Raises `UnitError` for a glob, and `OptionError` for a stream, that matches none.
    """
    among = [layer for layer in layers if _streamed(layer, streams)]
    _check_streams(layers, streams)
    default = [layer.name for layer in among if layer.by_default]
    every = [layer.name for layer in layers]
    wanted = set() if globs else set(default)
    for glob in globs:
        meant = aliased(glob, every)
        wanted.update([meant] if meant in every else matching([glob], default if WILDCARDS & set(glob) else every))
    return tuple(layer for layer in layers if layer.name in wanted)


STREAM_GROUPS = {"all": None, "output": frozenset({""}), "cell": frozenset({"", "c"}), "gates": frozenset({"", *"ifgorzn"})}
"""By the words of `--streams`, which streams of recurrent layers are read; None: all of them."""


def _stream(layer: Layer) -> str:
    """What is read of each layer and direction, or of a cell: '' for the states."""
    last = layer.stream.partition("#")[0].rpartition(".")[2]
    return last if layer.module and not PART.fullmatch(last) else ""


def _streamed(layer: Layer, streams: Sequence[str]) -> bool:
    groups = [STREAM_GROUPS.get(word, frozenset({word})) for word in streams]
    return not layer.module or any(group is None or _stream(layer) in group for group in groups)


def _check_streams(layers: Sequence[Layer], streams: Sequence[str]) -> None:
    known = {_stream(layer) for layer in layers if layer.module} - {""}
    for word in streams:
        if word not in STREAM_GROUPS and word not in known:
            available = ", ".join([*STREAM_GROUPS, *sorted(known)])
            raise OptionError(f"--streams names '{word}', which no layer has", f"available: {available}")


def _refuse(module: nn.Module) -> None:
    name = type(module).__name__
    if isinstance(module, torch.jit.ScriptModule):
        raise ModelError(
            "a scripted or traced model cannot be analyzed: it does not run hooks",
            "give the torch.nn.Module it was made from",
        )
    if any(is_lazy(one) for one in (*module.parameters(), *module.buffers())):
        raise ModelError(f"{name} has lazy layers that are not initialized", "run it once on an input, then load its weights")
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


def _run(module: nn.Module, inputs: Tensor, axes: Axes) -> Recording:
    # Two copies of one example tell along which axis a tensor holds the examples.
    with torch.inference_mode(False), torch.no_grad(), checking_packed(module), of_rows(module, slice(0, 1)):
        one = inputs.narrow(axes.batch, 0, 1).detach().clone()
        channel_axis = axes.channel if one.ndim > 1 else None
        copied = {name: torch.cat([companion] * COPIES) for name, companion in companions_of(module).items()}
        try:
            with accompanied(module, copied):
                recording = record(module, torch.cat([one] * COPIES, axes.batch), COPIES, channel_axis)
            if recording.apart:
                alone = record(module, one, 1, channel_axis)
                recording = alone if _one_after_the_other(recording, alone) else recording
            return recording
        except Exception as error:
            shape = "×".join(str(extent) for place, extent in enumerate(inputs.shape) if place != axes.batch)
            if is_out_of_memory(error):
                message = f"an input of {shape} does not fit into the memory of {inputs.device}"
                raise DeviceError(message, "use another device, or smaller inputs") from error
            reason, hint = misfit(module, axes.batch_first(inputs)) or (told(error), axes.hint)
            raise ModelError(f"{type(module).__name__} cannot run on an input of {shape}: {reason}", hint) from error


def _one_after_the_other(several: Recording, alone: Recording) -> bool:
    """Whether modules run so many times as there are copies of the example, compared with a pass of one."""
    by_copies, once = (Counter(call.module for call in one.calls) for one in (several, alone))
    return any(once[module] and count == COPIES * once[module] for module, count in by_copies.items())


def _interpret(module: nn.Module, recording: Recording, tap: Tap, axes: Axes) -> Survey:
    """What a recorded pass shows, all but the receptive fields."""
    edges, nodes = graph(recording)
    follower = ReadPoints(recording)
    layers: dict[str, Layer] = {}
    skipped: dict[str, Skip] = {}
    at: dict[str, int] = {}
    looped = loops(recording)
    read: dict[Value, list[Widths]] = {}
    for call in recording.root.inside():
        if mode_of(call.module) is not None:
            if several_rows(call, recording.copies):
                skipped[call.path] = Skip(call.path or "model", SEVERAL)
                continue
            streams = recurrent_layers(call, looped, recording)
            layers.update((one.name, one) for one in streams)
            at.update((one.name, node_of(call, nodes)) for one in streams)
            continue
        if (call is recording.root and not call.leaf) or call.output is None:
            continue
        mixes = any(operation.mixes for operation in call.operations)
        joins = joined_in(call, call.output)
        layout, reason = _layout(call, recording.input.shape, recording.copies, axes)
        if layout is None:
            if mixes or joins or any(operation.name in RECURRENT for operation in call.operations):
                skipped[call.name] = Skip(call.name, reason)
            continue
        point = follower.point(call.output, folds=mixes) if tap == "activation" else Point(call.output)
        layers[call.name] = _layer(call, layout, point, recording.copies, by_default=mixes or joins)
        read.setdefault(point.value, []).append({call.name: layers[call.name].channels})
        at[call.name] = nodes[call.output]
    if not layers:
        reasons = "".join(f" ({one.path}: {one.reason})" for one in list(skipped.values())[:1])
        needs = "it needs convolutions, linear layers or other modules with images, vectors or tokens as output"
        raise ModelError(
            f"{type(module).__name__} has no layer whose output has channels{reasons}",
            needs if axes.steps is None else f"{needs}; {axes.hint}",
        )
    for call in recording.root.inside():
        for value, widths in values_of_states(call, layers) if mode_of(call.module) else ():
            read.setdefault(value, []).append(widths)
    shape = tuple(extent for place, extent in enumerate(recording.input.shape) if place != axes.batch)
    head = head_weights(recording, read)
    return Survey(tuple(layers.values()), edges, shape, tuple(skipped.values()), at, ending(module, recording), head)


def _layout(call: Call, image: tuple[int, ...], copies: int, axes: Axes) -> tuple[Layout | None, str]:
    """How the call's output is arranged; None with the reason where its units cannot be read.

    `image` is the shape of the network's input, `copies` how many examples there were.
    """
    assert call.output is not None
    rank, axis = len(call.output.shape), _axis(call)
    if any(operation.name in RECURRENT for operation in call.operations):
        return None, "it calls a recurrent kernel of torch directly, not through a module of torch.nn"
    if rank < 2 or rank > 4:
        return None, f"its output has {rank} axes"
    if 0 in call.output.shape:
        return None, "its output is empty"
    batch = call.batch_axis
    if batch is None:
        return None, "its output does not hold one example after the other along an axis"
    if axis is None:
        return None, "it is not clear which axis of its output holds channels"
    folded = call.output.shape[batch] != copies
    if batch and (axis != rank - 1 or rank != 3):
        return None, "its examples are on the second axis, and its channels not on the third"
    if axis == rank - 1 and axes.steps is not None and (rank == 3 or folded):
        return "sequence", ""
    if axis == rank - 1:
        if rank == 4 and not folded and _like_an_image(call.output.shape[1:3], image):
            return "spatial", ""
        return ("tokens", "") if rank > 2 or folded else ("vector", "")
    if folded:
        return None, SEVERAL
    if axis == 0 or (rank == 4 and axis != 1):
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
    batch = call.batch_axis or 0
    positions = tuple(extent for place, extent in enumerate(shape) if place not in (batch, axis))
    folded = shape[batch] // copies
    if folded > 1:
        positions = (folded * torch.Size(positions).numel(),)
    return Layer(
        name=call.name,
        type=type(call.module).__name__,
        layout=layout,
        channels=shape[axis],
        shape=positions,
        channel_axis=-1 if layout == "tokens" or axis > 1 or (layout == "sequence" and len(shape) == 2) else 1,
        parameters=sum(parameter.numel() for parameter in call.module.parameters()),
        nonlinearity=point.nonlinearity,
        read_after=point.operations,
        read_at=point.hops,
        by_default=by_default,
        batch_axis=batch,
    )
