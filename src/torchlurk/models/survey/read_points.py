"""Where a unit is read: what directly follows a layer.

A batch normalization (in eval mode a scale and shift of each channel, which deployments fold in) belongs to the
convolution or linear layer before it; a nonlinearity belongs to whatever layer it directly follows, call by call.
"Directly" means that it alone consumes the tensor, or overwrites it in place.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from torchlurk.models.survey.channel_axis import COPIES, NORMALIZATIONS, REARRANGEMENTS
from torchlurk.models.survey.recorded import Call, Operation, Recording, Value

GATES = {"sigmoid": "silu"}
"""Nonlinearities that make another when multiplied with what they are applied to: x * sigmoid(x) is SiLU."""

JOINS = {"add", "sub", "subtract", "mul", "multiply", "addcmul", "lerp", "div", "truediv", "maximum", "minimum"}
"""Arithmetic that joins two branches."""

POINTWISE = JOINS | {"pow", "exp", "neg", "square", "reciprocal", "log1p", "abs", "rsub"}
"""What a module made of arithmetic may do besides nonlinearities, to count as one nonlinearity."""


def function_hop(name: str) -> str:
    """How `Layer.read_at` writes a call of a function: `relu()`. A module is written by its path."""
    return f"{name}()"


@dataclass(frozen=True, slots=True)
class Point:
    """The point at which a layer's units are read.

    `operations` are those passed since the layer's own output, `hops` the calls through which to follow the tensor
    at run time, `value` what is read.
    """

    value: Value
    operations: tuple[str, ...] = ()
    nonlinearity: str | None = None
    hops: tuple[str, ...] = ()


class ReadPoints:
    """Finds reading points in one recording."""

    def __init__(self, recording: Recording) -> None:
        self.live = recording.live()
        self.outputs = set(recording.outputs)
        self.starting: dict[Value, list[Call]] = {}
        """Module calls by the value they are first given."""
        for call in recording.root.inside():
            if call.inputs and call.path:
                self.starting.setdefault(call.inputs[0], []).append(call)

    def point(self, output: Value, *, folds: bool) -> Point:
        """Where the units of a layer with this output are read; `folds` lets it take a batch normalization along."""
        if output.producer is not None and output.producer.nonlinearity:
            return Point(output)
        steps, kind = self._steps(output, folds)
        ends = [number for number, (name, _) in enumerate(steps, 1) if name == "batch_norm" or number == len(steps)]
        seen = max((number for number in ends if not self._hidden(steps[number - 1][1])), default=0)
        steps, kind = steps[:seen], kind if seen == len(steps) else None
        if not steps:
            return Point(output)
        values = [output, *(value for _, value in steps)]
        return Point(values[-1], tuple(name for name, _ in steps), kind, self._hops(values, [name for name, _ in steps]))

    def _steps(self, value: Value, folds: bool) -> tuple[list[tuple[str, Value]], str | None]:
        """The operations to pass, each with the value it gives, and the nonlinearity they end in."""
        steps: list[tuple[str, Value]] = []
        kept = 0
        while operation := self._next(value):
            if self._made_of_arithmetic(value):
                break
            if operation.nonlinearity and operation.operand is value:
                return [*steps, (operation.nonlinearity, operation.outputs[0])], operation.nonlinearity
            if operation.name == "batch_norm" and folds:
                folds, kept = False, len(steps) + 1
            elif operation.name not in COPIES:
                break
            value = operation.outputs[0]
            steps.append((operation.name, value))
        made = self._made_of_arithmetic(value) or self._gated(value)
        if made:
            return [*steps, *made[1]], made[0]
        return steps[:kept], None

    def _hidden(self, value: Value) -> bool:
        """Whether it is met only within a `torch.autograd.Function`, where no gradient reaches it."""
        within = value.producer is not None and value.producer.within
        return within and value not in self.outputs and all(one.within for one in self._consumers(value))

    def _consumers(self, value: Value) -> list[Operation]:
        return [operation for operation in dict.fromkeys(value.consumers) if operation in self.live]

    def _next(self, value: Value) -> Operation | None:
        """The operation that directly follows, if one does."""
        consumers = self._consumers(value)
        overwriting = [one for one in consumers if one.overwrites and one.operand is value]
        if overwriting:
            return overwriting[0]
        return consumers[0] if len(consumers) == 1 and value not in self.outputs else None

    def _made_of_arithmetic(self, value: Value) -> tuple[str, list[tuple[str, Value]]] | None:
        """A module without parameters that does only arithmetic with a nonlinearity in it, as a nonlinearity."""
        consumers = self._consumers(value)
        call = consumers[0].call if consumers else None
        if call is None or call.output is None or value in self.outputs or not call.leaf or call.inputs[:1] != (value,):
            return None
        alone = all(one.call is call for one in consumers) and not any(True for _ in call.module.parameters())
        arithmetic = all(one.nonlinearity or one.name in POINTWISE for one in call.operations)
        several = len(call.operations) > 1
        if alone and arithmetic and several and any(one.nonlinearity for one in call.operations):
            name = snake(type(call.module).__name__)
            return name, [(name, call.output)]
        return None

    def _gated(self, value: Value) -> tuple[str, list[tuple[str, Value]]] | None:
        """A product with its own sigmoid, written out: x * sigmoid(x)."""
        consumers = self._consumers(value)
        if len(consumers) != 2 or value in self.outputs:
            return None
        gate, product = consumers
        is_gate = gate.nonlinearity in GATES and gate.operand is value and self._consumers(gate.outputs[0]) == [product]
        if is_gate and product.name == "mul" and len(product.inputs) == 2:
            name = GATES[gate.nonlinearity or ""]
            return name, [(gate.name, gate.outputs[0]), (product.name, product.outputs[0])]
        return None

    def _hops(self, values: Sequence[Value], names: Sequence[str]) -> tuple[str, ...]:
        """The calls that lead from the first value to the last: of modules where some do, of functions elsewhere."""
        hops: list[str] = []
        at = 0
        while at < len(values) - 1:
            spans = [
                (values.index(call.output), call.path)
                for call in self.starting.get(values[at], ())
                if call.output in values[at + 1 :]
            ]
            reached, hop = max(spans, default=(at + 1, ""), key=lambda span: span[0])
            hops.append(hop or function_hop(_function(values[reached], names[at])))
            at = reached
        return tuple(hops)


def _function(value: Value, name: str) -> str:
    return value.producer.name if value.producer is not None else name


def snake(name: str) -> str:
    """`HardSwish` as `hard_swish`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _owner(operation: Operation) -> Call | None:
    """The innermost call around it that mixes channels: a join may have a small module of its own."""
    call: Call | None = operation.call
    while call is not None and not call.mixes:
        call = call.parent
    return call


def joined_in(call: Call, output: Value) -> bool:
    """Whether `output` is a join of two branches that this call's own forward computes by arithmetic.

    Nonlinearities, normalizations, rearrangements and scaling after the join do not hide it.
    """
    value: Value | None = output
    while value is not None and value.producer is not None:
        operation = value.producer
        if operation.name in JOINS and len(operation.inputs) > 1:
            return _owner(operation) is call
        passing = COPIES | REARRANGEMENTS | NORMALIZATIONS | JOINS
        if not (operation.nonlinearity or operation.name in passing):
            return False
        value = operation.operand
    return False
