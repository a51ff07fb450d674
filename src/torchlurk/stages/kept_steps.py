"""Steps that a scan keeps of chosen layers (`--keep-steps`): which layers, how much that takes, in what range each unit is."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from torchlurk.errors import OptionError
from torchlurk.inputs.feeding import feed
from torchlurk.inputs.source import Source
from torchlurk.jobs import Shard
from torchlurk.models.taps.as_found import evaluation
from torchlurk.models.taps.reading import reading
from torchlurk.records import Layer
from torchlurk.scanning.deliveries import Deliveries
from torchlurk.scanning.job import Scan
from torchlurk.scanning.kept_steps import Ranges, StepsOfLayer
from torchlurk.scanning.steps import Seen, counted_of
from torchlurk.stages.stage import Task
from torchlurk.store.kept_steps import clipped, store_levels, store_steps
from torchlurk.store.writing import Writer
from torchlurk.time_records import Levels
from torchlurk.units import aliased, matching

MEASURED = 64
"""Examples on which the range of units is measured."""

OF_FREE = 0.5
"""The share of the free disk space that may be filled."""

UNITS = ("bytes", "kB", "MB", "GB", "TB")


def refuse_pictures(task: Task) -> None:
    """Raises `OptionError` where steps of pictures are asked for."""
    kind = task.source.kind.name
    if task.settings.scan.keep_steps and kind == "pictures":
        raise OptionError(f"--keep-steps is for text and series; DATA is {kind}", "leave it out: pictures have no steps")


def layers_kept(layers: Sequence[Layer], globs: Sequence[str]) -> list[Layer]:
    """The scanned layers with steps that any of the globs means; raises `UnitError` for one that matches none, `OptionError`
    where none that is meant has steps.
    """
    names = [layer.name for layer in layers]
    wanted = matching([aliased(glob, names) for glob in globs], names)
    found = [layer for layer in layers if layer.name in wanted and layer.layout == "sequence"]
    if globs and not found:
        having = [layer.name for layer in layers if layer.layout == "sequence"]
        raise OptionError(
            f"--keep-steps {' '.join(globs)}: {', '.join(wanted[:3])} has no steps",
            f"layers with steps: {', '.join(having)}" if having else "no layer of this model has steps: leave it out",
        )
    return found


def bytes_kept(layers: Sequence[Layer], source: Source, within: Shard) -> int:
    """About how many bytes the steps of these layers take: one a unit and counted step, in proportion where a layer has fewer
    positions.
    """
    counted = sum(last - first for first, last in map(source.counted, range(within.start, within.stop)))
    lengths = source.lengths
    longest = int(lengths.max(initial=1)) if lengths is not None else 1
    return sum(layer.channels * counted * layer.positions // max(1, longest) for layer in layers)


def tell_size(task: Task, layers: Sequence[Layer], within: Shard) -> None:
    """Says how much will be kept; raises `OptionError` where that is more than a share of the free disk space."""
    size = bytes_kept(layers, task.source, within)
    names = ", ".join(layer.name for layer in layers[:4]) + (f" and {len(layers) - 4} more" if len(layers) > 4 else "")
    folder = task.out.absolute().parent
    free = _free(folder)
    if size > free * OF_FREE:
        raise OptionError(
            f"--keep-steps would keep {in_bytes(size)} of {names}, more than half of the {in_bytes(free)} free in {folder}",
            "name fewer layers, use fewer examples with --limit, or choose another --out",
        )
    task.progress.say(f"--keep-steps keeps {in_bytes(size)}: one byte a step and unit of {names}")


def _free(folder: Path) -> int:
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def in_bytes(size: int) -> str:
    """A number of bytes as people read it."""
    power = 0 if size < 1000 else min(len(UNITS) - 1, (len(str(size)) - 1) // 3)
    return f"{size} bytes" if not power else f"{size / 1000**power:.3g} {UNITS[power]}"


def measured_levels(scan: Scan, layers: Sequence[Layer]) -> dict[str, Levels]:
    """How the values of each layer are kept, by their range on the first examples of the sample that can be read."""
    ranges = {layer.name: Ranges.empty(layer.channels) for layer in layers}
    if layers:
        taking = Deliveries(layers, ranges, None)
        with evaluation(scan.network), torch.inference_mode(), reading(scan.network, layers, taking, rectify=taking):
            for batch in feed(scan.source, np.sort(scan.sample[:MEASURED]).tolist(), scan.batch_size, scan.workers):
                if len(batch):
                    for rows in taking.passes(batch.examples, batch.classes, Seen(counted_of(batch))):
                        scan.passed(taking, batch, rows)
    return {layer.name: ranges[layer.name].levels(layer) for layer in layers}


def write_levels(writer: Writer, keeping: Mapping[str, Levels]) -> None:
    """Records how the values of layers are kept."""
    with writer.writing() as db:
        for layer, meaning in keeping.items():
            store_levels(db, layer, meaning)


def write_waiting(writer: Writer, kept: Mapping[str, StepsOfLayer]) -> None:
    """Writes the steps that wait, in the transaction that says that their examples are done."""
    with writer.writing() as db:
        store_steps(db, {layer: one.waiting for layer, one in kept.items()})
    for one in kept.values():
        one.waiting.clear()


def note_clipped(writer: Writer) -> None:
    """Notes of which layers values are beyond the range that was measured."""
    with writer.writing() as db:
        found: Mapping[str, tuple[int, int]] = clipped(db)
    for layer, (beyond, of) in found.items():
        if beyond:
            writer.add_note(
                "steps",
                f"of the steps kept of {layer}, {beyond:,} of {of:,} values are beyond the range seen on {MEASURED} examples,"
                " or no numbers, and are clipped",
            )
