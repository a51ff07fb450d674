"""Operations that mix whole dimensions: sums, normalization, matrix products, attention."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from torchlurk.models.survey.dependence.calls import Call, rule
from torchlurk.models.survey.dependence.intervals import Reach, union


def _dims(call: Call, name: str, rank: int) -> list[int]:
    """The dimensions that an argument names; all where it names none."""
    value = call.arguments.get(name)
    if isinstance(value, int):
        return [value]
    return list(value) if isinstance(value, Sequence) and value else list(range(rank))


@rule(
    "mean", "sum", "nansum", "amax", "amin", "aminmax", "max", "min", "prod", "var", "std", "var_mean", "std_mean", "norm",
    "linalg_vector_norm", "logsumexp", "argmax", "argmin", "any", "all", "median", "nanmedian", "mode", "count_nonzero",
    "kthvalue",
)  # fmt: skip
def reduced(call: Call) -> tuple[Reach, ...]:
    """Each element depends on everything along the dimensions that are gone; two operands are compared one by one."""
    reach = call.first("self")
    if "other" in call.reaches:
        return (union([reach, call.first("other")], call.shape),)
    reach = reach.over(_dims(call, "dim", len(reach.shape)))
    return tuple(reach.reshaped(tuple(output.shape)) for output in call.outputs)


@rule(
    "_softmax", "_log_softmax", "_safe_softmax", "sort", "argsort", "topk",
)  # fmt: skip
def spread(call: Call) -> tuple[Reach, ...]:
    """Each element depends on everything along a dimension that stays."""
    reach = call.first("self").over(_dims(call, "dim", 0))
    return tuple(_like(reach, output.shape) for output in call.outputs)


@rule("cumsum", "cumprod", "cummax", "cummin", "_cummax_helper", "_cummin_helper", "logcumsumexp")
def running(call: Call) -> tuple[Reach, ...]:
    """Each element depends on what comes before it along a dimension, and on itself."""
    return (so_far(call.first("self"), call.arguments["dim"]),) * len(call.outputs)


@rule("native_layer_norm", "_fused_rms_norm", "rms_norm")
def layer_normalized(call: Call) -> tuple[Reach, ...]:
    """Over the last dimensions."""
    reach = call.first("input")
    reach = reach.over(range(-len(call.arguments["normalized_shape"]), 0))
    return tuple(_like(reach, output.shape) for output in call.outputs if output.dim() == len(reach.shape))


@rule("native_group_norm")
def group_normalized(call: Call) -> Reach:
    """Over the channels of a group at all positions."""
    reach, groups = call.first("input"), call.arguments["group"]
    batch, channels, *space = reach.shape
    grouped = reach.reshaped((batch, groups, channels // groups, *space)).over(range(2, 3 + len(space)))
    return _like(grouped, (batch, groups, channels // groups, *space)).reshaped(reach.shape)


@rule(
    "native_batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_no_training", "cudnn_batch_norm",
    "miopen_batch_norm", "_batch_norm_with_update", "_batch_norm_no_update",
)  # fmt: skip
def batch_normalized(call: Call) -> Reach:
    """By kept statistics each element by itself; by those of the batch over all that is in the channel."""
    reach = call.first("input")
    if not call.arguments.get("training", call.arguments.get("train", False)):
        return reach
    return _like(reach.over([0, *range(2, len(reach.shape))]), reach.shape)


@rule("embedding")
def embedded(call: Call) -> Reach:
    """Each element depends on its token; the table is a constant."""
    indices = call.first("indices")
    return _like(indices.reshaped((*indices.shape, 1)), call.shape)


@rule("mm", "bmm", "addmm", "baddbmm", "_addmm_activation")
def multiplied(call: Call) -> Reach:
    """Each element depends on its row of the left and its column of the right factor, and on what is added."""
    *added, left, right = (call.first(name) for name in call.reaches)
    return union([*added, left.over([-1]), right.over([-2])], call.shape)


@rule(
    "_scaled_dot_product_flash_attention_for_cpu", "_scaled_dot_product_flash_attention",
    "_scaled_dot_product_efficient_attention", "_scaled_dot_product_cudnn_attention",
    "_scaled_dot_product_fused_attention_overrideable", "_scaled_dot_product_attention_math",
)  # fmt: skip
def attended(call: Call) -> Reach:
    """Each query depends on itself and, by the softmax, on all keys and values; on earlier ones only where causal."""
    query, key, value = (call.first(name) for name in ("query", "key", "value"))
    key = key.over([-1])
    if call.arguments.get("is_causal") and query.shape[-2] == key.shape[-2]:
        key, value = so_far(key, -2), so_far(value, -2)
    else:
        key, value = key.over([-2]), value.over([-2])
    if key.shape[1] != query.shape[1]:
        key, value = key.over([1]), value.over([1])
    masks = [mask.over([-1]) for name in ("attn_mask", "attn_bias") for mask in call.all(name)]
    return union([query.over([-1]), key, value, *masks], call.shape)


def so_far(reach: Reach, dim: int) -> Reach:
    """Along a dimension the union of everything up to each place."""
    along = dim % max(1, len(reach.shape))
    return reach.full([along]).each(lambda sides: torch.cummax(sides, along + 1).values, reach.shape) if reach.shape else reach


def _like(reach: Reach, shape: Sequence[int]) -> Reach:
    """The same intervals as reach of a tensor that is larger where they are of size 1."""
    return reach.each(lambda sides: sides, shape)
