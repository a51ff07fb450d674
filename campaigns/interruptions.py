"""Kills analyses after their transactions, continues each by the same command, and compares the studies with undisturbed ones.

    python campaigns/interruptions.py [--cases small,demo,squeezenet] [--ways separately,chained] [--data FOLDER]
                                      [--results FILE.json]

A kill is SIGKILL, in a child process, right after a transaction. The clock by which stages choose how much they do at once is
made for the purpose: it goes on by the same time at each look, so that all runs choose alike. Studies are compared by all
rows of all tables, pictures included; when a stage was run is left out. A finished study must be one file.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import count, cycle
from pathlib import Path
from typing import Any

import torch
from torch import nn

from torchlurk.analysis import run_stages, task_of
from torchlurk.jobs import Silence
from torchlurk.options import AttributeOptions, ComputeOptions, InputOptions, ScanOptions, SynthesizeOptions, UnitOptions
from torchlurk.stage_table import Settings
from torchlurk.stages.stage import Task

TICK = 20.0
"""Seconds by which the clock goes on at each look: batches of attributions then keep their size."""

WHEN = {"run": ("started", "finished")}
"""Columns, by table, that say when something was done."""

MOST_LINKS = 500
"""Processes of one chain, which would otherwise not end if none of them got on."""

ROOT = Path(__file__).parents[1]


class Ticking:
    """A clock that goes on by `TICK` at each look."""

    def __init__(self) -> None:
        self._now = 0.0

    def __call__(self) -> float:
        self._now += TICK
        return self._now


@dataclass(frozen=True)
class Case:
    """An analysis, and of which of its stages: those killed after each of their transactions separately, and those killed in
    one chain, process after process.
    """

    name: str
    task: Callable[[Path], Task]
    stages: tuple[str, ...]
    separately: tuple[str, ...]
    in_a_chain: tuple[str, ...]


@dataclass
class Outcome:
    """What became of one stage of a case: `faults` are the kills after which the study was not the same."""

    case: str
    stage: str
    way: str
    transactions: int
    kills: int = 0
    faults: list[str] = field(default_factory=list)


def in_child(task: Task, stage: str, kill_after: int | None = None) -> int | None:
    """Runs a stage in a process of its own; how many transactions it made, None where it was killed after so many."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _run(task, stage, kill_after, writing)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        told = pipe.read()
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL and kill_after:
        return None
    if status != 0:
        raise RuntimeError(f"the stage {stage} ended with status {status}: {told}")
    return int(told)


def _run(task: Task, stage: str, kill_after: int | None, told: int) -> None:
    made = count(1)
    last = 0

    def committed() -> None:
        nonlocal last
        last = next(made)
        if last == kill_after:
            os.kill(os.getpid(), signal.SIGKILL)

    try:
        run_stages(replace(task, clock=Ticking(), committed=committed), (stage,))
        os.write(told, str(last).encode())
    except BaseException:
        os.write(told, traceback.format_exc().encode())
        os._exit(1)
    os._exit(0)


def content(study: Path) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all tables of a study, but for when stages were run."""
    with closing(sqlite3.connect(f"{study.as_uri()}?mode=ro", uri=True)) as db:
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        found = {}
        for table in tables:
            columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
            chosen = [f"{name} IS NULL" if name in WHEN.get(table, ()) else name for name in columns]
            found[table] = sorted(db.execute(f"SELECT {', '.join(chosen)} FROM {table}").fetchall(), key=repr)
        return found


def differences(expected: dict[str, list[tuple[Any, ...]]], study: Path) -> list[str]:
    """In what a study is not as expected, one line a table; what lies beside its file, too."""
    beside = sorted(one.name for one in study.parent.iterdir() if one != study and one.name.startswith(study.name))
    lines = [f"{name} lies beside it" for name in beside]
    found = content(study)
    for table in expected.keys() | found.keys():
        given, wanted = found.get(table, []), expected.get(table, [])
        if given != wanted:
            other = sum(one not in wanted for one in given)
            lines.append(f"{table}: {len(given)} rows of {len(wanted)}, {other} of them otherwise")
    return lines


def separately(case: Case, stage: str, before: Path | None, folder: Path) -> Outcome:
    """Killed after each transaction, each time from the same study before it, and continued."""
    undisturbed = _copied(before, folder / "undisturbed.lurk")
    transactions = in_child(case.task(undisturbed), stage)
    assert transactions is not None
    outcome, expected = Outcome(case.name, stage, "each transaction separately", transactions), content(undisturbed)
    for after in range(1, transactions + 1):
        study = _copied(before, folder / "killed.lurk")
        if in_child(case.task(study), stage, after) is not None:
            outcome.faults.append(f"it was not killed after transaction {after}")
            continue
        outcome.kills += 1
        in_child(case.task(study), stage)
        outcome.faults += [f"killed after transaction {after}: {line}" for line in differences(expected, study)]
    return outcome


def chained(case: Case, stage: str, before: Path | None, folder: Path) -> Outcome:
    """Killed, continued, killed again, and so on until it is finished."""
    undisturbed = _copied(before, folder / "undisturbed.lurk")
    transactions = in_child(case.task(undisturbed), stage)
    assert transactions is not None
    outcome = Outcome(case.name, stage, "one chain of kills", transactions)
    study = _copied(before, folder / "killed.lurk")
    for after, _ in zip(_links(stage), range(MOST_LINKS), strict=False):
        if in_child(case.task(study), stage, after) is not None:
            outcome.faults += [f"after {outcome.kills} kills: {line}" for line in differences(content(undisturbed), study)]
            return outcome
        outcome.kills += 1
    outcome.faults.append(f"it was not finished after {outcome.kills} kills")
    return outcome


def _links(stage: str) -> Iterator[int]:
    """After how many transactions each process of a chain is killed.

    Attributions and syntheses begin with a transaction, then each batch is one, and how many there are another: a process is
    killed after its first batch, the next after it has counted its own. The scan ends with transactions that are made again
    by the next process, so each of a chain is killed one later than the one before.
    """
    return count(1) if stage == "scan" else cycle((2, 3))


def _copied(study: Path | None, to: Path) -> Path:
    for one in to.parent.glob(to.name + "*"):
        one.unlink()
    if study is not None:
        shutil.copyfile(study, to)
    return to


def run_case(case: Case, ways: Sequence[str]) -> Iterator[Outcome]:
    """All stages of a case, each from the undisturbed study of those before it, in those of its ways that are named."""
    before = None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for stage in case.stages:
            for way, chosen in ((separately, case.separately), (chained, case.in_a_chain)):
                if stage in chosen and way.__name__ in ways:
                    yield way(case, stage, before, folder)
            after = _copied(before, folder / f"after-{stage}.lurk")
            in_child(case.task(after), stage)
            before = after


def told(outcome: Outcome) -> str:
    """One line, and one for each fault."""
    same = "all studies the same" if not outcome.faults else f"{len(outcome.faults)} faults"
    line = f"{outcome.case}, {outcome.stage}, {outcome.way}: {outcome.transactions} transactions, {outcome.kills} kills, {same}"
    return "\n  ".join([line, *outcome.faults])


class Drawn(torch.utils.data.Dataset[tuple[torch.Tensor, int]]):
    """Random pictures, the same each time."""

    def __len__(self) -> int:
        return 150

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return torch.rand(3, 20, 20, generator=torch.Generator().manual_seed(index)), index % 3


def small(data: Path) -> Case:
    """A network of three layers."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 20, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(20, 18, 3), nn.ReLU(), nn.Flatten(), nn.Linear(882, 3)
    )
    settings = Settings(
        InputOptions(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)),
        ScanOptions(top=3, sample=40),
        UnitOptions(),
        AttributeOptions(exemplars=2),
        SynthesizeOptions(steps=2),
        ComputeOptions(device="cpu", batch_size=16, workers=1),
    )
    task = task_of(net, Drawn(), Path(), None, settings, Silence())
    stages = ("scan", "attribute", "synthesize")
    return Case("small", lambda out: replace(task, out=out), stages, stages, stages)


def demo(data: Path) -> Case:
    """A few layers of the demo, on a few of its pictures."""
    settings = Settings(
        InputOptions(limit=260),
        ScanOptions(layers=("stem.0", "block1", "head"), sample=100),
        UnitOptions(),
        AttributeOptions(),
        SynthesizeOptions(steps=2),
        ComputeOptions(device="cpu", batch_size=16, workers=1),
    )
    task = task_of("demo", "demo", Path(), None, settings, Silence())
    stages = ("scan", "attribute", "synthesize")
    return Case("demo", lambda out: replace(task, out=out), stages, stages, stages)


def squeezenet(data: Path) -> Case:
    """Two layers of SqueezeNet, trained on ImageNet, on photographs."""
    settings = Settings(
        InputOptions(limit=60),
        ScanOptions(layers=("features.3.expand1x1", "features.6.squeeze"), sample=60),
        UnitOptions(),
        AttributeOptions(),
        SynthesizeOptions(),
        ComputeOptions(device="cpu", batch_size=4, workers=1),
    )
    weights = data / "models" / "squeezenet1_1.safetensors"
    task = task_of("torchvision:squeezenet1_1", str(data / "imagenette"), Path(), weights, settings, Silence())
    return Case("squeezenet", lambda out: replace(task, out=out), ("scan", "attribute"), (), ("attribute",))


CASES: dict[str, Callable[[Path], Case]] = {"small": small, "demo": demo, "squeezenet": squeezenet}


def main(arguments: Sequence[str]) -> int:
    """Runs the cases; the exit status says whether a study was not the same."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", default=",".join(CASES), help="comma-separated; default: all")
    parser.add_argument("--ways", default="separately,chained", help="comma-separated; default: both")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="where models and photographs are")
    parser.add_argument("--results", type=Path, help="where to write what was found, as JSON")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)  # a forked process cannot use the threads of its parent
    started, outcomes = time.monotonic(), []
    for name in given.cases.split(","):
        if name == "squeezenet" and not (given.data / "models").is_dir():
            print(f"squeezenet: skipped, there are no models in {given.data}", flush=True)
            continue
        for outcome in run_case(CASES[name](given.data), given.ways.split(",")):
            outcomes.append(outcome)
            print(told(outcome), flush=True)
            if given.results:
                given.results.write_text(json.dumps(record(outcomes, time.monotonic() - started), indent=1) + "\n")
    return int(any(one.faults for one in outcomes))


def record(outcomes: Sequence[Outcome], seconds: float) -> dict[str, Any]:
    """What is kept of a campaign."""
    return {
        "commit": _git("rev-parse", "HEAD"),
        "changed since": bool(_git("status", "--porcelain", "--", "src", "campaigns/interruptions.py")),
        "seed": ScanOptions().seed,
        "tick": TICK,
        "torch": torch.__version__,
        "sqlite": sqlite3.sqlite_version,
        "machine": platform.machine(),
        "seconds": round(seconds),
        "outcomes": [vars(one) for one in outcomes],
    }


def _git(*arguments: str) -> str:
    return subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False).stdout.strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
