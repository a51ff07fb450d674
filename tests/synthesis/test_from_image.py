"""Pictures made from given ones: a dream of what is there, and what a unit lacks."""

# Tolerances are of float32 against a literal computation in float64 or in another order: 1e-6 after one step, 1e-4 to 1e-3
# after several, as each step carries the rounding of those before it on.

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import torchlurk as tl
from torchlurk.errors import DataError, ModelError, OptionError, UnitError
from torchlurk.synthesis.objectives import Neuron
from torchlurk.synthesis.synthesize import Synthesizer

SIDE = 20
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def network(channels: int = 3) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(channels, 6, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3), nn.ReLU())


def picture(height: int = SIDE, width: int = SIDE, channels: int = 3) -> Tensor:
    return torch.rand(channels, height, width, generator=torch.Generator().manual_seed(0)) * 0.5 + 0.25


def maps(net: nn.Module, image: Tensor) -> Tensor:
    normalized = (image - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    with torch.no_grad():
        return net(normalized[None])[0]


@pytest.mark.parametrize("size", [(20, 20), (17, 26)])
def test_a_dream_keeps_the_size_and_raises_the_layer_s_energy(size) -> None:
    net, given = network(), picture(*size)
    found = tl.dream(net, given, "3", steps=5, scales=3)
    assert found.image.shape == given.shape
    assert 0 <= found.image.min() < found.image.max() <= 1
    assert maps(net, found.image).square().mean() > 2 * maps(net, given).square().mean()


def test_a_dream_of_a_unit_raises_that_unit() -> None:
    net, given = network(), picture()
    found = tl.dream(net, given, "3:4", steps=5, scales=2)
    assert str(found.unit) == "3:4"
    assert maps(net, found.image)[4].mean() > 1.5 * maps(net, given)[4].mean()
    assert found.activation == pytest.approx(maps(net, found.image)[4].max().item(), rel=1e-4)


def test_the_same_dream_twice_is_the_same_and_another_seed_another() -> None:
    net, given = network(), picture()
    first, again, other = (tl.dream(net, given, "3:4", steps=2, scales=2, seed=seed).image for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_one_step_at_one_scale_moves_every_pixel_by_what_is_said() -> None:
    """Mordvintsev et al. 2015: steps of the same mean magnitude, here 1.5 grey levels of 255."""
    net, given = network(), picture()
    found = tl.dream(net, given, "3:4", steps=1, scales=1)
    change = (found.image - given).abs() * 255
    assert change.mean().item() == pytest.approx(1.5, rel=0.02)


def test_scales_that_are_too_small_for_the_network_or_for_any_picture_are_passed_over() -> None:
    net, given = network(), picture()
    found = tl.dream(net, given, "3", steps=1, scales=30)
    assert found.image.shape == given.shape


def test_a_picture_too_small_for_the_network_is_refused() -> None:
    with pytest.raises(ModelError, match="3×4×4"):
        tl.dream(network(), picture(4, 4), "3", steps=1)


@pytest.mark.slow
@pytest.mark.parametrize("distance", [0.01, 0.05, 0.3])
def test_what_changes_toward_a_unit_is_within_the_distance_and_raises_it(distance) -> None:
    net, given = network(), picture()
    found = tl.toward(net, given, "3:4", distance=distance, steps=12)
    assert torch.equal(found.before, given)
    size = math.sqrt(float(((found.after - given).double() ** 2).mean()))
    assert found.distance == pytest.approx(size, rel=1e-5)
    assert 0.5 * distance < size <= distance + 1e-6
    assert found.activation_before == pytest.approx(maps(net, given)[4].max().item(), rel=1e-4)
    assert found.activation_after == pytest.approx(maps(net, found.after)[4].max().item(), rel=1e-4)
    assert found.activation_after > found.activation_before
    assert torch.equal(found.change(), found.after - given)
    assert 0 <= found.after.min() < found.after.max() <= 1


@pytest.mark.slow
def test_a_larger_distance_excites_more() -> None:
    net, given = network(), picture()
    reached = [tl.toward(net, given, "3:4", distance=distance, steps=12).activation_after for distance in (0.01, 0.2)]
    assert reached == sorted(reached)


@pytest.mark.slow
def test_a_class_is_a_unit_of_the_last_layer_and_the_objective_may_be_another() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(network(), nn.Flatten(), nn.LazyLinear(4))
    net(torch.zeros(1, 3, SIDE, SIDE))
    found = tl.toward(net, picture(), "2:3", steps=10)
    assert found.activation_after > found.activation_before
    at_centre = tl.toward(network(), picture(), "3:4", steps=10, objective=Neuron())
    before, after = (maps(network(), one)[4, 3, 3].item() for one in (at_centre.before, at_centre.after))
    assert after > before


def test_before_the_change_and_after_are_shown_side_by_side() -> None:
    found = tl.toward(network(), picture(), "3:4", steps=3)
    drawn = np.asarray(found.picture())
    assert drawn.shape == (SIDE, 3 * SIDE + 2 * 4, 3)
    expected = (found.before.permute(1, 2, 0).numpy() * 255).round()
    np.testing.assert_allclose(drawn[:, :SIDE], expected, atol=1)
    assert (drawn[:, SIDE : SIDE + 4] == 255).all()
    assert found._repr_png_().startswith(b"\x89PNG")


def test_files_and_pillow_s_pictures_cover_the_network_s_input_and_are_cut(tmp_path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (30, 50, 3)).astype(np.uint8)
    image = Image.fromarray(pixels)
    image.save(tmp_path / "a.png")
    found = [
        tl.toward(network(), given, "3:4", size=15, steps=1) for given in (image, tmp_path / "a.png", str(tmp_path / "a.png"))
    ]
    assert found[0].before.shape == (3, 15, 15)
    assert all(torch.equal(one.before, found[0].before) for one in found)
    expected = np.asarray(image.resize((25, 15), Image.Resampling.BILINEAR))[:, 5:20] / 255
    np.testing.assert_allclose(found[0].before.permute(1, 2, 0).numpy(), expected, atol=0.02)


def test_grey_networks_dream_in_grey() -> None:
    found = tl.dream(network(1), picture(channels=1), "3:4", steps=2, scales=2)
    assert found.image.shape == (1, SIDE, SIDE)
    assert found.pixels().shape == (SIDE, SIDE, 1)
    pushed = tl.toward(network(1), picture(channels=1), "3:4", steps=2)
    assert pushed.picture().size == (3 * SIDE + 2 * 4, SIDE)


@pytest.mark.parametrize("verb", [tl.dream, tl.toward])
def test_tensors_that_are_no_pictures_are_refused(verb) -> None:
    normalized, missing, grey = picture() * 4 - 2, picture(), picture(channels=1)
    missing[0, 0, 0] = math.nan
    for wrong in (normalized, missing, grey, picture() * 255):
        with pytest.raises(DataError, match=r"a tensor of shape \(\d, 20, 20\) with values from .* to") as caught:
            verb(network(), wrong, "3:4", steps=1)
        assert "3 channels" in caught.value.hint


@pytest.mark.parametrize("verb", [tl.dream, tl.toward])
def test_what_cannot_be_is_said_in_one_line(verb, tmp_path) -> None:
    with pytest.raises(DataError):
        verb(network(), tmp_path / "nothing.png", "3:4", size=SIDE, steps=1)
    with pytest.raises(UnitError, match="no channel 8"):
        verb(network(), picture(), "3:8", steps=1)
    with pytest.raises(UnitError, match="nearest: 3"):
        verb(network(), picture(), "3x:0", steps=1)


def test_options_that_cannot_be_are_refused() -> None:
    for distance in (0, -1, 1.5):
        with pytest.raises(OptionError, match="distance is"):
            tl.toward(network(), picture(), "3:4", distance=distance)
    with pytest.raises(OptionError, match="scales is 0"):
        tl.dream(network(), picture(), "3:4", scales=0)
    for steps in (0, -1):
        with pytest.raises(OptionError, match=f"steps is {steps}"):
            tl.dream(network(), picture(), "3:4", steps=steps)
        with pytest.raises(OptionError, match=f"steps is {steps}"):
            tl.toward(network(), picture(), "3:4", steps=steps)


@pytest.mark.parametrize("verb", [tl.dream, tl.toward])
def test_the_model_and_the_image_are_left_as_found(verb) -> None:
    net, given = network().train(), picture()
    before = {name: one.clone() for name, one in net.state_dict().items()}
    random = torch.get_rng_state()
    verb(net, given, "3:4", steps=2)
    assert torch.equal(given, picture())
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(one, before[name]) for name, one in net.state_dict().items())
    assert all(one.training and not one._forward_hooks and not one._forward_pre_hooks for one in net.modules())
    assert all(one.grad is None and one.requires_grad for one in net.parameters())


def test_a_start_is_what_an_ascent_begins_with() -> None:
    given = torch.stack([picture(), 1 - picture()])
    found = Synthesizer(network(), size=SIDE).units("3", [1, 2], steps=1, start=given)
    for one, start in zip(found, given, strict=True):
        assert (one.image - start).abs().mean() < 0.1
    elsewhere = Synthesizer(network(), size=SIDE).units("3", [1, 2], steps=1)
    assert (elsewhere[0].image - given[0]).abs().mean() > 0.1


def test_an_array_is_a_picture_too_whichever_way_its_channels_stand() -> None:
    net, given = network(), picture()
    asked = {"unit": "3:4", "steps": 2, "scales": 1, "size": SIDE}
    expected = tl.dream(net, given, **asked).image
    for one in (given.numpy(), given.permute(1, 2, 0).numpy()):
        assert torch.equal(tl.dream(net, one, **asked).image, expected)
    pixels = (given * 255).round().to(torch.uint8)
    of_file = tl.dream(net, Image.fromarray(pixels.permute(1, 2, 0).numpy()), **asked).image
    for one in (pixels, pixels.numpy(), pixels.permute(1, 2, 0).numpy()):
        assert torch.equal(tl.dream(net, one, **asked).image, of_file)
    with pytest.raises(DataError, match="of shape"):
        tl.dream(net, pixels[:2], **asked)
