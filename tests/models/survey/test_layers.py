from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from torchlurk.errors import ModelError, UnitError
from torchlurk.models.survey.layers import choose, survey
from torchlurk.records import Layer

IMAGE = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))


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


def layer(module: nn.Module, name: str, **options: Any) -> Layer:
    return survey(module, IMAGE, **options).layer(name)


def default(module: nn.Module, inputs: Tensor = IMAGE) -> list[str]:
    return [one.name for one in choose(survey(module, inputs).layers)]


@pytest.mark.parametrize(
    "activate",
    [
        F.relu,
        torch.relu,
        torch.relu_,
        Tensor.relu_,
        lambda x: F.relu(x, inplace=True),
        lambda x: x.clamp(min=0),
        lambda x: torch.maximum(x, torch.zeros(())),
        torch.ops.aten.relu,
    ],
)
def test_a_unit_is_read_after_the_functional_relu_that_follows(activate: Callable[[Tensor], Tensor]) -> None:
    found = layer(Net(lambda net, x: activate(net.a(x)), a=conv()), "a")
    assert (found.nonlinearity, found.read_after) == ("relu", ("relu",))
    assert found.read_at[0].endswith("()")


def test_the_result_of_an_in_place_relu_may_be_dropped() -> None:
    def functional(net: Net, x: Tensor) -> Tensor:
        y = net.a(x)
        F.relu_(y)
        return net.b(y)

    def module(net: Net, x: Tensor) -> Tensor:
        y = net.a(x)
        net.act(y)
        return net.b(y)

    assert layer(Net(functional, a=conv(), b=conv(4)), "a").read_at == ("relu()",)
    assert layer(Net(module, a=conv(), b=conv(4), act=nn.ReLU(inplace=True)), "a").read_at == ("act",)


@pytest.mark.parametrize(
    ("module", "name"), [(nn.GELU(), "gelu"), (nn.SiLU(inplace=True), "silu"), (nn.ReLU6(), "relu6"), (nn.PReLU(), "prelu")]
)
def test_other_nonlinearities_are_named(module: nn.Module, name: str) -> None:
    found = layer(nn.Sequential(conv(), module), "0")
    assert (found.nonlinearity, found.read_after, found.read_at) == (name, (name,), ("1",))


def test_one_relu_used_five_times_belongs_to_each_layer_call_by_call() -> None:
    def run(net: Net, x: Tensor) -> Tensor:
        for name in "abcde":
            x = net.act(getattr(net, name)(x))
        return x

    found = survey(Net(run, act=nn.ReLU(inplace=True), **{name: conv(3, 3) for name in "abcde"}), IMAGE)
    assert [(one.name, one.read_at) for one in choose(found.layers)] == [(name, ("act",)) for name in "abcde"]
    assert [one.name for one in found.layers if one.type == "ReLU"] == ["act", "act#1", "act#2", "act#3", "act#4"]


def test_a_batch_normalization_after_a_convolution_belongs_to_it() -> None:
    module = nn.Sequential(conv(), nn.BatchNorm2d(4), nn.Dropout(), nn.ReLU(), conv(4), nn.BatchNorm2d(4))
    assert layer(module, "0").read_after == ("batch_norm", "relu")
    assert layer(module, "0").read_at == ("1", "3")
    assert layer(module, "4").read_after == ("batch_norm",)
    assert layer(module, "4").nonlinearity is None
    assert layer(module, "1").read_after == ("relu",)
    assert layer(module, "0", tap="output").read_after == ()


def test_a_functional_batch_normalization_belongs_to_it_too() -> None:
    def run(net: Net, x: Tensor) -> Tensor:
        x = F.batch_norm(net.a(x), net.norm.running_mean, net.norm.running_var)
        return net.act(x)

    found = layer(Net(run, a=conv(), norm=nn.BatchNorm2d(4), act=nn.ReLU()), "a")
    assert (found.read_after, found.read_at) == (("batch_norm", "relu"), ("batch_norm()", "act"))


def test_a_layer_normalization_is_not_taken_along() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(768, 8), nn.LayerNorm(8), nn.ReLU())
    assert layer(module, "1").read_after == ()


def test_a_relu_that_is_not_the_only_consumer_does_not_belong_to_the_layer() -> None:
    def run(net: Net, x: Tensor) -> Tensor:
        y = net.a(x)
        return F.relu(y) + y

    assert layer(Net(run, a=conv()), "a").read_after == ()


def test_what_no_output_depends_on_is_no_consumer() -> None:
    def run(net: Net, x: Tensor) -> Tensor:
        y = net.a(x)
        return F.relu(y) if y.sum() > -1e9 else y

    assert layer(Net(run, a=conv()), "a").read_after == ("relu",)


def test_an_output_given_back_before_the_relu_is_read_before_it() -> None:
    def run(net: Net, x: Tensor) -> list[Tensor]:
        y = net.a(x)
        return [y, F.relu(y)]

    assert layer(Net(run, a=conv()), "a").read_after == ()


class Swish(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(x)


def test_a_nonlinearity_written_as_arithmetic_counts_as_one() -> None:
    module = nn.Sequential(conv(), nn.BatchNorm2d(4), Swish())
    assert (layer(module, "0").read_after, layer(module, "0").read_at) == (("batch_norm", "swish"), ("1", "2"))
    written = layer(Net(lambda net, x: (lambda y: y * torch.sigmoid(y))(net.a(x)), a=conv()), "a")
    assert (written.nonlinearity, written.read_at) == ("silu", ("sigmoid()", "mul()"))


class Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = conv(channels, channels)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        y += x
        return self.act(y)


class Concatenation(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = conv(), conv()

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.left(x), self.right(x)], 1)


def test_layers_by_default_mix_channels_or_join_branches() -> None:
    module = nn.Sequential(
        OrderedDict(stem=conv(3, 4), body=nn.Sequential(Block(4), nn.MaxPool2d(2)), flat=nn.Flatten(), head=nn.Linear(256, 5))
    )
    assert default(module) == ["stem", "body.0.conv", "body.0", "head"]
    assert default(Concatenation()) == ["left", "right"]
    every = [one.name for one in survey(module, IMAGE).layers]
    assert every == ["stem", "body.0.conv", "body.0.act", "body.0", "body.1", "body", "flat", "head"]
    assert layer(module, "body.0").read_after == ()


class Own(nn.Module):
    """Owns its parameters and calls the functions itself."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(6, 3, 3, 3))
        self.matrix = nn.Parameter(torch.randn(6, 5))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.kernel).mean((2, 3)) @ self.matrix


class Scale(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(4, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


def test_a_module_of_the_users_own_with_kernels_is_a_layer_and_one_that_only_scales_is_not() -> None:
    assert default(nn.Sequential(Own(), nn.ReLU())) == ["0"]
    assert default(nn.Sequential(conv(), Scale())) == ["0"]
    assert default(Own()) == ["model"]


def test_a_module_called_several_times_and_one_registered_twice() -> None:
    def run(net: Net, x: Tensor) -> Tensor:
        return net.b(F.relu(net.a(net.a(x))))

    shared = conv(3, 3)
    found = survey(Net(run, a=shared, b=shared), IMAGE)
    assert [(one.name, one.nonlinearity) for one in found.layers] == [("a", None), ("a#1", "relu"), ("a#2", None)]


@dataclass
class Answer:
    logits: Tensor
    hidden: tuple[Tensor, ...]


@pytest.mark.parametrize(
    "pack",
    [lambda y: [y, y.mean()], lambda y: {"out": y}, lambda y: (y, None), lambda y: Answer(y, (y,)), lambda y: {"a": [y]}],
)
def test_a_forward_may_give_back_lists_dicts_and_dataclasses(pack: Callable[[Tensor], Any]) -> None:
    module = Net(lambda net, x: pack(F.relu(net.a(x))), a=conv())
    assert layer(module, "a").nonlinearity == "relu"


@pytest.mark.parametrize(
    ("module", "inputs", "name", "layout", "shape", "axis"),
    [
        (nn.Sequential(conv()), (3, 16, 12), "0", "spatial", (16, 12), 1),
        (nn.Sequential(nn.Linear(7, 4)), (7,), "0", "vector", (), 1),
        (nn.Sequential(nn.Linear(7, 4)), (9, 7), "0", "tokens", (9,), -1),
        (nn.Sequential(nn.Linear(7, 4)), (8, 8, 7), "0", "spatial", (8, 8), -1),
        (nn.Sequential(nn.Conv1d(3, 4, 3)), (3, 20), "0", "sequence", (18,), 1),
        (nn.Sequential(nn.ConvTranspose2d(3, 4, 2, 2), nn.ReLU()), (3, 4, 4), "0", "spatial", (8, 8), 1),
    ],
)
def test_layouts(module: nn.Module, inputs: tuple[int, ...], name: str, layout: str, shape: tuple[int, ...], axis: int) -> None:
    found = survey(module, torch.randn(2, *inputs)).layer(name)
    assert (found.layout, found.shape, found.channel_axis, found.channels) == (layout, shape, axis, 4)


def windows(x: Tensor) -> Tensor:
    batch, channels, height, width = x.shape
    tiles = x.view(batch, channels, height // 4, 4, width // 4, 4).permute(0, 2, 4, 3, 5, 1)
    return tiles.reshape(-1, 16, channels)


def test_windows_folded_into_the_batch_are_tokens_of_one_map() -> None:
    found = layer(Net(lambda net, x: net.a(windows(x)), a=nn.Linear(3, 5)), "a")
    assert (found.layout, found.shape, found.channels) == ("tokens", (256,), 5)


def test_a_layer_whose_output_does_not_hold_example_after_example_is_passed_over() -> None:
    module = Net(lambda net, x: net.b(net.a(x.permute(2, 3, 0, 1)).mean((0, 1))), a=nn.Linear(3, 5), b=nn.Linear(5, 2))
    found = survey(module, IMAGE)
    assert [one.name for one in found.layers] == ["b"]
    assert [one.path for one in found.skipped] == ["a"]


def test_a_layer_whose_examples_are_on_the_second_axis_is_read() -> None:
    module = Net(lambda net, x: net.b(net.a(x.flatten(2).permute(2, 0, 1)).mean(0)), a=nn.Linear(3, 5), b=nn.Linear(5, 2))
    found = survey(module, IMAGE).layer("a")
    assert (found.layout, found.batch_axis, found.shape) == ("tokens", 1, (256,))


def test_recurrent_layers_above_pictures_are_read_and_volumetric_ones_passed_over_with_a_reason() -> None:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.LSTM(48, 8, batch_first=True)
            self.volume = nn.Conv3d(1, 2, 1)
            self.head = nn.Linear(8, 2)

        def forward(self, x: Tensor) -> Tensor:
            self.volume(x[:, None])
            return self.head(self.rnn(x.permute(0, 2, 1, 3).flatten(2))[0][:, -1])

    found = survey(Recurrent(), IMAGE)
    assert default(Recurrent()) == [*(f"rnn.l0{stream}" for stream in ("", ".c", ".i", ".f", ".g", ".o")), "head"]
    assert found.layer("rnn.l0").shape == (16,)
    assert {one.path: one.reason for one in found.skipped} == {"volume": "its output has 5 axes"}


def test_attention_is_a_layer_of_tokens() -> None:
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attend = nn.MultiheadAttention(4, 2, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            tokens = x[:, :1].flatten(2).unflatten(2, (64, 4))[:, 0]
            return self.attend(tokens, tokens, tokens)[0]

    found = layer(Attention(), "attend")
    assert (found.layout, found.shape, found.channels) == ("tokens", (64,), 4)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_a_traced_module_is_one_layer_and_a_traced_model_is_refused() -> None:
    traced = torch.jit.trace(conv(3, 3), IMAGE, check_trace=False)
    assert default(nn.Sequential(traced, nn.ReLU(), conv())) == ["0", "2"]
    with pytest.raises(ModelError, match="scripted or traced"):
        survey(traced, IMAGE)


def test_globs_choose_among_default_layers_and_exact_names_among_all() -> None:
    layers = survey(nn.Sequential(conv(), nn.BatchNorm2d(4), nn.ReLU(), Block(4)), IMAGE).layers
    assert [one.name for one in choose(layers, ["*"])] == ["0", "3.conv", "3"]
    assert [one.name for one in choose(layers, ["2", "3*"])] == ["2", "3.conv", "3"]
    with pytest.raises(UnitError, match=r"no layer matches '3\.cnv'; nearest: 3\.conv"):
        choose(layers, ["3.cnv"])
    with pytest.raises(UnitError, match="no layer matches 'x"):
        choose(layers, ["x*"])


class TwoInputs(nn.Module):
    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        return image * mask


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.Sequential(nn.Conv2d(4, 2, 1)), "Sequential cannot run on an input of 3×16×16: RuntimeError"),
        (TwoInputs(), r"needs 2 inputs \(image, mask\)"),
        (nn.Sequential(nn.LazyConv2d(3, 1)), "lazy"),
        (Net(lambda net, x: x.sum()), "no layer whose output has channels"),
    ],
)
def test_what_cannot_be_surveyed_is_refused_in_one_sentence(module: nn.Module, message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        survey(module, IMAGE)
    assert "\n" not in str(caught.value)


def state(module: nn.Module) -> tuple[Any, ...]:
    """All that a survey must leave alone."""
    tensors = {name: value.clone() for name, value in module.state_dict().items()}
    hooks = [(len(one._forward_hooks), len(one._forward_pre_hooks), len(one._backward_hooks)) for one in module.modules()]
    flags = [(one.training, getattr(one, "inplace", None)) for one in module.modules()]
    return tensors, hooks, flags, torch.get_rng_state()


def assert_same(before: tuple[Any, ...], after: tuple[Any, ...]) -> None:
    assert before[0].keys() == after[0].keys()
    assert all(torch.equal(before[0][name], after[0][name]) for name in before[0])
    assert before[1:3] == after[1:3]
    assert torch.equal(before[3], after[3])


class Restless(nn.Module):
    """Draws random numbers and counts its calls, in evaluation mode too."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(()))
        self.register_buffer("last", torch.zeros(()))
        self.fail = False

    def forward(self, x: Tensor) -> Tensor:
        self.count += 1
        self.last = x.mean()
        if self.fail:
            raise ValueError("the middle of a pass")
        return x + torch.randn_like(x) * 1e-6


@pytest.mark.parametrize("fail", [False, True])
def test_the_model_is_left_as_found(fail: bool) -> None:
    module = nn.Sequential(conv(), nn.BatchNorm2d(4), nn.ReLU(inplace=True), Restless(), nn.Dropout(), Block(4))
    module[1].eval()
    module[3].fail = fail
    module[0].register_forward_hook(lambda *_: None)
    before = state(module)
    if fail:
        with pytest.raises(ModelError, match="ValueError: the middle of a pass"):
            survey(module, IMAGE)
    else:
        survey(module, IMAGE)
    assert_same(before, state(module))


def test_a_survey_may_be_made_within_inference_mode() -> None:
    with torch.inference_mode():
        assert layer(nn.Sequential(conv(), nn.ReLU(inplace=True)), "0").nonlinearity == "relu"


def test_hooks_of_the_user_take_part() -> None:
    module = nn.Sequential(conv(), nn.ReLU())
    module[0].register_forward_hook(lambda module, args, output: output * 2)
    module[1].register_full_backward_hook(lambda *_: None)
    assert layer(module, "0").read_at == ("1",)


def test_a_model_that_catches_its_own_errors_is_followed() -> None:
    class Broken(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise ValueError("no")

    def run(net: Net, x: Tensor) -> Tensor:
        try:
            return net.broken(x)
        except ValueError:
            return F.relu(net.a(x))

    assert layer(Net(run, broken=Broken(), a=conv()), "a").nonlinearity == "relu"


def test_receptive_field_and_parameters_are_filled_in() -> None:
    found = layer(nn.Sequential(conv(3, 4), nn.MaxPool2d(2), conv(4, 2)), "2")
    assert (found.receptive_field, found.stride, found.parameters) == ((8, 8), (2, 2), 74)


class OneOfTwo(nn.Module):
    """A head beside the way of the data, and one that only bright examples reach."""

    def __init__(self, attends: bool = False) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)
        self.auxiliary = nn.Sequential(nn.Conv2d(4, 2, 1), nn.Linear(2, 2))
        self.bright = nn.Linear(4, 3)
        self.tied = nn.Linear(4, 4, bias=False)

    def forward(self, x):
        maps = self.stem(x).relu()
        rows = torch.nn.functional.linear(maps.mean((2, 3)), self.tied.weight)
        bright = x.mean((1, 2, 3)) > 0.5
        out = x.new_zeros(len(x), 3)
        if bright.any():
            out[bright] = self.bright(rows[bright])
        return out + rows.sum()


def test_modules_that_the_first_example_does_not_reach_are_named():
    told = {one.path: one.reason for one in survey(OneOfTwo(), torch.zeros(1, 3, 8, 8)).skipped}
    assert told == dict.fromkeys(["auxiliary", "bright"], "the first example does not reach it")


def test_modules_used_through_their_weights_alone_are_not_called_unreached():
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    found = survey(nn.Sequential(nn.Conv2d(3, 8, 4, 4), nn.Flatten(2), Transposed(), layer), torch.rand(1, 3, 8, 8))
    assert [one.path for one in found.skipped if "reach" in one.reason] == []


class Transposed(nn.Module):
    def forward(self, x):
        return x.transpose(1, 2)
