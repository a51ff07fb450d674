"""What a scan that has seen all examples says of the data and of each layer, as it is written to the study."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from torchlurk.input_records import KindName
from torchlurk.inputs.output_order import Choice, called_by_numbers, check_trained, choose_order
from torchlurk.records import Class, Example, Layer, Ranking, Skip
from torchlurk.scanning.job import ScanPart
from torchlurk.scanning.over_time import counts_of
from torchlurk.scanning.part import Places
from torchlurk.stages.token_results import keep_responses
from torchlurk.store.notes import some_of
from torchlurk.store.writing import Writer
from torchlurk.unit_statistics import statistics_of

MANY_TIES = 0.1
"""A layer is named where at least this share of its units has nothing but ties among its leaders."""


@dataclass(frozen=True, slots=True)
class Scanned:
    """The data of a scan: `skipped` is what was passed over when the examples were listed, not what could not be read."""

    kind: KindName
    classes: Sequence[Class]
    examples: Sequence[Example]
    skipped: Sequence[Skip]


def keep_results(
    writer: Writer, part: ScanPart, data: Scanned, layers: Sequence[Layer], places: Callable[[Layer], Places]
) -> Choice:
    """Writes what the finished part says, one layer a transaction; gives what was found of the order of the classes."""
    examples = (
        replace(one, class_index=int(known)) if known >= 0 else one
        for one, known in zip(data.examples, part.classes, strict=True)
    )
    with writer.transaction():
        writer.write_data(data.classes, examples, [*data.skipped, *_skips(data.examples, part)])
        if data.kind == "pictures":
            writer.write_input_statistics(part.inputs.finish())
        order = _keep_order(writer, part, data)
    tied: dict[str, float] = {}
    for layer in layers:
        scanned = part.layers[layer.name]
        found = scanned.finish(len(data.classes), places(layer), statistics_of(layer), counts_of(layer, layers, part.over_time))
        writer.write_scan(layer.name, found)
        if ties := tied_share(found.by_max):
            tied[layer.name] = ties
        if scanned.examples < part.seen:
            told = f"{scanned.examples} of {part.seen} examples reach it; its results cover only those"
            writer.add_note("layer", f"layer {layer.name}: {told}")
        if scanned.broken:
            share = f"{scanned.broken} responses of units to examples are not finite and are ignored"
            writer.add_note("nonfinite", f"layer {layer.name}: {share}")
    keep_responses(writer, part.over_time, layers)
    for note in _told_of_ties(tied, layers) if tied else ():
        writer.add_note("ties", note)
    return order


def _skips(examples: Sequence[Example], part: ScanPart) -> list[Skip]:
    return [Skip(examples[index].path or str(index), reason) for index, reason in sorted(part.skipped.items())]


def _keep_order(writer: Writer, part: ScanPart, data: Scanned) -> Choice:
    """Writes which output is which class, where their names leave that open."""
    names = [one.name for one in data.classes]
    choose = choose_order if called_by_numbers(names) else check_trained
    chosen = choose(names, part.outputs, part.answers, part.classes)
    writer.write_output_classes(chosen.order)
    if chosen.note:
        writer.add_note("classes", chosen.note)
    return chosen


def tied_share(ranking: Ranking) -> float:
    """The share of units whose strongest examples all score the same, above zero: which are kept is then by chance.

    0 where it is less than `MANY_TIES`, or where only one example is kept.
    """
    first, last = ranking.scores[:, 0], ranking.scores[:, -1]
    share = float(((first == last) & (first > 0)).mean()) if ranking.scores.shape[1] > 1 else 0.0
    return share if share >= MANY_TIES else 0.0


GATES_TIE = "gates saturate: where a gate's strongest examples all reach the same value, the first in the data are shown"


def _told_of_ties(shares: Mapping[str, float], layers: Sequence[Layer]) -> Iterator[str]:
    """Notes on layers with ties. Gates are not named one by one: fully open in many examples is what gates are."""
    tied = sorted((one for one in layers if one.name in shares), key=lambda layer: -shares[layer.name])
    others = [one for one in tied if not one.gate]
    if others:
        named = some_of([f"{one.name} ({shares[one.name]:.0%})" for one in others])
        before = " (--tap output reads units before the nonlinearity)" if any(one.nonlinearity for one in others) else ""
        yield (
            f"units whose strongest examples all reach the same value{_ceiling(others)}: {named}; of these the first in the"
            f" data are shown{before}"
        )
    if len(others) < len(tied):
        yield GATES_TIE


def _ceiling(layers: Sequence[Layer]) -> str:
    """What they tie at, where that is known and the same for all."""
    kinds = {"a recurrent state" if one.module else one.nonlinearity for one in layers}
    kind = kinds.pop()
    return f", as at the ceiling of {kind}" if kind and not kinds else ""
