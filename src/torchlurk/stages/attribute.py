"""The stage `attribute`: what in each exemplar excited the unit, by several methods, and how far to trust the pictures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from typing import Any

from torch import Tensor, nn

from torchlurk.attribution import evidence
from torchlurk.attribution.batches import Found, Made, Pairs, Piece, Ranking
from torchlurk.attribution.job import Attribute
from torchlurk.attribution.methods import method as method_named
from torchlurk.engines.description import Recipe
from torchlurk.engines.naming import check_doable
from torchlurk.errors import ModelError, StudyError, UnitError
from torchlurk.jobs import Hands, once
from torchlurk.models.survey.layers import survey
from torchlurk.records import Exemplar, Layer
from torchlurk.run_records import Run, StageCount
from torchlurk.scanning.repeatability import COMPANY, Dependence, dependences, reaching
from torchlurk.stages.attributing import SCENES
from torchlurk.stages.conclusions import CHECKED_UNITS, NOTHING_NEW, Concluded, Conclusions, Rows, standing_for
from torchlurk.stages.places import BY_KIND
from torchlurk.stages.shares import units_of
from torchlurk.stages.stage import Task, now, units_asked
from torchlurk.store import queries
from torchlurk.store.notes import begun
from torchlurk.store.reading import Reader
from torchlurk.store.writing import Writer
from torchlurk.units import Unit

UNITS = 16, 128
"""So many units of a layer are made at once and written in one transaction: to begin with, and at most."""

UNITS_THERE = 64, 512
"""The same on any device but a CPU: passes are wider there, and several devices share them."""

SECONDS = 15.0, 45.0
"""Units that took less than the first are twice as many next time, half as many if they took more than the second: more
find company whose windows are alike, and what an interruption costs stays small.
"""

CHANGED = {"fp32": 2e-3, "fp16": 1e-2, "bf16": 5e-2}
"""A recorded activation and the one found now differ by more than the rounding of the scan's format if by more than this share.
"""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Units of a layer that lack pictures of some exemplars, each with the methods; how many were asked for; and whether what
    is said of the layer as a whole is said here: in a part, where those units are that stand for it.
    """

    layer: Layer
    asked: int
    lacking: Mapping[int, tuple[str, ...]]
    concludes: bool


class AttributeStage:
    """Attributions of the exemplars that the scan found, a few units at a time, each with all its methods at once."""

    name = "attribute"

    def __init__(self, task: Task) -> None:
        self._task = task
        self._options = task.settings.attribute
        for name in self._options.methods:
            method_named(name)

    def options(self) -> Mapping[str, Any]:
        """Nothing but the inputs decides a picture of a method; which are made is a matter of what is asked for."""
        return self._task.data_options()

    def lacking(self, earlier: Run) -> bool:
        """Whether a unit asked for has no picture by a method asked for."""
        with Reader(self._task.out) as reader:
            return any(one.lacking for one in self._wanted(reader))

    def work(self, run: Run, earlier: Run | None) -> None:
        """Makes what is lacking, some units a transaction."""
        task = self._task
        with task.writer() as writer, Reader(task.out) as reader:
            scan = writer.runs().get("scan")
            if scan is None or scan.finished is None:
                raise StudyError(f"the scan of '{task.out}' is not finished", "run the scan stage first")
            self._wanted(reader)  # what is not there is refused before the stage is begun
            network = task.network("fp32")
            with task.called(network) as arguments, task.first_input(network) as example:
                work = _Work(task, network, task.recipe(network, "fp32", arguments), example, scan, reader, writer)
                check_doable(task.engine, work.job)
                (writer.reopen if earlier and earlier.finished else writer.begin)(run)
                self._all_layers(work)
            writer.finish(self.name, now())

    def _wanted(self, reader: Reader) -> list[_Wanted]:
        """What is to be made, in order of execution of the layers."""
        scanned = queries.unit_counts(reader)
        layers = reader.layers()
        numbers = {layer.name: number for number, layer in enumerate(layers) if number in scanned}
        asked = {name: some for name, some in units_asked(self._task.settings, layers).items() if name in numbers}
        refused = begun(text for kind, text in reader.notes() if kind == "attribute")
        done = {name: queries.attributed(reader, numbers[name]) for name in asked}
        seed = reader.runs()["scan"].seed
        standing = {name: standing_for(seed, name, {channel for channel, _ in done[name]} | set(asked[name])) for name in asked}
        ordered = {name: sorted(asked[name], key=lambda one: (one not in standing[name], one)) for name in asked}
        share = units_of(self._task.share, ordered, CHECKED_UNITS)
        found = []
        for number, layer in enumerate(layers):
            if layer.name not in asked:
                continue
            methods = [one for one in self._options.methods if undefined(layer, one) not in refused]
            most = min(self._options.exemplars, queries.exemplars_kept(reader, number))
            made = done[layer.name]
            channels = [one for one in asked[layer.name] if one in share[layer.name]]
            lacking = {channel: tuple(one for one in methods if made.get((channel, one), 0) < most) for channel in channels}
            concludes = self._task.share is None or not share[layer.name].isdisjoint(standing[layer.name])
            found.append(_Wanted(layer, len(channels), {one: some for one, some in lacking.items() if some}, concludes))
        return found

    def _all_layers(self, work: _Work) -> None:
        wanted = self._wanted(work.reader)
        total = sum(one.asked for one in wanted)
        done = total - sum(len(one.lacking) for one in wanted)
        self._task.progress.begin(self.name, total, done)
        with self._task.engine.each(work.job) as hands:
            for one in wanted:
                if one.lacking:
                    for some in work.layer(one, self._options.exemplars, hands):
                        done += some
                        work.writer.count(self.name, StageCount(done, total))
                        self._task.progress.advance(some)
        self._task.progress.end()


class _Work:
    """What the layers have in common: the network, its inputs, the study."""

    def __init__(
        self, task: Task, network: nn.Module, recipe: Recipe, example: Tensor, scan: Run, reader: Reader, writer: Writer
    ) -> None:
        self.task, self.network, self.reader, self.writer, self.seed = task, network, reader, writer, scan.seed
        kind = task.source.kind.name
        self.found = survey(network, example, scan.options.get("tap", "activation"), BY_KIND[kind])
        tolerance = CHANGED[scan.options.get("precision", "fp32")]
        scene = SCENES[kind](task, network, self.found, example, reader, tolerance)
        self.job = Attribute(network, {layer.name: layer for layer in self.found.layers}, scene, recipe)

    @cached_property
    def _dependences(self) -> tuple[Dependence, ...]:
        with self.task.some_inputs(self.network, COMPANY) as inputs:
            return dependences(self.network, self.found.layers, inputs)

    def why_changed(self, layer: Layer) -> str:
        """Why an exemplar may excite a unit of the layer in another way than it did in the scan."""
        known = reaching(self._dependences, self.found.layers, layer.name)
        return known.told if known else "has the data changed, or is it augmented at random?"

    def layer(self, wanted: _Wanted, most: int, hands: Hands[Piece, Made]) -> Iterator[int]:
        """Makes the pictures of these units; gives how many units were done, again and again."""
        layer, units = wanted.layer, wanted.lacking
        try:
            own = self.found.layer(layer.name)
        except (ModelError, UnitError) as error:
            self.writer.add_note("attribute", f"layer {layer.name}: {error.message}")
            yield len(units)
            return
        pictures = _Pictures(self, own, wanted.concludes)
        left, (at_once, at_most) = pictures.ordered(units), UNITS if self.job.scene.device.type == "cpu" else UNITS_THERE
        while left:
            some, left = left[:at_once], left[at_once:]
            started = self.task.clock()
            pictures.make({channel: units[channel] for channel in some}, most, hands)
            taken = self.task.clock() - started
            if taken < SECONDS[0]:
                at_once = min(2 * at_once, at_most)
            elif taken > SECONDS[1]:
                at_once = max(1, at_once // 2)
            yield len(some)


class _Pictures:
    """The pictures of one layer: made by many, written here."""

    def __init__(self, work: _Work, layer: Layer, concludes: bool) -> None:
        self._work, self._layer, self._concludes = work, layer, concludes
        self._undefined: set[str] = set()
        self._exemplars: dict[int, Mapping[str, tuple[Exemplar, ...]]] = {}
        self._own = work.job.attributor(layer.name, work.network, self._undefined)
        self._rows: Rows = queries.attributed_ranks(work.reader, layer.name)
        ranks = sorted(frozenset().union(*self._rows.values()))
        self._expected = {channel: rank + 1 for channel, rank in ranks}
        self._changed: int | None = 0 if not ranks else None
        self._conclusions = Conclusions(
            layer,
            self._own,
            work.network,
            evidence.weights_below(work.network, work.found.graph, layer),
            work.seed,
            self._by_max,
        )

    def ordered(self, units: Iterable[int]) -> list[int]:
        """The units in the order in which they are made: first those that stand for the layer, then by channel."""
        known = {channel for ranks in self._rows.values() for channel, _ in ranks}
        first = standing_for(self._work.seed, self._layer.name, known | set(units))
        return sorted(units, key=lambda channel: (channel not in first, channel))

    def make(self, methods: Mapping[int, tuple[str, ...]], most: int, hands: Hands[Piece, Made]) -> None:
        """All pictures of a few units, by the methods that each lacks, written in one transaction with what follows for the
        layer.
        """
        found: dict[int, list[Found]] = {channel: [] for channel in methods}
        recalls: dict[int, dict[int, float]] = {channel: {} for channel in methods}
        last_steps: dict[int, dict[int, tuple[tuple[int, float], ...]]] = {channel: {} for channel in methods}
        refused: dict[str, str] = {}
        for _, made in sorted(once(hands(self._pieces(methods, most))), key=itemgetter(0)):
            refused |= made.refused
            for one in made.found:
                found[one.channel].append(one)
            for channel, rank, share in made.recalls:
                recalls[channel][rank] = share
            for channel, rank, shares in made.last_steps:
                last_steps[channel][rank] = shares
        self._undefined |= set(refused)
        before, self._rows = self._rows, _added(self._rows, [one for pictures in found.values() for one in pictures])
        concluded = self._conclusions.drawn(before, self._rows) if self._concludes else NOTHING_NEW
        for channel, names in methods.items():
            if any(name not in self._undefined for name in names):
                kept = sum(rank < most for rank in self._by_max(channel))
                self._expected[channel] = max(kept, self._expected.get(channel, 0))
        writer = self._work.writer
        with writer.transaction():
            for name, reason in refused.items():
                writer.add_note("attribute", f"{undefined(self._layer, name)}: {reason}")
            for channel, pictures in found.items():
                unit = Unit(self._layer.name, channel)
                writer.write_attributions(unit, [one.stored(writer.write_picture) for one in pictures])
                writer.write_recall(unit, recalls[channel])
                writer.write_last_steps(unit, last_steps[channel])
            self._conclude(concluded)
            self._note_changed()

    def _by_max(self, channel: int) -> Mapping[int, Exemplar]:
        """The exemplars of a unit by max, by their rank."""
        self._read([channel])
        return {one.rank: one for one in self._exemplars[channel]["max"]}

    def _read(self, channels: Iterable[int]) -> None:
        """Reads the exemplars of these units, once each."""
        lacking = [channel for channel in channels if channel not in self._exemplars]
        if not lacking:
            return  # a study that is being written is opened anew each time
        reader = self._work.reader
        with reader.reading():
            for channel in lacking:
                self._exemplars[channel] = reader.unit(Unit(self._layer.name, channel)).exemplars

    def _conclude(self, concluded: Concluded) -> None:
        writer = self._work.writer
        for method, check in concluded.checks.items():
            writer.replace_check(self._layer.name, method, check)
        if concluded.new_field:
            writer.replace_effective_field(self._layer.name, concluded.field)

    def _pieces(self, methods: Mapping[int, tuple[str, ...]], most: int) -> list[Piece]:
        """What is to be done for the units; what is known of boxes is for all exemplars, pictures for the strongest `most`."""
        self._read(methods)
        methods = {channel: tuple(one for one in some if one not in self._undefined) for channel, some in methods.items()}
        rankings: tuple[Ranking, ...] = ("max", "mean") if self._layer.shape else ("max",)
        pieces = []
        for ranking in rankings:
            every = [(channel, one) for channel in methods for one in self._exemplars[channel][ranking]]
            pictured = [pair for pair in every if pair[1].rank < most]
            others = [pair for pair in every if pair[1].rank >= most and ranking == "max"]
            for some, wanted in ((pictured, methods), (others, {})):
                if some:
                    channels, exemplars = zip(*some, strict=True)
                    pairs = Pairs(ranking, channels, exemplars)
                    pieces += [Piece(self._layer.name, piece, wanted) for piece in self._own.pieces(pairs)]
        return pieces

    def _note_changed(self) -> None:
        """Says how many exemplars by max have no attribution although their unit was looked at."""
        changed = sum(self._expected.values()) - len(frozenset().union(*self._rows.values()))
        if changed == self._changed:
            return
        self._changed = changed
        told = f"{changed} {CHANGED_TOLD} ({self._work.why_changed(self._layer)}); they have no attributions" if changed else ""
        beginning = note_of_changed(self._layer.name)
        self._work.writer.replace_note("attribute", beginning, beginning + told if changed else None)


CHANGED_TOLD = "exemplars excite their units differently than during the scan"


def note_of_changed(layer: str) -> str:
    """How the note begins that says how many exemplars of a layer have no attributions."""
    return f"layer {layer}: "


def _added(rows: Rows, pictures: Iterable[Found]) -> Rows:
    added: dict[str, set[tuple[int, int]]] = {}
    for one in pictures:
        if one.ranking == "max":
            added.setdefault(one.method, set()).add((one.channel, one.exemplar.rank))
    return dict(rows) | {name: rows.get(name, frozenset()) | some for name, some in added.items()}


def undefined(layer: Layer, method: str) -> str:
    """How the note begins that says that a method gives no picture of a layer."""
    return f"layer {layer.name}, {method}"
