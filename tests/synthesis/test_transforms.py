"""Where views look: each transform and chains of them against literal bilinear sampling, pixel by pixel, in float64."""

# Tolerances are of float32 against a literal computation in float64: 1e-6 after one operation, 1e-5 after sums of hundreds,
# 1e-4 on the scale of grey levels or after a transform and back. From 0.05 on they are the spread of random draws.

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from torchlurk.synthesis.presets import LUCID, MACO
from torchlurk.synthesis.transforms import Crop, Jitter, Pad, Rotate, Scale, Views, scaled

GREY = 0.5


def pictures(count: int, height: int, width: int, channels: int = 2) -> Tensor:
    return torch.rand(count, channels, height, width, generator=torch.Generator().manual_seed(0))


def uniform(count: int, draws: int) -> Tensor:
    return torch.rand(count, draws, generator=torch.Generator().manual_seed(1))


def source_of(chain, draws: list[float], progress: float, x: float, y: float, size: tuple[int, int]) -> tuple[float, float]:
    """Where in the picture a point of the last view comes from, both from their centres: transform by transform, backwards."""
    heights, widths, used, taken = [size[0]], [size[1]], 0, []
    for one in chain:
        own = draws[used : used + one.draws]
        used += one.draws
        taken.append(own)
        change = {Pad: 2, Jitter: -1}.get(type(one), 0) * getattr(one, "pixels", 0)
        heights.append(heights[-1] + change)
        widths.append(widths[-1] + change)
    for index in range(len(chain) - 1, -1, -1):
        one, own, height, width = chain[index], taken[index], heights[index], widths[index]
        if isinstance(one, Jitter):
            x += min(math.floor(own[0] * (one.pixels + 1)), one.pixels) - one.pixels / 2
            y += min(math.floor(own[1] * (one.pixels + 1)), one.pixels) - one.pixels / 2
        elif isinstance(one, Scale):
            factor = one.least + own[0] * (one.most - one.least)
            x, y = x / factor, y / factor
        elif isinstance(one, Rotate):
            angle = math.radians((2 * own[0] - 1) * one.degrees)
            x, y = math.cos(angle) * x - math.sin(angle) * y, math.sin(angle) * x + math.cos(angle) * y
        elif isinstance(one, Crop):
            side = one.first + progress * (one.last - one.first)
            x = side * x + NormalDist(0, one.spread).inv_cdf(own[0]) * width
            y = side * y + NormalDist(0, one.spread).inv_cdf(own[1]) * height
    return x, y


def bilinear(picture: np.ndarray, x: float, y: float) -> np.ndarray:
    """The picture at a point whose pixels have their centres at whole numbers; grey outside."""
    found = np.zeros(len(picture))
    for row in (math.floor(y), math.floor(y) + 1):
        for column in (math.floor(x), math.floor(x) + 1):
            inside = 0 <= row < picture.shape[1] and 0 <= column < picture.shape[2]
            weight = (1 - abs(y - row)) * (1 - abs(x - column))
            found += weight * (picture[:, row, column] if inside else GREY)
    return found


def literal(picture: Tensor, chain, draws: Tensor, progress: float, size: tuple[int, int]) -> np.ndarray:
    given = picture.double().numpy()
    height, width = given.shape[1:]
    found = np.zeros((len(given), *size))
    for row in range(size[0]):
        for column in range(size[1]):
            x, y = column + 0.5 - size[1] / 2, row + 0.5 - size[0] / 2
            x, y = source_of(chain, draws.double().tolist(), progress, x, y, (height, width))
            found[:, row, column] = bilinear(given, x + width / 2 - 0.5, y + height / 2 - 0.5)
    return found


CHAINS = {
    "pad": (Pad(3),),
    "jitter": (Jitter(4),),
    "jitter by an odd number": (Jitter(3),),
    "scale": (Scale(0.8, 1.3),),
    "rotate": (Rotate(25),),
    "crop": (Crop(0.5, 0.05, 0.15),),
    "as lucid": (Pad(4), Jitter(4), Scale(0.9, 1.1), Rotate(10), Jitter(2)),
    "turned, then jittered": (Rotate(40), Jitter(2), Scale(0.5, 2.0), Pad(2)),
    "a crop of a turned picture": (Rotate(30), Crop(0.8, 0.3, 0.1)),
}


@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS)
@pytest.mark.parametrize("size", [(9, 12), (8, 10)], ids=str)
def test_a_view_is_the_picture_sampled_where_the_chain_comes_from(chain, size) -> None:
    views = Views(chain)
    given, draws = pictures(3, 9, 12), uniform(3, views.draws)
    found = views.of(given, draws, 0.25, size)
    for one in range(3):
        np.testing.assert_allclose(found[one].numpy(), literal(given[one], chain, draws[one], 0.25, size), atol=2e-5)


def test_padding_and_jitter_are_a_cut_of_the_picture_in_a_grey_frame() -> None:
    views = Views((Pad(12), Jitter(8)))
    given, draws = pictures(16, 14, 17), uniform(16, 2)
    framed = F.pad(given - GREY, (12,) * 4) + GREY
    assert views.extent(14, 17) == (14 + 24 - 8, 17 + 24 - 8)
    found = views.of(given, draws, 0.0, views.extent(14, 17))
    offsets = set()
    for one in range(16):
        left, top = (int(draw * 9) for draw in draws[one].tolist())
        torch.testing.assert_close(found[one], framed[one, :, top : top + 30, left : left + 33], atol=1e-5, rtol=0)
        offsets.add((left, top))
    assert len(offsets) > 10


def test_jitter_reaches_every_offset_and_no_other() -> None:
    ramp = torch.arange(10.0).expand(1, 1, 10, 10) / 10
    ends = torch.tensor([0.0, 0.2, 0.25, 0.49, 0.5, 0.74, 0.75, 1.0])
    found = Views((Jitter(3),)).of(ramp.expand(8, -1, -1, -1), torch.stack([ends, ends], 1), 0.0, (7, 7))
    assert (found[:, 0, 0, 0] * 10).round().tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


def test_turned_by_a_right_angle_a_picture_is_its_transpose_flipped() -> None:
    given = pictures(1, 9, 9)
    one_way = Views((Rotate(90),)).of(given, torch.ones(1, 1), 0.0, (9, 9))
    other_way = Views((Rotate(90),)).of(given, torch.zeros(1, 1), 0.0, (9, 9))
    torch.testing.assert_close(one_way, torch.rot90(given, 1, (2, 3)), atol=1e-5, rtol=0)
    torch.testing.assert_close(other_way, torch.rot90(given, -1, (2, 3)), atol=1e-5, rtol=0)


def test_a_larger_scale_shows_less_and_larger() -> None:
    given = torch.full((1, 1, 16, 16), GREY)
    given[..., 6:10, 6:10] = 1
    found = Views((Scale(2.0, 2.0),)).of(given, torch.rand(1, 1), 0.0, (16, 16))
    assert (found[0, 0, 5:11, 5:11] == 1).all()
    assert (found > GREY + 0.25).sum() == 8 * 8


def test_a_crop_without_spread_is_the_middle_enlarged_and_shrinks_over_the_run() -> None:
    given = pictures(1, 16, 16)
    for progress, share in ((0.0, 0.5), (1.0, 0.25), (0.5, 0.375)):
        found = Views((Crop(0.5, 0.25, 0.15),)).of(given, torch.full((1, 2), 0.5), progress, (16, 16))
        side = round(16 * share)
        middle = given[..., 8 - side // 2 : 8 + side // 2, 8 - side // 2 : 8 + side // 2]
        inner = F.interpolate(middle, (16, 16), mode="bilinear", align_corners=False)[..., 4:-4, 4:-4]
        torch.testing.assert_close(found[..., 4:-4, 4:-4], inner, atol=1e-5, rtol=0)


def test_the_centres_of_crops_are_normal_around_the_middle() -> None:
    draws = torch.rand(4000, 2, generator=torch.Generator().manual_seed(0))
    placed = Views((Crop(0.5, 0.05, 0.15),)).placement(draws, 0.0, 20, 40)
    assert placed.offset[:, 0].std().item() == pytest.approx(0.15 * 40, rel=0.05)
    assert placed.offset[:, 1].std().item() == pytest.approx(0.15 * 20, rel=0.05)
    assert placed.offset.mean(0).tolist() == pytest.approx([0, 0], abs=0.3)


@pytest.mark.parametrize("draw", [0.0, 1.0])
def test_the_farthest_draws_are_finite(draw) -> None:
    for one in (Jitter(3), Scale(0.9, 1.1), Rotate(10), Crop(0.5, 0.05, 0.15)):
        views = Views((one,))
        assert views.of(pictures(1, 8, 8), torch.full((1, views.draws), draw), 1.0, (8, 8)).isfinite().all()


def test_every_picture_is_transformed_by_its_own_draws() -> None:
    views = Views((Pad(4), Jitter(4), Scale(0.9, 1.1), Rotate(10)))
    given, draws = pictures(1, 12, 12).expand(4, -1, -1, -1), uniform(4, views.draws)
    together = views.of(given, draws, 0.0, (12, 12))
    for one in range(4):
        assert not torch.equal(together[one], together[one - 1])
        assert torch.equal(views.of(given[:1], draws[one : one + 1], 0.0, (12, 12))[0], together[one])


def test_several_views_of_a_picture_come_after_one_another() -> None:
    views = Views((Jitter(4),), count=3)
    given, draws = pictures(2, 10, 10), uniform(6, 2)
    found = views.of(given, draws, 0.0, (10, 10))
    assert found.shape == (6, 2, 10, 10)
    for index in range(6):
        alone = Views((Jitter(4),)).of(given[index // 3][None], draws[index][None], 0.0, (10, 10))
        assert torch.equal(found[index], alone[0])


def test_without_transforms_the_picture_is_seen_as_it_is() -> None:
    given = pictures(2, 7, 9)
    assert torch.equal(Views().of(given, torch.zeros(2, 0), 0.5, (7, 9)), given)
    assert Views().draws == 0


def test_a_gradient_comes_back_to_the_pixels_that_are_seen() -> None:
    given = pictures(1, 8, 8).requires_grad_()
    Views((Jitter(4),)).of(given, torch.zeros(1, 2), 0.0, (4, 4)).sum().backward()
    expected = torch.zeros(8, 8)
    expected[:4, :4] = 1
    torch.testing.assert_close(given.grad[0, 0], expected, atol=1e-5, rtol=0)


def test_for_smaller_pictures_pixels_are_fewer_and_shares_and_angles_as_they_are() -> None:
    assert scaled(LUCID.views, 0.5) == Views((Pad(6), Jitter(4), Scale(0.9, 1.1), Rotate(10), Jitter(2)))
    assert scaled(MACO.views, 0.5) == MACO.views
    assert scaled(LUCID.views, 1.0) == LUCID.views
