"""Tensors that turn up in a pass without an operation that made them, and what they may have been made from.

Scripted functions hide their operations from function modes, but not from `Beneath`. What remains came by way of NumPy,
lists or other libraries. `Strays` takes note of it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

if TYPE_CHECKING:
    from torchlurk.models.survey.recorded import Value

UNTRACED = "untraced"
"""What the operation is called that leads to such a tensor."""

NUMBERS = {"tolist", "item", "float", "int"}
"""Operations that give a tensor's numbers to Python."""

MEMORY = {"numpy", "array", "dlpack", "data_ptr", "storage", "untyped_storage"}
"""Operations that give a tensor's memory to other code, which may also write to it."""

REBUILDING = {"tensor", "as_tensor", "asarray", "new_tensor", "from_numpy", "from_dlpack", "frombuffer", "lift_fresh"}
"""Operations that make a tensor of numbers from elsewhere."""

is_wrapped = torch._C._functorch.is_functorch_wrapped_tensor
"""Whether a tensor exists only inside `vmap` and its like."""


class Strays:
    """The tensors of a pass that no operation seen has made.

    `contents` are copies of them from when they were met, in that order; those whose place is among `constants` are known
    not to depend on the input.
    """

    def __init__(self, constants: Collection[int] = ()) -> None:
        self.contents: list[Tensor] = []
        self.shared: set[int] = set()
        """Constants that other code may have written to, by id."""
        self._constants = constants
        self._taken: list[Value] = []
        self._used = False

    def note(self, name: str, values: Sequence[Value], tensors: Sequence[Tensor]) -> None:
        """Takes note of an operation on these tensors, of which `values` depend on the input: other code may know them now."""
        if values and name in NUMBERS | MEMORY:
            self._taken = [*(() if self._used else self._taken), *values]
            self._used = False
        elif name in MEMORY:
            self.shared.update(map(id, tensors))

    @property
    def taken(self) -> tuple[Value, ...]:
        """The values last taken out: since a tensor was last met, or before it if none since."""
        return tuple(dict.fromkeys(self._taken))

    def constant(self, tensor: Tensor) -> bool:
        """Takes note of one more; whether it is known to be a constant."""
        self.shared.discard(id(tensor))
        self._used = True
        with torch._C.DisableTorchFunction():
            self.contents.append(tensor.detach().clone())
        return len(self.contents) - 1 in self._constants


def constants_among(strays: Sequence[Tensor], batch: Tensor, again: Callable[[Tensor], Sequence[Tensor]]) -> Collection[int]:
    """Which of the tensors met in a pass on `batch` are the same in a pass on other numbers, which `again` makes."""
    if batch.is_floating_point():
        slope = torch.linspace(-1, 1, batch.numel(), device=batch.device, dtype=batch.dtype)
        other = batch + slope.reshape(batch.shape)
    else:
        other = torch.zeros_like(batch)
    try:
        found = again(other)
    except Exception:  # a model may refuse such numbers: any of them may depend on the input then
        return ()
    return {place for place, (one, two) in enumerate(zip(strays, found, strict=False)) if _alike(one, two)}


def _alike(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and one.dtype == other.dtype and torch.equal(one.nan_to_num(), other.nan_to_num())


class Beneath(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Shows function modes the operations that they cannot see by themselves, such as those of scripted functions.

    `running` tells while it does. Operations that a function mode has seen do not come to it again.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.running = False

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        before, self.running = self.running, True
        try:
            return func(*args, **(kwargs or {}))
        finally:
            self.running = before


def plain_attributes(module: nn.Module) -> Iterator[Tensor]:
    """Tensors that modules hold as neither parameters nor buffers: constants of theirs."""
    for one in module.modules():
        for value in vars(one).values():
            if isinstance(value, Tensor):
                yield value
            elif isinstance(value, (list, tuple)):
                yield from (item for item in value if isinstance(item, Tensor))
