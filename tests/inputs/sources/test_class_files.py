"""What a study says of classes that have no name, and of examples that have no class."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import nn

import torchlurk as tl


def net():
    return nn.Sequential(nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def test_examples_that_a_file_of_classes_leaves_out_are_noted(tmp_path):
    for index in range(3):
        Image.fromarray(np.full((8, 8, 3), 40 * index, np.uint8)).save(tmp_path / f"{index}.png")
    (tmp_path / "classes.csv").write_text("1.png,dog\n")
    with tl.analyze(net(), str(tmp_path), tmp_path / "s.lurk", classes=tmp_path / "classes.csv") as study:
        (told,) = [note for note in study.notes if "have no class" in note]
    assert "2 of 3 examples have no class in --classes" in told
    assert told.endswith("the first is 0.png")


class Late:
    def __len__(self):
        return 40

    def __getitem__(self, index):
        return torch.full((3, 8, 8), index / 40), int(index == 3)


def test_a_class_without_a_name_that_reading_brings_up_is_noted(tmp_path):
    with tl.analyze(net(), Late(), tmp_path / "s.lurk", class_names=["usual"]) as study:
        assert [one.label for one in study.classes] == ["usual", "1"]
        assert any("only the first 1 have names" in note for note in study.notes)
