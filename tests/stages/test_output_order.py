"""The stage `scan`: which output is which class, where folders are named by numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import torchlurk as tl
from torchlurk.resources.study_page import study_document
from torchlurk.store import rows
from torchlurk.store.checking import check
from torchlurk.store.columns import DamageError
from torchlurk.store.writing import Writer

CLASSES = 12
LISTED = sorted(map(str, range(CLASSES)))


class Brightness(nn.Module):
    """Output k is the highest for the k-th of twelve levels of grey, or in the order given."""

    def __init__(self, order: list[int]) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 1, 1, bias=False), nn.Linear(1, CLASSES)
        level = torch.tensor(order) / (CLASSES - 1)
        self.conv.weight.data[:] = 1 / 3
        self.fc.weight.data, self.fc.bias.data = 100 * level[:, None], -50 * level**2

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.conv(x).relu().mean((2, 3)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("numbered")
    for k in range(CLASSES):
        (root / str(k)).mkdir()
        Image.new("RGB", (8, 8), (round(255 * k / (CLASSES - 1)),) * 3).save(root / str(k) / "0.png")
    return root


@pytest.mark.parametrize("order", [list(range(CLASSES)), list(map(int, LISTED))], ids=["by number", "in order of text"])
def test_outputs_are_called_as_the_network_counts_them(folder: Path, tmp_path: Path, order: list[int]) -> None:
    net = Brightness(order).eval()
    study = tl.analyze(net, folder, out=tmp_path / "a.lurk", mean=(0, 0, 0), std=(1, 1, 1), batch_size=5)
    for k in (2, 10):
        found = tl.explain(net, folder / str(k) / "0.png", study=study)
        assert found.predictions[0].label == str(k)
        assert found.root.branch.root.channel == found.predictions[0].index == order.index(k)
    (note,) = study.notes
    assert "100 %" in note
    assert "17 %" in note
    assert check(study.path).problems == ()
    by_number = order == list(range(CLASSES))
    expected = [LISTED.index(str(k)) for k in range(CLASSES)]
    assert study_document(study.reader, "a")["output_classes"] == (tuple(expected) if by_number else None)


@pytest.mark.parametrize("order", ["[0,0]", "[99]", '["0"]', "[true]", "[-1]", '{"0":0}', "1"])
def test_an_order_that_cannot_be_is_damage(order: str) -> None:
    with pytest.raises(DamageError, match="output_classes"):
        rows.to_output_classes(order, CLASSES)


def test_a_check_reads_the_order(folder: Path, tmp_path: Path) -> None:
    net = Brightness(list(range(CLASSES))).eval()
    study = tl.analyze(net, folder, out=tmp_path / "a.lurk", mean=(0, 0, 0), std=(1, 1, 1), batch_size=12)
    with Writer(study.path) as writer:
        writer.write_output_classes([0, 0])
    assert any("output_classes" in one for one in check(study.path).problems)
