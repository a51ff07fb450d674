"""How many examples a forward pass takes at once, found by a short trial."""

from __future__ import annotations

from time import perf_counter

import torch
from torch import Tensor, nn

from torchlurk.models.taps import evaluation

CPU_SIZES = (4, 8, 16, 32)
"""On a CPU small batches keep activations in the cache; large ones serve nets with large dense layers."""

CPU_SECONDS = 1.5
"""A trial stops trying larger batches once it has taken this long."""

CPU_LOSS = 1.03
"""A larger batch may be this much slower an image: what the scan does for each unit, it does once a batch."""

GPU_LARGEST = 256


def choose_batch_size(network: nn.Module, example: Tensor) -> int:
    """The batch size for scanning `network` on inputs like `example` (a batch of one), on its device."""
    with evaluation(network), torch.inference_mode():
        return _largest_that_fits(network, example) if example.is_cuda else _fastest(network, example)


def _fastest(network: nn.Module, example: Tensor) -> int:
    """The largest size that takes hardly longer an example than the best; sizes are tried while time is left."""
    started = perf_counter()
    seconds: dict[int, float] = {}
    for size in (1, *CPU_SIZES):
        seconds[size] = _seconds_an_example(network, example.expand(size, *example.shape[1:]).contiguous())
        if perf_counter() - started > CPU_SECONDS:
            break
    return max(size for size, taken in seconds.items() if taken <= CPU_LOSS * min(seconds.values()))


def _seconds_an_example(network: nn.Module, batch: Tensor) -> float:
    """The shorter of two passes, the first of which also warms up."""
    seconds = []
    for _ in range(2):
        started = perf_counter()
        network(batch)
        seconds.append(perf_counter() - started)
    return min(seconds) / len(batch)


def _largest_that_fits(network: nn.Module, example: Tensor) -> int:
    size = GPU_LARGEST
    while size > 1:
        try:
            network(example.expand(size, *example.shape[1:]).contiguous())
        except torch.cuda.OutOfMemoryError:
            torch.cuda.empty_cache()
            size //= 2
        else:
            # The statistics need room beside the activations.
            return size // 2
    return 1
