"""How far to trust a synthesis: what it excites, compared with real examples, and after changes it was not made to stand."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, Int
from torch import Tensor

from torchlurk.store.reading import Reader
from torchlurk.synthesis.ascent import Ascent
from torchlurk.synthesis.canvas import GREY
from torchlurk.synthesis.transforms import Placement, seen
from torchlurk.units import Unit

Pictures = Float[Tensor, "unit channel height width"]

SHEAR = 0.14
"""Sideways pixels per pixel down: eight degrees."""

CONTRAST = 0.7
NOISE = 0.05
COARSER = 2


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a unit from data: its best exemplar's score and its responses to a sample of examples, both by max.

    `best` is NaN and `sample` empty where there is none.
    """

    best: float = math.nan
    sample: Float32[np.ndarray, " example"] = field(default_factory=lambda: np.zeros(0, np.float32))


@dataclass(frozen=True, slots=True)
class Evidence:
    """How much a picture excites its unit; see `records.Synthesis` for the meaning of the fields."""

    activation: float
    ratio: float
    percentile: float
    robustness: float
    marked: str | None


def known_from(reader: Reader, layer: str, channels: Sequence[int]) -> dict[int, Known]:
    """What a study knows of these units; raises `UnitError` or `StudyError` where it does not have them."""
    found = {}
    for channel in channels:
        record = reader.unit(Unit(layer, channel))
        best = record.exemplars["max"]
        found[channel] = Known(best[0].score if best else math.nan, record.sample)
    return found


def sheared(pictures: Pictures, slope: float) -> Pictures:
    """Leaning sideways, about the centre; what comes in is grey."""
    height, width = pictures.shape[2:]
    matrix = torch.tensor([[1.0, slope], [0.0, 1.0]], device=pictures.device).expand(len(pictures), 2, 2)
    offset = torch.zeros(len(pictures), 2, device=pictures.device)
    return seen(pictures, Placement(matrix, offset, height, width), (height, width))


def duller(pictures: Pictures) -> Pictures:
    """With less contrast, about grey."""
    return (pictures - GREY) * CONTRAST + GREY


def noisy(pictures: Pictures) -> Pictures:
    """With a little noise, the same for all."""
    noise = torch.randn(pictures.shape[1:], generator=torch.Generator().manual_seed(0))
    return (pictures + NOISE * noise.to(pictures.device)).clamp(0, 1)


def coarse(pictures: Pictures) -> Pictures:
    """At half the resolution."""
    small = F.avg_pool2d(pictures, COARSER, ceil_mode=True, count_include_pad=False)
    return F.interpolate(small, pictures.shape[2:], mode="bilinear", align_corners=False)


CHANGES: Mapping[str, Callable[[Pictures], Pictures]] = {
    "shear to the right": lambda pictures: sheared(pictures, SHEAR),
    "shear to the left": lambda pictures: sheared(pictures, -SHEAR),
    "contrast": duller,
    "noise": noisy,
    "half the resolution": coarse,
}
"""Changes that no preset trains on, but for noise."""


def activations(ascent: Ascent, pictures: Pictures, channels: Int[Tensor, " unit"]) -> Float[Tensor, " unit"]:
    """What each picture excites its unit to at its strongest position; a pass is filled up as those of an ascent are."""
    found = []
    with torch.no_grad():
        for first in range(0, len(pictures), ascent.lane):
            some, own = pictures[first : first + ascent.lane], channels[first : first + ascent.lane]
            filled = torch.cat([some, some[:1].expand(ascent.lane - len(some), -1, -1, -1)])
            maps = ascent.readout.maps(ascent.inputs(filled)).to(torch.float32)
            found.append(maps[torch.arange(len(some), device=maps.device), own.to(maps.device)].amax(1))
    return torch.cat(found)


def robustness(
    ascent: Ascent, pictures: Pictures, channels: Int[Tensor, " unit"], plain: Float[Tensor, " unit"]
) -> Float[Tensor, " unit"]:
    """The mean share of the activation, 0 or more, that is left under `CHANGES`; NaN where the activation is not positive."""
    trained = {"noise"} if ascent.views.noise else set()
    shares = [
        (activations(ascent, change(pictures), channels) / plain).clamp(min=0)
        for name, change in CHANGES.items()
        if name not in trained
    ]
    whole = torch.zeros_like(plain)
    for share in shares:  # one after another: a mean over them rounds otherwise for another number of pictures
        whole += share
    return (whole / len(shares)).where(plain > 0, torch.nan)


def judged(activation: float, robust: float, known: Known, trouble: str | None) -> Evidence:
    """The activation beside what is known from data, and in words why the picture is not to be trusted, if it is not."""
    ratio = activation / known.best if known.best > 0 else math.nan
    sample = known.sample[np.isfinite(known.sample)]
    percentile = float((sample < activation).mean() * 100) if len(sample) and math.isfinite(activation) else math.nan
    return Evidence(activation, ratio, percentile, robust, _marked(activation, known, trouble))


def _marked(activation: float, known: Known, trouble: str | None) -> str | None:
    if trouble is not None:
        return trouble
    if not math.isfinite(activation):
        return "the activation is not finite"
    if activation <= 0:
        return "the unit could not be excited"
    if math.isfinite(known.best) and activation < known.best:
        return f"excites the unit less than its best exemplar ({activation:.3g} against {known.best:.3g})"
    return None
