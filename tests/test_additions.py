"""What a program adds, each in a few lines, is in the study, its documents and `--help`, as docs/how-to/additions.md says."""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import nn

import torchlurk as tl
from torchlurk.attribution import rules
from torchlurk.attribution.methods import ByRule
from torchlurk.cli import torchlurk_command
from torchlurk.engines.additions import additions, take
from torchlurk.engines.description import Description
from torchlurk.engines.local import LocalEngine
from torchlurk.errors import MismatchError, ModelError, OptionError
from torchlurk.input_words import KINDS, InputKind
from torchlurk.inputs.series.recordings import Recordings
from torchlurk.inputs.series.source import SeriesSource
from torchlurk.inputs.sources.class_files import Labelling
from torchlurk.models.survey.layers import survey
from torchlurk.models.taps.reading import maps, reading
from torchlurk.options import InputOptions, option
from torchlurk.resources.tree import StudyTree
from torchlurk.run_records import Run
from torchlurk.stage_table import STAGES, DeclaredStage
from torchlurk.stages.stage import Task, now
from torchlurk.store.checking import check
from torchlurk.store.reading import Reader
from torchlurk.store.writing import Writer
from torchlurk.synthesis.presets import LUCID
from torchlurk.tables import METHODS, PRESETS, STREAMS
from torchlurk.unit_statistics import STATISTICS, Seen, Statistic
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
    assert "lrp_plus, squared or captum:NAME;" in " ".join(printed("analyze", "--help").split())
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


class Gated(nn.Module):
    """A convolution that a gate of its own lets through; the gate is no module's output."""

    def __init__(self) -> None:
        super().__init__()
        self.value, self.gate = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 2, 3)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return self.value(pictures) * torch.sigmoid(self.gate(pictures)).sum(1, keepdim=True)


@pytest.fixture
def _stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STREAMS, Gated, {"open": lambda module, output, pictures: torch.sigmoid(module.gate(pictures))})


@pytest.mark.usefixtures("_stream")
def test_a_stream_is_a_layer_like_others(tmp_path: Path) -> None:
    torch.manual_seed(0)
    gated = nn.Sequential(Gated(), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2))
    path = tmp_path / "s.lurk"
    with torch.no_grad():
        expected = torch.sigmoid(gated[0].gate(torch.stack([picture for picture, _ in PICTURES])))[:, 1].amax((1, 2))
    with tl.analyze(gated, PICTURES, path, layers=["0", "0.open", "3"], **READING) as study:
        best = study.unit("0.open:1").exemplars("max")[0]
        assert (best.example, best.score) == (int(expected.argmax()), pytest.approx(float(expected.max())))
        x0, y0, x1, y1 = best.box
        assert (x1 - x0, y1 - y0) == (3, 3)
        assert [layer.name for layer in study.layers] == ["0", "0.open", "3"]
    shown = json.loads(printed("show", path, "0.open:1", "--json"))
    assert (shown["layer"], shown["layout"], shown["shape"]) == ("0.open", "spatial", [6, 6])
    assert "0.open" in [layer["name"] for layer in document(path, "study.json")["layers"]]
    assert "r, z, n, open." in " ".join(printed("analyze", "--help").split())
    with tl.analyze(gated, PICTURES, tmp_path / "t.lurk", streams="output", **READING) as study:
        assert "0.open" not in [layer.name for layer in study.layers]


def test_a_stream_that_cannot_be_read_says_of_what(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STREAMS, nn.Conv2d, {"wrong": lambda module, output, pictures: pictures @ 3})
    with pytest.raises(ModelError, match="the stream 'wrong' of Conv2d cannot be read: TypeError"):
        tl.analyze(network(), PICTURES, tmp_path / "s.lurk", **READING)


class Attending(nn.Module):
    """Attention by torch's function, twice in one forward: heads are no module's output."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.out = nn.Linear(6, 18), nn.Linear(6, 6)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        query, key, value = self.inner(tokens).unflatten(-1, (3, 2, 3)).permute(2, 0, 3, 1, 4)
        once = nn.functional.scaled_dot_product_attention(query, key, value)
        twice = nn.functional.scaled_dot_product_attention(once, key, value)
        return self.out((once + twice).transpose(1, 2).flatten(2))


class Patches(nn.Module):
    """Patches of a picture as tokens, two blocks of attention, the first of them run twice."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.block, self.last, self.head = nn.Conv2d(3, 6, 4, 4), Attending(), Attending(), nn.Linear(6, 2)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        tokens = self.embed(pictures).flatten(2).transpose(1, 2)
        tokens = tokens + self.block(tokens)
        return self.head((tokens + self.block(tokens) + self.last(tokens)).mean(1))


def norms(module: nn.Module, output: torch.Tensor, *given: torch.Tensor) -> torch.Tensor:
    """How much each head gives each token."""
    return output.norm(dim=-1).transpose(1, 2)


@pytest.fixture
def _heads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STREAMS, nn.functional.scaled_dot_product_attention, {"heads": norms})


@pytest.mark.slow
@pytest.mark.usefixtures("_heads")
def test_a_stream_of_a_function_is_a_layer_of_the_module_that_calls_it(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net, path = Patches().eval(), tmp_path / "s.lurk"
    found: list[torch.Tensor] = []
    attend = nn.functional.scaled_dot_product_attention
    with pytest.MonkeyPatch.context() as watching, torch.no_grad():
        watching.setattr(
            nn.functional, "scaled_dot_product_attention", lambda *given: found.append(attend(*given)) or found[-1]
        )
        net(torch.stack([picture for picture, _ in PICTURES]))
    names = ["block.heads", "block.heads#1", "block#1.heads", "block#1.heads#1", "last.heads", "last.heads#1"]
    arguments = {"stages": ["scan", "attribute"], "methods": ["gradient"], "exemplars": 1, "top": 3}
    with tl.analyze(net, PICTURES, path, layers=["block*", "last*"], **arguments, **READING) as study:
        assert [one.name for one in study.layers if "heads" in one.name] == names
        for name, values in zip(names, found, strict=True):
            layer = study[name].record
            assert (layer.layout, layer.channels, layer.shape) == ("tokens", 2, (4,))
            expected = values.norm(dim=-1).amax(2)[:, 1]
            best = study.unit(f"{name}:1").exemplars("max")[0]
            assert (best.example, best.score) == (int(expected.argmax()), pytest.approx(float(expected.max()), rel=1e-5))
            assert study.unit(f"{name}:1").attributions("max", "gradient")
        assert study.unit("last.heads:0").exemplars("max")[0].box == (0, 0, 8, 8)
    assert check(path).problems == ()
    with tl.analyze(net, PICTURES, tmp_path / "t.lurk", streams="output", **READING) as study:
        assert not [one.name for one in study.layers if "heads" in one.name]
    assert not any(one._forward_hooks or one._forward_pre_hooks for one in net.modules())


def test_a_stream_with_other_rows_than_examples_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = {"heads": lambda module, output, *given: output.flatten(0, 1)[:3]}
    monkeypatch.setitem(STREAMS, nn.functional.scaled_dot_product_attention, wrong)
    with pytest.raises(ModelError, match="the stream 'heads' of scaled_dot_product_attention has 3 rows for 2 inputs"):
        survey(Patches(), torch.rand(2, 3, 8, 8))


@pytest.mark.usefixtures("_heads")
def test_the_gradient_of_a_head_is_autograds() -> None:
    torch.manual_seed(0)
    net = Patches().double().eval()
    pictures = torch.stack([picture for picture, _ in PICTURES[:2]]).double().requires_grad_()
    query, key, value = (
        net.block.inner(net.embed(pictures).flatten(2).transpose(1, 2)).unflatten(-1, (3, 2, 3)).permute(2, 0, 3, 1, 4)
    )
    given = ((query @ key.mT / 3**0.5).softmax(-1) @ value).norm(dim=-1)
    given[:, 1, 2].sum().backward()
    found = tl.attribute(net, pictures.detach(), "block.heads:1", "gradient", position=(2,))
    torch.testing.assert_close(found, pictures.grad)


@pytest.mark.usefixtures("_heads")
def test_windows_that_a_model_folds_into_the_batch_are_tokens_of_one_map_of_a_head() -> None:
    class Windowed(Attending):
        def forward(self, pictures: torch.Tensor) -> torch.Tensor:
            return super().forward(pictures.flatten(2).transpose(1, 2).reshape(-1, 8, 6)).unflatten(0, (-1, 8)).mean((1, 2))

    net, pictures, found = Windowed(), torch.rand(3, 6, 8, 8), {}
    heads = [one for one in survey(net, pictures).layers if one.stream]
    assert [(one.name, one.layout, one.shape) for one in heads] == [
        (f"model.heads{rest}", "tokens", (64,)) for rest in ("", "#1")
    ]
    with reading(net, heads, lambda layer, values: found.setdefault(layer.name, maps(layer, values, 3))):
        net(pictures)
    with reading(net, heads, lambda layer, values: found.setdefault(f"{layer.name} alone", maps(layer, values, 1))):
        net(pictures[1:2])
    torch.testing.assert_close(found["model.heads"][1:2], found["model.heads alone"])


def test_a_stream_of_a_function_is_found_however_it_is_spelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STREAMS, nn.functional.softmax, {"shares": lambda module, output, *given, **named: output})

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(4, 3), nn.Softmax(-1)

        def forward(self, vectors: torch.Tensor) -> torch.Tensor:
            return self.second(self.first(vectors).softmax(-1))

    net = Model()
    assert {one.name for one in survey(net, torch.rand(2, 4)).layers if one.stream} == {"model.shares", "second.shares"}
    found = tl.attribute(net, torch.rand(2, 4), "model.shares:1", "gradient")
    assert found.abs().sum() > 0


def read_waves(path: Path, options: InputOptions) -> SeriesSource:
    """Lines of numbers, a series each."""
    series = [np.array([[float(word)] for word in line.split()], np.float32) for line in path.read_text().splitlines()]
    recordings = Recordings(series, ("level",), tuple(f"line {index}" for index in range(len(series))), None)
    return SeriesSource(recordings, Labelling((), np.full(len(series), -1)), (), str(path), options)


@pytest.fixture
def _kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, "waves", InputKind("series", read_waves, lambda path: path.suffix == ".waves"))


class Summing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(1, 3, batch_first=True)

    def forward(self, series: torch.Tensor) -> torch.Tensor:
        return self.rnn(series)[0][:, -1]


@pytest.mark.usefixtures("_kind")
@pytest.mark.parametrize("kind", [None, "waves"])
def test_a_kind_of_input_is_opened_stored_and_drawn_as_the_one_that_it_is_like(tmp_path: Path, kind: str | None) -> None:
    data, path = tmp_path / f"d{'.waves' if kind is None else '.txt'}", tmp_path / "s.lurk"
    data.write_text("1 2 3 4\n4 3 2 1 5\n0 0 1\n")
    with tl.analyze(Summing(), str(data), path, kind=kind, batch_size=1) as study:
        assert (study.reader.inputs().kind, study.reader.inputs().called) == ("series", "waves")
        assert study.picture(0) is not None
    (best, *_) = json.loads(printed("show", path, "rnn.l0:1", "--json"))["exemplars"]["max"]
    assert (best["path"][:5], len(best["reach"])) == ("line ", 2)
    whole = document(path, "study.json")
    assert (whole["kind"], whole["inputs"]["called"]) == ("series", "waves")
    assert document(path, "examples/0.json")["channels"] == ["level"]
    assert check(path).problems == ()
    assert "pictures, text, series, waves." in " ".join(printed("analyze", "--help").split())


@pytest.mark.usefixtures("_kind")
def test_a_kind_of_input_has_the_options_of_the_one_that_it_is_like(tmp_path: Path) -> None:
    (tmp_path / "d.waves").write_text("1 2\n")
    with pytest.raises(OptionError, match="crop is for pictures; DATA is waves"):
        tl.analyze(Summing(), str(tmp_path / "d.waves"), tmp_path / "s.lurk", crop=4)
    with pytest.raises(OptionError, match="synthesize is for pictures; DATA is series"):
        tl.analyze(Summing(), str(tmp_path / "d.waves"), tmp_path / "s.lurk", stages="synthesize")
    with pytest.raises(OptionError, match=r"kind is 'wave'; nearest: waves"):
        tl.analyze(Summing(), str(tmp_path / "d.waves"), tmp_path / "s.lurk", kind="wave")


def spread_of(seen: Seen) -> np.ndarray:
    return seen.max - seen.min


def gate_of(module: nn.Module, output: torch.Tensor, pictures: torch.Tensor) -> torch.Tensor:
    return module.gate(pictures)


def test_what_is_added_is_sent_to_workers_in_other_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    added = [(STATISTICS, "range", Statistic("range", "max less min", spread_of)), (STREAMS, Gated, {"open": gate_of})]
    added += [(STREAMS, nn.functional.softmax, {"shares": gate_of})]
    added += [(PRESETS, "brief", replace(LUCID, name="brief")), (METHODS, "plain", ByRule(rules.gradient))]
    with monkeypatch.context() as adding:
        for table, name, entry in added:
            adding.setitem(table, name, entry)
        sent = pickle.dumps(additions())
    assert additions() == {}
    for table, name, entry in added:
        monkeypatch.setitem(table, name, entry)  # so that all is as it was afterwards
        del table[name]
    take(pickle.loads(sent))
    assert STATISTICS["range"].value is spread_of
    assert STREAMS[Gated] == {"open": gate_of}
    assert PRESETS["brief"].name == "brief"
    assert METHODS["plain"] == ByRule(rules.gradient)


@pytest.mark.usefixtures("_statistics")
def test_what_cannot_be_sent_is_named(tmp_path: Path) -> None:
    class Describing(LocalEngine):
        def fold(self, job: Any, *given: Any) -> Any:
            Description.of(job)
            raise AssertionError("a lambda was sent")

    with pytest.raises(OptionError, match=r"what the program has added cannot be sent .*STATISTICS\.range"):
        tl.analyze(network(), PICTURES, tmp_path / "s.lurk", engine=Describing(), **READING)
