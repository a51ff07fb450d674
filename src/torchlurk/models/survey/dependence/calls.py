"""How each operation of PyTorch hands on what its elements depend on.

A rule is found by the operation's name. It may be looser than the truth, never narrower: an operation without a rule, or
one that was given a dependent tensor where its rule does not look, makes every result depend on all that it was given.
Dependence is by structure: a weight that happens to be zero still connects.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from torch import Tensor

from torchlurk.models.survey.dependence.intervals import Reach, union


@dataclass(slots=True)
class Call:
    """One call of an operation that has been run: its arguments by name, what they depend on, and its results.

    `reaches` has, for each argument that is or holds tensors, the reach of each of them in order.
    """

    function: Any
    arguments: Mapping[str, Any]
    reaches: Mapping[str, tuple[Reach, ...]]
    outputs: tuple[Tensor, ...]
    regarded: set[str] = field(default_factory=set)

    def all(self, name: str) -> tuple[Reach, ...]:
        """What the tensors in an argument depend on; none where it holds no tensor."""
        self.regarded.add(name)
        return self.reaches.get(name, ())

    def first(self, *names: str) -> Reach:
        """What the tensor in the first of these arguments that the operation has depends on."""
        name = next(name for name in names if name in self.reaches)
        return self.all(name)[0]

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the first result."""
        return tuple(self.outputs[0].shape)

    @property
    def disregarded(self) -> bool:
        """Whether a dependent tensor was given that no rule has looked at."""
        return any(not one.empty for name, all_ in self.reaches.items() if name not in self.regarded for one in all_)


Rule = Callable[[Call], Reach | tuple[Reach, ...]]
RULES: dict[str, Rule] = {}


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Registers the rule of the operations named, in-place forms included."""

    def registered(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, function))
        return function

    return registered


def handed_on(call: Call) -> tuple[Reach, ...]:
    """What each result of a call depends on."""
    name = base_name(call.function)
    result = (RULES.get(name) or (pointwise if is_pointwise(name) else anything))(call)
    reaches = (result,) if isinstance(result, Reach) else result
    if call.disregarded or any(one.shape != tuple(output.shape) for one, output in zip(reaches, call.outputs, strict=False)):
        return anything(call)
    if len(reaches) < len(call.outputs):
        reaches = (*reaches, *anything(call)[len(reaches) :])
    return tuple(reach.compact() for reach in reaches)


def base_name(function: Any) -> str:
    """The operation's name without name space, overload and the underscore of its in-place form."""
    name: str = function._schema.name.partition("::")[2]
    return name[:-1] if name.endswith("_") and not name.endswith("__") else name


@cache
def is_pointwise(name: str) -> bool:
    """Whether each element of the result depends on the elements at its own place only, with broadcasting."""
    for packet in (getattr(torch.ops.aten, form, None) for form in (name, name + "_")):
        overloads = [getattr(packet, overload) for overload in packet.overloads()] if packet is not None else []
        if any(torch.Tag.pointwise in overload.tags for overload in overloads):
            return True
    return False


def anything(call: Call) -> tuple[Reach, ...]:
    """Every element may depend on all that was given: true of any operation."""
    given = [one.total() for all_ in call.reaches.values() for one in all_]
    total = union(given, ())
    return tuple(total.aligned(output.shape) for output in call.outputs)


def pointwise(call: Call) -> Reach:
    """Each element depends on what the operands' elements at its place do."""
    operands = [one for name in call.reaches for one in call.all(name) if not one.empty]
    if len(operands) == 1 and operands[0].shape == call.shape:
        return operands[0]
    return union(operands, call.shape)
