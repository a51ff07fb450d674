"""Syntheses of units: a layer of a network, a preset and a size become pictures with their evidence."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor, nn

from torchlurk.errors import DeviceError, ModelError, OptionError, UnitError, in_one_line, is_out_of_memory
from torchlurk.inputs.pictures.preprocessing import HIGHEST
from torchlurk.models.survey.layers import Survey, survey
from torchlurk.models.taps.readout import Readout
from torchlurk.records import Layer, Preprocessing, Tap
from torchlurk.rendering.encoding import png, to_image
from torchlurk.synthesis.ascent import Ascended, Ascent
from torchlurk.synthesis.canvas import Canvas
from torchlurk.synthesis.evidence import Evidence, Known, activations, judged, robustness
from torchlurk.synthesis.presets import Preset
from torchlurk.units import Unit

SHOWN_CHANNELS = (1, 3)


@dataclass(frozen=True, slots=True, eq=False)
class Synthesis:
    """A picture that was made to excite a unit, and how far to trust it.

    `image` is in the 0..1 range before normalization, `alpha` how opaque each pixel is, where the preset says so. The
    numbers are those of `records.Synthesis`; `steps` are those that were done.
    """

    unit: Unit
    preset: str
    image: Float[Tensor, "channel height width"]
    alpha: Float[Tensor, "height width"] | None
    activation: float
    ratio_to_best_exemplar: float
    percentile: float
    robustness: float
    marked: str | None
    seed: int
    steps: int

    def pixels(self) -> UInt8[np.ndarray, "height width shown"]:
        """The image as 8-bit grey or RGB, the first three channels of more, with alpha last where there is some."""
        seen = shown(self.image)
        if self.alpha is not None:
            seen = torch.cat([seen.expand(max(SHOWN_CHANNELS), -1, -1), self.alpha[None]])
        values = seen.detach().cpu().mul(HIGHEST).round().clamp(0, HIGHEST)
        return values.to(torch.uint8).permute(1, 2, 0).contiguous().numpy()

    def picture(self) -> Image.Image:
        """The image as Pillow has it."""
        pixels = self.pixels()
        return Image.fromarray(pixels) if pixels.shape[2] > max(SHOWN_CHANNELS) else to_image(pixels)

    def _repr_png_(self) -> bytes:
        return png(self.picture())


def shown(image: Float[Tensor, "channel height width"]) -> Float[Tensor, "shown height width"]:
    """The channels that a picture has room for: three, or one."""
    return image[: max(SHOWN_CHANNELS)] if len(image) >= max(SHOWN_CHANNELS) else image[:1]


def syntheses(
    ascent: Ascent,
    channels: Sequence[int],
    seed: int,
    known: Mapping[int, Known],
    *,
    start: Float[Tensor, "unit channel height width"] | None = None,
    measured_by: Ascent | None = None,
) -> Iterator[Synthesis]:
    """A synthesis for each channel, in order, some at a time. `measured_by` measures the evidence, in another precision.

    Where a pass does not fit into the memory of the device, this ascent's passes have half as many pictures from then on.
    Raises `DeviceError` where one does not fit.
    """
    done = 0
    while done < len(channels):
        left = None if start is None else start[done:]
        try:
            for one in _syntheses(ascent, channels[done:], seed, known, left, measured_by or ascent):
                yield one
                done += 1
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            if ascent.lane < 2:
                raise _no_room(ascent) from error
            ascent.lane //= 2
        torch.cuda.empty_cache()  # what the pass held is free only once the error is gone


def _no_room(ascent: Ascent) -> DeviceError:
    height, width = ascent.size
    layer = ascent.readout.layer.name
    return DeviceError(
        f"the synthesis of one picture of {height}×{width} for layer '{layer}' does not fit into the memory of the device",
        "give a smaller --size, or use another device",
    )


def _syntheses(
    ascent: Ascent,
    channels: Sequence[int],
    seed: int,
    known: Mapping[int, Known],
    start: Float[Tensor, "unit channel height width"] | None,
    measured_by: Ascent,
) -> Iterator[Synthesis]:
    ascended = ascent.run(channels, seed, start)
    lane: list[tuple[int, Ascended]] = []
    for index, one in enumerate(ascended, 1):
        lane.append((channels[index - 1], one))
        if len(lane) == ascent.lane or index == len(channels):
            yield from measured(ascent, measured_by, lane, seed, known)
            lane = []


def measured(
    ascent: Ascent, by: Ascent, lane: Sequence[tuple[int, Ascended]], seed: int, known: Mapping[int, Known]
) -> Iterator[Synthesis]:
    """Pictures that were made for units, each (channel, picture), with their evidence."""
    pictures = torch.stack([one.picture for _, one in lane])
    wanted = torch.tensor([channel for channel, _ in lane])
    plain = activations(by, pictures, wanted)
    robust = robustness(by, pictures, wanted, plain)
    for (channel, one), activation, share in zip(lane, plain.tolist(), robust.tolist(), strict=True):
        evidence = judged(activation, share, known.get(channel, Known()), one.trouble)
        yield _synthesis(ascent, channel, one, evidence, seed)


def _synthesis(ascent: Ascent, channel: int, one: Ascended, evidence: Evidence, seed: int) -> Synthesis:
    return Synthesis(
        unit=Unit(ascent.readout.layer.name, channel),
        preset=ascent.preset.name,
        image=one.picture,
        alpha=one.alpha,
        activation=evidence.activation,
        ratio_to_best_exemplar=evidence.ratio,
        percentile=evidence.percentile,
        robustness=evidence.robustness,
        marked=evidence.marked,
        seed=seed,
        steps=one.steps,
    )


def ascent_of(
    module: nn.Module,
    layer: Layer,
    preset: Preset,
    canvas: Canvas,
    preprocessing: Preprocessing,
    steps: int | None,
    *,
    bulk: bool = False,
) -> Ascent:
    """The ascent of a layer's units on that canvas, tried once: raises `ModelError` where the network cannot take such
    pictures as far as the layer or the layer depends on other inputs alone, `OptionError` for a number of steps that cannot be.
    """
    if steps is not None and steps < 1:
        raise OptionError(f"steps is {steps}", "use 1 or more")
    if layer.receptive_field == (0, 0):
        raise ModelError(f"layer '{layer.name}' does not depend on the picture", "choose another layer")
    readout = Readout(module, layer)
    ascent = Ascent(readout, preset, canvas, preprocessing, steps or preset.steps, bulk=bulk)
    grey = torch.full((1, canvas.channels, canvas.height, canvas.width), 0.5, device=canvas.device)
    try:
        with readout.ready(), torch.no_grad():
            activation = readout.activation(ascent.inputs(grey))
            readout.layer = _of_these_pictures(layer, activation)
            maps = readout.arranged(activation, len(grey))
    except Exception as error:  # a network may refuse a size in any way, by an assertion too
        if is_out_of_memory(error):
            raise _no_room(ascent) from error
        reason = error.message if isinstance(error, ModelError) else in_one_line(error)
        raise ModelError(
            f"layer '{layer.name}' cannot be reached with pictures of {canvas.height}×{canvas.width}: {reason}",
            "give the size that the network expects",
        ) from error
    if maps.shape[2] == 0:
        raise ModelError(
            f"pictures of {canvas.height}×{canvas.width} are too small for layer '{layer.name}': its map has no position",
            "give a larger size",
        )
    return ascent


def _of_these_pictures(layer: Layer, activation: Tensor) -> Layer:
    """The layer with the extent that its maps have for one picture, which is another than the study's for another size."""
    if layer.channel_axis == 1:
        return replace(layer, shape=tuple(activation.shape[2:]))
    folded = len(activation) != 1 or activation.ndim - 2 != len(layer.shape)
    return layer if folded else replace(layer, shape=tuple(activation.shape[1:-1]))


def surveyed(module: nn.Module, inputs: Sequence[Float[Tensor, "1 channel _ _"]], tap: Tap) -> Survey:
    """The layers as the first of these inputs passes them.

    Where that does not pass the whole network, as pictures of another size do not pass AlexNet's classifier, the layers
    before can still be reached: they are found with the next. Raises the first one's `ModelError`.
    """
    refused: list[ModelError] = []
    for one in inputs:
        try:
            return survey(module, one, tap)
        except ModelError as error:
            refused.append(error)
    raise refused[0]


def check_channels(layer: Layer, channels: Sequence[int]) -> None:
    """Raises `UnitError` for a channel that the layer does not have."""
    for channel in channels:
        if not 0 <= channel < layer.channels:
            raise UnitError(f"layer '{layer.name}' has no channel {channel}", f"it has {layer.channels}, counted from 0")


def check_pictures(shape: Sequence[int]) -> None:
    """Raises `ModelError` where inputs of that shape are no pictures."""
    if len(shape) != len(("channel", "height", "width")) or math.prod(shape) == 0:
        extents = "×".join(map(str, shape)) or "no extent"
        raise ModelError(f"synthesis makes pictures, and this network takes inputs of {extents}", "run the scan only")
