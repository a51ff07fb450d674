"""Operations that go over a sequence step by step: recurrent kernels, and the packing of sequences."""

from __future__ import annotations

import torch
from torch import Tensor

from torchlurk.models.survey.dependence.calls import Call, anything, rule
from torchlurk.models.survey.dependence.intervals import Reach, nothing, union
from torchlurk.models.survey.dependence.mixing import so_far

TIME = 0
"""The kernels have their steps first."""


@rule("mkldnn_rnn_layer")
def recurrent(call: Call) -> tuple[Reach, ...]:
    """Each step depends on all inputs up to it, from the last on where it runs in reverse, and on the first states."""
    given = call.first("input")
    given = given.over(range(1, len(given.shape)))
    before = [one.total() for name in ("hx_", "cx_") for one in call.all(name)]
    given = _turned(so_far(_turned(given), TIME)) if call.arguments["reverse"] else so_far(given, TIME)
    output = union([given.each(lambda sides: sides, call.shape), *before], call.shape)
    last = output.total()
    return (output, *(last.aligned(one.shape) for one in call.outputs[1:]))


@rule("_pack_padded_sequence")
def packed(call: Call) -> tuple[Reach, ...]:
    """The steps that there are, one after the other; how many there are is a constant."""
    return _laid_out(call, "input", "lengths")


@rule("_pad_packed_sequence")
def padded(call: Call) -> tuple[Reach, ...]:
    """The steps back in their places; the padding depends on nothing that matters."""
    return _laid_out(call, "data", "batch_sizes")


def _laid_out(call: Call, name: str, lengths: str) -> tuple[Reach, ...]:
    """The operation itself says where elements go, if the lengths are constants: it is done to the intervals."""
    given = call.first(name)
    if not all(one.empty for one in call.all(lengths)):
        return anything(call)
    others = {other: value for other, value in call.arguments.items() if other != name}

    def moved(sides: Tensor) -> Tensor:
        return torch.stack([call.function(side.contiguous(), **others)[0] for side in sides])

    made = given.full(range(len(given.shape))).each(moved, call.shape)
    return made, *(nothing(given, one.shape) for one in call.outputs[1:])


def _turned(reach: Reach) -> Reach:
    return reach.full([TIME]).each(lambda sides: sides.flip(TIME + 1), reach.shape)


@rule("scatter")
def scattered(call: Call) -> tuple[Reach, ...]:
    """A vector whose every place is written, as a permutation is inverted, depends on what is written alone."""
    index = call.arguments["index"]
    constant = all(one.empty for one in call.all("index"))
    if not (constant and index.dim() == 1 and len(torch.unique(index)) == call.shape[0] and "src" in call.reaches):
        return anything(call)
    call.all("self")
    return (call.first("src").total().aligned(call.shape),)
