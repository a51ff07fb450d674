"""The stage `attribute` on texts and series: what it stores is what `attribute` gives, with evidence; parts and resuming."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import torchlurk as tl
from torchlurk.store.checking import check
from torchlurk.units import Unit

TOKENS, CHANNELS, UNITS = 9, 3, 4
METHODS = ("gradient", "input_x_gradient", "lrp_plus")


class Reader(nn.Module):
    """Token ids, time first, to a class."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.rnn, self.head = nn.Embedding(TOKENS, CHANNELS), nn.LSTM(CHANNELS, UNITS), nn.Linear(UNITS, 2)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.rnn(self.table(ids))[0][-1])


class Listener(nn.Module):
    """Series to a class, both ways."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(CHANNELS, UNITS, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * UNITS, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(x)[0].mean(1))


class Items:
    """Texts or series of two lengths."""

    def __init__(self, text: bool) -> None:
        self._text = text

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        generator = torch.Generator().manual_seed(index)
        steps = 6 + 3 * (index % 2)
        if self._text:
            return torch.randint(0, TOKENS, (steps,), generator=generator), index % 2
        return torch.randn(steps, CHANNELS, generator=generator), index % 2


def network(text: bool) -> nn.Module:
    torch.manual_seed(0)
    return Reader() if text else Listener()


def analyzed(path, text: bool, **given):
    options = {
        "top": 3,
        "exemplars": 2,
        "batch_size": 4,
        "layers": ["rnn.l0", "head"] if text else ["rnn.l0_reverse", "rnn.l0.z", "rnn.l0"],
    }
    return tl.analyze(network(text), Items(text), path, **options | {"stages": ("scan", "attribute")} | given)


@pytest.fixture(scope="module", params=[True, False], ids=["text", "series"])
def made(request, tmp_path_factory):
    """Whether it is of texts, and the study."""
    return request.param, analyzed(tmp_path_factory.mktemp("made") / "a.lurk", request.param)


@pytest.mark.slow
def test_what_is_stored_is_the_attribution_to_the_bit(made):
    text, study = made
    for address in ("rnn.l0:1", "head:1") if text else ("rnn.l0_reverse:1", "rnn.l0.z:2"):
        stored = study.reader.step_attributions(Unit.parse(address))
        assert {(one.ranking, one.rank, one.method) for one in stored if one.ranking == "max"} == {
            ("max", rank, method) for rank in (0, 1) for method in METHODS
        }
        for one in stored:
            exemplar = study.unit(address).exemplars(one.ranking)[one.rank]
            inputs = Items(text)[exemplar.example][0][None]
            where = {"position": exemplar.position or None} if one.ranking == "max" else {"reduce": "mean"}
            found = tl.attribute(network(text), inputs, address, one.method, **where)[0].numpy()
            assert one.values.shape == (len(inputs[0]), 1 if text else CHANNELS)
            np.testing.assert_allclose(one.values, found.reshape(one.values.shape), rtol=1e-4, atol=1e-7)
            assert math.isnan(one.conserved) == (one.method != "lrp_plus")


def test_the_last_steps_and_the_top_tenth_excite_what_a_pass_with_the_others_silenced_says(made):
    text, study = made
    net, (channel, layer) = network(text), (1, "rnn.l0")
    one = study.unit(f"{layer}:{channel}").exemplars("max")[0]
    assert one.position
    at, inputs = one.position[0], Items(text)[one.example][0]

    def share(kept: list[int]) -> float:
        shown = torch.stack([one if step in kept else torch.zeros_like(one) for step, one in enumerate(inputs)])
        states = net.rnn(net.table(shown)[:, None])[0][:, 0] if text else net.rnn(shown[None])[0][0]
        return float(states[at, channel].detach()) / one.score

    assert dict(one.last_steps) == pytest.approx(
        {n: share(list(range(at - n + 1, at + 1))) for n in (1, 4) if n <= at}, rel=1e-4
    )
    (lrp,) = (
        one
        for one in study.reader.step_attributions(Unit(layer, channel))
        if (one.ranking, one.rank, one.method) == ("max", 0, "lrp_plus")
    )
    largest = int(np.abs(lrp.values).sum(1).argmax())
    assert lrp.kept == pytest.approx(share([largest]), rel=1e-4)


def test_its_conclusions_are_drawn_and_the_study_is_whole(made):
    _, study = made
    assert {one.method for one in study.reader.checks("rnn.l0")} == set(METHODS)
    field = study.reader.effective_field("rnn.l0")
    assert field is not None
    assert field[0] == 1
    assert 1 <= field[1] <= 9
    report = check(study.reader.path)
    assert not report.problems
    assert report.counts["attributions"] > 0


@pytest.mark.slow
def test_interrupted_or_made_in_parts_it_ends_with_the_same(tmp_path, interrupted):
    study = analyzed(tmp_path / "whole.lurk", True, exemplars=1)
    with interrupted("write_attributions", 5):
        analyzed(tmp_path / "a.lurk", True, exemplars=1)
    again = analyzed(tmp_path / "a.lurk", True, exemplars=1)
    analyzed(tmp_path / "scan.lurk", True, stages=("scan",)).close()
    parts = [tmp_path / "1.lurk", tmp_path / "2.lurk"]
    for number, part in enumerate(parts, 1):
        analyzed(part, True, exemplars=1, stages=("attribute",), part=f"{number}/2", merged=tmp_path / "scan.lurk").close()
    merged = tl.merge(parts, out=tmp_path / "merged.lurk")
    for other in (again, merged):
        for layer in study.layers:
            assert other.reader.checks(layer.name) == study.reader.checks(layer.name)
            for unit in layer:
                wanted, found = (one.reader.step_attributions(Unit.parse(unit.address)) for one in (study, other))
                assert [(one.ranking, one.rank, one.method) for one in wanted] == [
                    (one.ranking, one.rank, one.method) for one in found
                ]
                assert all(np.array_equal(one.values, two.values) for one, two in zip(wanted, found, strict=True))
                assert np.array_equal([one.kept for one in wanted], [one.kept for one in found], equal_nan=True)
                assert other.unit(unit.address).exemplars() == unit.exemplars()


@pytest.mark.slow
def test_the_last_steps_of_a_layer_with_fewer_positions_are_those_around_its_step(tmp_path):
    torch.manual_seed(0)

    class Strided(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head = nn.Conv1d(CHANNELS, UNITS, 3, stride=2, padding=1), nn.Linear(UNITS, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.conv(x.transpose(1, 2)).mean(2))

    net, items = Strided(), Items(False)
    study = tl.analyze(
        net, items, tmp_path / "a.lurk", stages=("scan", "attribute"), methods=["gradient"], units=["conv:1"], top=3
    )
    for one in study.unit("conv:1").exemplars("max"):
        assert one.position
        inputs, at = items[one.example][0], 2 * one.position[0]
        alone = torch.zeros_like(inputs)
        alone[at] = inputs[at]
        expected = float(net.conv(alone.t()[None])[0, 1, one.position[0]].detach()) / one.score
        assert dict(one.last_steps)[1] == pytest.approx(expected, rel=1e-4)
