"""Network Dissection, re-derived literally, against a second library's interpolation, and in cases with a closed form."""

# Tolerances are of overlaps: maps are enlarged in float32, and of thousands of pixels a few lie at the threshold.

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from copy import deepcopy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from torchlurk.errors import DataError, ModelError, OptionError
from torchlurk.inputs.items import Item
from torchlurk.inputs.source import ExampleList, PictureSource
from torchlurk.models.survey.layers import survey
from torchlurk.models.survey.receptive_field import receptive_fields
from torchlurk.records import Class, Layer, Preprocessing, Skip
from torchlurk.scanning.dissection import Dissection, dissect
from torchlurk.scanning.overlaps import Grid, Levels, Overlaps, blend, centres

SIDE = 24


class Squares(PictureSource):
    """Pictures of noise with a red and a green square somewhere; the masks say where, the red one's at half the size."""

    name = "squares"
    skipped: tuple[Skip, ...] = ()
    classes: tuple[Class, ...] = ()
    preprocessing = Preprocessing()
    parts = ("red", "green", "blue")

    def __init__(self, count: int, unreadable: frozenset[int] = frozenset()) -> None:
        self.examples = ExampleList([""] * count, np.full(count, -1))
        self._unreadable = unreadable

    def _corners(self, index: int) -> np.ndarray:
        return np.random.default_rng(index).integers(0, SIDE - 6, (2, 2))

    def read(self, index: int) -> Item:
        if index in self._unreadable:
            raise DataError("is damaged")
        pixels = np.random.default_rng(100 + index).integers(0, 90, (SIDE, SIDE, 3)).astype(np.uint8)
        for channel, (y, x) in enumerate(self._corners(index)):
            pixels[y : y + 6, x : x + 6, channel] += 160
        return Item(pixels, None)

    def masks(self, index: int) -> Mapping[str, np.ndarray]:
        masks = np.zeros((2, SIDE, SIDE), bool)
        for mask, (y, x) in zip(masks, self._corners(index), strict=True):
            mask[y : y + 6, x : x + 6] = True
        return {"red": masks[0], "green": masks[1]}

    def fingerprint(self) -> str:
        return hashlib.sha256(str(len(self.examples)).encode()).hexdigest()


class Small(nn.Module):
    """Strides, padding, a functional nonlinearity and a pool, so that no centre is where an even division has it."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 5, stride=2, padding=2)
        self.second = nn.Conv2d(4, 5, 3, padding=1)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.second(F.max_pool2d(F.relu(self.first(inputs)), 2))


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(3)
    return Small().eval()


def layers_of(network: nn.Module, side: int = SIDE) -> list[Layer]:
    return [layer for layer in survey(network, torch.zeros(1, 3, side, side)).layers if layer.by_default]


def bfloat16(bits: np.ndarray) -> np.ndarray:
    return (bits.astype(np.uint32) << 16).view(np.float32).astype(np.float64)


NUMBERS = np.concatenate([bfloat16(0x8000 | np.arange(0x7F7F, 0, -1)), bfloat16(np.arange(0x7F80))])
"""All finite bfloat16 numbers, from the lowest up."""


def literal_threshold(values: np.ndarray, share: float) -> float:
    """The first of all numbers that few enough values exceed."""
    exceeding = values.size - np.searchsorted(np.sort(values, axis=None), NUMBERS, side="right")
    return float(NUMBERS[np.flatnonzero(exceeding <= share * values.size)[0]])


def literal_enlarged(values: np.ndarray, rows: list[float], columns: list[float], side: int) -> np.ndarray:
    """Bilinear interpolation between positions whose centres are at these pixel coordinates, line by line."""
    pixels = np.arange(side) + 0.5
    tall = np.stack([np.interp(pixels, rows, column) for column in values.T], axis=1)
    return np.stack([np.interp(pixels, columns, row) for row in tall])


@pytest.mark.parametrize("share", [0.005, 0.1, 0.5, 0.97])
@pytest.mark.parametrize("shift", [0.0, -3.0, 2.0])
def test_the_threshold_is_the_least_bfloat16_number_that_so_few_exceed(share: float, shift: float) -> None:
    values = torch.randn(7, 2, 11, 13, generator=torch.Generator().manual_seed(0)) + shift
    values[:, 1] = values[:, 1].relu()
    levels = Levels(2)
    levels.add(values[:4])
    levels.add(values[4:])
    for unit, threshold in enumerate(levels.thresholds(share).tolist()):
        assert threshold == literal_threshold(values[:, unit].double().numpy(), share)


def test_the_threshold_of_numbers_that_are_bfloat16_is_an_exact_order_statistic() -> None:
    values = torch.arange(-100, 100).float()[torch.randperm(200, generator=torch.Generator().manual_seed(1))]
    levels = Levels(1)
    levels.add(values.view(2, 1, 10, 10))
    assert levels.thresholds(0.05).tolist() == [89]
    assert levels.thresholds(0.995).tolist() == [-100]
    assert float((values > 89).float().mean()) == pytest.approx(0.05)


def test_a_unit_that_is_never_active_has_threshold_zero() -> None:
    levels = Levels(2)
    levels.add(torch.tensor([[0.0, -0.0]]).view(1, 2, 1, 1).expand(3, 2, 4, 4))
    assert levels.thresholds(0.005).tolist() == [0, 0]


@pytest.mark.parametrize("odd", [float("nan"), -float("nan")])
def test_activations_that_are_no_numbers_are_refused(odd: float) -> None:
    levels = Levels(2)
    values = torch.ones(1, 2, 3, 3)
    values[0, 1, 2, 2] = odd
    levels.add(values)
    with pytest.raises(ModelError, match="channel 1 has activations that are not numbers"):
        levels.thresholds(0.005)


def test_infinite_activations_are_numbers() -> None:
    levels = Levels(1)
    levels.add(torch.tensor([-float("inf"), 1.0, 2.0, float("inf")]).view(1, 1, 2, 2))
    assert levels.thresholds(0.3).tolist() == [2]


@pytest.mark.parametrize(("small", "large"), [((6, 6), (24, 24)), ((5, 7), (31, 18)), ((1, 1), (8, 8)), ((9, 4), (9, 4))])
def test_maps_on_an_even_grid_are_enlarged_as_torch_does(small: tuple[int, int], large: tuple[int, int]) -> None:
    unit_maps = torch.randn(3, *small, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    grid = Grid(*((np.arange(count) + 0.5) / count for count in small))
    expected = F.interpolate(unit_maps[None], large, mode="bilinear", align_corners=False)[0]
    assert torch.allclose(grid.enlarged(unit_maps, large), expected, atol=1e-12)


def test_blending_counts_every_pixel_once_and_leaves_lines_straight() -> None:
    shares = np.array([0.1, 0.3, 0.5, 0.7, 0.9])
    weights = blend(shares, 40).numpy()
    pixels = (np.arange(40) + 0.5) / 40
    assert np.allclose(weights.sum(1), 1)
    assert np.allclose(weights @ shares, np.clip(pixels, 0.1, 0.9))


def test_centres_are_those_of_receptive_fields_as_if_nothing_were_clipped() -> None:
    # A 5x5 convolution with stride 2 and padding 2: position i looks at 2i-2 .. 2i+2, whose middle is 2i + 0.5.
    ends = np.array([np.maximum(np.arange(12) * 2 - 2, 0), np.minimum(np.arange(12) * 2 + 3, 24)], np.int32)
    assert np.allclose(centres(ends, 12, 2, 24) * 24, np.arange(12) * 2 + 0.5)


def test_positions_that_all_see_everything_divide_the_input_evenly() -> None:
    ends = np.array([[0], [24]], np.int32)
    assert np.allclose(centres(ends, 4, None, 24), [0.125, 0.375, 0.625, 0.875])
    assert np.allclose(centres(ends, 4, 6, 24), [0.125, 0.375, 0.625, 0.875])


def test_a_networks_grids_are_where_its_arithmetic_says(network: nn.Module) -> None:
    layers = layers_of(network)
    fields = receptive_fields(network, torch.zeros(1, 3, SIDE, SIDE), layers)
    first, second = (Grid.of(fields[layer.name], (SIDE, SIDE)) for layer in layers)
    assert np.allclose(first.rows * SIDE, np.arange(12) * 2 + 0.5)
    # Pooling two positions puts the middle between them: 4j + 1.5; a padded 3x3 convolution does not move it.
    assert np.allclose(second.columns * SIDE, np.arange(6) * 4 + 1.5)


@pytest.mark.parametrize("share", [0.005, 0.08])
def test_dissection_is_that_of_the_paper_step_by_step(network: nn.Module, share: float) -> None:
    source, found = Squares(6), dissect(network, layers_of(network), Squares(6), share=share)
    reference = deepcopy(network).double()
    taps = {"first": [], "second": []}
    for index in range(6):
        image = torch.from_numpy(source.read(index).values.transpose(2, 0, 1) / np.float64(255))[None]
        hidden = F.relu(reference.first(image))
        taps["first"].append(hidden[0].detach().numpy())
        taps["second"].append(reference.second(F.max_pool2d(hidden, 2))[0].detach().numpy())
    grids = {"first": [2 * i + 0.5 for i in range(12)], "second": [4 * i + 1.5 for i in range(6)]}
    for name, maps in taps.items():
        for unit in range(len(maps[0])):
            threshold = literal_threshold(np.stack([one[unit] for one in maps]).astype(np.float32), share)
            assert found[name].thresholds[unit] == threshold
            above = [literal_enlarged(one[unit], grids[name], grids[name], SIDE) > threshold for one in maps]
            for part, label in enumerate(source.parts):
                there = [source.masks(index).get(label, np.zeros((SIDE, SIDE), bool)) for index in range(6)]
                both, either = np.sum(np.array(above) & there), np.sum(np.array(above) | there)
                assert found[name].iou[unit, part] == pytest.approx(both / max(either, 1), abs=0.002)


def test_a_unit_that_is_its_part_has_iou_one_and_one_that_is_its_opposite_none() -> None:
    network = nn.Sequential(nn.Conv2d(3, 3, 1, bias=False))
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[1.0, 0, 0], [0, 1, 0], [-1, 0, 0]]).view(3, 3, 1, 1))
    found = dissect(network, layers_of(network), Squares(20), share=36 / SIDE**2)["0"]
    assert found.iou[0, 0] == 1
    assert found.iou[1, 1] == 1
    assert found.iou[2, 0] == 0
    assert (found.iou[:, 2] == 0).all()
    assert found.best()[:2] == [("red", 1.0), ("green", 1.0)]
    assert found.detectors(0.9).tolist() == [0, 1]


def test_a_unit_that_fires_everywhere_or_nowhere_scores_by_area_alone() -> None:
    source = Squares(5)
    masks = torch.from_numpy(np.array([[source.masks(i)["red"]] for i in range(5)]))
    even = Grid(np.array([0.5]), np.array([0.5]))
    overlaps = Overlaps(torch.tensor([0.5, 0.5]), 1, even)
    overlaps.add(torch.tensor([1.0, 0.0]).view(1, 2, 1, 1).expand(5, 2, 1, 1), masks)
    assert overlaps.iou()[:, 0].tolist() == [36 / SIDE**2, 0]


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_results_do_not_depend_on_the_batch_size(network: nn.Module, batch_size: int) -> None:
    layers = layers_of(network)
    expected, found = dissect(network, layers, Squares(9)), dissect(network, layers, Squares(9), batch_size=batch_size)
    for name, one in expected.items():
        assert np.array_equal(found[name].thresholds, one.thresholds)
        assert np.allclose(found[name].iou, one.iou, atol=1e-3)


def test_what_cannot_be_read_counts_for_nothing(network: nn.Module) -> None:
    layers = layers_of(network)
    damaged, whole = dissect(network, layers, Squares(7, frozenset({5, 6}))), dissect(network, layers, Squares(5))
    for name in whole:
        assert np.array_equal(damaged[name].thresholds, whole[name].thresholds)
        assert np.allclose(damaged[name].iou, whole[name].iou, atol=1e-3)


def test_the_network_is_left_as_found(network: nn.Module) -> None:
    layers = layers_of(network)
    network.train()
    state, hooks = deepcopy(network.state_dict()), [len(one._forward_hooks) for one in network.modules()]
    dissect(network, layers, Squares(3))
    with pytest.raises(DataError):
        dissect(network, layers, Squares(2, frozenset({0, 1})))
    assert network.training
    assert [len(one._forward_hooks) for one in network.modules()] == hooks
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())


def test_equal_scores_go_to_the_part_and_the_channel_named_first() -> None:
    iou = np.array([[0.2, 0.2], [0.0, 0.5], [0.5, 0.1], [0.01, 0.02]])
    found = Dissection("layer", ("eye", "ear"), np.zeros(4, np.float32), iou)
    assert found.best() == [("eye", 0.2), ("ear", 0.5), ("eye", 0.5), ("ear", 0.02)]
    assert found.detectors().tolist() == [1, 2, 0]
    assert found.detectors(0.2).tolist() == [1, 2]


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1])
def test_a_share_that_is_none_is_refused(network: nn.Module, share: float) -> None:
    with pytest.raises(OptionError, match=r"share of activations .* is"):
        dissect(network, layers_of(network), Squares(2), share=share)


def test_layers_without_maps_are_refused() -> None:
    network = nn.Sequential(nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2))
    with pytest.raises(ModelError, match="layer '3' has no maps"):
        dissect(network, layers_of(network), Squares(2))


def test_a_mirrored_map_lies_mirrored_over_the_picture() -> None:
    weights = blend(centres(np.array([[15 - at, 16 - at] for at in range(16)], np.int32).T, 16, -1, 16), 16).numpy()
    np.testing.assert_allclose(weights, np.eye(16)[::-1], atol=1e-12)


class Chunked(Small):
    """Takes two pictures at a time."""

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.cat([super(Chunked, self).forward(some) for some in inputs.split(2)])


def test_a_layer_that_does_not_see_all_of_a_batch_at_once_is_refused_and_right_one_by_one(network: nn.Module) -> None:
    chunked, layers = Chunked().eval(), layers_of(network)
    chunked.load_state_dict(network.state_dict())
    with pytest.raises(ModelError, match="set batch_size to 1"):
        dissect(chunked, layers, Squares(6), batch_size=6)
    found, expected = dissect(chunked, layers, Squares(6), batch_size=1), dissect(network, layers, Squares(6))
    np.testing.assert_array_equal(found["second"].iou, expected["second"].iou)
