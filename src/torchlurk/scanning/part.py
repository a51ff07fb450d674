"""The running state of one layer's scan: it grows by batches, merges with others, and ends as a `LayerScan`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field, fields, replace
from types import ModuleType
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int32, Int64, Shaped
from torch import Tensor

from torchlurk import compiled
from torchlurk.errors import ModelError
from torchlurk.records import LayerScan, Ranking
from torchlurk.scanning import reductions
from torchlurk.scanning.arrivals import Arrivals, There
from torchlurk.scanning.asked_sums import AskedSums
from torchlurk.scanning.exemplars import NOTHING, Leaders, strength
from torchlurk.scanning.memory import Running, elsewhere, packed
from torchlurk.scanning.reductions import Rows
from torchlurk.scanning.room import undivided
from torchlurk.scanning.statistics import ClassSums, Extent, Moments, Sample
from torchlurk.unit_statistics import COLUMNS, STATISTICS, Statistic, Sums, worked_out

Places = Callable[
    [Int64[np.ndarray, " n"], Int32[np.ndarray, " n"], Int64[np.ndarray, " n"]],
    tuple[Int32[np.ndarray, " n"], Int32[np.ndarray, "n 4"]],
]
"""From channels, row-major positions among those that count, and examples: positions in the whole map, and boxes."""

STANDARD = {name: STATISTICS[name] for name in COLUMNS}
"""The statistics that every layer has."""


@dataclass(slots=True)
class LayerPart:
    """What is known of one layer's units from the examples seen so far.

    Parts of disjoint sets of examples merge, in any order and grouping, to the part of all: ranks and positions bit for
    bit, sums up to rounding. Memory does not grow with the number of examples, but with units × (sample + classes seen).
    `positions` is how many a map has, None where examples differ in it: every position weighs the same in means and shares.
    """

    positions: int | None
    by_max: Leaders
    by_mean: Leaders
    moments: Moments
    extent: Extent
    classes: ClassSums
    sample: Sample
    asked: AskedSums
    _running: Any = field(default=None, repr=False, compare=False)
    _ready: Any = field(default=None, repr=False, compare=False)
    _settled: bool = field(default=False, repr=False, compare=False)
    _closed: Leaders | None = field(default=None, repr=False, compare=False)

    @classmethod
    def empty(
        cls,
        units: int,
        positions: int | None,
        top: int,
        sample: Int64[np.ndarray, " example"],
        statistics: Mapping[str, Statistic] = STANDARD,
    ) -> LayerPart:
        """The part of no example: `sample` is the study's, sorted, and the same for all layers and parts; `statistics` are
        those of the layer.
        """
        return cls(
            positions=positions,
            by_max=Leaders.empty(units, top),
            by_mean=Leaders.empty(units, top),
            moments=Moments.empty(units),
            extent=Extent.empty(units),
            classes=ClassSums.empty(units),
            sample=Sample.empty(sample, units),
            asked=AskedSums.empty([name for name, one in statistics.items() if one.sums is not None]),
        )

    @property
    def broken(self) -> int:
        """How many (example, unit) were not finite, and so entered nothing."""
        return int(self.moments.broken.sum())

    @property
    def examples(self) -> int:
        """How many examples reached the layer."""
        return int((self.moments.rows[:1] + self.moments.broken[:1]).sum())

    def add(
        self,
        maps: Float[Tensor, "batch unit *positions"],
        arrivals: Arrivals,
        pool: Executor | None = None,
        ceiling: float | None = None,
        means: bool = True,
    ) -> None:
        """Take in the maps of a batch, one of the examples a row.

        With a ceiling they are what comes before a rectification: they are clamped from zero to it, in place. Without
        `means` the examples are not ranked by mean.

        With a pool, as many of its threads as torch uses share the work on large maps. Raises `ModelError` if the maps
        are of another size than those before, `ValueError` if there is not one row for each example.
        """
        if len(maps) != len(arrivals):
            raise ValueError(f"{len(maps)} rows of maps came for {len(arrivals)} examples")
        if not len(maps):
            return
        kernels = fused()
        if kernels is None or not maps.is_cpu:
            self._fits(maps)
            if ceiling is not None:
                maps.clamp_(0, ceiling)
            self._add_by_torch(reductions.flat(maps), arrivals, means)
        else:
            self._add_by_kernels(kernels, maps, arrivals, pool, ceiling, means)
        if self.asked.statistics:
            with undivided("gathering statistics"):
                flat = reductions.flat(maps).to(self.moments.pivot.device)
                self.asked.add(flat, reductions.finite(flat, self.moments.pivot))

    def _add_by_kernels(
        self,
        kernels: ModuleType,
        maps: Float[Tensor, "batch unit *positions"],
        arrivals: Arrivals,
        pool: Executor | None,
        ceiling: float | None,
        means: bool,
    ) -> None:
        examples, classes = arrivals.examples, arrivals.classes
        ready = kernels.ready_for(maps.dtype, maps.shape, maps.stride(), ceiling)
        if ready is None and ceiling is not None:
            maps.clamp_(0, ceiling)
            ready = kernels.ready_for(maps.dtype, maps.shape, maps.stride(), None)
        if ready is None or ready is not self._ready:  # or they have fitted before
            self._fits(maps)
            self._ready = ready
        if self._running is None:
            self._running = self._addresses()
        seen = None if self.positions is not None else self.moments.rows.clone()
        lost = kernels.add_maps(maps, examples, classes, self._taking(means), pool, ready)
        if lost == kernels.NEW_CLASS:
            self._admit(classes, kernels)
            lost = kernels.add_maps(maps, examples, classes, self._taking(means), pool, ready)
        if lost and self.classes.broken is None:
            self._note_lost(reductions.flat(maps), classes)
        if seen is not None:
            self.extent.add(self.moments.rows - seen, maps.shape[2:].numel())

    def _taking(self, means: bool) -> Any:
        """Where kernels put what they find; without `means`, leaders that nothing beats stand in for those by mean."""
        if means:
            return self._running
        if self._closed is None:
            self._closed = Leaders.closed(len(self.moments.rows), len(self.by_mean.strengths))
        return elsewhere(
            self._running, mean_strengths=self._closed.strengths.data_ptr(), mean_positions=self._closed.positions.data_ptr()
        )

    def _fits(self, maps: Float[Tensor, "batch unit *positions"]) -> None:
        """Raises `ModelError` for maps of another size."""
        several = self.positions is not None and maps.shape[2:].numel() != self.positions
        if maps.shape[1] != self.by_max.strengths.shape[1] or several:
            raise ModelError(
                f"a layer's output has {tuple(maps.shape[1:])} channels and positions, where it had "
                f"{self.by_max.strengths.shape[1]} and {self.positions}",
                "inputs must be of one size, and the model must not change between passes",
            )

    def _admit(self, classes: Int64[np.ndarray, " batch"], kernels: ModuleType) -> None:
        """Makes places for new classes."""
        sums = self.classes
        before = sums.places.data_ptr(), sums.count.data_ptr()
        sums.admit(classes)
        if before != (sums.places.data_ptr(), sums.count.data_ptr()):
            self._running = self._addresses()

    def _note_lost(self, maps: Float[Tensor, "batch unit position"], classes: Int64[np.ndarray, " batch"]) -> None:
        """Begin to count what each class lost; from then on the kernels do."""
        known = classes >= 0
        finite = reductions.reduce(maps[torch.from_numpy(known)], self.moments.pivot).finite
        self.classes.leave_out((~finite).to(torch.int32), self.classes.places[torch.from_numpy(classes[known])])
        self._running = None

    def _move(self, device: torch.device) -> None:
        if self.moments.pivot.device == device:
            return
        moved = self.to(device)
        for name in _COMPONENTS:
            setattr(self, name, getattr(moved, name))
        self._running = None

    def _add_by_torch(self, maps: Float[Tensor, "batch unit position"], arrivals: Arrivals, means: bool) -> None:
        """Everything is done where the maps are, and nothing waits for the host: what is kept moves there once."""
        device = reductions.kept_on(maps.device)
        self._move(device)
        there = arrivals.on(device, self.sample)
        if not self._settled:
            self.moments.settle(reductions.pivots(maps[:1].to(device)))
            self._settled = True
        rows = reductions.reduce(maps, self.moments.pivot.to(maps.device)).to(device)
        with undivided("taking in what units did"):
            self._take_in(rows, maps, there, arrivals, means)

    def _take_in(
        self, rows: Rows, maps: Float[Tensor, "batch unit position"], there: There, arrivals: Arrivals, means: bool
    ) -> None:
        """Takes in what `reduce` found; from here on what is kept changes."""
        device = self.moments.pivot.device
        if self.positions is None:
            self.extent.add(rows.finite.sum(0), maps.shape[2])
        self.moments.add(rows, maps.shape[2])
        self.classes.admit(arrivals.classes)
        self.classes.add(rows, there.with_class, self.classes.places_on(device)[there.classes])
        self.sample.add(rows, there.sampled, there.slots)
        indices = there.examples[:, None]
        by_max, by_mean = (strength(scores, indices).where(rows.finite, NOTHING) for scores in (rows.max, rows.mean))
        where = reductions.locate(maps, self.by_max.entering(by_max).to(maps.device)).to(device)
        self.by_max.insert(by_max, where)
        if means:
            self.by_mean.insert(by_mean, torch.zeros_like(where))
        self._running = None

    def _addresses(self) -> Any:
        """Where all tensors of this part are in memory; they stay there until one is replaced by a longer one."""
        moments, classes, sample = self.moments, self.classes, self.sample
        units, top, seen = len(moments.rows), len(self.by_max.strengths), len(sample.examples)
        rows = len(classes.count)
        running = Running(
            units=units,
            top=top,
            sample_size=seen,
            class_size=len(classes.places),
            max_strengths=_address(self.by_max.strengths, top, units),
            max_positions=_address(self.by_max.positions, top, units),
            mean_strengths=_address(self.by_mean.strengths, top, units),
            mean_positions=_address(self.by_mean.positions, top, units),
            class_places=_address(classes.places, len(classes.places)),
            class_count=_address(classes.count, rows),
            class_max=_address(classes.max, rows, units),
            class_mean=_address(classes.mean, rows, units),
            class_broken=0 if classes.broken is None else _address(classes.broken, rows, units),
            sample_examples=sample.examples.ctypes.data,
            sample_values=_address(sample.values, seen, units),
            class_rows=rows,
            **{one.name: _address(getattr(moments, one.name), units) for one in fields(moments)},
        )
        return packed(running)

    def merge(self, other: LayerPart) -> None:
        """Take in the part of other examples, which is left as it was."""
        other = other.to(self.moments.pivot.device)
        self.by_max.merge(other.by_max)
        self.by_mean.merge(other.by_mean)
        self.moments.merge(other.moments, other.counts)
        self.extent.merge(other.extent)
        self.classes.merge(other.classes)
        self.sample.merge(other.sample)
        self.asked.merge(other.asked)
        self._running = None

    def to(self, device: torch.device) -> LayerPart:
        """The same on another device; itself if it is there."""
        if self.moments.pivot.device == device:
            return self
        components = {name: _moved(getattr(self, name), device) for name in _COMPONENTS}
        return LayerPart(self.positions, **components)

    def arrays(self) -> dict[str, Shaped[np.ndarray, ...]]:
        """Everything, as plain arrays by name (`component.field`), for a checkpoint; they may share this part's memory."""
        here = self.to(torch.device("cpu"))
        found = {f"{name}.{key}": array for name in _COMPONENTS for key, array in getattr(here, name).arrays().items()}
        return {"positions": np.array(-1 if self.positions is None else self.positions), **found}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Shaped[np.ndarray, ...]]) -> LayerPart:
        """The part whose `arrays` these are; the arrays are copied."""
        components = {
            name: kind.from_arrays(
                {key.removeprefix(f"{name}."): value for key, value in arrays.items() if key.startswith(f"{name}.")}
            )
            for name, kind in _COMPONENTS.items()
        }
        positions = int(arrays["positions"])
        return cls(None if positions < 0 else positions, **components)

    @property
    def counts(self) -> Int64[Tensor, " unit"]:
        """How many activations of each unit were seen."""
        return self.extent.count if self.positions is None else self.moments.rows * self.positions

    def finish(
        self,
        classes: int,
        places: Places | None,
        statistics: Mapping[str, Statistic] = STANDARD,
        counts: Mapping[str, Sums] | None = None,
    ) -> LayerScan:
        """The records of this layer: `classes` is how many the data has, `places` gives receptive fields if there are any,
        `statistics` are those of the layer, and `counts` what was counted of it over time.
        """
        seen = self.moments.seen(self.counts, self.classes, self.sample, classes)
        return LayerScan(
            statistics=worked_out(seen, self.asked.by_statistic(), statistics, counts),
            by_max=self._placed(places),
            by_mean=self.by_mean.ranking(),
            quantiles=self.sample.quantiles(),
            class_max=seen.class_max.astype(np.float32),
            class_mean=seen.class_mean.astype(np.float32),
            sample=seen.sample,
        )

    def _placed(self, places: Places | None) -> Ranking:
        """The ranking by max with positions and, if there are any, boxes; -1 where there is no example."""
        ranking, positions = (
            self.by_max.ranking(),
            self.by_max.positions_by_unit().copy(),
        )
        if places is None:
            return replace(ranking, positions=positions)
        units, ranks = np.nonzero(ranking.examples >= 0)
        found = np.full((*positions.shape, 4), -1, dtype=np.int32)
        named = units.astype(np.int64), positions[units, ranks], ranking.examples[units, ranks]
        positions[units, ranks], found[units, ranks] = places(*named)
        return replace(ranking, positions=positions, boxes=found)


def fused() -> ModuleType | None:
    """The kernels that do everything in one pass, where Numba is installed and may compile."""
    return compiled.module("torchlurk.scanning.kernels")


_COMPONENTS: dict[str, Any] = {
    "by_max": Leaders,
    "by_mean": Leaders,
    "moments": Moments,
    "extent": Extent,
    "classes": ClassSums,
    "sample": Sample,
    "asked": AskedSums,
}


def _address(tensor: Tensor, *shape: int) -> int:
    """Where a tensor of this shape is in memory."""
    if tuple(tensor.shape) != shape or not tensor.is_contiguous() or not tensor.is_cpu:
        raise ValueError(f"a tensor of {tuple(tensor.shape)} is where kernels expect {shape}, contiguous and on the CPU")
    return tensor.data_ptr()


def _moved(component: Any, device: torch.device) -> Any:
    if isinstance(component, AskedSums | ClassSums):
        return component.to(device)
    values = ((one.name, getattr(component, one.name)) for one in fields(component))
    return replace(component, **{name: value.to(device) for name, value in values if isinstance(value, Tensor)})
