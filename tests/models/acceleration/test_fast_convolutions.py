"""Quicker convolutions: the same values and gradients, and nothing of them left behind."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from torchlurk import compiled
from torchlurk.models.acceleration import fast_convolutions
from torchlurk.models.acceleration.fast_convolutions import Quick

NEAR = 1e-4


class Wide(nn.Module):
    """Ways of all kinds: back by phases, Winograd's with three and with five, and usual ones."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 32, 7, 2, 3), nn.Conv2d(32, 64, 5, padding=2, bias=False)
        self.third, self.last = nn.Conv2d(64, 64, 3, padding=1), nn.Conv2d(64, 8, 3, 2)
        self.beside = nn.Conv2d(64, 64, 3, padding=1, groups=2)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.second(F.relu(self.first(x))))
        return self.last(self.third(x) + self.third(x.flip(3)) + self.beside(x))


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return Wide().eval()


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is done by a quicker way, as it happens."""
    done: list[str] = []
    for name in ("forth", "back"):
        usual = getattr(fast_convolutions._Winograds, name)

        def noted(way: object, *given: object, usual: Callable[..., Tensor] = usual, name: str = name) -> Tensor:
            done.append(name)
            return usual(way, *given)

        monkeypatch.setattr(fast_convolutions._Winograds, name, noted)
    return done


def passed(network: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """What it makes of x and, for that made larger, the gradient."""
    x = x.clone().requires_grad_()
    y = network(x)
    return y.detach(), torch.autograd.grad(y.sum(), x)[0]


def assert_near(found: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert (one - other).abs().max() < NEAR * other.abs().max()


@pytest.mark.slow
def test_values_and_gradients_are_as_ever(network: nn.Module, ways: list[str]) -> None:
    x = torch.rand(3, 3, 60, 70)
    expected, way = passed(network, x), Quick(network)
    for _ in range(2):  # what was prepared is used again
        with way.ready():
            assert_near(passed(network, x), expected)
    assert sorted(ways) == ["back"] * 6 + ["forth"] * 6
    again = passed(network, x)
    assert torch.equal(again[0], expected[0])
    assert torch.equal(again[1], expected[1])


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "bias"), [(11, 4, 2, True), (7, 2, 3, False), (3, 2, 0, True), (16, 16, 0, True)]
)
@pytest.mark.parametrize("size", [(128, 131), (97, 64)])
def test_a_first_convolution_with_a_stride_goes_back_by_phases(kernel, stride, padding, bias, size, ways) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 64, kernel, stride, padding, bias=bias)
    x = torch.rand(2, 3, *size)
    expected = passed(conv, x)
    with Quick(conv).ready():
        assert_near(passed(conv, x), expected)
    assert ways == (["forth"] if (kernel, size) == (11, (128, 131)) else [])  # the phases, by Winograd's way


def test_a_module_is_left_as_found_after_an_error_too(network: nn.Module) -> None:
    before = {name: dict(vars(one)) for name, one in network.named_modules()}
    with pytest.raises(RuntimeError, match="expected input"), Quick(network).ready():
        network(torch.rand(1, 4, 60, 70))
    assert {name: dict(vars(one)) for name, one in network.named_modules()} == before
    assert all(one.grad is None for one in network.parameters())


def test_hooks_run_and_their_module_goes_as_ever(network: nn.Module, ways: list[str]) -> None:
    network.third.register_forward_hook(lambda module, args, found: found * 0)
    x = torch.rand(1, 3, 60, 70)
    expected = passed(network, x)
    with Quick(network).ready():
        assert_near(passed(network, x), expected)
    assert sorted(ways) == ["back", "forth"]


@pytest.mark.parametrize(
    "change",
    [
        lambda conv: setattr(conv, "padding_mode", "reflect") or setattr(conv, "_reversed_padding_repeated_twice", [1] * 4),
        lambda conv: setattr(conv, "dilation", (2, 2)),
        lambda conv: setattr(conv, "padding", (1, 0)),
        lambda conv: setattr(conv, "padding", (4, 4)),
        lambda conv: setattr(conv, "padding", "same"),
    ],
    ids=["reflected", "dilated", "uneven", "wide", "by name"],
)
def test_others_go_as_ever(change: Callable[[nn.Conv2d], None], ways: list[str]) -> None:
    torch.manual_seed(1)
    conv = nn.Conv2d(64, 64, 3, padding=1)
    change(conv)
    x = torch.rand(2, 64, 40, 40)
    expected = passed(conv, x)
    with Quick(conv).ready():
        found = passed(conv, x)
    assert not ways
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def test_other_formats_and_a_picture_without_a_batch_go_as_ever(ways: list[str]) -> None:
    torch.manual_seed(1)
    conv = nn.Conv2d(64, 64, 3, padding=1)
    x = torch.rand(64, 40, 40)
    with Quick(conv).ready():
        assert torch.equal(conv(x), conv(x[None])[0]) or torch.allclose(conv(x), conv(x[None])[0], atol=1e-3)
        assert ways == ["forth"] * 2
    conv.double()
    with Quick(conv).ready():
        conv(x[None].double())
    assert ways == ["forth"] * 2


def test_without_numba_all_goes_as_ever(network: nn.Module, ways: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "module", lambda name: None)
    x = torch.rand(2, 3, 60, 70)
    expected = passed(network, x)
    with Quick(network).ready():
        assert_near(passed(network, x), expected)
    assert not ways
