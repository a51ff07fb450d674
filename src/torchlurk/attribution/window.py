"""A unit on nothing but its receptive field: the same activation and the same gradient as on the whole input, for less.

The window of a position is cut out of the input, and every map on the way is that part of the whole map which follows
from it. Where all windows of a batch end at the input's border, maps end there too, and are padded as the whole ones are.
Else windows go on beyond the border, convolutions and pools run without padding, and before each of them what lies beyond
the true map is set to what their padding would be, or bias and nonlinearity would leak in from there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, Int64
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from torchlurk.attribution.sides import Side, Sides, UnsuitedError
from torchlurk.errors import is_out_of_memory
from torchlurk.models.acceleration.strided_backward import convolved
from torchlurk.models.survey.receptive_field import ReceptiveField
from torchlurk.models.taps.backward_rules import Rule, exempt
from torchlurk.models.taps.nonlinearities import nonlinearity, operand, operation_name
from torchlurk.models.taps.reading import reading
from torchlurk.models.taps.readout import Readout, UnreachedError
from torchlurk.records import Layer

UNCHANGED = {"batch_norm", "dropout", "feature_dropout", "alpha_dropout", "contiguous", "clone", "detach", "to", "float"}
"""Operations that give each position what they find there, beside the nonlinearities."""

QUESTIONS = {
    "dim",
    "size",
    "shape",
    "numel",
    "is_floating_point",
    "stride",
    "dtype",
    "device",
    "requires_grad",
    "is_contiguous",
}
"""What only asks about a tensor."""

JOINING = {"add", "sub", "mul", "cat", "concat", "concatenate"}
WORTH = 0.85
"""Windows with more than this share of the input's pixels, over all positions, are not worth cutting out."""
LOWEST = -1e30
"""What lies beyond the map for a maximum: below everything, and finite, for its product with zero must be zero later on."""
LARGE = 168 * 168
"""Windows of more pixels than this are cut off at the input's border, which only those can have in one batch that end there
alike. Of smaller ones several batches cost more than what lies beyond (AlexNet, 163 pixels a side: 18 ms a pair against
13); of larger ones less (VGG-16, 196 pixels: 310 against 510).
"""


class _Following(TorchFunctionMode):
    """Knows of each map on the way which part it is, and runs each operation on parts as it would on the whole."""

    def __init__(self, inputs: Tensor, sides: Sides, kernels: dict[int, tuple[Tensor, Tensor]]) -> None:
        super().__init__()
        self._kernels = kernels
        self._known: dict[int, tuple[Tensor, Sides]] = {}
        self._note(inputs, sides)

    def sides(self, tensor: Tensor) -> Sides:
        """Which part a map is; raises `UnsuitedError` for one that does not come from the input."""
        found = self._known.get(id(tensor))
        if found is None:
            raise UnsuitedError("a map does not come from the input alone")
        return found[1]

    def _note(self, tensor: Tensor, sides: Sides) -> Tensor:
        self._known[id(tensor)] = tensor, sides  # holding it keeps its id from being given to another
        return tensor

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Runs one operation."""
        kwargs = dict(kwargs or {})
        name = operation_name(func)
        given = [one for one in _tensors((args, kwargs)) if id(one) in self._known]
        if not given or name in QUESTIONS:
            return func(*args, **kwargs)
        if name == "conv2d":
            return self._convolved(func, args, kwargs)
        if name == "max_pool2d":
            return self._maximum(args, kwargs)
        if name == "avg_pool2d":
            return self._average(args, kwargs)
        if name == "pad":
            return self._padded(args, kwargs)
        if name in JOINING and (len(given) > 1 or name not in ("add", "sub", "mul")):
            return self._joined(func, name, args, kwargs)
        if nonlinearity(func, args, kwargs) or name in UNCHANGED or self._is_scaling(name, args):
            source = operand(args, kwargs)
            sides = self.sides(source)
            return self._note(func(*args, **kwargs), sides)
        raise UnsuitedError(f"windows do not know {name}")

    def _is_scaling(self, name: str, args: Sequence[Any]) -> bool:
        return name in ("add", "sub", "mul", "div", "truediv") and len(args) > 1 and not isinstance(args[1], Tensor)

    def _convolved(self, func: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Tensor:
        names = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
        call = dict(zip(names, args, strict=False)) | kwargs
        x, weight = call["input"], call["weight"]
        stride, dilation = _pair(call.get("stride", 1)), _pair(call.get("dilation", 1))
        padding = _padding(call.get("padding", 0), tuple(weight.shape[2:]), dilation, stride)
        part, sides = self._slid(x, tuple(weight.shape[2:]), stride, padding, dilation, ceil=False, outside=0.0)
        if part is None:
            return self._nothing(x, weight.shape[0], sides)
        groups = call.get("groups", 1)
        return self._note(convolved(part, self._kernel(weight), call.get("bias"), stride, dilation, groups), sides)

    def _kernel(self, weight: Tensor) -> Tensor:
        """Without gradient, laid out as the maps are: small batches would wait for that."""
        known = self._kernels.get(id(weight))
        if known is None or known[0] is not weight:
            known = weight, weight.detach().contiguous(memory_format=torch.channels_last)
            self._kernels[id(weight)] = known
        return known[1]

    def _nothing(self, like: Tensor, channels: int, sides: Sides) -> Tensor:
        return self._note(like.new_zeros(len(like), channels, sides[0].length, sides[1].length), sides)

    def _maximum(self, args: Sequence[Any], kwargs: dict[str, Any]) -> Tensor:
        names = ("input", "kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices")
        call = dict(zip(names, args, strict=False)) | kwargs
        if call.get("return_indices"):
            raise UnsuitedError("indices of a pool are asked for")
        kernel, dilation = _pair(call["kernel_size"]), _pair(call.get("dilation", 1))
        stride = _pair(call.get("stride") or kernel)
        x, padding = call["input"], _pair(call.get("padding", 0))
        ceil = bool(call.get("ceil_mode"))
        part, sides = self._slid(x, kernel, stride, padding, dilation, ceil=ceil, outside=LOWEST)
        if part is None:
            return self._nothing(x, x.shape[1], sides)
        return self._note(F.max_pool2d(part, kernel, stride, 0, dilation), sides)

    def _average(self, args: Sequence[Any], kwargs: dict[str, Any]) -> Tensor:
        names = ("input", "kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override")
        call = dict(zip(names, args, strict=False)) | kwargs
        kernel = _pair(call["kernel_size"])
        stride, padding = _pair(call.get("stride") or kernel), _pair(call.get("padding", 0))
        if call.get("ceil_mode") or (padding != (0, 0) and call.get("count_include_pad") is False):
            raise UnsuitedError("an average counts differently at the border")
        x = call["input"]
        part, sides = self._slid(x, kernel, stride, padding, (1, 1), ceil=False, outside=0.0)
        if part is None:
            return self._nothing(x, x.shape[1], sides)
        return self._note(F.avg_pool2d(part, kernel, stride, divisor_override=call.get("divisor_override")), sides)

    def _slid(
        self,
        x: Tensor,
        kernel: tuple[int, ...],
        stride: tuple[int, int],
        padding: tuple[int, int],
        dilation: tuple[int, int],
        *,
        ceil: bool,
        outside: float,
    ) -> tuple[Tensor | None, Sides]:
        """The part that a sliding window without padding is to run on, and the sides of what it gives; None where it would
        give nothing.
        """
        if x.dim() != 4 or len(kernel) != 2:
            raise UnsuitedError("a map has axes other than height and width")
        sides = self.sides(x)
        rows, columns = (
            side.slid(kernel[axis], stride[axis], padding[axis], dilation[axis], ceil) for axis, side in enumerate(sides)
        )
        found = rows.side, columns.side
        if not all(one.length for one in found):
            return None, found
        part = _masked(x, sides, outside)
        pads = (columns.before, columns.after, rows.before, rows.after)
        if any(pads):
            part = F.pad(part, pads, value=outside)
        return part[:, :, rows.skip :, columns.skip :], found

    def _padded(self, args: Sequence[Any], kwargs: dict[str, Any]) -> Tensor:
        """Zeros around a map."""
        call = dict(zip(("input", "pad", "mode", "value"), args, strict=False)) | kwargs
        pads = [*call["pad"], 0, 0][:4]
        if call.get("mode", "constant") != "constant" or call.get("value") or len(call["pad"]) > 4 or min(pads) < 0:
            raise UnsuitedError("a map is padded by something other than zeros")
        x = call["input"]
        sides = self.sides(x)
        (rows, above, below), (columns, left, right) = sides[0].padded(*pads[2:]), sides[1].padded(*pads[:2])
        return self._note(F.pad(_masked(x, sides, 0.0), (left, right, above, below)), (rows, columns))

    def _joined(self, func: Callable[..., Any], name: str, args: Sequence[Any], kwargs: dict[str, Any]) -> Tensor:
        several = name not in ("add", "sub", "mul")
        tensors = list(args[0] if several else args[:2])
        if several and (args[1] if len(args) > 1 else kwargs.get("dim", 0)) != 1:
            raise UnsuitedError("maps are concatenated along an axis other than channels")
        if not all(isinstance(one, Tensor) for one in tensors):
            raise UnsuitedError("a map is combined with something that is not a map")
        common = self.sides(tensors[0])
        for one in tensors[1:]:
            own = self.sides(one)
            common = (common[0].cut(own[0])[0], common[1].cut(own[1])[0])
        parts = [self._cut(one, common) for one in tensors]
        if several:
            return self._note(torch.cat(parts, 1), common)
        inplace = parts[0] is tensors[0]
        found = func(*parts, *args[2:], **kwargs) if inplace else getattr(torch, name)(*parts, *args[2:], **kwargs)
        return self._note(found, common)

    def _cut(self, tensor: Tensor, common: Sides) -> Tensor:
        own = self.sides(tensor)
        if all(one.length == other.length for one, other in zip(own, common, strict=True)):
            return tensor
        top, left = (one.cut(other)[1] for one, other in zip(own, common, strict=True))
        return tensor[:, :, top : top + common[0].length, left : left + common[1].length]


class WindowReadout(Readout):
    """A `Readout` of one layer that takes windows of inputs instead of inputs: `cut` makes them.

    Raises `UnsuitedError` where windows do not serve: then the whole input must be taken.
    """

    def __init__(self, module: nn.Module, layer: Layer, field: ReceptiveField, size: tuple[int, int]) -> None:
        super().__init__(module, layer)
        if field.origin is None or field.size is None or field.stride is None or layer.channel_axis != 1:
            raise UnsuitedError("the layer's receptive fields are not all alike")
        if min(field.stride) < 0:
            raise UnsuitedError("the layer's map is mirrored")
        self._origin, self._stride, self._field = field.origin, field.stride, field.size
        self._input_size = size
        self._kernels: dict[int, tuple[Tensor, Tensor]] = {}
        shares = [self._mean_length(axis) / size[axis] for axis in (0, 1)]
        if shares[0] * shares[1] > WORTH:
            raise UnsuitedError("the receptive field is most of the input")

    def _mean_length(self, axis: int) -> float:
        """Of the part of the windows that lies in the input, over all positions."""
        starts = self._origin[axis] + self._stride[axis] * np.arange(self.layer.shape[axis])
        ends = np.minimum(starts + self._field[axis], self._input_size[axis])
        return float((ends - np.maximum(starts, 0)).mean())

    @property
    def pixels(self) -> int:
        """Of the largest window."""
        return math.prod(min(one, most) for one, most in zip(self._field, self._input_size, strict=True))

    def batches(self, positions: Int[Tensor, " pair"]) -> list[list[int]]:
        """Which pairs are best run together."""
        if not self._cuts_off(positions):
            return [list(range(len(positions)))]
        groups: dict[tuple[int, ...], list[int]] = {}
        rows, columns = (one.tolist() for one in self._unclipped(positions))
        for index, start in enumerate(zip(rows, columns, strict=True)):
            ends = [start[axis] + self._field[axis] - self._input_size[axis] for axis in (0, 1)]
            groups.setdefault((*(min(one, 0) for one in start), *(max(one, 0) for one in ends)), []).append(index)
        return list(groups.values())

    def starts(self, positions: Int[Tensor, " pair"]) -> tuple[Int64[np.ndarray, " pair"], Int64[np.ndarray, " pair"]]:
        """The first row and column of each window, as `cut` makes them; negative where it begins before the input."""
        rows, columns = self._sides(positions)
        return rows.start, columns.start

    def cut(
        self, inputs: Float[Tensor, "pair channel height width"], positions: Int[Tensor, " pair"]
    ) -> Float[Tensor, "pair channel h w"]:
        """The windows of these positions, zero beyond the input."""
        size, (rows, columns) = self._input_size, self._sides(positions)
        height, width = rows.length, columns.length
        windows = inputs.new_zeros((len(inputs), inputs.shape[1], height, width))
        for index, (y, x) in enumerate(zip(rows.start.tolist(), columns.start.tolist(), strict=True)):
            y0, x0, y1, x1 = max(y, 0), max(x, 0), min(y + height, size[0]), min(x + width, size[1])
            windows[index, :, y0 - y : y1 - y, x0 - x : x1 - x] = inputs[index, :, y0:y1, x0:x1]
        return windows.contiguous(memory_format=torch.channels_last)

    def _unclipped(self, positions: Int[Tensor, " pair"]) -> tuple[Int64[np.ndarray, " pair"], Int64[np.ndarray, " pair"]]:
        rows, columns = np.divmod(positions.cpu().numpy(), self.layer.shape[1])
        return self._origin[0] + self._stride[0] * rows, self._origin[1] + self._stride[1] * columns

    def _cuts_off(self, positions: Int[Tensor, " pair"]) -> bool:
        """Whether windows end at the input's border; the same for any choice of the pairs. Other devices than a CPU gain more
        by many windows in one batch.
        """
        return self._field[0] * self._field[1] > LARGE and positions.is_cpu

    def _sides(self, positions: Int[Tensor, " pair"]) -> Sides:
        """Of the windows of pairs that `batches` put together, or of some of them."""
        sides = []
        for start, length, true in zip(self._unclipped(positions), self._field, self._input_size, strict=True):
            before, after = np.maximum(-start, 0), np.maximum(start + length - true, 0)
            off = [int(one[0]) if self._cuts_off(positions) else 0 for one in (before, after)]
            sides.append(Side(start + off[0], length - sum(off), true))
        return sides[0], sides[1]

    def forward(
        self,
        inputs: Float[Tensor, "pair ..."],
        channels: Int[Tensor, " pair"],
        positions: Int[Tensor, " pair"] | None = None,
        rule_at_unit: Rule | None = None,
        rows: Int[Tensor, " pair"] | None = None,
    ) -> Float[Tensor, " pair"]:
        """The activations at these positions, from their windows, one each."""
        assert positions is not None
        assert rows is None
        activation, own = self._run(inputs, self._sides(positions))
        if rule_at_unit is not None:
            exempt(activation, rule_at_unit)
        height, width = np.divmod(positions.cpu().numpy(), self.layer.shape[1])
        y, x = height - own[0].start, width - own[1].start
        if not ((y >= 0) & (y < own[0].length) & (x >= 0) & (x < own[1].length)).all():
            raise UnsuitedError("the position lies outside its window")
        place = (torch.from_numpy(one).to(channels.device) for one in (y, x))
        return activation[(torch.arange(len(inputs), device=channels.device), channels, *place)]

    def _run(self, inputs: Tensor, sides: Sides) -> tuple[Tensor, Sides]:
        found: list[tuple[Tensor, Sides]] = []
        copied = inputs.clone()  # the first thing that a model does may be to overwrite its input
        following = _Following(copied, sides, self._kernels)

        def deliver(_: Layer, tensor: Tensor) -> None:
            found.append((tensor, following.sides(tensor)))

        with following, reading(self.module, [self.layer], deliver, stop_after_last=True):
            try:
                self.module(copied)
            except UnsuitedError:
                raise
            except Exception as error:  # a model may refuse another size in any way, by an assertion too
                if is_out_of_memory(error):
                    raise
                raise UnsuitedError(f"the model does not run on a window: {error}") from error
        if not found:
            raise UnreachedError(self.layer)
        if len(found[0][0]) != len(inputs):
            raise UnsuitedError("the layer does not see all inputs at once")
        return found[0]


def _masked(x: Tensor, sides: Sides, outside: float) -> Tensor:
    """The part, with `outside` beyond the true map."""
    if all(side.inside for side in sides):
        return x
    both = sides[0].within()[:, None, :, None] & sides[1].within()[:, None, None, :]
    within = torch.from_numpy(both).to(x.device)
    # Products and sums, for a choice by truth values takes several times as long.
    return x * within.to(x.dtype) if outside == 0 else x + torch.zeros_like(within, dtype=x.dtype).masked_fill(~within, outside)


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        return [one for part in value.values() for one in _tensors(part)]
    if isinstance(value, (tuple, list)):
        return [one for part in value for one in _tensors(part)]
    return []


def _pair(value: Any) -> tuple[int, int]:
    both = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    return (both[0], both[0]) if len(both) == 1 else (both[0], both[1])


def _padding(value: Any, kernel: tuple[int, ...], dilation: tuple[int, int], stride: tuple[int, int]) -> tuple[int, int]:
    if value == "valid":
        return 0, 0
    if value == "same":
        sides = [dilation[axis] * (kernel[axis] - 1) for axis in (0, 1)]
        if stride != (1, 1) or any(side % 2 for side in sides):
            raise UnsuitedError("a convolution pads its sides unequally")
        return sides[0] // 2, sides[1] // 2
    return _pair(value)
