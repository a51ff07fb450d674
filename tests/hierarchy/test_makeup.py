"""What a node is made of: it adds up through branches and skips, as derived by hand, and as deletion shows."""

# Tolerances: 1e-9 and below in float64; 1e-4 to 1e-6 in float32 through several layers; 1e-3 where activations are
# subtracted, which costs digits.

from __future__ import annotations

import copy
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from torchlurk.anatomy import BIAS, INPUT, Change, Makeup, UnitPath
from torchlurk.errors import ModelError, OptionError, UnitError
from torchlurk.hierarchy.inspector import Inspector
from torchlurk.hierarchy.tree_builder import grow
from torchlurk.models.loading.extras import import_torchvision
from torchlurk.units import Unit

REAL = torch.float64
EVERY = 10**6
FAMILIES = ("resnet18", "densenet121", "googlenet", "squeezenet1_1")
PICKED = 7
"""Every so many layers of a network one unit is looked at."""


pytestmark = pytest.mark.usefixtures("same_numbers")


def image(size: int = 64, count: int = 1) -> Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(3))


def network(name: str) -> nn.Module:
    """With random weights, and batch normalizations that shift and scale."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        models = import_torchvision().models
        made = getattr(models, name)(weights=None, **({"init_weights": False} if name == "googlenet" else {}))
    for one in made.modules():
        if isinstance(one, nn.BatchNorm2d):
            for tensor, low in ((one.weight, 0.5), (one.running_var, 0.5), (one.bias, -0.5), (one.running_mean, -0.5)):
                nn.init.uniform_(tensor, low, low + 1)
    return made.eval()


@torch.no_grad()
def bias_of(net: nn.Module, unit: Unit) -> float:
    """The unit's own bias: that of the layer, taken through the batch normalization after it."""
    modules = list(net.named_modules())
    place = [name for name, _ in modules].index(unit.layer)
    layer = modules[place][1]
    bias = 0.0 if getattr(layer, "bias", None) is None else float(layer.bias[unit.channel])
    norm = next((module for _, module in modules[place + 1 :] if not isinstance(module, nn.Sequential)), None)
    after = isinstance(norm, nn.BatchNorm2d) and norm.num_features == layer.weight.shape[0]
    if not after or ("conv2" in unit.layer and "dense" in unit.layer):
        return bias
    scale = float(norm.weight[unit.channel] / (norm.running_var[unit.channel] + norm.eps).sqrt())
    return (bias - float(norm.running_mean[unit.channel])) * scale + float(norm.bias[unit.channel])


def size_of(makeup: Makeup) -> float:
    return sum(abs(one.contribution) for one in makeup.strongest)


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_contributions_add_up_to_the_sum_less_the_bias(name: str) -> None:
    net = network(name)
    inspector = Inspector(net, image())
    weighted = [
        layer for layer in inspector.layers if isinstance(net.get_submodule(layer.partition("#")[0]), nn.Conv2d | nn.Linear)
    ]
    looked_at = 0
    for layer in weighted[::PICKED] + weighted[-1:]:
        (branch,) = branches = [inspector.branch(Unit(layer, inspector.layers[layer].channels // 2))]
        (makeup,) = inspector.makeups(branches, most=EVERY)
        if ("dense" in layer and layer.endswith("conv1")) or layer.startswith("features.transition") or layer == "classifier":
            continue  # fed through a batch normalization of its own: derived by hand below
        total = sum(one.contribution for one in makeup.strongest)
        assert total == pytest.approx(makeup.value - bias_of(net, branch.root), abs=1e-5 * max(1.0, size_of(makeup)))
        assert sum(abs(one.share) for one in makeup.strongest) == pytest.approx(1.0)
        assert sum(feed.share for feed in makeup.feeds) == pytest.approx(1.0)
        looked_at += 1
    assert looked_at >= 3


@pytest.mark.slow
def test_through_the_concatenations_of_a_densenet_contributions_are_as_derived_by_hand() -> None:
    net = network("densenet121").to(REAL)
    x = image().to(REAL)
    name = "features.denseblock2.denselayer4.conv1"
    inspector = Inspector(net, x)
    branch = inspector.branch(Unit(name, 5))
    (makeup,) = inspector.makeups([branch], most=EVERY)
    features = net.features
    pooled = features.pool0(features.relu0(features.norm0(features.conv0(x))))
    block = features.transition1(features.denseblock1(pooled))
    stack = [block]
    for index in (1, 2, 3):
        stack.append(features.denseblock2[f"denselayer{index}"](stack))
    y, z = branch.position or (0, 0)
    joined = torch.cat(stack, 1)[0, :, y, z]
    layer = features.denseblock2["denselayer4"]
    norm, own = layer.norm1, layer.norm2
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    shift = norm.bias - norm.running_mean * scale
    on = (scale * joined + shift > 0).to(REAL)
    rate = own.weight[5] / (own.running_var[5] + own.eps).sqrt()
    by_channel = layer.conv1.weight[5, :, 0, 0] * on * scale * joined * rate
    expected = {}
    at = 0
    for source, maps in zip(
        ("features.transition1.conv", *(f"features.denseblock2.denselayer{i}.conv2" for i in (1, 2, 3))), stack, strict=True
    ):
        expected |= {Unit(source, c): by_channel[at + c].item() for c in range(maps.shape[1])}
        at += maps.shape[1]
    found = {one.unit: one.contribution for one in makeup.strongest}
    assert {unit for unit, value in expected.items() if value} == set(found)
    assert [found[unit] for unit in found] == pytest.approx([expected[unit] for unit in found], rel=1e-9, abs=1e-12)
    constant = (layer.conv1.weight[5, :, 0, 0] * on * shift).sum() * rate + own.bias[5] - own.running_mean[5] * rate
    assert makeup.rest == pytest.approx(constant.item(), rel=1e-9)


@pytest.mark.slow
def test_what_comes_over_a_skip_is_said_to_bypass() -> None:
    inspector = Inspector(network("resnet18"), image())
    both = inspector.strongest("layer1.0", 1)[0]
    channel = both.unit.channel
    (makeup,) = inspector.makeups([inspector.branch(Unit("layer1.1", channel), both.position)])
    assert {feed.layer: feed.bypasses for feed in makeup.feeds} == {"layer1.0": True, "layer1.1.conv2": False}
    # A join adds the same channel of both, and nothing else: as many units as it has branches.
    assert {(one.unit, one.bypasses) for one in makeup.strongest} == {
        (Unit("layer1.0", channel), True),
        (Unit("layer1.1.conv2", channel), False),
    }
    assert makeup.rest == pytest.approx(0.0, abs=1e-5)


def chain(bias: bool = True) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 5, 3, padding=1, bias=bias),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(5, 6, 3, bias=bias),
        nn.ReLU(),
        nn.Conv2d(6, 4, 3, bias=bias),
        nn.ReLU(),
    ).to(REAL)


def test_a_unit_that_is_off_is_made_up_too() -> None:
    net = chain()
    with torch.no_grad():
        net[5].bias.fill_(-100.0)
    inspector = Inspector(net, image(16).to(REAL))
    branch = inspector.branch("5:1", (2, 3))
    (makeup,) = inspector.makeups([branch], most=EVERY)
    assert inspector.activation(branch.root, branch.position) == 0
    assert makeup.value < -50
    assert makeup.rest == pytest.approx(-100.0)


def test_nothing_lies_beneath_a_unit_that_no_signal_reaches() -> None:
    net = chain()
    with torch.no_grad():
        net[5].weight[1, 2] = 0.0
    inspector = Inspector(net, image(16).to(REAL))
    branch = inspector.branch("5:1", (2, 3))
    (makeup,) = inspector.makeups([branch.to(Unit("3", 2))], most=EVERY)
    assert (makeup.value, makeup.strongest, [feed.share for feed in makeup.feeds]) == (0, (), [0])


def test_deeper_nodes_are_made_up_at_the_positions_by_which_they_act_on_the_root() -> None:
    """The weights of a node's positions, by the definition: the root's gradient at its channel, through its own ReLU."""
    net, x = chain(), image(16).to(REAL)
    inspector = Inspector(net, x)
    root = inspector.branch(inspector.strongest("5", 1)[0].unit)
    (top,) = inspector.makeups([root])
    child = top.strongest[0].unit
    (makeup,) = inspector.makeups([root.to(child)], most=EVERY, method="gradient")
    first = net[:3](x).detach().requires_grad_()
    sums = net[3](first)
    weights = torch.zeros_like(sums)
    y, z = root.position or (0, 0)
    window = slice(y, y + 3), slice(z, z + 3)
    weights[0, child.channel][window] = net[5].weight[root.root.channel, child.channel] * (sums[0, child.channel][window] > 0)
    weights = weights / weights.abs().sum()
    assert makeup.value == pytest.approx((weights * sums).sum().item())
    (rate,) = torch.autograd.grad(sums, first, weights)
    expected = (rate * first)[0].sum((1, 2))
    found = {one.unit.channel: one.contribution for one in makeup.strongest}
    assert [found.get(channel, 0.0) for channel in range(5)] == pytest.approx(expected.tolist())


@pytest.mark.slow
def test_many_nodes_asked_at_once_are_as_asked_one_by_one() -> None:
    inspector = Inspector(network("squeezenet1_1"), image())
    roots = [inspector.branch(one.unit) for layer in list(inspector.layers)[-6:] for one in inspector.strongest(layer, 3)]
    deeper = [one.branch.to(one.strongest[0].unit) for one in inspector.makeups(roots)]
    every = roots + deeper
    assert len(every) > 16
    for together, branch in zip(inspector.makeups(every), every, strict=True):
        (alone,) = inspector.makeups([branch])
        assert together.branch == alone.branch == branch
        assert [one.unit for one in together.strongest[:3]] == [one.unit for one in alone.strongest[:3]]
        assert [one.contribution for one in together.strongest] == pytest.approx(
            [one.contribution for one in alone.strongest], rel=1e-4, abs=1e-6
        )


def test_several_images_give_the_mean_of_each_alone() -> None:
    net, both = chain(), image(16, 2).to(REAL)
    unit = Unit("5", 2)
    (mean,) = Inspector(net, both).makeups([UnitPath((unit,))], most=EVERY)
    alone = [Inspector(net, both[row : row + 1]).makeups([UnitPath((unit,))], most=EVERY)[0] for row in (0, 1)]
    assert mean.value == pytest.approx((alone[0].value + alone[1].value) / 2)
    for one in mean.strongest:
        parts = [other.contribution for makeup in alone for other in makeup.strongest if other.unit == one.unit]
        assert one.contribution == pytest.approx(sum(parts) / 2)
        assert one.position is None


def test_parents_agree_with_finite_differences_and_with_their_children() -> None:
    net, x = chain(), image(16).to(REAL)
    inspector = Inspector(net, x)
    unit, step = inspector.strongest("3", 1)[0].unit, 1e-6
    uses = inspector.uses(unit, most=EVERY)
    assert set(uses) == {"5"}
    hidden = net[:5](x)
    more = hidden.clone()
    more[0, unit.channel] *= 1 + step
    difference = (net[5](more) - net[5](hidden))[0] / step
    assert len(uses["5"]) == 4
    for use in uses["5"]:
        place = (use.unit.channel, *use.position)
        assert use.contribution == pytest.approx(difference[place].item(), rel=1e-5)
        assert abs(use.contribution) == pytest.approx(difference[use.unit.channel].abs().max().item(), rel=1e-5)
        (makeup,) = inspector.makeups([inspector.branch(use.unit, use.position)], most=EVERY)
        (back,) = [one.contribution for one in makeup.strongest if one.unit == unit]
        assert back == pytest.approx(use.contribution, rel=1e-9)


@pytest.mark.slow
def test_parents_over_skips_and_branches_agree_with_their_children() -> None:
    inspector = Inspector(network("resnet18").to(REAL), image().to(REAL))
    uses = inspector.uses("layer1.0:7", most=2)
    assert set(uses) == {"layer1.1.conv1", "layer1.1"}
    for use in (use for found in uses.values() for use in found):
        (makeup,) = inspector.makeups([inspector.branch(use.unit, use.position)], most=EVERY)
        assert use.contribution == pytest.approx(
            next(one.contribution for one in makeup.strongest if one.unit == Unit("layer1.0", 7))
        )


class Attending(nn.Module):
    """Patches that attend to each other, by torch's own function for it, at the end of which there is a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.patches, self.after = nn.Conv2d(3, 8, 4, 4), nn.Linear(8, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.mixed(self.patches(x).relu().flatten(2).transpose(1, 2)).mean(1)

    def mixed(self, tokens: Tensor) -> Tensor:
        heads = tokens[:, None].contiguous()  # otherwise torch takes the plain way by itself
        return self.after(F.scaled_dot_product_attention(heads, heads, heads)[:, 0])


def test_parents_through_attention_agree_with_finite_differences() -> None:
    net, x, step = Attending().to(REAL), image(16).to(REAL), 1e-6
    inspector = Inspector(net, x, layers=["patches", "after"])
    unit = inspector.strongest("patches", 1)[0].unit

    def after(factor: float) -> Tensor:
        tokens = net.patches(x).relu().flatten(2).transpose(1, 2)
        tokens[:, :, unit.channel] *= factor
        return net.mixed(tokens)[0]

    difference = (after(1 + step) - after(1)) / step
    uses = inspector.uses(unit, most=EVERY)["after"]
    assert len(uses) == 6
    for use in uses:
        assert use.contribution == pytest.approx(difference[(*use.position, use.unit.channel)].item(), rel=1e-5)


def test_parents_of_one_position_alone() -> None:
    net, x = chain(), image(16).to(REAL)
    inspector = Inspector(net, x)
    unit = inspector.strongest("3", 1)[0]
    uses = inspector.uses(unit.unit, unit.position, most=EVERY)["5"]
    value = unit.activation * net[5].weight[:, unit.unit.channel].flatten(1).abs().amax(1)
    reached = {use.unit.channel: abs(use.contribution) for use in uses}
    y, x0 = unit.position
    if 2 <= y < 4 and 2 <= x0 < 4:  # all of the kernel lies on the map
        assert [reached[channel] for channel in range(4)] == pytest.approx(value.tolist())
    assert all(abs(use.position[0] - y) <= 2 and abs(use.position[1] - x0) <= 2 for use in uses)


def by_hand(net: nn.Module, layer: str, change: object, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """The same change made with a hook on a copy of the model; the output, and all modules' outputs."""
    other, seen = copy.deepcopy(net), {}

    def edit(module: nn.Module, args: object, output: Tensor) -> Tensor:
        return change(output.clone())  # type: ignore[operator]

    other.get_submodule(layer).register_forward_hook(edit)
    for name, module in other.named_modules():
        module.register_forward_hook(lambda m, a, o, name=name: seen.__setitem__(name, o.clone()))
    with torch.no_grad():
        return other(x), seen


def test_deleting_a_unit_equals_zeroing_its_channel_by_hand() -> None:
    net, x = network("squeezenet1_1"), image()
    inspector = Inspector(net, x)
    parent = inspector.branch(inspector.strongest("features.7.squeeze", 1)[0].unit)
    (makeup,) = inspector.makeups([parent])
    child = makeup.strongest[0].unit
    assert parent.position is not None
    effect, halved = inspector.effects([[Change(child)], [Change(child, factor=0.5)]], [(parent.root, parent.position)], most=3)
    expected, seen = by_hand(net, child.layer + "_activation", lambda o: o.index_fill_(1, torch.tensor([child.channel]), 0), x)
    after = seen["features.7.squeeze_activation"][(0, parent.root.channel, *parent.position)]
    assert effect.after[0] == pytest.approx(after.item(), rel=1e-5)
    assert effect.before[0] - effect.after[0] == pytest.approx(makeup.strongest[0].contribution, rel=1e-3)
    assert effect.before[0] - halved.after[0] == pytest.approx(makeup.strongest[0].contribution / 2, rel=1e-3)
    chances = torch.softmax(expected, 1)[0]
    for one in effect.predictions_after:
        assert one.probability == pytest.approx(chances[one.index].item(), rel=1e-4)
        assert one.output == pytest.approx(expected[0, one.index].item(), rel=1e-4, abs=1e-5)


def test_changes_at_positions_leave_the_others_alone() -> None:
    net, x = chain(), image(16).to(REAL)
    inspector = Inspector(net, x)
    places = [(Unit("3", 2), (1, 1)), (Unit("3", 2), (1, 2))]
    (effect,) = inspector.effects([[Change(Unit("3", 2), factor=2.0, offset=1.0, positions=((1, 1),))]], places)
    assert effect.after == pytest.approx((2 * effect.before[0] + 1, effect.before[1]))
    assert effect.before == pytest.approx(net[:5](x)[0, 2, 1, 1:3].tolist())


def test_questions_that_cannot_be_answered_say_so() -> None:
    inspector = Inspector(chain(), image(16).to(REAL))
    for wrong in ("7:0", "5:99"):
        with pytest.raises(UnitError):
            inspector.branch(wrong)
    with pytest.raises(UnitError, match="no position"):
        inspector.branch("5:0", (40, 0))
    with pytest.raises(UnitError, match="does not directly feed"):
        inspector.makeups([UnitPath((Unit("5", 0), Unit("0", 0)), (0, 0))])
    with pytest.raises(OptionError, match="cannot draw pictures along a path"):
        inspector.makeups([inspector.branch("5:0")], method="magic")
    with pytest.raises(OptionError, match="finite"):
        inspector.effects([[Change(Unit("3", 0), factor=float("nan"))]])


def test_the_first_layer_is_fed_by_the_input() -> None:
    net = chain(bias=False)
    inspector = Inspector(net, image(16).to(REAL))
    (makeup,) = inspector.makeups([inspector.branch("0:1")], most=EVERY)
    assert [feed.layer for feed in makeup.feeds] == [INPUT]
    assert makeup.rest == pytest.approx(0.0, abs=1e-12)
    assert all(one.box is not None and one.box[2] - one.box[0] == 1 for one in makeup.strongest)


class Untidy(nn.Module):
    """Writes to its input, rectifies in place and drops the result, counts its calls in a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.drop = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3, padding=1), nn.Dropout(0.5)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        x.mul_(2)
        y = self.one(x)
        F.relu_(y)
        z = self.drop(self.two(y))
        z += y
        return z.relu_()


def test_the_model_is_left_as_found_also_after_an_error() -> None:
    net = Untidy().train()
    net.one.weight.grad = torch.ones_like(net.one.weight)
    before = {name: one.clone() for name, one in net.state_dict().items()}
    x, state = image(12), torch.get_rng_state()
    kept = x.clone()
    inspector = Inspector(net, x, layers=["one", "two"])
    branch = inspector.branch("two:1")
    (makeup,) = inspector.makeups([branch])
    inspector.pictures([branch.to(makeup.strongest[0].unit)])
    inspector.uses("one:0")
    inspector.effects([[Change(Unit("one", 0))]])
    with pytest.raises(OptionError):
        inspector.pictures([branch], method="none")
    assert all(module.training for module in net.modules())
    assert all(torch.equal(one, before[name]) for name, one in net.state_dict().items())
    assert torch.equal(net.one.weight.grad, torch.ones_like(net.one.weight))
    assert net.two.weight.grad is None
    assert not any(one._forward_hooks or one._forward_pre_hooks or "forward" in vars(one) for one in net.modules())
    assert not net.calls.requires_grad
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(x, kept)


def test_a_rectification_in_place_whose_result_is_dropped_is_cut_too() -> None:
    net = Untidy().eval().to(REAL)
    x = image(12).to(REAL)
    inspector = Inspector(net, x, layers=["one", "two"])
    (makeup,) = inspector.makeups([inspector.branch("two:1", (3, 3))], most=EVERY)
    hidden = net.one(2 * x).relu()
    expected = [(hidden[0, c, 2:5, 2:5] * net.two.weight[1, c]).sum().item() for c in range(4)]
    found = {one.unit.channel: one.contribution for one in makeup.strongest}
    assert [found[c] for c in range(4)] == pytest.approx(expected)


class Small(nn.Module):
    """Convolution, nonlinearity, pool, dense layer, nonlinearity, dense layer; unit 0 is on, 1 is off, 2 is 0 everywhere."""

    def __init__(self, nonlinearity: type[nn.Module]) -> None:
        super().__init__()
        self.a, self.f, self.b, self.g, self.c = (
            nn.Conv2d(3, 4, 3),
            nonlinearity(),
            nn.Linear(4, 6),
            nonlinearity(),
            nn.Linear(6, 2),
        )
        with torch.no_grad():
            self.b.weight[0], self.b.weight[1] = self.b.weight[0].abs() * 50, -self.b.weight[1].abs() * 50
            self.a.bias[2] = -20.0

    def forward(self, x: Tensor) -> Tensor:
        return self.c(self.g(self.b(self.f(self.a(x)).mean((2, 3)))))


METHODS = ("guided", "gradient", "deconv", "guided_neg", "lrp")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("nonlinearity", [nn.ReLU, nn.ReLU6, nn.Hardswish, nn.GELU, nn.LeakyReLU, nn.Hardtanh])
def test_a_unit_has_a_tree_whatever_its_nonlinearity_makes_of_it(nonlinearity, method):
    look = Inspector(Small(nonlinearity).eval(), image(9) + 1)
    for unit in ("a:2", "b:0", "b:1"):
        root = grow(look, look.branch(unit), children=4, depth=3, method=method)
        made = root.makeup
        total = sum(feed.contribution for feed in made.feeds)
        assert made.value == pytest.approx(total + made.rest, rel=1e-4)
        assert sum(feed.share for feed in made.feeds) == pytest.approx(1)
        assert all(np.isfinite(node.picture.values).all() for node in root.nodes())


def test_a_unit_that_is_off_says_what_holds_it_down_and_what_makes_that():
    look = Inspector(Small(nn.ReLU).eval(), image(9) + 1)
    root = grow(look, look.branch("b:1"), children=4, depth=1, method="guided")
    assert root.off
    assert root.activation == 0
    assert root.makeup.value < 0
    holders = [child for child in root.children if child.contribution.contribution < 0]
    assert root.makeup.held_down_by[0] == str(holders[0].branch.last)
    for child in holders:
        assert child.makeup.value > 0
        assert child.picture.values.any()
    (alone,) = look.pictures([look.branch("b:1")])
    (opposite,) = Inspector(negated(look.module), look.inputs).pictures([look.branch("b:1")])
    assert np.allclose(alone.values, opposite.values, atol=1e-6)


def negated(net: Small) -> Small:
    """The same where all of what makes b's sums has the other sign."""
    other = copy.deepcopy(net)
    with torch.no_grad():
        other.b.weight.neg_()
        other.b.bias.neg_()
    return other


def test_a_unit_that_the_bias_alone_holds_down_says_so():
    net = nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU(), nn.Conv2d(2, 2, 1), nn.ReLU()).eval()
    nn.init.constant_(net[0].bias, -100.0)
    nn.init.constant_(net[2].bias, -1.0)
    look = Inspector(net, image(4))
    root = grow(look, look.branch("2:0"), children=4, depth=2, method="guided")
    assert (root.makeup.value, root.makeup.rest, root.children) == (-1, -1, ())
    assert root.makeup.held_down_by == (BIAS,)
    assert look.uses("0:0") == {}
    (effect,) = look.effects([[Change(Unit("0", 0))]], [(Unit("2", 1), (0, 0))])
    assert effect.before == effect.after == (0.0,)


def test_a_unit_at_its_ceiling_shows_what_drives_it_there():
    look = Inspector(Small(nn.ReLU6).eval(), 20 * (image(9) + 1))
    with torch.no_grad():
        look.module.b.weight[0] *= 100
    root = grow(look, look.branch("b:0"), children=4, depth=1, method="guided")
    assert root.activation == 6
    assert root.makeup.value > 6
    assert not root.off
    assert root.picture.values.any()


def test_in_a_mean_over_images_a_unit_is_held_down_only_where_it_is_off_in_all():
    net = nn.Sequential(nn.Conv2d(3, 1, 1, bias=False), nn.ReLU()).eval()
    nn.init.constant_(net[0].weight, 1.0)
    both = torch.stack([torch.ones(3, 2, 2), -torch.ones(3, 2, 2)])
    for inputs, activation, sign in ((both, 1.5, 1), (-both.abs(), 0, -1)):
        look = Inspector(net, inputs)
        root = grow(look, look.branch("0:0"), children=2, depth=1, method="gradient")
        assert (root.activation, root.off) == (activation, activation == 0)
        assert np.sign(root.picture.values.sum()) == sign


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_an_image_that_is_not_finite_is_refused(value):
    broken = image(9)
    broken[0, 0, 0, 0] = value
    net = Small(nn.ReLU).eval()
    for ask in (lambda: Inspector(net, broken), lambda: Inspector(net, image(9)).on(broken)):
        with pytest.raises(OptionError, match="NaN or infinite"):
            ask()


def test_a_unit_that_a_network_makes_not_finite_is_named():
    net = Small(nn.ReLU).eval()
    with torch.no_grad():
        net.b.weight[3] = torch.nan
    look = Inspector(net, image(9))
    assert "b:3" not in [str(one.unit) for one in look.strongest("b")]
    with pytest.raises(ModelError, match="unit b:3 is nan"):
        look.makeups([look.branch("b:3")])
