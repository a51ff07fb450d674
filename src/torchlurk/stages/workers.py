"""Work spread over the cores of a CPU: threads, each with one core and a network of its own.

One network on several cores at once keeps the second core busy a fifth of the time: maps are small where attributions are
made one by one. What hooks and replaced forwards do to a module they do to one thread's own.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from types import TracebackType
from typing import TypeVar

import torch
from torch import nn

from torchlurk.models.taps.forward_override import untouched

MOST = 8
"""Workers: each holds the maps of what it is at."""

Work = TypeVar("Work")
Result = TypeVar("Result")


class Workers:
    """Threads with a network each; the first network is the one given. Close it, or use it in a `with`.

    On a GPU, where torch may use one core alone, and of a network that cannot be copied there is one worker, and no thread.
    """

    def __init__(self, network: nn.Module, device: torch.device) -> None:
        self._threads = torch.get_num_threads()
        count = min(self._threads, MOST) if device.type == "cpu" and _separable(network) else 1
        try:
            self.networks = [network, *(_twin(network) for _ in range(count - 1))]
        except (RuntimeError, TypeError):  # what deepcopy and pickling raise
            self.networks = [network]
        several = len(self.networks) > 1
        self._pool = ThreadPoolExecutor(len(self.networks), "torchlurk-work", _alone) if several else None

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            torch.set_num_threads(self._threads)

    def each(self, makers: Sequence[Callable[[Work], Result]], work: Sequence[Work]) -> Iterator[Result]:
        """What the makers, one for each network, make of the pieces of work, in order; each is one thread's at a time."""
        if self._pool is None:
            yield from map(makers[0], work)
            return
        free: SimpleQueue[Callable[[Work], Result]] = SimpleQueue()
        for maker in makers:
            free.put(maker)

        def done(piece: Work) -> Result:
            maker = free.get()
            try:
                return maker(piece)
            finally:
                free.put(maker)

        with torch.random.fork_rng(devices=()):  # threads that put the random state back do so in any order
            yield from self._pool.map(done, work)


def _alone() -> None:
    """The thread's operations run on its own core."""
    torch.set_num_threads(1)


def _separable(network: nn.Module) -> bool:
    """Whether copies of a network can be expected to have nothing to do with each other.

    Hooks and forwards set from outside belong to whoever set them; scripted modules are not plain Python; of recurrent
    ones a setting is changed that is the whole process's.
    """
    return not any(not untouched(one) or isinstance(one, (nn.RNNBase, torch.jit.ScriptModule)) for one in network.modules())


def _twin(network: nn.Module) -> nn.Module:
    """A copy that shares the parameters."""
    return copy.deepcopy(network, {id(one): one for one in network.parameters()})
