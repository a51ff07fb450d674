from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from torchlurk.models.survey.layers import choose, survey
from torchlurk.models.taps.as_found import evaluation
from torchlurk.models.taps.reading import maps, reading
from torchlurk.records import Layer

IMAGES = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))


class Net(nn.Module):
    """A network with the given parts and forward code, so that each test shows its own."""

    def __init__(self, run: Callable[..., Any], **parts: nn.Module) -> None:
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)
        self.run = run

    def forward(self, x: Tensor) -> Any:
        return self.run(self, x)


def conv(inputs: int = 3, outputs: int = 4) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)


def normalized(channels: int) -> nn.BatchNorm2d:
    """A batch normalization whose statistics are not the initial ones."""
    module = nn.BatchNorm2d(channels)
    for tensor in (module.running_mean, module.running_var, module.weight, module.bias):
        nn.init.uniform_(tensor, 0.5, 1.5)
    return module


def read(module: nn.Module, layers: list[Layer], inputs: Tensor = IMAGES) -> tuple[Any, dict[str, list[Tensor]]]:
    """The output, and for each layer the maps that were delivered."""
    found: dict[str, list[Tensor]] = {}
    with reading(module, layers, lambda layer, tensor: found.setdefault(layer.name, []).append(maps(layer, tensor).clone())):
        output = module(inputs)
    return output, found


def chosen(module: nn.Module, *globs: str, inputs: Tensor = IMAGES) -> list[Layer]:
    return list(choose(survey(module, inputs).layers, globs))


def equal(one: Tensor, other: Tensor) -> bool:
    return torch.equal(one, other)


class Everything(nn.Module):
    """Batch norm folded, in-place and functional nonlinearities, a join, a shared module, a linear head."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.norm, self.b, self.c = conv(3, 4), normalized(4), conv(4, 4), conv(4, 4)
        self.act = nn.ReLU(inplace=True)
        self.head = nn.Linear(4, 6)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.norm(self.a(x)))
        y = self.b(x)
        F.gelu(y)
        y = F.silu(y, inplace=True)
        y += x
        z = self.c(y)
        z.relu_()
        return self.head(z.mean((2, 3)))


@pytest.mark.parametrize("context", [torch.inference_mode, torch.no_grad, torch.enable_grad])
def test_what_is_delivered_is_what_the_formulas_say(context: Callable[[], Any]) -> None:
    module = Everything().eval()
    layers = chosen(module)
    with context():
        plain = module(IMAGES)
        output, found = read(module, layers)
        a = F.relu(module.norm(module.a(IMAGES)))
        b = F.silu(module.b(a))
        c = F.relu(module.c(b + a))
    assert equal(plain, output)
    expected = {"a": a, "b": b, "c": c, "head": plain}
    assert found.keys() == expected.keys()
    assert all(equal(found[name][0], expected[name]) and len(found[name]) == 1 for name in expected)


def test_with_the_output_tap_each_layer_is_read_before_anything_overwrites_it() -> None:
    module = Everything().eval()
    layers = list(choose(survey(module, IMAGES, tap="output").layers))
    with torch.no_grad():
        _, found = read(module, layers)
        assert equal(found["a"][0], module.a(IMAGES))
        assert equal(found["b"][0], module.b(F.relu(module.norm(module.a(IMAGES)))))


def test_one_relu_used_five_times_delivers_five_layers() -> None:
    def run(net: Net, x: Tensor) -> Tensor:
        for name in "abcde":
            x = net.act(getattr(net, name)(x))
        return x

    module = Net(run, act=nn.ReLU(inplace=True), **{name: conv(3, 3) for name in "abcde"})
    with torch.no_grad():
        _, found = read(module, chosen(module))
        x = IMAGES
        for name in "abcde":
            x = F.relu(module.get_submodule(name)(x))
            assert equal(found[name][0], x)


def test_each_call_of_a_module_is_a_layer_of_its_own() -> None:
    module = Net(lambda net, x: net.a(torch.tanh(net.a(x))), a=conv(3, 3))
    with torch.no_grad():
        for _ in range(2):
            _, found = read(module, chosen(module))
            first = torch.tanh(module.a(IMAGES))
            assert equal(found["a"][0], first)
            assert equal(found["a#1"][0], module.a(first))
        assert read(module, chosen(module, "a#1"))[1].keys() == {"a#1"}


def test_a_layer_that_a_pass_does_not_reach_delivers_nothing() -> None:
    def run(net: Net, x: Tensor) -> Tensor:
        x = F.relu(net.a(x))
        return net.b(x) if x.sum() > 0 else x

    module = Net(run, a=conv(3, 3), b=conv(3, 3))
    nn.init.constant_(module.a.bias, 1.0)
    layers = chosen(module)
    assert [layer.name for layer in layers] == ["a", "b"]
    with torch.no_grad():
        assert read(module, layers)[1].keys() == {"a", "b"}
        nn.init.constant_(module.a.bias, -1e6)
        assert read(module, layers)[1].keys() == {"a"}


def test_a_nonlinearity_that_a_pass_leaves_out_delivers_nothing_and_confuses_nothing() -> None:
    def run(net: Net, x: Tensor) -> Tensor:
        y = net.a(x)
        return net.b(F.relu(y) if x.mean() > -10 else y)

    module = Net(run, a=conv(3, 3), b=conv(3, 3))
    layers = chosen(module)
    with torch.no_grad():
        assert read(module, layers)[1].keys() == {"a", "b"}
        assert read(module, layers, IMAGES - 100)[1].keys() == {"b"}


@pytest.mark.parametrize("pack", [lambda y: [y, y], lambda y: {"out": y}, lambda y: (y, None)])
def test_any_structure_of_output_is_given_back_as_it_is(pack: Callable[[Tensor], Any]) -> None:
    module = Net(lambda net, x: pack(F.relu(net.a(x))), a=conv())
    output, found = read(module, chosen(module))
    assert type(output) is type(pack(IMAGES))
    assert found.keys() == {"a"}


def test_a_nonlinearity_made_of_arithmetic_is_followed() -> None:
    class Swish(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * torch.sigmoid(x)

    def run(net: Net, x: Tensor) -> Tensor:
        y = net.swish(F.batch_norm(net.a(x), net.norm.running_mean, net.norm.running_var))
        z = net.b(y)
        return z * z.sigmoid()

    module = Net(run, a=conv(), b=conv(4), norm=normalized(4), swish=Swish()).eval()
    with torch.no_grad():
        output, found = read(module, chosen(module))
        a = F.batch_norm(module.a(IMAGES), module.norm.running_mean, module.norm.running_var)
    assert equal(found["a"][0], a * torch.sigmoid(a))
    assert equal(found["b"][0], output)


def test_hooks_of_the_user_take_part_and_stay() -> None:
    module = nn.Sequential(conv(), nn.ReLU(), conv(4))
    calls: list[str] = []
    module[0].register_forward_hook(lambda module, args, output: output * 2)
    module[0].register_full_backward_hook(lambda *_: calls.append("conv"))
    module[1].register_full_backward_hook(lambda *_: calls.append("relu"))
    layers = chosen(module)
    inputs = IMAGES.clone().requires_grad_()
    output, found = read(module, layers, inputs)
    expected = F.relu(2 * F.conv2d(IMAGES, module[0].weight, module[0].bias, padding=1))
    assert equal(found["0"][0], expected)
    output.sum().backward()
    assert calls == ["relu", "conv"]
    assert [len(one._forward_hooks) for one in module] == [1, 0, 0]


def test_gradients_are_those_without_taps() -> None:
    module = Everything().eval()
    layers = chosen(module)
    gradients = []
    for taps in (False, True):
        inputs = IMAGES.clone().requires_grad_()
        (read(module, layers, inputs)[0] if taps else module(inputs)).square().sum().backward()
        gradients.append(inputs.grad)
    assert equal(gradients[0], gradients[1])


def test_attention_takes_its_fast_path_as_without_taps() -> None:
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.attend, self.head = nn.Linear(48, 16), nn.MultiheadAttention(16, 2, batch_first=True), conv(1)

        def forward(self, x: Tensor) -> Tensor:
            tokens = F.gelu(self.embed(x.permute(0, 2, 1, 3).flatten(2)))
            attended = self.attend(tokens, tokens, tokens, need_weights=False)[0]
            return F.relu(self.head(attended[:, None]))

    module = Attention().eval()
    layers = chosen(module)
    assert [layer.name for layer in layers] == ["embed", "attend", "head"]
    with torch.inference_mode():
        plain = module(IMAGES)
        output, found = read(module, layers)
    assert equal(plain, output)
    assert found.keys() == {"embed", "attend", "head"}
    assert not torch.overrides.has_torch_function((IMAGES,))


def test_windows_come_as_one_map_and_channels_last_moves_without_a_copy() -> None:
    def run(net: Net, x: Tensor) -> Tensor:
        tiles = x.view(-1, 3, 4, 4, 4, 4).permute(0, 2, 4, 3, 5, 1).reshape(-1, 16, 3)
        return net.b(net.a(tiles).view(-1, 16, 16, 5))

    module = Net(run, a=nn.Linear(3, 5), b=nn.Linear(5, 7))
    layers = chosen(module)
    delivered: dict[str, Tensor] = {}
    with reading(module, layers, lambda layer, tensor: delivered.update({layer.name: tensor})), torch.no_grad():
        module(IMAGES)
    for layer in layers:
        arranged = maps(layer, delivered[layer.name])
        assert arranged.shape == (4, layer.channels, *layer.shape)
        assert arranged.data_ptr() == delivered[layer.name].data_ptr()
    assert equal(maps(layers[0], delivered["a"])[1, :, 17], delivered["a"][16 + 1, 1])
    assert equal(maps(layers[1], delivered["b"])[1, :, 2, 3], delivered["b"][1, 2, 3])


def test_a_pass_may_end_at_the_deepest_chosen_layer() -> None:
    seen: list[str] = []
    module = nn.Sequential(conv(), nn.ReLU(), conv(4), nn.ReLU(), conv(4))
    module[4].register_forward_hook(lambda *_: seen.append("too deep"))
    layers = chosen(module, "0", "2")
    seen.clear()
    with reading(module, layers, lambda layer, _: seen.append(layer.name), stop_after_last=True):
        module(IMAGES)
        pytest.fail("the pass went on")
    assert seen == ["0", "2"]


@pytest.mark.parametrize("functional", [False, True])
def test_the_model_is_left_as_found_after_success_and_after_an_error(functional: bool) -> None:
    class Failing(nn.Module):
        fail = False

        def forward(self, x: Tensor) -> Tensor:
            if self.fail:
                raise ValueError("in the middle")
            return F.relu(x) if functional else x

    module = nn.Sequential(conv(), nn.BatchNorm2d(4), Failing(), nn.ReLU(), conv(4), nn.ReLU(inplace=True))
    layers = chosen(module)

    def state() -> list[Any]:
        hooks = [(len(one._forward_hooks), len(one._forward_pre_hooks), "forward" in vars(one)) for one in module.modules()]
        return [hooks, [(one.training, getattr(one, "inplace", None)) for one in module.modules()], vars(module[0]).keys()]

    before, random = state(), torch.get_rng_state()
    module.eval()
    weights = {name: value.clone() for name, value in module.state_dict().items()}
    read(module, layers)
    module[2].fail = True
    with pytest.raises(ValueError, match="in the middle"):
        read(module, layers)
    module[2].fail = False
    with pytest.raises(ZeroDivisionError), reading(module, layers, lambda *_: 1 / 0):
        module(IMAGES)
    module.train()
    assert state() == before
    assert equal(torch.get_rng_state(), random)
    assert all(equal(value, weights[name]) for name, value in module.state_dict().items())
    assert torch.overrides._get_current_function_mode_stack() == []


def test_evaluation_restores_each_training_flag_also_after_an_error() -> None:
    module = nn.Sequential(nn.Dropout(), nn.BatchNorm2d(3), nn.Sequential(nn.Dropout()))
    module[1].eval()
    before = [one.training for one in module.modules()]
    with evaluation(module):
        assert not any(one.training for one in module.modules())
    assert [one.training for one in module.modules()] == before
    with pytest.raises(ZeroDivisionError), evaluation(module):
        _ = 1 / 0
    assert [one.training for one in module.modules()] == before


def test_what_deliver_computes_is_not_taken_for_the_model() -> None:
    module = Net(lambda net, x: net.b(F.relu(net.block(x))), block=nn.Sequential(conv(), nn.Identity()), b=conv(4))
    after = chosen(module, "block.0")
    before = choose(survey(module, IMAGES, tap="output").layers, ["block"])
    found: dict[str, Tensor] = {}

    def deliver(layer: Layer, tensor: Tensor) -> None:
        F.relu(tensor)
        found[layer.name] = tensor.clone()

    with reading(module, [*after, *before], deliver), torch.no_grad():
        module(IMAGES)
    assert list(found) == ["block", "block.0"]
    assert equal(found["block.0"], F.relu(found["block"]))


def test_a_relu_of_something_else_in_between_is_not_taken_for_the_layers_own() -> None:
    def run(net: Net, x: Tensor) -> Tensor:
        y = net.a(x)
        z = F.relu(net.b(x))
        return F.relu(y) + net.act(z - 1) * net.act(net.c(x))

    module = Net(run, a=conv(), b=conv(), c=conv(), act=nn.ReLU())
    with torch.no_grad():
        found = read(module, chosen(module))[1]
        for name in "abc":
            assert equal(found[name][0], F.relu(module.get_submodule(name)(IMAGES)))


def test_every_pass_within_one_block_delivers_each_call_anew() -> None:
    module = Net(lambda net, x: net.a(torch.tanh(net.a(x))), a=conv(3, 3))
    names: list[str] = []
    with reading(module, chosen(module), lambda layer, _: names.append(layer.name)), torch.no_grad():
        for _ in range(3):
            module(IMAGES)
    assert names == ["a", "a#1"] * 3


def clamping(found: dict[str, list[Tensor]]) -> Callable[[Layer, Tensor, float], None]:
    """Does what the module would have done, and keeps the maps under the layer's name."""

    def rectify(layer: Layer, before: Tensor, ceiling: float) -> None:
        found.setdefault(layer.name, []).append(maps(layer, before.clamp_(0, ceiling)).clone())

    return rectify


def rectifying() -> nn.Sequential:
    in_place = [nn.ReLU(inplace=True), nn.ReLU6(inplace=True)]
    return nn.Sequential(conv(), in_place[0], conv(4, 5), normalized(5), in_place[1], conv(5, 6), nn.ReLU(), conv(6, 7))


def test_an_in_place_relu_is_done_on_the_way_with_the_same_outcome() -> None:
    net = rectifying().eval()
    layers = list(choose(survey(net, IMAGES).layers))
    expected_output, expected = read(net, layers, IMAGES * 9)
    plain: dict[str, list[Tensor]] = {}
    fused: dict[str, list[Tensor]] = {}
    deliver = lambda layer, tensor: plain.setdefault(layer.name, []).append(maps(layer, tensor).clone())  # noqa: E731
    with torch.inference_mode(), reading(net, layers, deliver, rectify=clamping(fused)):
        output = net(IMAGES * 9)
    assert torch.equal(output, expected_output)
    assert not set(plain) & set(fused)
    assert set(fused) == {"0", "2"}  # the others are followed by a ReLU that is not in place, or by none
    for name, one in (plain | fused).items():
        assert torch.equal(one[0], expected[name][0])
        assert len(one) == 1
    assert set(plain | fused) == set(expected)


@pytest.mark.parametrize("fails", [False, True])
def test_what_stands_in_for_a_relu_goes_again(fails: bool) -> None:
    net = rectifying().eval()
    layers = list(choose(survey(net, IMAGES).layers))
    before = [sorted(vars(one)) for one in net.modules()]

    def rectify(layer: Layer, tensor: Tensor, ceiling: float) -> None:
        if fails:
            raise RuntimeError("stop")
        tensor.clamp_(0, ceiling)

    def run() -> None:
        with torch.inference_mode(), reading(net, layers, lambda *_: None, rectify=rectify):
            net(IMAGES)

    if fails:
        with pytest.raises(RuntimeError, match="stop"):
            run()
    else:
        run()
    assert [sorted(vars(one)) for one in net.modules()] == before


@pytest.mark.parametrize("kind", ["gradients", "own forward", "two layers", "bf16"])
def test_a_relu_runs_itself_where_no_one_can_stand_in(kind: str) -> None:
    net, inputs = rectifying().eval(), IMAGES * 9
    layers = list(survey(net, IMAGES).layers) if kind == "two layers" else list(choose(survey(net, IMAGES).layers))
    if kind == "own forward":
        relu = net[1]
        relu.forward = lambda x: nn.ReLU.forward(relu, x) + 1  # type: ignore[method-assign]
        relu6 = net[4]
        relu6.forward = lambda x: nn.ReLU6.forward(relu6, x) + 1  # type: ignore[method-assign]
    if kind == "bf16":
        net, inputs = net.to(torch.bfloat16), inputs.to(torch.bfloat16)
    fused: dict[str, list[Tensor]] = {}
    with torch.inference_mode():
        expected = net(inputs)
    with torch.inference_mode(kind != "gradients"), reading(net, layers, lambda *_: None, rectify=clamping(fused)):
        assert torch.equal(net(inputs), expected)
    assert fused == {} if kind != "two layers" else "2" not in fused
