"""A stream as a data set with any example at hand: counted once, then read where an example is wanted, and never stored."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from threading import Lock
from time import monotonic
from typing import Any
from weakref import finalize

import numpy as np
from jaxtyping import Int64
from torch.utils.data import IterableDataset

from torchlurk.errors import DataError
from torchlurk.inputs.sources.item_content import check_sum, memory
from torchlurk.inputs.sources.stream_counting import counted
from torchlurk.inputs.sources.stream_parts import Part, is_of_datasets, undecoded
from torchlurk.jobs import Clock, Progress, Silence
from torchlurk.records import Skip

MOST_OPEN = 8
"""How many parts are kept open, each at its next example."""

NEAR = 32
"""So many examples are passed rather than opening a part anew."""

BYTES_ASKED, BYTES_PASSED = 1 << 28, 1 << 28
"""Memory for examples that were read out of their order, and for those that were read in order or passed on the way."""


def is_stream(dataset: Any) -> bool:
    """Whether a data set can only be read in its own order."""
    return isinstance(dataset, IterableDataset) or is_of_datasets(dataset)


class Stream:
    """A torch `IterableDataset`, or one of Hugging Face's `datasets`, as a map-style data set of its first `limit` examples.

    It is read through when it is made (see `stream_counting.counted`, also for what is raised). Reading in order is as quick as
    the stream is; elsewhere it is opened anew as near as it can be, and examples that were read out of their order are kept as
    long as there is memory for them. Each example is compared with what it was at first. Several threads may read.
    """

    def __init__(
        self,
        stream: Any,
        limit: int | None = None,
        progress: Progress | None = None,
        name: str | None = None,
        clock: Clock = monotonic,
    ) -> None:
        self.features = stream.features if is_of_datasets(stream) else None
        self.classes = getattr(stream, "classes", None)
        name = name or type(stream).__name__
        stream, self._decoders = undecoded(stream)
        self._counted = counted(stream, name, limit, progress or Silence(), clock)
        self._open()

    def _open(self) -> None:
        self._lock = Lock()
        self._cursors: list[_Cursor] = []
        finalize(self, self._cursors.clear)  # at the end of the program while what they read with is still there
        self._asked, self._passed = _Kept(BYTES_ASKED), _Kept(BYTES_PASSED)

    def __getstate__(self) -> dict[str, Any]:
        """Pickled without what is open and what is kept in memory."""
        left = ("_lock", "_cursors", "_asked", "_passed")
        return {name: value for name, value in vars(self).items() if name not in left}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._open()

    @property
    def name(self) -> str:
        """What the user calls it, or its class."""
        return self._counted.name

    @property
    def lost(self) -> tuple[Skip, ...]:
        """The parts that could not be read when examples were counted."""
        return tuple(self._counted.lost)

    @property
    def told(self) -> str:
        """What to tell the user of which examples are used; '' where it is all of them."""
        if not self._counted.limited:
            return ""
        return (
            f"the first {len(self):,} examples of the stream {self.name} are used: to spread them evenly, as of other data, it"
            " would be read to its end"
        )

    def classes_in(self, place: int | str | None) -> Int64[np.ndarray, " example"] | None:
        """See `Counted`."""
        return self._counted.classes_in(place)

    def sums(self) -> bytes:
        """What tells the examples from others, in their order: 8 bytes each."""
        return np.asarray(self._counted.sums, "<u8").tobytes()

    def __len__(self) -> int:
        return len(self._counted)

    def __getitem__(self, index: int) -> Any:
        """Example `index` as the stream gives it; raises what the stream does, or `DataError` for what it did at first, and for
        an example that is not what it was then.
        """
        if index in self._counted.failed:
            raise DataError(self._counted.failed[index])
        with self._lock:
            item = self._found(index)
        if not self._decoders or not isinstance(item, Mapping):
            return item
        return {
            name: self._decoders[name](value) if name in self._decoders and isinstance(value, Mapping) else value
            for name, value in item.items()
        }

    def _found(self, index: int) -> Any:
        expected = self._counted.sums[index]
        for kept in (self._asked, self._passed):
            if (item := kept.get(index)) is not None and check_sum(item) == expected:
                return item
        number = bisect_right(self._counted.starts, index) - 1
        item = self._read(number, index)
        if check_sum(item) != expected and self._counted.parts[number].unmark():
            self._cursors[:] = [one for one in self._cursors if one.number != number]
            item = self._read(number, index)
        if check_sum(item) != expected:
            raise DataError(f"is another example than when the stream {self.name} was read first")
        return item

    def _read(self, number: int, index: int) -> Any:
        """Reads on in a part until the example, from the nearest place before it."""
        part, start = self._counted.parts[number], self._counted.starts[number]
        cursor = self._cursor(number, part, index - start)
        in_order = start + cursor.offset == index
        try:
            while (at := start + cursor.offset) < index:
                if at in self._counted.failed:
                    cursor.pass_over(part)
                else:
                    self._passed.put(at, cursor.next())
            item = cursor.next()
        except StopIteration:
            self._cursors.remove(cursor)
            raise DataError(f"is no longer in the stream {self.name}, which ends before it") from None
        except BaseException:
            self._cursors.remove(cursor)
            raise
        (self._passed if in_order else self._asked).put(index, item)
        return item

    def _cursor(self, number: int, part: Part, offset: int) -> _Cursor:
        """The place to read on from; the one that was used last comes last."""
        own = [one for one in self._cursors if one.number == number]
        behind = [one for one in own if one.offset <= offset]
        cursor = max(behind, key=lambda one: one.offset, default=None)
        if cursor is not None and cursor.offset >= min(part.nearest(offset), offset - NEAR):
            self._cursors.remove(cursor)
        else:
            if len(own) >= part.most_open:
                self._cursors.remove(own[0])
            elif len(self._cursors) >= MOST_OPEN:
                self._cursors.pop(0)
            cursor = _Cursor(number, *part.opened(offset))
        self._cursors.append(cursor)
        return cursor


class _Cursor:
    """A place in a part, from which it is read on."""

    def __init__(self, number: int, reading: Iterator[Any], offset: int) -> None:
        self.number, self._reading, self.offset = number, reading, offset

    def next(self) -> Any:
        """The example here."""
        item = next(self._reading)
        self.offset += 1
        return item

    def pass_over(self, part: Part) -> None:
        """Goes on behind the example here, which cannot be read."""
        if part.recovers:
            self._reading, _ = part.opened(self.offset + 1)
        else:
            with suppress(Exception):
                next(self._reading)
        self.offset += 1


class _Kept:
    """Examples in memory, as long as they take no more than so many bytes; those asked for last are kept longest."""

    def __init__(self, most: int) -> None:
        self._most, self._bytes = most, 0
        self._items: OrderedDict[int, tuple[Any, int]] = OrderedDict()

    def get(self, index: int) -> Any:
        """The example, None where it is not here."""
        if index not in self._items:
            return None
        self._items.move_to_end(index)
        return self._items[index][0]

    def put(self, index: int, item: Any) -> None:
        """Keeps it, and lets others go."""
        self._bytes -= self._items.pop(index, (None, 0))[1]
        try:
            size = memory(item)
        except Exception:  # a picture that is damaged: told of where it is asked for
            return
        self._items[index] = item, size
        self._bytes += size
        while self._bytes > self._most:
            _, (_, size) = self._items.popitem(last=False)
            self._bytes -= size
