"""The parts of a stream, each of which can be opened at any of its examples.

A stream of Hugging Face's `datasets` that is read from files as it stands has a part for each shard, a Parquet file one for
each row group, so that what is wanted is found without reading what stands before it. One that was filtered, mapped, shuffled
or joined from others is a single part: cut into shards it would give other examples, or the same in another order. It is
opened at the nearest of the states that it had when it was read first. Any other stream is begun anew.
"""

from __future__ import annotations

import copy
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Protocol, runtime_checkable

MARKED = 64
"""So many examples lie between two states that are remembered, to begin with."""

MOST_MARKS = 4096
"""Where there would be more, every second is forgotten."""

PLAIN = ("ArrowExamplesIterable", "ExamplesIterable")
"""What Hugging Face's streams read from that are files as they stand."""

AS_IT_STANDS = ("FormattedExamplesIterable", "RebatchedArrowExamplesIterable", "SelectColumnsIterable")
"""What may be around it and leaves every example in its place, also of a shard."""

STREAM = "IterableDataset"
"""What Hugging Face calls its own data sets that are streams."""

USED = ("num_shards", "load_state_dict", "_ex_iterable")
"""What such a stream has that is used here: one without it is a stream like others."""


@runtime_checkable
class Part(Protocol):
    """Some consecutive examples of a stream."""

    most_open: int
    """How many times it can be read at one time."""
    recovers: bool
    """Whether it can be opened behind an example at which reading failed."""

    @property
    def called(self) -> str:
        """What a person knows it by."""

    def opened(self, offset: int) -> tuple[Iterator[Any], int]:
        """The examples from `offset` on, or from an earlier one that is told beside."""

    def nearest(self, offset: int) -> int:
        """Where reading would begin for the example at `offset`."""

    def passed(self, offset: int) -> None:
        """Told when the examples before `offset` have been read for the first time, one after the other."""

    def unmark(self) -> bool:
        """Forgets what was remembered on the way, for it does not lead to the same examples; False where there is nothing."""


class WholeStream:
    """A stream that begins anew with each `iter`."""

    most_open = 3
    recovers = False

    def __init__(self, stream: Any, called: str) -> None:
        self.called, self._stream = called, stream

    def opened(self, offset: int) -> tuple[Iterator[Any], int]:
        """See `Part`."""
        reading = iter(self._stream)
        if reading is self._stream:  # which begins anew for all that read it
            self.most_open = 1
        return reading, 0

    def nearest(self, offset: int) -> int:
        """See `Part`."""
        return 0

    def passed(self, offset: int) -> None:
        """See `Part`."""

    def unmark(self) -> bool:
        """See `Part`."""
        return False


class Resumed(WholeStream):
    """A stream of `datasets` that tells its state on the way, and can go on from it."""

    most_open = 2

    def __init__(self, stream: Any, called: str) -> None:
        super().__init__(stream, called)
        self._marks: list[tuple[int, Any]] = []
        self._apart = MARKED
        self._last: Any = None

    def __getstate__(self) -> dict[str, Any]:
        """Pickled without what is being read."""
        return vars(self) | {"_last": None}

    def opened(self, offset: int) -> tuple[Iterator[Any], int]:
        """See `Part`."""
        number = bisect_right(self._marks, offset, key=lambda mark: mark[0]) - 1
        at, state = self._marks[number] if number >= 0 else (0, None)
        self._last = _with_own_state(self._stream)
        self._last.load_state_dict(state)
        return iter(self._last), at

    def nearest(self, offset: int) -> int:
        """See `Part`."""
        number = bisect_right(self._marks, offset, key=lambda mark: mark[0]) - 1
        return self._marks[number][0] if number >= 0 else 0

    def passed(self, offset: int) -> None:
        """See `Part`."""
        if not offset or offset % self._apart:
            return
        self._marks.append((offset, self._last.state_dict()))
        if len(self._marks) > MOST_MARKS:
            self._apart *= 2
            self._marks = [mark for mark in self._marks if mark[0] % self._apart == 0]

    def unmark(self) -> bool:
        """See `Part`."""
        found, self._marks = bool(self._marks), []
        return found


class ShardOfStream:
    """A shard of a stream of `datasets`, or one of the finer shards of that."""

    most_open = 1
    recovers = True

    def __init__(self, stream: Any, shard: tuple[int, int], finer: tuple[int, int] | None, called: str) -> None:
        self.called, self._stream, self._shard, self._finer = called, stream, shard, finer
        self._cut: Any = None

    def __getstate__(self) -> dict[str, Any]:
        """Pickled without the shard as a stream of its own, which is made from the whole one."""
        return vars(self) | {"_cut": None}

    def opened(self, offset: int) -> tuple[Iterator[Any], int]:
        """See `Part`."""
        if self._cut is None:
            self._cut = self._stream.shard(*self._shard[::-1])
            if self._finer is not None:
                self._cut = self._cut.reshard().shard(*self._finer[::-1])
        return iter(self._cut.skip(offset) if offset else self._cut), offset

    def nearest(self, offset: int) -> int:
        """See `Part`."""
        return offset

    def passed(self, offset: int) -> None:
        """See `Part`."""

    def unmark(self) -> bool:
        """See `Part`."""
        return False


def parts_of(stream: Any) -> Iterator[Part]:
    """The parts of a stream, in order, each found when it is asked for. Pictures should be `undecoded`."""
    called = type(stream).__name__
    if not is_of_datasets(stream):
        yield WholeStream(stream, called)
        return
    if not _is_plain(stream):
        yield Resumed(stream, called)
        return
    count = stream.num_shards
    for number in range(count):
        shard = stream.shard(count, number)
        named = _file_of(shard) or f"shard {number + 1} of {count}"
        finer = 1
        with suppress(Exception):  # a file that is damaged is told of when it is read
            finer = shard.reshard().num_shards
        for row_group in range(finer):
            yield ShardOfStream(stream, (number, count), (row_group, finer) if finer > 1 else None, named)


def _with_own_state(stream: Any) -> Any:
    """A copy of a stream of `datasets`: where it is, is known to what it reads from, which is copied too, but no data is."""
    made = copy.copy(stream)
    made._ex_iterable = _copied(stream._ex_iterable, {})
    return made


def _copied(read: Any, known: dict[int, Any]) -> Any:
    if id(read) not in known:
        known[id(read)] = made = copy.copy(read)
        if hasattr(read, "ex_iterable"):
            made.ex_iterable = _copied(read.ex_iterable, known)
        if isinstance(getattr(read, "ex_iterables", None), list):
            made.ex_iterables = [_copied(one, known) for one in read.ex_iterables]
    return known[id(read)]


def _is_plain(stream: Any) -> bool:
    """Whether a stream of `datasets` is read from files as it stands, so that its shards are pieces of it."""
    read = getattr(stream, "_ex_iterable", None)
    while type(read).__name__ in AS_IT_STANDS and not getattr(read, "drop_last_batch", False):
        read = getattr(read, "ex_iterable", None)
    return type(read).__name__ in PLAIN and not stream.epoch and getattr(stream, "_distributed", None) is None


def is_of_datasets(stream: Any) -> bool:
    """Whether a stream is one of Hugging Face's `datasets`."""
    return type(stream).__name__ == STREAM and all(hasattr(stream, name) for name in USED)


def undecoded(stream: Any) -> tuple[Any, dict[str, Callable[[Any], Any]]]:
    """The stream with its pictures as files, and what makes a picture of each, by column.

    A picture that is damaged would otherwise end the stream. One that gives tensors or arrays is left as it is.
    """
    if not is_of_datasets(stream) or not stream.features or getattr(stream, "_formatting", None) is not None:
        return stream, {}
    from datasets import Image

    if getattr(getattr(stream, "_ex_iterable", None), "decoding_pool", None) is not None:
        stream = stream.decode(num_threads=0)  # by threads of its own, before an example is given
    decoders: dict[str, Callable[[Any], Any]] = {}
    for name, feature in dict(stream.features).items():
        if isinstance(feature, Image) and feature.decode:
            stream = stream.cast_column(name, Image(mode=feature.mode, decode=False))
            decoders[name] = feature.decode_example
    return stream, decoders


def _file_of(shard: Any) -> str:
    """The file that a shard is read from; '' where that is not known."""
    files = getattr(getattr(shard, "_ex_iterable", None), "kwargs", {}).get("files")
    return files[0] if isinstance(files, list) and len(files) == 1 and isinstance(files[0], str) else ""
