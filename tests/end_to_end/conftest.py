"""A small folder of pictures, a small model in a file, and the command line as a user calls it."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

MODEL = """
import torch
from torch import nn
import torch.nn.functional as F
from torchlurk.records import Preprocessing

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 12, 3, stride=2)
        self.fc = nn.Linear(12, 4)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.conv2(F.max_pool2d(x, 2)).relu_()
        return self.fc(x.mean((2, 3)))

def net():
    torch.manual_seed(3)
    return Net(), Preprocessing(mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))
"""

CLASSES = ("blobs", "grid", "noise", "stripes")


@dataclass(frozen=True)
class Outcome:
    status: int
    out: str
    err: str


@pytest.fixture(scope="session")
def torchlurk():
    """Calls the command line in a process of its own."""

    def call(*arguments, cwd=None, environment=None):
        done = subprocess.run(
            [sys.executable, "-m", "torchlurk", *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            cwd=cwd,
            env=os.environ | {"OMP_NUM_THREADS": "1"} | (environment or {}),
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    return call


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> str:
    """The MODEL of a small network with functional ReLU."""
    path = tmp_path_factory.mktemp("model") / "small.py"
    path.write_text(MODEL)
    return f"{path}:net"


@pytest.fixture(scope="session")
def pictures(tmp_path_factory) -> Path:
    """A folder of 96 pictures in four classes."""
    folder = tmp_path_factory.mktemp("pictures")
    draw(folder, 24)
    return folder


def draw(folder: Path, each: int) -> None:
    """Writes `each` 24 × 24 pictures of every class."""
    for number, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for index in range(each):
            random = np.random.default_rng([number, index])
            y, x = np.mgrid[:24, :24]
            wave = {
                "blobs": np.exp(-((y - random.integers(24)) ** 2 + (x - random.integers(24)) ** 2) / 20),
                "grid": ((y % 6 < 2) | (x % 6 < 2)).astype(float),
                "noise": random.random((24, 24)),
                "stripes": np.sin(x * random.uniform(0.3, 2)) / 2 + 0.5,
            }[name]
            colour = random.random(3)
            pixels = (wave[..., None] * colour + random.random((24, 24, 3)) * 0.1).clip(0, 1) * 255
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{index:03}.png")
