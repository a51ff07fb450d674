"""Attributions of units: derived by hand, against Captum where it is right, against a patched ReLU where hooks are not."""

# Tolerances: 1e-10 and below in float64, in another order of operations; 1e-5 in float32. Captum's methods have constants of
# their own (steps of an integral, an epsilon), which leave 1e-3 to 0.02.

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import torchlurk
from campaigns import rectifiers
from tests.attribution_pairs import attribute_pairs
from torchlurk.attribution.backward import attribute
from torchlurk.errors import MissingExtraError, ModelError, OptionError, UnitError
from torchlurk.models.survey.layers import survey
from torchlurk.tables import METHODS

REAL = torch.float64


pytestmark = pytest.mark.usefixtures("same_numbers")


def images(count: int = 2, size: int = 16) -> Tensor:
    return torch.randn(count, 3, size, size, dtype=REAL, generator=torch.Generator().manual_seed(1))


def modules() -> nn.Sequential:
    """Every ReLU a module used once: what Captum can do."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.Conv2d(8, 6, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(6 * 36, 5),
    ).to(REAL)


class Functional(nn.Module):
    """The same, spelled otherwise: functions, in place, one module twice."""

    def __init__(self, same: nn.Sequential) -> None:
        super().__init__()
        self.a, self.b, self.norm, self.c, self.head = same[0], same[3], same[4], same[6], same[9]
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(self.act(self.a(x)), 2)
        x = self.norm(self.b(x))
        x.relu_()
        return self.head(self.act(self.c(x)).flatten(1))


def by_hand(w1: list[list[float]], w2: list[float], x: list[float], method: str) -> list[float]:
    """A unit relu(w2 · relu(w1 x)), active: from the signal at its sum down to the input, in plain Python.

    At the unit's own rectification the signal is +1, and the unit is active: 1 goes on in every method.
    """
    found = [0.0] * len(x)
    for row, weight in zip(w1, w2, strict=True):
        z = sum(w * value for w, value in zip(row, x, strict=True))
        signal = 1.0 * weight
        on = 1.0 if z > 0 else 0.0
        passed = {
            "gradient": signal * on,
            "input_x_gradient": signal * on,
            "deconv": max(signal, 0.0),
            "guided": max(signal, 0.0) * on,
            "guided_neg": min(signal, 0.0) * on,
        }[method]
        for index, w in enumerate(row):
            found[index] += w * passed
    return [f * value for f, value in zip(found, x, strict=True)] if method == "input_x_gradient" else found


@pytest.mark.parametrize("method", [one for one in METHODS if not one.startswith("lrp")])
def test_a_unit_two_rectifications_deep_is_as_derived_by_hand(method: str) -> None:
    w1 = [[1.0, -2.0, 0.5], [-1.0, 1.0, 3.0], [0.5, 0.25, -1.0], [2.0, 0.0, 1.0]]
    w2 = [2.0, -1.0, 3.0, 0.5]
    x = [2.0, 0.5, 1.5]
    net = nn.Sequential(nn.Linear(3, 4, bias=False), nn.ReLU(), nn.Linear(4, 1, bias=False), nn.ReLU(inplace=True)).to(REAL)
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor(w1, dtype=REAL))
        net[2].weight.copy_(torch.tensor([w2], dtype=REAL))
    given = torch.tensor([x], dtype=REAL)
    expected = by_hand(w1, w2, x, method)
    assert net(given).item() > 0
    assert any(expected)
    assert attribute(net, given, "2:0", method)[0].tolist() == pytest.approx(expected, rel=1e-14, abs=1e-15)


def test_the_gradient_of_a_linear_unit_is_its_weight() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16, 7)).to(REAL)
    x = images(4, 4)
    expected = net[1].weight[3].reshape(1, 3, 4, 4).expand(4, -1, -1, -1)
    assert torch.equal(attribute(net, x, "1:3", "gradient"), expected)
    torch.testing.assert_close(attribute(net, x, "1:3", "input_x_gradient"), expected * x)


def test_the_gradient_of_a_convolution_is_its_kernel_at_the_position_and_its_mean_over_positions() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3)).to(REAL)
    x = images(1, 6)
    expected = torch.zeros_like(x)
    expected[0, :, 1:4, 2:5] = net[0].weight[2]
    assert torch.equal(attribute(net, x, "0:2", "gradient", position=(1, 2)), expected)
    mean = torch.zeros_like(x)
    for row in range(4):
        for column in range(4):
            mean[0, :, row : row + 3, column : column + 3] += net[0].weight[2] / 16
    torch.testing.assert_close(attribute(net, x, "0:2", "gradient", reduce="mean"), mean)
    strongest = int(net(x)[0, 2].argmax())
    by_position = attribute(net, x, "0:2", "gradient", position=divmod(strongest, 4))
    assert torch.equal(attribute(net, x, "0:2", "gradient"), by_position)


def test_of_equal_positions_the_first_counts() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3)).to(REAL)
    x = torch.ones(1, 3, 6, 6, dtype=REAL)
    assert torch.equal(attribute(net, x, "0:1"), attribute(net, x, "0:1", position=(0, 0)))


def test_input_times_gradient_of_a_net_without_biases_sums_to_the_activation() -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False), nn.LeakyReLU(0.1), nn.MaxPool2d(2), nn.Conv2d(8, 4, 3, bias=False), nn.ReLU()
    ).to(REAL)
    x = images(3)
    layer = survey(net, x).layer("3")
    found, activations = attribute_pairs(net, layer, x, torch.tensor([0, 1, 3]), torch.tensor([4, 0, 7]), "input_x_gradient")
    expected = net(x).flatten(2)[[0, 1, 2], [0, 1, 3], [4, 0, 7]]
    torch.testing.assert_close(activations, expected)
    torch.testing.assert_close(found.sum((1, 2, 3)), expected)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["0", "3", "6", "9"])
def test_many_pairs_in_one_pass_are_as_each_alone(method: str, name: str) -> None:
    net, x = modules(), images(6)
    layer = survey(net, x).layer(name)
    channels = torch.tensor([0, 1, 2, 3, 4, 2])
    positions = torch.tensor([0, 5, 2, 15, 9, 14]) % layer.positions
    for places in (positions, None):
        found, activations = attribute_pairs(net, layer, x, channels, places, method)
        for index in range(6):
            one = slice(index, index + 1)
            at = None if places is None else places[one]
            alone, activation = attribute_pairs(net, layer, x[one], channels[one], at, method)
            torch.testing.assert_close(found[one], alone, rtol=1e-10, atol=1e-12)
            torch.testing.assert_close(activations[one], activation, rtol=1e-10, atol=1e-12)
        assert activations.shape == (6,)
        assert not activations.requires_grad
        assert not found.requires_grad


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_the_spelling_of_the_network_makes_no_difference(method: str) -> None:
    net, x = modules(), images()
    other = Functional(copy.deepcopy(net))
    for mine, same in (("0:2", "a:2"), ("3:5", "b:5"), ("6:1", "c:1"), ("9:4", "head:4")):
        torch.testing.assert_close(attribute(other, x, same, method), attribute(net, x, mine, method))


@pytest.mark.parametrize("method", ["guided", "deconv"])
@pytest.mark.parametrize(
    ("name", "read", "channel", "position"),
    [("0", 1, 2, (3, 9)), ("3", 5, 5, (0, 7)), ("6", 7, 1, (5, 5))],
)
def test_hidden_units_are_as_in_captum(method: str, name: str, read: int, channel: int, position: tuple[int, int]) -> None:
    captum = pytest.importorskip("captum.attr")
    net, x = modules().eval(), images()
    kind = {"guided": captum.NeuronGuidedBackprop, "deconv": captum.NeuronDeconvolution}[method]
    copied = copy.deepcopy(net)
    copied[5].inplace = False
    with pytest.warns(UserWarning, match="Setting backward hooks"):
        expected = kind(copied, copied[read]).attribute(x.clone().requires_grad_(), (channel, *position))
    torch.testing.assert_close(attribute(net, x, f"{name}:{channel}", method, position=position), expected)


@pytest.mark.parametrize("method", ["guided", "deconv", "gradient", "input_x_gradient"])
def test_classes_are_as_in_captum(method: str) -> None:
    captum = pytest.importorskip("captum.attr")
    net, x = modules().eval(), images()
    kinds = {
        "guided": "GuidedBackprop",
        "deconv": "Deconvolution",
        "input_x_gradient": "InputXGradient",
        "gradient": "Saliency",
    }
    tool = getattr(captum, kinds[method])(net)
    if method == "gradient":
        expected = tool.attribute(x.clone().requires_grad_(), target=3, abs=False)
    elif method == "input_x_gradient":
        expected = tool.attribute(x.clone().requires_grad_(), target=3)
    else:
        with pytest.warns(UserWarning, match="Setting backward hooks"):
            expected = tool.attribute(x.clone().requires_grad_(), target=3)
    torch.testing.assert_close(attribute(net, x, "9:3", method), expected)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "mine"), [("GuidedBackprop", "guided"), ("Deconvolution", "deconv"), ("InputXGradient", "input_x_gradient")]
)
@pytest.mark.parametrize("unit", ["0:2", "3:5", "6:1", "9:3"])
def test_captums_own_methods_by_name_are_as_ours_where_both_are(name: str, mine: str, unit: str) -> None:
    pytest.importorskip("captum.attr")
    net, x = modules(), images()
    for reduce in ("max", "mean"):
        torch.testing.assert_close(
            attribute(net, x, unit, f"captum:{name}", reduce=reduce), attribute(net, x, unit, mine, reduce=reduce)
        )


def test_integrated_gradients_add_up_to_the_activation_less_that_of_black() -> None:
    pytest.importorskip("captum.attr")
    net, x = modules().eval(), images()
    found = attribute(net, x, "9:3", "captum:IntegratedGradients")
    expected = net(x)[:, 3] - net(torch.zeros_like(x))[:, 3]
    torch.testing.assert_close(found.sum((1, 2, 3)), expected, rtol=0.02, atol=0.002)


def test_captums_methods_that_need_more_and_those_it_does_not_have_are_refused() -> None:
    pytest.importorskip("captum.attr")
    net, x = modules(), images()
    with pytest.raises(OptionError, match="needs more than a model and an input: sliding_window_shapes"):
        attribute(net, x, "0:0", "captum:Occlusion")
    with pytest.raises(OptionError, match="nearest: Saliency"):
        attribute(net, x, "0:0", "captum:Salience")
    for name in ("LayerGradCam", "NeuronGradient", "Attribution", "visualization", "GuidedGradCam"):
        with pytest.raises(OptionError):
            attribute(net, x, "0:0", f"captum:{name}")


def test_without_captum_its_methods_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "captum", None)
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(MissingExtraError, match=r"torchlurk\[captum\]"):
        attribute(modules(), images(), "0:0", "captum:Saliency")


@pytest.mark.slow
@pytest.mark.parametrize("case", ["googlenet inception4b.branch2.1.conv:7 guided", "googlenet fc:17 deconv"])
def test_where_module_hooks_miss_functional_calls_it_is_as_with_every_relu_replaced(case: str) -> None:
    rectifiers.check(rectifiers.cases()[case])


class Awkward(nn.Module):
    """Overwrites its input, keeps a buffer up to date even in evaluation mode, draws random numbers, may fail."""

    def __init__(self, out: bool) -> None:
        super().__init__()
        self.out = out
        self.a, self.norm, self.b = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 5, 3)
        self.act, self.drop = nn.ReLU(inplace=True), nn.Dropout(0.5)
        self.register_buffer("seen", torch.zeros(3))
        self.fail = False

    def forward(self, x: Tensor) -> Tensor:
        x *= 2
        self.seen.add_(x.mean((0, 2, 3)))
        x = self.drop(self.norm(self.a(x))) + torch.rand(1)
        rectified = torch.empty_like(x) if self.out else None
        x = torch.clamp(x, min=0, out=rectified)
        if self.fail:
            raise ValueError("in the middle")
        return self.act(self.b(x))


def state(net: nn.Module) -> list[Any]:
    hooks = [(len(one._forward_hooks), len(one._forward_pre_hooks), len(one._backward_hooks)) for one in net.modules()]
    flags = [(one.training, getattr(one, "inplace", None)) for one in net.modules()]
    tensors = [*net.parameters(), *net.buffers()]
    facts = [(id(one), one.requires_grad, one.grad_fn, one.tolist()) for one in tensors]
    grads = [None if one.grad is None else one.grad.tolist() for one in tensors if one.is_leaf]
    return [hooks, flags, facts, grads, torch.get_rng_state().tolist(), torch.is_grad_enabled()]


@pytest.mark.slow
@pytest.mark.parametrize("method", [*METHODS, "captum:Saliency", "captum:GuidedBackprop"])
@pytest.mark.parametrize("context", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_the_model_is_left_as_found_after_success_and_after_an_error(method: str, context: Callable[[], Any]) -> None:
    net = Awkward(out=not method.startswith("captum"))  # torch itself does not differentiate `out=`
    net.a.register_forward_hook(lambda *_: None)
    net.norm.eval()
    net.a.weight.grad = torch.ones_like(net.a.weight)
    net.b.weight.requires_grad_(False)
    x = torch.randn(2, 3, 8, 8)
    given = x.clone()
    torch.rand(3)
    before = state(net)
    with context():
        if method.startswith("lrp"):
            with pytest.raises(ModelError):
                attribute(net, given, "b:1", method)
        else:
            assert attribute(net, given, "b:1", method).shape == x.shape
        assert state(net)[:5] == before[:5]
        layer = survey(net, x).layer("b")
        net.fail = True
        channels, positions = torch.tensor([0, 1]), torch.tensor([0, 1])
        with pytest.raises(ModelError):
            attribute_pairs(net, layer, given, channels, positions, method)
    assert state(net) == before
    assert torch.equal(given, x)
    assert torch.overrides._get_current_function_mode_stack() == []


def test_it_is_found_in_the_package_and_follows_the_tap() -> None:
    net, x = modules(), images()
    after = torchlurk.attribute(net, x, "0:2", "gradient", position=(3, 9))
    before = torchlurk.attribute(net, x, "0:2", "gradient", position=(3, 9), tap="output")
    active = net[0](x)[:, 2, 3, 9] > 0
    assert torch.equal(after, before * active[:, None, None, None])
    wrapped = torchlurk.attribute(nn.DataParallel(net), x, "0:2", "gradient", position=(3, 9))
    assert torch.equal(wrapped, after)


def test_tokens_and_vectors_have_attributions_too() -> None:
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.mix, self.head = nn.Linear(3, 8), nn.Linear(8, 8), nn.Linear(8, 4)
            self.block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            tokens = F.gelu(self.embed(x.flatten(2).mT))
            return self.head(self.block(self.mix(tokens)).mean(1))

    net, x = Tokens().to(REAL).eval(), images(2, 4)
    assert attribute(net, x, "embed:3", "gradient", position=(5,))[:, :, 1, 1].abs().min() > 0
    assert attribute(net, x, "embed:3", "gradient", position=(5,)).count_nonzero() == 6
    leaf = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(net(leaf)[:, 2].sum(), leaf)
    torch.testing.assert_close(attribute(net, x, "head:2", "gradient"), expected)


@pytest.mark.parametrize(
    ("unit", "options", "kind", "message"),
    [
        ("0:99", {}, UnitError, "has no channel 99"),
        ("nowhere:1", {}, UnitError, "no layer matches 'nowhere'"),
        ("0:1", {"position": (99, 0)}, UnitError, r"has no position \(99, 0\)"),
        ("0:1", {"position": (1,)}, UnitError, r"has no position \(1,\)"),
        ("0:1", {"position": (1, 1), "reduce": "mean"}, OptionError, "both a position and the mean"),
        ("0:1", {"method": "guidd"}, OptionError, "nearest: guided"),
    ],
)
def test_what_is_not_there_is_said(unit: str, options: dict[str, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        attribute(modules(), images(), unit, **options)


def test_a_model_that_cuts_the_gradient_off_is_refused() -> None:
    class Cut(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.detach())

    with pytest.raises(ModelError, match="no gradient flows from layer '0' back to the input"):
        attribute(Cut(nn.Conv2d(3, 4, 3)).to(REAL), images(), "0:1")
