"""What a recorded forward pass is made of: values, the operations that made them, the calls of modules around those."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn


@dataclass(eq=False, slots=True)
class Value:
    """One version of one tensor that depends on the network's input.

    `axis` is where its channels are, None where that is not known. `age` counts values in the order they came to be.
    """

    age: int
    shape: tuple[int, ...]
    axis: int | None
    producer: Operation | None = None
    consumers: list[Operation] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class Operation:
    """One operation: `operand` is the value it is applied to first, `result` what became of it.

    `overwrites` says that it wrote into its operand in place. An operation that no mode can see (a scripted module)
    stands for the whole call, with `opaque`. One that ran `within` a `torch.autograd.Function` is not part of the graph, only
    what the function gives. `weights` are the matrices of a product, which do not depend on the input.
    """

    name: str
    call: Call
    inputs: tuple[Value, ...]
    nonlinearity: str | None = None
    mixes: bool = False
    overwrites: bool = False
    opaque: bool = False
    within: bool = False
    weights: tuple[Tensor, ...] = ()
    outputs: list[Value] = field(default_factory=list)

    @property
    def operand(self) -> Value:
        """The first value it takes."""
        return self.inputs[0]


@dataclass(eq=False, slots=True)
class Call:
    """One call of a module.

    `output` is its output tensor (the first of a tuple); `batch_axis` the axis along which that tensor holds one example
    after the other, None where there is none. `steps` is how many steps a recurrent module took. `operations` are those of
    its own forward, `calls` the modules it called.
    """

    path: str
    number: int
    module: nn.Module
    parent: Call | None
    inputs: tuple[Value, ...] = ()
    output: Value | None = None
    batch_axis: int | None = 0
    steps: int | None = None
    operations: list[Operation] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)

    @property
    def name(self) -> str:
        """`path` for the first call, `path#n` for the n-th after it; `model` for a model that is itself a layer."""
        return f"{self.path or 'model'}#{self.number}" if self.number else self.path or "model"

    @property
    def leaf(self) -> bool:
        """Whether it called no module that did anything with the network's input."""
        return all(call.leaf and not call.operations for call in self.calls)

    @property
    def mixes(self) -> bool:
        """Whether anything in it mixes channels."""
        return any(operation.mixes for operation in self.operations) or any(call.mixes for call in self.calls)

    def inside(self) -> Iterator[Call]:
        """All calls in this one and then itself: in the order in which they ended."""
        for call in self.calls:
            yield from call.inside()
        yield self


@dataclass(eq=False, slots=True)
class Recording:
    """A whole pass; `operations` in the order they ran, `outputs` the values that the model gave back.

    The input held `copies` of one example, and so did the further inputs, `beside` it, by the parameters that they go to.
    `used` are the ids of all tensors that operations were given, weights too, `mapped` the modules called inside `vmap`.
    """

    copies: int
    input: Value
    root: Call
    operations: list[Operation]
    outputs: tuple[Value, ...]
    beside: Mapping[str, Value]
    used: frozenset[int] = frozenset()
    mapped: frozenset[nn.Module] = frozenset()

    @property
    def calls(self) -> list[Call]:
        """Those of modules inside, in which anything happened to the input."""
        return [call for call in self.root.inside() if call is not self.root and call.output is not None]

    @property
    def apart(self) -> bool:
        """Whether a module was called for one example after the other, as far as one pass can show."""
        return any(call.number and call.output is not None and call.output.shape[0] == 1 for call in self.calls)

    def live(self) -> set[Operation]:
        """The operations on which an output depends; all of them where the outputs depend on none."""
        found: set[Operation] = set()
        todo = [value.producer for value in self.outputs]
        while todo:
            operation = todo.pop()
            if operation is not None and operation not in found:
                found.add(operation)
                todo.extend(value.producer for value in operation.inputs)
        return found or set(self.operations)
