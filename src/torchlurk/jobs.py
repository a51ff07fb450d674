"""The job protocol: work that can be cut into shards, done in any order, anywhere, and merged.

A job never knows where it runs; an engine never knows what it computes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeVar

Part = TypeVar("Part")


@dataclass(frozen=True, slots=True, order=True)
class Shard:
    """A run of consecutive example indices, `start` included and `stop` excluded."""

    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


def cut(examples: int, size: int) -> list[Shard]:
    """Shards of `size` examples (the last may be shorter) that cover `examples` examples, in order."""
    return [Shard(start, min(start + size, examples)) for start in range(0, examples, size)]


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
