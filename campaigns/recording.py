"""Runs the cases of a campaign one after the other and keeps what came of them, with the commit and the seed."""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import subprocess
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from torchlurk.models.loading.extras import import_torchvision

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "campaigns" / "results"
LIBRARIES = ("torch", "torchvision", "timm", "transformers", "captum", "numpy", "numba")


@dataclass(frozen=True)
class Outcome:
    """What came of one case; `found` is what it measured."""

    case: str
    passed: bool
    cpu_seconds: float
    said: str = ""
    found: dict[str, object] | str = ""


def run(name: str, about: str, seed: int, cases: Mapping[str, Callable[[], object]]) -> None:
    """The whole of a campaign's program: its cases, or those that match the command line's patterns, which are not recorded.

    A case fails by raising. The program ends with status 1 if one did.
    """
    parser = argparse.ArgumentParser(prog=f"python -m campaigns.{name}", description=about)
    parser.add_argument("case", nargs="*", help="run only the cases that match these patterns, and record nothing")
    wanted = parser.parse_args().case
    chosen = [case for case in cases if not wanted or any(fnmatch.fnmatch(case, pattern) for pattern in wanted)]
    if not chosen:
        parser.error(f"no case matches {' '.join(wanted)}; there are: {', '.join(cases)}")
    started_at = commit()
    torch.set_num_threads(1)
    import_torchvision()  # says once, before the table, if it had to be repaired
    outcomes = [tried(case, cases[case]) for case in chosen]
    failed = [one.case for one in outcomes if not one.passed]
    print(
        f"{len(outcomes) - len(failed)} of {len(outcomes)} passed, {sum(one.cpu_seconds for one in outcomes):.0f} s of CPU time"
    )
    if not wanted:
        record(name, seed, started_at, outcomes)
    raise SystemExit(bool(failed))


def tried(case: str, check: Callable[[], object]) -> Outcome:
    """Runs one case and prints a line about it; of one that fails, the traceback too."""
    before, said, found = cpu_seconds(), "", None
    try:
        found = check()
    except Exception as error:
        traceback.print_exc()
        said = f"{type(error).__name__}: {error}".splitlines()[0]
    measured = found if isinstance(found, dict) else ""
    outcome = Outcome(case, not said, round(cpu_seconds() - before, 1), said, measured)
    print(
        f"{'passed' if outcome.passed else 'FAILED'}  {outcome.cpu_seconds:6.1f} s  {case}  {told(outcome)}".rstrip(),
        flush=True,
    )
    return outcome


def told(outcome: Outcome) -> str:
    """What a case measured, in a line."""
    return ", ".join(f"{name} {value}" for name, value in outcome.found.items()) if isinstance(outcome.found, dict) else ""


def cpu_seconds() -> float:
    """Of this process and of the processes it started that have ended."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def record(name: str, seed: int, started_at: str, outcomes: list[Outcome]) -> None:
    """Writes `results/NAME.json`."""
    whole = {
        "campaign": name,
        "commit": started_at,
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "seed": seed,
        "versions": versions(),
        "passed": sum(one.passed for one in outcomes),
        "failed": sum(not one.passed for one in outcomes),
        "cpu_seconds": round(sum(one.cpu_seconds for one in outcomes), 1),
        "cases": [{key: value for key, value in asdict(one).items() if value != ""} for one in outcomes],
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(whole, indent=1) + "\n")


def commit() -> str:
    """The commit that the working tree is at; `-dirty` at its end says that the tree differs from it."""
    command = ["git", "describe", "--always", "--abbrev=12", "--dirty", "--exclude=*"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def versions() -> dict[str, str]:
    """Of the libraries that the outcome may depend on, those that are installed."""
    found = {}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found
