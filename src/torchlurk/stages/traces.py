"""What units did at each step of their exemplars: one more pass over those examples alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from torchlurk.inputs.feeding import feed
from torchlurk.models.taps.as_found import evaluation
from torchlurk.models.taps.reading import reading
from torchlurk.scanning.arrivals import Arrivals
from torchlurk.scanning.deliveries import Deliveries
from torchlurk.scanning.job import Scan
from torchlurk.scanning.steps import Seen, counted_of
from torchlurk.store.writing import Writer


@dataclass(frozen=True, slots=True)
class _Traces:
    """Stores what the units of one layer did, of each example those that are wanted of it."""

    writer: Writer
    layer: str
    units: Mapping[int, Sequence[int]]

    def add(
        self,
        maps: Float[Tensor, "batch unit *positions"],
        arrivals: Arrivals,
        pool: Executor | None,
        ceiling: float | None = None,
        means: bool = True,
    ) -> None:
        """Takes what `Deliveries` gives it; the scan alone needs the last three."""
        for row, example in enumerate(arrivals.examples.tolist()):
            if channels := self.units.get(example):
                values = maps[row, channels].float().cpu().numpy()
                self.writer.write_traces(self.layer, example, np.array(channels, np.int64), values)


def keep_traces(writer: Writer, scan: Scan, of_all_units: Sequence[int] = ()) -> None:
    """Stores, for each unit of a layer with steps and each of its exemplars, the unit's value at every step; and of every unit
    on the examples `of_all_units`.
    """
    layers = [layer for layer in scan.layers if layer.layout == "sequence"]
    units = {
        layer.name: writer.exemplar_units(layer.name) | {one: list(range(layer.channels)) for one in of_all_units}
        for layer in layers
    }
    examples = sorted({example for found in units.values() for example in found})
    parts = {name: _Traces(writer, name, found) for name, found in units.items()}
    taking = Deliveries(layers, parts, None, every_step=True)
    scan.progress.begin("traces", len(examples))
    with evaluation(scan.network), torch.inference_mode(), reading(scan.network, layers, taking):
        for batch in feed(scan.source, examples, scan.batch_size, scan.workers):
            if len(batch):
                with writer.transaction():
                    for rows in taking.passes(batch.examples, batch.classes, Seen(counted_of(batch))):
                        scan.passed(taking, batch, rows)
            scan.progress.advance(len(batch) + len(batch.skipped))
    scan.progress.end()
