from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from torchlurk.models.loading.extras import import_timm, import_torchvision
from torchlurk.models.survey.layers import survey
from torchlurk.records import Graph

IMAGE = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
Edges = set[tuple[str, str]]


class Net(nn.Module):
    """A network with the given parts and forward code, so that each test shows its own."""

    def __init__(self, run: Callable[..., Any], **parts: nn.Module) -> None:
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)
        self.run = run

    def forward(self, x: Tensor) -> Any:
        return self.run(self, x)


def conv(inputs: int = 3, outputs: int = 3) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)


def edges(module: nn.Module, inputs: Tensor = IMAGE) -> Edges:
    graph = survey(module, inputs).graph
    names = {node.id: node.name for node in graph.nodes}
    return {(names[source], names[target]) for source, target in graph.edges}


def test_branches_joins_and_rearrangements() -> None:
    def run(net: Net, x: Tensor) -> Tensor:
        y = net.a(x)
        z = torch.cat([F.relu(y), net.b(y)], 1).permute(0, 2, 3, 1).flatten(1)
        return z * 2

    assert edges(Net(run, a=conv(), b=conv())) == {
        ("input", "a"),
        ("a", "relu"),
        ("a", "b"),
        ("relu", "cat"),
        ("b", "cat"),
        ("cat", "flatten"),
        ("flatten", "mul"),
        ("mul", "output"),
    }


def test_in_place_operations_make_a_new_version_of_the_tensor() -> None:
    def run(net: Net, x: Tensor) -> Tensor:
        y = net.a(x)
        y += net.b(x)
        F.relu_(y)
        return net.c(y)

    assert edges(Net(run, a=conv(), b=conv(), c=conv())) == {
        ("input", "a"),
        ("input", "b"),
        ("a", "add"),
        ("b", "add"),
        ("add", "relu"),
        ("relu", "c"),
        ("c", "output"),
    }


def test_writing_into_part_of_a_tensor_is_followed_through_its_views() -> None:
    def run(net: Net, x: Tensor) -> Tensor:
        whole = torch.zeros(len(x), 6, 16, 16)
        whole[:, :3] = net.a(x)
        half = whole[:, 3:]
        half.add_(net.b(x))
        return net.c(whole)

    found = edges(Net(run, a=conv(), b=conv(), c=conv(6, 3)))
    assert {("a", "setitem"), ("setitem", "add"), ("b", "add"), ("add", "c")} <= found


def test_what_no_output_depends_on_is_left_out() -> None:
    def run(net: Net, x: Tensor) -> Tensor:
        y = net.a(x)
        return net.b(y) if y.sum() > -1e9 else y

    assert edges(Net(run, a=conv(), b=conv())) == {("input", "a"), ("a", "b"), ("b", "output")}


def test_nodes_tell_where_they_ran_and_what_they_gave() -> None:
    inner = Net(lambda net, x: net.a(x) + x, a=conv())
    found = survey(Net(lambda net, x: net.inner(x), inner=inner), IMAGE)
    nodes = [(node.kind, node.name, node.module, node.type, node.shape) for node in found.graph.nodes]
    assert nodes == [
        ("input", "input", "", "Input", (3, 16, 16)),
        ("module", "inner.a", "inner", "Conv2d", (3, 16, 16)),
        ("operation", "add", "inner", "add", (3, 16, 16)),
        ("output", "output", "", "Output", (3, 16, 16)),
    ]
    assert found.nodes == {"inner.a": 1, "inner": 2}


def feeds(sources: Mapping[Any, Iterable[Any]], stations: Mapping[Any, str]) -> Edges:
    """Which station feeds which, with no third one between; `sources` are the direct sources of every node, in order."""
    reaching: dict[Any, frozenset[str]] = {}
    found: Edges = set()
    for node, feeding in sources.items():
        origins = frozenset(origin for one in feeding for origin in reaching.get(one, ()))
        if node in stations:
            found |= {(origin, stations[node]) for origin in origins}
            origins = frozenset([stations[node]])
        reaching[node] = origins
    return found


def of_modules(graph: Graph, known: set[str]) -> Edges:
    sources: dict[int, list[int]] = {node.id: [] for node in graph.nodes}
    for source, target in graph.edges:
        sources[target].append(source)
    return feeds(sources, {node.id: node.name for node in graph.nodes if node.name in known})


def names_of(graph: Graph) -> set[str]:
    return {node.name for node in graph.nodes if node.kind == "module"}


def of_fx(module: nn.Module) -> tuple[dict[Any, list[Any]], dict[Any, str]]:
    counts: dict[str, int] = {}
    stations: dict[Any, str] = {}
    nodes = fx.symbolic_trace(module).graph.nodes
    for node in nodes:
        if node.op == "call_module":
            path = str(node.target)
            count = counts[path] = counts.get(path, -1) + 1
            stations[node] = f"{path}#{count}" if count else path
    return {node: node.all_input_nodes for node in nodes}, stations


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["resnet18", "densenet121", "googlenet", "mobilenet_v3_small", "shufflenet_v2_x0_5", "regnet_y_400mf", "convnext_tiny"],
)
def test_which_module_feeds_which_is_as_torch_fx_finds_it(name: str) -> None:
    import_torchvision()
    from torchvision import models

    options = {"init_weights": False, "aux_logits": False} if name == "googlenet" else {}
    module = getattr(models, name)(weights=None, **options).eval()
    graph = survey(module, torch.randn(1, 3, 64, 64)).graph
    sources, stations = of_fx(module)
    known = names_of(graph) & set(stations.values())
    expected = feeds(sources, {node: path for node, path in stations.items() if path in known})
    assert len(known) > 15
    assert of_modules(graph, known) == expected


def of_export(module: nn.Module, inputs: Tensor) -> tuple[dict[Any, list[Any]], dict[Any, str]]:
    """Nodes of the exported program, and the leaf module each ran in (by its last operation in it)."""
    program = torch.export.export(module, (inputs,), strict=False)
    leaves = {path for path, one in module.named_modules() if not list(one.children())}
    nodes = list(program.graph.nodes)
    within = {}
    for node in nodes:
        stack = [path.split("@")[0] for path, _ in (node.meta.get("nn_module_stack") or {}).values()]
        if node.op == "call_function" and stack and stack[-1] in leaves:
            within[node] = stack[-1]
    return {node: node.all_input_nodes for node in nodes}, within


def collapsed(sources: Mapping[Any, Iterable[Any]], within: Mapping[Any, str]) -> Edges:
    """`feeds`, where several nodes may be one station: what a station feeds itself does not count."""
    return {(one, other) for one, other in feeds(sources, within) if one != other}


class Reused(nn.Module):
    """Modules of one call each, in place, branching and joining, with a choice on the shape."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c, self.d = conv(), conv(), conv(), conv(6, 3)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.act(self.a(x))
        z = self.b(y)
        z += y
        both = torch.cat([z, self.c(x)], 1)
        return self.d(both) if both.shape[1] == 6 else both


@pytest.mark.slow
@pytest.mark.parametrize("name", ["reused", "resnetv2_50", "vit_tiny_patch16_224", "ghostnet_100"])
def test_which_module_feeds_which_is_as_torch_export_finds_it(name: str) -> None:
    size = 224 if name.startswith("vit") else 64
    module = Reused() if name == "reused" else import_timm().create_model(name, pretrained=False)
    inputs = torch.randn(1, 3, size, size)
    graph = survey(module.eval(), inputs).graph
    sources, within = of_export(module, inputs)
    known = names_of(graph) & set(within.values())
    assert len(known) >= 5
    assert of_modules(graph, known) == collapsed(sources, {node: path for node, path in within.items() if path in known})
