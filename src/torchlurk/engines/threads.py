"""The engine that spreads a job over the cores of this machine: threads, which share the network's parameters and the data.

A job that is best done on one core a piece gets a worker for each core. One network on several cores at once keeps the second
core busy a fifth of the time where maps are small. A job that makes use of all cores by itself gets one worker, and the
threads to spread its pieces over; its running part is there once, however many cores there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from queue import SimpleQueue

import torch

from torchlurk.engines.local import folded
from torchlurk.jobs import Each, Fold, Hands, Kept, Part, Piece, Result, Shard

NAME = "torchlurk-work"


class ThreadsEngine:
    """So many threads, None for as many as torch uses when the work begins; see `torchlurk.jobs.Engine`."""

    def __init__(self, count: int | None = None) -> None:
        self._count = count

    def fold(self, job: Fold[Part], shards: Sequence[Shard], onto: Part, kept: Kept[Part]) -> Part:
        """See `torchlurk.jobs.Engine`."""
        with cores(self._count) as spread_over:
            return folded(job, shards, onto, kept, spread_over)

    @contextmanager
    def each(self, job: Each[Piece, Result]) -> Iterator[Hands[Piece, Result]]:
        """See `torchlurk.jobs.Engine`. Results come in the order of the pieces."""
        count = min(self._count or torch.get_num_threads(), job.most_workers)
        with ExitStack() as opened:
            if count > 1:
                workers = [opened.enter_context(job.open(None)) for _ in range(count)]
                opened.enter_context(torch.random.fork_rng(devices=()))  # threads put the random state back in any order
                yield spread(workers, opened.enter_context(threads(count, alone=True)))
            else:
                work = opened.enter_context(job.open(opened.enter_context(cores(self._count))))
                yield lambda pieces: enumerate(map(work, pieces))


@contextmanager
def cores(count: int | None) -> Iterator[Executor]:
    """Threads for one worker, on as many cores as torch's own operations use within: `count`, or as many as they use now."""
    before = torch.get_num_threads()
    count = count or before
    torch.set_num_threads(count)
    try:
        with threads(count, alone=False) as pool:
            yield pool
    finally:
        torch.set_num_threads(before)


@contextmanager
def threads(count: int, *, alone: bool) -> Iterator[Executor]:
    """A pool; `alone` says that each thread's operations run on a core of its own."""
    before = torch.get_num_threads()
    pool = ThreadPoolExecutor(count, NAME, torch.set_num_threads, (1,)) if alone else ThreadPoolExecutor(count, NAME)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        if alone:
            torch.set_num_threads(before)  # what a thread that starts later begins with


def spread(workers: Sequence[Callable[[Piece], Result]], pool: Executor) -> Hands[Piece, Result]:
    """Pieces done by whichever worker is free; each worker is one thread's at a time."""
    free: SimpleQueue[Callable[[Piece], Result]] = SimpleQueue()
    for worker in workers:
        free.put(worker)

    def done(piece: Piece) -> Result:
        worker = free.get()
        try:
            return worker(piece)
        finally:
            free.put(worker)

    return lambda pieces: enumerate(pool.map(done, pieces))
