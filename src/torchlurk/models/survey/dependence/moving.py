"""Operations that move elements, write constants, or act on each element by itself."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from torchlurk.models.survey.dependence.calls import RULES, Call, anything, base_name, pointwise, rule
from torchlurk.models.survey.dependence.intervals import Reach, joined, nothing, union

RULES.update(dict.fromkeys((
    "silu", "hardswish", "hardsigmoid", "mish", "_prelu_kernel", "rrelu_with_noise", "tril", "triu", "native_dropout",
    "log_sigmoid_forward", "clone", "_to_copy", "detach", "alias", "lift_fresh", "contiguous", "expand", "masked_fill",
    "nan_to_num", "bernoulli", "view_as_real_copy", "resolve_conj", "resolve_neg", "_conj", "_neg_view", "dropout",
), pointwise))  # fmt: skip


@rule("copy")
def overwriting(call: Call) -> Reach:
    """The old content is gone."""
    call.all("self")
    return union(call.all("src"), call.shape)


@rule(
    "fill", "zero", "normal", "uniform", "zeros_like", "ones_like", "full_like", "rand_like", "randn_like", "randint_like",
    "new_zeros", "new_ones", "new_full", "random", "exponential",
)  # fmt: skip
def constant(call: Call) -> Reach:
    """Only the shape of what was there matters; the value filled in does where it is a tensor."""
    like = call.first("self")
    values = call.all("value")
    return union(values, call.shape) if values else nothing(like, call.shape)


@rule(
    "view", "_unsafe_view", "reshape", "_reshape_alias", "unsqueeze", "squeeze", "flatten", "view_copy", "_reshape_copy",
)  # fmt: skip
def reshaped(call: Call) -> Reach | tuple[Reach, ...]:
    """The same elements in another shape; as numbers of another size they are not the same."""
    reach = call.first("self")
    return reach.reshaped(call.shape) if math.prod(reach.shape) == math.prod(call.shape) else anything(call)


@rule("permute")
def permuted(call: Call) -> Reach:
    """The dimensions in another order."""
    return call.first("self").permuted(call.arguments["dims"])


@rule("transpose", "swapaxes", "t")
def transposed(call: Call) -> Reach:
    """Two dimensions exchanged."""
    reach = call.first("self")
    order = list(range(len(reach.shape)))
    if order[1:]:
        a, b = call.arguments.get("dim0", 0), call.arguments.get("dim1", 1)
        order[a], order[b] = order[b], order[a]
    return reach.permuted(order)


@rule("cat")
def concatenated(call: Call) -> Reach:
    """Laid end to end; an empty vector counts for nothing there, whatever the others' shape."""
    parts = [one for one in call.all("tensors") if one.shape != (0,)]
    return joined(parts, call.arguments["dim"] % len(call.shape), call.shape)


@rule("stack")
def stacked(call: Call) -> Reach:
    """Laid side by side along a new dimension."""
    dim = call.arguments["dim"] % len(call.shape)
    shape = [1 if at == dim else size for at, size in enumerate(call.shape)]
    return joined([one.reshaped(shape) for one in call.all("tensors")], dim, call.shape)


MOVED_ALONG = {
    "select": ("dim",), "slice": ("dim",), "split": ("dim",), "split_with_sizes": ("dim",), "unsafe_split": ("dim",),
    "unbind": ("dim",), "flip": ("dims",), "roll": ("dims",), "unfold": ("dimension",), "index_select": ("dim",),
    "diagonal": ("dim1", "dim2"),
}  # fmt: skip
MOVED = (
    "pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "index", "_unsafe_index", "gather", "repeat", "im2col",
    "reflection_pad1d", "reflection_pad2d", "reflection_pad3d", "replication_pad1d", "replication_pad2d",
    "replication_pad3d", "rot90", "take", "masked_select",
)  # fmt: skip


@rule(*MOVED_ALONG, *MOVED)
def moved(call: Call) -> tuple[Reach, ...]:
    """The operation itself says where elements go: it is done to the intervals."""
    first = next(iter(call.reaches))
    reach = call.first(first)
    named = [call.arguments[name] for name in MOVED_ALONG.get(base_name(call.function), ())]
    dims: list[int] = [dim for one in named for dim in (one if isinstance(one, Sequence) else [one])]
    reach = reach.full(dims or range(len(reach.shape)))
    others = {name: value for name, value in call.arguments.items() if name != first}

    def through(sides: Tensor) -> list[Tensor]:
        results = [call.function(side, **others) for side in sides]
        return [torch.stack(parts) for parts in zip(*map(_listed, results), strict=True)]

    rows, columns = through(reach.rows), through(reach.columns)
    return tuple(
        Reach(row, column, tuple(output.shape), reach.height, reach.width)
        for row, column, output in zip(rows, columns, call.outputs, strict=True)
    )


def _listed(result: Tensor | Sequence[Tensor]) -> list[Tensor]:
    return [result] if isinstance(result, Tensor) else list(result)


@rule("constant_pad_nd")
def padded(call: Call) -> Reach:
    """A border of constants, or a negative one: a crop."""
    reach, pad = call.first("self"), call.arguments["pad"]
    for at in range(len(pad) // 2):
        dim = len(reach.shape) - 1 - at
        before, after = pad[2 * at], pad[2 * at + 1]
        reach = reach.through(dim, torch.arange(-before, reach.shape[dim] + after)[:, None])
    return reach
