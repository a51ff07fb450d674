"""Whether the stage `attribute` has become slower than it was in an older checkout: CPU time of one thread, in turns.

    git worktree add --detach OLD COMMIT
    python benchmarks/older.py OLD [--layers block3] [--units 32] [--pairs 7] [--limit 1.03]

Each checkout runs in a process of its own, which imports everything, scans the demo's pictures and attributes once before it is
timed. The two then take turns on copies of their own scan. What is compared are medians; the scatter beside them is the median
distance from the median, so that a difference below it says nothing.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]


def works(folder: Path, layers: list[str], units: int, limit: int) -> None:
    """What a checkout's own process does: a line with the seconds of each turn that it is asked for."""
    import torch

    import torchlurk as tl

    torch.set_num_threads(1)
    named = [f"{layer}:{channel}" for channel in range(-(-units // len(layers))) for layer in layers][:units]
    scan, turn = folder / "scan.lurk", folder / "turn.lurk"
    tl.analyze("demo", "demo", scan, stages=["scan"], limit=limit, device="cpu").close()
    for _ in range(2):  # what is compiled or kept once is so after the first
        seconds(tl, scan, turn, named, limit)
    print("ready", flush=True)
    for _ in sys.stdin:
        print(seconds(tl, scan, turn, named, limit), flush=True)


def seconds(tl: object, scan: Path, turn: Path, units: list[str], limit: int) -> float:
    """The CPU time of one stage."""
    shutil.copy(scan, turn)
    started = time.process_time()
    tl.analyze("demo", "demo", turn, stages=["attribute"], units=units, limit=limit, device="cpu").close()  # type: ignore[attr-defined]
    return time.process_time() - started


def process(checkout: Path, folder: Path, layers: str, units: int, limit: int) -> subprocess.Popen[str]:
    """One that works with a checkout's package, ready to be timed."""
    folder.mkdir()
    environment = os.environ | {"PYTHONPATH": str(checkout / "src"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, "--works", str(folder), "--layers", layers]
    command += ["--units", str(units), "--images", str(limit)]
    started = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert started.stdout is not None
    while (line := started.stdout.readline().strip()) != "ready":
        if not line and started.poll() is not None:
            raise SystemExit(f"{checkout} cannot run")
    return started


def turn(one: subprocess.Popen[str]) -> float:
    """The seconds of its next turn."""
    assert one.stdin is not None
    assert one.stdout is not None
    one.stdin.write("\n")
    one.stdin.flush()
    return float(one.stdout.readline())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("older", nargs="?", type=Path, help="the folder of the older checkout")
    parser.add_argument("--layers", default="block1,block2,block3,block4", help="the units are the first of these layers")
    parser.add_argument("--units", type=int, default=32)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--images", type=int, default=96)
    parser.add_argument("--limit", type=float, default=1.03, help="how many times as long it may take")
    parser.add_argument("--works", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.works:
        works(given.works, given.layers.split(","), given.units, given.images)
        return 0
    if given.older is None:
        print("nothing to compare with: give the folder of an older checkout")
        return 0
    with tempfile.TemporaryDirectory() as thrown_away:
        folder = Path(thrown_away)
        both = {"older": given.older, "this": HERE}
        asked = given.layers, given.units, given.images
        running = {name: process(checkout, folder / name, *asked) for name, checkout in both.items()}
        times: dict[str, list[float]] = {name: [] for name in both}
        for pair in range(given.pairs):
            for name in sorted(both, reverse=pair % 2 == 1):
                times[name].append(turn(running[name]))
        for one in running.values():
            one.communicate()
    for name, found in times.items():
        middle = statistics.median(found)
        scatter = statistics.median(abs(one - middle) for one in found)
        print(f"{name:>6} {middle:7.3f} s ± {scatter:.3f}   {' '.join(f'{one:.3f}' for one in found)}")
    ratio = statistics.median(times["this"]) / statistics.median(times["older"])
    print(f"attribute of {given.units} units takes {ratio:.3f} times as long (limit {given.limit})")
    return 0 if ratio <= given.limit else 1


if __name__ == "__main__":
    sys.exit(main())
