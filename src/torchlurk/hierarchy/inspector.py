"""A model and an image, open to questions: what is strong, what made it so, who uses it, and what its loss would do."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn

from torchlurk.anatomy import (
    INPUT,
    Change,
    Contribution,
    Effect,
    Feed,
    Makeup,
    PathPicture,
    Prediction,
    Response,
    UnitPath,
    Use,
)
from torchlurk.errors import OptionError
from torchlurk.hierarchy.changes import Place, check_change, check_place, flat_index, with_changes
from torchlurk.hierarchy.contributions import Parts, parts
from torchlurk.hierarchy.descent import Arrival, Passage, check_unit, descend, passage
from torchlurk.hierarchy.predictions import predictions
from torchlurk.hierarchy.running import check_finite
from torchlurk.hierarchy.segments import Segments
from torchlurk.hierarchy.standing import Samples, standing_of
from torchlurk.hierarchy.uses import given
from torchlurk.models.loading.identity import unwrap
from torchlurk.models.survey.layers import choose, survey
from torchlurk.models.survey.receptive_field import ReceptiveField, receptive_fields
from torchlurk.models.taps.invocation import Invocation
from torchlurk.records import Box, Layer, Tap
from torchlurk.scanning.reductions import exact
from torchlurk.units import Unit

MOST_ROWS = 16
"""How many signals go back at once: more questions are answered in several goes."""

METHOD = "guided"


class Inspector:
    """One image, or several of which everything is the mean, in a model that is left as found by every question.

    `inputs` are as the model takes them, on its device. `layers` are globs of layers' names; without any, those that
    are layers by default. `labels` are the names of the model's classes, `invocation` is what else the model is given. Not
    for several threads at once.
    """

    def __init__(
        self,
        model: nn.Module,
        inputs: Float[Tensor, "image ..."],
        *,
        layers: Sequence[str] = (),
        tap: Tap = "activation",
        labels: Sequence[str] | None = None,
        samples: Samples | None = None,
        invocation: Invocation | None = None,
    ) -> None:
        if not len(inputs):
            raise OptionError("no image was given", "give one image, or several to show their mean")
        check_finite(inputs)
        self.module = unwrap(model)
        self._invocation = invocation or Invocation.of(self.module, None, None)
        self._invocation.check(len(inputs))
        self.inputs = inputs.detach()
        self.labels = labels
        self._samples = samples
        self._open: dict[bool, Segments] = {}
        with self.called():
            found = survey(self.module, self.inputs, tap)
        self.ending = found.ending
        self._layers = choose(found.layers, layers)

    def on(self, inputs: Float[Tensor, "image ..."]) -> Inspector:
        """The same with other images, of the same size: what is known of the model is not found out again."""
        if inputs.shape[1:] != self.inputs.shape[1:]:
            raise OptionError(f"the image has the shape {tuple(inputs.shape[1:])}", f"give {tuple(self.inputs.shape[1:])}")
        check_finite(inputs)
        self._invocation.check(len(inputs))
        other = copy.copy(self)
        other.inputs, other._open = inputs.detach(), {}
        return other

    def called(self) -> AbstractContextManager[None]:
        """Within it the model takes the images alone."""
        return self._invocation.around(self.module)

    @property
    def layers(self) -> dict[str, Layer]:
        """The layers that the image reaches, in the order in which it does."""
        return self._pass().layers

    @cached_property
    def fields(self) -> dict[str, ReceptiveField]:
        """What each layer's positions see of the input."""
        layers = list(self.layers.values())
        with self.called():
            return receptive_fields(self.module, self.inputs, layers)

    @property
    def outputs(self) -> int:
        """How many classes the model tells apart; 0 where its output is not one number each."""
        found = self._pass().output
        return found.shape[1] if found is not None and found.ndim == 2 else 0

    def predictions(self, most: int = 5) -> tuple[Prediction, ...]:
        """The outputs with the highest probability, or the highest where they are numbers; highest first."""
        return predictions(self._pass().output, self.labels, self.ending, most=most)

    def strongest(self, layer: str, most: int = 8) -> tuple[Response, ...]:
        """The layer's units that stand out most in this image, the most outstanding first.

        Where a study tells, by how many standard deviations they are above their mean on its sample of examples; else
        by activation. Units that are not above zero are left out. Equal ones go to the lower channel.
        """
        check_unit(self._pass(), Unit(layer, 0))
        maps = self.maps(layer)
        tops = maps.reshape(len(maps), -1).amax(1).float().cpu()
        standing, percentile = standing_of(self._samples, layer, tops)
        order = tops if np.isnan(standing).all() else np.nan_to_num(standing, nan=-math.inf)
        ranked = [int(channel) for channel in np.argsort(-np.asarray(order), kind="stable") if tops[channel] > 0][:most]
        return tuple(self._response(Unit(layer, channel), maps[channel], standing, percentile) for channel in ranked)

    def response(self, unit: Unit | str) -> Response:
        """One unit in this image, active or not."""
        asked = Unit.of(unit)
        check_unit(self._pass(), asked)
        maps = self.maps(asked.layer)
        standing, percentile = standing_of(self._samples, asked.layer, maps.reshape(len(maps), -1).amax(1))
        return self._response(asked, maps[asked.channel], standing, percentile)

    def class_unit(self, index: int) -> Unit | None:
        """The unit of the last layer that is the output of that number; None where its units are not the outputs."""
        last = list(self.layers.values())[-1]
        return Unit(last.name, index) if last.channels == self.outputs else None

    def maps(self, layer: str) -> Float[Tensor, " channel *position"]:
        """The layer's maps, of several images their mean."""
        check_unit(self._pass(), Unit(layer, 0))
        return self._pass().activations(layer).mean(0)

    def branch(self, unit: Unit | str, position: tuple[int, ...] | None = None) -> UnitPath:
        """The branch that begins with the unit, at that position or where it is strongest."""
        root = Unit.of(unit)
        check_place(self.layers, root, () if position is None else (position,))
        if position is None and len(self.inputs) == 1:
            position = self._strongest(self.maps(root.layer)[root.channel])
        return UnitPath((root,), position)

    def activation(self, unit: Unit, position: tuple[int, ...] | None = None) -> float:
        """The unit's activation there, or where it is strongest; the mean over images of several."""
        check_place(self.layers, unit, () if position is None else (position,))
        own = self._pass().activations(unit.layer)[:, unit.channel].reshape(len(self.inputs), -1)
        return float((own.amax(1) if position is None else own[:, flat_index(self.layers[unit.layer], position)]).mean())

    def box(self, unit: Unit, position: tuple[int, ...]) -> Box | None:
        """What the unit sees of the input from that position; None for an input that is no picture."""
        if self.inputs.ndim != 4:
            return None
        if unit.layer == INPUT:
            y, x = position
            return x, y, x + 1, y + 1
        flat = flat_index(self.layers[unit.layer], position)
        x0, y0, x1, y1 = self.fields[unit.layer].boxes(np.array([unit.channel]), np.array([flat]))[0].tolist()
        return x0, y0, x1, y1

    def makeups(self, branches: Sequence[UnitPath], *, most: int = 8, method: str = METHOD) -> tuple[Makeup, ...]:
        """What the last unit of each branch is made of, its `most` largest contributions listed; all in one batch.

        `method` decides how a branch of several units leads down, so which positions of the last one count, and how
        much; a root's contributions do not depend on it. Below a root that is off, numbers are of what holds it down. Raises
        `ModelError` for a node that is not a finite number.
        """
        way = passage(method)
        found: list[Makeup] = []
        for chunk in self._chunks(branches):
            segments = self._pass()
            rows, positions = self._rows(segments, chunk)
            weights = self._weights(segments, rows, positions, way)
            every = parts(segments, rows, weights)
            images = len(self.inputs)
            for number, branch in enumerate(chunk):
                found.append(self._makeup(segments, branch, every[number * images : (number + 1) * images], most))
        return tuple(found)

    def pictures(self, branches: Sequence[UnitPath], *, method: str = METHOD) -> tuple[PathPicture, ...]:
        """For each branch what of the image reaches its root through its units alone; all in one batch.

        Of a branch of one unit it is `torchlurk.attribute`'s picture; where a nonlinearity that is off or at its ceiling leaves
        that empty, what of the image holds the unit down, or drives it to the ceiling. Of several images, the mean.
        """
        if self.inputs.ndim != 4:
            raise OptionError(f"inputs of {self.inputs.ndim} axes are not pictures", "give images: batch channel height width")
        way = passage(method)
        found: list[PathPicture] = []
        for chunk in self._chunks(branches):
            arrival = self._arrival(way, chunk)
            for branch, values in zip(chunk, arrival.at_input.chunk(len(chunk)), strict=True):
                picture = values.detach().float().mean(0).permute(1, 2, 0).cpu().numpy()
                found.append(PathPicture(branch, method, picture, _extent(picture)))
        return tuple(found)

    def uses(self, unit: Unit | str, position: tuple[int, ...] | None = None, *, most: int = 8) -> dict[str, tuple[Use, ...]]:
        """The units that this one feeds, by layer, those to which it gives most at any position first.

        Of the unit's whole map, or of one position of it. Raises `OptionError` for several images.
        """
        self._refuse_several()
        start = Unit.of(unit)
        check_place(self.layers, start, () if position is None else (position,))
        with self.called():
            found = given(self.module, self._layers, self.inputs, [(start, position)])
        return {name: self._uses(name, values[0], most) for name, values in found.items()}

    def effects(self, cases: Sequence[Sequence[Change]], watched: Sequence[Place] = (), *, most: int = 5) -> tuple[Effect, ...]:
        """What the changes of each case do to the units watched and to the highest predictions; all in one batch.

        Raises `OptionError` for several images and for changes that are no finite numbers.
        """
        self._refuse_several()
        for one in (one for case in cases for one in case):
            check_change(one)
        found: list[Effect] = []
        for start in range(0, len(cases), MOST_ROWS):
            chunk = cases[start : start + MOST_ROWS]
            layers = list(self.layers.values())
            with self.called():
                outcome = with_changes(self.module, layers, self.inputs, [(), *chunk], watched)
            output = outcome.output
            before = predictions(None if output is None else output[:1], self.labels, self.ending, most=most)
            for row in range(1, len(chunk) + 1):
                after = predictions(
                    None if output is None else output[row : row + 1],
                    self.labels,
                    self.ending,
                    most=most,
                    of=[one.index for one in before],
                )
                values = outcome.watched
                found.append(Effect(tuple(values[0].tolist()), tuple(values[row].tolist()), before, after))
        return tuple(found)

    def _pass(self, *, relevance: bool = False) -> Segments:
        """The pass on the images, which is kept."""
        if relevance not in self._open:
            with self.called():
                self._open[relevance] = Segments(self.module, self._layers, self.inputs, relevance=relevance)
        return self._open[relevance]

    def _chunks(self, branches: Sequence[UnitPath]) -> list[Sequence[UnitPath]]:
        size = max(1, MOST_ROWS // len(self.inputs))
        return [branches[start : start + size] for start in range(0, len(branches), size)]

    def _rows(self, segments: Segments, branches: Sequence[UnitPath]) -> tuple[list[UnitPath], list[tuple[int, ...]]]:
        """A branch and the position of its root for each row of the pass: for each branch, all images."""
        rows = [branch for branch in branches for _ in self.inputs]
        positions = []
        for row, branch in enumerate(rows):
            check_place(segments.layers, branch.root, () if branch.position is None else (branch.position,))
            own = segments.activations(branch.root.layer)[row % segments.batch, branch.root.channel]
            positions.append(self._strongest(own) if branch.position is None else branch.position)
        return rows, positions

    def _arrival(self, way: Passage, branches: Sequence[UnitPath]) -> Arrival:
        segments = self._pass(relevance=way.relevance)
        rows, positions = self._rows(segments, branches)
        return descend(segments, rows, positions, way, to_input=True)

    def _weights(
        self, segments: Segments, rows: Sequence[UnitPath], positions: Sequence[tuple[int, ...]], way: Passage
    ) -> list[Tensor]:
        """How much each position of each last unit counts: of a root the one position alone, active or not."""
        weights: list[Tensor] = [torch.zeros(0)] * len(rows)
        if any(len(branch.units) > 1 for branch in rows):
            through = self._pass(relevance=True) if way.relevance else segments
            weights = descend(through, rows, positions, way, to_input=False).at_last
        for row, branch in enumerate(rows):
            check_unit(segments, branch.last)
            if len(branch.units) == 1:
                weights[row] = torch.zeros_like(segments.activations(branch.last.layer)[0, branch.last.channel])
                weights[row][positions[row]] = 1
        return weights

    def _makeup(self, segments: Segments, branch: UnitPath, every: Sequence[Parts], most: int) -> Makeup:
        """The mean over images of what a node is made of."""
        names = segments.feeders(branch.last.layer)
        bypassing = segments.bypassing(branch.last.layer)
        maps = {name: exact(torch.stack([one.by_layer[name] for one in every]).mean(0)) for name in names}
        sums = {name: one.sum(1) for name, one in maps.items()}
        whole = sum(float(one.abs().sum()) for one in sums.values()) or 1.0
        value = sum(one.value for one in every) / len(every)
        feeds = tuple(
            Feed(name, len(one), float(one.sum()), float(one.abs().sum()) / whole, name in bypassing)
            for name, one in sums.items()
        )
        flat = [(name, channel) for name, one in sums.items() for channel in range(len(one))]
        magnitudes = torch.cat(list(sums.values()) or [torch.zeros(0)]).abs()
        order = magnitudes.argsort(descending=True, stable=True)[:most].tolist()
        listed = [flat[index] for index in order if magnitudes[index] > 0]
        strongest = []
        for name, channel in listed:
            position = self._position(name, maps[name][channel]) if len(every) == 1 else None
            amount = float(sums[name][channel])
            active = torch.stack([one.activations[name][channel] for one in every]).amax(1).mean()
            strongest.append(
                Contribution(
                    Unit(name, channel),
                    amount,
                    amount / whole,
                    name in bypassing,
                    float(active),
                    position,
                    None if position is None else self.box(Unit(name, channel), position),
                )
            )
        rest = value - sum(float(one.sum()) for one in sums.values())
        return Makeup(branch, value, rest, tuple(strongest), feeds)

    def _uses(self, layer: str, values: Float[Tensor, " channel *position"], most: int) -> tuple[Use, ...]:
        flat = values.reshape(len(values), -1)
        magnitudes = flat.abs().amax(1)
        activations = self.maps(layer)
        found = []
        for channel in magnitudes.argsort(descending=True, stable=True)[:most].tolist():
            if magnitudes[channel] > 0:
                position = self._position(layer, flat[channel])
                unit = Unit(layer, channel)
                found.append(
                    Use(
                        unit,
                        float(values[(channel, *position)]),
                        float(activations[(channel, *position)]),
                        position,
                        self.box(unit, position),
                    )
                )
        return tuple(found)

    def _response(
        self,
        unit: Unit,
        map: Float[Tensor, " *position"],
        standing: Float[np.ndarray, " unit"],
        percentile: Float[np.ndarray, " unit"],
    ) -> Response:
        position = self._strongest(map)
        return Response(
            unit,
            float(map.amax()),
            position,
            self.box(unit, position),
            float(percentile[unit.channel]),
            float(standing[unit.channel]),
            map.float().cpu().numpy(),
        )

    def _strongest(self, map: Float[Tensor, " *position"]) -> tuple[int, ...]:
        """Where the map is highest, the first of equals."""
        flat = map.flatten().nan_to_num(nan=-math.inf)
        at = int((flat == flat.amax()).nonzero()[0, 0])
        return tuple(int(one) for one in np.unravel_index(at, map.shape)) if map.ndim else ()

    def _position(self, layer: str, flat: Float[Tensor, " position"]) -> tuple[int, ...]:
        """Where a flat map is largest in magnitude, the first of equals."""
        shape = tuple(self.inputs.shape[2:]) if layer == INPUT else self.layers[layer].shape
        magnitude = flat.abs().nan_to_num(nan=0.0)
        at = int((magnitude == magnitude.amax()).nonzero()[0, 0])
        return tuple(int(one) for one in np.unravel_index(at, shape)) if shape else ()

    def _refuse_several(self) -> None:
        if len(self.inputs) > 1:
            raise OptionError(f"{len(self.inputs)} images are open, and this works on one image only", "open one image")


def _extent(picture: Float32[np.ndarray, "height width channel"]) -> Box:
    """The smallest box outside of which there is nothing; empty at the upper left corner where there is nothing at all."""
    rows, columns = (np.flatnonzero(np.abs(picture).sum(axis=(2, other))) for other in (1, 0))
    if not len(rows):
        return 0, 0, 0, 0
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
