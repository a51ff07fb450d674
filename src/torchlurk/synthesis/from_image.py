"""Pictures made from a given one: `dream`, more of what the network sees in it; `toward`, what a unit lacks in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from PIL import Image
from torch import Tensor, nn

from torchlurk.errors import DataError, ModelError, OptionError
from torchlurk.inputs.pictures.decoding import decode
from torchlurk.inputs.pictures.preprocessing import HIGHEST, prepare
from torchlurk.inputs.sources.dataset_items import channels_first, tensor_of
from torchlurk.models.taps.invocation import FurtherInputs
from torchlurk.option_values import as_declared
from torchlurk.option_values import shown as said
from torchlurk.rendering.colour import signed, signed_scale
from torchlurk.rendering.encoding import png, to_image
from torchlurk.synthesis.evidence import activations
from torchlurk.synthesis.objectives import Channel, Energy, Objective
from torchlurk.synthesis.optimizers import Adam, NormalizedStep
from torchlurk.synthesis.parameterizations import Change, Pixels
from torchlurk.synthesis.presets import Preset
from torchlurk.synthesis.regularizers import Clip
from torchlurk.synthesis.results import Synthesis, check_channels, measured, shown
from torchlurk.synthesis.synthesize import Size, Synthesizer
from torchlurk.synthesis.transforms import Jitter, Pad, Rotate, Scale, Views
from torchlurk.units import Unit

Given = Shaped[Tensor, "..."] | Shaped[np.ndarray, "..."] | Image.Image | str | Path
"""A picture: floats in the 0..1 range before normalization, bytes, as Pillow has it, or a file."""

DREAM = Preset(
    "dream",
    Pixels(),
    Channel(),
    NormalizedStep(1.5),
    steps=20,
    bulk_steps=20,
    views=Views((Pad(8), Jitter(16))),
    corrections=(Clip(),),
    redirected=0,
)
"""Mordvintsev, Olah and Tyka 2015, Inceptionism, on pixels from 0 to 255; `steps` are those at each scale."""

TOWARD = Preset(
    "toward",
    Pixels(),
    Channel(),
    Adam(0.05),
    steps=128,
    bulk_steps=128,
    views=Views((Pad(4), Jitter(8), Scale(0.95, 1.05), Rotate(5))),
)
"""As `lucid`, but milder, about a picture that stays recognizable; the parameterization is put in for each picture."""

FINER = 1.4
"""By how much one scale of a dream is finer than the one before."""

MOST_SCALES = 64
"""The coarsest of more would have no pixel, however large the picture is."""

DISTANCE = 0.05
"""Root mean square of a change that is seen, and leaves the picture what it is."""

GAP = 4
WHITE = 255


@as_declared
@torch.inference_mode(False)
def dream(
    model: nn.Module,
    image: Given,
    unit: Unit | str,
    *,
    scales: int = 4,
    steps: int = DREAM.steps,
    size: Size | None = None,
    seed: int = 0,
    study: Any = None,
    constants: Mapping[str, Any] | None = None,
    further_inputs: FurtherInputs | None = None,
) -> Synthesis:
    """The image with more and more of what excites `unit`, or, where that is a layer's name, of whatever excites the layer.

    It grows over `scales` sizes, from coarse to fine, `steps` at each. The last arguments are as for `Synthesizer`; a
    picture is resized and cut to the network's size, a tensor is taken as it is. Raises as `synthesize` does, and
    `DataError` for an image that cannot be read.
    """
    if not 0 < scales <= MOST_SCALES:
        raise OptionError(f"scales is {scales}", f"use a number from 1 to {MOST_SCALES}")
    maker = Synthesizer(model, size=size, study=study, constants=constants, further_inputs=further_inputs)
    picture = _picture(image, maker)
    name, channel = _named(unit)
    way = DREAM if channel is not None else replace(DREAM, objective=Energy())
    maker.size = (int(picture.shape[1]), int(picture.shape[2]))
    layer = maker.layer(name)
    check_channels(layer, [channel or 0])
    detail = torch.zeros_like(picture)
    for height, width in _sizes(maker.size, scales):
        last = (height, width) == maker.size
        base = _resized(picture, height, width)
        try:
            ascent = maker.ascent(layer, way, steps, (height, width))
        except ModelError:
            if last:
                raise
            continue  # too small for the network
        with maker.ready(ascent):
            start = (base + _resized(detail, height, width)).clamp(0, 1)
            generators = [ascent.generator(seed, channel or 0)]
            made = ascent.together([channel or 0], generators, start[None])
            detail = made[0].picture - base
            if last:
                known = {} if channel is None else maker.known(name, [channel])
                return next(iter(measured(ascent, ascent, [(channel or 0, made[0])], seed, known)))
    raise AssertionError("the last scale is the picture's own")


@dataclass(frozen=True, slots=True, eq=False)
class Pushed:
    """An image, changed so that a unit responds more. Pictures are in the 0..1 range before normalization.

    `distance` is the root mean square of the change, activations are of the unit at its strongest position.
    """

    unit: Unit
    before: Float[Tensor, "channel height width"]
    after: Float[Tensor, "channel height width"]
    distance: float
    activation_before: float
    activation_after: float

    def change(self) -> Float[Tensor, "channel height width"]:
        """What was added."""
        return self.after - self.before

    def picture(self) -> Image.Image:
        """Before, the change around neutral grey at full contrast, and after, side by side."""
        change = shown(self.change()).permute(1, 2, 0).cpu().numpy()
        drawn = [to_image(signed(change, scale=signed_scale(change)))]
        drawn = [_drawn(self.before), *drawn, _drawn(self.after)]
        sheet = Image.new("RGB", (sum(one.width + GAP for one in drawn) - GAP, drawn[0].height), (WHITE,) * 3)
        left = 0
        for one in drawn:
            sheet.paste(one, (left, 0))
            left += one.width + GAP
        return sheet

    def _repr_png_(self) -> bytes:
        return png(self.picture())


@as_declared
@torch.inference_mode(False)
def toward(
    model: nn.Module,
    image: Given,
    unit: Unit | str,
    *,
    distance: float = DISTANCE,
    steps: int | None = None,
    objective: Objective | None = None,
    size: Size | None = None,
    seed: int = 0,
    study: Any = None,
    constants: Mapping[str, Any] | None = None,
    further_inputs: FurtherInputs | None = None,
) -> Pushed:
    """What to change in the image so that the unit (a class is one of the last layer's) responds more.

    The change is made of natural frequencies and colours, and its root mean square, in the 0..1 range, is at most
    `distance`. `objective` is the unit's mean over positions if not given. The other arguments are those of `dream`.
    """
    if not 0 < distance <= 1:
        raise OptionError(f"distance is {distance}", "use a number above 0, up to 1")
    if not isinstance(objective, Objective | None):
        raise OptionError(f"objective is {said(objective)}", "give an Objective of torchlurk.synthesis.objectives")
    maker = Synthesizer(model, size=size, study=study, constants=constants, further_inputs=further_inputs)
    picture = _picture(image, maker).to(maker.device)
    wanted = Unit.of(unit)
    maker.size = (int(picture.shape[1]), int(picture.shape[2]))
    layer = maker.layer(wanted.layer)
    check_channels(layer, [wanted.channel])
    way = replace(TOWARD, parameterization=Change(picture, distance), objective=objective or Channel())
    ascent = maker.ascent(layer, way, steps)
    with maker.ready(ascent):
        made = ascent.together([wanted.channel], [ascent.generator(seed, wanted.channel)], None)[0]
        both = torch.stack([picture, made.picture])
        reached = activations(ascent, both, torch.tensor([wanted.channel] * len(both))).tolist()
    size_of = float((made.picture - picture).square().mean().sqrt())
    return Pushed(wanted, picture.cpu(), made.picture.cpu(), size_of, *reached)


def _named(unit: Unit | str) -> tuple[str, int | None]:
    """The layer and the channel; none where only a layer is named."""
    if isinstance(unit, str) and ":" not in unit:
        return unit, None
    parsed = Unit.of(unit)
    return parsed.layer, parsed.channel


def _picture(image: Given, maker: Synthesizer) -> Float[Tensor, "channel height width"]:
    """The image in the 0..1 range; a picture is resized so that it covers the network's input, and cut."""
    array = tensor_of(channels_first(image)) if isinstance(image, np.ndarray) else None
    image = image if array is None else array
    if isinstance(image, Tensor) and image.dtype == torch.uint8 and image.ndim == 3 and len(image) in (1, 3):
        image = to_image(image.permute(1, 2, 0).cpu().numpy())
    if isinstance(image, Tensor):
        if image.ndim != 3 or len(image) != maker.preprocessing.channels or not bool(((image >= 0) & (image <= 1)).all()):
            raise DataError(
                f"the image is a tensor of shape {tuple(image.shape)} with values from {float(image.min()):.3g} to "
                f"{float(image.max()):.3g}",
                f"give {maker.preprocessing.channels} channels, height and width, from 0 to 1, before normalization",
            )
        return image.detach().to(maker.device, torch.float32)
    if not isinstance(image, (Image.Image, str, Path)):
        raise OptionError(f"the image is {said(image)}", "give a tensor, an array, a picture of Pillow or the path of a file")
    opened = image if isinstance(image, Image.Image) else decode(Path(image))
    scale = max(maker.size[0] / opened.height, maker.size[1] / opened.width)
    covering = (max(round(opened.height * scale), maker.size[0]), max(round(opened.width * scale), maker.size[1]))
    pixels = prepare(opened, replace(maker.preprocessing, resize=covering, crop=maker.size))
    return torch.from_numpy(np.moveaxis(pixels, 2, 0).astype(np.float32) / HIGHEST).to(maker.device)


def _sizes(size: tuple[int, int], scales: int) -> list[tuple[int, int]]:
    """Heights and widths from coarse to fine, without those that leave no pixel; the last is `size`."""
    found = [(round(size[0] / FINER**step), round(size[1] / FINER**step)) for step in range(scales - 1, -1, -1)]
    return [one for one in found if min(one) > 0]


def _resized(picture: Float[Tensor, "channel _ _"], height: int, width: int) -> Float[Tensor, "channel {height} {width}"]:
    if tuple(picture.shape[1:]) == (height, width):
        return picture
    return F.interpolate(picture[None], (height, width), mode="bilinear", antialias=True, align_corners=False)[0]


def _drawn(picture: Float[Tensor, "channel height width"]) -> Image.Image:
    values = shown(picture).cpu().mul(HIGHEST).round().clamp(0, HIGHEST).to(torch.uint8)
    return to_image(values.permute(1, 2, 0).contiguous().numpy()).convert("RGB")
