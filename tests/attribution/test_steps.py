"""Attribution over the past: derived by hand, by finite differences, against Captum, and by what is conserved."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import torchlurk as tl
from torchlurk.errors import ModelError, OptionError
from torchlurk.models.survey.axes import Axes
from torchlurk.models.survey.layers import survey
from torchlurk.models.taps.readout import Readout
from torchlurk.models.taps.recurrent import parts_of

# torch says once a process that it has no faster kernel for projections
pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections:UserWarning")

REAL = torch.float64
TOKENS, CHANNELS, UNITS, STEPS, BATCH = 7, 3, 4, 5, 2
KINDS: list[tuple[type[nn.RNNBase], dict[str, Any]]] = [
    (nn.LSTM, {}),
    (nn.LSTM, {"proj_size": 2}),
    (nn.GRU, {}),
    (nn.RNN, {}),
    (nn.RNN, {"nonlinearity": "relu"}),
]
MODULES = [(kind, *shape) for kind in KINDS for shape in ((1, False), (2, True))]
METHODS = ("gradient", "input_x_gradient", "lrp")


pytestmark = pytest.mark.usefixtures("same_numbers")


class OnSeries(nn.Module):
    """A recurrent module on (batch, time, channel), packed where asked to."""

    def __init__(self, kind: tuple[type[nn.RNNBase], dict[str, Any]], layers: int, both: bool, packed: bool = False) -> None:
        super().__init__()
        self.rnn = kind[0](CHANNELS, UNITS, layers, batch_first=True, bidirectional=both, **kind[1])
        self.packed = packed

    def forward(self, x: Tensor) -> Tensor:
        if not self.packed:
            return self.rnn(x)[0]
        lengths = torch.full((len(x),), x.shape[1])
        output = self.rnn(pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False))[0]
        return pad_packed_sequence(output, batch_first=True)[0]


class OnText(nn.Module):
    """Token ids to the class of the last step."""

    def __init__(self, kind: type[nn.RNNBase] = nn.LSTM, layers: int = 1, both: bool = False) -> None:
        super().__init__()
        self.embedding = nn.Embedding(TOKENS, CHANNELS)
        self.rnn = kind(CHANNELS, UNITS, layers, batch_first=True, bidirectional=both)
        self.head = nn.Linear(UNITS * (1 + both), 3)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.rnn(self.embedding(ids))[0][:, -1])


def series(count: int = BATCH, steps: int = STEPS) -> Tensor:
    return torch.randn(count, steps, CHANNELS, dtype=REAL, generator=torch.Generator().manual_seed(1))


def texts(count: int = BATCH, steps: int = STEPS) -> Tensor:
    return torch.randint(0, TOKENS, (count, steps), generator=torch.Generator().manual_seed(1))


def fixed_gates(module: nn.RNNBase, steps: Tensor) -> tuple[Tensor, list[Tensor]]:
    """The states of the last layer, and all biases, with constant gates and tanh as x · (tanh x / x)."""

    def squash(x: Tensor) -> Tensor:
        return x * (x.tanh() / x).detach()

    biases: list[Tensor] = []
    given = steps
    for layer in range(module.num_layers):
        outputs = []
        for suffix in ("", "_reverse") if module.bidirectional else ("",):
            part = f"l{layer}{suffix}"
            w_i, w_h = (getattr(module, f"weight_{one}_{part}").detach() for one in ("ih", "hh"))
            b_i, b_h = (getattr(module, f"bias_{one}_{part}").detach().clone().requires_grad_() for one in ("ih", "hh"))
            biases += [b_i, b_h]
            project = getattr(module, f"weight_hr_{part}").detach() if getattr(module, "proj_size", 0) else None
            hidden = torch.zeros(len(steps), UNITS if project is None else len(project), dtype=REAL)
            cell = torch.zeros(len(steps), UNITS, dtype=REAL)
            rows: dict[int, Tensor] = {}
            for step in reversed(range(STEPS)) if suffix else range(STEPS):
                above, beside = given[:, step] @ w_i.T + b_i, hidden @ w_h.T + b_h
                if module.mode == "LSTM":
                    i, f, g, o = (above + beside).chunk(4, -1)
                    cell = f.sigmoid().detach() * cell + i.sigmoid().detach() * squash(g)
                    hidden = o.sigmoid().detach() * squash(cell)
                    hidden = hidden if project is None else hidden @ project.T
                elif module.mode == "GRU":
                    (r, z, n), (r_h, z_h, n_h) = above.chunk(3, -1), beside.chunk(3, -1)
                    kept = (z + z_h).sigmoid().detach()
                    hidden = (1 - kept) * squash(n + (r + r_h).sigmoid().detach() * n_h) + kept * hidden
                else:
                    hidden = (above + beside).relu() if module.mode == "RNN_RELU" else squash(above + beside)
                rows[step] = hidden
            outputs.append(torch.stack([rows[step] for step in range(STEPS)], 1))
        given = torch.cat(outputs, -1)
    return given, biases


@pytest.mark.parametrize(
    ("kind", "layers", "both", "packed"), [*((*one, False) for one in MODULES), *((*one, True) for one in MODULES[1::4])]
)
def test_relevance_is_input_times_gradient_of_the_network_with_fixed_gates_and_conserved_with_the_biases(
    kind, layers, both, packed
):
    net = OnSeries(kind, layers, both, packed).to(REAL)
    x = series()
    leaf = x.clone().requires_grad_()
    states, biases = fixed_gates(net.rnn, leaf)
    target = states[:, 3, 1]
    own, *of_biases = torch.autograd.grad(target.sum(), [leaf, *biases], allow_unused=True)
    absorbed = sum((bias * one).sum() for bias, one in zip(biases, of_biases, strict=True) if one is not None)
    name = f"rnn.{parts_of(net.rnn)[-2 if both else -1]}:1"
    found = tl.attribute(net, x, name, "lrp", position=(3,), input_axes="btc")
    torch.testing.assert_close(found, x * own, rtol=1e-9, atol=1e-12)
    total = float(target.detach().sum())
    assert abs(float(found.sum() + absorbed.detach()) - total) <= 1e-4 * abs(total)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "layers", "both"), MODULES)
def test_relevance_is_conserved_without_biases(kind, layers, both):
    net = OnSeries(kind, layers, both).to(REAL)
    for name, weight in net.named_parameters():
        if "bias" in name:
            nn.init.zeros_(weight)
    x = series()
    for part in parts_of(net.rnn):
        activations = reader(net, x, f"rnn.{part}:1", 2)(x)
        found = tl.attribute(net, x, f"rnn.{part}:1", "lrp", position=(2,), input_axes="btc")
        assert torch.allclose(found.sum((1, 2)), activations, rtol=1e-4, atol=0), part


def reader(net: nn.Module, x: Tensor, unit: str, step: int) -> Callable[[Tensor], Tensor]:
    """From inputs like these to what a unit does at a step, one value an example, read as the scan reads it."""
    name, channel = unit.rsplit(":", 1)
    readout = Readout(net, survey(net, x, axes=Axes.of("btc")).layer(name))

    def read(x: Tensor) -> Tensor:
        with readout.ready(), torch.no_grad():
            return readout.maps(x)[:, int(channel), step]

    return read


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "streams"), [(nn.LSTM, ("", ".c", ".i", ".f", ".g", ".o")), (nn.GRU, ("", ".r", ".z", ".n"))])
def test_gradients_of_states_cells_and_gates_equal_finite_differences(kind, streams):
    net = OnSeries((kind, {}), 2, True).to(REAL)
    x, step = series(1), 1e-5
    shifts = step * torch.eye(x.numel(), dtype=REAL).view(-1, *x.shape[1:])
    for stream in streams:
        unit = f"rnn.l1_reverse{stream}:2"
        read = reader(net, x, unit, 3)
        slopes = ((read(x + shifts) - read(x - shifts)) / (2 * step)).view(x.shape)
        torch.testing.assert_close(tl.attribute(net, x, unit, "gradient", position=(3,)), slopes, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("stream", ["", ".c", ".i", ".f", ".g", ".o"])
def test_a_token_after_a_causal_position_gets_exactly_nothing_and_those_up_to_it_something(stream):
    net, ids = OnText(layers=2), texts()
    for method in METHODS:
        found = tl.attribute(net, ids, f"rnn.l1{stream}:1", method, position=(2,))
        assert found.shape == ids.shape
        assert (found[:, 3:] == 0).all()
        assert (found[:, :3] != 0).all()


def test_of_a_reverse_direction_the_tokens_before_its_position_get_exactly_nothing():
    found = tl.attribute(OnText(nn.GRU, both=True), texts(), "rnn.l0_reverse:1", "lrp", position=(2,))
    assert (found[:, :2] == 0).all()
    assert (found[:, 2:] != 0).all()


def test_relevance_of_cells_and_candidates_and_of_a_gate_beyond_half_open_is_conserved_without_biases():
    net = OnSeries(KINDS[0], 1, False).to(REAL)
    nn.init.zeros_(net.rnn.bias_ih_l0)
    nn.init.zeros_(net.rnn.bias_hh_l0)
    x = series()
    for stream in ("c", "g", "i", "f", "o"):
        arrived = tl.attribute(net, x, f"rnn.l0.{stream}:1", "lrp", position=(3,)).sum((1, 2))
        there = reader(net, x, f"rnn.l0.{stream}:1", 3)(x)
        assert torch.allclose(arrived, there if stream in "cg" else there - 0.5, rtol=1e-4), stream


def test_a_tokens_number_is_the_length_of_the_gradient_of_its_embedding_or_the_sum_of_what_adds_up():
    net = OnText().to(REAL)
    ids = texts()
    vectors = net.embedding(ids).detach().requires_grad_()
    state = net.rnn(vectors)[0][:, 3, 1]
    (slopes,) = torch.autograd.grad(state.sum(), vectors)
    torch.testing.assert_close(tl.attribute(net, ids, "rnn.l0:1", "gradient", position=(3,)), slopes.norm(dim=-1))
    product_ = tl.attribute(net, ids, "rnn.l0:1", "input_x_gradient", position=(3,))
    torch.testing.assert_close(product_, (slopes * vectors).sum(-1).detach())


def test_integrated_gradients_go_from_the_token_that_says_nothing_and_equal_captums_of_the_embedding():
    captum = pytest.importorskip("captum.attr")
    net, ids = OnText().eval(), texts()
    method = captum.LayerIntegratedGradients(lambda ids: net.rnn(net.embedding(ids))[0][:, 3, 1], net.embedding)
    expected = method.attribute(ids, baselines=torch.zeros_like(ids)).sum(-1)
    found = tl.attribute(net, ids, "rnn.l0:1", "captum:IntegratedGradients", position=(3,))
    torch.testing.assert_close(found, expected.float(), rtol=1e-4, atol=1e-6)


def test_on_series_input_times_gradient_is_captums():
    captum = pytest.importorskip("captum.attr")
    net = nn.Sequential(nn.Linear(CHANNELS, UNITS), nn.ReLU(), nn.Linear(UNITS, 2)).eval()
    x = series().float()

    class AtStep(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x)[:, 3, 1]

    expected = captum.InputXGradient(AtStep()).attribute(x.clone().requires_grad_())
    found = tl.attribute(net, x, "2:1", "input_x_gradient", position=(3,), input_axes="btc")
    torch.testing.assert_close(found, expected.detach(), rtol=1e-5, atol=1e-6)


class Loop(nn.Module):
    """A cell in a user's own loop, time first, its tokens looked up step by step."""

    def __init__(self, cell: type[nn.RNNCellBase] = nn.LSTMCell) -> None:
        super().__init__()
        self.embedding, self.cell, self.head = nn.Embedding(TOKENS, CHANNELS), cell(CHANNELS, UNITS), nn.Linear(UNITS, 2)

    def forward(self, ids: Tensor) -> Tensor:
        state = None
        for step in ids:
            state = self.cell(self.embedding(step), state)
        return self.head(state[0] if isinstance(state, tuple) else state)


class Whole(nn.Module):
    """The same as `Loop`, all steps at once."""

    def __init__(self, loop: Loop) -> None:
        super().__init__()
        kind = {nn.LSTMCell: nn.LSTM, nn.GRUCell: nn.GRU, nn.RNNCell: nn.RNN}[type(loop.cell)]
        self.embedding, self.rnn, self.head = loop.embedding, kind(CHANNELS, UNITS), loop.head
        self.rnn.load_state_dict({f"{name}_l0": one for name, one in loop.cell.state_dict().items()})

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.rnn(self.embedding(ids))[0][-1])


@pytest.mark.parametrize(
    ("cell", "method"),
    [
        *product([nn.LSTMCell], METHODS),
        (nn.GRUCell, "lrp"),
        (nn.RNNCell, "lrp"),
        *product([nn.LSTMCell, nn.GRUCell], ["lrp_plus"]),
    ],
)
def test_a_cell_in_a_loop_has_the_attributions_of_the_module(cell, method):
    loop, ids = Loop(cell), texts()
    whole = Whole(loop)
    torch.testing.assert_close(tl.attribute(loop, ids, "head:1", method), tl.attribute(whole, ids, "head:1", method))
    found = tl.attribute(loop, ids, "cell:1", method, position=(3,))
    torch.testing.assert_close(found, tl.attribute(whole, ids, "rnn.l0:1", method, position=(3,)))


class Unusual(nn.Module):
    """Tokens that become numbers in one of several ways."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way, self.table, self.rnn = way, nn.Embedding(TOKENS + 1, CHANNELS), nn.GRU(CHANNELS, UNITS, batch_first=True)

    def forward(self, ids: Tensor) -> Tensor:
        weight = self.table.weight
        if self.way == "indexed":
            x = weight[ids]
        elif self.way == "one-hot":
            x = F.one_hot(ids, TOKENS + 1).to(weight.dtype) @ weight
        elif self.way == "flat":
            x = F.embedding(ids.reshape(-1), weight).view(*ids.shape, -1)
        elif self.way == "clamped":
            x = self.table(ids.clamp(max=TOKENS))
        elif self.way == "after a first token":
            x = self.table(torch.cat([torch.full_like(ids[:, :1], TOKENS), ids[:, :-1]], 1))
            return self.rnn(x)[0]
        elif self.way == "masked":
            x = self.table(ids) * (ids >= 0)[..., None].to(weight.dtype)
        else:
            x = torch.stack([self.table(one) for one in ids.t()], 1)
        return self.rnn(x)[0]


@pytest.mark.parametrize("way", ["indexed", "one-hot", "flat", "clamped", "masked", "step by step"])
def test_tokens_are_followed_to_where_they_become_numbers_however_that_is_written(way):
    net, ids = Unusual(way).to(REAL), texts()
    vectors = net.table.weight[ids].detach().requires_grad_()
    (slopes,) = torch.autograd.grad(net.rnn(vectors)[0][:, 3, 1].sum(), vectors)
    found = tl.attribute(net, ids, "rnn.l0:1", "input_x_gradient", position=(3,))
    torch.testing.assert_close(found, (slopes * vectors).sum(-1).detach())


def test_of_a_decoder_that_is_given_what_came_before_a_token_counts_where_it_is_read():
    net, ids = Unusual("after a first token").to(REAL), texts()
    found = tl.attribute(net, ids, "rnn.l0:1", "gradient", position=(2,))
    assert (found[:, :2] != 0).all()
    assert (found[:, 2:] == 0).all()


def test_a_model_that_looks_nothing_up_for_its_tokens_is_refused():
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(TOKENS, 2)

        def forward(self, ids: Tensor) -> Tensor:
            return self.head(torch.stack([(ids == token).float().mean(1) for token in range(TOKENS)], -1))

    with pytest.raises(ModelError, match="does not embed its tokens"):
        tl.attribute(Counting(), texts(), "head:1", "gradient")


def test_ids_of_another_shape_than_batch_and_time_are_refused():
    with pytest.raises(OptionError, match="int64 with 3 axes"):
        tl.attribute(OnText(), texts()[None], "rnn.l0:1")


def test_the_unit_is_attributed_at_its_strongest_step_or_in_the_mean_over_steps():
    net, x = OnSeries(KINDS[0], 1, False), series().float()
    states = net(x).detach()[..., 1]
    found = tl.attribute(net, x, "rnn.l0:1", "gradient")
    for row, step in enumerate(states.argmax(1).tolist()):
        own = tl.attribute(net, x[row : row + 1], "rnn.l0:1", "gradient", position=(step,))
        torch.testing.assert_close(found[row : row + 1], own)
    mean = torch.stack([tl.attribute(net, x, "rnn.l0:1", "gradient", position=(step,)) for step in range(STEPS)]).mean(0)
    torch.testing.assert_close(tl.attribute(net, x, "rnn.l0:1", "gradient", reduce="mean"), mean)


def test_the_model_is_left_as_found():
    net = OnText().train()
    before = {name: one.clone() for name, one in net.state_dict().items()}
    cudnn = torch.backends.cudnn.enabled
    for method in METHODS:
        tl.attribute(net, texts(), "rnn.l0:1", method)
    assert net.training
    assert net.rnn.training
    assert "forward" not in vars(net.rnn)
    assert not net._forward_pre_hooks
    assert all(weight.grad is None for weight in net.parameters())
    assert torch.backends.cudnn.enabled == cudnn
    assert all(torch.equal(one, before[name]) for name, one in net.state_dict().items())
