"""How many examples a pass of the scan is of: what a study recorded, what is asked for, or what a trial finds to be best."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from torchlurk.errors import MismatchError
from torchlurk.records import Layer
from torchlurk.run_records import Run
from torchlurk.scanning.batch_size import choose_batch_size, settled_batch_size
from torchlurk.scanning.job import Scan
from torchlurk.stages.stage import Task
from torchlurk.store.reading import Reader


def batch_size_of(task: Task, network: nn.Module, example: Tensor, layers: Sequence[Layer], earlier: Run | None) -> int:
    """That of the run which is continued, unless another is asked for; of a new one chosen by a trial, but not for a share
    of the work: another share may be done on another machine.
    """
    asked = task.settings.compute.batch_size
    known = None
    if earlier is not None:
        with Reader(task.out) as reader:
            known = reader.batch_size()
    if task.share is not None and None not in (asked, known) and asked != known:
        raise MismatchError(
            f"{task.out} was begun with --batch-size {known}, now {asked}",
            f"give the same value, or start over with another --out or without {task.out}",
        )
    if asked or known:
        return asked or known or 1
    return choose_batch_size(network, example, layers, task.clock) if task.share is None else settled_batch_size(layers)


def fitting(task: Task, scan: Scan, earlier: Run | None) -> Scan:
    """The scan with batches that fit into the memory of a device, which is told where they are smaller than was chosen.

    A run that is continued, and a share of the work, have the batches that others have: they are only passed in pieces.
    """
    if task.device.type == "cpu" or earlier is not None or task.share is not None:
        return scan
    found = scan.fitting()
    if found.batch_size != scan.batch_size:
        task.progress.say(
            f"a batch of {scan.batch_size} examples does not fit into the memory of {task.device}: "
            f"each batch is of {found.batch_size}"
        )
    return found
