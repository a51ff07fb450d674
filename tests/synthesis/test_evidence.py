"""What is told of a synthesis: activations as the network gives them, comparisons with data, and changes, literally."""

# Tolerances are of float32 against a literal computation in float64: 1e-6 after one operation, 1e-5 after sums of hundreds,
# 1e-4 on the scale of grey levels or after a transform and back. From 0.05 on they are the spread of random draws.

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import torchlurk as tl
from torchlurk.errors import UnitError
from torchlurk.synthesis.ascent import Ascent
from torchlurk.synthesis.evidence import (
    CHANGES,
    Known,
    activations,
    coarse,
    duller,
    judged,
    known_from,
    noisy,
    robustness,
    sheared,
)
from torchlurk.synthesis.presets import LUCID, MACO
from torchlurk.synthesis.synthesize import Synthesizer

SIDE = 12
MEAN, STD = (0.4, 0.45, 0.5), (0.2, 0.25, 0.3)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 8, 3), nn.ReLU())


def begun(net: nn.Module, layer: str, preset=LUCID) -> Ascent:
    maker = Synthesizer(net, size=SIDE, mean=MEAN, std=STD)
    return maker.ascent(maker.layer(layer), preset, 1)


def pictures(count: int, height: int = SIDE, width: int = SIDE) -> Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(0))


def own(net: nn.Module, given: Tensor, channels) -> list[float]:
    """The network's own activations at the strongest position, one picture at a time."""
    normalized = (given - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    with torch.no_grad():
        return [net(one[None])[0, channel].max().item() for one, channel in zip(normalized, channels, strict=True)]


def test_the_activation_is_the_network_s_own_at_its_strongest_position() -> None:
    net, given = network(), pictures(20)
    ascent, channels = begun(net, "2"), [number % 8 for number in range(20)]
    with ascent.readout.ready():
        found = activations(ascent, given, torch.tensor(channels))
    assert found.tolist() == pytest.approx(own(net, given, channels), rel=1e-5, abs=1e-6)


def test_the_activation_is_the_same_to_the_last_bit_alone_and_among_others() -> None:
    net, given = network(), pictures(20)
    ascent, channels = begun(net, "2"), torch.arange(20) % 8
    with ascent.readout.ready():
        together = activations(ascent, given, channels)
        alone = [activations(ascent, given[one : one + 1], channels[one : one + 1]).item() for one in range(20)]
    assert alone == together.tolist()


def test_a_synthesis_tells_the_network_s_own_activation() -> None:
    net = network()
    for found in Synthesizer(net, size=SIDE, mean=MEAN, std=STD).units("2", [1, 5], steps=5):
        expected = own(net, found.image[None], [found.unit.channel])[0]
        assert found.activation == pytest.approx(expected, rel=1e-5)


def test_ratio_and_percentile_are_against_the_best_exemplar_and_the_sample() -> None:
    sample = np.array([0.0, 1.0, 2.0, 2.0, 5.0, np.nan], np.float32)
    found = judged(2.0, 0.75, Known(1.6, sample), None)
    assert found.ratio == pytest.approx(1.25)
    assert found.percentile == pytest.approx(2 / 5 * 100)
    assert (found.activation, found.robustness, found.marked) == (2.0, 0.75, None)
    assert judged(6.0, 1.0, Known(5.0, sample), None).percentile == 100
    assert judged(-1.0, 1.0, Known(5.0, sample), None).percentile == 0


def test_what_is_not_known_is_not_a_number() -> None:
    found = judged(2.0, 0.5, Known(), None)
    assert math.isnan(found.ratio)
    assert math.isnan(found.percentile)
    assert found.marked is None
    assert math.isnan(judged(2.0, 0.5, Known(0.0), None).ratio)
    assert math.isnan(judged(math.nan, 0.5, Known(1.0, np.ones(2, np.float32)), None).percentile)


@pytest.mark.parametrize(
    ("activation", "known", "trouble", "said"),
    [
        (2.0, Known(1.5), None, None),
        (2.0, Known(), None, None),
        (1.0, Known(1.5), None, "excites the unit less than its best exemplar (1 against 1.5)"),
        (1.5, Known(1.5), None, None),
        (0.0, Known(1.5), None, "the unit could not be excited"),
        (0.0, Known(0.0), None, "the unit could not be excited"),
        (-0.5, Known(-1.0), None, "the unit could not be excited"),
        (0.0, Known(), None, "the unit could not be excited"),
        (math.nan, Known(1.5), None, "the activation is not finite"),
        (math.inf, Known(), None, "the activation is not finite"),
        (2.0, Known(1.5), "it went wrong", "it went wrong"),
    ],
)
def test_a_picture_that_is_not_to_be_trusted_says_why(activation, known, trouble, said) -> None:
    assert judged(activation, 0.5, known, trouble).marked == said


def bilinear(picture: np.ndarray, x: float, y: float) -> np.ndarray:
    """Pixels have their centres at whole numbers; grey outside."""
    found = np.zeros(len(picture))
    for row in (math.floor(y), math.floor(y) + 1):
        for column in (math.floor(x), math.floor(x) + 1):
            inside = 0 <= row < picture.shape[1] and 0 <= column < picture.shape[2]
            found += (1 - abs(y - row)) * (1 - abs(x - column)) * (picture[:, row, column] if inside else 0.5)
    return found


@pytest.mark.parametrize("slope", [0.14, -0.14, 1.0])
def test_a_shear_moves_each_row_sideways_in_proportion_to_its_height(slope) -> None:
    given = pictures(1, 7, 10)
    found = sheared(given, slope)[0].numpy()
    for row in range(7):
        for column in range(10):
            expected = bilinear(given[0].double().numpy(), column + slope * (row - 3), row)
            np.testing.assert_allclose(found[:, row, column], expected, atol=1e-5)


def test_less_contrast_is_about_grey() -> None:
    given = pictures(2)
    np.testing.assert_allclose(duller(given).numpy(), 0.5 + 0.7 * (given.double().numpy() - 0.5), atol=1e-6)


def test_noise_is_small_the_same_for_all_and_stays_within_the_range() -> None:
    grey = torch.full((2, 3, 40, 40), 0.5)
    found = noisy(grey)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found, noisy(grey))
    assert (found - grey).std().item() == pytest.approx(0.05, rel=0.05)
    assert (noisy(torch.ones(1, 3, 8, 8)) <= 1).all()


@pytest.mark.parametrize("size", [(6, 8), (5, 7)])
def test_half_the_resolution_is_means_of_four_and_back(size) -> None:
    given = pictures(1, *size)[0].double().numpy()
    height, width = (math.ceil(side / 2) for side in size)
    small = np.zeros((3, height, width))
    for row in range(height):
        for column in range(width):
            small[:, row, column] = given[:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2].mean((1, 2))
    found = coarse(torch.tensor(given[None]).float())[0].numpy()
    for row in range(size[0]):
        for column in range(size[1]):
            y = min(max((row + 0.5) * height / size[0] - 0.5, 0), height - 1)
            x = min(max((column + 0.5) * width / size[1] - 0.5, 0), width - 1)
            np.testing.assert_allclose(found[:, row, column], bilinear(small, x, y), atol=1e-6)


@pytest.mark.parametrize(("preset", "names"), [(LUCID, list(CHANGES)), (MACO, [one for one in CHANGES if one != "noise"])])
def test_robustness_is_the_mean_share_that_is_left_under_changes_that_were_not_trained_on(preset, names) -> None:
    net, given, channels = network(), pictures(6), list(range(6))
    ascent = begun(net, "2", preset)
    with ascent.readout.ready():
        plain = activations(ascent, given, torch.tensor(channels))
        found = robustness(ascent, given, torch.tensor(channels), plain)
    assert bool((plain > 0).any())
    for one, channel in enumerate(channels):
        if plain[one] <= 0:
            assert math.isnan(found[one])
            continue
        shares = [max(own(net, CHANGES[name](given[one : one + 1]), [channel])[0], 0) / plain[one].item() for name in names]
        assert found[one].item() == pytest.approx(sum(shares) / len(shares), rel=1e-4)


@pytest.mark.slow
def test_robustness_is_the_same_to_the_last_bit_alone_and_among_others() -> None:
    ascent = begun(network(), "2")
    pictures = torch.rand(40, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(3))
    channels = torch.arange(40) % 8
    with ascent.readout.ready():
        plain = activations(ascent, pictures, channels)
        together = robustness(ascent, pictures, channels, plain)
        alone = [robustness(ascent, pictures[[one]], channels[[one]], plain[[one]]) for one in range(40)]
    assert torch.equal(together, torch.cat(alone))


def test_what_does_not_look_at_the_picture_stays_as_it_is() -> None:
    net = network()
    with torch.no_grad():
        net[2].weight.zero_()
        net[2].bias[:] = torch.tensor([1.0, -1.0, 2.0, 0.0, 1.0, 1.0, 1.0, 1.0])
    ascent = begun(net, "2")
    with ascent.readout.ready():
        plain = activations(ascent, pictures(4), torch.arange(4))
        found = robustness(ascent, pictures(4), torch.arange(4), plain).tolist()
    assert found == pytest.approx([1, math.nan, 1, math.nan], nan_ok=True)


def test_a_change_that_turns_the_unit_off_leaves_nothing_not_less() -> None:
    """A unit that is the mean brightness less 0.75, on a picture of 0.8: less contrast makes it negative."""
    net = nn.Sequential(nn.Conv2d(3, 1, SIDE))
    with torch.no_grad():
        for channel in range(3):
            net[0].weight[:, channel] = STD[channel] / (3 * SIDE * SIDE)
        net[0].bias.fill_(sum(MEAN) / 3 - 0.75)
    given = torch.full((1, 3, SIDE, SIDE), 0.8)
    ascent = begun(net, "0")
    with ascent.readout.ready():
        plain = activations(ascent, given, torch.tensor([0]))
        found = robustness(ascent, given, torch.tensor([0]), plain).item()
    assert plain.item() == pytest.approx(0.05, abs=1e-5)
    left = [(change(given).mean().item() - 0.75) / 0.05 for change in CHANGES.values()]
    assert min(left) < -0.5
    assert found == pytest.approx(sum(max(one, 0) for one in left) / len(left), abs=1e-3)


class Pictures:
    def __len__(self) -> int:
        return 9

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return torch.rand(3, SIDE, SIDE, generator=torch.Generator().manual_seed(index)), index % 3


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    path = tmp_path_factory.mktemp("evidence") / "a.lurk"
    with tl.analyze(network(), Pictures(), path, mean=(0, 0, 0), std=(1, 1, 1), top=3, layers=["2"], batch_size=4) as made:
        yield made


def test_a_study_knows_the_best_exemplar_and_the_sample(study) -> None:
    net = network()
    with torch.no_grad():
        responses = torch.stack([net(Pictures()[index][0][None])[0].amax((1, 2)) for index in range(9)])
    known = known_from(study.reader, "2", [0, 3, 7])
    assert sorted(known) == [0, 3, 7]
    for channel, one in known.items():
        assert one.best == pytest.approx(responses[:, channel].max().item(), rel=1e-5)
        assert sorted(one.sample) == pytest.approx(sorted(responses[:, channel].tolist()), rel=1e-5, abs=1e-6)


def test_a_study_that_does_not_know_the_units_says_so(study) -> None:
    with pytest.raises(UnitError, match="99"):
        known_from(study.reader, "2", [99])
    with pytest.raises(UnitError, match="no layer '0'"):
        known_from(study.reader, "0", [1])


@pytest.mark.slow
def test_a_synthesis_with_a_study_is_compared_with_its_data(study) -> None:
    net = network()
    for found in Synthesizer(net, study=study).units("2", [1, 5], steps=30):
        one = known_from(study.reader, "2", [found.unit.channel])[found.unit.channel]
        assert found.ratio_to_best_exemplar == pytest.approx(found.activation / one.best)
        assert found.percentile == pytest.approx(100 * sum(found.activation > other for other in one.sample) / len(one.sample))
        assert (found.marked is None) == (found.activation >= one.best)
        assert 0 <= found.robustness < 1.5
