"""Twins have modules and buffers of their own and the same parameters; where that cannot be, it is known."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import nn

from torchlurk.models.taps.arguments import Arguments, called_with
from torchlurk.models.taps.as_found import differentiable
from torchlurk.models.taps.twins import separable, twin


@pytest.mark.parametrize("make", [lambda: nn.BatchNorm2d(4), lambda: nn.LSTM(4, 4)])
def test_a_twin_has_modules_and_buffers_of_its_own_and_the_same_parameters(make):
    net = nn.Sequential(nn.Conv2d(3, 4, 3), make())
    assert separable(net)
    other = twin(net)
    assert [id(one) for one in net.parameters()] == [id(one) for one in other.parameters()]
    assert not {id(one) for one in net.modules()} & {id(one) for one in other.modules()}
    assert not {id(one) for one in net.buffers()} & {id(one) for one in other.buffers()}


class Unyielding(nn.Module):
    """Cannot be copied."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()


def hooked() -> nn.Module:
    module = nn.ReLU()
    module.register_forward_hook(lambda *_: None)
    return module


def replaced() -> nn.Module:
    module = nn.ReLU()
    module.forward = lambda x: x
    return module


TOGETHER = {"cannot be copied": Unyielding, "hooked": hooked, "replaced": replaced}


@pytest.mark.parametrize("kind", TOGETHER)
def test_a_network_that_copies_would_share_something_with_is_known(kind):
    assert not separable(nn.Sequential(TOGETHER[kind]()))
    net = TOGETHER[kind]()
    with called_with(net, Arguments("tbc")):
        assert not separable(net)


def test_a_twin_is_called_with_the_same_arguments_and_runs_its_own_modules():
    net = nn.LSTM(2, 3)
    inputs = torch.rand(4, 5, 2)
    with called_with(net, Arguments("tbc")):
        assert separable(net)
        other = twin(net)
        expected = net(inputs)[0]
    seen = []
    net.register_forward_pre_hook(lambda *_: seen.append("not the twin"))
    assert torch.equal(other(inputs)[0], expected)
    assert torch.equal(net(inputs.transpose(0, 1))[0], expected)
    assert seen == ["not the twin"]


def test_what_is_set_for_recurrent_layers_on_a_gpu_is_not_touched_on_a_cpu():
    """It is the whole process's: of threads that each set it and put it back, the last may put back what another set."""
    with differentiable(nn.LSTM(2, 2)):
        assert torch.backends.cudnn.enabled
