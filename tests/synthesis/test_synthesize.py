"""`synthesize` and `Synthesizer`: networks of all kinds, what comes from a study, and one clear error each."""

# Tolerances are of float32 against a literal computation in float64 or in another order: 1e-6 after one step, 1e-4 to 1e-3
# after several, as each step carries the rounding of those before it on.

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import torchlurk as tl
from torchlurk.errors import ModelError, OptionError, UnitError
from torchlurk.input_records import InputStatistics
from torchlurk.models.loading.extras import import_torchvision
from torchlurk.synthesis.objectives import Channel, Diversity, Neuron
from torchlurk.synthesis.optimizers import Adam, GradientStep
from torchlurk.synthesis.parameterizations import Fourier, Pixels
from torchlurk.synthesis.presets import LUCID, MACO, Preset
from torchlurk.synthesis.synthesize import IMAGENET, Synthesizer
from torchlurk.tables import PRESETS
from torchlurk.units import Unit

SIDE = 16
WAYS = {name: replace(one, views=replace(one.views, count=min(one.views.count, 4))) for name, one in PRESETS.items()}


def network(channels: int = 3) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(channels, 6, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(200, 4)
    )


@pytest.mark.slow
def test_one_unit_by_the_function_is_that_of_the_class_for_many() -> None:
    net = network()
    found = tl.synthesize(net, "3:7", size=SIDE, steps=4, seed=3)
    many = Synthesizer(net, size=SIDE).units("3", [2, 7, 5], steps=4, seed=3)
    assert torch.equal(found.image, many[1].image)
    assert (found.unit, found.preset, found.seed, found.steps) == (Unit("3", 7), "lucid", 3, 4)
    assert found.activation > 0
    for name in ("activation", "robustness", "marked", "alpha"):
        assert getattr(found, name) == getattr(many[1], name)
    assert torch.equal(tl.synthesize(net, Unit("3", 7), size=SIDE, steps=4, seed=3).image, found.image)


def test_without_channels_it_is_all_of_the_layer() -> None:
    found = Synthesizer(network(), size=SIDE).units("3", steps=1)
    assert [one.unit.channel for one in found] == list(range(8))


@pytest.mark.slow
def test_longer_ascents_excite_more_than_shorter_ones_and_than_grey() -> None:
    net = network()
    reached = [tl.synthesize(net, "6:1", size=SIDE, steps=steps).activation for steps in (1, 10, 30)]
    assert reached == sorted(reached)
    grey = (torch.full((1, 3, SIDE, SIDE), 0.5) - torch.tensor(IMAGENET.mean).view(3, 1, 1)) / torch.tensor(IMAGENET.std).view(
        3, 1, 1
    )
    assert reached[-1] > 2 * abs(net(grey)[0, 1].item())


def test_the_steps_are_the_preset_s_own_if_not_given() -> None:
    short = replace(LUCID, name="short", steps=3)
    assert tl.synthesize(network(), "3:5", short, size=SIDE).steps == 3
    assert tl.synthesize(network(), "3:5", short, size=SIDE, steps=2).steps == 2


def test_a_preset_of_one_s_own_goes_wherever_a_name_goes() -> None:
    own = Preset("mine", Fourier(decay=2.0), Channel() - 0.1 * Neuron(2), Adam(0.1), steps=3, bulk_steps=2)
    found = tl.synthesize(network(), "3:5", own, size=SIDE)
    assert (found.preset, found.steps) == ("mine", 3)
    assert Synthesizer(network(), size=SIDE).units("3", [1], own)[0].preset == "mine"
    assert len(Synthesizer(network(), size=SIDE).variants("3:1", 2, own)) == 2


@pytest.mark.slow
@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_every_preset_works_on_networks_of_any_channels_and_on_vectors(name, channels) -> None:
    net = network(channels)
    for unit in ("0:1", "3:5", "6:2"):
        found = tl.synthesize(net, unit, WAYS[name], size=SIDE, steps=2)
        assert found.image.shape == (channels, SIDE, SIDE)
        assert np.isfinite(found.activation)
        assert 0 <= found.image.min() < found.image.max() <= 1
        assert found.pixels().shape == (SIDE, SIDE, 4 if name == "maco" else 1 if channels == 1 else 3)


@pytest.mark.slow
@pytest.mark.parametrize("name", WAYS)
def test_every_preset_works_on_a_transformer_of_tokens_at_its_own_size(name) -> None:
    vit = import_torchvision().models.VisionTransformer(
        image_size=32, patch_size=8, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=32, num_classes=5
    )
    torch.nn.init.normal_(vit.heads.head.weight)
    maker = Synthesizer(vit, size=32)
    for layer in ("conv_proj", "encoder.layers.encoder_layer_1.mlp.0", "heads.head"):
        (found,) = maker.units(layer, [3], WAYS[name], steps=2)
        assert np.isfinite(found.activation)
        assert found.marked in (None, "the unit could not be excited")
    with pytest.raises(ModelError, match="24×24"):
        Synthesizer(vit, size=24).units("heads.head", [3], WAYS[name], steps=2)


@pytest.mark.slow
def test_heights_and_widths_may_differ() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    for name in WAYS:
        assert tl.synthesize(net, "0:1", WAYS[name], size=(10, 15), steps=2).image.shape == (3, 10, 15)


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"unit": "3:8"}, UnitError, "layer '3' has no channel 8"),
        ({"unit": "3"}, UnitError, "'3' is not a unit"),
        ({"unit": "3x:1"}, UnitError, "no layer matches '3x'; nearest: 3"),
        ({"preset": "lucit"}, OptionError, "no preset 'lucit'; nearest: lucid"),
        ({"size": 3}, ModelError, "cannot run on an input of 3×3×3"),
        ({"size": 30}, ModelError, "cannot run on an input of 3×30×30"),
        ({"size": 0}, OptionError, "size is 0"),
        ({"steps": 0}, OptionError, "steps is 0"),
        ({"steps": -2}, OptionError, "steps is -2"),
        ({"mean": (0.5,)}, ModelError, "1×16×16"),
        ({"std": (0.5,) * 3}, OptionError, "std is given without mean"),
    ],
)
def test_what_cannot_be_is_one_clear_error(given, error, said) -> None:
    with pytest.raises(error, match=said) as caught:
        tl.synthesize(network(), **({"unit": "3:1", "size": SIDE, "steps": 1} | given))
    assert caught.value.hint
    assert "\n" not in str(caught.value)


def test_a_layer_that_is_reached_only_by_larger_pictures_is_refused() -> None:
    class Growing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.late = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 5)

        def forward(self, x: Tensor) -> Tensor:
            x = self.first(x)
            return self.late(x) if x.shape[-1] > 8 else x

    maker = Synthesizer(Growing(), size=16)
    late = maker.layer("late")
    with pytest.raises(ModelError, match=r"layer 'late' cannot be reached with pictures of 9×9: .*was not reached"):
        maker.ascent(late, "lucid", 1, (9, 9))


def test_networks_that_take_no_pictures_are_refused() -> None:
    with pytest.raises(ModelError, match="cannot run on an input of 3×16×16"):
        tl.synthesize(nn.Sequential(nn.Linear(7, 5)), "0:1", size=SIDE, steps=1)


@pytest.mark.slow
def test_of_grey_data_pictures_come_out_grey() -> None:
    grey = InputStatistics(9, np.full(3, 0.4), np.full((3, 3), 0.02), np.ones((3, SIDE, SIDE // 2 + 1)))
    for way in (LUCID, WAYS["maco"]):
        found = tl.synthesize(network(), "3:5", way, size=SIDE, steps=3, statistics=grey).image
        torch.testing.assert_close(found[0], found[1], atol=1e-6, rtol=0)
        torch.testing.assert_close(found[0], found[2], atol=1e-6, rtol=0)


def test_the_data_s_own_colours_and_frequencies_are_used() -> None:
    """Data that are red alone, and hardly vary but from row to row, give such pictures."""
    spectrum = np.full((3, SIDE, SIDE // 2 + 1), 1e-4)
    spectrum[:, :, 0] = 1
    red = InputStatistics(9, np.array([0.5, 0.1, 0.1]), np.diag([0.04, 0.0, 0.0]), spectrum)
    found = tl.synthesize(network(), "3:5", WAYS["maco"], size=SIDE, steps=3, statistics=red).image
    assert found[0].std() > 0.05
    assert found[1:].std(dim=(1, 2)).max() < 1e-6
    assert found[0].std(dim=1).max() < 0.1 * found[0].mean(dim=1).std()


def test_pixels_are_eight_bit_with_alpha_last() -> None:
    plain = tl.synthesize(network(), "3:5", size=SIDE, steps=1)
    expected = np.round(plain.image.permute(1, 2, 0).numpy() * 255).astype(np.uint8)
    assert np.array_equal(plain.pixels(), expected)
    assert np.array_equal(np.asarray(plain.picture()), expected)
    four = tl.synthesize(network(4), "3:5", size=SIDE, steps=1)
    assert np.array_equal(four.pixels(), np.round(four.image[:3].permute(1, 2, 0).numpy() * 255).astype(np.uint8))
    clear = tl.synthesize(network(1), "3:5", WAYS["maco"], size=SIDE, steps=1)
    assert clear.alpha is not None
    for band in range(3):
        assert np.array_equal(clear.pixels()[..., band], np.round(clear.image[0].numpy() * 255).astype(np.uint8))
    assert np.array_equal(clear.pixels()[..., 3], np.round(clear.alpha.numpy() * 255).astype(np.uint8))
    shown = Image.open(io.BytesIO(clear._repr_png_()))
    assert shown.mode == "RGBA"
    assert np.array_equal(np.asarray(shown), clear.pixels())


@pytest.mark.slow
def test_variants_of_a_unit_are_less_alike_than_by_chance() -> None:
    net = network()

    def unlike(images: list[Tensor]) -> float:
        normalized = (torch.stack(images) - torch.tensor(IMAGENET.mean).view(3, 1, 1)) / torch.tensor(IMAGENET.std).view(
            3, 1, 1
        )
        with torch.no_grad():
            maps = net[:5](normalized).flatten(2)
        return Diversity().values(maps, torch.zeros(len(images), dtype=torch.long), ()).mean().item()

    maker = Synthesizer(net, size=SIDE)
    several = maker.variants("3:5", 3, steps=15, unlike=5.0)
    alike = maker.variants("3:5", 3, steps=15, unlike=0.0)
    assert [one.unit for one in several] == [Unit("3", 5)] * 3
    assert unlike([one.image for one in several]) > unlike([one.image for one in alike]) + 0.02
    again = maker.variants("3:5", 3, steps=15, unlike=5.0)
    assert all(torch.equal(one.image, other.image) for one, other in zip(several, again, strict=True))


def test_the_start_may_be_given() -> None:
    still = Preset("still", Pixels(), Channel(), GradientStep(0.0, 1.0), 2, 2)
    given = torch.rand(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    found = Synthesizer(network(), size=SIDE).units("3", [1, 2], still, start=given)
    for one, start in zip(found, given, strict=True):
        torch.testing.assert_close(one.image, start, atol=1e-5, rtol=0)


# What comes from a study.


class Pictures:
    def __len__(self) -> int:
        return 9

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        ramp = torch.linspace(0, 1, SIDE).expand(3, SIDE, SIDE) * torch.tensor([0.9, 0.5, 0.1]).view(3, 1, 1)
        return ramp * (index + 1) / 9, index % 3


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    path = tmp_path_factory.mktemp("synthesize") / "a.lurk"
    tl.analyze(network(), Pictures(), path, mean=(0.2, 0.2, 0.2), std=(0.5, 0.5, 0.5), top=3, tap="output").close()
    return path


@pytest.mark.slow
def test_a_study_gives_size_normalization_statistics_and_tap(study) -> None:
    with tl.open(study) as opened:
        for given in (opened, opened.reader, study, str(study)):
            maker = Synthesizer(network(), study=given)
            assert maker.size == (SIDE, SIDE)
            assert maker.preprocessing.mean == (0.2, 0.2, 0.2)
            assert maker.preprocessing.std == (0.5, 0.5, 0.5)
            assert maker.tap == "output"
            assert maker.statistics is not None
            assert maker.statistics.count == 9
        explicit = tl.synthesize(
            network(),
            "3:5",
            size=SIDE,
            steps=3,
            mean=(0.2,) * 3,
            std=(0.5,) * 3,
            statistics=opened.input_statistics,
            tap="output",
        )
        found = tl.synthesize(network(), "3:5", steps=3, study=opened)
    assert torch.equal(found.image, explicit.image)
    assert found.activation == explicit.activation
    assert np.isnan(explicit.ratio_to_best_exemplar)
    assert np.isfinite(found.percentile)


def test_what_is_given_comes_before_the_study(study) -> None:
    maker = Synthesizer(network(), study=study, size=(12, 20), mean=(0.0,) * 3, tap="activation")
    assert maker.size == (12, 20)
    assert (maker.preprocessing.mean, maker.preprocessing.std) == ((0.0,) * 3, (1.0,) * 3)
    assert maker.tap == "activation"


def test_without_a_study_what_is_usual_is_taken() -> None:
    assert Synthesizer(network()).preprocessing == IMAGENET
    assert Synthesizer(network()).size == (224, 224)
    grey = Synthesizer(network(1)).preprocessing
    assert (grey.mean, grey.std) == ((0.0,), (1.0,))


def test_a_wrapped_model_is_its_inner_one() -> None:
    wrapped = nn.DataParallel(network())
    assert torch.equal(
        tl.synthesize(wrapped, "3:5", size=SIDE, steps=2).image, tl.synthesize(network(), "3:5", size=SIDE, steps=2).image
    )


def test_transparency_is_the_preset_s_to_choose() -> None:
    assert tl.synthesize(network(), "3:5", replace(WAYS["maco"], transparency=False), size=SIDE, steps=1).alpha is None
    alpha = tl.synthesize(network(), "3:5", replace(MACO, views=LUCID.views), size=SIDE, steps=1).alpha
    assert alpha is not None
    assert 0 <= alpha.min() < alpha.max() == 1
