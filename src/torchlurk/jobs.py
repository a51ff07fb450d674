"""The job protocol: work that is cut into pieces, done in any order, anywhere, each taken in once.

A job never knows where it runs; an engine never knows what it computes. There are two sorts: pieces of a `Fold` are merged
(the scan), those of an `Each` stand by themselves (attributions, syntheses). Either opens workers, and each worker is opened
once and given piece after piece.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

from torchlurk.errors import OptionError
from torchlurk.units import whole_number

Part = TypeVar("Part")
Piece = TypeVar("Piece")
Result = TypeVar("Result")
Given = TypeVar("Given", contravariant=True)
Made = TypeVar("Made", covariant=True)

SECONDS_BETWEEN_PARTS = 30.0
"""How long a worker with a part of its own keeps it to itself: so much is lost with it at most."""

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
        number, of = map(whole_number, (text.partition("/")[::2]))
        if number is None or of is None or not 0 < number <= of:
            raise OptionError(f"--part is {text!r}", "write K/N, with K from 1 to N: 2/8 is the second of eight parts")
        return cls(number, of)

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
class Fold(Protocol[Part]):
    """A job whose pieces are shards of a data set, and whose results are parts that merge: the scan.

    `merge` is associative and commutative. A worker is opened once and takes shard after shard; the part it works on is its
    own until the engine takes it away. `progress` is told of every example, by the worker where it runs in this process, and
    by the engine where it does not.
    """

    @property
    def progress(self) -> Progress:
        """Who is told how far the work has come."""

    def begin(self, beside: Part | None = None) -> Part:
        """The part of no shard at all, for a worker that may be given any shard first.

        With `beside`, a part that has taken in some, this is quicker.
        """

    def open(self, cores: Executor | None) -> AbstractContextManager[Callable[[Shard, Part], Part]]:
        """Opens a worker: from a shard and a part, which is consumed, it makes the part of both.

        It may use what the part holds to skip work, not to change the answer, and spread the work on a shard over `cores`.
        """

    def merge(self, left: Part, right: Part) -> Part:
        """The part of all examples of both, which have none in common; both are consumed."""


@runtime_checkable
class Each(Protocol[Given, Made]):
    """A job whose pieces have nothing to do with each other: attributions, syntheses.

    What a worker makes of a piece depends on the piece alone, not on the worker or on the pieces before.
    """

    @property
    def most_workers(self) -> int:
        """How many workers of one process may be open at one time; one alone makes use of all cores by itself."""

    def open(self, cores: Executor | None) -> AbstractContextManager[Callable[[Given], Made]]:
        """Opens a worker, which takes piece after piece, one at a time but in any thread. See `Fold.open` for `cores`."""


@runtime_checkable
class Engine(Protocol):
    """Where jobs run. An engine changes the time, never the answer.

    What a user can name is in `torchlurk.engines.naming`; any object with these two methods can be given instead of a name. One
    that works outside this process may have those of `torchlurk.engines.naming.Outside` and `Closeable` too.
    An engine may give a piece to a worker again when it has lost sight of it, but takes its result in once.
    """

    def fold(self, job: Fold[Part], shards: Sequence[Shard], onto: Part, kept: Kept[Part]) -> Part:
        """The part of all `shards` merged with `onto`.

        `kept(part, shards)` is called whenever `part` has taken in further shards, those given, and can be saved. An engine
        that works on `onto` itself begins with the first shard and goes on in order; every other part comes from
        `job.begin()`. Parts are large (a number for each unit and class): they stay with their worker, and are merged rarely.
        """

    def each(self, job: Each[Piece, Result]) -> AbstractContextManager[Hands[Piece, Result]]:
        """Opens workers, which are there for as long as the context lasts.

        It gives a function from pieces to (number of the piece, result), in any order, and each at least once: see `once`.
        """


Kept = Callable[[Part, Sequence[Shard]], None]
"""Told of a running part and the shards that it has taken in since."""

Hands = Callable[[Iterable[Piece]], Iterable[tuple[int, Result]]]
"""What an engine's workers make of pieces: the results, each with the number of its piece, counted from 0."""


def once(results: Iterable[tuple[int, Result]]) -> Iterator[tuple[int, Result]]:
    """The first result of each piece."""
    seen = set()
    for number, result in results:
        if number not in seen:
            seen.add(number)
            yield number, result


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
