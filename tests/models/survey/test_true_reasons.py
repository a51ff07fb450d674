"""What a network is refused for, or a layer left out for, is what is really the matter."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import torchlurk as tl
from torchlurk.errors import DataError, ModelError, OptionError
from torchlurk.models.loading.identity import unwrap
from torchlurk.models.survey.axes import Axes
from torchlurk.models.survey.input_axes import axes_of
from torchlurk.models.survey.layers import survey
from torchlurk.models.taps.arguments import Arguments, called_with

SERIES = torch.randn(1, 8, 3, generator=torch.Generator().manual_seed(0))


class Reader(nn.Module):
    """A GRU over series, a linear layer; `run` is what its forward does with both."""

    def __init__(self, run: Callable[[Reader, Tensor], Tensor] | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.rnn, self.conv, self.head = nn.GRU(3, 5, batch_first=True), nn.Conv1d(3, 5, 3, padding=1), nn.Linear(5, 2)
        self.run = run or Reader.read

    def read(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(x)[0][:, -1])

    def forward(self, x: Tensor) -> Tensor:
        return self.run(self, x)


def spoiled(name: str, value: float) -> Reader:
    net = Reader()
    net.get_parameter(name).data.view(-1)[0] = value
    return net


def silent() -> Reader:
    net = Reader()
    nn.init.zeros_(net.head.weight)
    return net


UNTOLD = {
    "a weight that is no number": (spoiled("rnn.weight_hh_l0", torch.nan), "its parameter rnn.weight_hh_l0 has values"),
    "weights of zero": (silent(), "its results stay the same whatever an example is"),
    "batch statistics": (Reader(lambda net, x: net.read(x - x.mean(0)) if len(x) > 1 else net.read(x)), "others change too"),
    "a mean over examples": (Reader(lambda net, x: net.read(x).mean()), "nothing is there once for each"),
    "whole numbers": (Reader(lambda net, x: net.read(x).argmax(1)), r"whole numbers \(int64\)"),
}


@pytest.mark.parametrize(("net", "words"), UNTOLD.values(), ids=UNTOLD)
def test_where_no_order_of_axes_fits_it_is_said_what_is_the_matter(net: Reader, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        axes_of(net.eval(), SERIES, {})


def test_a_network_that_reads_one_step_alone_has_its_axes_found() -> None:
    for run in (lambda net, x: net.head(net.rnn(x[:, :1])[0][:, -1]), lambda net, x: net.head(net.rnn(x[:, -1:])[0][:, -1])):
        assert axes_of(Reader(run).eval(), SERIES, {}) == "btc"


class WithLengths(nn.Module):
    """Takes series and their lengths."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(3, 5, batch_first=True)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        return self.rnn(x)[0][torch.arange(len(x)), lengths - 1]


class Pictures:
    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> Tensor:
        return torch.rand(3, 8, 8)


def test_a_network_of_series_that_is_given_pictures_does_not_only_lack_lengths(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"the inputs are pictures, and rnn \(GRU\) takes series of 3 channels") as told:
        tl.analyze(WithLengths().eval(), Pictures(), tmp_path / "s.lurk", mean=(0, 0, 0), std=(1, 1, 1))
    assert told.value.hint == "give series as data, or a model for pictures"
    with pytest.raises(ModelError, match="takes lengths, as networks of texts and series do, and the inputs are pictures"):
        Arguments.of(WithLengths(), None, {})


class StepsFirst(nn.Module):
    """Tokens to scores of the next one, with steps before examples."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.rnn, self.head = nn.Embedding(9, 4), nn.GRU(4, 5), nn.Linear(5, 9)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(self.embedding(x) * 2)[0][-1:])


def test_nodes_of_a_network_with_steps_first_have_the_shape_of_one_example() -> None:
    net, ids = StepsFirst().eval(), torch.arange(7)[None]
    with called_with(net, Arguments.of(net, "tb", {})):
        nodes = survey(net, ids, axes=Axes.of("bt")).graph.nodes
    assert [(node.name, node.shape) for node in nodes] == [
        ("input", (7,)),
        ("embedding", (7, 4)),
        ("mul", (7, 4)),
        ("rnn", (7, 5)),
        ("head", (1, 9)),
        ("output", (1, 9)),
    ]


def test_data_that_are_no_numbers_are_not_blamed_on_the_axes() -> None:
    with pytest.raises(ModelError, match="that example has values that are not finite"):
        axes_of(Reader().eval(), torch.full_like(SERIES, torch.nan), {})


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")
def test_a_scripted_module_inside_is_named() -> None:
    net = Reader()
    net.head = torch.jit.script(net.head)
    with pytest.raises(ModelError, match="its module 'head' is a TorchScript module"):
        unwrap(net)


def two_versions(net: Reader, x: Tensor) -> Tensor:
    found = net.rnn(torch.stack([x, x.flip(1)], 1).flatten(0, 1))[0][:, -1]
    return net.head(found.view(len(x), 2, 5).mean(1))


LEFT_OUT = {
    "vmap": (lambda net, x: torch.vmap(net.head)(net.rnn(x)[0][:, -1]), "head", "inside torch.vmap"),
    "flipped copies": (two_versions, "rnn", "several rows for each example: flipped copies"),
}


@pytest.mark.parametrize(("run", "name", "words"), LEFT_OUT.values(), ids=LEFT_OUT)
def test_a_layer_whose_values_are_not_of_examples_is_left_out_and_the_others_are_read(run, name: str, words: str) -> None:
    found = survey(Reader(run).eval(), SERIES, axes=Axes.of("btc"))
    assert {"rnn.l0", "head"} - {one.name for one in found.layers} == {"head" if name == "head" else "rnn.l0"}
    (reason,) = (one.reason for one in found.skipped if one.path == name)
    assert words in reason


def test_modules_inside_vmap_are_named_where_no_other_has_units() -> None:
    def mapped(net: Reader, x: Tensor) -> Tensor:
        return torch.vmap(lambda one: net.head(net.conv(one.T).amax(-1)))(x)

    net = Reader(mapped).eval()
    assert axes_of(net, SERIES, {}) == "btc"
    skipped = {one.path: one.reason for one in survey(net, SERIES, axes=Axes.of("btc")).skipped}
    assert all("inside torch.vmap" in skipped[name] for name in ("conv", "head"))


class PictureReader(nn.Module):
    """A convolution of three channels and a mean."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x).mean((2, 3))


@pytest.mark.parametrize(
    ("net", "inputs", "words"),
    [
        (
            PictureReader(),
            torch.rand(3, 8, 8),
            r"shape \(3, 8, 8\), without.*batch, and conv \(Conv2d\) takes pictures",
        ),
        (
            nn.Sequential(nn.Conv1d(3, 4, 3)),
            torch.rand(8, 3),
            r"shape \(8, 3\), without.*batch.*takes series of 3",
        ),
    ],
)
def test_one_example_without_a_batch_is_not_told_to_be_of_another_kind(net: nn.Module, inputs: Tensor, words: str) -> None:
    with pytest.raises(OptionError, match=words) as told:
        tl.attribute(net, inputs, "conv:1")
    assert told.value.hint == "give a batch: inputs[None] of one example"


def test_channels_that_come_last_are_told_to_come_first(tmp_path: Path) -> None:
    last, net = torch.rand(2, 8, 9, 3), PictureReader()
    for asked in (
        lambda: tl.attribute(net, last, "conv:1"),
        lambda: tl.explain(net, last[0], "conv:1"),
        lambda: tl.analyze(net, list(last), tmp_path / "s.lurk"),
    ):
        with pytest.raises(ModelError, match=r"the last axis is as long as there are channels.*picture\.permute\(2, 0, 1\)"):
            asked()
    with pytest.raises(DataError, match=r"pictures are 8×9×3, with their channels last.*permute"):
        tl.analyze(net, list(last), tmp_path / "s.lurk", mean=(0, 0, 0), std=(1, 1, 1))


@pytest.mark.parametrize(
    ("net", "inputs", "words"),
    [
        (nn.Sequential(nn.Conv1d(2, 4, 3)), torch.rand(9, 2), r"0 \(Conv1d\) takes series of 2 channels"),
        (nn.Sequential(nn.Conv1d(2, 4, 3)), torch.rand(1, 9, 2), r"0 \(Conv1d\) takes series of 2 channels"),
        (StepsFirst(), torch.rand(7), r"embedding \(Embedding\) takes token ids from 0 to 8"),
    ],
)
def test_what_is_for_pictures_alone_says_so_to_networks_of_texts_and_series(net: nn.Module, inputs: Tensor, words: str) -> None:
    with pytest.raises(ModelError, match=f"explain is for pictures, and {words}"):
        tl.explain(net, inputs, "0:1")
    with pytest.raises(ModelError, match=f"synthesis is for pictures, and {words}"):
        tl.synthesize(net, "0:1")
