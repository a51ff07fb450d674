"""What units did at each step of their exemplars: one more pass over those examples alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from torchlurk.inputs.feeding import feed
from torchlurk.inputs.items import Batch
from torchlurk.models.taps.as_found import evaluation
from torchlurk.models.taps.reading import maps, reading
from torchlurk.records import Layer
from torchlurk.scanning.job import Scan
from torchlurk.store.writing import Writer


class _PartError(Exception):
    """A layer was given a part of the batch."""


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
    batch: Batch

    def deliver(layer: Layer, tensor: Tensor) -> None:
        found = maps(layer, tensor, len(batch))
        if len(found) != len(batch):
            raise _PartError
        for row, example in enumerate(batch.examples.tolist()):
            channels = units[layer.name].get(example, [])
            if channels:
                values = found[row, channels].float().cpu().numpy()
                writer.write_traces(layer.name, example, np.array(channels, np.int64), values)

    def run() -> None:
        with writer.transaction(), reading(scan.network, layers, deliver):
            scan.network(scan.source.kind.inputs(batch, scan.device, scan.dtype))

    scan.progress.begin("traces", len(examples))
    with evaluation(scan.network), torch.inference_mode():
        for several in feed(scan.source, examples, scan.batch_size, scan.workers):
            batch = several
            try:
                if len(batch):
                    run()
            except _PartError:
                for alone in feed(scan.source, several.examples.tolist(), 1, 1):
                    batch = alone
                    run()
            scan.progress.advance(len(several) + len(several.skipped))
    scan.progress.end()
