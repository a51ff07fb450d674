"""What an actor of a Ray cluster does: it opens a described job, takes its pieces, and opens the next."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy
import torch

import torchlurk
from torchlurk.engines.description import Description
from torchlurk.engines.threads import ThreadsEngine, cores
from torchlurk.errors import DataError, TorchlurkError
from torchlurk.inputs.source import OnDisk, Source, spread
from torchlurk.jobs import Hands, Shard


@dataclass(frozen=True, slots=True)
class Greeting:
    """What an actor says when it is ready: where it is, and what it computes with."""

    node: str
    versions: dict[str, str]


def versions() -> dict[str, str]:
    """What must be the same wherever a study is made."""
    return {
        "python": ".".join(platform.python_version_tuple()[:2]),
        "torchlurk": torchlurk.__version__,
        "torch": torch.__version__,
        "numpy": numpy.__version__,
    }


SEEN = "give a path that every machine of the cluster sees"

LOOKED_AT = 8
"""Examples, evenly spread, of which one at least must be readable where an actor is: else the folder is an empty one here."""


def _look(source: Source) -> None:
    """Raises `DataError` where no example can be read, before those of this machine are taken for damaged ones."""
    reason = ""
    for index in spread(len(source.examples), LOOKED_AT):
        try:
            source.read(index)
            return
        except DataError as error:
            reason = reason or f"{source.examples[index].path}: {error.message}"
    raise DataError(f"none of the data can be read on {platform.node()} ({reason})", SEEN)


class Hand:
    """Does pieces of one job after the other, on so many cores. Of a `Fold` the part stays here until it is handed over."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._opened = ExitStack()
        self._job: Any = None
        self._take: Callable[[Shard, Any], Any] | None = None
        self._hands: Hands[Any, Any] | None = None
        self._part: Any = None

    def where(self) -> Greeting:
        """Where this is, before anything is opened: other versions may not even be able to read a job."""
        return Greeting(platform.node(), versions())

    def open(self, description: Description) -> None:
        """Opens a job in place of the one before; raises what stands in the way, with the name of this machine."""
        self._opened.close()
        self._take = self._hands = self._part = None
        torch.set_num_threads(self._count)
        try:
            self._job = self._opened.enter_context(description.opened())
        except TorchlurkError as error:
            error.message = f"{error.message} (on {platform.node()})"
            error.args = (error.message,)
            raise
        source = getattr(self._job, "source", None)
        if isinstance(source, OnDisk):
            if not source.root.exists():
                raise DataError(f"the data is not there on {platform.node()}: {source.root}", SEEN)
            _look(self._job.source)

    def take(self, shard: Shard) -> None:
        """Takes a shard into the part that is here."""
        if self._take is None:
            self._take = self._opened.enter_context(self._job.open(self._opened.enter_context(cores(self._count))))
        if self._part is None:
            self._part = self._job.begin()
        self._part = self._take(shard, self._part)

    def hand_over(self) -> Any:
        """The part of all shards taken since it was last handed over."""
        part, self._part = self._part, None
        return part

    def make(self, pieces: Sequence[Any]) -> list[Any]:
        """The results of pieces of an `Each`, in order."""
        if self._hands is None:
            self._hands = self._opened.enter_context(ThreadsEngine(self._count).each(self._job))
        return [result for _, result in sorted(self._hands(pieces), key=lambda one: one[0])]
