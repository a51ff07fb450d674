"""The first reading of a stream: how many examples it has, of which classes, and what tells each from others."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
from jaxtyping import Int64, UInt64

from torchlurk.errors import DataError, told
from torchlurk.inputs.sources.dataset_items import are_ids, to_class
from torchlurk.inputs.sources.item_content import check_sum
from torchlurk.inputs.sources.labels import CLASS_KEYS
from torchlurk.inputs.sources.stream_parts import Part, parts_of
from torchlurk.jobs import Clock, Progress
from torchlurk.records import Skip

READ_TWICE = 32
"""So many examples are read twice before all are counted, to see whether the stream gives the same again."""

MOST_EXAMPLES = 1 << 24
"""A stream that goes on longer is taken for one that does not end."""

REPEATED_FROM = 1 << 13
"""From so many examples on it is looked whether they repeat themselves: then, and whenever there are twice as many."""

ROUNDS = 3
"""A stream that has been through the same examples so often is taken for one that does not end."""

LOOKED_AT = 16
"""Places at which examples may have begun to repeat themselves."""

SECONDS_BETWEEN_LINES = 10.0

MOST_FAILURES = 3
"""After more failures than these, one after the other, what is left of a part counts as damaged."""

MOST_PLACES = 8
"""In which parts of a tuple a class is looked for."""


@dataclass(slots=True)
class Counted:
    """What is known of the examples of the stream called `name`.

    `starts` are the examples that the parts begin with, `sums` what tells examples from others (0 where one cannot be read),
    `failed` why that is, `lost` the parts that cannot be read. `limited` says that there may be more examples.
    """

    name: str
    parts: list[Part] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    sums: array[int] = field(default_factory=lambda: array("Q"))
    failed: dict[int, str] = field(default_factory=dict)
    lost: list[Skip] = field(default_factory=list)
    limited: bool = False
    labels: dict[int, array[int]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.sums)

    def classes_in(self, place: int | str | None) -> Int64[np.ndarray, " example"] | None:
        """The class of each example, -1 for none: that of items that are mappings, or else the one in this part of a tuple."""
        if place is None:
            return None
        found = self.labels.get(place if isinstance(place, int) else 0, self.labels.get(0))
        if found is None:
            return None
        listed = np.full(len(self), -1, np.int64)
        listed[: len(found)] = found
        return listed

    def take(self, item: Any) -> None:
        """Takes in the next example, or the error in its place."""
        try:
            found = 0 if isinstance(item, DataError) else check_sum(item)
        except Exception as error:  # a picture that is decoded only when it is looked at
            item, found = DataError(told(error)), 0
        if isinstance(item, DataError):
            self.failed[len(self)] = item.message
        else:
            for place, label in _labels(item):
                known = self.labels.setdefault(place, array("l"))
                known.extend([-1] * (len(self) - len(known)))
                known.append(label)
        self.sums.append(found)


def counted(stream: Any, name: str, limit: int | None, progress: Progress, clock: Clock) -> Counted:
    """Reads a stream once, up to its `limit`th example; `progress` is told now and then how many there are.

    Raises `DataError` for a stream that is empty, does not end, ends in an error, or gives other examples when read again.
    """
    beginning = _beginning(stream, name, READ_TWICE if limit is None else min(limit, READ_TWICE))
    found, spoke = Counted(name), clock()
    for item in _examples(stream, found):
        found.take(item)
        if len(found) == len(beginning):
            _check_repeated(found, beginning)
        if len(found) == limit:
            found.limited = True
            return found
        if limit is None:
            _check_ends(found)
        if clock() - spoke >= SECONDS_BETWEEN_LINES:
            spoke = clock()
            progress.say(f"counting the examples of the stream {name}: {len(found):,} so far")
    _check_repeated(found, beginning)
    if not len(found):
        reason = "".join(f" ({one.path} {one.reason})" for one in found.lost[:1])
        raise DataError(f"the stream {name} is empty{reason}", "give one with examples")
    return found


def _examples(stream: Any, found: Counted) -> Iterator[Any]:
    """All examples, a `DataError` for one that cannot be read; parts are noted as they are found."""
    for part in parts_of(stream):
        found.parts.append(part)
        found.starts.append(len(found))
        yield from _through(part, found)


def _through(part: Part, found: Counted) -> Iterator[Any]:
    offset, failed = 0, list[DataError]()
    reading: Iterator[Any] | None = None
    while True:
        try:
            if reading is None:
                reading, _ = part.opened(offset)
            part.passed(offset)
            item = next(reading)
        except StopIteration:
            if failed and not part.recovers:
                raise _ended(found, failed[0]) from None
            yield from failed
            return
        except Exception as error:  # code of the user's own, or a damaged file
            failed.append(DataError(told(error)))
            reading = None if part.recovers else reading
            if len(failed) > MOST_FAILURES:
                if not part.recovers:
                    raise _ended(found, failed[0]) from error
                where = f"from its example {offset - MOST_FAILURES} on " if offset > MOST_FAILURES else ""
                found.lost.append(Skip(part.called, f"{where}cannot be read: {failed[0].message}"))
                return
        else:
            yield from (*failed, item)
            failed = []
        offset += 1


def _ended(found: Counted, reason: DataError) -> DataError:
    hint = "pass over what is damaged where the stream is made"
    return DataError(
        f"the stream {found.name} cannot be read beyond example {len(found)} ({reason.message})",
        f"{hint}, or give --limit {len(found)}" if len(found) else hint,
    )


def _beginning(stream: Any, name: str, count: int) -> array[int]:
    """What tells the first examples of a stream from others."""
    found = Counted(name)
    with suppress(DataError):  # will be raised when the examples are counted
        for item in islice(_examples(stream, found), count):
            found.take(item)
    return found.sums


def _check_repeated(found: Counted, beginning: array[int]) -> None:
    """Raises `DataError` where the first examples are not those that were read before."""
    again = found.sums[: len(beginning)]
    changed = sum(one != other for one, other in zip(beginning, again, strict=False)) + len(beginning) - len(again)
    if changed:
        raise DataError(
            f"{changed} of the first {len(beginning)} examples changed when the stream {found.name} was read a second time, and"
            " a study looks at its examples again",
            "let it begin anew with each iter(), shuffle with a fixed seed or not at all, and turn augmentation off",
        )


def _labels(item: Any) -> Iterator[tuple[int, int]]:
    """The classes that an item may have, -1 for none: 0 for that of a mapping, or else the part of a tuple that holds it."""
    if isinstance(item, Mapping):
        key = next((key for key in CLASS_KEYS if key in item), None)
        yield 0, _class(item[key]) if key is not None else -1
    elif isinstance(item, (tuple, list)) and not are_ids(item):
        for place, one in enumerate(item[1:MOST_PLACES], 1):
            yield place, _class(one)


def _class(label: Any) -> int:
    found = to_class(label)
    return -1 if found is None else found


def _check_ends(found: Counted) -> None:
    count = len(found)
    if count < REPEATED_FROM or count & (count - 1):
        return
    if period := _period(np.array(found.sums, np.uint64)):
        raise DataError(
            f"the stream {found.name} does not seem to end: its first {period:,} examples come again and again",
            f"give --limit {period}",
        )
    if count >= MOST_EXAMPLES:
        raise DataError(f"the stream {found.name} has not ended after {count:,} examples", "give --limit")


def _period(sums: UInt64[np.ndarray, " example"]) -> int:
    """After how many examples they come again; 0 where they have not come `ROUNDS` times."""
    again = np.flatnonzero(sums[1 : len(sums) // ROUNDS + 1] == sums[0]) + 1
    likely = (one for one in again.tolist() if np.array_equal(sums[one : one + READ_TWICE], sums[:READ_TWICE]))
    return next((one for one in islice(likely, LOOKED_AT) if np.array_equal(sums[one:], sums[:-one])), 0)
