"""States, cells and gates of unedited recurrent modules, against a literal loop in float64 and against torch itself."""

# Tolerances are of float32 (1e-5 to 1e-7) or float64 (1e-9), where torch's kernels sum in another order.

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from torchlurk.errors import ModelError
from torchlurk.models.taps.recurrent import CellSteps, Unrolled, parts_of, streams_of

# torch says once a process that it has no faster kernel for projections
pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections:UserWarning")

BATCH, TIME, FEATURES, UNITS = 4, 6, 16, 16  # whole vectors: of odd sizes torch rounds by where its memory happens to lie
KINDS = [(nn.LSTM, {}), (nn.LSTM, {"proj_size": 8}), (nn.GRU, {}), (nn.RNN, {}), (nn.RNN, {"nonlinearity": "relu"})]
SHAPES = [*product(KINDS, (1, 2), (False, True), (False, True))]


def made(kind: tuple[type[nn.RNNBase], dict], layers: int, both: bool, batch_first: bool, bias: bool = True) -> nn.RNNBase:
    torch.manual_seed(0)
    cls, options = kind
    module = cls(FEATURES, UNITS, layers, bias=bias, bidirectional=both, batch_first=batch_first, **options)
    return module.eval()


def inputs(module: nn.RNNBase) -> Tensor:
    shape = (BATCH, TIME, FEATURES) if module.batch_first else (TIME, BATCH, FEATURES)
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def read(module: nn.RNNBase, given: Tensor | PackedSequence, hx=None) -> tuple[object, dict[tuple[str, str], Tensor]]:
    """What the unrolled module returns, and every stream by part and name."""
    told: dict[tuple[str, str], Tensor] = {}
    wanted = {part: streams_of(module) for part in parts_of(module)}
    unrolled = Unrolled(module, wanted, lambda part, stream, values: told.__setitem__((part, stream), values))
    with torch.no_grad():
        return unrolled(given, hx), told


def literal(module: nn.RNNBase, steps: Tensor) -> dict[tuple[str, str], Tensor]:
    """Every stream (batch, time, unit), step by step in float64, as the papers write it; `steps` is time first."""
    found, given = {}, steps.double()
    for layer in range(module.num_layers):
        outputs = []
        for suffix in ("", "_reverse") if module.bidirectional else ("",):
            part = f"l{layer}{suffix}"
            w_i, w_h = (getattr(module, f"weight_{one}_{part}").double() for one in ("ih", "hh"))
            b_i, b_h = ((getattr(module, f"bias_{one}_{part}").double() if module.bias else 0.0) for one in ("ih", "hh"))
            project = getattr(module, f"weight_hr_{part}").double() if getattr(module, "proj_size", 0) else None
            hidden = torch.zeros(steps.shape[1], project.shape[0] if project is not None else UNITS, dtype=torch.float64)
            cell = torch.zeros(steps.shape[1], UNITS, dtype=torch.float64)
            rows: dict[str, dict[int, Tensor]] = {}
            order = range(TIME) if not suffix else range(TIME - 1, -1, -1)
            for step in order:
                above, beside = given[step] @ w_i.T + b_i, hidden @ w_h.T + b_h
                if module.mode == "LSTM":
                    i, f, g, o = (above + beside).chunk(4, -1)
                    i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
                    cell = f * cell + i * g
                    hidden = o * cell.tanh()
                    hidden = hidden @ project.T if project is not None else hidden
                    now = {"": hidden, "c": cell, "i": i, "f": f, "g": g, "o": o}
                elif module.mode == "GRU":
                    (r, z, n), (r_h, z_h, n_h) = above.chunk(3, -1), beside.chunk(3, -1)
                    r, z = (r + r_h).sigmoid(), (z + z_h).sigmoid()
                    n = (n + r * n_h).tanh()
                    hidden = (1 - z) * n + z * hidden
                    now = {"": hidden, "r": r, "z": z, "n": n}
                else:
                    hidden = (above + beside).relu() if module.mode == "RNN_RELU" else (above + beside).tanh()
                    now = {"": hidden}
                for name, value in now.items():
                    rows.setdefault(name, {})[step] = value
            for name, by_step in rows.items():
                found[part, name] = torch.stack([by_step[step] for step in range(TIME)], 1)
            outputs.append(found[part, ""].transpose(0, 1))
        given = torch.cat(outputs, -1)
    return found


@pytest.mark.parametrize(("kind", "layers", "both", "batch_first"), SHAPES)
def test_every_stream_equals_a_literal_loop_and_the_output_is_torchs_to_the_bit(kind, layers, both, batch_first):
    module = made(kind, layers, both, batch_first)
    given = inputs(module)
    (output, last), told = read(module, given)
    with torch.no_grad():
        want, want_last = module(given)
    assert torch.equal(output, want)
    for one, other in zip(*(pair if isinstance(pair, tuple) else (pair,) for pair in (last, want_last)), strict=True):
        assert torch.equal(one, other)
    expected = literal(module, given.transpose(0, 1) if batch_first else given)
    assert set(told) == set(expected)
    for name, values in expected.items():
        # 1e-6: float32 against float64 over six steps of values below one
        assert torch.allclose(told[name].double(), values, atol=1e-6), name


@pytest.mark.parametrize(("kind", "both", "batch_first"), [*product(KINDS, (False, True), (False, True))])
def test_packed_sequences_of_one_length_are_read_in_the_order_of_the_examples(kind, both, batch_first):
    module = made(kind, 2, both, batch_first)
    given = inputs(module)
    packed = pack_padded_sequence(given, torch.full((BATCH,), TIME), batch_first=batch_first, enforce_sorted=False)
    (output, _), told = read(module, packed)
    with torch.no_grad():
        want, _ = module(packed)
    assert torch.equal(output.data, want.data)
    for name, values in literal(module, given.transpose(0, 1) if batch_first else given).items():
        assert torch.allclose(told[name].double(), values, atol=1e-6), name


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
def test_both_directions_of_a_few_odd_channels_equal_torchs_to_the_bit(kind):
    """Sums over five channels depend on the order of the steps: torch takes that of the sequence for both directions."""
    torch.manual_seed(0)
    module, given = kind(5, 7, bidirectional=True, batch_first=True), torch.randn(3, 9, 5)
    (output, _), told = read(module, given)
    with torch.no_grad():
        want = module(given)[0]
    assert torch.equal(output, want)
    assert torch.equal(torch.cat([told["l0", ""], told["l0_reverse", ""]], -1), want)


def test_examples_that_the_model_packs_to_different_lengths_are_refused():
    module = made(KINDS[0], 1, False, True)
    packed = pack_padded_sequence(inputs(module), torch.tensor([6, 4, 2, 2]), batch_first=True)
    with pytest.raises(ModelError, match="different lengths"):
        read(module, packed)


@pytest.mark.parametrize("kind", KINDS)
def test_first_states_are_taken_as_given(kind):
    module = made(kind, 2, True, True, bias=False)
    given = inputs(module)
    states = torch.randn(4, BATCH, getattr(module, "proj_size", 0) or UNITS)
    hx = (states, torch.randn(4, BATCH, UNITS)) if module.mode == "LSTM" else states
    (output, _), _ = read(module, given, hx)
    with torch.no_grad():
        assert torch.equal(output, module(given, hx)[0])


def test_a_sequence_without_batch_is_read_as_one_example():
    module = made(KINDS[0], 1, False, False)
    given = torch.randn(TIME, FEATURES)
    (output, (last, _)), told = read(module, given)
    with torch.no_grad():
        want, (want_last, _) = module(given)
    assert torch.equal(output, want)
    assert torch.equal(last, want_last)
    assert told["l0", "c"].shape == (1, TIME, UNITS)


@pytest.mark.parametrize("cell", [nn.LSTMCell, nn.GRUCell, nn.RNNCell])
def test_a_cell_in_a_loop_gives_the_streams_of_the_module_with_its_weights(cell):
    torch.manual_seed(0)
    one = cell(FEATURES, UNITS)
    module = {nn.LSTMCell: nn.LSTM, nn.GRUCell: nn.GRU, nn.RNNCell: nn.RNN}[cell](FEATURES, UNITS)
    module.load_state_dict({f"{name}_l0": value for name, value in one.state_dict().items()})
    steps = CellSteps(one, streams_of(one))
    handle = one.register_forward_hook(steps.called, with_kwargs=True)
    given, state = torch.randn(TIME, BATCH, FEATURES), None
    with torch.no_grad():
        for step in given:
            state = one(step, state)
    handle.remove()
    for stream, values in steps.told():
        assert torch.allclose(values.double(), literal(module, given)["l0", stream], atol=1e-6), stream


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
@pytest.mark.parametrize("packing", [False, True])
def test_where_gradients_are_wanted_each_direction_runs_by_itself_and_gives_the_same(kind, packing):
    torch.manual_seed(0)
    module, given = kind(5, 7, 2, bidirectional=True, batch_first=True), torch.randn(3, 9, 5, requires_grad=True)
    steps = pack_padded_sequence(given, torch.full((3,), 9), batch_first=True) if packing else given
    (_, expected), found = read(module, steps), {}
    wanted = {part: streams_of(module) for part in parts_of(module)}
    Unrolled(module, wanted, lambda part, stream, values: found.__setitem__((part, stream), values))(steps)
    assert set(found) == set(expected)
    for name, values in expected.items():
        assert torch.allclose(found[name], values, atol=1e-6), name
    (gradient,) = torch.autograd.grad(found["l0_reverse", ""][1, 4, 2], given)
    assert gradient[1, 4:].abs().min() > 0
    assert not gradient[:, :4].any()
