"""CPU seconds of a scan by two actors of a Ray cluster on this machine, against two processes without Ray and their merging.

All have one thread each and the same batches, and start from nothing. Of Ray, the processes that it starts besides (its store,
its scheduler, idle workers) are counted by themselves.

    python benchmarks/actors.py [--model torchvision:resnet18] [--pictures 396] [--rounds 3]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

BATCH = 8


def started(options: Sequence[str]) -> subprocess.Popen[bytes]:
    """`torchlurk` with these options, on one thread."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    return subprocess.Popen([sys.executable, "-m", "torchlurk", *options], env=environment, stdout=subprocess.DEVNULL)


def spent(running: Sequence[subprocess.Popen[bytes]]) -> dict[str, float]:
    """CPU seconds of these programs and of all that they start, by what it is: looked at ten times a second until they end."""
    seen: dict[int, tuple[str, float]] = {}
    while any(one.poll() is None for one in running):
        for one in running:
            for process in _family(one.pid):
                try:
                    title = " ".join(process.cmdline())
                    kind = "program" if process.pid == one.pid else "actors" if title.startswith("ray::Hand") else "Ray"
                    seen[process.pid] = kind, sum(process.cpu_times()[:2])
                except psutil.Error:
                    continue
        time.sleep(0.1)
    if any(one.returncode for one in running):
        raise SystemExit("a command failed: run it by itself to see why")
    return {kind: sum(seconds for one, seconds in seen.values() if one == kind) for kind in ("program", "actors", "Ray")}


def _family(number: int) -> list[psutil.Process]:
    try:
        first = psutil.Process(number)
        return [first, *first.children(recursive=True)]
    except psutil.Error:
        return []


def main() -> None:
    """Takes turns; prints medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="torchvision:resnet18")
    parser.add_argument("--pictures", type=int, default=396)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    scan = ["analyze", given.model, "drawn", "--weights", "random", "--limit", str(given.pictures)]
    scan += ["--batch-size", str(BATCH), "--workers", "1"]
    by_ray: list[dict[str, float]] = []
    without: list[float] = []
    with tempfile.TemporaryDirectory() as made:
        for turn in range(given.rounds):
            place = Path(made, str(turn))
            place.mkdir()
            by_ray.append(spent([started([*scan, "--out", str(place / "ray.lurk"), "--engine", "ray", "--actors", "2"])]))
            parts = [str(place / f"{number}.lurk") for number in (1, 2)]
            both = [
                started([*scan, "--engine", "local", "--part", f"{number}/2", "--out", part])
                for number, part in enumerate(parts, 1)
            ]
            merged = ["merge", *parts, "--out", str(place / "whole.lurk")]
            without.append(spent(both)["program"] + spent([started(merged)])["program"])
    told = {kind: statistics.median(one[kind] for one in by_ray) for kind in by_ray[0]}
    processes = statistics.median(without)
    whole = sum(told.values())
    print(f"{given.model}, {given.pictures} pictures, one thread each, medians of {given.rounds}, CPU seconds")
    print(f"two actors: {told['actors']:.1f}, the program {told['program']:.1f}, the rest of Ray {told['Ray']:.1f}")
    print(f"all of these: {whole:.1f}; two processes and merging: {processes:.1f}; {whole / processes:.2f} times as many")


if __name__ == "__main__":
    main()
