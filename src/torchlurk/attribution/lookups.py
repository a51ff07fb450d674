"""Where token ids become numbers: the lookups of a pass, found by following the ids, and a pass with other numbers there.

A gradient cannot go back to whole numbers. It stops at what the model looks up for them, in `nn.Embedding`, `F.embedding`,
`weight[ids]` or one-hot vectors, once for all tokens or step by step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.overrides import TorchFunctionMode

from torchlurk.models.survey.channel_axis import COPIES, REARRANGEMENTS
from torchlurk.models.taps.nonlinearities import Function, operation_name
from torchlurk.models.taps.tensors import tensors_in

MOVING = REARRANGEMENTS | COPIES | {"cat", "concat", "concatenate", "stack", "gather", "pad"}
"""Operations that give the ids they are given, in another order, or only some of them."""

NO_TOKEN = -1


@dataclass(frozen=True, slots=True)
class Lookup:
    """A call that gave numbers for tokens.

    `tokens` are the places of the tokens, row-major in the ids of the pass, `NO_TOKEN` for ids that the model put there itself.
    `values` have the axes of `tokens`, and more. `again` gives the values for other ids.
    """

    tokens: Int64[Tensor, "*place"]
    values: Float[Tensor, "*place number"]
    again: Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class _Ids:
    """A tensor of ids: its tokens' places, and how it comes from ids of that shape.

    It is held here, so that no other tensor gets its identity.
    """

    tensor: Tensor
    tokens: Int64[Tensor, "*place"]
    made_of: Callable[[Tensor], Tensor]

    @property
    def plain(self) -> bool:
        """Whether each number is an id, and not part of a one-hot vector."""
        return self.tensor.shape == self.tokens.shape


class Lookups(TorchFunctionMode):
    """While open, follows `ids` and hands each lookup to `found`, whose answer the model goes on with."""

    def __init__(self, ids: Int64[Tensor, "batch time"], found: Callable[[Lookup], Tensor]) -> None:
        super().__init__()
        self._found = found
        places = torch.arange(ids.numel(), device=ids.device).view(ids.shape)
        self._followed = {id(ids): _Ids(ids, places, _same)}

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        super().__exit__(kind, error, trace)  # type: ignore[no-untyped-call]
        self._followed.clear()

    def __torch_function__(
        self, func: Function, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        given = [self._followed[id(one)] for one in tensors_in((args, kwargs)) if id(one) in self._followed]
        result = func(*args, **kwargs)
        if not given or operation_name(func) in NEW:
            return result
        call = _Call(func, args, kwargs, given[0])
        if isinstance(result, Tensor) and result.is_floating_point():
            return self._looked_up(call, result)
        for place, one in enumerate(tensors_in(result)):
            if not one.is_floating_point() and one.dtype is not torch.bool:
                self._follow(call, one, place)
        return result

    def _looked_up(self, call: _Call, result: Tensor) -> Tensor:
        tokens = call.ids.tokens
        if result.shape[: tokens.dim()] != tokens.shape:
            return result  # a mean, for example: no numbers for each token
        values = result.reshape(*tokens.shape, -1)
        answer = self._found(Lookup(tokens, values, lambda other: call.on(other).reshape(*other.shape, -1)))
        return answer.reshape(result.shape)

    def _follow(self, call: _Call, result: Tensor, place: int) -> None:
        """Takes note of where the result's tokens are, if it holds ids."""
        tokens, name = call.ids.tokens, operation_name(call.func)
        if name in MOVING and call.ids.plain:
            moved = tensors_in(call.func(*self._places(call.args), **self._places(call.kwargs)))[place]
            if bool((moved != NO_TOKEN).any()):
                self._followed[id(result)] = _Ids(result, moved, _same)
        elif result.shape[: tokens.dim()] == tokens.shape:
            # Other whole numbers for the same tokens: clamped, shifted, from another table, one-hot vectors.
            self._followed[id(result)] = _Ids(result, tokens, call.on)

    def _places(self, structure: Any) -> Any:
        """What was given, with places of tokens for ids."""
        if isinstance(structure, Tensor):
            known = self._followed.get(id(structure))
            if known is not None:
                return known.tokens
            plain = structure.is_floating_point() or structure.dtype is torch.bool
            return structure if plain else torch.full_like(structure, NO_TOKEN, dtype=torch.int64)
        if isinstance(structure, (list, tuple)):
            return type(structure)(self._places(one) for one in structure)
        if isinstance(structure, Mapping):
            return {name: self._places(one) for name, one in structure.items()}
        return structure


@dataclass(frozen=True, slots=True)
class _Call:
    """A call that was given ids."""

    func: Function
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    ids: _Ids

    def on(self, other: Tensor) -> Tensor:
        """What it gives for other ids, in the places of those that it was given."""
        new = self.ids.made_of(other)
        found: Tensor = self.func(*_replaced(self.args, self.ids.tensor, new), **_replaced(self.kwargs, self.ids.tensor, new))
        return found


def _same(ids: Tensor) -> Tensor:
    return ids


NEW = frozenset({"zeros_like", "ones_like", "full_like", "empty_like", "rand_like", "randn_like", "new_zeros", "new_ones"})
NEW |= {"new_full", "new_empty", "new_tensor", "eq", "ne", "lt", "gt", "le", "ge"}
"""Operations that take only the shape of what they are given, or only compare it."""


def _replaced(structure: Any, old: Tensor, new: Tensor) -> Any:
    if isinstance(structure, Tensor):
        return new if structure is old else structure
    if isinstance(structure, (list, tuple)):
        return type(structure)(_replaced(one, old, new) for one in structure)
    if isinstance(structure, Mapping):
        return {name: _replaced(one, old, new) for name, one in structure.items()}
    return structure
