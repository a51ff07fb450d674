"""Preprocessing gives torchvision's bits, and its inverse gives back the picture."""

# Tolerances: sums in float64, in another order (1e-9 to 1e-14); inputs are float32 (1e-5 to 1e-6).

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from torchlurk.errors import DataError, OptionError
from torchlurk.inputs.pictures.preprocessing import denormalize, display, normalize, prepare, prepared_size, resolve, unit_range
from torchlurk.models.loading.extras import import_torchvision
from torchlurk.options import InputOptions
from torchlurk.records import Preprocessing

IMAGENET = Preprocessing((256,), (224, 224), "bilinear", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
EVERY_VALUE = torch.arange(256, dtype=torch.uint8)


@pytest.fixture(scope="module")
def transforms():
    import_torchvision()
    from torchvision import transforms

    return transforms


def noise(width: int, height: int, mode: str = "RGB", seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(pixels).convert(mode)


SIZES = [(300, 200), (200, 300), (257, 255), (33, 331), (224, 224), (1, 1), (2, 9), (97, 640)]
WAYS = [
    ((256,), (224, 224)),
    ((224,), None),
    (None, (224, 224)),
    (None, (31, 500)),
    (None, None),
    ((50, 71), None),
    ((50, 70), (49, 71)),
    ((33,), (32, 32)),
    ((8,), (9, 9)),
]


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize(("resize", "crop"), WAYS)
def test_prepared_pictures_are_those_of_torchvision(transforms, resize, crop, interpolation):
    way = Preprocessing(resize, crop, interpolation)
    mode = transforms.InterpolationMode(interpolation)
    steps = [transforms.Resize(list(resize) if len(resize) > 1 else resize[0], mode)] if resize else []
    steps += [transforms.CenterCrop(crop)] if crop else []
    for width, height in SIZES:
        image = noise(width, height)
        expected = np.asarray(transforms.Compose(steps)(image))
        assert np.array_equal(prepare(image, way), expected), (width, height)
        assert prepared_size((height, width), way) == expected.shape[:2]


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_inputs_are_those_of_torchvision_bit_for_bit(transforms, mode):
    mean, std = (IMAGENET.mean, IMAGENET.std) if mode == "RGB" else ((0.1307,), (0.3081,))
    way = Preprocessing((64,), (56, 60), "bicubic", mean, std)
    expected = transforms.Compose(
        [
            transforms.Resize(64, transforms.InterpolationMode.BICUBIC),
            transforms.CenterCrop((56, 60)),
            transforms.ToTensor(),
            transforms.Normalize(mean, std),
        ]
    )
    images = [noise(91, 77, mode, seed) for seed in range(3)]
    pixels = torch.from_numpy(np.stack([prepare(image, way) for image in images]))
    assert torch.equal(normalize(pixels, way), torch.stack([expected(image) for image in images]))


def test_real_pictures_are_those_of_torchvision_bit_for_bit(transforms, data):
    from torchlurk.inputs.pictures.decoding import decode

    expected = transforms.Compose(
        [
            transforms.Resize(256),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize(IMAGENET.mean, IMAGENET.std),
        ]
    )
    for path in sorted((data / "photos").glob("*.jpg"))[:12]:
        with Image.open(path) as image:
            wanted = expected(image.convert("RGB"))
        assert torch.equal(normalize(torch.from_numpy(prepare(decode(path), IMAGENET)[None]), IMAGENET)[0], wanted)


def test_every_value_is_normalized_as_the_formula_says():
    pixels = EVERY_VALUE.view(1, 16, 16, 1).expand(1, 16, 16, 3)
    inputs = normalize(pixels, IMAGENET)
    for channel in range(3):
        mean, std = Fraction(IMAGENET.mean[channel]), Fraction(IMAGENET.std[channel])
        literal = [float((Fraction(value, 255) - mean) / std) for value in range(256)]
        assert np.allclose(inputs[0, channel].flatten().numpy(), literal, rtol=1e-6, atol=1e-6)


@settings(max_examples=300, deadline=None)
@given(mean=st.floats(-5, 5), std=st.floats(1e-3, 1e3))
def test_every_value_comes_back_whatever_mean_and_std(mean, std):
    way = Preprocessing(mean=(mean,), std=(std,))
    pixels = EVERY_VALUE.view(1, 16, 16, 1)
    assert np.array_equal(display(normalize(pixels, way), way), pixels.numpy())


def test_a_picture_not_normalized_is_displayed_as_it_is():
    pixels = torch.randint(0, 256, (2, 5, 7, 3), dtype=torch.uint8)
    assert np.array_equal(display(pixels, IMAGENET), pixels.numpy())


@pytest.mark.parametrize(("channels", "shown"), [(1, 1), (2, 1), (3, 3), (4, 3), (7, 3)])
def test_inputs_of_any_number_of_channels_are_displayed(channels, shown):
    way = Preprocessing(mean=(0.5,) * channels, std=(0.25,) * channels)
    pixels = torch.randint(0, 256, (2, 5, 6, channels), dtype=torch.uint8)
    pictures = display(normalize(pixels, way), way)
    assert np.array_equal(pictures, pixels[..., :shown].numpy())


def test_displayed_values_outside_the_range_are_clipped():
    values = torch.tensor([-1.0, 2.0, float("nan"), float("inf"), -float("inf")]).view(1, 1, 1, 5)
    assert display(values, Preprocessing(mean=(0.0,), std=(1.0,))).ravel().tolist() == [0, 255, 0, 255, 0]


def test_displaying_leaves_the_inputs_alone():
    inputs = torch.rand(1, 3, 4, 4)
    before = inputs.clone()
    display(inputs, IMAGENET)
    denormalize(inputs, IMAGENET)
    assert torch.equal(inputs, before)


def test_denormalized_inputs_are_the_unit_range():
    pixels = torch.randint(0, 256, (2, 5, 7, 3), dtype=torch.uint8)
    assert torch.allclose(denormalize(normalize(pixels, IMAGENET), IMAGENET), unit_range(pixels), atol=1e-6)


def test_channels_that_do_not_fit_are_refused():
    with pytest.raises(DataError, match=r"4 channel.*3.*give --mean and --std with 4"):
        normalize(torch.zeros(1, 2, 2, 4, dtype=torch.uint8), IMAGENET)


def test_a_picture_too_long_to_resize_is_refused_before_it_fills_the_memory():
    with pytest.raises(DataError, match="too elongated"):
        prepare(Image.new("L", (40_000, 1)), Preprocessing((256,), (224, 224)))


def test_options_override_the_models_own_field_by_field():
    assert resolve(InputOptions(), IMAGENET) == IMAGENET
    assert resolve(InputOptions(crop=128), IMAGENET).crop == (128, 128)
    assert resolve(InputOptions(resize=300), IMAGENET).resize == (300,)
    assert resolve(InputOptions(resize=(300, 310)), IMAGENET).resize == (300, 310)
    assert resolve(InputOptions(interpolation="bicubic"), IMAGENET).interpolation == "bicubic"
    assert resolve(InputOptions(std=(1.0, 1.0, 1.0)), IMAGENET).mean == IMAGENET.mean


def test_without_options_and_configuration_inputs_are_in_the_unit_range():
    assert resolve(InputOptions(), None) == Preprocessing()
    assert resolve(InputOptions(mean=(0.5,)), None) == Preprocessing(mean=(0.5,), std=(1.0,))
    assert resolve(InputOptions(std=(0.5,)), None) == Preprocessing(mean=(0.0,), std=(0.5,))


def test_one_mean_makes_the_input_grey():
    way = resolve(InputOptions(mean=(0.5,), std=(0.5,)), IMAGENET)
    assert prepare(noise(300, 300), way).shape == (224, 224, 1)


@pytest.mark.parametrize("options", [InputOptions(mean=(0.5,)), InputOptions(std=(0.5,))])
def test_a_mean_without_its_std_is_refused_where_the_models_own_does_not_fit(options):
    with pytest.raises(OptionError, match=r"has 1 value.*3.*give --(mean|std) too"):
        resolve(options, IMAGENET)


def test_a_resize_smaller_than_the_models_crop_is_refused():
    with pytest.raises(OptionError, match=r"--resize 64 is smaller than the model's own crop 224x224.*--crop"):
        resolve(InputOptions(resize=64), IMAGENET)
    assert resolve(InputOptions(resize=64, crop=64), IMAGENET).crop == (64, 64)
