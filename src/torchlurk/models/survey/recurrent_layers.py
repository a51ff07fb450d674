"""Layers of recurrent modules: one for each layer, direction and stream, and one for a cell that is called in a loop."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from torchlurk.models.survey.recorded import Call, Recording, Value
from torchlurk.models.taps.recurrent import parts_of, streams_of, width_of
from torchlurk.records import Layer


def loops(recording: Recording) -> Mapping[nn.Module, int]:
    """How often each cell was called in the pass, and each module of one direction that was called several times, with one step
    each time.
    """
    counts: dict[nn.Module, int] = {}
    longer: set[nn.Module] = set()
    for call in recording.root.inside():
        if isinstance(call.module, (nn.RNNBase, nn.RNNCellBase)):
            counts[call.module] = counts.get(call.module, 0) + 1
        if isinstance(call.module, nn.RNNBase) and (call.steps != 1 or call.module.bidirectional):
            longer.add(call.module)
    cell = nn.RNNCellBase
    return {one: many for one, many in counts.items() if isinstance(one, cell) or (many > 1 and one not in longer)}


def recurrent_layers(call: Call, looped: Mapping[nn.Module, int], recording: Recording) -> list[Layer]:
    """The layers that are read of a call of a recurrent module; those of one that is called once a step, as a cell is, come
    with its last call.
    """
    module = call.module
    owner, steps = call.name, call.steps or 1
    if module in looped or not isinstance(module, nn.RNNBase):
        if call.number != looped.get(module, 0) - 1:
            return []
        owner, steps = call.path or call.name, looped[module]
    prefixes = list(parts_of(module)) if isinstance(module, nn.RNNBase) else [""]
    taken = {path for path, _ in recording.root.module.named_modules()}
    layers = []
    for prefix in prefixes:
        for stream in streams_of(module):
            read = ".".join(word for word in (prefix, stream) if word)
            joint = "@" if f"{owner}.{read}" in taken else "."
            layers.append(
                Layer(
                    name=f"{owner}{joint}{read}" if read else owner,
                    type=type(module).__name__,
                    layout="sequence",
                    channels=width_of(module, stream),
                    shape=(steps,),
                    channel_axis=-1,
                    parameters=0 if stream else _parameters(module, prefix),
                    module=owner,
                    stream=read,
                )
            )
    return layers


def several_rows(call: Call, copies: int) -> bool:
    """Whether a recurrent module or cell was given a multiple of the `copies` of the example as batch: which row is of which
    example is then for the model alone to say.
    """
    shape = call.output.shape if call.output is not None else ()
    axis = 1 if isinstance(call.module, nn.RNNBase) and not call.module.batch_first else 0
    whole = len(shape) == (3 if isinstance(call.module, nn.RNNBase) else 2)
    return whole and shape[axis] > copies and shape[axis] % copies == 0


def node_of(call: Call, nodes: Mapping[Value, int]) -> int:
    """The node of the graph that a recurrent module's output comes from; the input's where none can be told."""
    outputs = [value for operation in call.operations for value in operation.outputs]
    known = [call.output, *reversed(outputs)]
    return next((nodes[value] for value in known if value is not None and value in nodes), 0)


def _parameters(module: nn.Module, part: str) -> int:
    """How many weights a layer and direction has; all of a cell's."""
    ending = f"_{part}" if part else ""
    own = (one for name, one in module.named_parameters() if not part or name.endswith(ending))
    return sum(one.numel() for one in own)
