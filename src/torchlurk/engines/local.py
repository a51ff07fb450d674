"""The engine that runs a job in this process, shard after shard, in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torchlurk.jobs import Job, Part, Shard


class LocalEngine:
    """One process, one device. Shards run in the order given, so that rounding is the same after an interruption."""

    def run(self, job: Job[Part], shards: Sequence[Shard], onto: Part, kept: Callable[[Part, Shard], None]) -> Part:
        """See `torchlurk.jobs.Engine`."""
        part = onto
        for shard in shards:
            part = job.run(shard, part)
            kept(part, shard)
        return part
