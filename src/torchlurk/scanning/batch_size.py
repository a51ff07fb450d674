"""How many examples a forward pass takes at once, found by a short trial."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor, nn

from torchlurk.jobs import Clock
from torchlurk.models.taps.as_found import as_found
from torchlurk.models.taps.reading import reading
from torchlurk.records import Layer
from torchlurk.scanning.deliveries import Deliveries
from torchlurk.scanning.part import LayerPart
from torchlurk.scanning.room import as_many_as_fit
from torchlurk.scanning.statistics import NO_CLASS
from torchlurk.scanning.steps import extent_of

CPU_SIZES = (4, 8, 16, 32)
"""On a CPU small batches keep activations in the cache; large ones serve nets with large dense layers."""

CPU_SECONDS = 2.0
"""A trial tries no further size once it has taken this long, and none once more after twice as long."""

CPU_TRIED = 0.2
"""So many seconds of passes of one size, two at least: whatever else the machine does disturbs some of them."""

CPU_NEAR = 1.4
"""Where a size takes this much longer an example than the best, none larger is tried; the others are tried once more, for a
moment's disturbance meets one of them alone."""

CPU_LOSS = 1.15
"""A larger batch may be this much slower an image: two sizes that take turns at being the faster differ by up to that much."""

GPU_LARGEST = 256

SETTLED_BYTES = 256 << 20
"""What the maps of all layers may take where no trial decides."""


def choose_batch_size(
    network: nn.Module, example: Shaped[Tensor, "1 ..."], layers: Sequence[Layer], clock: Clock = perf_counter
) -> int:
    """The batch size for scanning these layers of `network` on inputs like `example` (a batch of one), on its device.

    One where the layers do not all see the examples of a batch together: the others would have to be run again.
    """
    if not all(layer.together for layer in layers):
        return 1
    with as_found(network), torch.inference_mode():
        return _fastest(network, example, layers, clock) if example.is_cpu else _largest_that_fits(network, example)


def settled_batch_size(layers: Sequence[Layer]) -> int:
    """A batch size that follows from the layers alone, so that it is the same wherever a part of the scan runs: the largest of
    the usual ones whose maps stay within bounds.
    """
    if not all(layer.together for layer in layers):
        return 1
    example = sum(layer.channels * layer.positions for layer in layers) * torch.float32.itemsize
    return max((size for size in CPU_SIZES if size * example <= SETTLED_BYTES), default=1)


def _fastest(network: nn.Module, example: Tensor, layers: Sequence[Layer], clock: Clock) -> int:
    """The largest size that takes hardly longer an example than the best; sizes are tried while time is left.

    What is timed is a scan: what it does for each layer and unit it does once a batch.
    """
    none = np.zeros(0, np.int64)
    parts = {layer.name: LayerPart.empty(layer.channels, extent_of(layer), 1, none) for layer in layers}
    taking = Deliveries(layers, parts, None)

    def run(batch: Shaped[Tensor, "batch ..."]) -> None:
        next(taking.passes(np.arange(len(batch)), np.full(len(batch), NO_CLASS)))
        network(batch)

    def tried(size: int) -> float:
        return _seconds(run, example.expand(size, *example.shape[1:]).contiguous(), clock) / size

    with reading(network, layers, taking, rectify=taking):
        run(example)  # what is compiled is compiled now
        seconds: dict[int, float] = {}
        started = clock()
        for size in (1, *CPU_SIZES):
            taken = tried(size)
            if not taking.complete and seconds:
                break
            seconds[size] = taken
            if clock() - started > CPU_SECONDS or seconds[size] > CPU_NEAR * min(seconds.values()):
                break
        near = [size for size, taken in seconds.items() if taken <= CPU_NEAR * min(seconds.values())]
        if clock() - started <= 2 * CPU_SECONDS:
            seconds |= {size: min(seconds[size], tried(size)) for size in near}
    return max(size for size, taken in seconds.items() if taken <= CPU_LOSS * min(seconds.values()))


def _seconds(run: Callable[[Tensor], None], batch: Tensor, clock: Clock) -> float:
    """The shortest of a few passes, the first of which also warms up."""
    seconds: list[float] = []
    while len(seconds) < 2 or sum(seconds) < CPU_TRIED:
        started = clock()
        run(batch)
        seconds.append(clock() - started)
    return min(seconds)


def _largest_that_fits(network: nn.Module, example: Tensor) -> int:
    def run(size: int) -> int:
        network(example.expand(size, *example.shape[1:]).contiguous())
        return size

    # The statistics need room beside the activations.
    return max(1, as_many_as_fit(run, GPU_LARGEST) // 2)
