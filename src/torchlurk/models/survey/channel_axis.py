"""Along which axis a tensor has its channels: followed from operation to operation.

Convolutions put them on axis 1, linear layers on the last; everything else keeps, moves or loses them. Where operands
disagree (the token mixing of an MLP-Mixer added to the residual stream) the one that came to be first decides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class Arranged(Protocol):
    """What is known of an operand: its shape, where its channels are, and how early it came to be."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def axis(self) -> int | None: ...
    @property
    def age(self) -> int: ...


CONVOLUTIONS = {"conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"}
CONVOLUTIONS |= {"convolution", "deform_conv2d"}
DENSE = {"linear", "bilinear", "multi_head_attention_forward"}
PRODUCTS = {"matmul", "mm", "bmm", "addmm", "baddbmm", "einsum", "tensordot"}
RECURRENT = {"lstm", "gru", "rnn_tanh", "rnn_relu", "lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell"}
NORMALIZATIONS = {"batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm", "local_response_norm", "normalize"}
FIRST_BY_DEFAULT = {"batch_norm", "group_norm", "instance_norm", "local_response_norm", "interpolate", "pixel_shuffle"}
FIRST_BY_DEFAULT |= {"pixel_unshuffle", "channel_shuffle", "grid_sample", "prelu", "unfold", "fold"}
LAST_BY_DEFAULT = {"layer_norm", "rms_norm"}

REARRANGEMENTS = {"view", "reshape", "reshape_as", "view_as", "permute", "transpose", "t", "T", "mT", "movedim", "swapaxes"}
REARRANGEMENTS |= {"swapdims", "moveaxis", "unsqueeze", "squeeze", "flatten", "unflatten", "expand", "expand_as"}
REARRANGEMENTS |= {"getitem", "select", "narrow", "chunk", "split", "split_with_sizes", "tensor_split", "unbind", "roll"}
REARRANGEMENTS |= {"flip", "ravel", "broadcast_to", "repeat", "repeat_interleave", "channel_shuffle", "rot90", "index_select"}
REDUCTIONS = {"mean", "sum", "amax", "amin", "max", "min", "logsumexp", "norm", "var", "std"}
COPIES = {"contiguous", "clone", "to", "type", "float", "half", "bfloat16", "double", "type_as", "detach", "alias", "data"}
COPIES |= {"dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout", "requires_grad"}
COPIES |= {"identity", "cpu", "cuda"}


def output_axis(
    name: str,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    inputs: Sequence[Arranged],
    shape: tuple[int, ...],
    active: Callable[[Any], bool],
) -> int | None:
    """The axis of the channels in a result of `shape`, None if it cannot be told.

    `inputs` are the operands that depend on the network's input, in order; `active` tells whether an argument is
    one of them. A matrix (example, value) has them on axis 1.
    """
    rank = len(shape)
    if rank < 2:
        return None
    if rank == 2 or name in CONVOLUTIONS:
        return 1
    if name in DENSE or name in RECURRENT or name == "embedding":
        return rank - 1
    if name in PRODUCTS:
        return _product(name, args, inputs, rank, active)
    if name in REARRANGEMENTS:
        axis = _rearranged(name, args, kwargs, inputs[0], shape)
        return axis if axis is not None and 0 < axis < rank else None
    if name == "stack":
        return None
    if name in REDUCTIONS:
        return _reduced(args, kwargs, inputs[0], rank)
    known = [one for one in inputs if one.axis is not None and len(one.shape) == rank]
    if known:
        return min(known, key=lambda one: one.age).axis
    if name in LAST_BY_DEFAULT:
        return rank - 1
    return 1 if name in FIRST_BY_DEFAULT or "pool" in name or name.startswith("upsample") else None


def _product(
    name: str, args: Sequence[Any], inputs: Sequence[Arranged], rank: int, active: Callable[[Any], bool]
) -> int | None:
    """A weight on the right makes the last axis, one on the left the last but one; two activations keep the right one's."""
    if name == "einsum":
        return _einsum(args, active)
    factors = [one for one in args if isinstance(one, Tensor)][-2:]
    if len(factors) == 2 and not active(factors[1]):
        return rank - 1
    if len(factors) == 2 and not active(factors[0]):
        return rank - 2
    last = inputs[-1]
    return rank - 1 if last.axis == len(last.shape) - 1 else None


def _einsum(args: Sequence[Any], active: Callable[[Any], bool]) -> int | None:
    """The letter of the result that only weights have."""
    if not (args and isinstance(args[0], str) and "->" in args[0] and "." not in args[0]):
        return None
    operands, result = args[0].replace(" ", "").split("->")
    factors = args[1] if len(args) == 2 and isinstance(args[1], (list, tuple)) else args[1:]
    pairs = list(zip(operands.split(","), factors, strict=False))
    of_activations = {letter for letters, factor in pairs if active(factor) for letter in letters}
    new = [place for place, letter in enumerate(result) if letter not in of_activations]
    return new[0] if len(new) == 1 else None


def _reduced(args: Sequence[Any], kwargs: Mapping[str, Any], source: Arranged, rank: int) -> int | None:
    dims = kwargs.get("dim", args[1] if len(args) > 1 else None)
    if source.axis is None or dims is None:
        return None
    if len(source.shape) == rank:
        return source.axis
    gone = {dim % len(source.shape) for dim in ([dims] if isinstance(dims, int) else dims)}
    return None if source.axis in gone else source.axis - sum(dim < source.axis for dim in gone)


def _rearranged(
    name: str, args: Sequence[Any], kwargs: Mapping[str, Any], source: Arranged, shape: tuple[int, ...]
) -> int | None:
    axis, before, rank = source.axis, len(source.shape), len(shape)
    if axis is None:
        return None
    numbers = [one for arg in args[1:] for one in (arg if isinstance(arg, (list, tuple)) else [arg]) if isinstance(one, int)]
    if name == "permute":
        order = [dim % before for dim in numbers or kwargs.get("dims", ())]
        return order.index(axis) if axis in order else None
    if name in ("transpose", "swapaxes", "swapdims", "t", "T", "mT"):
        return _swapped(name, numbers or [value for value in kwargs.values() if isinstance(value, int)], axis, before)
    if name in ("movedim", "moveaxis"):
        return _moved(args, kwargs, axis, before)
    if name in ("unsqueeze", "select", "unbind"):
        dim: int = kwargs.get("dim", numbers[0] if numbers else 0)
        place = dim % (before + 1 if name == "unsqueeze" else before)
        if name == "unsqueeze":
            return axis + (place <= axis)
        return None if place == axis else axis - (place < axis)
    if name in ("expand", "expand_as", "broadcast_to", "repeat"):
        return axis + rank - before
    if name == "getitem":
        return _indexed(args[1], axis, before)
    if rank == before and name not in ("view", "reshape", "reshape_as", "view_as", "flatten", "unflatten"):
        return axis
    return _reshaped(axis, source.shape, shape)


def _swapped(name: str, dims: Sequence[int], axis: int, rank: int) -> int:
    if name == "T":
        return rank - 1 - axis
    pair = [rank - 1, rank - 2] if name == "mT" else [dim % rank for dim in dims[:2]] or [0, 1]
    return pair[1 - pair.index(axis)] if axis in pair else axis


def _moved(args: Sequence[Any], kwargs: Mapping[str, Any], axis: int, rank: int) -> int | None:
    source = kwargs.get("source", args[1] if len(args) > 1 else None)
    target = kwargs.get("destination", args[2] if len(args) > 2 else None)
    if not (isinstance(source, int) and isinstance(target, int)):
        return None
    order = [dim for dim in range(rank) if dim != source % rank]
    order.insert(target % rank, source % rank)
    return order.index(axis)


def _indexed(index: Any, axis: int, rank: int) -> int | None:
    """Where `axis` is after indexing by numbers, slices, None and an ellipsis; None after anything else."""
    items = list(index) if isinstance(index, tuple) else [index]
    if any(not isinstance(item, (int, slice, type(None), type(Ellipsis))) for item in items):
        return None
    taken = sum(isinstance(item, (int, slice)) for item in items)
    rest: list[Any] = [slice(None)] * (rank - taken)
    if Ellipsis in items:
        place = items.index(Ellipsis)
        items[place : place + 1] = rest
    else:
        items += rest
    dim = result = 0
    for item in items:
        if item is None:
            result += 1
            continue
        if dim == axis:
            return None if isinstance(item, int) else result
        dim += 1
        result += not isinstance(item, int)
    return None


def _reshaped(axis: int, before: tuple[int, ...], after: tuple[int, ...]) -> int | None:
    """An axis stays where it is if all extents up to it stay, or moves with the end if all extents from it on stay."""
    if before[: axis + 1] == after[: axis + 1]:
        return axis
    tail = before[axis:]
    return len(after) - len(tail) if after[-len(tail) :] == tail else None
