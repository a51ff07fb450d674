"""The linear map that a network ends in, and what each unit that it reads adds to each output."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from torchlurk.models.survey.channel_axis import COPIES, REARRANGEMENTS, RECURRENT
from torchlurk.models.survey.recorded import Call, Operation, Recording, Value
from torchlurk.records import Layer

AFTER = COPIES | REARRANGEMENTS | {"log_softmax", "softmax", "stack", "cat"}
"""What may come after the map; the last two put the steps of a loop together."""

BEFORE = COPIES | REARRANGEMENTS | {"pack_padded_sequence", "pad_packed_sequence"}
"""What may come between the units and the map, as long as the units stay the last axis."""

PRODUCTS = {"linear", "matmul", "mm"}

Widths = Mapping[str, int]
"""Layers whose units lie one after the other along the last axis of a value, each with how many it has."""


def head_weights(recording: Recording, read: Mapping[Value, Sequence[Widths]]) -> dict[str, Float[Tensor, "output unit"]]:
    """By layer, what each unit adds to each output for each unit of its value: the weights of the linear map that the first
    output comes from, with nothing but copies, rearrangements and a softmax after it.

    Empty where the network does not end in one, or the map reads something else than a value in `read`, which has all ways to
    divide the value's last axis into layers.
    """
    products = list(dict.fromkeys(_products(recording.outputs[0]))) if recording.outputs else []
    weights, sources = [_weight(one) for one in products], [_source(one, read) for one in products]
    weight, source = next(iter(weights), None), next(iter(sources), None)
    if weight is None or not source or any(one != source for one in sources):
        return {}
    if any(one is None or one.data_ptr() != weight.data_ptr() for one in weights):
        return {}
    found: dict[str, Float[Tensor, "output unit"]] = {}
    for widths in source:
        if sum(widths.values()) == weight.shape[1]:
            found |= zip(widths, torch.split(weight.detach(), list(widths.values()), 1), strict=True)
    return found


def _products(value: Value) -> Iterator[Operation | None]:
    """The products that a value comes from; None stands for anything else."""
    operation = value.producer
    if operation is not None and operation.name in AFTER:
        for one in operation.inputs:
            yield from _products(one)
    else:
        yield operation if operation is not None and operation.name in PRODUCTS else None


def _weight(product: Operation | None) -> Float[Tensor, "output unit"] | None:
    if product is None or len(product.weights) != 1 or product.weights[0].ndim != 2:
        return None
    return product.weights[0] if product.name == "linear" else product.weights[0].T


def _source(product: Operation | None, read: Mapping[Value, Sequence[Widths]]) -> Sequence[Widths]:
    """The layers whose units a product takes, through copies and rearrangements that keep them on the last axis."""
    if product is None:
        return ()
    value, units = product.operand, product.operand.shape[-1]
    found = list(read.get(value, ()))
    while (operation := value.producer) and operation.name in BEFORE and operation.operand.shape[-1] == units:
        value = operation.operand
        found += read.get(value, ())
    return found


def values_of_states(call: Call, layers: Mapping[str, Layer]) -> Iterator[tuple[Value, Widths]]:
    """The values that a call of a recurrent module or cell gives, with the layers whose states they are."""
    kernels = [operation.outputs for operation in call.operations if operation.name in RECURRENT and operation.outputs]
    if not kernels:
        return
    if isinstance(call.module, nn.RNNBase):
        last = f"l{call.module.num_layers - 1}"
        every = {layer.module for layer in layers.values()}
        owner = call.name if call.name in every else call.path  # of one that is called once a step
        streams = {last, f"{last}_reverse"}
    else:
        owner, streams = call.path or call.name, {""}
    widths = {name: layer.channels for name, layer in layers.items() if layer.module == owner and layer.stream in streams}
    states, *final = kernels[-1]
    yield states, widths
    if final and isinstance(call.module, nn.RNNBase) and final[0].shape[:1] == (1,):  # the state after the last step
        yield final[0], widths
