"""Networks of one channel, on pictures of any: as of handwritten digits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import torchlurk as tl

NOTE = "pictures are given in grey, since the network takes one channel"


def reader():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 196, 3)).eval()


class GreyItself(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a = nn.Conv2d(1, 4, 3)

    def forward(self, x):
        return self.a(0.5 * x[:, :1] + 0.5 * x[:, 2:]).relu()


def digits(mode="L"):
    rng = np.random.default_rng(0)
    shape = (16, 16) if mode == "L" else (16, 16, 3)
    return [Image.fromarray(rng.integers(0, 255, shape, dtype=np.uint8)) for _ in range(6)]


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_pictures_become_grey_for_a_network_of_one_channel(mode, tmp_path):
    folder = tmp_path / "digits"
    folder.mkdir()
    for number, picture in enumerate(digits(mode)):
        picture.save(folder / f"{number}.png")
    network = reader()
    of_folder = tl.analyze(network, folder, out=tmp_path / "folder.lurk", stages=["scan"])
    of_items = tl.analyze(network, [(one, 0) for one in digits(mode)], out=tmp_path / "items.lurk", stages=["scan"])
    assert NOTE in of_folder.notes
    assert NOTE in of_items.notes
    inputs = torch.stack([torch.from_numpy(np.array(one.convert("L")))[None] / 255 for one in digits(mode)])
    with torch.no_grad():
        best = network[:2](inputs).amax((2, 3))[:, 1].max()
    for study in (of_folder, of_items):
        assert study.unit("0:1").exemplars()[0].score == pytest.approx(float(best), rel=1e-5)


def test_a_network_that_makes_pictures_grey_itself_is_given_colours(tmp_path):
    study = tl.analyze(GreyItself().eval(), [(one, 0) for one in digits("RGB")], out=tmp_path / "a.lurk", stages=["scan"])
    assert NOTE not in study.notes
    tree = tl.explain(GreyItself().eval(), digits("RGB")[0], "a:1")
    inputs = torch.from_numpy(np.array(digits("RGB")[0])).permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        assert tree.root.activation == pytest.approx(float(GreyItself()(inputs)[0, 1].max()), rel=1e-5)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_one_picture_becomes_grey_in_whatever_form_it_is_given(mode, tmp_path):
    network, picture = reader(), digits(mode)[0]
    picture.save(tmp_path / "digit.png")
    grey = torch.from_numpy(np.array(picture.convert("L")))[None] / 255
    expected = tl.explain(network, grey, "0:1").root.activation
    for form in (tmp_path / "digit.png", picture, np.array(picture), grey.numpy(), grey[None]):
        assert tl.explain(network, form, "0:1").root.activation == pytest.approx(expected, rel=1e-5)
