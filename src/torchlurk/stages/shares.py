"""Which part of an analysis is done here (`--part K/N`), and that it can be."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from torchlurk.errors import MismatchError, OptionError, StudyError
from torchlurk.jobs import Share
from torchlurk.options import stored
from torchlurk.run_records import Portion, Run
from torchlurk.stage_table import STAGES
from torchlurk.stages.mismatch import differences, differing_options
from torchlurk.stages.stage import Task
from torchlurk.store.connections import holds_nothing
from torchlurk.store.merging import copy_study, new_study
from torchlurk.store.reading import Reader
from torchlurk.store.writing import Writer

SCAN = "scan"


def check_share(task: Task, stages: Sequence[str]) -> None:
    """Raises an error where that share of those stages cannot be done, or the study at hand is another part or none."""
    if task.share is not None:
        _check_stages(task, stages)
    elif task.merged is not None:
        raise OptionError("--from is given without --part", "give both, or neither")
    if not task.out.exists() or holds_nothing(task.out):
        return
    with Reader(task.out) as reader:
        portion, begun = reader.portion(), bool(reader.runs())
    wanted = None if task.share is None else Portion(task.share.number, task.share.of, tuple(stages), asked(task, stages))
    if begun and told(portion) != told(wanted):
        raise MismatchError(
            f"{task.out} is {told(portion)}, not {told(wanted)}", "choose another --out, or give the same value"
        )
    if portion and wanted and (differing := differing_options(portion.asked, wanted.asked, ("made with", "now"))):
        raise MismatchError(f"{task.out} was made with different settings: {'; '.join(differing)}", "choose another --out")


def _check_stages(task: Task, stages: Sequence[str]) -> None:
    if SCAN not in stages:
        if task.merged is None:
            raise OptionError(
                f"--part of {' and '.join(stages)} needs the whole scan", "name the study that holds it with --from STUDY"
            )
        return
    if len(stages) > 1:
        raise OptionError(
            f"--part with --stages {','.join(stages)}: the other stages need the whole scan",
            "make parts of the scan, merge them, then parts of the other stages with --from STUDY",
        )
    if task.merged is not None:
        raise OptionError("--from does not apply to a part of the scan, which starts from scratch", "leave --from out")


def asked(task: Task, stages: Sequence[str]) -> dict[str, Any]:
    """What beyond the options of their runs parts of these stages must have in common."""
    if SCAN in stages:
        return {}
    settings = task.settings
    chosen = {"layers": list(settings.scan.layers)} | stored(settings.units)
    for stage in stages:
        chosen |= STAGES[stage].asked_alike(settings.of_stage(stage))
    return chosen


def begin_share(task: Task, stages: Sequence[str], now: Run) -> None:
    """Makes the study of a part of the later stages: a copy of the one that it goes on from.

    Raises `MismatchError` where that is of another model or other data than `now`.
    """
    if task.share is None or task.merged is None or task.out.exists():
        return
    with Reader(task.merged) as reader:
        scan = reader.runs().get(SCAN)
        if reader.portion() is not None or scan is None or scan.finished is None:
            raise StudyError(f"'{task.merged}' does not hold a complete scan", "merge the parts of the scan first")
        options = json.loads(json.dumps(task.data_options()))
        if differing := differences(scan, replace(now, options=options), ("made with", "now")):
            raise MismatchError(
                f"'{task.merged}' was made with different settings: {'; '.join(differing)}", "give the same settings"
            )
        with new_study(task.out) as place:
            copy_study(reader, place)
            with Writer(place) as writer:
                writer.write_portion(Portion(task.share.number, task.share.of, tuple(stages), asked(task, stages)))


def finish_share(task: Task) -> None:
    """Marks a part of the later stages as finished."""
    with Reader(task.out) as reader:
        portion = reader.portion()
    if portion is not None and not portion.finished:
        with task.writer() as writer:
            writer.write_portion(replace(portion, finished=True))


def units_of(share: Share | None, layers: Mapping[str, Sequence[int]], together: int = 0) -> dict[str, frozenset[int]]:
    """The channels of each layer that are of the share; all without one.

    Layers and their channels are cut in order, but never within the first `together` channels of a layer.
    """
    if share is None:
        return {layer: frozenset(channels) for layer, channels in layers.items()}
    cut = share.cut(sum(map(len, layers.values())))
    found, start = {}, 0
    for layer, channels in layers.items():
        edges = (min(max(edge - start, 0), len(channels)) for edge in (cut.start, cut.stop))
        first, last = (0 if edge < min(together, len(channels)) else edge for edge in edges)
        found[layer] = frozenset(channels[first:last])
        start += len(channels)
    return found


def is_done_share(task: Task) -> bool:
    """Whether the study is the part asked for, and finished."""
    if task.share is None or not task.out.exists() or holds_nothing(task.out):
        return False
    with Reader(task.out) as reader:
        portion = reader.portion()
    return portion is not None and portion.finished


def told(portion: Portion | None) -> str:
    """What a study is, in words."""
    if portion is None:
        return "a whole study"
    return f"part {portion.number}/{portion.of} of {' and '.join(portion.stages)}"
