"""Relevance through recurrent modules and cells: gates get nothing, what they let through gets all (Arras et al. 2017,
arXiv 1706.07206, sec. 3).

With the gates held fixed, and tanh(x) taken as x times the fixed number tanh(x) / x, a recurrent layer is linear in its
inputs and first states, but for its biases. The relevance of an input is then the input times the gradient of that linear
layer: the ε-rule for ε → 0, without a division that could lose any.

By the z⁺-rule (`plus`), sums are shared out among the terms of their own sign (`agreeing`): over many steps the shares of the
linear layer may grow without bound, for and against, and these do not.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor
from torch.autograd.function import once_differentiable

from torchlurk.attribution.agreeing import added, agreeing, products
from torchlurk.models.taps.recurrent import STATE, Laid, Steps, Weights, lengths_of, packed_again, padded, turned

MODES = {"lstm": "LSTM", "gru": "GRU", "rnn_tanh": "RNN_TANH", "rnn_relu": "RNN_RELU"}
"""The operations that run whole modules, by the names of `operation_name`."""

CELLS = {f"{name}_cell": mode for name, mode in MODES.items()}


class _Entered(torch.autograd.Function):
    """A tensor where it enters the linear layer: what comes back is a gradient, and goes on as relevance."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        product: Tensor = x * gradient
        return product


class _Left(torch.autograd.Function):
    """A tensor where it leaves the linear layer: what comes back is relevance, and goes on as a gradient."""

    @staticmethod
    def forward(ctx: Any, y: Tensor) -> Tensor:
        ctx.save_for_backward(y)
        return y.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, relevance: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        return torch.where(y == 0, 0.0, relevance / y)


def entered(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """See `_Entered`."""
    result: Tensor = _Entered.apply(x)  # type: ignore[no-untyped-call]
    return result


def left(y: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """See `_Left`."""
    result: Tensor = _Left.apply(y)  # type: ignore[no-untyped-call]
    return result


def squashed(z: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """tanh(z) as a multiple of z."""
    fixed = z.detach()
    return z * torch.where(fixed == 0, 1.0, fixed.tanh() / fixed)


def opened(z: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """A gate as a unit of its own: the half that it is open at z = 0 is as a bias, the rest a multiple of z."""
    fixed = z.detach()
    return 0.5 + z * torch.where(fixed == 0, 0.25, (fixed.sigmoid() - 0.5) / fixed)


def held(z: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """A gate as a fixed number."""
    return z.detach().sigmoid()


State = tuple[Tensor, Tensor | None]
"""h, and of an LSTM c."""


def stepped(
    mode: str, weights: Weights, given: Float[Tensor, "batch gates"], before: State, x: Float[Tensor, "batch feature"] | None
) -> State:
    """The state after one step of the linear layer; `given` is what the step's input contributes to all gates.

    With that input itself, `x`, by the z⁺-rule.
    """
    hidden, cell = before
    add = torch.add if x is None else added
    if mode == "GRU":
        _, z, n = _gates_of_gru(weights, given, hidden, x)
        kept = held(z)
        return add((1 - kept) * squashed(n), kept * hidden), None
    total = _total(weights, given, hidden, x)
    if mode == "LSTM":
        assert cell is not None
        i, f, g, o = total.chunk(4, -1)
        cell = add(held(f) * cell, held(i) * squashed(g))
        hidden = held(o) * squashed(cell)
        return (hidden if weights.projection is None else _projected(hidden, weights.projection, plus=x is not None)), cell
    return (total.relu() if mode == "RNN_RELU" else squashed(total)), None


def _total(weights: Weights, given: Tensor, hidden: Tensor, x: Tensor | None) -> Tensor:
    """What all gates are of, from a step's input and the state before it."""
    total = given + F.linear(hidden, weights.state, weights.state_bias)
    return total if x is None else agreeing(total, products(x, weights.input), products(hidden, weights.state))


def _gates_of_gru(weights: Weights, given: Tensor, hidden: Tensor, x: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """The same of a GRU, whose reset gate stands before what the state contributes to the candidate."""
    fed_back = F.linear(hidden, weights.state, weights.state_bias)
    (r, z, n), (back_r, back_z, back_n) = given.chunk(3, -1), fed_back.chunk(3, -1)
    reset = held(r + back_r)
    if x is None:
        return r + back_r, z + back_z, n + reset * back_n
    both = products(x, weights.input), products(hidden, weights.state)
    of_x, of_state = (tuple(zip(*(one.chunk(3, -1) for one in parts), strict=True)) for parts in both)
    candidate = agreeing(n + reset * back_n, of_x[2], (reset * of_state[2][0], reset * of_state[2][1]))
    return agreeing(r + back_r, of_x[0], of_state[0]), agreeing(z + back_z, of_x[1], of_state[1]), candidate


def _projected(hidden: Tensor, projection: Tensor, *, plus: bool) -> Tensor:
    found = F.linear(hidden, projection)
    return agreeing(found, products(hidden, projection)) if plus else found


def streams_of_relevance(
    mode: str, weights: Weights, steps: Steps, wanted: Collection[str], *, plus: bool = False
) -> dict[str, Float[Tensor, "time batch unit"]]:
    """As `unrolled_streams`, with relevance going back, with `plus` by the z⁺-rule."""
    if not set(wanted) - {STATE}:
        return {}
    weights = _fixed(weights)
    inputs, states = entered(steps.inputs), entered(steps.states)
    hidden, cell = (None if one is None else entered(one) for one in steps.before)
    assert hidden is not None
    earlier = torch.cat([hidden[None], states[:-1]])
    given, x = F.linear(inputs, weights.input, weights.input_bias), inputs if plus else None
    if mode == "GRU":
        r, z, n = _gates_of_gru(weights, given, earlier, x)
        return {"r": left(opened(r)), "z": left(opened(z)), "n": left(squashed(n))}
    i, f, g, o = _total(weights, given, earlier, x).chunk(4, -1)
    found = {"i": left(opened(i)), "f": left(opened(f)), "g": left(squashed(g)), "o": left(opened(o))}
    if "c" in wanted:
        cells = []
        for kept, new in zip(held(f), held(i) * squashed(g), strict=True):
            cell = added(kept * cell, new) if plus else kept * cell + new
            cells.append(cell)
        found["c"] = left(torch.stack(cells))
    return found


def cell_of_relevance(mode: str, args: Sequence[Any], *, plus: bool = False) -> Any:
    """A call of a cell, with relevance going back; `args` are those of torch's own function."""
    x, hx, *flat = args
    biases = flat[2:4] or (None, None)
    weights = _fixed(Weights(flat[0], flat[1], biases[0], biases[1], ()))
    hidden, cell = hx if mode == "LSTM" else (hx, None)
    before = entered(hidden), None if cell is None else entered(cell)
    given = entered(x)
    state, after = stepped(mode, weights, F.linear(given, weights.input, weights.input_bias), before, given if plus else None)
    return (left(state), left(after)) if after is not None else left(state)


@dataclass(frozen=True, slots=True)
class _Call:
    """A call of torch's kernel for whole modules; `sizes` only of a packed sequence."""

    data: Tensor
    sizes: Int64[Tensor, " time"] | None
    states: Tensor
    cells: Tensor | None
    flat: Sequence[Tensor]
    biases: bool
    layers: int
    directions: int
    batch_first: bool

    @classmethod
    def of(cls, mode: str, args: Sequence[Any]) -> _Call:
        """From the kernel's own arguments."""
        packed = not isinstance(args[3], bool)
        data, sizes, *rest = args if packed else (args[0], None, *args[1:])
        hx, flat, biases, layers, _, _, both = rest[:7]
        states, cells = hx if mode == "LSTM" else (hx[0] if isinstance(hx, (tuple, list)) else hx, None)
        return cls(data, sizes, states, cells, flat, biases, layers, 2 if both else 1, not packed and rest[7])

    def weights(self, place: int) -> Weights:
        """Of a layer and direction."""
        each = len(self.flat) // (self.layers * self.directions)
        own = tuple(one.detach() for one in self.flat[place * each : (place + 1) * each])
        biases = own[2:4] if self.biases else (None, None)
        return Weights(own[0], own[1], biases[0], biases[1], own, own[-1] if each in (3, 5) else None)


def module_of_relevance(mode: str, args: Sequence[Any], *, plus: bool = False) -> tuple[Tensor, ...]:
    """A call of a recurrent module, with relevance going back; `args` are those of torch's own kernel."""
    call = _Call.of(mode, args)
    data = call.data.transpose(0, 1) if call.batch_first else call.data
    lengths = None if call.sizes is None else lengths_of(call.sizes)
    steps = entered(padded(Laid(data, call.sizes)))
    states = entered(call.states)
    cells = None if call.cells is None else entered(call.cells)
    last: list[State] = []
    for layer in range(call.layers):
        outputs = []
        for direction in range(call.directions):
            place = layer * call.directions + direction
            before = states[place], None if cells is None else cells[place]
            turn = (lambda one: _back(one, lengths)) if direction else (lambda one: one)
            output, after = _run(mode, call.weights(place), turn(steps), before, lengths, plus=plus)
            outputs.append(turn(output))
            last.append(after)
        steps = torch.cat(outputs, -1)
    output = left(steps if call.sizes is None else packed_again(steps, call.sizes))
    finals = [left(torch.stack(list(one))) for one in zip(*last, strict=True) if isinstance(one[0], Tensor)]
    return (output.transpose(0, 1) if call.batch_first else output, *finals)


def _back(steps: Tensor, lengths: Tensor | None) -> Tensor:
    return steps.flip(0) if lengths is None else turned(steps, lengths)


def _run(
    mode: str,
    weights: Weights,
    steps: Float[Tensor, "time batch feature"],
    before: State,
    lengths: Tensor | None,
    *,
    plus: bool,
) -> tuple[Float[Tensor, "time batch unit"], State]:
    """All steps of one layer and direction; an example that has ended keeps its state, and gives zeros."""
    given = F.linear(steps, weights.input, weights.input_bias)
    state, outputs = before, []
    for step, own in enumerate(given):
        after = stepped(mode, weights, own, state, steps[step] if plus else None)
        if lengths is None:
            state = after
            outputs.append(after[0])
            continue
        goes_on = (lengths.to(own.device) > step)[:, None]
        state = _chosen(goes_on, after, state)
        outputs.append(torch.where(goes_on, after[0], 0.0))
    return torch.stack(outputs), state


def _chosen(goes_on: Tensor, after: State, before: State) -> State:
    hidden = torch.where(goes_on, after[0], before[0])
    return hidden, None if after[1] is None or before[1] is None else torch.where(goes_on, after[1], before[1])


def _fixed(weights: Weights) -> Weights:
    """Without gradients, which would count them among what the network was given."""
    return weights._replace(
        input=weights.input.detach(),
        state=weights.state.detach(),
        input_bias=_detached(weights.input_bias),
        state_bias=_detached(weights.state_bias),
    )


def _detached(bias: Tensor | None) -> Tensor | None:
    return None if bias is None else bias.detach()
