"""A data set as large as ImageNet, in tar shards, on the actors of a Ray cluster: what it takes of memory, time and messages.

1,281 shards of 1,000 pictures of 8 × 8 pixels, each with its class, are scanned by two actors through a network of 24 units.
The pictures of 16 shards are drawn at random, the others are copies of these. Memory is that of the largest of each kind of
process, looked at every second. Messages are the description of the job, which goes to each actor, and the parts that actors
hand over.
"""

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image

from campaigns import recording
from torchlurk.analysis import analyze_model
from torchlurk.engines import cluster
from torchlurk.engines.description import Description
from torchlurk.options import ComputeOptions, InputOptions, ScanOptions
from torchlurk.scanning.job import Scan, ScanPart
from torchlurk.stage_table import Settings
from torchlurk.study import Study

SEED = 7
SHARDS, EACH, CLASSES, DRAWN, SIDE = 1281, 1000, 1000, 16, 8
MOST_MESSAGE, MOST_DRIVER, MOST_ACTOR = 100 << 20, 3 << 30, 2 << 30
"""Bytes that no message, and the memory of neither kind of process, may reach."""

MODEL = """
import torch
from torch import nn

def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.Conv2d(8, 16, 3), nn.ReLU(), nn.Flatten())
"""


def shard(path: Path, drawn: np.random.Generator) -> None:
    """Writes a shard of pictures with their classes."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for number in range(EACH):
            picture = io.BytesIO()
            Image.fromarray(drawn.integers(0, 256, (SIDE, SIDE, 3), np.uint8)).save(picture, "PNG")
            for kind, content in (("png", picture.getvalue()), ("cls", str(drawn.integers(CLASSES)).encode())):
                member = tarfile.TarInfo(f"{number:06}.{kind}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))


def written(folder: Path, shards: int) -> None:
    """So many shards."""
    drawn = np.random.default_rng(SEED)
    for number in range(shards):
        path = folder / f"{number:06}.tar"
        if number < DRAWN:
            shard(path, drawn)
        else:
            shutil.copy(folder / f"{number % DRAWN:06}.tar", path)


class Timed:
    """Progress that notes how long each task took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._task, self._began = "", 0.0

    def begin(self, task: str, total: int, done: int = 0) -> None:
        """See `torchlurk.jobs.Progress`."""
        self._task, self._began = task, time.monotonic()

    def advance(self, items: int) -> None:
        """See `torchlurk.jobs.Progress`."""

    def end(self) -> None:
        """See `torchlurk.jobs.Progress`."""
        self.seconds[self._task] = round(time.monotonic() - self._began, 1)

    def say(self, text: str) -> None:
        """See `torchlurk.jobs.Progress`."""


def program(folder: str) -> None:
    """The program that analyzes: writes what it sent and took in, and how long it took, beside the study."""
    place, sizes, progress = Path(folder), {"description": 0, "part": 0, "parts": 0}, Timed()
    describe, merge = Description.of, Scan.merge

    def described(*given: Any) -> Description:
        found = describe(*given)
        sizes["description"] = len(found.additions) + len(found.networks) + len(found.job)
        return found

    def merged(scan: Scan, left: ScanPart, right: ScanPart) -> ScanPart:
        sizes["part"] = max(sizes["part"], sum(one.nbytes for one in right.arrays().values()))
        sizes["parts"] += 1
        return merge(scan, left, right)

    cluster.Description.of, Scan.merge = described, merged  # type: ignore[method-assign,assignment]
    compute = ComputeOptions(engine="ray", actors=2, batch_size=256, workers=1)
    settings = Settings(InputOptions(mean=(0.5,) * 3, std=(0.25,) * 3), ScanOptions(top=9), compute=compute)
    began = time.monotonic()
    analyze_model(f"{place / 'net.py'}:net", str(place / "shards"), place / "s.lurk", None, ["scan"], settings, progress)
    whole = round(time.monotonic() - began, 1)
    told = {"sizes": sizes, "seconds": {"all": whole, **progress.seconds}}
    (place / "told.json").write_text(json.dumps(told))


def memory(process: psutil.Process, most: dict[str, int], cpu: dict[int, tuple[str, float]]) -> None:
    """Notes the memory and CPU time of the program and of the actors that it has."""
    for one in [process, *process.children(recursive=True)]:
        try:
            title = " ".join(one.cmdline()[:1])
            kind = "program" if one == process else "actor" if title.startswith("ray::Hand") else ""
            if kind:
                most[kind] = max(most.get(kind, 0), one.memory_full_info().uss)
                cpu[one.pid] = kind, sum(one.cpu_times()[:2])
        except psutil.Error:
            continue


def scanned(shards: int) -> dict[str, object]:
    """Makes the shards, analyzes them in another process, and looks at it every second."""
    with tempfile.TemporaryDirectory() as made:
        place = Path(made)
        (place / "shards").mkdir()
        written(place / "shards", shards)
        (place / "net.py").write_text(MODEL)
        order = [sys.executable, "-c", f"from campaigns.many_shards import program; program({made!r})"]
        run = subprocess.Popen(order, env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.PIPE, text=True)
        most: dict[str, int] = {}
        cpu: dict[int, tuple[str, float]] = {}
        while run.poll() is None:
            memory(psutil.Process(run.pid), most, cpu)
            time.sleep(1.0)
        if run.returncode:
            raise RuntimeError(run.communicate()[1][-500:])
        told = json.loads((place / "told.json").read_text())
        with Study(place / "s.lurk") as study:
            statistics = study.layers[0][0].statistics
            assert study.reader.example_count() == shards * EACH
            assert len(study.classes) == CLASSES
            assert np.isfinite(statistics["mean"])
        largest = max(told["sizes"]["description"], told["sizes"]["part"])
        assert largest < MOST_MESSAGE, largest
        assert most["program"] < MOST_DRIVER, most
        assert most["actor"] < MOST_ACTOR, most
        return {
            "pictures": shards * EACH,
            "seconds": told["seconds"],
            "CPU seconds": {
                kind: round(sum(seconds for one, seconds in cpu.values() if one == kind)) for kind in ("program", "actor")
            },
            "MiB of the program": most["program"] >> 20,
            "MiB of an actor": most["actor"] >> 20,
            "bytes of the study": (place / "s.lurk").stat().st_size,
            "bytes of the description": told["sizes"]["description"],
            "bytes of the largest part": told["sizes"]["part"],
            "parts": told["sizes"]["parts"],
        }


def cases() -> dict[str, Callable[[], dict[str, object]]]:
    """A tenth, and all of them: what grows with the data shows."""
    return {f"{shards:,} shards": partial(scanned, shards) for shards in (SHARDS // 10, SHARDS)}


if __name__ == "__main__":
    recording.run("many_shards", __doc__, SEED, cases())
