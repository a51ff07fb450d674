"""What feeds what: the recorded pass as nodes and edges.

A call of a module that called no other is one node, and so is an operation outside such modules that joins or
computes. What only rearranges or copies is left out and its sources joined to its consumers; so is what no output
depends on.
"""

from __future__ import annotations

from collections.abc import Callable

from torchlurk.models.survey.channel_axis import COPIES, REARRANGEMENTS
from torchlurk.models.survey.recorded import Call, Operation, Recording, Value
from torchlurk.records import Graph, Node

CONTRACTED = (REARRANGEMENTS | COPIES) - {"flatten"}


def graph(recording: Recording) -> tuple[Graph, dict[Value, int]]:
    """The graph of a pass, and for each value the node it comes from (the nearest one, where its own is left out)."""
    nodes: list[Node] = [Node(0, "input", "input", "", "Input", recording.input.shape[1:])]
    axes = {call.output: call.batch_axis for call in recording.root.inside() if call.output is not None}

    def of_one(value: Value) -> tuple[int, ...]:
        return _without_batch(value, axes.get(value), recording.copies)

    edges: dict[tuple[int, int], None] = {}
    of_call: dict[Call, int] = {}
    sources: dict[Value, tuple[int, ...]] = {recording.input: (0,)}
    for place, (name, one) in enumerate(recording.beside.items(), 1):
        nodes.append(Node(place, "input", name, "", "Input", one.shape[1:]))
        sources[one] = (place,)
    live = recording.live()
    for operation in recording.operations:
        feeding = tuple(dict.fromkeys(source for value in operation.inputs for source in sources[value]))
        call = operation.call
        number = of_call.get(call) if call.leaf and call.path else None
        if number is None and _left_out(operation, live):
            at: tuple[int, ...] = feeding
        else:
            if number is None:
                number = len(nodes)
                nodes.append(_node(number, operation, of_one))
                if call.leaf and call.path:
                    of_call[call] = number
            edges.update(((source, number), None) for source in feeding if source != number)
            at = (number,)
        for value in operation.outputs:
            sources[value] = at
    last = len(nodes)
    nodes.append(Node(last, "output", "output", "", "Output", of_one(recording.outputs[0]) if recording.outputs else ()))
    edges.update(((source, last), None) for value in recording.outputs for source in sources[value])
    return Graph(tuple(nodes), tuple(edges)), {value: at[-1] for value, at in sources.items()}


def _left_out(operation: Operation, live: set[Operation]) -> bool:
    call = operation.call
    if call.leaf and call.path:
        return False
    return operation.name in CONTRACTED or operation not in live


def _without_batch(value: Value, axis: int | None, copies: int) -> tuple[int, ...]:
    """The shape of one example: without the axis of the batch, as far as a call of a module tells it. Of an operation's result
    with three axes it is the second where that alone has the size of the batch: steps come first.
    """
    shape = value.shape
    if axis is None:
        axis = 1 if len(shape) == 3 and shape[0] != copies == shape[1] else 0
    return shape[:axis] + shape[axis + 1 :]


def _node(number: int, operation: Operation, of_one: Callable[[Value], tuple[int, ...]]) -> Node:
    call = operation.call
    if call.leaf and call.path:
        output = call.output or operation.outputs[0]
        parent = call.parent.path if call.parent is not None else ""
        return Node(number, "module", call.name, parent, type(call.module).__name__, of_one(output))
    return Node(number, "operation", operation.name, call.path, operation.name, of_one(operation.outputs[0]))
