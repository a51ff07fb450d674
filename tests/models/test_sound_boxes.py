"""No pixel outside a box changes the activation, whatever the model's code does with the numbers on the way."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from torchlurk.models.survey.layers import survey
from torchlurk.models.survey.receptive_field import ReceptiveField, receptive_fields

HEIGHT, WIDTH, CHANNELS = 10, 12, 3


class Around(nn.Module):
    """Convolutions around a chain of functions that keep the map's size."""

    def __init__(self, *functions: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.before = nn.Conv2d(CHANNELS, 4, 3, padding=1)
        self.after = nn.Conv2d(4, 3, 1)
        self.functions = functions

    def forward(self, x: Tensor) -> Tensor:
        x = self.before(x)
        for function in self.functions:
            x = function(x)
        return self.after(x)


def picture(seed: int) -> Tensor:
    return torch.rand(1, CHANNELS, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(seed))


def fields_of(module: nn.Module) -> dict[str, ReceptiveField]:
    return receptive_fields(module, picture(0), survey(module, picture(0)).layers)


def changes_from_outside(module: nn.Module) -> int:
    """How many units at corners and in the middle of the last map change when the pixels outside of their boxes do."""
    field, changed = fields_of(module)["after"], 0
    (height, width) = field.shape
    with torch.no_grad():
        before = module(picture(0))[0]
        for row, column in ((0, 0), (height // 2, width // 2), (height - 1, width - 1)):
            x0, y0, x1, y1 = (int(one) for one in field.boxes(np.array([0]), np.array([row * width + column]))[0])
            for seed in (1, 2, 3):
                other = 4 * picture(seed) - 1.5
                other[..., y0:y1, x0:x1] = picture(0)[..., y0:y1, x0:x1]
                now = module(other)[0]
                changed += not torch.allclose(now[0, row, column], before[0, row, column], rtol=1e-4, atol=1e-5, equal_nan=True)
    return changed


def by_list(x: Tensor) -> Tensor:
    return x - max(x[0, 0].flatten().tolist())


def by_memory(x: Tensor) -> Tensor:
    numbers = x.detach().contiguous().numpy()
    return x + torch.from_numpy(numbers - numbers.mean())


def written_by_numpy(x: Tensor) -> Tensor:
    x = x.detach().contiguous()
    numbers = x.numpy()
    numbers[..., 0, 0] = numbers.max()
    return x


def by_new_tensor(x: Tensor) -> Tensor:
    return x * torch.tensor([float(x.amax())])


def by_loop(x: Tensor) -> Tensor:
    for _ in range(3):
        if x.abs().max() < 3:
            x = x * 1.5
    return x


def by_count(x: Tensor) -> Tensor:
    return x * len((x > 0.1).nonzero())


def by_selection(x: Tensor) -> Tensor:
    return x / x[x > 0].numel()


def by_unique(x: Tensor) -> Tensor:
    return x * torch.unique((x * 3).round()).numel()


def by_largest(x: Tensor) -> Tensor:
    index = int(x.mean((0, 2, 3)).argmax())
    return x + x[:, index : index + 1]


def by_strongest_rows(x: Tensor) -> Tensor:
    return x.index_select(2, x.mean((0, 1, 3)).topk(x.shape[2]).indices)


def by_order(x: Tensor) -> Tensor:
    return x.gather(3, x.argsort(3))


def by_rank(x: Tensor) -> Tensor:
    return x - x.flatten(2).kthvalue(5, dim=2).values[..., None, None]


def by_shift(x: Tensor) -> Tensor:
    return x.roll(int(x.amax() * 10) % 5, 3)


def by_mask(x: Tensor) -> Tensor:
    x = x.clone()
    x[x > x.mean()] = 0
    return x


def by_where(x: Tensor) -> Tensor:
    return torch.where(x > x.mean((2, 3), keepdim=True), x, -x)


def by_equality(x: Tensor) -> Tensor:
    return x if torch.equal(x[..., 0, 0], x[..., -1, -1]) or x.isnan().any() else x * x.std().item()


def by_scatter(x: Tensor) -> Tensor:
    return torch.zeros_like(x).scatter(3, x.argsort(3), x)


def by_grid(x: Tensor) -> Tensor:
    theta = torch.eye(2, 3).expand(len(x), 2, 3) * x.mean()
    return F.grid_sample(x, F.affine_grid(theta, list(x.shape), align_corners=False), align_corners=False)


def smoothed(x: Tensor) -> Tensor:
    small = F.interpolate(x, size=(4, 5), mode="bilinear", antialias=True)
    return F.interpolate(small, size=x.shape[2:], mode="bicubic", antialias=True)


def smoothed_by_scale(x: Tensor) -> Tensor:
    return F.interpolate(F.interpolate(x, scale_factor=0.4, mode="bicubic", antialias=True), size=x.shape[2:], mode="area")


def enlarged(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=1.7, mode="bilinear", align_corners=True)[..., :HEIGHT, :WIDTH]


def as_whole_numbers(x: Tensor) -> Tensor:
    return x.contiguous().view(torch.uint8).float().reshape(*x.shape, 4).mean(-1) / 255


READING = (
    by_list, by_memory, written_by_numpy, by_new_tensor, by_loop, by_count, by_selection, by_unique, by_largest, by_shift,
    by_equality,
)  # fmt: skip
FOLLOWED = (
    by_strongest_rows, by_order, by_rank, by_mask, by_where, by_scatter, by_grid, smoothed, smoothed_by_scale, enlarged,
    as_whole_numbers,
)  # fmt: skip
LOCAL = (
    lambda x: x.flip(3), lambda x: x.roll(3, 2), lambda x: F.avg_pool2d(x, 3, 1, 1), lambda x: x.rot90(2, (2, 3)),
    lambda x: F.pad(x, (1, 1, 1, 1), "reflect")[..., 1:-1, 2:], lambda x: F.max_pool2d(x, 3, 1, 1), torch.relu,
)  # fmt: skip


@pytest.mark.parametrize("function", READING, ids=lambda one: one.__name__)
def test_what_follows_a_number_read_out_of_a_tensor_depends_on_all_that_it_came_from(function):
    module = Around(function)
    assert changes_from_outside(module) == 0
    fields = fields_of(module)
    assert fields["after"].reads
    assert not fields["before"].reads
    assert fields["before"].size == (3, 3)


@pytest.mark.parametrize("function", FOLLOWED, ids=lambda one: one.__name__)
def test_what_stays_a_tensor_is_followed(function):
    module = Around(function)
    assert changes_from_outside(module) == 0
    assert not fields_of(module)["after"].reads


@settings(max_examples=15, deadline=None)
@given(st.lists(st.sampled_from([*READING, *FOLLOWED, *LOCAL, *LOCAL]), min_size=1, max_size=4))
def test_no_pixel_outside_a_box_changes_the_activation(functions):
    assert changes_from_outside(Around(*functions)) == 0


def test_a_number_read_from_a_few_pixels_widens_boxes_by_those_alone():
    field = fields_of(Around(lambda x: x * x[0, 0, 0, 0].item()))["after"]
    boxes = field.boxes(np.zeros(2, int), np.array([0, 5 * WIDTH + 6]))
    assert boxes.tolist() == [[0, 0, 2, 2], [0, 0, 8, 7]]
    assert changes_from_outside(Around(lambda x: x * x[0, 0, 0, 0].item())) == 0


def test_numbers_read_out_of_weights_and_shapes_change_no_box():
    module = Around(lambda x: x * module.before.weight.max().item() / x.numel())
    field = fields_of(module)["after"]
    assert (field.size, field.reads) == ((3, 3), False)


def test_a_selection_by_a_constant_mask_is_followed():
    kept = torch.tensor([True, False, True, True, True])
    field = fields_of(Around(lambda x: torch.cat([x, x[:, :1]], 1)[:, kept]))["after"]
    assert (field.size, field.reads) == ((3, 3), False)
