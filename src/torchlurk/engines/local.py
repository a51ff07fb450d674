"""The engine that runs a job in the thread that asks, piece after piece, in order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager

from torchlurk.jobs import Each, Fold, Hands, Kept, Part, Piece, Result, Shard


class LocalEngine:
    """One worker, no thread beside the caller's but those that read examples ahead; see `torchlurk.jobs.Engine`."""

    def fold(self, job: Fold[Part], shards: Sequence[Shard], onto: Part, kept: Kept[Part]) -> Part:
        """See `torchlurk.jobs.Engine`."""
        return folded(job, shards, onto, kept, None)

    @contextmanager
    def each(self, job: Each[Piece, Result]) -> Iterator[Hands[Piece, Result]]:
        """See `torchlurk.jobs.Engine`."""
        with job.open(None) as work:
            yield lambda pieces: enumerate(map(work, pieces))


def folded(job: Fold[Part], shards: Sequence[Shard], onto: Part, kept: Kept[Part], cores: Executor | None) -> Part:
    """The part of all shards, taken in one after the other by one worker: rounding is the same after an interruption."""
    part = onto
    with job.open(cores) as take:
        for shard in shards:
            part = take(shard, part)
            kept(part, [shard])
    return part
