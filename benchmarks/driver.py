"""What the program that hands out shards spends on each, by itself: actors are played, with parts as real ones have.

Nothing is computed but what the program does: it gives shards, takes answers, merges the parts that are handed over, and keeps
them. Actors and Ray itself are played in this process by a clock that only runs while the program waits, so the figures are of
the program's own work. An actor takes a shard in `--shard` seconds and hands its part over every half minute. The program is
saturated where its own seconds a shard, times the actors, reach the seconds that an actor takes for one. What Ray adds to that
is measured on two real actors that do nothing, the seconds in which this process computes.

    python benchmarks/driver.py [--units 1000] [--classes 1000] [--shard 2.0] [--minutes 3]
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import ray
import torch
from torch import nn

from torchlurk.engines import cluster, cluster_crew
from torchlurk.engines.cluster import RayEngine
from torchlurk.engines.cluster_crew import Crew, Need
from torchlurk.jobs import Shard, Silence
from torchlurk.scanning.arrivals import Arrivals
from torchlurk.scanning.part import LayerPart

TOP, SAMPLE, EACH = 9, 1024, 128


class Played:
    """What of Ray the program uses, with actors that need no time of this process: `now` is their clock."""

    def __init__(self, units: int, classes: int, shard: float) -> None:
        self.now, self._shard, self._part = 0.0, shard, part_of(units, classes)
        self._numbers = itertools.count()
        self._landing: list[tuple[float, int, str]] = []
        self._kinds: dict[int, str] = {}
        self.messages = self.merges = 0
        self.waited = 0.0

    def call(self, actor: Actor, method: str) -> int:
        """An answer that will land: after an actor's earlier ones, and after the seconds of a shard."""
        number, needs = next(self._numbers), self._shard if method == "take" else 0.0
        actor.busy = max(actor.busy, self.now) + needs
        heapq.heappush(self._landing, (actor.busy, number, method))
        self._kinds[number] = method
        self.messages += 2
        return number

    def wait(self, flights: Sequence[int], num_returns: int, timeout: float) -> tuple[list[int], list[int]]:
        """The next answer; what has passed until then is nobody's work."""
        moment, number, _ = heapq.heappop(self._landing)
        self.now = max(self.now, moment)
        return [number], []

    def get(self, flight: int) -> Any:
        """What the answer holds."""
        if self._kinds.pop(flight) != "hand_over":
            return None
        self.merges += 1
        return self._part


class Actor:
    """The handle of an actor."""

    def __init__(self, played: Played) -> None:
        self.busy, self._played = 0.0, played

    def __getattr__(self, method: str) -> Any:
        played = self._played
        return type("Method", (), {"remote": lambda _, *given: played.call(self, method)})()


def part_of(units: int, classes: int) -> LayerPart:
    """A part as an actor has it: of one layer, all classes seen."""
    drawn = np.random.default_rng(0)
    sample = np.arange(SAMPLE)
    part = LayerPart.empty(units, 1, TOP, sample)
    for first in range(0, max(classes, SAMPLE), EACH):
        maps = torch.from_numpy(drawn.standard_normal((EACH, units), np.float32))
        part.add(maps, Arrivals(np.arange(first, first + EACH), np.arange(first, first + EACH) % classes))
    return part


class Job:
    """A scan whose parts are of one layer."""

    progress = Silence()

    def __init__(self, units: int) -> None:
        self.networks: list[tuple[nn.Module, Any]] = []
        self.empty = LayerPart.empty(units, 1, TOP, np.arange(SAMPLE))

    def merge(self, left: LayerPart, right: LayerPart) -> LayerPart:
        """See `torchlurk.jobs.Fold`."""
        left.merge(right)
        return left


def run(actors: int, units: int, classes: int, shard: float, seconds: float) -> tuple[int, Played, float, float]:
    """So many actors for so many seconds of theirs: shards, what was played, the program's own seconds, those of merging."""
    played = Played(units, classes, shard)
    crew: Any = Crew.__new__(Crew)
    Crew.__init__(crew, 0, Need(1, 0.0), lambda text: None)
    crew.members = [cluster_crew.Member(Actor(played), node="here", ready=True) for _ in range(actors)]
    engine = RayEngine("local", actors, 0.0, lambda text: None)
    shards = [Shard(start, start + EACH) for start in range(0, int(seconds / shard * actors) * EACH, EACH)]
    job, merging = Job(units), [0.0]
    merge = job.merge

    def timed(left: LayerPart, right: LayerPart) -> LayerPart:
        began = time.perf_counter()
        found = merge(left, right)
        merging[0] += time.perf_counter() - began
        return found

    job.merge = timed  # type: ignore[method-assign]

    @contextmanager
    def with_crew(job: Any) -> Iterator[Any]:
        yield crew

    engine._crew = with_crew  # type: ignore[method-assign]
    usual = cluster_crew.ray, cluster.time
    cluster_crew.ray = played  # type: ignore[assignment]
    cluster.time = type("Clock", (), {"monotonic": staticmethod(lambda: played.now + 1e-9)})  # type: ignore[assignment]
    try:
        began = time.perf_counter()
        engine.fold(job, shards, job.empty, lambda part, done: None)  # type: ignore[arg-type,type-var]
        spent = time.perf_counter() - began
    finally:
        cluster_crew.ray, cluster.time = usual
    return len(shards), played, spent, merging[0]


class Echo:
    """A real actor that does nothing."""

    def __init__(self, numbers: int) -> None:
        self._part = np.zeros(numbers, np.float64)

    def take(self) -> None:
        """Nothing."""

    def hand_over(self) -> np.ndarray:
        """So many numbers."""
        return self._part


def of_ray(size: int) -> tuple[float, float]:
    """Milliseconds of this process's CPU time for a call with its answer, and for a part of so many bytes."""
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    actors = [ray.remote(num_cpus=1)(Echo).remote(size // 8) for _ in range(2)]
    spent = []
    for method, calls in (("take", 2000), ("hand_over", 40)):
        ray.get([getattr(one, method).remote() for one in actors])
        flights, began = [], time.process_time()
        for number in range(calls):
            flights.append(getattr(actors[number % 2], method).remote())
            if len(flights) >= 4:
                landed, flights = ray.wait(flights, num_returns=1)
                value = ray.get(landed[0])
                if value is not None:
                    value.sum()  # what comes is looked at
        spent.append(1e3 * (time.process_time() - began) / calls)
    ray.shutdown()
    return spent[0], spent[1]


def main() -> None:
    """Eight, 64 and 512 actors."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--units", type=int, default=1000)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--shard", type=float, default=2.0)
    parser.add_argument("--minutes", type=float, default=3.0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    size = sum(one.nbytes for one in part_of(given.units, given.classes).arrays().values())
    print(f"{given.units} units, {given.classes} classes, a part of {size / 2**20:.0f} MiB, {given.shard:g} s a shard")
    call, part = of_ray(size)
    print(f"Ray: {call:.2f} ms of CPU time a call, {part:.0f} ms a part, which includes that it is read once")
    for actors in (8, 64, 512):
        shards, played, spent, merging = run(actors, given.units, given.classes, given.shard, 60 * given.minutes)
        print(
            f"{actors:4} actors: {shards} shards, {played.messages / shards:.2f} messages a shard, {played.merges} parts; "
            f"{1e3 * spent / shards:.2f} ms a shard, {1e3 * merging / shards:.2f} of them merging; "
            f"busy {100 * spent / max(played.now, 1e-9):.1f} % of the time"
        )


if __name__ == "__main__":
    main()
