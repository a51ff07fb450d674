"""Values that depend on company or chance are noticed, and named by their first layer; rounding never is."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from torchlurk.models.survey.layers import survey
from torchlurk.scanning.repeatability import dependences, mixed, reaching

INPUTS = torch.rand(4, 3, 10, 10, generator=torch.Generator().manual_seed(1))


class Net(nn.Module):
    """Convolution a, something between, convolution b."""

    def __init__(self, between: nn.Module) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.between, self.b = nn.Conv2d(3, 8, 3), between, nn.Conv2d(8, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.between(self.a(x).relu()))


class Always(nn.Module):
    """Dropout that is on in evaluation mode too."""

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, 0.5, training=True)


class Running(nn.Module):
    """Takes off the mean of what was there before, over passes; `of_batch` writes a mean over the batch, before it is used."""

    def __init__(self, of_batch: bool = False, data: bool = False) -> None:
        super().__init__()
        self.of_batch, self.data = of_batch, data
        self.register_buffer("seen", torch.zeros(8))

    def forward(self, x: Tensor) -> Tensor:
        before = self.seen.clone()
        (self.seen.data if self.data else self.seen).mul_(0.5).add_(x.detach().mean((0, 2, 3)))
        return x - (self.seen if self.of_batch else before)[:, None, None]


class Remembering(nn.Module):
    """Keeps what it saw where nobody looks for it."""

    last: Tensor | float = 0.0

    def forward(self, x: Tensor) -> Tensor:
        now, self.last = x - self.last, x.mean().item()
        return now


class Counting(nn.Module):
    """Changes a buffer that no value depends on."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("passes", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.passes += 1
        return x


def told(between: nn.Module, inputs: Tensor = INPUTS) -> list[tuple[str, str]]:
    net = Net(between).eval()
    return [(one.layer, one.told) for one in dependences(net, survey(net, inputs[:1]).layers, inputs)]


@pytest.mark.parametrize(
    ("between", "said"),
    [
        (nn.BatchNorm2d(8, track_running_stats=False), "depend on the other examples of the batch"),
        (Always(), "differ from pass to pass"),
        (Remembering(), "differ from pass to pass"),
        (Running(), "state that each pass changes (between.seen)"),
    ],
)
def test_what_values_depend_on_beside_the_example_is_said_with_the_first_layer(between, said):
    ((layer, text),) = told(between)
    assert layer == "between"
    assert said in text
    assert "layer between" in text


def test_state_that_depends_on_the_batch_is_both():
    assert [layer for layer, _ in told(Running(of_batch=True))] == ["between", "between"]


@pytest.mark.parametrize("between", [nn.BatchNorm2d(8), nn.Dropout(), nn.InstanceNorm2d(8), Counting(), nn.Identity()])
def test_ordinary_networks_and_counters_are_not_accused(between):
    assert told(between) == []


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_what_is_rounded_is_not_accused_at_any_scale_and_what_is_batched_is(scale):
    class Scaled(nn.Module):
        def __init__(self, share: float) -> None:
            super().__init__()
            self.share = share

        def forward(self, x: Tensor) -> Tensor:
            return scale * (x + self.share * x.amax(0))

    largest = 1e-5 / 8  # of a layer whose weights make of it a few times as much
    assert told(Scaled(largest)) == []
    assert len(told(Scaled(0.1))) == 1


def test_the_rounding_of_sixteen_bits_is_not_accused_either():
    class Halves(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x + x.bfloat16() * 2.0**-8 * (len(x) > 1)).bfloat16()

    net = nn.Sequential(nn.Conv2d(3, 8, 3), Halves(), nn.Conv2d(8, 4, 3).bfloat16()).eval()
    assert not dependences(net, survey(net, INPUTS[:1]).layers, INPUTS)


def test_an_example_alone_in_its_data_has_no_company():
    assert told(nn.BatchNorm2d(8, track_running_stats=False), INPUTS[:1]) == []


def test_not_a_number_is_what_it_was():
    assert told(nn.Identity(), torch.full_like(INPUTS, torch.nan)) == []


@pytest.mark.parametrize("data", [False, True])
def test_the_network_is_left_as_found(data):
    net = Net(Running(data=data)).train()
    hooks, random = [len(one._forward_pre_hooks) for one in net.modules()], torch.get_rng_state()
    dependences(net, survey(net, INPUTS[:1]).layers, INPUTS)
    assert not net.between.seen.any()
    assert net.training
    assert [len(one._forward_pre_hooks) for one in net.modules()] == hooks
    assert torch.equal(torch.get_rng_state(), random)


def test_what_reaches_a_layer_is_said_of_it_and_not_of_those_before():
    net = Net(Always()).eval()
    layers = survey(net, INPUTS[:1]).layers
    found = dependences(net, layers, INPUTS)
    assert reaching(found, layers, "a") is None
    assert reaching(found, layers, "b") is found[0]


class Sorted(nn.Module):
    """Runs a part on the examples of the batch in another order, and puts them back; of a batch of one it is that part."""

    def __init__(self, order: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.order, self.a, self.b = order, nn.Conv2d(3, 8, 3), nn.Conv2d(8, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        order = self.order(x)
        return self.b(self.a(x[order]).relu()[order.argsort()])


@pytest.mark.parametrize(
    "order",
    [
        lambda x: x.mean((1, 2, 3)).argsort(),
        lambda x: torch.arange(len(x)).flip(0),
        lambda x: torch.arange(len(x)).roll(1),
    ],
)
def test_examples_in_another_order_are_noticed(order):
    net = Sorted(order).eval()
    assert mixed(net, survey(net, INPUTS[:1]).layers, INPUTS) == "a"


@pytest.mark.parametrize("between", [nn.Identity(), Always(), Running(of_batch=True), Remembering()])
def test_examples_in_order_are_not_said_to_be_in_another(between):
    net = Net(between).eval()
    assert mixed(net, survey(net, INPUTS[:1]).layers, INPUTS) is None


def test_equal_examples_have_no_order():
    net = Sorted(lambda x: torch.arange(len(x)).flip(0)).eval()
    assert mixed(net, survey(net, INPUTS[:1]).layers, INPUTS[:1].expand(4, -1, -1, -1)) is None


def test_parts_of_a_batch_are_in_order():
    class Parts(Net):
        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([super(Parts, self).forward(part) for part in x.split(2)])

    net = Parts(nn.Identity()).eval()
    assert mixed(net, survey(net, INPUTS[:1]).layers, INPUTS) is None
