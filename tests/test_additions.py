"""What a program adds, each in a few lines, is in the study, its documents and `--help`, as docs/how-to/additions.md says."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from torch import nn

import torchlurk as tl
from torchlurk.attribution.methods import ByRule
from torchlurk.cli import torchlurk_command
from torchlurk.errors import MismatchError, OptionError
from torchlurk.options import option
from torchlurk.records import Run
from torchlurk.resources.tree import StudyTree
from torchlurk.stage_table import STAGES, DeclaredStage
from torchlurk.stages.stage import Task, now
from torchlurk.store.checking import check
from torchlurk.store.reading import Reader
from torchlurk.store.writing import Writer
from torchlurk.synthesis.presets import LUCID
from torchlurk.tables import METHODS, PRESETS
from torchlurk.unit_statistics import STATISTICS, Statistic
from torchlurk.units import Unit

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


@pytest.fixture
def _methods_and_presets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS, "squared", ByRule(lambda signal, slope: signal * slope**2))
    monkeypatch.setitem(PRESETS, "brief", replace(LUCID, name="brief", steps=3, bulk_steps=2))


@pytest.mark.usefixtures("_methods_and_presets")
def test_a_method_is_known_wherever_methods_are(tmp_path: Path) -> None:
    arguments = {"stages": ["scan", "attribute"], "methods": ["squared"], "exemplars": 1}
    with tl.analyze(network(), PICTURES, tmp_path / "s.lurk", **arguments, **READING) as study:
        assert {one.method for one in study.unit("0:1").attributions()} == {"squared"}
    shown = json.loads(printed("show", tmp_path / "s.lurk", "0:1", "--json"))
    assert {one["method"] for one in shown["images"]["attributions"]} == {"squared"}
    assert document(tmp_path / "s.lurk", "study.json")["methods"] == ["squared"]
    assert "lrp, squared or captum:NAME." in " ".join(printed("analyze", "--help").split())
    picture = torch.stack([PICTURES[0][0]])
    squared, usual = (tl.attribute(network(), picture, "3:0", method=name) for name in ("squared", "gradient"))
    assert torch.equal(squared, usual)  # ReLU's slope is 0 or 1, as is its square


@pytest.mark.usefixtures("_methods_and_presets")
def test_a_preset_is_known_wherever_presets_are(tmp_path: Path) -> None:
    arguments = {"stages": ["scan", "synthesize"], "presets": ["brief"], "units": ["0:1"]}
    with tl.analyze(network(), PICTURES, tmp_path / "s.lurk", **arguments, **READING) as study:
        (made,) = study.unit("0:1").syntheses()
        assert (made.preset, made.record.steps) == ("brief", 2)
    assert json.loads(printed("show", tmp_path / "s.lurk", "0:1", "--json"))["images"]["syntheses"][0]["preset"] == "brief"
    assert document(tmp_path / "s.lurk", "study.json")["presets"] == ["brief"]
    assert "yosinski-4, brief." in " ".join(printed("analyze", "--help").split())


@dataclass(frozen=True)
class SpreadOptions:
    over: float = option(0.5, "The response that a unit must exceed.", metavar="VALUE")

    def __post_init__(self) -> None:
        if self.over < 0:
            raise OptionError(f"--over is {self.over}", "use a number from 0")


class SpreadStage:
    name = "spread"

    def __init__(self, task: Task) -> None:
        self.task, self.over = task, task.settings.of_stage("spread").over

    def options(self) -> dict[str, float]:
        return {"over": self.over}

    def lacking(self, earlier: Run) -> bool:
        return False

    def work(self, run: Run, earlier: Run | None) -> None:
        with self.task.writer() as writer, Reader(self.task.out) as reader:
            writer.begin(run)
            for layer in reader.layers():
                for channel, values in enumerate(reader.samples(layer.name)):
                    writer.write_finding("spread", Unit(layer.name, channel), {"share": float((values > self.over).mean())})
            writer.finish("spread", now())


@pytest.fixture
def _stage(monkeypatch: pytest.MonkeyPatch) -> None:
    declared = DeclaredStage("how many examples excite each unit", SpreadOptions, SpreadStage)
    monkeypatch.setitem(STAGES, "spread", declared)


@pytest.mark.usefixtures("_stage")
def test_a_stage_has_its_flags_keywords_checks_and_documents(tmp_path: Path) -> None:
    path = tmp_path / "s.lurk"
    with tl.analyze(network(), PICTURES, path, stages=["scan", "spread"], over=1, **READING) as study:
        expected = {"share": float((study.unit("0:1").sample > 1).mean())}
        assert study.unit("0:1").to_json()["findings"] == {"spread": expected}
    assert json.loads(printed("show", path, "0:1", "--json"))["findings"] == {"spread": expected}
    assert document(path, "layers/0/units/1.json")["findings"] == {"spread": expected}
    (stage,) = (one for one in document(path, "study.json")["stages"] if one["stage"] == "spread")
    assert (stage["options"], stage["covers"]["units"][0]) == ({"over": 1}, stage["covers"]["units"][1])
    assert check(path).problems == ()
    told = " ".join(printed("analyze", "--help").split())
    assert "scan, attribute, synthesize, spread" in told
    assert "--over VALUE The response that a unit must exceed. [default: 0.5]" in told
    with pytest.raises(MismatchError, match=r"over \(made with 1, now 2\)"):
        tl.analyze(network(), PICTURES, path, stages=["spread"], over=2, **READING)
    with pytest.raises(OptionError, match="over is -1"):
        tl.analyze(network(), PICTURES, path, stages=["spread"], over=-1, **READING)


@pytest.mark.usefixtures("_stage")
def test_a_stage_is_done_in_parts_that_are_merged(tmp_path: Path) -> None:
    scan = tmp_path / "scan.lurk"
    tl.analyze(network(), PICTURES, scan, **READING).close()
    parts = [tmp_path / f"{number}.lurk" for number in (1, 2)]
    for number, path in enumerate(parts, 1):
        tl.analyze(network(), PICTURES, path, stages=["spread"], part=f"{number}/2", merged=scan, **READING).close()
    with tl.merge(parts, out=scan) as study:
        assert list(study.unit("0:1").to_json()["findings"]) == ["spread"]


@pytest.mark.usefixtures("_stage")
def test_what_a_stage_found_is_dropped_with_the_scan_that_it_found_it_in(tmp_path: Path) -> None:
    path = tmp_path / "s.lurk"
    tl.analyze(network(), PICTURES, path, stages=["scan", "spread"], **READING).close()
    with Writer(path) as writer:
        writer.reopen(replace(writer.runs()["scan"], seed=7))
        with Reader(path) as reader:
            assert reader.findings(Unit("0", 1)) == {}
