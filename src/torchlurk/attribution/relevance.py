"""Layer-wise relevance propagation: a unit's activation, shared out over the input, layer by layer.

EpsilonPlus: the epsilon rule on dense layers and on whatever else is linear, z⁺ on convolutions (Bach et al. 2015,
doi 10.1371/journal.pone.0130140, eq. 58; Montavon et al. 2019, doi 10.1007/978-3-030-28954-6_10, table 1). A batch
normalization is folded into the convolution or dense layer that it directly follows. Rectifications hand relevance
on as it is, max pooling to the winner, sums in proportion to their terms. Recurrent modules have rules of their own
(`recurrent_relevance`). For anything else (attention, other gates, layer normalization) it is not defined, and refused.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from torchlurk.attribution import recurrent_relevance as recurrent
from torchlurk.errors import ModelError
from torchlurk.models.survey.channel_axis import COPIES, REARRANGEMENTS
from torchlurk.models.taps.backward_rules import Rules
from torchlurk.models.taps.nonlinearities import Function, in_place, operand, operation_name
from torchlurk.models.taps.normalizations import factors
from torchlurk.models.taps.readout import Readout
from torchlurk.models.taps.recurrent import unrolled_streams
from torchlurk.models.taps.tensors import tensors_in

EPSILON = 1e-6
"""What keeps a share of nothing finite."""

CONVOLUTIONS = frozenset({"conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"})
AVERAGES = frozenset({"mean", "avg_pool1d", "avg_pool2d", "avg_pool3d"})
AVERAGES |= {"adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d"}
SUMS = frozenset({"add"})
SCALINGS = frozenset({"mul", "multiply", "div", "divide", "truediv"})
BY_GRADIENT = REARRANGEMENTS | COPIES | {"cat", "concat", "concatenate", "stack", "pad", "gather"}
BY_GRADIENT |= {"pack_padded_sequence", "pad_packed_sequence"}
BY_GRADIENT |= {f"{kind}max_pool{rank}d" for kind in ("", "adaptive_") for rank in (1, 2, 3)}
BY_GRADIENT |= {f"{kind}max_pool{rank}d_with_indices" for kind in ("", "adaptive_") for rank in (1, 2, 3)}
"""Operations that only move values: the gradient moves relevance back the same way, and adds what was copied."""


def relevance(
    readout: Readout,
    inputs: Float[Tensor, "pair ..."],
    channels: Int[Tensor, " pair"],
    positions: Int[Tensor, " pair"] | None,
) -> tuple[Float[Tensor, "pair ..."], Float[Tensor, " pair"]]:
    """The relevance of each number of the inputs, in units of the activation, and the activations themselves.

    Raises `ModelError` for a network with an operation that the rules do not speak of.
    """
    return _propagated(Propagation(), readout, inputs, channels, positions)


def relevance_plus(
    readout: Readout,
    inputs: Float[Tensor, "pair ..."],
    channels: Int[Tensor, " pair"],
    positions: Int[Tensor, " pair"] | None,
) -> tuple[Float[Tensor, "pair ..."], Float[Tensor, " pair"]]:
    """The same by z⁺ everywhere, each value among the contributions of its own sign: biases get nothing, and no share is larger
    than what is shared.
    """
    return _propagated(Propagation(plus=True), readout, inputs, channels, positions)


def _propagated(
    propagation: Propagation, readout: Readout, inputs: Tensor, channels: Tensor, positions: Tensor | None
) -> tuple[Tensor, Tensor]:
    leaf = inputs.detach().clone().requires_grad_()
    with propagation:
        activations = readout(leaf, channels, positions)
    return readout.back(activations, activations.detach(), leaf), activations.detach()


def conservation(attributions: Float[Tensor, "pair ..."], activations: Float[Tensor, " pair"]) -> Float[Tensor, " pair"]:
    """The share of each activation that arrived at the input: 1 where nothing was lost to biases, NaN for activation 0."""
    arrived = attributions.flatten(1).sum(1) / activations
    return arrived.where(activations != 0, torch.nan)


def handed_on(before: Float[Tensor, "*s"], after: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
    """`after`, whose relevance goes to `before` as it is; for what was changed by hand while a `Propagation` is open."""
    result: Tensor = _Scaled.apply(before, [after])  # type: ignore[no-untyped-call]
    return result


def _stable(value: Tensor) -> Tensor:
    return value + EPSILON * torch.where(value < 0, -1.0, 1.0).to(value.dtype)


@dataclass(frozen=True, slots=True)
class _Linear:
    """One call that is linear in its operand but for a bias, and the value it gave."""

    function: Callable[[Tensor, Tensor | None], Tensor]
    """From an operand and a weight to the value without bias."""
    weight: Tensor | None
    value: Tensor
    positive: bool
    """Whether only what speaks for the value shares in it (z⁺), or everything (epsilon)."""
    either: bool = False
    """Whether of a value below zero what is below zero shares in it, too."""

    def shares(self, x: Tensor, relevance: Tensor) -> Tensor:
        """The relevance of each number of the operand."""
        if not self.positive:
            return _shared(x, lambda v: self.function(v, self.weight), relevance / _stable(self.value))
        if self.either:
            return self._in_either_direction(x, relevance)
        assert self.weight is not None
        plus, minus = self.weight.clamp(min=0), self.weight.clamp(max=0)
        for_it = self.function(x.clamp(min=0), plus) + self.function(x.clamp(max=0), minus)
        rate = relevance / _stable(for_it)
        above = _shared(x.clamp(min=0), lambda v: self.function(v, plus), rate)
        return above + _shared(x.clamp(max=0), lambda v: self.function(v, minus), rate)

    def _in_either_direction(self, x: Tensor, relevance: Tensor) -> Tensor:
        above, below = x.clamp(min=0), x.clamp(max=0)
        terms: dict[bool, list[tuple[Tensor, Tensor | None]]] = {True: [(above, None)], False: [(below, None)]}
        if self.weight is not None:
            plus, minus = self.weight.clamp(min=0), self.weight.clamp(max=0)
            terms = {True: [(above, plus), (below, minus)], False: [(above, minus), (below, plus)]}
        shares = []
        for sign, own in terms.items():
            total = torch.stack([self.function(part, weight) for part, weight in own]).sum(0)
            rate = torch.where((self.value > 0) == sign, relevance / _stable(total), 0.0)
            shares += [_shared(part, partial(self._linear, weight), rate) for part, weight in own]
        return torch.stack(shares).sum(0)

    def _linear(self, weight: Tensor | None, x: Tensor) -> Tensor:
        return self.function(x, weight)


def _shared(x: Tensor, function: Callable[[Tensor], Tensor], rate: Tensor) -> Tensor:
    """Each number's contribution to what `function` makes of x, times the rate there."""
    with torch.enable_grad():
        variable = x.detach().requires_grad_()
        return x * torch.autograd.grad(function(variable), variable, rate)[0]


class _Share(torch.autograd.Function):
    """A linear call; back go the shares."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, linear: _Linear) -> Tensor:
        ctx.save_for_backward(x.clone())
        ctx.linear = linear
        return linear.value.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, relevance: Tensor) -> tuple[Tensor, None]:
        return ctx.linear.shares(ctx.saved_tensors[0], relevance), None


class _Sum(torch.autograd.Function):
    """The sum of two terms, in place if the first is to hold it; back go shares in proportion, with `plus` of the terms that
    have the sum's sign.
    """

    @staticmethod
    def forward(ctx: Any, one: Tensor, other: Tensor, in_place: bool, plus: bool) -> Tensor:
        ctx.save_for_backward(one.clone(), other.clone())
        ctx.plus = plus
        if in_place:
            ctx.mark_dirty(one)
            return one.add_(other)
        return one + other

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, relevance: Tensor) -> tuple[Tensor, Tensor, None, None]:
        one, other = ctx.saved_tensors
        if ctx.plus:
            one, other = (term * (term * (one + other) > 0) for term in (one, other))
        rate = relevance / _stable(one + other)
        return one * rate, other * rate, None, None


class _Scaled(torch.autograd.Function):
    """A multiple of its operand, of the same relevance."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, value: Sequence[Tensor]) -> Tensor:
        return value[0]

    @staticmethod
    def backward(ctx: Any, relevance: Tensor) -> tuple[Tensor, None]:
        return relevance, None


def _unchanged(signal: Float[Tensor, "*s"], slope: Shaped[Tensor, "*s"]) -> Float[Tensor, "*s"]:
    """Rectifications hand relevance on."""
    return signal


class Propagation(Rules):
    """While open, each operation is given the way back of its rule, with `plus` of z⁺; what has none raises `ModelError`."""

    def __init__(self, *, plus: bool = False) -> None:
        super().__init__(_unchanged)
        self._plus = plus
        self._latest: tuple[Tensor, int, Tensor, _Linear] | None = None
        """The latest convolution or dense layer: what it gave, at which version, to what, and how."""

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        super().__exit__(kind, error, trace)
        self._latest = None

    def __torch_function__(
        self, func: Function, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        given = [one for one in tensors_in((args, kwargs)) if one.requires_grad and not isinstance(one, nn.Parameter)]
        if not torch.is_grad_enabled() or not given:
            return func(*args, **kwargs)
        name = operation_name(func)
        if name in BY_GRADIENT:
            return func(*args, **kwargs)
        if func is unrolled_streams:
            return recurrent.streams_of_relevance(*args, **kwargs, plus=self._plus)
        if name in recurrent.MODES:
            return recurrent.module_of_relevance(recurrent.MODES[name], args, plus=self._plus)
        if name in recurrent.CELLS:
            return recurrent.cell_of_relevance(recurrent.CELLS[name], args, plus=self._plus)
        if name in CONVOLUTIONS or name == "linear":
            return self._weighted(func, args, kwargs, given)
        if name in AVERAGES:
            average = _average(func, args, kwargs, given[0])
            linear = replace(average, positive=self._plus, either=self._plus)
            return _Share.apply(given[0], linear)  # type: ignore[no-untyped-call]
        if name == "batch_norm":
            return self._normalized(func, args, kwargs)
        if name in SUMS and len(given) == 2 and given[0].shape == given[1].shape and len(args) == 2 and not kwargs:
            return _Sum.apply(*given, in_place(func), self._plus)  # type: ignore[no-untyped-call]
        if name in SCALINGS and len(args) == 2 and isinstance(args[1], (int, float)) and not in_place(func):
            return _Scaled.apply(args[0], [func(args[0].detach(), args[1])])  # type: ignore[no-untyped-call]
        versions = [one._version for one in given]
        result = super().__torch_function__(func, types, args, kwargs)
        written = [one for one, version in zip(given, versions, strict=True) if one._version != version]
        if any(one.requires_grad and not _handed_on(one) for one in (*tensors_in(result), *written)):
            raise _undefined(name)
        return result

    def _weighted(self, func: Function, args: Sequence[Any], kwargs: Mapping[str, Any], given: list[Tensor]) -> Tensor:
        x = operand(args, kwargs)
        weight = args[1] if len(args) > 1 else kwargs["weight"]
        if len(given) != 1 or given[0] is not x:
            raise _undefined(f"a {operation_name(func)} whose weights depend on the input")
        others = {name: one for name, one in kwargs.items() if name not in ("input", "weight", "bias")}

        def function(value: Tensor, kernel: Tensor | None) -> Tensor:
            result: Tensor = func(value, kernel, None, *args[3:], **others)
            return result

        with torch.no_grad():
            value = func(*args, **kwargs)
        positive = self._plus or operation_name(func) != "linear"
        linear = _Linear(function, weight.detach(), value, positive, either=self._plus)
        result: Tensor = _Share.apply(x, linear)  # type: ignore[no-untyped-call]
        if "transpose" not in operation_name(func):
            self._latest = (result, result._version, x, linear)
        return result

    def _normalized(self, func: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tensor:
        """A batch normalization and the layer before it as one layer."""
        if func is not F.batch_norm or self._latest is None:
            raise _undefined("a batch normalization that does not directly follow a convolution or dense layer")
        call = inspect.signature(F.batch_norm).bind(*args, **kwargs)
        call.apply_defaults()
        before, version, x, linear = self._latest
        if call.arguments["input"] is not before or before._version != version or call.arguments["running_var"] is None:
            raise _undefined("a batch normalization that does not directly follow a convolution or dense layer")
        assert linear.weight is not None
        with torch.no_grad():
            value = func(*args, **kwargs)
            scale = factors(*(call.arguments[name] for name in ("running_var", "weight", "eps")))
            weight = linear.weight * scale.reshape(-1, *[1] * (linear.weight.ndim - 1))
        return _Share.apply(x, replace(linear, weight=weight, value=value))  # type: ignore[no-untyped-call,no-any-return]


def _average(func: Function, args: Sequence[Any], kwargs: Mapping[str, Any], x: Tensor) -> _Linear:
    def function(value: Tensor, weight: Tensor | None) -> Tensor:
        replaced = {name: value if one is x else one for name, one in kwargs.items()}
        result: Tensor = func(*(value if one is x else one for one in args), **replaced)
        return result

    with torch.no_grad():
        return _Linear(function, None, function(x.detach(), None), positive=False)


def _handed_on(tensor: Tensor) -> bool:
    """Whether a rectification made it."""
    return type(tensor.grad_fn).__name__ == "_RuledBackward"


def _undefined(what: str) -> ModelError:
    return ModelError(f"lrp is not defined for {what}, which this network uses", "choose another method, such as guided")
