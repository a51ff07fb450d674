"""Buffers that a pass changes are put back, before the next pass and at the end."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from torchlurk.models.taps.as_found import as_found, differentiable
from torchlurk.models.taps.buffers import Buffers


class Keeping(nn.Module):
    """Gives back what it kept, then keeps what it is given, in one of several ways."""

    def __init__(self, keep: Callable[[Keeping, Tensor], None]) -> None:
        super().__init__()
        self.register_buffer("kept", torch.zeros(2))
        self.register_buffer("nothing", None)
        self.keep = keep

    def forward(self, x: Tensor) -> Tensor:
        found = self.kept.clone()
        self.keep(self, x)
        return found


def assign(self: Keeping, x: Tensor) -> None:
    self.kept = x


def fill(self: Keeping, x: Tensor) -> None:
    self.nothing = x


def add(self: Keeping, x: Tensor) -> None:
    self.register_buffer("more", x)


WAYS = {
    "in place": lambda self, x: self.kept.copy_(x),
    "through .data": lambda self, x: self.kept.data.copy_(x),
    "assigned": assign,
    "where there was none": fill,
    "added": add,
}


@pytest.mark.parametrize("inference", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_what_a_pass_changed_is_named_and_put_back(way, inference):
    module = Keeping(WAYS[way])
    buffer = module.kept
    found = Buffers(nn.Sequential(module))
    assert found.changed() == []
    with torch.inference_mode(inference):
        module(torch.ones(2))
    assert found.changed() == ["0." + {"added": "more", "where there was none": "nothing"}.get(way, "kept")]
    found.put_back()
    assert found.changed() == []
    assert module.kept is buffer
    assert dict(module.named_buffers()).keys() == {"kept"}
    assert not buffer.any()


@pytest.mark.parametrize("opened", [as_found, differentiable])
@pytest.mark.parametrize("way", ["in place", "assigned"])
def test_each_pass_begins_with_buffers_as_found(opened, way):
    module = Keeping(WAYS[way])
    with opened(module):
        assert [module(torch.ones(2, requires_grad=True)).tolist() for _ in range(3)] == [[0, 0]] * 3
    assert not module.kept.requires_grad
    assert not module._forward_pre_hooks


def test_each_pass_begins_where_the_last_ended_if_that_is_asked():
    module = Keeping(WAYS["in place"])
    with as_found(module, each_pass=False):
        assert [module(torch.ones(2)).tolist() for _ in range(2)] == [[0, 0], [1, 1]]
    assert not module.kept.any()


def test_buffers_made_in_inference_mode_are_put_back():
    with torch.inference_mode():
        module = Keeping(WAYS["in place"])
        with as_found(module):
            assert [module(torch.ones(2)).tolist() for _ in range(2)] == [[0, 0]] * 2
    assert not module.kept.any()


def test_what_watches_a_pass_is_asked_nothing_about_buffers():
    class Watching(TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            seen.append(func)
            return func(*args, **(kwargs or {}))

    seen = []
    norm = nn.BatchNorm2d(2)
    buffers = Buffers(norm)
    norm.running_mean += 1
    with Watching():
        buffers.before_each_pass(norm, ())
    assert seen == []
    assert not norm.running_mean.any()
