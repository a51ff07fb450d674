"""Parts that were made apart, opened together: each is finished, none is missing or there twice, and all are of one work."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from torchlurk.errors import MismatchError, OptionError, StudyError
from torchlurk.run_records import Portion
from torchlurk.stages.mismatch import differences, differing_options
from torchlurk.stages.shares import told
from torchlurk.store.kept_steps import check_alike, load_levels
from torchlurk.store.reading import Reader

AGAIN = "make all parts with the same model, data and options"


@dataclass(frozen=True, slots=True)
class Part:
    """A part's study and what it is a part of."""

    path: Path
    reader: Reader
    portion: Portion

    @property
    def number(self) -> str:
        """As it is written: 2/8."""
        return f"{self.portion.number}/{self.portion.of}"


@contextmanager
def opened(paths: Sequence[Path]) -> Iterator[list[Part]]:
    """The parts in order of their numbers.

    Raises `MismatchError` where they are not all parts of one work, `StudyError` where one is no part, not finished or
    cannot be read.
    """
    if not paths:
        raise OptionError("no part is given", "name all parts that torchlurk analyze --part made")
    with ExitStack() as stack:
        parts = [_part(path, stack.enter_context(Reader(path))) for path in paths]
        _check_numbers(parts)
        for other in parts[1:]:
            _check_alike(parts[0], other)
        for part in parts:
            if not part.portion.finished:
                raise StudyError(f"part {part.number} in '{part.path}' is not finished", "rerun its torchlurk analyze")
        yield sorted(parts, key=lambda part: part.portion.number)


def _part(path: Path, reader: Reader) -> Part:
    portion = reader.portion()
    if portion is None:
        raise StudyError(f"'{path}' is not a part of a study", "torchlurk analyze --part K/N makes one")
    return Part(path, reader, portion)


def _check_numbers(parts: Sequence[Part]) -> None:
    first, seen = parts[0], dict[int, Part]()
    for part in parts:
        if (part.portion.of, part.portion.stages) != (first.portion.of, first.portion.stages):
            raise MismatchError(f"'{part.path}' is {told(part.portion)}, and '{first.path}' is {told(first.portion)}", AGAIN)
        if part.portion.number in seen:
            raise MismatchError(
                f"part {part.number} is given twice: '{seen[part.portion.number].path}' and '{part.path}'", "leave one out"
            )
        seen[part.portion.number] = part
    of = first.portion.of
    missing = [f"{number}/{of}" for number in range(1, of + 1) if number not in seen]
    if missing:
        named = ", ".join(missing[:10]) + (", …" if len(missing) > 10 else "")
        raise MismatchError(f"part{'s' if len(missing) > 1 else ''} {named} missing", f"give all {of} parts")


def _check_alike(first: Part, other: Part) -> None:
    words = (f"'{first.path}':", f"'{other.path}':")
    left, right = first.reader.runs(), other.reader.runs()
    found = [one for stage in first.portion.stages for one in differences(left[stage], right[stage], words)]
    found += differing_options(first.portion.asked, other.portion.asked, words)
    sizes = [{"batch_size": part.reader.batch_size()} for part in (first, other)]
    found += differing_options(sizes[0], sizes[1], words)
    if not found and first.reader.layers() != other.reader.layers():
        found = ["their layers"]
    if not found:
        _check_steps(first, other)
    if found:
        raise MismatchError(f"parts differ in {'; '.join(found)}", AGAIN)


def _check_steps(first: Part, other: Part) -> None:
    with first.reader.reading() as left, other.reader.reading() as right:
        check_alike(load_levels(left), load_levels(right), (f"'{first.path}'", f"'{other.path}'"))
