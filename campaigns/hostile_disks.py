"""Disks that fill up, refuse, vanish or lose power while a study is written: said in a line, and nothing finished is lost.

A network of three layers on random pictures (`interruptions.small`), each stage from the undisturbed study of those before it.
A disturbed stage ends with an error of one line, and with its cause away the same command continues: the study is then the
undisturbed one, by all rows of all tables, and one file with nothing beside it.

The power cut is a kill after a transaction; then the log loses what was written after it was last made safe: a database with
`synchronous = NORMAL` promises to be whole, not to have its latest transactions. The disk that is full is a small file system
in memory (needs the right to mount), the quota a limit on the size of files, the clock one that goes back at each look.
"""

import contextlib
import functools
import os
import random
import re
import resource
import shutil
import subprocess
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count, cycle
from pathlib import Path

import torch

from campaigns import recording
from campaigns.interruptions import Ticking, content, differences, in_child, small
from torchlurk.analysis import run_stages
from torchlurk.errors import TorchlurkError
from torchlurk.stages.stage import Task

SEED = 18
STAGES = ("scan", "attribute", "synthesize")
FRAME = 16384 + 24
"""Bytes of a page in the log: a page of a study, and what is said of it."""
HEAD = 32
ROOM = (0, 16 << 10, 100 << 10, 300 << 10, 600 << 10, 1 << 20)
"""Bytes that a disk has left, or that a file may grow by."""
MOMENTS = 6
"""Transactions of a stage at which something else than a power cut happens."""
NOBODY = 65534


def told(
    task: Task, stage: str, disturb: Callable[[int], None] = lambda number: None, *, first: Callable[[], None] = lambda: None
) -> str:
    """Runs a stage in a process of its own: what it ended with, a line, or '' where it finished. Raises for a traceback.

    `first` is called in that process before, `disturb` after each transaction, with its number.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _be(task, stage, disturb, first, writing)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    status = os.waitpid(child, 0)[1]
    assert status == 0, said or f"the process ended with status {status}"
    assert "\n" not in said, said
    return said


def _be(task: Task, stage: str, disturb: Callable[[int], None], first: Callable[[], None], to: int) -> None:
    numbers = count(1)
    try:
        first()
        run_stages(replace(task, clock=Ticking(), committed=lambda: disturb(next(numbers))), (stage,))
    except TorchlurkError as error:
        os.write(to, str(error).encode())
    except BaseException:
        os.write(to, traceback.format_exc().encode())
        os._exit(1)
    os._exit(0)


class Studies:
    """The undisturbed study after each stage, what is in it, and how many transactions the stage made."""

    def __init__(self, folder: Path) -> None:
        self.task = small(folder).task
        self.before: dict[str, Path | None] = {}
        self.expected: dict[str, dict[str, list[tuple[object, ...]]]] = {}
        self.transactions: dict[str, int] = {}
        last: Path | None = None
        for stage in STAGES:
            self.before[stage] = last
            after = folder / f"after-{stage}.lurk"
            if last is not None:
                shutil.copyfile(last, after)
            self.transactions[stage] = in_child(self.task(after), stage) or 0
            self.expected[stage], last = content(after), after

    def begun(self, stage: str, folder: Path) -> Path:
        """A copy to run the stage on, in that folder."""
        study = folder / "study.lurk"
        for one in folder.glob("study.lurk*"):
            one.unlink()
        before = self.before[stage]
        if before is not None:
            shutil.copyfile(before, study)
        return study

    def continued(self, stage: str, study: Path) -> None:
        """The same command again: the study is the undisturbed one."""
        assert told(self.task(study), stage) == ""
        assert not (found := differences(self.expected[stage], study)), found


@contextlib.contextmanager
def disk(size: int) -> Iterator[Path]:
    """A file system of that many bytes."""
    with tempfile.TemporaryDirectory() as place:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", place], check=True, capture_output=True)
        try:
            yield Path(place)
        finally:
            subprocess.run(["umount", "-l", place], check=True)


def full_disk(studies: Studies, stage: str) -> dict[str, object]:
    """The disk has less and less left; what fills it goes away, and the same command continues."""
    said: dict[str, int] = {}
    with disk(64 << 20) as folder:
        for room in ROOM:
            study = studies.begun(stage, folder)
            left = shutil.disk_usage(folder).free
            filler = folder / "filler"
            filler.write_bytes(bytes(max(left - room, 0)))
            line = told(studies.task(study), stage)
            filler.unlink()
            _tally(said, line, "no space left|not enough|disk may be full")
            studies.continued(stage, study)
    return {"ended": said}


def quota(studies: Studies, stage: str) -> dict[str, object]:
    """No file may grow beyond what it has and a little more."""
    said: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as place:
        for room in ROOM:
            study = studies.begun(stage, Path(place))
            most = (study.stat().st_size if study.exists() else 0) // 2 + room
            line = told(
                studies.task(study), stage, first=lambda most=most: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
            )
            _tally(said, line, "over its quota|no space left|cannot be written")
            studies.continued(stage, study)
    return {"ended": said}


def _tally(said: dict[str, int], line: str, words: str) -> None:
    assert not line or any(word in line for word in words.split("|")), line
    kind = re.sub(r"/\S*/", "", line).partition(":")[0].partition("   (")[0].partition(" (")[0] if line else "finished"
    said[kind] = said.get(kind, 0) + 1


def read_only(studies: Studies, stage: str) -> dict[str, object]:
    """Another user's folder, and a file system that is only read."""
    lines = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        folder.chmod(0o755)
        study = studies.begun(stage, folder)
        as_read = study.read_bytes() if study.exists() else None
        lines.append(told(studies.task(study), stage, first=lambda: os.setuid(NOBODY)))
        assert (study.read_bytes() if study.exists() else None) == as_read
        assert [one.name for one in folder.iterdir()] == ([study.name] if as_read else [])
        studies.continued(stage, study)
    with disk(64 << 20) as folder:
        study = studies.begun(stage, folder)
        subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
        lines.append(told(studies.task(study), stage))
        subprocess.run(["mount", "-o", "remount,rw", folder], check=True)
        studies.continued(stage, study)
    assert all("cannot be written" in line or "read-only" in line.lower() for line in lines), lines
    return {"said": sorted({line.partition("'")[2].partition("' ")[2][:80] for line in lines})}


def vanished(studies: Studies, stage: str) -> dict[str, object]:
    """The study's folder, or the study alone, goes after a transaction; each one in turn. Nothing comes back in its place."""
    said: dict[str, int] = {}
    for number in _some(studies.transactions[stage]):
        for alone in (False, True):
            with tempfile.TemporaryDirectory() as place:
                folder = Path(place) / "folder"
                folder.mkdir()
                study = studies.begun(stage, folder)

                def disturb(at: int, number: int = number, alone: bool = alone, study: Path = study) -> None:
                    if at == number and alone:
                        study.unlink()
                    elif at == number:
                        shutil.rmtree(study.parent)

                line = told(studies.task(study), stage, disturb)
                last = number == studies.transactions[stage]
                assert line or last, f"it finished into nothing: {stage}, {number}"
                _tally(said, line, "was deleted or replaced|there is no study")
                assert not study.exists(), f"something lies in its place: {stage}, {number}"
    return {"ended": said}


def clock_back(studies: Studies, stage: str) -> dict[str, object]:
    """The machine's clock goes back by an hour at each look."""
    with tempfile.TemporaryDirectory() as place:
        study = studies.begun(stage, Path(place))

        def first() -> None:
            now = [time.time()]

            def back() -> float:
                now[0] -= 3600
                return now[0]

            time.time = back

        assert told(studies.task(study), stage, first=first) == ""
        assert not (found := differences(studies.expected[stage], study)), found
    return {}


def two_at_once(studies: Studies, stage: str) -> dict[str, object]:
    """While one waits after a transaction, the same command is given again: it is refused, and the first goes on."""
    lines = set()
    with tempfile.TemporaryDirectory() as place:
        for number in _some(studies.transactions[stage] - 1):
            study = studies.begun(stage, Path(place))
            line = Path(place) / "line"

            def disturb(at: int, number: int = number, study: Path = study, line: Path = line) -> None:
                if at == number:
                    command = functools.partial(told, studies.task(study), stage)
                    line.write_text(command())

            assert told(studies.task(study), stage, disturb) == ""
            assert "being written by another" in line.read_text() or "in use by another" in line.read_text(), line.read_text()
            lines.add(line.read_text().partition("'")[2].partition("' ")[2])
            line.unlink()
            assert not (found := differences(studies.expected[stage], study)), found
    return {"said": sorted(lines)}


def power_cut(studies: Studies, stage: str, every: int = 1) -> dict[str, object]:
    """Killed after each transaction, or every so many, and the end of the log is gone, torn or empty, in turn.

    The same command continues.
    """
    lost, ways = 0, cycle(("a frame less", "some frames less", "all of it", "torn", "empty"))
    dice = random.Random(SEED)
    with tempfile.TemporaryDirectory() as place:
        for number in range(every, studies.transactions[stage] + 1, every):
            study = studies.begun(stage, Path(place))
            if in_child(studies.task(study), stage, number) is not None:
                raise AssertionError(f"it was not killed after transaction {number}")
            lost += _cut(study.with_name(study.name + "-wal"), next(ways), dice)
            studies.continued(stage, study)
    return {"transactions": studies.transactions[stage], "bytes lost": lost}


def _cut(log: Path, way: str, dice: random.Random) -> int:
    """Takes something from the end of the log, as if it had not reached the disk; how many bytes."""
    log.with_name(log.name.removesuffix("-wal") + "-shm").unlink(missing_ok=True)
    whole = log.read_bytes() if log.exists() else b""
    frames = max(len(whole) - HEAD, 0) // FRAME
    if not frames:
        return 0
    kept = {"a frame less": frames - 1, "all of it": 0}.get(way, dice.randrange(frames))
    left = whole[: HEAD + kept * FRAME]
    if way == "all of it":
        left = b""
    elif way == "torn":
        left += whole[len(left) : len(left) + dice.randrange(1, FRAME)]
    elif way == "empty":
        left += bytes(len(whole) - len(left))
    log.write_bytes(left)
    return len(whole) - len(left.rstrip(b"\0")) if way == "empty" else len(whole) - len(left)


def _some(transactions: int) -> list[int]:
    """`MOMENTS` of the transactions, the first and the last among them."""
    return sorted({1 + round(part * (transactions - 1) / (MOMENTS - 1)) for part in range(MOMENTS)}) if transactions > 0 else []


CHECKS = {
    "full disk": full_disk,
    "quota": quota,
    "read-only folder": read_only,
    "folder that vanishes": vanished,
    "clock set back": clock_back,
    "two analyses of one study": two_at_once,
    "power cut": power_cut,
}

if __name__ == "__main__":
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as made:
        whole = Studies(Path(made))
        cases = {
            f"{name}: {stage}": functools.partial(check, whole, stage) for name, check in CHECKS.items() for stage in STAGES
        }
        recording.run("hostile_disks", __doc__, SEED, cases)
