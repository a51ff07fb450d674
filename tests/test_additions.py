"""What a program adds, each in a few lines, is in the study, its documents and `--help`, as docs/how-to/additions.md says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from torch import nn

import torchlurk as tl
from torchlurk.cli import torchlurk_command
from torchlurk.errors import MismatchError
from torchlurk.resources.tree import StudyTree
from torchlurk.store.checking import check
from torchlurk.unit_statistics import STATISTICS, Statistic

PICTURES = [(torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(index)), index % 2) for index in range(12)]
READING = {"mean": (0, 0, 0), "std": (1, 1, 1), "batch_size": 4}


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2))


def document(study: Path, path: str) -> dict:
    with tl.open(study) as opened:
        found = StudyTree(opened.reader, "s").find(path)
        assert found is not None
        return json.loads(found.body)


def printed(*arguments: str | Path) -> str:
    done = CliRunner().invoke(torchlurk_command, [str(one) for one in arguments])
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture
def _statistics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STATISTICS, "range", Statistic("range", "max less min", lambda seen: seen.max - seen.min))
    monkeypatch.setitem(
        STATISTICS,
        "quiet",
        Statistic(
            "quiet positions",
            "share of positions of maps below a tenth",
            lambda seen: seen.sums["below"] / seen.count,
            sums=lambda maps: {"below": (maps < 0.1).sum(-1)},
            of=lambda layer: layer.layout == "spatial",
            share=True,
        ),
    )


@pytest.mark.usefixtures("_statistics")
def test_a_statistic_is_in_the_study_and_everywhere_that_statistics_are(tmp_path: Path) -> None:
    with tl.analyze(network(), PICTURES, tmp_path / "s.lurk", **READING) as study:
        units = {name: study.unit(name).statistics for name in ("0:1", "3:0")}
        whole = study["0"].statistics
    expected = nn.Sequential(*network()[:2])(torch.stack([picture for picture, _ in PICTURES]))[:, 1]
    assert units["0:1"]["range"] == units["0:1"]["max"] - units["0:1"]["min"]
    assert units["0:1"]["quiet"] == pytest.approx(float((expected < 0.1).double().mean()))
    assert list(units["3:0"]) == ["mean", "std", "max", "min", "fraction_active", "selectivity", "range"]
    assert whole["quiet"][1] == units["0:1"]["quiet"]
    shown = json.loads(printed("show", tmp_path / "s.lurk", "0:1", "--json"))
    assert shown["statistics"] == units["0:1"]
    assert "quiet positions" in printed("show", tmp_path / "s.lurk", "0:1")
    assert document(tmp_path / "s.lurk", "layers/0/units/1.json")["statistics"] == units["0:1"]
    assert document(tmp_path / "s.lurk", "layers/0.json")["statistics"]["quiet"][1] == pytest.approx(units["0:1"]["quiet"])
    assert check(tmp_path / "s.lurk").problems == ()
    assert "quiet Share of positions of maps below a tenth." in " ".join(printed("show", "--help").split())


@pytest.mark.usefixtures("_statistics")
def test_parts_with_a_statistic_are_merged_to_that_of_the_whole(tmp_path: Path) -> None:
    with tl.analyze(network(), PICTURES, tmp_path / "whole.lurk", **READING) as study:
        expected = study["0"].statistics["quiet"].tolist()
    parts = [tmp_path / f"{number}.lurk" for number in (1, 2)]
    for number, path in enumerate(parts, 1):
        tl.analyze(network(), PICTURES, path, part=f"{number}/2", **READING).close()
    with tl.merge(parts, out=tmp_path / "merged.lurk") as study:
        assert study["0"].statistics["quiet"].tolist() == pytest.approx(expected, rel=1e-12)  # sums in float64


def test_a_study_with_a_statistic_is_read_without_the_program_that_added_it_but_not_scanned_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as adding:
        adding.setitem(STATISTICS, "wide_range", Statistic("range", "max less min", lambda seen: seen.max - seen.min))
        tl.analyze(network(), PICTURES, tmp_path / "s.lurk", **READING).close()
    assert "wide range" in printed("show", tmp_path / "s.lurk", "0:1")
    with pytest.raises(MismatchError, match="wide_range"):
        tl.analyze(network(), PICTURES, tmp_path / "s.lurk", **READING)
