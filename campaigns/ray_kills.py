"""Actors and programs of a Ray cluster killed at random moments, and a machine that leaves: the study is the usual one.

A cluster of two machines is played on this one. A network that sleeps a little is scanned, attributed or synthesized by two
actors. Actors die by SIGKILL while the command goes on; the command itself is killed and run again; a machine leaves in the
middle. Each time the finished study is compared with that of one process without Ray: what is chosen or ranked, pictures and
numbers of attributions and syntheses exactly, sums to 10⁻¹².
"""

import functools
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
from ray.cluster_utils import Cluster

from campaigns import recording
from torchlurk.study import Study
from torchlurk.units import Unit

SEED = 5
ACTOR_KILLS, DRIVER_KILLS = 20, 10
GAVE_UP = "actors were lost one after the other while nothing got done"
STAGES = ("scan", "attribute", "synthesize")

MODEL = """
import time
import torch
from torch import nn

class Slow(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        convs = nn.Conv2d(3, 6, 5, 4), nn.Conv2d(6, 8, 3, 2), nn.Conv2d(8, 8, 3)
        self.body = nn.Sequential(*(one for conv in convs for one in (conv, nn.ReLU())))
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        time.sleep(0.03)
        return self.head(self.body(x).mean((2, 3)))

def net():
    return Slow()
"""

OPTIONS = ["--limit", "768", "--batch-size", "8", "--workers", "1", "--sample", "64", "--top", "4", "--mean", "0,0,0"]
OPTIONS += ["--std", "1,1,1", "--exemplars", "2", "--steps", "24", "--methods", "gradient,guided"]


def command(model: Path, study: Path, stage: str, engine: list[str]) -> list[str]:
    """What a person would type."""
    return [
        sys.executable,
        "-m",
        "torchlurk",
        "analyze",
        f"{model}:net",
        "demo",
        "--out",
        str(study),
        "--stages",
        stage,
        *OPTIONS,
        *engine,
    ]


def by_ray(cluster: Cluster) -> list[str]:
    """The options for two actors in the cluster."""
    return ["--engine", f"ray:{cluster.address}", "--actors", "2"]


def run(asked: list[str]) -> None:
    """Runs it to its end; raises with what it said where it fails."""
    done = subprocess.run(asked, capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"})
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])


@contextmanager
def two_machines() -> Iterator[Cluster]:
    """A cluster of two machines with a core each."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    cluster.add_node(num_cpus=1)
    try:
        yield cluster
    finally:
        cluster.shutdown()


def actors() -> list[psutil.Process]:
    """Those of this cluster that are at work or wait for some."""
    return [one for one in psutil.Process().children(recursive=True) if _is_actor(one)]


def _is_actor(process: psutil.Process) -> bool:
    try:
        return any(part.startswith("ray::Hand") for part in process.cmdline())
    except psutil.Error:  # it has just ended
        return False


def start(asked: list[str]) -> subprocess.Popen[str]:
    """Starts it, its own words put away."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(asked, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment)


def finished(process: subprocess.Popen[str]) -> str:
    """What it said until its end; raises with the last line where it failed."""
    said = process.communicate()[1]
    if process.returncode:
        raise RuntimeError(said.strip().splitlines()[-1])
    return said


def actors_die(made: "Usual", stage: str, kills: int = ACTOR_KILLS) -> dict[str, object]:
    """Actors are killed while the stage is done, in as many commands as that takes.

    A command that gives up, since the last four died before they had done anything, is run again, as a person would.
    """
    moments, killed, commands, gave_up = random.Random(SEED), 0, 0, 0
    while killed < kills:
        study, done = made.copied(stage), False
        while not done:
            process = start(command(made.model, study, stage, by_ray(made.cluster)))
            while process.poll() is None and killed < kills:
                time.sleep(moments.uniform(3.0, 8.0))
                if alive := actors():
                    moments.choice(alive).kill()
                    killed += 1
            try:
                finished(process)
                done = True
            except RuntimeError as error:
                if GAVE_UP not in str(error):
                    raise
                gave_up += 1
            commands += 1
        same(made.usual(stage), study)
    return {"kills": killed, "commands": commands, "of these gave up": gave_up}


def programs_die(made: "Usual", stage: str, kills: int = DRIVER_KILLS) -> dict[str, object]:
    """The command is killed some seconds after its actors have begun, and run again, until it may finish."""
    moments, study = random.Random(SEED + 1), made.copied(stage)
    for _ in range(kills):
        process = start(command(made.model, study, stage, by_ray(made.cluster)))
        while process.poll() is None and not actors():
            time.sleep(0.1)
        time.sleep(moments.uniform(0.0, 5.0))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    run(command(made.model, study, stage, by_ray(made.cluster)))
    same(made.usual(stage), study)
    return {"kills": kills}


def a_machine_leaves(made: "Usual", stage: str) -> dict[str, object]:
    """One of two machines goes while both are at work; the other does the rest."""
    study = made.copied(stage)
    leaving = made.cluster.add_node(num_cpus=1)
    process = start([*command(made.model, study, stage, by_ray(made.cluster))[:-1], "3"])
    while process.poll() is None and len(actors()) < 3:
        time.sleep(0.1)
    time.sleep(1.0)
    made.cluster.remove_node(leaving)
    assert "an actor was lost" in finished(process), "it left too late"
    same(made.usual(stage), study)
    return {"machines": 3}


class Usual:
    """The studies that one process makes without Ray, each stage on that of the one before, and copies to go on from."""

    def __init__(self, folder: Path, cluster: Cluster) -> None:
        self.folder, self.cluster, self.model = folder, cluster, folder / "slow.py"
        self.model.write_text(MODEL)
        self._count = 0

    def usual(self, stage: str) -> Path:
        """The study after that stage."""
        path = self.folder / f"{stage}.lurk"
        if not path.exists():
            begun = self.folder / f"begun-{stage}.lurk"
            if stage != "scan":
                shutil.copy(self.usual("scan"), begun)
            run(command(self.model, begun, stage, ["--engine", "local"]))
            begun.rename(path)
        return path

    def copied(self, stage: str) -> Path:
        """A study that the stage is to be done on."""
        self._count += 1
        path = self.folder / f"ray-{stage}-{self._count}.lurk"
        if stage != "scan":
            shutil.copy(self.usual("scan"), path)
        return path


def same(usual: Path, other: Path) -> None:
    """Raises where the studies differ."""
    with Study(usual) as left, Study(other) as right:
        assert (left.classes, left.skipped, set(left.notes)) == (right.classes, right.skipped, set(right.notes))
        for layer in left.layers:
            for mine, theirs in zip(layer, right[layer.name], strict=True):
                assert mine.record.exemplars == theirs.record.exemplars, mine.address
                assert np.array_equal(mine.sample, theirs.sample), mine.address
                np.testing.assert_allclose(list(mine.statistics.values()), list(theirs.statistics.values()), rtol=1e-12)
                unit = Unit.parse(mine.address)
                assert left.reader.attributions(unit) == right.reader.attributions(unit), mine.address
                assert left.reader.syntheses(unit) == right.reader.syntheses(unit), mine.address
            assert left.reader.checks(layer.name) == right.reader.checks(layer.name), layer.name


def cases(folder: Path, cluster: Cluster) -> dict[str, Callable[[], dict[str, object]]]:
    """All that is tried."""
    made = Usual(folder, cluster)
    found: dict[str, Callable[[], dict[str, object]]] = {}
    for stage in STAGES:
        found[f"{stage}, actors die"] = functools.partial(actors_die, made, stage)
        found[f"{stage}, the program dies"] = functools.partial(programs_die, made, stage)
        found[f"{stage}, a machine leaves"] = functools.partial(a_machine_leaves, made, stage)
    return found


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made, two_machines() as machines:
        recording.run("ray_kills", __doc__, SEED, cases(Path(made), machines))
