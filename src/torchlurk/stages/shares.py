"""Which part of an analysis is done here (`--part K/N`), and that it can be."""

from __future__ import annotations

from collections.abc import Sequence

from torchlurk.errors import MismatchError, OptionError
from torchlurk.jobs import Share
from torchlurk.records import Portion
from torchlurk.stages.stage import Task
from torchlurk.store.reading import Reader

SCAN = "scan"


def check_share(task: Task, stages: Sequence[str]) -> None:
    """Raises an error where that share of those stages cannot be done, or the study at hand is another part or none."""
    if task.share is None and task.merged is not None:
        raise OptionError("--from is given without --part", "give both, or neither")
    if task.share is not None:
        _check_stages(task, stages)
    if not task.out.exists():
        return
    with Reader(task.out) as reader:
        portion, begun = reader.portion(), bool(reader.runs())
    if begun and _named(portion) != (None if task.share is None else (str(task.share), tuple(stages))):
        raise MismatchError(
            f"{task.out} is {_told(portion)}, not {_told_share(task.share, stages)}",
            "choose another --out, or give the same again",
        )


def _check_stages(task: Task, stages: Sequence[str]) -> None:
    if SCAN not in stages:
        raise OptionError("--part is for the stage scan", "leave it out for the others")
    if len(stages) > 1:
        raise OptionError(
            f"--part with --stages {','.join(stages)}: the other stages need the whole scan",
            "scan in parts, merge them, then run the other stages on the merged study",
        )
    if task.merged is not None:
        raise OptionError("--from is given with a part of the scan, which starts from nothing", "leave --from out")


def is_done_share(task: Task) -> bool:
    """Whether the study is the part asked for, and finished."""
    if task.share is None or not task.out.exists():
        return False
    with Reader(task.out) as reader:
        portion = reader.portion()
    return portion is not None and portion.finished


def _named(portion: Portion | None) -> tuple[str, tuple[str, ...]] | None:
    return None if portion is None else (f"{portion.number}/{portion.of}", portion.stages)


def _told(portion: Portion | None) -> str:
    if portion is None:
        return "a whole study"
    return f"part {portion.number}/{portion.of} of {' and '.join(portion.stages)}"


def _told_share(share: Share | None, stages: Sequence[str]) -> str:
    return "a whole study" if share is None else f"part {share} of {' and '.join(stages)}"
