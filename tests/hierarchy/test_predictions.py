# Tolerances are of float32 through a network, summed in another order; 1e-3 where differences of activations are compared.
from __future__ import annotations

import math
import warnings
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import torchlurk as tl
from torchlurk.hierarchy.inspector import Inspector
from torchlurk.rendering import labels

IMAGE = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # torch would rather compile
    traced_sigmoid = torch.jit.trace(torch.sigmoid, torch.zeros(1))


class Head(nn.Module):
    """A small network of which the last step is given."""

    def __init__(self, last: Callable[[Tensor], Tensor], outputs: int = 5) -> None:
        super().__init__()
        self.conv, self.fc, self.last = nn.Conv2d(3, 4, 3), nn.Linear(4, outputs), last
        self.fc.bias.data = torch.linspace(1.5, -4, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.fc(self.conv(x).relu().mean((2, 3))))


def shown(net: nn.Module) -> tuple[set[str], list[float]]:
    """The kinds of the outputs, and their probabilities in the order of the outputs."""
    found = Inspector(net.eval(), IMAGE).predictions(5)
    assert [one.output for one in sorted(found, key=lambda one: one.index)] == pytest.approx(
        net(IMAGE).mean(0).tolist(), rel=1e-5
    )
    return {one.kind for one in found}, [one.probability for one in sorted(found, key=lambda one: one.index)]


@pytest.mark.parametrize(
    "last",
    [
        nn.Sigmoid(),
        torch.sigmoid,
        traced_sigmoid,
        nn.Sequential(nn.Sigmoid(), nn.Dropout(), nn.Flatten()),
        lambda x: x.sigmoid().clamp(1e-6, 1 - 1e-6),
        lambda x: torch.cat([x[:, :2].sigmoid(), torch.sigmoid(x[:, 2:])], 1),
        lambda x: torch.stack([x.sigmoid(), x.sigmoid()]).mean(0),
    ],
)
def test_outputs_of_a_sigmoid_are_a_probability_each(last: Callable[[Tensor], Tensor]) -> None:
    net = Head(last)
    kinds, probabilities = shown(net)
    assert kinds == {"label"}
    assert probabilities == pytest.approx(net(IMAGE).mean(0).tolist(), rel=1e-5)


@pytest.mark.parametrize(
    "last",
    [
        lambda x: x,
        nn.Softmax(1),
        lambda x: x.softmax(-1),
        nn.LogSoftmax(1),
        lambda x: F.log_softmax(x, 1)[:, :],
        lambda x: x.softmax(1).log(),
        lambda x: F.log_softmax(x, 1).exp(),
        lambda x: (x.softmax(1) + x.softmax(1)) / 2,
    ],
)
def test_outputs_of_a_classifier_are_its_classes_probabilities(last: Callable[[Tensor], Tensor]) -> None:
    net = Head(last)
    logits = Head(lambda x: x)
    logits.load_state_dict(net.state_dict())
    kinds, probabilities = shown(net)
    assert kinds == {"class"}
    assert probabilities == pytest.approx(logits(IMAGE).softmax(1).mean(0).tolist(), rel=1e-5)


@pytest.mark.parametrize(
    ("last", "outputs"), [(lambda x: x, 1), (nn.ReLU(), 1), (nn.Tanh(), 3), (F.softplus, 3), (F.normalize, 4)]
)
def test_numbers_are_not_called_probabilities(last: Callable[[Tensor], Tensor], outputs: int) -> None:
    kinds, probabilities = shown(Head(last, outputs))
    assert kinds == {"number"}
    assert all(map(math.isnan, probabilities))


def test_numbers_are_ranked_by_their_size() -> None:
    net = Head(nn.Tanh())
    found = Inspector(net, IMAGE).predictions(2)
    assert [one.index for one in found] == net(IMAGE).mean(0).argsort(descending=True)[:2].tolist()
    assert labels.prediction(found[0]) == labels.number(found[0].output)


@pytest.mark.parametrize(("problem", "kind"), [("regression", "number"), ("multi_label_classification", "label")])
def test_a_hugging_face_configuration_says_what_the_outputs_are(problem: str, kind: str) -> None:
    net = Head(lambda x: x)
    net.config = type("Config", (), {"problem_type": problem})()
    kinds, probabilities = shown(net)
    assert kinds == {kind}
    if kind == "label":
        assert probabilities == pytest.approx(net(IMAGE).sigmoid().mean(0).tolist(), rel=1e-5)


def test_the_document_says_what_an_output_stands_for() -> None:
    document = tl.explain(Head(nn.Sigmoid()), IMAGE[:1]).to_json()
    assert [one["kind"] for one in document["predictions"]] == ["label"] * 5
    text = tl.explain(Head(nn.Tanh(), 1), IMAGE[:1]).to_text()
    assert "%" not in text.splitlines()[0]
