"""Which torch functions are nonlinearities: one table, by operation and not by module class.

`F.relu`, `torch.relu`, `Tensor.relu_` and `nn.ReLU` (which calls `F.relu`) are one operation under one name. The dry
pass and the taps ask it where a unit is read; backward rules ask it which operations they act on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

Function = Callable[..., Any]

POINTWISE = {
    "relu": "relu",
    "relu6": "relu6",
    "leaky_relu": "leaky_relu",
    "prelu": "prelu",
    "rrelu": "rrelu",
    "elu": "elu",
    "selu": "selu",
    "celu": "celu",
    "silu": "silu",
    "gelu": "gelu",
    "mish": "mish",
    "hardswish": "hardswish",
    "hardsigmoid": "hardsigmoid",
    "sigmoid": "sigmoid",
    "special_expit": "sigmoid",
    "expit": "sigmoid",
    "logsigmoid": "logsigmoid",
    "tanh": "tanh",
    "tanhshrink": "tanhshrink",
    "softplus": "softplus",
    "softsign": "softsign",
    "softshrink": "softshrink",
    "hardshrink": "hardshrink",
    "square_relu": "square_relu",
}
"""Operations that are a nonlinearity whatever their arguments, with the name we give it."""

RECTIFYING = {"clamp", "clip", "clamp_min", "hardtanh", "threshold", "maximum", "max", "fmax"}
"""Operations that are one only with certain bounds."""


@lru_cache(maxsize=4096)
def operation_name(function: Function) -> str:
    """The operation a torch function does, one name for all its spellings: `relu` for `F.relu` and `Tensor.relu_`.

    Operators lose their underscores (`__iadd__` is `add`), overloads their suffix (`aten.relu.default` is `relu`),
    properties that give a tensor go by their own name (`T`).
    """
    name = getattr(function, "__name__", type(function).__name__)
    if name == "__get__":
        return str(getattr(getattr(function, "__self__", None), "__name__", name))
    name = name.split(".")[0]
    if name.startswith("__") and name.endswith("__"):
        bare = name.strip("_")
        return bare[1:] if bare[:1] in "ir" and bare[1:] in ARITHMETIC else bare
    return name.lstrip("_").rstrip("_") or name


ARITHMETIC = {"add", "sub", "mul", "truediv", "div", "floordiv", "matmul", "pow", "mod", "and", "or", "xor"}


def nonlinearity(function: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str | None:
    """The name of the nonlinearity that this call is, None if it is none.

    Clamping below at zero is `relu`, to 0..6 `relu6`, between other bounds `hardtanh`, however it is spelled;
    `torch.maximum` counts where the other operand is zero throughout (which reads it).
    """
    name = operation_name(function)
    if name in POINTWISE:
        return POINTWISE[name]
    if name not in RECTIFYING:
        return None
    if name in ("maximum", "max", "fmax"):
        return "relu" if _maximum_with_zero(args, kwargs) else None
    if name == "threshold":
        bounds = (_argument(args, kwargs, 1, "threshold"), _argument(args, kwargs, 2, "value"))
        return "relu" if bounds == (0, 0) else None
    if name == "hardtanh":
        return _clamped(_argument(args, kwargs, 1, "min_val", -1.0), _argument(args, kwargs, 2, "max_val", 1.0))
    upper = None if name == "clamp_min" else _argument(args, kwargs, 2, "max")
    return _clamped(_argument(args, kwargs, 1, "min"), upper)


def in_place(function: Function) -> bool:
    """Whether a torch function writes over its operand, by its name: `relu_`, `__iadd__`."""
    name = getattr(function, "__name__", "").split(".")[0]
    return bool(name.startswith("__i") if name.endswith("__") else name.endswith("_"))


def operand(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """What a nonlinearity is applied to: its first argument, or the one called `input`."""
    return args[0] if args else kwargs.get("input")


def _argument(args: Sequence[Any], kwargs: Mapping[str, Any], place: int, name: str, default: Any = None) -> Any:
    return args[place] if len(args) > place else kwargs.get(name, default)


def _clamped(lower: Any, upper: Any) -> str | None:
    if isinstance(lower, Tensor) or isinstance(upper, Tensor) or lower is None:
        return None
    if lower == 0 and upper is None:
        return "relu"
    if upper is None:
        return None
    return "relu6" if (lower, upper) == (0, 6) else "hardtanh"


def _maximum_with_zero(args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    other = _argument(args, kwargs, 1, "other")
    if not isinstance(other, Tensor) or "dim" in kwargs:
        return False
    return any(isinstance(one, Tensor) and not bool(torch.count_nonzero(one)) for one in (operand(args, kwargs), other))
