"""Syntheses as a job: some units of one layer in, their pictures with evidence out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

import torch
from torch import nn

from torchlurk.engines.description import Recipe
from torchlurk.errors import ModelError, UnitError
from torchlurk.models.survey.layers import Survey
from torchlurk.models.taps.readout import UnreachedError
from torchlurk.records import Layer, Preprocessing
from torchlurk.synthesis.ascent import Ascent, lane_of
from torchlurk.synthesis.canvas import Canvas
from torchlurk.synthesis.evidence import Known
from torchlurk.synthesis.presets import preset as preset_named
from torchlurk.synthesis.results import Synthesis, ascent_of, syntheses


@dataclass(frozen=True, slots=True)
class Lane:
    """Channels of a layer of which a preset makes pictures in one batch, and what is known of them from data."""

    layer: str
    preset: str
    channels: tuple[int, ...]
    known: Mapping[int, Known]


@dataclass(frozen=True, slots=True)
class Made:
    """The pictures of a lane, or why the layer gives none by its preset."""

    syntheses: tuple[Synthesis, ...] = ()
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Synthesize:
    """Syntheses of units of the layers `found`, on one canvas. See `torchlurk.jobs.Each`.

    Pictures are made with the `network`, which may be in another precision, and measured with the `exact` one; both are left
    as found, and `recipes` say how another process makes them. `steps` of None are the preset's own for many units. One worker
    is enough: its convolutions use all cores.
    """

    network: nn.Module
    exact: nn.Module
    found: Survey
    canvas: Canvas
    preprocessing: Preprocessing
    steps: int | None
    seed: int
    recipes: tuple[Recipe, Recipe]

    @property
    def networks(self) -> Sequence[tuple[nn.Module, Recipe]]:
        """See `torchlurk.engines.description.Describable`."""
        return list(zip((self.network, self.exact), self.recipes, strict=True))

    def on(self, device: torch.device, networks: Sequence[nn.Module]) -> Synthesize:
        """See `torchlurk.engines.devices.Movable`."""
        network, exact = networks
        return replace(self, network=network, exact=exact, canvas=self.canvas.to(device))

    @property
    def most_workers(self) -> int:
        """See `torchlurk.jobs.Each`."""
        return 1

    def lanes(self, preset: str, layer: Layer, channels: Sequence[int]) -> Iterator[tuple[int, ...]]:
        """The channels of a layer that share a batch."""
        size = lane_of(preset_named(preset), self.canvas, layer.channels)
        for first in range(0, len(channels), size):
            yield tuple(channels[first : first + size])

    @contextmanager
    def open(self, cores: Executor | None) -> Iterator[Callable[[Lane], Made]]:
        """See `torchlurk.jobs.Each`."""
        yield _Worker(self)

    def ascent(self, network: nn.Module, layer: str, preset: str) -> Ascent:
        """The ascents of units of a layer; raises an error where the network cannot be taken there."""
        way = preset_named(preset)
        steps = self.steps or way.bulk_steps
        return ascent_of(network, self.found.layer(layer), way, self.canvas, self.preprocessing, steps, bulk=True)


class _Worker:
    """Makes lane after lane; what neighbouring lanes of one layer and preset have in common is made once."""

    def __init__(self, job: Synthesize) -> None:
        self._job = job
        self._of = ("", "")
        self._ascents: tuple[Ascent, Ascent] | str = ""

    def __call__(self, lane: Lane) -> Made:
        if self._of != (lane.layer, lane.preset):
            self._of, self._ascents = (lane.layer, lane.preset), self._prepared(lane)
        if isinstance(self._ascents, str):
            return Made(refused=self._ascents)
        ascent, exact = self._ascents
        with ExitStack() as opened:
            for readout in dict.fromkeys((ascent.readout, exact.readout)):
                opened.enter_context(readout.ready())
            try:
                return Made(tuple(syntheses(ascent, lane.channels, self._job.seed, lane.known, measured_by=exact)))
            except UnreachedError as error:
                return Made(refused=error.message)

    def _prepared(self, lane: Lane) -> tuple[Ascent, Ascent] | str:
        job = self._job
        try:
            ascent = job.ascent(job.network, lane.layer, lane.preset)
            return ascent, ascent if job.network is job.exact else job.ascent(job.exact, lane.layer, lane.preset)
        except (ModelError, UnitError) as error:
            return error.message
