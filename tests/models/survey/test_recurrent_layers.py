"""Recurrent modules as layers: names, streams, what each step depends on, and reading them from an unedited model."""

# Tolerances are of float32 (1e-5 to 1e-7) or float64 (1e-9), where torch's kernels sum in another order.

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from torchlurk.errors import ModelError, OptionError
from torchlurk.models.survey.axes import Axes
from torchlurk.models.survey.dependence.tracing import Tracing
from torchlurk.models.survey.input_axes import find_axes
from torchlurk.models.survey.layers import choose, survey
from torchlurk.models.survey.receptive_field import receptive_fields
from torchlurk.models.taps.arguments import Arguments, called_with
from torchlurk.models.taps.reading import maps, reading
from torchlurk.models.taps.recurrent import unrolled_streams
from torchlurk.units import aliased

TOKENS, TIME = 20, 7
BT = Axes.of("bt")


class Text(nn.Module):
    """Tokens, two layers of LSTM, the next token."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.rnn, self.head = nn.Embedding(TOKENS, 6), nn.LSTM(6, 8, 2, batch_first=True), nn.Linear(8, TOKENS)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(self.embed(x))[0])


class Packed(nn.Module):
    """A series with lengths, both directions, packed."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = nn.LSTM(5, 4, bidirectional=True, batch_first=True), nn.Linear(8, 3)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        output, count = pad_packed_sequence(self.rnn(packed)[0], batch_first=True)
        return self.head(output.sum(1) / count[:, None])


class WordModel(nn.Module):
    """Time first, with the hidden state beside the input, and the steps folded into the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.rnn, self.head = nn.Embedding(TOKENS, 6), nn.GRU(6, 8), nn.Linear(8, TOKENS)

    def init_hidden(self, batch: int) -> Tensor:
        return next(self.parameters()).new_zeros(1, batch, 8)

    def forward(self, x: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        output, hidden = self.rnn(self.embed(x), hidden)
        return self.head(output).view(-1, TOKENS), hidden


class Loop(nn.Module):
    """A cell in a loop of one's own."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.cell, self.head = nn.Embedding(TOKENS, 6), nn.LSTMCell(6, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        state = None
        for step in range(x.shape[1]):
            state = self.cell(self.embed(x[:, step]), state)
        return self.head(state[0])


class Convolutions(nn.Module):
    """Convolutions over time."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Conv1d(5, 7, 3, padding=1), nn.Conv1d(7, 6, 3, stride=2), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.second(self.first(x.transpose(1, 2)).relu()).relu().mean(2))


class Encoder(nn.Module):
    """A transformer encoder, whose fast path hides its layers."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.embed, self.encoder = nn.Embedding(TOKENS, 8), nn.TransformerEncoder(layer, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.encoder(self.embed(x))


def tokens(batch: int = 1, time: int = TIME) -> Tensor:
    return torch.randint(0, TOKENS, (batch, time), generator=torch.Generator().manual_seed(0))


def series(batch: int = 1, time: int = TIME) -> Tensor:
    return torch.randn(batch, time, 5, generator=torch.Generator().manual_seed(0))


def made(kind: type[nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return kind().eval()


def steps_seen(module: nn.Module, given: Tensor, layer: str) -> list[list[int]]:
    found = survey(module, given, axes=Axes.of("bt" if given.dim() == 2 else "btc"))
    one = found.layer(layer)
    field = receptive_fields(module, given, [one], Axes.of("bt" if given.dim() == 2 else "btc"))[layer]
    positions = one.positions
    return field.boxes(np.zeros(positions, np.int64), np.arange(positions))[:, [0, 2]].tolist()


def test_each_layer_direction_and_stream_is_a_layer_of_its_own():
    found = survey(made(Text), tokens(), axes=BT)
    streams = ["", ".c", ".i", ".f", ".g", ".o"]
    wanted = [f"rnn.l{layer}{stream}" for layer in (0, 1) for stream in streams]
    assert [one.name for one in found.layers if one.module] == wanted
    assert {one.layout for one in found.layers} == {"sequence"}
    assert found.layer("rnn.l0.c").stream == "l0.c"
    assert found.skipped == ()


def test_streams_are_chosen_by_word_and_letter():
    layers = survey(made(Text), tokens(), axes=BT).layers
    states = ["rnn.l0", "rnn.l1", "head"]
    assert [one.name for one in choose(layers, streams=("output",))] == states
    assert [one.name for one in choose(layers, ["rnn.l1*"], ("cell",))] == ["rnn.l1", "rnn.l1.c"]
    assert [one.name for one in choose(layers, streams=("f",))] == ["rnn.l0.f", "rnn.l1.f", "head"]
    with pytest.raises(OptionError, match="--streams names 'z'"):
        choose(layers, streams=("z",))


def test_a_module_is_an_alias_of_its_last_layers_forward_direction():
    names = ["rnn.l0", "rnn.l0_reverse", "rnn.l1", "rnn.l1_reverse", "one.l0", "one.l0.c", "head"]
    assert aliased("rnn", names) == "rnn.l1"
    assert aliased("one.c", names) == "one.l0.c"
    assert aliased("head", names) == "head"
    assert aliased("rnn.c", names) == "rnn.c"


def test_a_causal_network_depends_on_the_past_alone():
    assert steps_seen(made(Text), tokens(), "head") == [[0, step + 1] for step in range(TIME)]
    assert steps_seen(made(Loop), tokens(), "cell.c") == [[0, step + 1] for step in range(TIME)]


def test_a_reverse_direction_depends_on_the_future_alone_and_packing_changes_nothing():
    module = made(Packed)
    with called_with(module, Arguments.of(module, "btc", {})):
        assert steps_seen(module, series(), "rnn.l0") == [[0, step + 1] for step in range(TIME)]
        assert steps_seen(module, series(), "rnn.l0_reverse.o") == [[step, TIME] for step in range(TIME)]


def test_convolutions_over_time_depend_on_their_windows_and_attention_on_everything():
    assert steps_seen(made(Convolutions), series(), "second") == [[0, 4], [1, 6], [3, 7]]
    assert steps_seen(made(Encoder), tokens(), "encoder.layers.0.linear1") == [[0, TIME]] * TIME


@pytest.mark.parametrize("kind", [Text, Packed, Loop])
def test_a_step_outside_the_reach_changes_nothing(kind):
    module, given = made(kind), series() if kind is Packed else tokens()
    with called_with(module, Arguments.of(module, "btc" if kind is Packed else "bt", {})):
        layers = [one for one in survey(module, given, axes=Axes.of("btc" if kind is Packed else "bt")).layers if one.shape]
        fields = receptive_fields(module, given, layers, Axes.of("btc" if kind is Packed else "bt"))
        before = read(module, layers, given)
        for step in range(TIME):
            changed = given.clone()
            changed[:, step] = changed[:, step] + 1 if kind is Packed else (changed[:, step] + 1) % TOKENS
            after = read(module, layers, changed)
            for layer in layers:
                moved = (before[layer.name] != after[layer.name]).any(1)[0].numpy()
                boxes = fields[layer.name].boxes(np.zeros(TIME, np.int64), np.arange(TIME))
                assert not (moved & ~((boxes[:, 0] <= step) & (step < boxes[:, 2]))).any(), layer.name


def read(module: nn.Module, layers, given: Tensor) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    with torch.no_grad(), reading(module, layers, lambda layer, one: found.__setitem__(layer.name, maps(layer, one).clone())):
        module(given)
    return found


@pytest.mark.parametrize("kind", [Text, Packed, WordModel, Loop])
def test_the_model_gives_what_it_gave_and_is_left_as_found(kind):
    module, given = made(kind), series(3) if kind is Packed else tokens(3)
    axes = "btc" if kind is Packed else "tb" if kind is WordModel else "bt"
    before = {name: dict(vars(one)) for name, one in module.named_modules()}
    with torch.no_grad(), called_with(module, Arguments.of(module, axes, {})):
        want = module(given)
        layers = survey(module, given, axes=Axes.of("btc" if kind is Packed else "bt")).layers
        with reading(module, layers, lambda *_: None):
            got = module(given)
    for one, other in zip(*(pair if isinstance(pair, tuple) else (pair,) for pair in (got, want)), strict=True):
        # packed sequences alone are summed in another order
        assert torch.allclose(one, other, atol=1e-6 if kind is Packed else 0)
    assert {name: set(vars(one)) for name, one in module.named_modules()} == {name: set(one) for name, one in before.items()}


class Decoded(nn.Module):
    """A decoder that begins with the states of an encoder, and cells of other widths than states."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.encoder, self.decoder = nn.Embedding(TOKENS, 6), nn.LSTM(6, 4, batch_first=True), nn.LSTM(6, 4)
        self.both = nn.GRU(6, 4, 2, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        embedded = self.embed(x)
        first = self.encoder(embedded)[1]
        return self.decoder(embedded[:, :3].transpose(0, 1), first)[0], self.both(embedded)[0]


@pytest.mark.parametrize("kind", [Text, Decoded])
def test_what_cells_and_gates_depend_on_is_the_same_as_if_each_step_was_gone_through(kind, monkeypatch):
    module = made(kind)
    layers = survey(module, tokens(1), axes=BT).layers
    found = receptive_fields(module, tokens(1), layers, BT)
    monkeypatch.setattr(Tracing, "streams", lambda self, *given: unrolled_streams(*given))
    for name, field in receptive_fields(module, tokens(1), layers, BT).items():
        assert (found[name].size, found[name].stride, found[name].shape) == (field.size, field.stride, field.shape)
        wanted, own = (np.broadcast_to(one.columns, (2, one.channels, *one.shape)) for one in (field, found[name]))
        assert np.array_equal(wanted, own), name


@pytest.mark.parametrize(
    ("kind", "axes"), [(Text, "bt"), (WordModel, "tb"), (Loop, "bt"), (Encoder, "bt"), (Packed, "btc"), (Convolutions, "btc")]
)
def test_axes_are_found_by_changing_one_example_of_three(kind, axes):
    given = series(3) if len(axes) == 3 else tokens(3)
    assert find_axes(made(kind), given, [given[1].flip(0) + 0], {}) == axes


def test_axes_that_cannot_be_told_are_refused_with_the_option():
    with pytest.raises(ModelError, match="--input-axes") as told:
        find_axes(nn.Embedding(TOKENS, 4), tokens(3), [tokens(3)[0]], {})
    assert "bt and tb both fit" in str(told.value)


def test_a_network_that_makes_random_choices_is_told_from_one_that_mixes_its_examples():
    class Chance(nn.Module):
        def forward(self, ids: Tensor) -> Tensor:
            return ids.float() + random.random()

    with pytest.raises(ModelError, match=r"Chance.*makes random choices.*teacher_forcing_ratio.*--input-axes: bt, tb"):
        find_axes(Chance(), tokens(3), [tokens(3)[0]], {})


def test_a_forward_that_wants_more_is_told_of_constants():
    class Wanting(nn.Module):
        def forward(self, x: Tensor, temperature: float) -> Tensor:
            return x * temperature

    with pytest.raises(ModelError, match="needs temperature") as told:
        Arguments.of(Wanting(), "btc", {})
    assert "constants=" in str(told.value)
    assert Arguments.of(Wanting(), "btc", {"temperature": 2.0}).others(Wanting(), series()) == {"temperature": 2.0}


@pytest.mark.parametrize("name", ["lengths", "text_lengths", "src_len", "seq_lens", "input_length"])
def test_parameters_of_the_usual_names_get_lengths(name):
    net = type("Net", (nn.Module,), {"forward": eval(f"lambda self, text, {name}: text")})()
    given = Arguments.of(net, "bt", {}).others(net, tokens(3))
    assert given[name].tolist() == [tokens(3).shape[1]] * 3


def test_a_parameter_whose_default_is_a_number_keeps_it():
    class Net(nn.Module):
        def forward(self, x: Tensor, seq_len: int = 100, lengths: Tensor | None = None) -> Tensor:
            return x

    assert set(Arguments.of(Net(), "bt", {}).others(Net(), tokens(3))) == {"lengths"}


def test_texts_end_to_end_with_offsets_are_refused_with_what_to_do():
    class Bag(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.EmbeddingBag(TOKENS, 4)

        def forward(self, text: Tensor, offsets: Tensor) -> Tensor:
            return self.embedding(text, offsets)

    for companions in ((), ("offsets",)):
        with pytest.raises(ModelError, match=r"of Bag takes the texts of a batch end to end.*\(batch, time\)"):
            Arguments.of(Bag(), "bt", {}, companions)


def test_the_order_is_found_of_a_network_whose_results_are_not_all_finite():
    class Partly(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.LSTM(4, 5, batch_first=True)

        def forward(self, x):
            found = self.rnn(x)[0].mean(1)
            return torch.cat([found, found[:, :1] * torch.nan, found[:, :1] * torch.inf], 1)

    torch.manual_seed(0)
    given = torch.randn(3, 7, 4)
    assert find_axes(Partly(), given, [torch.randn(7, 4)], {}) == "btc"


def test_what_a_network_raises_in_another_order_is_not_taken_for_the_reason():
    class Mixing(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if x.shape[0] != 3:
                raise ValueError("the loss is not finite")
            return x - x.mean(0)

    given = torch.randn(3, 7, 4)
    with pytest.raises(ModelError, match="cannot tell in which order Mixing takes batch and time") as told:
        find_axes(Mixing(), given, [torch.randn(7, 4)], {})
    assert "--input-axes" in told.value.hint


def test_series_whose_axes_are_swapped_are_refused_where_a_convolution_tells():
    class Swapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head = nn.Conv1d(6, 4, 3), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.conv(x).mean(2))

    given = torch.randn(3, 6, 20)  # read as six steps of twenty channels
    with pytest.raises(ModelError, match=r"takes their 6 steps for channels.*examples are \(20, 6\)"):
        find_axes(Swapped(), given, [torch.randn(6, 20)], {})
    assert find_axes(Swapped(), given.mT, [torch.randn(20, 6)], {}) == "bct"
