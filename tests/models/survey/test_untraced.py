from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from torchlurk.models.survey.layers import Survey, choose, survey
from torchlurk.models.taps.as_found import as_found
from torchlurk.models.taps.reading import reading

IMAGE = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))


class Net(nn.Module):
    """A network with the given parts and forward code."""

    def __init__(self, run: Callable[..., Any], **parts: nn.Module) -> None:
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)
        self.run = run

    def forward(self, x: Tensor) -> Any:
        return self.run(self, x)


def conv(inputs: int = 3, outputs: int = 4) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)


def swish(x: Tensor) -> Tensor:
    return x * torch.sigmoid(x)


with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # torch would rather compile
    scripted_swish = torch.jit.script(swish)
    traced_swish = torch.jit.trace(swish, torch.zeros(1))


def through_numpy(x: Tensor) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(x.detach().numpy()))


def written_through_numpy(x: Tensor) -> Tensor:
    made = torch.empty(x.shape)
    made.numpy()[...] = 2 * x.numpy()
    return made


def beneath_the_modes(x: Tensor) -> Tensor:
    with torch._C.DisableTorchFunction():
        return 2 * x


def assigned_as_data(x: Tensor) -> Tensor:
    made = torch.empty(0)
    made.data = 2 * x
    return made


class ByNumpy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.from_numpy(np.maximum(x.numpy(), 0))

    @staticmethod
    def backward(ctx: Any, signal: Tensor) -> Tensor:
        return signal


HIDDEN = {
    "a scripted function": scripted_swish,
    "a traced function": traced_swish,
    "a compiled function": torch.compile(swish, backend="eager"),
    "a function on a lower level": beneath_the_modes,
    "vmap": torch.vmap(lambda x: 2 * x),
    "numpy": through_numpy,
    "numpy with a copy": lambda x: torch.as_tensor(2 * np.asarray(x)),
    "numpy writing into a tensor": written_through_numpy,
    "numpy in an autograd function": ByNumpy.apply,
    "a list": lambda x: torch.tensor(x.tolist()),
    "a list, by a constructor": lambda x: torch.FloatTensor(x.tolist()),
    "a list a row": lambda x: torch.stack([x.new_tensor(row.tolist()) for row in x]),
    "DLPack": torch.from_dlpack,
    "bytes": lambda x: torch.frombuffer(bytearray(x.numpy().tobytes()), dtype=x.dtype).reshape(x.shape),
    "copying into a constant": lambda x: torch.zeros(x.shape).copy_(through_numpy(2 * x)),
    "data": lambda x: x.data,
    "an assignment to data": assigned_as_data,
    "detach": Tensor.detach,
}


@pytest.mark.parametrize("way", HIDDEN.values(), ids=HIDDEN)
def test_layers_behind_what_no_function_mode_sees_are_found_and_read(way: Callable[[Tensor], Tensor]) -> None:
    net = Net(lambda net, x: net.fc(F.relu(net.b(way(net.a(x)))).mean((2, 3))), a=conv(), b=conv(4), fc=nn.Linear(4, 5))
    found = survey(net, IMAGE)
    layers = choose(found.layers)
    assert [one.name for one in layers] == ["a", "b", "fc"]
    assert reaches(found, "a", "b")
    fields = {one.name: one.receptive_field for one in layers}
    assert fields["a"] == (3, 3)
    assert fields["b"] in {None, (5, 5)}  # where the way is not known, a position may see everything
    read = []
    with torch.inference_mode(), as_found(net), reading(net, layers, lambda layer, _: read.append(layer.name)):
        net(IMAGE)
    assert read == ["a", "b", "fc"]


def reaches(found: Survey, source: str, target: str) -> bool:
    number = {node.name: node.id for node in found.graph.nodes}
    reached = {number[source]}
    for one, other in sorted(found.graph.edges):
        reached |= {other} if one in reached else set()
    return number[target] in reached


def test_a_layer_behind_numpy_alone_is_found() -> None:
    net = Net(lambda net, x: net.a(through_numpy(x)), a=conv())
    assert [one.name for one in survey(net, IMAGE).layers] == ["a"]


def test_constants_from_numpy_and_lists_are_no_part_of_the_network() -> None:
    grid = np.linspace(0, 1, 4, dtype=np.float32)[None, :, None, None]

    def run(net: Net, x: Tensor) -> Tensor:
        size = int(x.sum().isnan().item()) + 1  # control flow takes numbers out of torch, too
        x = F.relu(net.a(x)) + torch.from_numpy(grid) + torch.tensor([float(size)])
        return net.b(x * net.kept)

    net = Net(run, a=conv(), b=conv(4))
    net.kept = torch.ones(4, 1, 1)
    names = [node.name for node in survey(net, IMAGE).graph.nodes]
    assert names == ["input", "a", "relu", "add", "add", "mul", "b", "output"]


def test_a_branch_beside_a_scripted_function_feeds_what_it_feeds() -> None:
    def run(net: Net, x: Tensor) -> Tensor:
        a = net.a(x)
        return net.c(torch.cat([a, scripted_swish(net.b(x))], 1))

    graph = survey(Net(run, a=conv(), b=conv(), c=conv(8)), IMAGE).graph
    names = {node.id: node.name for node in graph.nodes}
    edges = [f"{names[one]}>{names[other]}" for one, other in graph.edges]
    expected = ["input>a", "input>b", "b>sigmoid", "b>mul", "sigmoid>mul", "a>cat", "mul>cat", "cat>c", "c>output"]
    assert edges == expected


def test_the_compiler_goes_on_as_before() -> None:
    compiled = torch.compile(lambda x: 2 * x, backend="eager")
    before = torch._dynamo.eval_frame._stance
    with as_found(nn.ReLU()), as_found(nn.ReLU()):
        assert torch._dynamo.eval_frame._stance.stance == "force_eager"
    assert torch._dynamo.eval_frame._stance == before
    assert torch.equal(compiled(IMAGE), 2 * IMAGE)
