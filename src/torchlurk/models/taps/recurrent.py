"""Recurrent modules, one layer at a time: states, cells and gates at every step, from the module's own weights.

torch gives out the states of the last layer alone. Here each layer runs through torch's own kernel by itself, which gives the
same states to the bit; gates follow in two matrix products from the inputs and the states one step
before. Rows of the weights are i, f, g, o for an LSTM (Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al.
2000) and r, z, n for a GRU (Cho et al. 2014), as torch has them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import _VF, Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence
from torch.overrides import handle_torch_function, has_torch_function

from torchlurk.errors import ModelError

STATE = ""
"""The stream of the states h, which are the layer itself."""

GATES: Mapping[str, tuple[str, ...]] = {"LSTM": ("i", "f", "g", "o"), "GRU": ("r", "z", "n"), "RNN_TANH": (), "RNN_RELU": ()}
"""The gates by mode, in the order of the rows of the weights."""

CELLS = {nn.LSTMCell: "LSTM", nn.GRUCell: "GRU", nn.RNNCell: "RNN_TANH"}

KERNELS: Mapping[str, Callable[..., Any]] = {
    "LSTM": _VF.lstm,
    "GRU": _VF.gru,
    "RNN_TANH": _VF.rnn_tanh,
    "RNN_RELU": _VF.rnn_relu,
}


def streams_of(module: nn.Module) -> tuple[str, ...]:
    """What can be read of one layer and direction of a recurrent module, or of a cell: the states first; none of others."""
    mode = mode_of(module)
    if mode is None:
        return ()
    cell = ("c",) if mode == "LSTM" else ()
    return (STATE, *cell, *GATES[mode])


def mode_of(module: nn.Module) -> str | None:
    """The kind of recurrence, as torch calls it; None of a module that is not recurrent."""
    if isinstance(module, nn.RNNBase) and module.mode in GATES:
        return module.mode
    if isinstance(module, nn.RNNCell):
        return "RNN_RELU" if module.nonlinearity == "relu" else "RNN_TANH"
    return next((mode for kind, mode in CELLS.items() if isinstance(module, kind)), None)


def parts_of(module: nn.RNNBase) -> tuple[str, ...]:
    """The layers and directions of a module, in the order in which they run: `l0`, `l0_reverse`, `l1`, …"""
    suffixes = ("", "_reverse") if module.bidirectional else ("",)
    return tuple(f"l{layer}{suffix}" for layer in range(module.num_layers) for suffix in suffixes)


def width_of(module: nn.Module, stream: str) -> int:
    """How many units a stream has: a projection makes the states narrower than cells and gates."""
    projected = getattr(module, "proj_size", 0) if stream == STATE else 0
    return int(projected or module.hidden_size)  # type: ignore[arg-type]


class Weights(NamedTuple):
    """Those of one layer and direction; no biases and no projection where the module has none. `all` are in torch's order."""

    input: Float[Tensor, "gates feature"]
    state: Float[Tensor, "gates unit"]
    input_bias: Float[Tensor, " gates"] | None
    state_bias: Float[Tensor, " gates"] | None
    all: tuple[Tensor, ...]
    projection: Float[Tensor, "state unit"] | None = None


@dataclass(frozen=True, slots=True)
class Steps:
    """What one layer and direction was given and gave at each step, time first; of a reverse direction, in its own order."""

    inputs: Float[Tensor, "time batch feature"]
    states: Float[Tensor, "time batch unit"]
    before: tuple[Float[Tensor, "batch unit"], Float[Tensor, "batch cell"] | None]
    """State and cell before the first step."""


def _product(inputs: Tensor, weights: Tensor, bias: Tensor | None) -> Tensor:
    """`linear`, in inference mode by oneDNN where torch has it for a CPU.

    torch's recurrent kernels are oneDNN's; its `linear` is MKL's, which takes twice as long on processors that are not Intel's.
    """
    quick = inputs.is_cpu and inputs.dtype is torch.float32 and torch.is_inference_mode_enabled() and inputs.numel() > 0
    there = torch._C._has_mkldnn and torch._C._get_mkldnn_enabled()
    by_onednn = getattr(torch.ops.mkldnn, "_linear_pointwise", None) if quick and there else None
    if by_onednn is not None:
        with suppress(RuntimeError):  # the operator is torch's own affair: in other versions its arguments may be others
            found: Tensor = by_onednn(inputs, weights, bias, "none", [], "")
            return found
    return torch.nn.functional.linear(inputs, weights, bias)


def unrolled_streams(
    mode: str, weights: Weights, steps: Steps, wanted: Collection[str]
) -> dict[str, Float[Tensor, "time batch unit"]]:
    """The cells and gates among `wanted` at every step, time first, from the inputs and the states.

    A function mode of torch sees it as one operation.
    """
    given_tensors = (steps.inputs, steps.states)
    if has_torch_function(given_tensors):
        found: dict[str, Tensor] = handle_torch_function(unrolled_streams, given_tensors, mode, weights, steps, wanted)
        return found
    found = {}
    if not set(wanted) - {STATE}:
        return found
    hidden, cell = steps.before
    earlier = torch.cat([hidden[None], steps.states[:-1]])
    if mode == "GRU":
        given = _product(steps.inputs, weights.input, weights.input_bias)
        fed_back = _product(earlier, weights.state, weights.state_bias)
        (r, z, n), (back_r, back_z, back_n) = given.chunk(3, -1), fed_back.chunk(3, -1)
        reset = torch.sigmoid(r + back_r)
        return {"r": reset, "z": torch.sigmoid(z + back_z), "n": torch.tanh(n + reset * back_n)}
    both = torch.cat([weights.input, weights.state], 1)  # one product is quicker than two and their sum
    bias = None if weights.input_bias is None or weights.state_bias is None else weights.input_bias + weights.state_bias
    i, f, g, o = _product(torch.cat([steps.inputs, earlier], -1), both, bias).chunk(4, -1)
    found = {"i": torch.sigmoid(i), "f": torch.sigmoid(f), "g": torch.tanh(g), "o": torch.sigmoid(o)}
    if "c" in wanted:
        assert cell is not None
        cells = []
        for kept, new in zip(found["f"], found["i"] * found["g"], strict=True):
            cell = kept * cell + new
            cells.append(cell)
        found["c"] = torch.stack(cells)
    return found


class Laid(NamedTuple):
    """A sequence as the kernels take it: padded and time first, or packed (`sizes` then says how many examples have each
    step, longest first).
    """

    data: Tensor
    sizes: Int64[Tensor, " time"] | None


Tell = Callable[[str, str, Tensor], None]
"""Is told a part (`l0_reverse`), a stream and its values (batch, time, unit)."""


@contextmanager
def checking_packed(module: nn.Module) -> Iterator[None]:
    """Within it, recurrent modules refuse packed sequences of another width than theirs, as they do unpacked ones.

    torch computes on, with whatever lies in memory beside the weights.
    """

    def check(one: nn.RNNBase, given: tuple[Any, ...]) -> None:
        packed = given[0] if given else None
        if isinstance(packed, PackedSequence) and packed.data.shape[-1] != one.input_size:
            raise RuntimeError(f"a packed sequence has {packed.data.shape[-1]} channels where {one.input_size} were expected")

    handles = [one.register_forward_pre_hook(check) for one in module.modules() if isinstance(one, nn.RNNBase)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class Unrolled:
    """A recurrent module's forward, done one layer at a time; what it returns is what the module returns.

    `wanted` has for each part the streams that are told of, as soon as the part has run.
    """

    def __init__(self, module: nn.RNNBase, wanted: Mapping[str, Collection[str]], tell: Tell) -> None:
        self.module, self.wanted, self.tell = module, wanted, tell
        self.mode, self.parts = module.mode, parts_of(module)
        self._usual = module.forward
        self._order: Tensor | None = None

    def __call__(self, input: Tensor | PackedSequence, hx: Any = None) -> Any:
        """As `torch.nn.LSTM.forward`, and that of the others."""
        if isinstance(input, PackedSequence):
            return self._packed(input, hx)
        module = self.module
        if input.dim() not in (2, 3):
            return self._usual(input, hx)  # which says what is wrong
        batched = input.dim() == 3
        steps = input if batched else input.unsqueeze(1)
        if module.batch_first and batched:
            steps = steps.transpose(0, 1)
        states, cells = self._initial(hx, steps, batched)
        output, last = self._layers(Laid(steps, None), states, cells)
        if module.batch_first and batched:
            output = output.transpose(0, 1)
        if not batched:
            output, last = output.squeeze(1), [one.squeeze(1) for one in last]
        return output, self._final(last)

    def _packed(self, packed: PackedSequence, hx: Any) -> Any:
        batch = int(packed.batch_sizes[0])
        states, cells = self._initial(hx, packed.data.new_empty(0, batch, packed.data.shape[-1]), True)
        if packed.sorted_indices is not None and hx is not None:
            states = states.index_select(1, packed.sorted_indices)
            cells = None if cells is None else cells.index_select(1, packed.sorted_indices)
        self._order = packed.unsorted_indices
        output, last = self._layers(Laid(packed.data, packed.batch_sizes), states, cells)
        if packed.unsorted_indices is not None:
            last = [one.index_select(1, packed.unsorted_indices) for one in last]
        made = PackedSequence(output, packed.batch_sizes, packed.sorted_indices, packed.unsorted_indices)
        return made, self._final(last)

    def _initial(self, hx: Any, steps: Tensor, batched: bool) -> tuple[Tensor, Tensor | None]:
        """States and cells before the first step, one for each part."""
        module, batch = self.module, steps.shape[1]
        if hx is None:
            zeros = steps.new_zeros(len(self.parts), batch, width_of(module, STATE))
            return zeros, steps.new_zeros(len(self.parts), batch, module.hidden_size) if self.mode == "LSTM" else None
        states, cells = hx if self.mode == "LSTM" else (hx, None)
        if not batched:
            states, cells = states.unsqueeze(1), None if cells is None else cells.unsqueeze(1)
        return states, cells

    def _final(self, last: list[Tensor]) -> Any:
        return (last[0], last[1]) if self.mode == "LSTM" else last[0]

    def _layers(self, given: Laid, states: Tensor, cells: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        """Output of the last layer, and the last states (and cells) of all parts.

        Both directions of a layer run together, as torch has them. Where gradients are wanted each runs by itself: the way back
        from one of them does not lead through the other then.
        """
        directions, width = 2 if self.module.bidirectional else 1, width_of(self.module, STATE)
        at_once = 1 if torch.is_grad_enabled() else directions
        finals: list[list[Tensor]] = []
        for layer in range(self.module.num_layers):
            outputs = []
            for first in range(layer * directions, (layer + 1) * directions, at_once):
                places, turned_round = range(first, first + at_once), at_once < directions and first % directions == 1
                output, *final = self._kernel(_reversed(given) if turned_round else given, places, states, cells)
                if turned_round:
                    output = _reversed(given._replace(data=output)).data
                outputs.append(output)
                finals.append(final)
                for place, own in zip(places, torch.split(output, width, -1), strict=True):
                    before = states[place], None if cells is None else cells[place]
                    self._told(place, given, given._replace(data=own), before, reverse=place % directions == 1)
            given = given._replace(data=outputs[0] if len(outputs) == 1 else torch.cat(outputs, -1))
        return given.data, [torch.cat(one) for one in zip(*finals, strict=True)]

    def _told(self, place: int, given: Laid, output: Laid, before: tuple[Tensor, Tensor | None], *, reverse: bool) -> None:
        """Tells what is wanted of a part that has run."""
        part = self.parts[place]
        if not (wanted := self.wanted.get(part, ())):
            return
        states = padded(output)
        told = {STATE: states}
        if set(wanted) - {STATE}:
            turn = partial(_reversed_padded, sizes=given.sizes) if reverse else _as_it_is
            steps = Steps(turn(padded(given)), turn(states), before)
            unrolled = unrolled_streams(self.mode, self.weights(place), steps, wanted)
            told |= {stream: turn(values) for stream, values in unrolled.items()}
        for stream in wanted:
            self.tell(part, stream, self._by_example(told[stream], given.sizes))

    def _by_example(self, values: Float[Tensor, "time batch unit"], sizes: Tensor | None) -> Tensor:
        """Batch first, in the order of the examples. Raises `ModelError` where they differ in length."""
        values = values.transpose(0, 1)
        if sizes is None:
            return values
        if int(sizes[-1]) != int(sizes[0]):
            raise ModelError(
                "the model packs the examples of a batch to different lengths, so their steps cannot be matched to examples",
                "give the examples without padding, each of its own length, or their lengths beside them",
            )
        return values if self._order is None else values.index_select(0, self._order)

    def weights(self, place: int) -> Weights:
        """The weights of a part, as they are now: some models set them in their own forward."""
        module = self.module
        each = (4 if module.bias else 2) + bool(module.proj_size)
        flat: tuple[Any, ...] = tuple(module._flat_weights[place * each : (place + 1) * each])
        biases = (flat[2], flat[3]) if module.bias else (None, None)
        return Weights(flat[0], flat[1], biases[0], biases[1], flat, flat[-1] if module.proj_size else None)

    def _kernel(self, given: Laid, places: range, states: Tensor, cells: Tensor | None) -> tuple[Tensor, ...]:
        """Output, last states and, of an LSTM, last cells, by torch's own kernel for these directions of one layer."""
        own = slice(places.start, places.stop)
        hx = states[own] if cells is None else (states[own], cells[own])
        weights = [one for place in places for one in self.weights(place).all]
        settings = (self.module.bias, 1, 0.0, False, len(places) > 1)
        run = KERNELS[self.mode]
        if given.sizes is not None:
            return tuple(run(given.data, given.sizes, hx, weights, *settings))
        return tuple(run(given.data, hx, weights, *settings, False))


def _reversed(given: Laid) -> Laid:
    """Each example's steps from its last to its first."""
    if given.sizes is None:
        return given._replace(data=given.data.flip(0))
    return given._replace(data=packed_again(turned(padded(given), lengths_of(given.sizes)), given.sizes))


def _as_it_is(values: Tensor) -> Tensor:
    return values


def _reversed_padded(values: Tensor, sizes: Tensor | None) -> Tensor:
    if sizes is None:
        return values.flip(0)
    return turned(values, lengths_of(sizes))


def turned(steps: Float[Tensor, "time batch unit"], lengths: Int64[Tensor, " batch"]) -> Float[Tensor, "time batch unit"]:
    """Each example's own steps in reverse; what lies beyond its length stays."""
    step = torch.arange(len(steps), device=steps.device)[:, None]
    ends = lengths.to(steps.device)[None]
    places = torch.where(step < ends, ends - 1 - step, step)
    return steps.gather(0, places[..., None].expand_as(steps))


def padded(given: Laid) -> Float[Tensor, "time batch unit"]:
    """Time first, with zeros where an example has no step."""
    if given.sizes is None:
        return given.data
    return pad_packed_sequence(PackedSequence(given.data, given.sizes))[0]


def packed_again(steps: Float[Tensor, "time batch unit"], sizes: Int64[Tensor, " time"]) -> Float[Tensor, "step unit"]:
    """Padded steps as the kernels take packed ones."""
    return torch.cat([steps[step, : int(size)] for step, size in enumerate(sizes)])


def lengths_of(sizes: Int64[Tensor, " time"]) -> Int64[Tensor, " batch"]:
    """The steps of each example, longest first."""
    return (sizes[:, None] > torch.arange(int(sizes[0]))[None]).sum(0)


class CellSteps:
    """A cell called once a step: gathers what is wanted of each call, step after step."""

    def __init__(self, module: nn.Module, wanted: Collection[str]) -> None:
        mode = mode_of(module)
        assert mode is not None
        self.module, self.mode, self.wanted = module, mode, tuple(wanted)
        self.steps: dict[str, list[Tensor]] = {stream: [] for stream in wanted}

    def called(self, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any) -> None:
        """A forward hook: takes note of one step."""
        input, hx = _cell_arguments(*args, **kwargs)
        state = output[0] if isinstance(output, tuple) else output
        states = state if state.dim() == 2 else state[None]
        inputs = input if input.dim() == 2 else input[None]
        before = self._before(inputs, hx)
        cell: Any = module
        biases = (cell.bias_ih, cell.bias_hh) if cell.bias else (None, None)
        weights = Weights(cell.weight_ih, cell.weight_hh, biases[0], biases[1], ())
        told = unrolled_streams(self.mode, weights, Steps(inputs[None], states[None], before), self.wanted)
        for stream in self.wanted:
            if stream == STATE:
                value = states
            elif stream == "c":  # what the cell itself gave, not computed again
                value = output[1] if output[1].dim() == 2 else output[1][None]
            else:
                value = told[stream][0]
            self.steps[stream].append(value)

    def _before(self, inputs: Tensor, hx: Any) -> tuple[Tensor, Tensor | None]:
        width = width_of(self.module, STATE)
        if hx is None:
            zeros = inputs.new_zeros(len(inputs), width)
            return zeros, zeros if self.mode == "LSTM" else None
        hidden, cell = hx if self.mode == "LSTM" else (hx, None)
        if hidden.dim() == 1:
            hidden, cell = hidden[None], None if cell is None else cell[None]
        return hidden, cell

    def told(self) -> Iterator[tuple[str, Float[Tensor, "batch time unit"]]]:
        """Each stream with its values at all steps so far, which are then forgotten."""
        for stream, values in self.steps.items():
            if values:
                yield stream, torch.stack(values, 1)
                values.clear()


def _cell_arguments(input: Tensor, hx: Any = None) -> tuple[Tensor, Any]:
    return input, hx
