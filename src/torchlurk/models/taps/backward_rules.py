"""How gradients go back through rectifications, by operation and not by module class.

While a `Rules` block is open, every rectifying call is swapped for one with the same result and another way back:
`nn.ReLU`, `F.relu`, `x.relu_()` with its return value dropped, one module used five times, all alike.

Which operations count: those that stand where the papers have a ReLU, `RECTIFIERS`. A sigmoid, tanh, hardsigmoid,
softsign or GLU keeps its gradient, for it is a gate or a squashing: the papers' rule repeats on the way back what the
rectification does on the way there, and these let no sign through rather than the other. The shrinkages treat both
signs alike, and so does `clamp` to bounds around zero, which guards against overflow. `x * x.sigmoid()` is SiLU.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.overrides import TorchFunctionMode

from torchlurk.models.taps.nonlinearities import Function, in_place, nonlinearity, operand, operation_name
from torchlurk.models.taps.normalizations import normalized

Rule = Callable[[Tensor, Tensor], Tensor]
"""From the signal that comes from above, and the slope f'(x) of the rectification, what goes on below."""

RECTIFIERS = frozenset(
    ("relu", "relu6", "leaky_relu", "prelu", "rrelu", "elu", "selu", "celu", "silu", "gelu", "mish", "hardswish")
) | {"softplus", "hardtanh", "square_relu"}
"""The operations that a rule acts on, by the names that `models.nonlinearities` gives them."""

LARGER_OF_TWO = frozenset({"maximum", "max", "fmax"})
CLAMPS = frozenset({"clamp", "clip"})
PRODUCTS = frozenset({"mul", "multiply"})


class Rules(TorchFunctionMode):
    """While open, in this thread, gradients go back through rectifications by `rule`.

    Batch normalizations in evaluation mode go back as factors, which is quicker and the same.

    Keep it open during the backward pass too: checkpointed models run parts of their forward again then. TorchScript
    and autograd functions of the model's own are not seen and keep their gradient.
    """

    def __init__(self, rule: Rule) -> None:
        super().__init__()
        self.rule = rule
        self._gate: _Gate | None = None

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        super().__exit__(kind, error, trace)  # type: ignore[no-untyped-call]
        self._gate = None

    def __torch_function__(
        self, func: Function, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if torch.is_grad_enabled():
            call = _rectification(func, args, kwargs) or self._gated(func, args, kwargs)
            outcome = call.outcome() if call is not None else None
            if call is not None and outcome is not None:
                return _swapped(call.operand, outcome, self.rule, kwargs.get("out"))
            value = normalized(func, args, kwargs)
            if value is not None:
                return value
        result = func(*args, **kwargs)
        self._note_gate(func, args, kwargs, result)
        return result

    def _note_gate(self, func: Function, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> None:
        gated = operand(args, kwargs)
        if isinstance(result, Tensor) and result is not gated and nonlinearity(func, args, kwargs) == "sigmoid":
            self._gate = _Gate(gated, result, gated._version, result._version)

    def _gated(self, func: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> _Rectification | None:
        """The product x * sigmoid(x) as SiLU."""
        gate = self._gate
        if gate is None or operation_name(func) not in PRODUCTS or not gate.joins(args):
            return None
        x = gate.operand
        if args[0] is gate.result and in_place(func):
            return None  # written over the gate, where what becomes of x cannot be swapped

        def silu(value: Tensor) -> Any:
            return func(*(value if one is x else torch.sigmoid(value) for one in args), **_without_out(kwargs))

        return _Rectification("silu", x, silu)


@dataclass(frozen=True, slots=True)
class _Gate:
    """The latest sigmoid: what it was given and what it gave, with their versions then."""

    operand: Tensor
    result: Tensor
    operand_version: int
    result_version: int

    def joins(self, args: Sequence[Any]) -> bool:
        """Whether `args` are the two, unchanged."""
        both = len(args) == 2 and {id(one) for one in args} == {id(self.operand), id(self.result)}
        versions = (self.operand._version, self.result._version)
        return both and self.operand.requires_grad and versions == (self.operand_version, self.result_version)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What a rectification gave: its value, its slope f'(x), and whether it wrote the value over its operand."""

    value: Tensor
    slope: Tensor
    in_place: bool


@dataclass(frozen=True, slots=True)
class _Rectification:
    """A call that rectifies `operand`; `function` does the same to any other tensor."""

    kind: str
    operand: Tensor
    function: Callable[[Tensor], Any]

    def outcome(self) -> _Outcome | None:
        """Runs it on a copy; None where it does more than rectify (broadcasts its operand)."""
        x = self.operand.detach()
        if self.kind == "relu":
            # At zero the spellings of ReLU differ (clamp 1, maximum 1/2); the papers' is 1[x > 0].
            given = x.clone()
            value = self.function(given)
            slope = value.detach().sign()  # as numbers: a product with truth values takes five times as long
        else:
            with torch.enable_grad():
                variable = x.requires_grad_()
                given = variable.clone()
                value = self.function(given)
                if value.shape == variable.shape:
                    (slope,) = torch.autograd.grad(value, variable, torch.ones_like(value))
        if value.shape != self.operand.shape:
            return None
        return _Outcome(value.detach(), slope, in_place=given._version > 0)


class _Ruled(torch.autograd.Function):
    """The operand, rectified; back goes what the rule says."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, outcome: _Outcome, rule: Rule) -> Tensor:
        # A tensor among the arguments would come out as a view, which nothing may overwrite: hence `outcome`.
        ctx.save_for_backward(outcome.slope)
        ctx.rule = rule
        if outcome.in_place:
            ctx.mark_dirty(x)
            return x.copy_(outcome.value)
        return outcome.value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, signal: Tensor) -> tuple[Tensor, None, None]:
        (slope,) = ctx.saved_tensors
        return ctx.rule(signal, slope), None, None


def exempt(activation: Tensor, rule: Rule) -> None:
    """Gives the rectification that made `activation`, if one did within a `Rules` block, a rule of its own."""
    node = activation.grad_fn
    if getattr(node, "_forward_cls", None) is _Ruled:
        node.rule = rule  # type: ignore[union-attr]


def _rectification(func: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> _Rectification | None:
    """The call as a rectification of something that depends on the network's input; None if it is none."""
    kind = nonlinearity(func, args, kwargs)
    if kind not in RECTIFIERS:
        return None
    name = operation_name(func)
    if kind == "hardtanh" and name in CLAMPS and _lower(args, kwargs) < 0:
        return None
    candidates = [operand(args, kwargs)]
    if name in LARGER_OF_TWO:
        candidates.extend([*args[1:2], *(kwargs[other] for other in ("other",) if other in kwargs)])
    found = [one for one in candidates if isinstance(one, Tensor) and one.requires_grad]
    if len(found) != 1:
        return None
    x = found[0]

    def function(value: Tensor) -> Any:
        replaced = {name: value if one is x else one for name, one in _without_out(kwargs).items()}
        return func(*(value if one is x else one for one in args), **replaced)

    return _Rectification(kind, x, function)


def _swapped(x: Tensor, outcome: _Outcome, rule: Rule, out: Tensor | None) -> Tensor:
    if out is x and not outcome.in_place:
        outcome = _Outcome(outcome.value, outcome.slope, in_place=True)
    result: Tensor = _Ruled.apply(x, outcome, rule)  # type: ignore[no-untyped-call]
    if out is None or out is x:
        return result
    if out.shape != result.shape:
        with torch.no_grad():
            out.resize_(result.shape)
    return out.copy_(result)


def _lower(args: Sequence[Any], kwargs: Mapping[str, Any]) -> float:
    return float(args[1] if len(args) > 1 else kwargs["min"])


def _without_out(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in kwargs.items() if name != "out"}
