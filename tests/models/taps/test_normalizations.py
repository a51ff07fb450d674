"""Batch normalization within rules: the value and the way back as torch has them."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from torchlurk.models.taps.backward_rules import Rules


def usual(signal: Tensor, slope: Tensor) -> Tensor:
    return signal * slope


def drawn(norm: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    for one in (norm.running_mean, norm.weight, norm.bias):
        if one is not None:
            nn.init.normal_(one)
    if norm.running_var is not None:
        nn.init.uniform_(norm.running_var, 0.5, 2)
    return norm


SHAPES = {nn.BatchNorm1d: (4, 6, 5), nn.BatchNorm2d: (4, 6, 5, 3), nn.BatchNorm3d: (2, 6, 3, 2, 4)}


def back(norm: nn.Module, x: Tensor, rules: bool) -> tuple[Tensor, Tensor, str]:
    leaf = x.clone().requires_grad_()
    torch.manual_seed(1)
    if rules:
        with Rules(usual):
            value = norm(leaf)
    else:
        value = norm(leaf)
    node = type(value.grad_fn).__name__
    (found,) = torch.autograd.grad(value, leaf, torch.randn_like(value))
    return value.detach(), found, node


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_value_and_gradient_are_torch_s(kind, affine, dtype) -> None:
    norm = drawn(kind(6, affine=affine, eps=0.1)).eval().to(dtype)
    x = torch.randn(SHAPES[kind], dtype=dtype)
    value, found, node = back(norm, x, rules=True)
    expected, gradient, _ = back(norm, x, rules=False)
    assert node == "_FactorsBackward"
    assert torch.equal(value, expected)
    torch.testing.assert_close(found, gradient)


def test_by_hand_in_float64() -> None:
    """d/dx of (x - m) / sqrt(v + e) * w + b is w / sqrt(v + e)."""
    norm = nn.BatchNorm1d(2, eps=0.5).double().eval()
    norm.running_var[:] = torch.tensor([1.75, 8.5])
    norm.weight.data[:] = torch.tensor([3.0, -6.0])
    leaf = torch.zeros(1, 2, dtype=torch.float64, requires_grad=True)
    with Rules(usual):
        value = norm(leaf)
    (found,) = torch.autograd.grad(value.sum(), leaf)
    assert found.tolist() == [[2.0, -2.0]]


@pytest.mark.parametrize(
    "norm", [nn.BatchNorm2d(6), nn.BatchNorm2d(6, track_running_stats=False).eval()], ids=["training", "no running statistics"]
)
def test_statistics_of_the_batch_keep_torch_s_way(norm) -> None:
    x = torch.randn(4, 6, 5, 3)
    value, found, node = back(drawn(norm), x, rules=True)
    expected, gradient, _ = back(norm, x, rules=False)
    assert "Batch" in node
    assert torch.equal(value, expected)
    assert torch.equal(found, gradient)


def test_called_as_a_function_and_overwritten_afterwards() -> None:
    norm = drawn(nn.BatchNorm2d(6)).eval()
    x = torch.randn(4, 6, 5, 3)

    def normalized(leaf: Tensor) -> Tensor:
        return F.batch_norm(leaf, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)

    leaf = x.clone().requires_grad_()
    with Rules(usual):
        value = F.relu(normalized(leaf), inplace=True).add_(1)
    (found,) = torch.autograd.grad(value.sum(), leaf)
    other = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(F.relu(normalized(other)).sum(), other)
    torch.testing.assert_close(found, expected)


def test_without_gradients_nothing_is_swapped() -> None:
    norm = drawn(nn.BatchNorm2d(6)).eval()
    x = torch.randn(4, 6, 5, 3)
    with Rules(usual):
        assert type(norm(x).grad_fn).__name__ == "NativeBatchNormBackward0"
        with torch.no_grad():
            assert torch.equal(norm(x.requires_grad_()), norm(x))
