"""Steps uphill: against PyTorch's optimizers used alone, and literal rates in NumPy."""

# Tolerances are of float32 against a literal computation in float64 or in another order: 1e-6 after one step, 1e-4 to 1e-3
# after several, as each step carries the rounding of those before it on.

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from torchlurk.synthesis.optimizers import Adam, GradientStep, NAdam, NormalizedStep, TargetStep


def gradients(count: int = 6, units: int = 3) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    sizes = torch.tensor([1.0, 1e-3, 50.0]).view(-1, 1, 1, 1)[:units]
    return [torch.randn(units, 2, 3, 4, generator=generator) * sizes * (1 + number % 3) for number in range(count)]


def start(units: int = 3) -> Tensor:
    return torch.randn(units, 2, 3, 4, generator=torch.Generator().manual_seed(1))


def path(climb, begun: Tensor, uphill: list[Tensor]) -> list[Tensor]:
    step = climb.begin(begun)
    return [step(one.clone()).clone() for one in uphill]


@pytest.mark.parametrize(("climb", "optimizer"), [(Adam(0.05), torch.optim.Adam), (NAdam(1.0), torch.optim.NAdam)])
def test_adam_and_nadam_are_pytorch_s_on_each_unit_alone(climb, optimizer) -> None:
    found = path(climb, start(), gradients())
    for unit in range(3):
        alone = start()[unit].clone().requires_grad_()
        own = optimizer([alone], lr=climb.rate)
        for number, uphill in enumerate(gradients()):
            own.zero_grad()
            alone.grad = -uphill[unit]
            own.step()
            torch.testing.assert_close(found[number][unit], alone.detach(), rtol=1e-6, atol=1e-7)


def test_adam_is_its_paper_s_recursion() -> None:
    found = path(Adam(0.05), start(), gradients())
    x, m, v = (array.double().numpy() for array in (start(), torch.zeros(3, 2, 3, 4), torch.zeros(3, 2, 3, 4)))
    for number, uphill in enumerate(gradients(), 1):
        g = uphill.double().numpy()
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        x = x + 0.05 * (m / (1 - 0.9**number)) / (np.sqrt(v / (1 - 0.999**number)) + 1e-8)
        np.testing.assert_allclose(found[number - 1].numpy(), x, rtol=1e-4, atol=1e-5)


def rms(values: np.ndarray) -> float:
    return math.sqrt(float((values**2).mean()))


def test_plain_steps_are_the_gradient_times_the_rate_when_the_steepest_has_the_size_that_the_rate_is_for() -> None:
    found = path(GradientStep(100, 0.025), start(), gradients())
    for unit in range(3):
        x, steepest = start()[unit].double().numpy(), 0.0
        for number, uphill in enumerate(gradients()):
            g = uphill[unit].double().numpy()
            steepest = max(steepest, rms(g))
            x = x + 100 * g * 0.025 / steepest
            np.testing.assert_allclose(found[number][unit].numpy(), x, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("most", [100, 1e8])
def test_progress_steps_would_raise_a_linear_activation_by_what_is_desired(most) -> None:
    found = path(TargetStep(most, 2.0, 3.6e-4), start(), gradients())
    for unit in range(3):
        x, steepest = start()[unit].double().numpy(), 0.0
        for number, uphill in enumerate(gradients()):
            g = uphill[unit].double().numpy()
            steepest = max(steepest, rms(g))
            g = g * 3.6e-4 / steepest
            rate = min(most, 2.0 / float((g**2).sum()))
            if most == 1e8:
                assert float((rate * g * g).sum()) == pytest.approx(2.0)
            x = x + rate * g
            np.testing.assert_allclose(found[number][unit].numpy(), x, rtol=1e-4, atol=1e-3)


def test_even_steps_have_the_same_mean_magnitude_whatever_the_gradient() -> None:
    found = path(NormalizedStep(1.5), start(), gradients())
    for unit in range(3):
        x = start()[unit].double().numpy()
        for number, uphill in enumerate(gradients()):
            g = uphill[unit].double().numpy()
            x = x + 1.5 * g / np.abs(g).mean()
            np.testing.assert_allclose(found[number][unit].numpy(), x, rtol=1e-4, atol=1e-4)


CLIMBS = [Adam(0.05), NAdam(1.0), GradientStep(100, 0.025), TargetStep(100, 2.0, 3.6e-4), NormalizedStep(1.5)]


@pytest.mark.parametrize("climb", CLIMBS, ids=str)
def test_a_unit_is_stepped_by_its_own_numbers_alone(climb) -> None:
    together = path(climb, start(), gradients())
    for unit in range(3):
        piece = slice(unit, unit + 1)
        alone = path(climb, start()[piece], [one[piece] for one in gradients()])
        for step, one in zip(together, alone, strict=True):
            assert torch.equal(step[piece], one)


@pytest.mark.parametrize("climb", CLIMBS, ids=str)
def test_without_a_gradient_nothing_moves_and_what_was_given_is_not_changed(climb) -> None:
    begun = start()
    step = climb.begin(begun)
    assert torch.equal(step(torch.zeros_like(begun)), begun)
    step(torch.ones_like(begun))
    assert torch.equal(begun, start())


@pytest.mark.parametrize("climb", [GradientStep(10, 0.1), TargetStep(100, 2.0, 0.1), NormalizedStep(1.0)], ids=str)
def test_the_unit_of_the_activation_does_not_matter(climb) -> None:
    plain, scaled = path(climb, start(), gradients()), path(climb, start(), [one * 1e3 for one in gradients()])
    torch.testing.assert_close(plain[-1], scaled[-1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("climb", CLIMBS, ids=str)
def test_corrections_in_place_are_where_the_next_step_begins(climb) -> None:
    step = climb.begin(torch.zeros(1, 2, 3, 4))
    uphill = torch.ones(1, 2, 3, 4)
    x = step(uphill)
    x.fill_(100.0)
    assert (step(uphill) >= 100).all()
