"""The product from which gates follow: the same by either library, and only where nothing looks on."""

from __future__ import annotations

import pytest
import torch

from torchlurk.models.taps.recurrent import _product


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(1, 1, 3), (40, 5, 27), (0, 2, 3), (7, 9, 228)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_a_product_is_that_of_float64(shape: tuple[int, ...], bias: bool, dtype: torch.dtype) -> None:
    random = torch.Generator().manual_seed(0)
    inputs = torch.randn(shape, generator=random).to(dtype).transpose(0, 1)
    weights, added = torch.randn(12, shape[-1], generator=random).to(dtype), torch.randn(12, generator=random).to(dtype)
    given = added if bias else None
    expected = torch.nn.functional.linear(inputs.double(), weights.double(), None if given is None else given.double())
    with torch.inference_mode():
        found = _product(inputs, weights, given)
    assert found.shape == expected.shape
    assert found.dtype is dtype
    rough = dtype is torch.bfloat16
    assert torch.allclose(found.double(), expected, rtol=0.02 if rough else 1e-5, atol=0.2 if rough else 1e-4)
    inputs = inputs.clone().requires_grad_()
    _product(inputs, weights, given).float().sum().backward()
    assert inputs.grad is not None
