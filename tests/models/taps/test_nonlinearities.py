from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from torchlurk.models.taps.nonlinearities import nonlinearity, operand, operation_name

SPELLINGS: list[tuple[str, Callable[[Tensor], Any]]] = [
    ("relu", F.relu),
    ("relu", torch.relu),
    ("relu", torch.relu_),
    ("relu", lambda x: x.relu_()),
    ("relu", lambda x: F.relu(x, inplace=True)),
    ("relu", nn.ReLU()),
    ("relu", lambda x: x.clamp(min=0)),
    ("relu", lambda x: x.clamp_(0)),
    ("relu", lambda x: x.clamp_min(0)),
    ("relu", lambda x: torch.clip(x, 0.0)),
    ("relu", lambda x: F.threshold(x, 0, 0)),
    ("relu", lambda x: torch.maximum(x, torch.zeros(()))),
    ("relu", lambda x: torch.maximum(torch.zeros_like(x), x)),
    ("relu", torch.ops.aten.relu.default),
    ("relu6", F.relu6),
    ("relu6", nn.ReLU6()),
    ("relu6", lambda x: x.clamp(0, 6)),
    ("hardtanh", nn.Hardtanh()),
    ("hardtanh", lambda x: x.clamp(-1, 1)),
    ("leaky_relu", lambda x: F.leaky_relu(x, 0.2)),
    ("elu", lambda x: F.elu(x, inplace=True)),
    ("selu", nn.SELU()),
    ("celu", nn.CELU()),
    ("silu", nn.SiLU(inplace=True)),
    ("gelu", lambda x: F.gelu(x, approximate="tanh")),
    ("mish", nn.Mish()),
    ("hardswish", nn.Hardswish()),
    ("hardsigmoid", nn.Hardsigmoid()),
    ("sigmoid", lambda x: x.sigmoid_()),
    ("sigmoid", F.sigmoid),
    ("tanh", torch.tanh),
    ("softplus", nn.Softplus()),
    ("softsign", nn.Softsign()),
    ("prelu", lambda x: F.prelu(x, torch.full((1,), 0.25))),
    ("rrelu", nn.RReLU().eval()),
]

NEITHER: list[Callable[[Tensor], Any]] = [
    lambda x: x.clamp(max=3),
    lambda x: x.clamp(min=1),
    lambda x: torch.maximum(x, torch.ones(())),
    lambda x: torch.maximum(x, x.flip(0)),
    lambda x: x.max(dim=0),
    lambda x: x.max(),
    lambda x: F.threshold(x, 0.1, 20),
    lambda x: F.softmax(x, 1),
    lambda x: F.dropout(x, 0.5, training=False),
    lambda x: x + 1,
]


class Names(TorchFunctionMode):
    def __init__(self, x: Tensor) -> None:
        super().__init__()
        self.x = x
        self.found: list[str] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = nonlinearity(func, args, kwargs or {})
        if name:
            self.found.append(name)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(("name", "spelling"), SPELLINGS, ids=lambda value: value if isinstance(value, str) else "")
def test_every_spelling_of_a_nonlinearity_has_one_name(name: str, spelling: Callable[[Tensor], Any]) -> None:
    x = torch.randn(4, 6)
    with Names(x) as names, torch.no_grad():
        spelling(x)
    assert names.found == [name]


@pytest.mark.parametrize("function", NEITHER)
def test_other_operations_are_no_nonlinearity(function: Callable[[Tensor], Any]) -> None:
    x = torch.randn(4, 6)
    with Names(x) as names:
        function(x)
    assert names.found == []


def test_an_operation_has_one_name_in_all_its_spellings() -> None:
    spellings = [torch.add, Tensor.add, Tensor.add_, Tensor.__iadd__, Tensor.__radd__, torch.ops.aten.add.Tensor]
    assert {operation_name(one) for one in spellings} == {"add"}
    assert operation_name(Tensor.__getitem__) == "getitem"
    assert operation_name(Tensor.T.__get__) == "T"
    assert operation_name(F.batch_norm) == "batch_norm"


def test_the_operand_may_be_given_by_name() -> None:
    x = torch.zeros(1)
    assert operand((x, 1), {}) is x
    assert operand((), {"input": x}) is x
