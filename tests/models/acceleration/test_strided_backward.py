"""Back through a strided convolution by phases is what goes back through it otherwise."""

# Tolerances are of float32 (1e-5 to 1e-7) or float64 (1e-9), where torch's kernels sum in another order.

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from torchlurk.models.acceleration.strided_backward import by_phases, convolved


@pytest.mark.parametrize(("kernel", "stride"), [((11, 11), 4), ((3, 5), 2), ((2, 3), 3), ((1, 1), 2), ((7, 7), 2)])
@pytest.mark.parametrize("size", [(23, 24), (31, 28)])
def test_phases_give_the_gradient(kernel, stride, size):
    generator = torch.Generator().manual_seed(0)
    x, weight = (torch.randn(shape, generator=generator, dtype=torch.float64) for shape in ((2, 3, *size), (5, 3, *kernel)))
    x.requires_grad_()
    y = F.conv2d(x, weight, None, stride)
    signal = torch.randn(y.shape, generator=generator, dtype=torch.float64)
    (expected,) = torch.autograd.grad(y, x, signal)
    torch.testing.assert_close(by_phases(signal, weight, stride, size), expected)


@pytest.mark.parametrize(("stride", "groups"), [((2, 2), 1), ((2, 1), 1), ((1, 1), 1), ((2, 2), 3)])
def test_a_convolution_is_what_it_is_and_gives_weights_no_gradient(stride, groups):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(2, 3, 12, 13, generator=generator, requires_grad=True)
    weight = torch.randn(6, 3 // groups, 3, 3, generator=generator)
    bias = torch.randn(6, generator=generator, requires_grad=True)
    y, expected = convolved(x, weight, bias, stride, (1, 1), groups), F.conv2d(x, weight, bias, stride, groups=groups)
    torch.testing.assert_close(y, expected)
    signal = torch.randn(y.shape, generator=generator)
    found, nothing = torch.autograd.grad(y, [x, bias], signal, allow_unused=True)
    torch.testing.assert_close(found, torch.autograd.grad(expected, x, signal)[0], rtol=1e-5, atol=1e-5)
    assert nothing is None
