"""`synthesize`: pictures that would excite units of a model most; and `Synthesizer`, for many of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from math import isqrt
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from torchlurk.errors import ModelError, OptionError
from torchlurk.input_records import InputStatistics
from torchlurk.models.loading.identity import unwrap
from torchlurk.models.survey.expected_input import check_takes_pictures
from torchlurk.models.survey.layers import Survey
from torchlurk.models.taps.invocation import FurtherInputs, Invocation
from torchlurk.models.taps.modules import device_of, dtype_of
from torchlurk.option_values import as_declared, shown
from torchlurk.options import MOST_PIXELS, InputOptions, fitting
from torchlurk.records import Layer, Preprocessing, Tap
from torchlurk.store.given import reader_of
from torchlurk.store.reading import Reader
from torchlurk.synthesis.ascent import Ascent
from torchlurk.synthesis.canvas import canvas, side_of
from torchlurk.synthesis.evidence import Known, known_from
from torchlurk.synthesis.objectives import Diversity
from torchlurk.synthesis.presets import Preset
from torchlurk.synthesis.presets import preset as preset_named
from torchlurk.synthesis.results import Synthesis, ascent_of, check_channels, check_pictures, measured, surveyed, syntheses
from torchlurk.units import Unit

Size = int | tuple[int, int]

USUAL_SIDE = 224
IMAGENET = Preprocessing(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))

UNLIKE = 0.5
"""What it is worth, in parts of what the unit reaches, that two pictures of it have nothing in common."""


@as_declared
def synthesize(
    model: nn.Module,
    unit: Unit | str,
    preset: str | Preset = "lucid",
    *,
    size: Size | None = None,
    steps: int | None = None,
    seed: int = 0,
    study: Any = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    statistics: InputStatistics | None = None,
    tap: Tap | None = None,
    constants: Mapping[str, Any] | None = None,
    further_inputs: FurtherInputs | None = None,
) -> Synthesis:
    """A picture that excites the unit as much as `preset` can, with the evidence for it.

    `steps` are the preset's own if not given, and the same seed gives the same picture; the other arguments are those of
    `Synthesizer`. The model is left as found, also after an error. Raises `UnitError` for a unit that is not there,
    `OptionError` for a preset, `ModelError` where the model does not take pictures of that size.
    """
    wanted = Unit.of(unit)
    maker = Synthesizer(
        model,
        size=size,
        study=study,
        mean=mean,
        std=std,
        statistics=statistics,
        tap=tap,
        constants=constants,
        further_inputs=further_inputs,
    )
    return maker.units(wanted.layer, [wanted.channel], preset, steps=steps, seed=seed)[0]


class Synthesizer:
    """Makes pictures for units of one model.

    `size` is their shorter side in pixels, in the proportion of the study's inputs and square without one, or height and
    width; `mean` and `std` are how the network's input is normalized,
    `statistics` the data's colours and frequencies, `tap` is as in the scan. What is not given comes from `study` (opened,
    or its path), which also tells what real examples excite the units to; and without one: 224 pixels, for three channels
    ImageNet's normalization and colours, for another number none. `constants` and `further_inputs`, of one row, are what the
    forward is given beside the picture, by the names of its parameters; they are held. The model is left as found.
    """

    @as_declared
    def __init__(
        self,
        model: nn.Module,
        *,
        size: Size | None = None,
        study: Any = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        statistics: InputStatistics | None = None,
        tap: Tap | None = None,
        constants: Mapping[str, Any] | None = None,
        further_inputs: FurtherInputs | None = None,
    ) -> None:
        self.module = unwrap(model)
        self._invocation = Invocation.of(self.module, constants, further_inputs)
        self._invocation.check(1)
        self._reader, _ = reader_of(study)
        normalized = InputOptions(mean=fitting(InputOptions, "mean", mean), std=fitting(InputOptions, "std", std))
        self.preprocessing = self._normalization(normalized.mean, normalized.std)
        self._own = None if self._reader is None else self._reader.input_shape()
        if self._own is not None:
            check_pictures(self._own)
        _check_size(size)
        own = (USUAL_SIDE, USUAL_SIDE) if self._own is None else (self._own[-2], self._own[-1])
        height, width = side_of(*own, size) if isinstance(size, int) else size or own
        self.size = (int(height), int(width))
        if not isinstance(statistics, InputStatistics | None):
            raise OptionError(f"statistics is {shown(statistics)}", "give the input_statistics of a study")
        self.statistics = statistics or (None if self._reader is None else self._reader.input_statistics())
        self.tap: Tap = tap or ("activation" if self._reader is None else _tap(self._reader))
        self.device, self._dtype = device_of(self.module), dtype_of(self.module)
        self._surveys: dict[tuple[int, int], Survey] = {}

    @as_declared
    @torch.inference_mode(False)
    def units(
        self,
        layer: str,
        channels: Sequence[int] | None = None,
        preset: str | Preset = "lucid",
        *,
        steps: int | None = None,
        seed: int = 0,
        start: Float[Tensor, "unit channel height width"] | None = None,
    ) -> list[Synthesis]:
        """Syntheses of many units of one layer, all if `channels` is not given, at once; each is as it would be alone.

        `start` are pictures in the 0..1 range to begin with instead of noise. Raises as `synthesize` does.
        """
        found = self.layer(layer)
        which = list(range(found.channels)) if channels is None else list(channels)
        check_channels(found, which)
        ascent = self.ascent(found, preset, steps)
        with self.ready(ascent):
            return list(syntheses(ascent, which, seed, self.known(layer, which), start=start))

    @as_declared
    @torch.inference_mode(False)
    def variants(
        self,
        unit: Unit | str,
        count: int = 4,
        preset: str | Preset = "lucid",
        *,
        steps: int | None = None,
        seed: int = 0,
        unlike: float = UNLIKE,
    ) -> list[Synthesis]:
        """Several pictures of one unit, as unlike each other as may be (Olah et al. 2017, "Diversity").

        `unlike` is what that is worth, in parts of what the unit reaches where nothing else counts.
        """
        wanted = Unit.of(unit)
        found, way = self.layer(wanted.layer), preset_named(preset)
        check_channels(found, [wanted.channel])
        alone = self.ascent(found, way, steps)
        with self.ready(alone):
            reached = alone.together([wanted.channel], [alone.generator(seed, wanted.channel)], None)[0].objective
            worth = unlike * abs(reached)
            ascent = self.ascent(found, replace(way, objective=way.objective + worth * Diversity()), steps)
            generators = [ascent.generator(seed + number, wanted.channel) for number in range(count)]
            made = ascent.together([wanted.channel] * count, generators, None)
            known = self.known(wanted.layer, [wanted.channel])
            return list(measured(ascent, ascent, [(wanted.channel, one) for one in made], seed, known))

    @contextmanager
    def ready(self, ascent: Ascent) -> Iterator[None]:
        """To be open while the ascent runs."""
        with self._invocation.around(self.module), ascent.readout.ready():
            yield

    @as_declared
    def layer(self, name: str) -> Layer:
        """The layer of that name; raises `UnitError` naming the nearest, `ModelError` where inputs are no pictures."""
        if self.size not in self._surveys:
            self._surveys[self.size] = self._surveyed()
        return self._surveys[self.size].layer(name)

    def _surveyed(self) -> Survey:
        shape = (self.preprocessing.channels, *self.size)
        check_pictures(shape)
        try:
            shapes = [shape] if self._own is None else [shape, self._own]
            inputs = [torch.zeros(1, *one, device=self.device, dtype=self._dtype) for one in shapes]
            with self._invocation.around(self.module):
                return surveyed(self.module, inputs, self.tap)
        except ModelError as error:
            check_takes_pictures(self.module, "synthesis", error)
            raise ModelError(error.message, "give the size that the network expects, and mean for each channel") from error

    def ascent(
        self, layer: Layer, preset: str | Preset, steps: int | None = None, size: tuple[int, int] | None = None
    ) -> Ascent:
        """The ascent of a layer's units; raises `ModelError` where it cannot be reached with pictures of this size."""
        drawn_on = canvas(self.preprocessing.channels, *(size or self.size), self.statistics, self.device)
        with self._invocation.around(self.module):
            return ascent_of(self.module, layer, preset_named(preset), drawn_on, self.preprocessing, steps)

    @as_declared
    def known(self, layer: str, channels: Sequence[int]) -> dict[int, Known]:
        """What the study knows of these units; nothing without one."""
        return {} if self._reader is None else known_from(self._reader, layer, channels)

    def _normalization(self, mean: Sequence[float] | None, std: Sequence[float] | None) -> Preprocessing:
        """What is given, or the study's; else ImageNet's for three channels, none for another number, which the first
        convolution tells.
        """
        if mean is not None:
            return Preprocessing(mean=tuple(mean), std=tuple(std) if std is not None else (1.0,) * len(mean))
        if std is not None:
            raise OptionError("std is given without mean", "give both")
        if self._reader is not None:
            return self._reader.preprocessing()
        first = next((one for one in self.module.modules() if isinstance(one, nn.Conv2d)), None)
        channels = IMAGENET.channels if first is None else first.in_channels
        if channels == IMAGENET.channels:
            return IMAGENET
        return Preprocessing(mean=(0.0,) * channels, std=(1.0,) * channels)


def _check_size(size: Size | None) -> None:
    """Raises `OptionError` for a size that no picture has."""
    most = isqrt(MOST_PIXELS)
    for side in () if size is None else (size,) if isinstance(size, int) else size:
        if not 0 < side <= most:
            raise OptionError(f"size is {size}", f"use numbers of pixels from 1 to {most:,}")


def _tap(reader: Reader) -> Tap:
    scan = reader.runs().get("scan")
    return "activation" if scan is None else scan.options.get("tap", "activation")
