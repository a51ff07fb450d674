"""Whole ascents: against loops written from the papers' tables, closed forms, and each unit as if it were alone."""

# Tolerances are of float32 against a literal computation in float64 or in another order: 1e-6 after one step, 1e-4 to 1e-3
# after several, as each step carries the rounding of those before it on.

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from torchlurk.models.survey.layers import survey
from torchlurk.records import Preprocessing
from torchlurk.synthesis import ascent as ascents
from torchlurk.synthesis.ascent import Ascended, Ascent, redirected, stretched
from torchlurk.synthesis.canvas import canvas
from torchlurk.synthesis.objectives import Channel
from torchlurk.synthesis.optimizers import Adam, GradientStep
from torchlurk.synthesis.parameterizations import Fourier, Pixels
from torchlurk.synthesis.presets import LUCID, MACO, Preset
from torchlurk.synthesis.regularizers import TotalVariation, Within
from torchlurk.synthesis.synthesize import Synthesizer
from torchlurk.synthesis.transforms import Jitter, Pad, Views
from torchlurk.tables import PRESETS

SIDE = 16
MEAN, STD = (0.4, 0.45, 0.5), (0.2, 0.25, 0.3)
IMAGENET = np.array([0.485, 0.456, 0.406])


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, padding=1), nn.ReLU())


def begun(net: nn.Module, layer: str, preset: Preset, steps: int, *, size: int = SIDE, mean=MEAN, std=STD) -> Ascent:
    return Synthesizer(net, size=size, mean=mean, std=std).ascent(
        survey(net, torch.zeros(1, len(mean), size, size)).layer(layer), preset, steps
    )


def made(ascent: Ascent, channels, seed: int = 0) -> list[Ascended]:
    with ascent.readout.ready():
        return list(ascent.run(channels, seed))


# Ascents written down from the table of Yosinski et al. and from Olah et al., in float64.

TABLE = {
    "yosinski-1": {"decay": 0, "blur": (0.5, 4), "norm": 50, "contribution": None, "rate": 100, "desired": 2.0},
    "yosinski-2": {"decay": 0.3, "blur": None, "norm": 20, "contribution": None, "rate": 100, "desired": None},
    "yosinski-3": {"decay": 0.0001, "blur": (1.0, 4), "norm": None, "contribution": None, "rate": 100, "desired": None},
    "yosinski-4": {"decay": 0, "blur": (0.5, 4), "norm": None, "contribution": 90, "rate": 1e8, "desired": 2.0},
}


def blurred(x: np.ndarray, radius: float) -> np.ndarray:
    """A Gaussian over the last two axes, cut off at four deviations, edges mirrored."""
    reach = int(4 * radius + 0.5)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / radius) ** 2)
    weights /= weights.sum()
    for axis in (1, 2):
        framed = np.pad(x, [(reach, reach) if one == axis else (0, 0) for one in range(3)], mode="symmetric")
        x = np.apply_along_axis(lambda row: np.convolve(row, weights, "valid"), axis, framed)
    return x


def by_the_table(net: nn.Module, unit: int, noise: np.ndarray, steps: int, row: dict) -> tuple[np.ndarray, float]:
    """The picture after the steps, and the activation before the last, from the table alone."""
    real = network().double()
    real.load_state_dict(net.state_dict())
    mean = IMAGENET[:, None, None] * 255
    x, steepest, activation = noise.copy(), 0.0, math.nan
    for step in range(steps):
        leaf = torch.tensor(x, requires_grad=True)
        picture = (leaf + torch.tensor(mean)) / 255
        maps = real(((picture - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1))[None])[0, unit]
        centre = maps[maps.shape[0] // 2, maps.shape[1] // 2]
        (gradient,) = torch.autograd.grad(centre, leaf)
        activation, g = centre.item(), gradient.numpy()
        # The toolbox's rates are for its own network: the steepest gradient so far counts as one it would have met.
        steepest = max(steepest, math.sqrt(float((g**2).mean())))
        scaled = g * (3.6e-4 if row["desired"] else 0.025) / steepest
        rate = row["rate"] if row["desired"] is None else min(row["rate"], row["desired"] / float((scaled**2).sum()))
        x = (x + rate * scaled) * (1 - row["decay"])
        x = np.clip(x, -mean, 255 - mean)
        if row["blur"] and step % row["blur"][1] == 0:
            x = blurred(x, row["blur"][0])
        if row["norm"]:
            norms = np.sqrt((x**2).sum(0))
            x = x * (norms >= np.percentile(norms, row["norm"]))
        if row["contribution"]:
            contributions = np.abs((-x * g).sum(0))
            x = x * (contributions >= np.percentile(contributions, row["contribution"]))
    return (x + mean) / 255, activation


@pytest.mark.parametrize("name", TABLE)
def test_the_sets_of_yosinski_go_the_way_of_their_table(name) -> None:
    net = network()
    ascent = begun(net, "3", replace(PRESETS[name], stretched=False), steps=6)
    units = [1, 6, 11]
    for unit, one in zip(units, made(ascent, units), strict=True):
        noise = torch.randn(3, SIDE, SIDE, generator=ascent.generator(0, unit)).double().numpy() * 10
        expected, activation = by_the_table(net, unit, noise, 6, TABLE[name])
        assert activation > 0
        np.testing.assert_allclose(one.picture.numpy(), expected, atol=2e-4)
        assert one.objective == pytest.approx(activation, rel=1e-3)
        assert one.steps == 6


def test_lucid_without_transforms_goes_the_way_of_a_literal_loop() -> None:
    net = network()
    ascent = begun(net, "3", replace(LUCID, views=Views()), steps=6)
    real = network().double()
    colours = torch.tensor([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]], dtype=torch.float64)
    colours = colours / max(float(column.norm()) for column in colours.T)
    down, across = np.meshgrid(np.fft.fftfreq(SIDE), np.fft.rfftfreq(SIDE), indexing="ij")
    scale = torch.tensor(1 / np.maximum(np.hypot(down, across), 1 / SIDE))

    def seen(x: Tensor) -> Tensor:
        plain = torch.fft.irfft2(torch.complex(x[..., 0], x[..., 1]) * scale, s=(SIDE, SIDE), norm="ortho") / 4
        return torch.sigmoid(torch.einsum("cd,dhw->chw", colours, plain))

    for unit, one in zip([1, 6], made(ascent, [1, 6]), strict=True):
        x = torch.randn(3, SIDE, SIDE // 2 + 1, 2, generator=ascent.generator(0, unit)).double() * 0.01
        m, v = torch.zeros_like(x), torch.zeros_like(x)
        for step in range(1, 7):
            x.requires_grad_()
            inputs = (seen(x) - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
            value = real(inputs[None])[0, unit].mean()
            (g,) = torch.autograd.grad(value, x)
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
            x = (x + 0.05 * (m / (1 - 0.9**step)) / ((v / (1 - 0.999**step)).sqrt() + 1e-8)).detach()
        assert value > 0
        np.testing.assert_allclose(one.picture.numpy(), seen(x).numpy(), atol=1e-4)
        assert one.objective == pytest.approx(value.item(), rel=1e-4)


def test_maco_climbs_on_the_mean_of_its_views_and_is_opaque_where_gradients_were() -> None:
    """The random numbers of a unit: those of its start, then at each step those of its views, then their noise."""
    net, steps, count = network(), 4, 5
    preset = replace(MACO, views=replace(MACO.views, count=count))
    ascent = begun(net, "3", preset, steps)
    (one,) = made(ascent, [6])
    own, on = ascent.generator(0, 6), ascent.canvas
    x = preset.parameterization.start(on, [own])
    variable = x.clone()
    optimizer = torch.optim.NAdam([variable], lr=1.0)
    opacity = torch.zeros(SIDE, SIDE)
    for step in range(steps):
        x = variable.detach().clone().requires_grad_()
        pictures = preset.parameterization.pictures(x, on)
        draws = torch.rand(count, 2, generator=own)
        views = preset.views.of(pictures, draws, step / steps, (SIDE, SIDE))
        views = views + 0.08 * torch.randn(count, 3, SIDE, SIDE, generator=own)
        inputs = (views - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
        value = net(inputs)[:, 6].mean((1, 2)).mean()
        uphill, at_picture = torch.autograd.grad(value, [x, pictures])
        opacity += at_picture[0].abs().sum(0)
        variable.grad = -uphill
        optimizer.step()
    torch.testing.assert_close(one.picture, preset.parameterization.pictures(variable, on)[0], atol=1e-4, rtol=0)
    expected = np.clip(opacity.numpy() / np.percentile(opacity.numpy(), 90), 0, 1)
    assert one.alpha is not None
    np.testing.assert_allclose(one.alpha.numpy(), expected, atol=1e-3)
    assert one.objective == pytest.approx(value.item(), rel=1e-4)


# What is known without running anything.


def bounded(climb, distance: float) -> Preset:
    return Preset(
        "bounded", Pixels(), Channel(), climb, 60, 60, corrections=(Within(distance, from_start=False),), redirected=0
    )


@pytest.mark.parametrize("kind", ["linear", "convolution"])
def test_a_linear_unit_under_a_norm_bound_gets_its_weights_direction(kind) -> None:
    torch.manual_seed(0)
    last = nn.Linear(3 * 64, 5) if kind == "linear" else nn.Conv2d(3, 5, 8)
    net = nn.Sequential(nn.Flatten(), last) if kind == "linear" else nn.Sequential(last)
    ascent = begun(net, "1" if kind == "linear" else "0", bounded(GradientStep(1000, 1.0), 200.0), 60, size=8, std=(0.3,) * 3)
    for unit, one in enumerate(made(ascent, range(5))):
        w = last.weight[unit].detach().reshape(3, 8, 8)
        found = (one.picture.double() - torch.tensor(IMAGENET).view(3, 1, 1)) * 255 / 200
        torch.testing.assert_close(found.float(), w / w.norm(), atol=1e-3, rtol=0)


@pytest.mark.slow
def test_with_adam_too_once_its_steps_are_small() -> None:
    """Adam's steps go along signs, not the gradient: on a ball they end where the two balance, at small steps on w."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 2))
    ascent = begun(net, "1", bounded(Adam(0.5), 200.0), 400, size=8, std=(0.3,) * 3)
    for unit, one in enumerate(made(ascent, [0, 1])):
        w = net[1].weight[unit].detach().reshape(3, 8, 8)
        found = (one.picture.double() - torch.tensor(IMAGENET).view(3, 1, 1)).float()
        assert F.cosine_similarity(found.flatten(), w.flatten(), dim=0) > 0.7
        assert found.norm() * 255 == pytest.approx(200, rel=1e-3)


def test_a_negative_objective_goes_the_other_way() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 2))
    way = replace(bounded(GradientStep(1000, 1.0), 200.0), objective=-Channel())
    (one,) = made(begun(net, "1", way, 60, size=8, std=(0.3,) * 3), [1])
    w = net[1].weight[1].detach().reshape(3, 8, 8)
    found = (one.picture.double() - torch.tensor(IMAGENET).view(3, 1, 1)) * 255 / 200
    torch.testing.assert_close(found.float(), -w / w.norm(), atol=1e-3, rtol=0)


def test_a_penalty_is_taken_from_the_objective() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 2))
    free = Preset("free", Fourier(), Channel(), Adam(0.05), 30, 30, redirected=0)
    pictures = [
        made(begun(net, "1", replace(free, penalties=penalties), 30, size=8), [0])[0].picture
        for penalties in ((), (TotalVariation(50.0),))
    ]
    rough = [TotalVariation(1.0).cost(one[None]).item() for one in pictures]
    assert rough[1] < 0.5 * rough[0]


def test_a_stretched_picture_fills_half_the_range_about_the_mean_colour() -> None:
    on = canvas(3, 20, 20)
    mean = on.mean.view(1, 3, 1, 1)
    weak = mean + 0.02 * torch.randn(2, 3, 20, 20, generator=torch.Generator().manual_seed(0))
    found = stretched(weak, on)
    for one in range(2):
        deviations = (weak - mean)[one].abs().double().numpy()
        factor = 0.5 / np.percentile(deviations, 99.8)
        np.testing.assert_allclose((found - mean)[one].numpy(), (weak - mean)[one].numpy() * factor, atol=1e-4)
    strong = mean + 5 * (weak - mean) * 20
    assert torch.equal(stretched(strong, on), mean + (strong - mean))
    assert torch.equal(stretched(mean.expand(1, 3, 20, 20), on), mean.expand(1, 3, 20, 20))


# Each unit as if it were alone.

WAYS = {name: replace(one, views=replace(one.views, count=min(one.views.count, 4))) for name, one in PRESETS.items()}


@pytest.mark.slow
@pytest.mark.parametrize("name", WAYS)
def test_a_unit_alone_gets_the_picture_that_it_gets_among_sixteen(name) -> None:
    net = network()
    ascent = begun(net, "3", WAYS[name], steps=5)
    together = made(ascent, range(16))
    for unit in (0, 5, 15):
        (alone,) = made(ascent, [unit])
        assert torch.equal(alone.picture, together[unit].picture)
        assert alone.objective == together[unit].objective
        if alone.alpha is not None:
            assert torch.equal(alone.alpha, together[unit].alpha)
    shuffled = made(ascent, [9, 2, 15])
    assert torch.equal(shuffled[2].picture, together[15].picture)


@pytest.mark.slow
def test_what_a_pass_holds_does_not_matter_to_a_unit(monkeypatch) -> None:
    net = network()
    expected = made(begun(net, "3", LUCID, steps=8), range(16))
    monkeypatch.setattr(ascents, "CPU_PIXELS", 4 * SIDE * SIDE)
    small = begun(net, "3", LUCID, steps=8)
    assert small.lane == 4
    found = made(small, range(10))
    assert len(found) == 10
    for one, other in zip(found, expected, strict=False):
        torch.testing.assert_close(one.picture, other.picture, atol=1e-4, rtol=0)


def test_the_same_seed_gives_the_same_picture_and_another_one_another() -> None:
    net = network()
    first, again, other = (made(begun(net, "3", LUCID, steps=4), [3], seed)[0].picture for seed in (7, 7, 8))
    assert torch.equal(first, again)
    assert (first - other).abs().max() > 0.01


def test_units_of_one_seed_begin_differently() -> None:
    ascent = begun(network(), "3", LUCID, steps=1)
    drawn = {ascent.generator(seed, unit).initial_seed() for seed in (0, 1) for unit in range(16)}
    assert len(drawn) == 32


# What goes wrong, or comes to nothing.


@pytest.mark.slow
def test_a_unit_that_is_dead_at_the_start_is_excited_only_with_redirected_rectifications() -> None:
    net = network()
    with torch.no_grad():
        net[0].weight[2].fill_(0.2)
        net[0].bias[2] = -6.0
    assert net[0](torch.zeros(1, 3, SIDE, SIDE))[0, 2].max() < 0
    way = replace(LUCID, redirected=0, climb=Adam(0.3))
    (left,) = made(begun(net, "0", way, 30), [2])
    assert left.trouble is not None
    assert "no gradient" in left.trouble
    assert left.objective == 0
    (helped,) = made(begun(net, "0", replace(way, redirected=16), 30), [2])
    assert helped.trouble is None
    assert helped.objective > 0


def test_where_a_signal_is_redirected_and_where_not() -> None:
    """Two pictures: of the first nothing gets through, of the second something does."""
    signal = torch.tensor([[1.0, -2.0, 0.5], [1.0, -2.0, 0.5]])
    slope = torch.tensor([[0.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    found = redirected(2)(signal, slope)
    assert found.tolist() == [[1.0, 0.0, 0.5], [0.0, -2.0, 0.0]]
    # Windows folded into the batch belong to their picture.
    assert redirected(1)(signal, slope).tolist() == [[0.0, 0.0, 0.0], [0.0, -2.0, 0.0]]


def test_a_unit_at_the_ceiling_of_its_own_nonlinearity_goes_on_asking() -> None:
    """Everywhere at the 6 of a ReLU6, as everywhere below 0, the derivative is zero; only at the ceiling it goes on."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 2, 3, bias=True), nn.ReLU6())
    without = nn.Sequential(nn.Conv2d(3, 2, 3, bias=True), nn.ReLU())
    with torch.no_grad():
        net[0].bias[:] = torch.tensor([50.0, -50.0])
    without.load_state_dict(net.state_dict())
    way = replace(LUCID, redirected=0)
    high, low = made(begun(net, "0", way, 5), [0, 1])
    (free,) = made(begun(without, "0", way, 5), [0])
    assert high.trouble is None
    torch.testing.assert_close(high.picture, free.picture, atol=1e-5, rtol=0)
    assert low.trouble is not None


def test_a_network_with_nan_in_one_unit_marks_that_unit_and_the_others_are_as_they_would_be() -> None:
    sound, broken = network(), network()
    with torch.no_grad():
        broken[3].bias[5] = math.nan
    expected = made(begun(sound, "3", LUCID, steps=6), range(8))
    found = made(begun(broken, "3", LUCID, steps=6), range(8))
    for unit in range(8):
        if unit == 5:
            assert found[unit].trouble == "the activation or its gradient is not finite at step 0"
            assert found[unit].steps == 0
        else:
            assert torch.equal(found[unit].picture, expected[unit].picture)
            assert found[unit].trouble is None
        assert found[unit].picture.isfinite().all()


@pytest.mark.slow
@pytest.mark.parametrize("channels", [range(8), [5], [4, 5]])
def test_a_network_with_nan_in_the_weights_of_one_unit_marks_that_unit_alone(channels) -> None:
    sound, broken = network(), network()
    with torch.no_grad():
        broken[3].weight[5, 0, 0, 0] = math.nan
    expected = made(begun(sound, "3", LUCID, steps=6), channels)
    for unit, one, other in zip(channels, made(begun(broken, "3", LUCID, steps=6), channels), expected, strict=True):
        assert one.picture.isfinite().all()
        if unit == 5:
            assert one.trouble == "the activation or its gradient is not finite at step 0"
        else:
            assert one.trouble is None
            assert torch.equal(one.picture, other.picture)


@pytest.mark.slow
def test_an_objective_of_other_channels_has_them_all() -> None:
    """Less of channel 9 while channel 2 grows: as if each pass computed the whole layer."""
    net = network()
    found = made(begun(net, "3", replace(LUCID, objective=Channel() - 0.5 * Channel(9)), steps=4), [2])
    net[3].register_forward_hook(lambda *_: None)  # so that all channels are computed
    (whole,) = made(begun(net, "3", replace(LUCID, objective=Channel() - 0.5 * Channel(9)), steps=4), [2])
    assert torch.equal(found[0].picture, whole.picture)
    assert not torch.equal(whole.picture, made(begun(net, "3", LUCID, steps=4), [2])[0].picture)


@pytest.mark.parametrize("name", WAYS)
def test_a_unit_without_weights_is_marked_and_has_a_picture_all_the_same(name) -> None:
    net = network()
    with torch.no_grad():
        net[3].weight[2] = 0
        net[3].bias[2] = 0
    found = made(begun(net, "3", WAYS[name], steps=3), [1, 2])
    assert found[1].trouble == "no gradient reaches the picture: nothing in it changes the unit"
    assert found[0].trouble is None
    assert found[1].picture.isfinite().all()
    assert found[1].alpha is None or found[1].alpha.isfinite().all()


@pytest.mark.slow
def test_a_unit_that_does_not_improve_any_more_is_done_and_the_others_go_on() -> None:
    """Unit 0 cannot exceed 1 and is there soon, while Adam goes on from its momentum; unit 1 rises all the time."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 2), nn.Hardtanh(-9, 1))
    with torch.no_grad():
        net[1].weight[1] *= 0.01
        net[1].bias[0] = 0.98
    steady = Preset("steady", Pixels(0.1), Channel(), Adam(2.0), 50, 50, patience=5, redirected=0)
    found = made(begun(net, "1", steady, 50, size=8), [0, 1])
    assert 5 < found[0].steps < 45
    assert found[1].steps == 50
    lasting = begun(net, "1", replace(steady, patience=None), found[0].steps, size=8)
    assert torch.equal(found[0].picture, made(lasting, [0])[0].picture)


def test_a_run_ends_when_all_its_units_are_done() -> None:
    passes = []
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 2))
    with torch.no_grad():
        net[1].weight.zero_()
    steady = Preset("steady", Pixels(0.1), Channel(), GradientStep(1.0, 0.01), 500, 500, patience=5, redirected=0)
    ascent = begun(net, "1", steady, 500, size=8)
    net[0].register_forward_pre_hook(lambda *_: passes.append(1))
    made(ascent, [0, 1])
    assert len(passes) == 6


# Pictures and networks of all kinds.


@pytest.mark.slow
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("name", WAYS)
def test_pictures_have_the_network_s_channels(channels, name) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(channels, 4, 3), nn.ReLU())
    ascent = begun(net, "0", WAYS[name], 3, size=12, mean=(0.5,) * channels, std=(0.25,) * channels)
    (one,) = made(ascent, [1])
    assert one.picture.shape == (channels, 12, 12)
    assert 0 <= one.picture.min() < one.picture.max() <= 1
    assert (one.alpha is not None) == (name == "maco")


def test_inputs_are_normalized_and_in_the_network_s_own_numbers() -> None:
    net = network().to(torch.bfloat16)
    ascent = Ascent(begun(network(), "3", LUCID, 1).readout, LUCID, canvas(3, 8, 8), Preprocessing(mean=MEAN, std=STD), steps=1)
    pictures = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    expected = (pictures - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    torch.testing.assert_close(ascent.inputs(pictures), expected)
    ascent.readout.module = net
    (one,) = made(begun(net.float(), "3", LUCID, 2), [1])
    assert one.picture.dtype is torch.float32


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_networks_in_other_numbers_are_climbed_too(dtype) -> None:
    net = network().to(dtype)
    ascent = Synthesizer(net, size=SIDE, mean=MEAN, std=STD)
    found = made(ascent.ascent(ascent.layer("3"), LUCID, 6), [3])[0]
    expected = made(begun(network(), "3", LUCID, 6), [3])[0]
    assert found.picture.dtype is torch.float32
    torch.testing.assert_close(found.picture, expected.picture, atol=1e-3 if dtype is torch.float64 else 0.25, rtol=0)


def test_transforms_shrink_with_the_picture() -> None:
    net = network()
    assert begun(net, "3", LUCID, 1, size=64).views.transforms[:2] == (Pad(6), Jitter(4))
    assert begun(net, "3", LUCID, 1, size=128).views == LUCID.views
    assert begun(net, "3", LUCID, 1, size=160).views == LUCID.views


def test_a_pass_is_never_empty_and_never_too_large() -> None:
    net = network()
    assert begun(net, "3", LUCID, 1, size=16).lane == 16
    assert begun(net, "3", LUCID, 1, size=128).lane == 4
    assert begun(net, "3", MACO, 1, size=128).lane == 1


# The model is left as it was found.


class Guarded(nn.Module):
    """A network in training mode, with frozen parameters, a gradient, a buffer that counts passes; `fails` at a pass."""

    def __init__(self) -> None:
        super().__init__()
        self.body = network()
        self.norm, self.drop = nn.BatchNorm2d(16), nn.Dropout(0.5)
        self.register_buffer("passes", torch.zeros(()))
        self.fails, self.count = 0, 0
        self.body[0].weight.requires_grad_(False)
        self.body[3].bias.grad = torch.ones(16)
        self.norm.eval()
        self.register_forward_hook(lambda *_: None)

    def forward(self, x: Tensor) -> Tensor:
        self.passes += 1
        self.count += 1
        if self.count == self.fails:
            raise RuntimeError("on purpose")
        return self.drop(self.norm(self.body(x)))


def state(net: nn.Module) -> list[object]:
    found: list[object] = [torch.get_rng_state().tolist()]
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks")
    found.extend((one.training, *(len(getattr(one, kind)) for kind in hooks)) for one in net.modules())
    found.extend(
        (name, id(one), one.tolist(), one.requires_grad, None if one.grad is None else one.grad.tolist())
        for name, one in net.named_parameters()
    )
    found += [(name, id(one), one.tolist(), one.grad_fn) for name, one in net.named_buffers()]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize("fails", [0, 3])
def test_the_model_is_left_as_found_after_success_and_after_an_error_in_the_middle(name, fails) -> None:
    net = Guarded()
    layer = survey(net, torch.zeros(1, 3, SIDE, SIDE)).layer("body.3")
    maker = Synthesizer(net, size=SIDE, mean=MEAN, std=STD)
    before = state(net)
    net.count = 0
    ascent = maker.ascent(layer, WAYS[name], 4)
    net.fails = fails
    work: Callable[[], object] = lambda: made(ascent, [1, 2])  # noqa: E731
    if fails:
        with pytest.raises(Exception, match="on purpose"):
            work()
    else:
        work()
    assert state(net) == before


@pytest.mark.slow
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_where_the_caller_has_no_gradients_pictures_are_the_same(mode) -> None:
    net = network()
    expected = made(begun(net, "3", LUCID, 4), [1])[0]
    with mode():
        (found,) = Synthesizer(net, size=SIDE, mean=MEAN, std=STD).units("3", [1], LUCID, steps=4)
    assert torch.equal(found.image, expected.picture)
