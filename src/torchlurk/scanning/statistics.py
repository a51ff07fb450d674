"""Statistics of every unit over all examples: moments, class means, the sample; each mergeable.

A unit's response to an example is finite, or it is counted as broken and enters nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int32, Int64, Shaped, UInt64
from torch import Tensor

from torchlurk.records import Ranking
from torchlurk.scanning.reductions import Rows
from torchlurk.unit_statistics import Seen

QUANTILES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Levels of the per-example max at which an example of the sample is shown."""

NO_CLASS = -1


@dataclass(slots=True)
class Moments:
    """Count, sum and sum of squares of (activation - pivot) over all activations of each unit, in float64.

    The pivot is near the unit's mean where that is far from zero, and zero elsewhere: the variance of a unit whose mean is
    large against its spread is not lost to cancellation. It is NaN until the first example comes. `rows` counts examples,
    `broken` those that were not finite, `active` activations above zero.
    """

    pivot: Float32[Tensor, " unit"]
    rows: Int64[Tensor, " unit"]
    broken: Int64[Tensor, " unit"]
    sum: Float64[Tensor, " unit"]
    squares: Float64[Tensor, " unit"]
    min: Float32[Tensor, " unit"]
    max: Float32[Tensor, " unit"]
    active: Int64[Tensor, " unit"]

    @classmethod
    def empty(cls, units: int) -> Moments:
        """The moments of no example at all."""
        count, number = (torch.zeros(units, dtype=kind) for kind in (torch.int64, torch.float64))
        unsettled, low, high = (torch.full((units,), value) for value in (torch.nan, torch.inf, -torch.inf))
        return cls(unsettled, count, count.clone(), number, number.clone(), low, high, count.clone())

    def settle(self, first: Float32[Tensor, " unit"]) -> None:
        """Take the pivot of units that have none yet."""
        torch.where(self.pivot.isnan(), first, self.pivot, out=self.pivot)

    def add(self, rows: Rows, positions: int) -> None:
        """Take in what the units did on a batch, at `positions` positions each."""
        finite = rows.finite
        self.sum += rows.offset.where(finite, 0.0).sum(0, dtype=torch.float64) * positions
        self.squares += rows.spread.where(finite, 0.0).sum(0, dtype=torch.float64)
        self.active += rows.active.where(finite, 0.0).sum(0, dtype=torch.float64).to(torch.int64)
        self.rows += finite.sum(0)
        self.broken += (~finite).sum(0)
        torch.minimum(self.min, rows.min.where(finite, torch.inf).amin(0), out=self.min)
        torch.maximum(self.max, rows.max.where(finite, -torch.inf).amax(0), out=self.max)

    def merge(self, other: Moments, count: Int64[Tensor, " unit"]) -> None:
        """Take in the moments of other examples, `count` activations, moved to this pivot (where it is not settled, to
        theirs).
        """
        self.settle(other.pivot)
        shift = (other.pivot.double() - self.pivot.double()).nan_to_num(nan=0.0)
        self.squares += other.squares + 2 * shift * other.sum + count * shift.square()
        self.sum += other.sum + count * shift
        self.active += other.active
        self.rows += other.rows
        self.broken += other.broken
        torch.minimum(self.min, other.min, out=self.min)
        torch.maximum(self.max, other.max, out=self.max)

    def arrays(self) -> dict[str, Shaped[np.ndarray, ...]]:
        """Everything, as plain arrays."""
        return {one.name: getattr(self, one.name).numpy() for one in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Shaped[np.ndarray, ...]]) -> Moments:
        """The moments whose `arrays` these are."""
        return cls(**{name: torch.tensor(array) for name, array in arrays.items()})

    def seen(self, counts: Int64[Tensor, " unit"], classes: ClassSums, sample: Sample, of: int) -> Seen:
        """What statistics follow from: `counts` are activations, `of` is how many classes the data has."""
        unseen = self.rows == 0
        low, high = (edge.double().masked_fill(unseen, torch.nan) for edge in (self.min, self.max))
        class_max, class_mean = classes.means(of)
        return Seen(
            rows=self.rows.cpu().numpy(),
            count=counts.cpu().numpy(),
            pivot=self.pivot.cpu().numpy(),
            total=self.sum.cpu().numpy(),
            squares=self.squares.cpu().numpy(),
            active=self.active.cpu().numpy(),
            min=low.cpu().numpy(),
            max=high.cpu().numpy(),
            class_max=class_max,
            class_mean=class_mean,
            sample=sample.by_unit(),
        )


@dataclass(slots=True)
class Extent:
    """How many activations of each unit were seen, where examples differ in how many positions they have."""

    count: Int64[Tensor, " unit"]

    @classmethod
    def empty(cls, units: int) -> Extent:
        """That of no example at all."""
        return cls(torch.zeros(units, dtype=torch.int64))

    def add(self, rows: Int64[Tensor, " unit"], positions: int) -> None:
        """Take in so many examples of each unit, at `positions` positions each."""
        self.count += rows * positions

    def merge(self, other: Extent) -> None:
        """Take in those of other examples."""
        self.count += other.count

    def arrays(self) -> dict[str, Shaped[np.ndarray, ...]]:
        """Everything, as plain arrays."""
        return {"count": self.count.numpy()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Shaped[np.ndarray, ...]]) -> Extent:
        """The extent whose `arrays` these are."""
        return cls(torch.tensor(arrays["count"]))


@dataclass(slots=True)
class ClassSums:
    """Sums over each class's examples of the per-example max and of the per-example mean, in float64.

    A class gets a place (a row) when it is first seen: `places` maps classes to places, -1 for those not seen, and stays
    with the host; rows beyond `known` are spare. `broken` counts responses that were left out, and is there only once there
    is one.
    """

    max: Float64[Tensor, "place unit"]
    mean: Float64[Tensor, "place unit"]
    count: Int64[Tensor, " place"]
    places: Int64[Tensor, " class"]
    known: int = 0
    broken: Int32[Tensor, "place unit"] | None = None
    _there: Int64[Tensor, " class"] | None = field(default=None, repr=False, compare=False)

    @classmethod
    def empty(cls, units: int) -> ClassSums:
        """The sums of no class at all."""
        max, mean = (torch.zeros(0, units, dtype=torch.float64) for _ in range(2))
        return cls(max, mean, torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64))

    def admit(self, classes: Int64[np.ndarray, " batch"]) -> Int64[np.ndarray, " batch"]:
        """The place of each example's class, made if it has none; -1 for an example without class."""
        most = int(classes.max(initial=NO_CLASS)) + 1
        if most > len(self.places):
            self.places = _lengthened(self.places, _room(most), NO_CLASS)
        places = self.places.numpy()
        for index in dict.fromkeys(classes[classes >= 0].tolist()):
            if places[index] < 0:
                places[index] = self.known
                self.known += 1
                self._there = None
        if self.known > len(self.count):
            self._grow(_room(self.known))
        return np.array([places[index] if index >= 0 else NO_CLASS for index in classes.tolist()], dtype=np.int64)

    def places_on(self, device: torch.device) -> Int64[Tensor, " class"]:
        """`places` on a device; sent there again only when classes have come."""
        if self._there is None or self._there.device != device:
            self._there = self.places.to(device)
        return self._there

    def to(self, device: torch.device) -> ClassSums:
        """The same on another device; the places stay with the host."""
        lost = None if self.broken is None else self.broken.to(device)
        return ClassSums(self.max.to(device), self.mean.to(device), self.count.to(device), self.places, self.known, lost)

    def _grow(self, room: int) -> None:
        self.max, self.mean, self.count = (_lengthened(old, room) for old in (self.max, self.mean, self.count))
        if self.broken is not None:
            self.broken = _lengthened(self.broken, room)

    def add(self, rows: Rows, known: Int64[Tensor, " row"], onto: Int64[Tensor, " row"]) -> None:
        """Take in what the units did on those examples of a batch that have a class, whose places are `onto`."""
        if not len(known):
            return
        finite = rows.finite[known]
        self.max.index_add_(0, onto, rows.max[known].double().where(finite, 0.0))
        self.mean.index_add_(0, onto, rows.mean[known].double().where(finite, 0.0))
        self.count.index_add_(0, onto, torch.ones_like(onto))
        if not self.max.is_cpu or not bool(finite.all()):  # to look would make a device wait for the host
            self.leave_out((~finite).to(torch.int32), onto)

    def leave_out(self, lost: Int32[Tensor, "row unit"], places: Int64[Tensor, " row"]) -> None:
        """Note how many responses, to examples of the classes with these places, were not finite."""
        if self.broken is None:
            self.broken = torch.zeros(self.max.shape, dtype=torch.int32, device=self.max.device)
        self.broken.index_add_(0, places, lost)

    def merge(self, other: ClassSums) -> None:
        """Take in the sums of other examples."""
        onto = torch.from_numpy(self.admit(other.order())).to(self.max.device)
        self.max.index_add_(0, onto, other.max[: other.known])
        self.mean.index_add_(0, onto, other.mean[: other.known])
        self.count.index_add_(0, onto, other.count[: other.known])
        if other.broken is not None:
            self.leave_out(other.broken[: other.known], onto)

    def order(self) -> Int64[np.ndarray, " place"]:
        """The classes seen, by place."""
        places = self.places.numpy()
        seen = np.flatnonzero(places >= 0)
        return seen[np.argsort(places[seen])].astype(np.int64)

    def arrays(self) -> dict[str, Shaped[np.ndarray, ...]]:
        """Everything, as plain arrays, without the spare rows; `order` lists the classes by place."""
        found = {name: getattr(self, name)[: self.known].numpy() for name in ("max", "mean", "count")}
        if self.broken is not None:
            found["broken"] = self.broken[: self.known].numpy()
        return {**found, "order": self.order()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Shaped[np.ndarray, ...]]) -> ClassSums:
        """The sums whose `arrays` these are."""
        sums = cls.empty(arrays["max"].shape[1])
        sums.admit(arrays["order"])
        for name in ("max", "mean", "count"):
            getattr(sums, name)[: sums.known] = torch.tensor(arrays[name])
        if "broken" in arrays:
            sums.leave_out(torch.tensor(arrays["broken"]), torch.arange(sums.known))
        return sums

    def means(self, classes: int) -> tuple[Float64[np.ndarray, "unit class"], Float64[np.ndarray, "unit class"]]:
        """Class means of the per-example max and of the per-example mean; NaN for a class without examples."""
        count = self.count[: self.known, None].double()
        if self.broken is not None:
            count = count - self.broken[: self.known]
        found = []
        for sums in (self.max, self.mean):
            means = np.full((sums.shape[1], classes), np.nan)
            means[:, self.order()] = (sums[: self.known] / count).T.cpu().numpy()
            found.append(means)
        return found[0], found[1]


@dataclass(slots=True)
class Sample:
    """The per-example max of every unit on the examples of the study's random sample; NaN where not seen.

    `examples` is sorted. Examples are the first axis, so that one example's maxima are written side by side.
    """

    examples: Int64[np.ndarray, " example"]
    values: Float32[Tensor, "example unit"]

    @classmethod
    def empty(cls, examples: Int64[np.ndarray, " example"], units: int) -> Sample:
        """The sample with none of its examples seen."""
        return cls(np.ascontiguousarray(examples), torch.full((len(examples), units), torch.nan))

    def slots(self, examples: Int64[np.ndarray, " batch"]) -> Int64[np.ndarray, " batch"]:
        """Where in the sample each example of a batch is; -1 where it is not in it."""
        if not len(self.examples):
            return np.full(len(examples), -1)
        found = np.searchsorted(self.examples, examples)
        found[found == len(self.examples)] = 0
        return np.where(self.examples[found] == examples, found, -1)

    def add(self, rows: Rows, known: Int64[Tensor, " row"], slots: Int64[Tensor, " row"]) -> None:
        """Keep the maxima of those examples of a batch that are in the sample, at their `slots`."""
        if len(known):
            self.values[slots] = rows.max.where(rows.finite, torch.nan)[known]

    def merge(self, other: Sample) -> None:
        """Take in what was seen of the same sample elsewhere."""
        torch.where(other.values.isnan(), self.values, other.values, out=self.values)

    def arrays(self) -> dict[str, Shaped[np.ndarray, ...]]:
        """Everything, as plain arrays; only the rows of examples that were seen."""
        seen = np.flatnonzero(~self.values.isnan().all(1).numpy())
        return {"examples": self.examples, "seen": seen, "values": self.values.numpy()[seen]}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Shaped[np.ndarray, ...]]) -> Sample:
        """The sample whose `arrays` these are."""
        sample = cls.empty(arrays["examples"].copy(), arrays["values"].shape[1])
        sample.values[torch.tensor(arrays["seen"])] = torch.tensor(arrays["values"])
        return sample

    def by_unit(self) -> Float32[np.ndarray, "unit example"]:
        """The maxima of each unit, in the order of `examples`."""
        return np.ascontiguousarray(self.values.T.cpu().numpy())

    def quantiles(self) -> Ranking:
        """For each unit the example nearest to each level of `QUANTILES`, of equal ones that of the lower index first."""
        values = self.by_unit()
        order = np.argsort(values, axis=1, kind="stable")  # NaN comes last
        seen = (~np.isnan(values)).sum(1, keepdims=True)
        rank = np.floor(np.array(QUANTILES) * (seen - 1) + 0.5).astype(np.int64)
        if not values.shape[1]:
            return Ranking(np.full(rank.shape, np.nan, np.float32), np.full(rank.shape, -1))
        chosen = np.take_along_axis(order, np.maximum(rank, 0), axis=1)
        scores = np.take_along_axis(values, chosen, axis=1)
        return Ranking(scores, np.where(np.isnan(scores), -1, self.examples[chosen]))


def draw_sample(examples: int, size: int, seed: int) -> Int64[np.ndarray, " example"]:
    """`size` of the examples 0 .. `examples` - 1, drawn at random without replacement, sorted; all if there are fewer.

    An example is in the sample if a hash of (seed, index) is among the `size` lowest: the same on every machine and
    with every version of every library, and a larger sample contains a smaller one.
    """
    with np.errstate(over="ignore"):
        hashes = _mixed(np.arange(examples, dtype=np.uint64) + _mixed(np.array([seed], dtype=np.uint64)))
    if size >= examples:
        return np.arange(examples, dtype=np.int64)
    return np.sort(np.argsort(hashes, kind="stable")[:size]).astype(np.int64)


def _mixed(numbers: UInt64[np.ndarray, " number"]) -> UInt64[np.ndarray, " number"]:
    """The output function of SplitMix64 (Steele, Lea & Flood 2014, fig. 1): a bijection that scatters neighbours."""
    mixed = numbers + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def _room(length: int) -> int:
    """Rows to set aside for so many: doubled each time, so that growing costs little however often."""
    return 1 << (length - 1).bit_length()


def _lengthened(rows: Shaped[Tensor, ...], length: int, fill: int = 0) -> Shaped[Tensor, ...]:
    return torch.cat([rows, rows.new_full((length - len(rows), *rows.shape[1:]), fill)])
