"""The job protocol: work that can be cut into shards, done in any order, anywhere, and merged.

A job never knows where it runs; an engine never knows what it computes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

from torchlurk.errors import OptionError

Part = TypeVar("Part")

Clock = Callable[[], float]
"""Seconds since some moment, as `time.monotonic` tells them."""


@dataclass(frozen=True, slots=True, order=True)
class Shard:
    """A run of consecutive example indices, `start` included and `stop` excluded."""

    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True, slots=True)
class Share:
    """One of several nearly equal runs of the same work, counted from 1; written `number/of`, as in 2/8."""

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Share:
        """The share written so; raises `OptionError` where it is none."""
        number, slash, of = text.partition("/")
        if not (slash and number.isdecimal() and of.isdecimal() and 0 < int(number) <= int(of)):
            raise OptionError(f"--part is {text!r}", "write K/N, with K from 1 to N: 2/8 is the second of eight parts")
        return cls(int(number), int(of))

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def cut(self, items: int, unit: int = 1) -> Shard:
        """The items of this share, of `items` in all, cut at multiples of `unit`; empty where there are too few of those."""
        units = -(-items // unit)
        edges = (units * one // self.of * unit for one in (self.number - 1, self.number))
        return Shard(*(min(edge, items) for edge in edges))


def remaining(within: Shard, done: Iterable[Shard], size: int) -> list[Shard]:
    """Shards of at most `size` examples, in order, that cover what `done` leaves of the examples `within`."""
    gaps, start = [], within.start
    for shard in sorted(done):
        gaps.append(Shard(start, shard.start))
        start = shard.stop
    gaps.append(Shard(start, within.stop))
    return [Shard(cut, min(cut + size, gap.stop)) for gap in gaps if len(gap) > 0 for cut in range(gap.start, gap.stop, size)]


def joined(shards: Iterable[Shard]) -> list[Shard]:
    """The same examples in as few shards as possible, in order."""
    result: list[Shard] = []
    for shard in sorted(shards):
        if result and result[-1].stop == shard.start:
            result[-1] = Shard(result[-1].start, shard.stop)
        else:
            result.append(shard)
    return result


@runtime_checkable
class Job(Protocol[Part]):
    """Work on a data set that can be cut. `merge` is associative and commutative, `empty()` its neutral element."""

    def empty(self) -> Part:
        """The part of no shard at all."""

    def run(self, shard: Shard, onto: Part) -> Part:
        """The part of `shard` merged with `onto`, which is consumed: a job may use what it holds to skip work, not to
        change the answer.
        """

    def merge(self, left: Part, right: Part) -> Part:
        """The part of all examples of both, which have none in common; both are consumed."""


@runtime_checkable
class Engine(Protocol):
    """Where jobs run. An engine changes the time, never the answer."""

    def run(self, job: Job[Part], shards: Sequence[Shard], onto: Part, kept: Callable[[Part, Shard], None]) -> Part:
        """The part of all `shards` merged with `onto`; `kept(part, shard)` is called whenever `part` has taken in a
        further shard and can be saved.
        """


@runtime_checkable
class Progress(Protocol):
    """Who wants to know how far long work has come."""

    def begin(self, task: str, total: int, done: int = 0) -> None:
        """A task of `total` items starts, `done` of them finished in an earlier run."""

    def advance(self, items: int) -> None:
        """`items` more are finished."""

    def end(self) -> None:
        """The task is finished."""

    def say(self, text: str) -> None:
        """Something that a person should know, one line."""


class Silence:
    """Progress that nobody watches."""

    def begin(self, task: str, total: int, done: int = 0) -> None:
        """Nothing."""

    def advance(self, items: int) -> None:
        """Nothing."""

    def end(self) -> None:
        """Nothing."""

    def say(self, text: str) -> None:
        """Nothing."""
