"""The ascent: many units of one layer at once, each as if it were alone.

A pass of the network always holds the same number of pictures, `lane`, whatever is asked for: kernels round otherwise in
batches of another size, and an ascent makes large differences of small ones. What a unit lacks of neighbours is filled up.
So one unit and seed give the same picture alone, among others, and after an interruption.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Generator, Tensor

from torchlurk.models.acceleration.fast_convolutions import Quick
from torchlurk.models.taps.as_found import backward
from torchlurk.models.taps.backward_rules import Rule, Rules
from torchlurk.models.taps.modules import dtype_of
from torchlurk.models.taps.partial_layer import sparing
from torchlurk.models.taps.readout import Readout
from torchlurk.records import Preprocessing
from torchlurk.synthesis.canvas import Canvas
from torchlurk.synthesis.presets import Preset
from torchlurk.synthesis.regularizers import Step
from torchlurk.synthesis.transforms import Views, scaled

Pictures = Float[Tensor, "unit channel height width"]

CPU_PIXELS = 1 << 16
"""Pixels of one pass on a CPU: beyond, a larger batch gains nothing, and a unit alone would pay for it."""

DEVICE_PIXELS = 1 << 21
"""Pixels of one pass on an accelerator, which one unit alone pays for."""

MOST_UNITS = 16
"""Units of one pass at most."""

BULK_PIXELS, BULK_UNITS = 1 << 23, 256
"""Both, on an accelerator, where all units of layers are made."""

SMOOTHING = 0.9
"""Of the running mean of the objective by which an ascent is judged not to improve any more."""

IMPROVEMENT = 1e-3
"""Share of the running mean that counts as an improvement."""

OPAQUE_PERCENTILE = 90
"""A transparent picture is opaque where the sum of its gradients is above this percentile."""

FEW = 3
"""Of each axis one in so many is looked at first where it is asked whether there is any signal."""

CEILINGED = ("relu6", "hardtanh")
"""Nonlinearities that give no gradient above some value."""

STRETCH_PERCENTILE = 99.8
HALF_RANGE = 0.5

LEAST_CONTRAST = 1e-6
"""Deviations from the mean colour, in the 0..1 range, that are none: nothing is stretched out of them."""


@dataclass(frozen=True, slots=True, eq=False)
class Ascended:
    """A picture in the 0..1 range, the objective at the last step, how many steps were done, and what went wrong, if it did."""

    picture: Float[Tensor, "channel height width"]
    alpha: Float[Tensor, "height width"] | None
    objective: float
    steps: int
    trouble: str | None


class Ascent:
    """Ascents of units of one layer, by one preset, on one canvas. The readout must be ready while `run` is in use.

    `bulk` says that passes may be as wide as the layer: on an accelerator one unit alone would pay for that.
    """

    def __init__(
        self, readout: Readout, preset: Preset, canvas: Canvas, preprocessing: Preprocessing, steps: int, *, bulk: bool = False
    ) -> None:
        self.readout, self.preset, self.canvas, self.steps = readout, preset, canvas, steps
        self.views = _views(preset, canvas)
        self.size = (canvas.height, canvas.width)
        self.lane = lane_of(preset, canvas, readout.layer.channels if bulk else MOST_UNITS)
        self.capped = readout.layer.nonlinearity in CEILINGED
        self._quick = Quick(readout.module)
        self._mean = _channelwise(preprocessing.mean, canvas)
        self._std = _channelwise(preprocessing.std, canvas)
        self._dtype = dtype_of(readout.module)

    def inputs(self, pictures: Float[Tensor, "view channel height width"]) -> Float[Tensor, "view channel height width"]:
        """Pictures as the network takes them."""
        normalized = ((pictures - self._mean) / self._std).to(self._dtype)
        return normalized.contiguous(memory_format=torch.channels_last)

    def run(self, channels: Sequence[int], seed: int, start: Pictures | None = None) -> Iterator[Ascended]:
        """One picture a channel, in order, as they are finished; `start` are pictures to begin with instead of noise."""
        for first in range(0, len(channels), self.lane):
            some = list(channels[first : first + self.lane])
            filled = some + [some[0]] * (self.lane - len(some))
            given = None if start is None else start[first : first + self.lane]
            if given is not None:
                given = torch.cat([given, given[:1].expand(self.lane - len(some), -1, -1, -1)])
            yield from self.together(filled, [self.generator(seed, one) for one in filled], given)[: len(some)]

    def generator(self, seed: int, channel: int) -> Generator:
        """The random numbers of one unit, on the CPU, so that they are the same for every device."""
        name = f"{seed}/{self.readout.layer.name}:{channel}"
        number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:7], "big")
        return torch.Generator().manual_seed(number)

    def together(self, channels: Sequence[int], generators: Sequence[Generator], start: Pictures | None) -> list[Ascended]:
        """The pictures of these channels, in one batch, each with the random numbers of its own generator."""
        lane = _Lane(self, channels, generators, start)
        readout = self.readout
        spared = sparing(readout.module, readout.layer, channels) if self.preset.objective.own else nullcontext()
        with spared, self._quick.ready():
            for number in range(self.steps):
                if not lane.step(number):
                    break
        return lane.finished()


class _Lane:
    """One batch on its way."""

    def __init__(
        self, ascent: Ascent, channels: Sequence[int], generators: Sequence[Generator], start: Pictures | None
    ) -> None:
        self._of, self._generators = ascent, generators
        canvas, way = ascent.canvas, ascent.preset.parameterization
        drawn = way.start(canvas, generators)
        self._start = drawn if start is None else way.parameters(start.to(canvas.device), canvas)
        self._now = self._start.clone()
        self._climb = ascent.preset.climb.begin(self._start)
        self._channels = torch.tensor(channels, device=canvas.device)
        count = len(channels)
        self._opacity = torch.zeros(count, canvas.height, canvas.width, device=canvas.device)
        self._marks = [_Mark() for _ in channels]
        self._kept = self._start.clone()

    def step(self, number: int) -> bool:
        """One step of all; whether any is still under way."""
        of = self._of
        with torch.enable_grad():
            x = self._now.detach().requires_grad_()
            pictures = of.preset.parameterization.pictures(x, of.canvas)
            values, gradient, seen = self._uphill(x, pictures, number)
        steepest = gradient.flatten(1).abs().amax(1)
        told, steep = torch.stack([values, steepest]).tolist()  # at once: a device waits for what is asked of it
        self._judge(told, steep, number)
        if not all(map(math.isfinite, steep)):
            gradient = torch.nan_to_num(gradient, nan=0.0, posinf=0.0, neginf=0.0)
        if seen is not None:
            self._opacity += torch.nan_to_num(seen, nan=0.0, posinf=0.0, neginf=0.0).abs().sum(1)
        self._climbed(gradient, number)
        return any(mark.running for mark in self._marks)

    def _uphill(self, x: Tensor, pictures: Pictures, number: int) -> tuple[Float[Tensor, " unit"], Tensor, Tensor | None]:
        of = self._of
        rule = redirected(len(self._channels) * of.views.count) if number < of.preset.redirected else usual
        with Rules(rule) if of.capped or rule is not usual else nullcontext():
            values = self.values(pictures, number, rule)
            wanted = [x, pictures] if of.preset.transparency else [x]
            if not values.requires_grad:
                return values, torch.zeros_like(x), None
            with backward(of.readout.module):
                found = torch.autograd.grad(values.sum(), wanted, allow_unused=True)
        gradient = torch.zeros_like(x) if found[0] is None else found[0]
        return values.detach(), gradient, found[1] if len(found) > 1 else None

    def values(self, pictures: Pictures, number: int, rule: Rule) -> Float[Tensor, " unit"]:
        """The objective of each picture at a step, less what regularizers cost."""
        of = self._of
        draws = torch.cat([torch.rand(of.views.count, of.views.draws, generator=one) for one in self._generators])
        views = of.views.of(pictures, draws.to(pictures.device), number / max(of.steps, 1), of.size)
        if of.views.noise:
            shape = (of.views.count, *views.shape[1:])
            noise = torch.cat([torch.randn(shape, generator=one) for one in self._generators])
            views = views + of.views.noise * noise.to(views.device)
        opening = (lambda activation: opened(activation.detach(), rule)) if of.capped else None
        maps = of.readout.maps(of.inputs(views), opening).to(torch.float32)
        channels = self._channels.repeat_interleave(of.views.count)
        values = of.preset.objective.values(maps, channels, of.readout.layer.shape)
        values = values.view(-1, of.views.count).mean(1)
        for penalty in of.preset.penalties:
            values = values - penalty.cost(pictures)
        return values

    def _judge(self, values: Sequence[float], steepest: Sequence[float], number: int) -> None:
        """Notes which pictures are done: not finite, or no better for long."""
        for index, (mark, value, slope) in enumerate(zip(self._marks, values, steepest, strict=True)):
            if mark.running and not self._noted(mark, value, slope, number):
                self._kept[index] = self._now[index]

    def _noted(self, mark: _Mark, value: float, slope: float, number: int) -> bool:
        """Notes a step of one unit, with the largest number of its gradient; whether it goes on."""
        if not (math.isfinite(value) and math.isfinite(slope)):
            mark.stop(number, f"the activation or its gradient is not finite at step {number}")
        else:
            mark.note(value, number, slope > 0, self._of.preset.patience)
        return mark.running

    def _climbed(self, gradient: Tensor, number: int) -> None:
        with torch.no_grad():
            x = self._climb(gradient)
            step = Step(number, gradient, self._start, self._of.canvas)
            for correction in self._of.preset.corrections:
                x.copy_(correction.correct(x, step))
            self._now = x

    def finished(self) -> list[Ascended]:
        """What has become of each."""
        with torch.no_grad():
            for index, mark in enumerate(self._marks):
                if mark.running:
                    self._kept[index] = self._now[index]
            pictures = self._of.preset.parameterization.pictures(self._kept, self._of.canvas)
            if self._of.preset.stretched:
                pictures = stretched(pictures, self._of.canvas)
            pictures = pictures.clamp(0, 1)
        alphas = [_alpha(one) for one in self._opacity] if self._of.preset.transparency else [None] * len(self._marks)
        return [
            Ascended(picture, alpha, mark.last, mark.done(self._of.steps), mark.said)
            for picture, alpha, mark in zip(pictures, alphas, self._marks, strict=True)
        ]


class _Mark:
    """How one unit's ascent is going."""

    def __init__(self) -> None:
        self.running, self.last = True, math.nan
        self._smooth, self._best, self._best_at = math.nan, -math.inf, 0
        self._moved, self._stopped, self._trouble = False, 0, None

    _trouble: str | None

    def stop(self, number: int, trouble: str | None = None) -> None:
        """Done after `number` steps."""
        self.running, self._stopped, self._trouble = False, number, trouble

    def note(self, value: float, number: int, moved: bool, patience: int | None) -> None:
        """The objective at a step, and whether there was any gradient."""
        self.last = value
        self._moved |= moved
        self._smooth = value if math.isnan(self._smooth) else SMOOTHING * self._smooth + (1 - SMOOTHING) * value
        if self._smooth > self._best + IMPROVEMENT * abs(self._best) or math.isinf(self._best):
            self._best, self._best_at = self._smooth, number
        if patience is not None and number - self._best_at >= patience:
            self.stop(number)

    def done(self, steps: int) -> int:
        """How many steps were done."""
        return steps if self.running else self._stopped

    @property
    def said(self) -> str | None:
        """What went wrong."""
        if self._trouble is None and not self._moved:
            return "no gradient reaches the picture: nothing in it changes the unit"
        return self._trouble


def usual(signal: Float[Tensor, "*s"], slope: Shaped[Tensor, "*s"]) -> Float[Tensor, "*s"]:
    """The derivative."""
    return signal.where(slope, signal.new_zeros(())) if slope.dtype is torch.bool else signal * slope


def opened(activation: Float[Tensor, "*s"], rule: Rule) -> Rule:
    """The rule for a rectification that gave `activation`, with its ceiling taken off.

    A unit that is at the ceiling everywhere would ask for nothing any more, long before the picture is clear.
    """

    def without_ceiling(signal: Float[Tensor, "*s"], slope: Tensor) -> Float[Tensor, "*s"]:
        return rule(signal, slope + ((slope == 0) & (activation > 0)))

    return without_ceiling


def redirected(pictures: int) -> Rule:
    """The rule for a batch of so many pictures, when the signal is of something to be made large.

    Where the slope is zero, a positive signal asks for more of what is off: it goes on if for that picture nothing else
    does (tensorflow/lucid, `misc/redirected_relu_grad.py`, there with the opposite sign, for something to be made small).
    """

    def rule(signal: Float[Tensor, "*s"], slope: Tensor) -> Float[Tensor, "*s"]:
        plain = usual(signal, slope)
        if signal.ndim == 0 or signal.shape[0] % pictures:
            return plain
        dead = ~_alive(plain, pictures)
        if signal.is_cpu and not dead.any():  # elsewhere asking takes longer than going on
            return plain
        through = signal.where((slope != 0) | (signal > 0), signal.new_zeros(()))
        rows = dead.repeat_interleave(signal.shape[0] // pictures).view(-1, *(1 for _ in signal.shape[1:]))
        return through.where(rows, plain)

    return rule


def _alive(signal: Float[Tensor, "*s"], pictures: int) -> Bool[Tensor, " picture"]:
    """Which pictures have anything but zero; on a CPU some numbers mostly tell, so that not all are read."""
    rows = signal.reshape(pictures, -1, *signal.shape[1:])
    inner = tuple(range(1, rows.ndim))
    if not signal.is_cpu:
        everywhere: Tensor = rows.any(dim=inner)
        return everywhere
    found: Tensor = rows[(slice(None), *(slice(None, None, FEW) for _ in inner))].any(dim=inner)
    if found.all():
        return found
    whole: Tensor = rows.any(dim=inner)
    return whole


def stretched(pictures: Pictures, canvas: Canvas) -> Pictures:
    """With the contrast about the mean colour raised until the largest deviations, but for a few, fill half the range."""
    changes = pictures - canvas.mean[:, None, None]
    largest = torch.stack([torch.quantile(one.abs().flatten(), STRETCH_PERCENTILE / 100) for one in changes])
    factor = (HALF_RANGE / largest.clamp(min=math.ulp(0.0))).clamp(min=1).view(-1, 1, 1, 1)
    found: Tensor = canvas.mean[:, None, None] + changes * factor.where(largest.view(-1, 1, 1, 1) > LEAST_CONTRAST, 1.0)
    return found


def _alpha(opacity: Float[Tensor, "height width"]) -> Float[Tensor, "height width"]:
    """From the sum of gradients to 0..1."""
    highest = torch.quantile(opacity.flatten().to(torch.float32), OPAQUE_PERCENTILE / 100)
    return (opacity / highest.clamp(min=torch.finfo(highest.dtype).tiny)).clamp(0, 1)


def lane_of(preset: Preset, canvas: Canvas, units: int = MOST_UNITS) -> int:
    """How many units a pass always holds: the power of two that fills it, for those run alike at every place of a batch.

    More than the usual most only on an accelerator, where a layer has so many `units`.
    """
    most = min(BULK_UNITS, 1 << (units - 1).bit_length())
    if canvas.device.type == "cpu":
        pixels, most = CPU_PIXELS, MOST_UNITS
    elif most > MOST_UNITS:
        pixels = BULK_PIXELS
    else:
        pixels, most = DEVICE_PIXELS, MOST_UNITS
    fitting = pixels // (canvas.height * canvas.width * _views(preset, canvas).count)
    return min(most, 1 << max(0, fitting.bit_length() - 1))


def _views(preset: Preset, canvas: Canvas) -> Views:
    return scaled(preset.views, min(1.0, min(canvas.height, canvas.width) / preset.made_for))


def _channelwise(values: Sequence[float], canvas: Canvas) -> Float[Tensor, "channel 1 1"]:
    return torch.tensor(values, dtype=torch.float32, device=canvas.device).view(-1, 1, 1)
