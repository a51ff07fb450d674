"""What is to be large: each objective once more in NumPy's float64, literally."""

# Tolerances are of float32 against a literal computation in float64: 1e-6 after one operation, 1e-5 after sums of hundreds,
# 1e-4 on the scale of grey levels or after a transform and back. From 0.05 on they are the spread of random draws.

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from torchlurk.synthesis.objectives import Channel, Direction, Diversity, Energy, Neuron, centre

SHAPE = (3, 4)
OWN = torch.tensor([2, 0, 4])


@pytest.fixture
def maps() -> torch.Tensor:
    return torch.randn(3, 5, math.prod(SHAPE), generator=torch.Generator().manual_seed(0))


def values(objective, maps: torch.Tensor) -> list[float]:
    found = objective.values(maps, OWN, SHAPE)
    assert found.shape == (len(maps),)
    return found.tolist()


def test_a_channel_is_the_mean_over_its_positions(maps) -> None:
    expected = [sum(maps[one, own].double().tolist()) / 12 for one, own in enumerate(OWN.tolist())]
    assert values(Channel(), maps) == pytest.approx(expected, rel=1e-5)
    assert values(Channel(3), maps) == pytest.approx([sum(maps[one, 3].double().tolist()) / 12 for one in range(3)], rel=1e-5)


def test_objectives_are_added_subtracted_and_divided_as_tensors_are(maps) -> None:
    one, other = (torch.tensor(values(Channel(number), maps)) for number in (1, 3))
    several = [Channel(1), Channel(3)]
    for objective, expected in (
        (sum(several) / 2, (one + other) / 2),
        (1 + several[0], 1 + one),
        (several[0] - 2, one - 2),
        (2 - several[0] * 3, 2 - one * 3),
        (several[0] - several[1], one - other),
    ):
        assert values(objective, maps) == pytest.approx(expected.tolist(), rel=1e-5, abs=1e-6)
    assert (Channel() / 2 + 1).own
    with pytest.raises(TypeError):
        Channel() * Channel()  # a product of two is none of them


def test_a_neuron_is_the_centre_or_the_position_named(maps) -> None:
    # Of 3 by 4 the centre is row 1, column 2.
    assert values(Neuron(), maps) == [maps[one, own, 1 * 4 + 2].item() for one, own in enumerate(OWN.tolist())]
    assert values(Neuron(position=7), maps) == [maps[one, own, 7].item() for one, own in enumerate(OWN.tolist())]
    assert values(Neuron(channel=1, position=0), maps) == maps[:, 1, 0].tolist()


@pytest.mark.parametrize(
    ("shape", "expected"), [((), 0), ((1,), 0), ((7,), 3), ((6,), 3), ((5, 5), 12), ((2, 2), 3), ((13, 13), 84)]
)
def test_the_centre_is_the_middle_or_just_after_it(shape, expected) -> None:
    assert centre(shape) == expected


@pytest.mark.parametrize("power", [0.0, 1.0, 2.0])
def test_a_direction_is_the_dot_product_damped_by_the_cosine(maps, power) -> None:
    along = torch.randn(5, generator=torch.Generator().manual_seed(1))
    expected = []
    for one in range(3):
        total = 0.0
        for position in range(12):
            activation = maps[one, :, position].double().numpy()
            dot = float(activation @ along.double().numpy())
            cosine = dot / (np.linalg.norm(activation) * np.linalg.norm(along.double().numpy()))
            total += dot * max(0.1, cosine) ** power
        expected.append(total / 12)
    assert values(Direction(along, power), maps) == pytest.approx(expected, rel=1e-4)


def test_a_direction_along_one_channel_with_no_power_is_that_channel(maps) -> None:
    along = torch.zeros(5)
    along[3] = 1
    assert values(Direction(along, 0.0), maps) == pytest.approx(values(Channel(3), maps), rel=1e-5)


def test_energy_is_the_mean_square_of_everything(maps) -> None:
    expected = [float((maps[one].double().numpy() ** 2).mean()) for one in range(3)]
    assert values(Energy(), maps) == pytest.approx(expected, rel=1e-5)


def test_diversity_is_minus_the_mean_cosine_of_the_others_gram_matrices(maps) -> None:
    grams = []
    for one in range(3):
        gram = np.zeros((5, 5))
        for a, b in itertools.product(range(5), repeat=2):
            gram[a, b] = sum(maps[one, a, p].item() * maps[one, b, p].item() for p in range(12))
        grams.append(gram / np.linalg.norm(gram))
    expected = [-sum(float((grams[one] * grams[other]).sum()) for other in range(3) if other != one) / 2 for one in range(3)]
    assert values(Diversity(), maps) == pytest.approx(expected, rel=1e-5)


def test_pictures_all_alike_have_the_lowest_diversity_and_one_alone_has_none() -> None:
    alike = torch.rand(1, 5, 12, generator=torch.Generator().manual_seed(0)).expand(3, -1, -1)
    assert values(Diversity(), alike) == pytest.approx([-1, -1, -1], rel=1e-5)
    assert Diversity().values(alike[:1], OWN[:1], SHAPE).tolist() == pytest.approx([0], abs=1e-6)
    apart = torch.eye(3)[:, :, None]
    assert Diversity().values(apart, OWN, ()).tolist() == [0, 0, 0]


def test_objectives_add_up_and_take_factors(maps) -> None:
    channel, neuron = np.array(values(Channel(), maps)), np.array(values(Neuron(), maps))
    for made, expected in (
        (Channel() + Neuron(), channel + neuron),
        (Channel() - Neuron(), channel - neuron),
        (-Channel(), -channel),
        (3 * Channel(), 3 * channel),
        (Channel() * 0.5, 0.5 * channel),
        (Channel() - 0.5 * Channel(3) + 2 * -Neuron(), channel - 0.5 * np.array(values(Channel(3), maps)) - 2 * neuron),
    ):
        assert values(made, maps) == pytest.approx(expected.tolist(), rel=1e-5)


@pytest.mark.parametrize("objective", [Channel(), Neuron(), Direction(torch.ones(5)), Energy(), Diversity()], ids=str)
def test_a_gradient_is_finite_also_where_nothing_is_active(objective) -> None:
    nothing = torch.zeros(3, 5, 12, requires_grad=True)
    objective.values(nothing, OWN, SHAPE).sum().backward()
    assert nothing.grad is not None
    assert nothing.grad.isfinite().all()
