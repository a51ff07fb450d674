"""The stage `scan`: what it tells of units that nothing tells apart."""

from __future__ import annotations

import subprocess
import sys

import torch
from torch import nn

import torchlurk as tl
from torchlurk.store.folding import left_open

LEAVE_OPEN = """
import os, sys
from pathlib import Path
from torchlurk.store.writing import Writer

writer = Writer(Path(sys.argv[1]))
writer.add_note("data", "written by one who never closed")
os._exit(0)
"""


class Bright(torch.utils.data.Dataset[torch.Tensor]):
    """Pictures that are brighter and brighter."""

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.full((1, 4, 4), 1 + index / 10)


def scanned(activation: nn.Module, path):
    net = nn.Sequential(nn.Conv2d(1, 4, 1, bias=False), activation)
    nn.init.constant_(net[0].weight, 10.0)
    with torch.no_grad():
        net[0].weight[3] = -1.0
    return tl.analyze(net, Bright(), path / "a.lurk", mean=(0,), std=(1,), top=3)


def test_a_note_says_where_the_strongest_examples_tie_at_a_ceiling(tmp_path):
    study = scanned(nn.ReLU6(), tmp_path)
    assert [one.example for one in study.unit("0:0").exemplars("max")] == [0, 1, 2]
    (note,) = study.notes
    assert "0 (75%)" in note
    assert "--tap output" in note


def test_units_that_are_told_apart_or_never_active_need_no_note(tmp_path):
    study = scanned(nn.ReLU(), tmp_path)
    assert [one.example for one in study.unit("0:0").exemplars("max")] == [11, 10, 9]
    assert study.notes == ()


def test_a_complete_study_that_was_left_open_becomes_one_file_by_the_same_command(tmp_path):
    path = tmp_path / "a.lurk"
    scanned(nn.ReLU(), tmp_path).close()
    subprocess.run([sys.executable, "-c", LEAVE_OPEN, path], check=True)
    assert left_open(path)
    with scanned(nn.ReLU(), tmp_path) as study:
        assert study.notes == ("written by one who never closed",)
    assert list(tmp_path.iterdir()) == [path]
