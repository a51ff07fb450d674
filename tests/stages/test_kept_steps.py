"""A study keeps what units of chosen layers did at every step that counts, one byte a step and unit."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import torchlurk as tl
from torchlurk.engines.local import LocalEngine
from torchlurk.errors import MismatchError, OptionError, UnitError
from torchlurk.jobs import Silence
from torchlurk.scanning.kept_steps import StepsOfLayer
from torchlurk.store.checking import check
from torchlurk.study import Study
from torchlurk.time_records import Levels

LENGTHS = [7, 5, 9, 7, 7, 3, 9, 5, 7, 9, 4, 6, 7, 8, 7, 5]
KEEP = ("rnn.l0", "rnn.l0.[cif]", "conv")
OPTIONS = {"kind": "series", "batch_size": 2, "sample": 4, "top": 2, "keep_steps": KEEP}


class Series:
    """Series of several lengths; one cannot be read, one has a value that is no number."""

    def __init__(self, broken: int = 11, scale: float = 1.0) -> None:
        self._broken, self._scale = broken, scale

    def __len__(self) -> int:
        return len(LENGTHS)

    def __getitem__(self, index: int) -> Tensor:
        if index == self._broken:
            raise ValueError("torn")
        series = torch.randn(LENGTHS[index], 2, generator=torch.Generator().manual_seed(index)) * self._scale
        if index == 14:
            series[5] = torch.tensor([float("inf"), -float("inf")])  # an example with a NaN would be skipped
        return series


class Network(nn.Module):
    """A convolution over time with a ReLU after it, and an LSTM; its cells may be larger than 1."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.conv, self.relu = nn.Conv1d(2, 3, 3, padding=1), nn.ReLU()
        self.rnn, self.head = nn.LSTM(3, 4, batch_first=True), nn.Linear(4, 2)
        nn.init.constant_(self.rnn.bias_ih_l0, 1.0)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(self.relu(self.conv(x.movedim(1, 2))).movedim(1, 2))[0][:, -1])


def analyzed(out: Path, **given) -> Study:
    return tl.analyze(Network().eval(), given.pop("data", Series()), out, **OPTIONS | given)


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    torch.set_num_threads(1)
    made = tmp_path_factory.mktemp("kept") / "s.lurk"
    analyzed(made).close()
    return made


def rows(path: Path) -> list[tuple]:
    db = sqlite3.connect(path)
    found = [db.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall() for table in ("kept_layer", "kept_steps")]
    db.close()
    return found[0] + found[1]


def literal(index: int) -> dict[str, np.ndarray]:
    """The activations of an example, step after step, in float64."""
    net, x = Network().double(), Series()[index].double()
    with torch.no_grad():
        conv = torch.relu(net.conv(x.T[None]))[0].T
        weights = {name: one.numpy() for name, one in net.rnn.named_parameters()}
    hidden = cell = np.zeros(4)
    found = {name: [] for name in ("rnn.l0", "rnn.l0.c", "rnn.l0.i", "rnn.l0.f")}
    for given in conv.numpy():
        sums = weights["weight_ih_l0"] @ given + weights["weight_hh_l0"] @ hidden
        i, f, g, o = np.split(sums + weights["bias_ih_l0"] + weights["bias_hh_l0"], 4)
        i, f, o = (1 / (1 + np.exp(-one)) for one in (i, f, o))
        cell = f * cell + i * np.tanh(g)
        hidden = o * np.tanh(cell)
        for name, values in zip(found, (hidden, cell, i, f), strict=True):
            found[name].append(values)
    return {name: np.array(values) for name, values in found.items()} | {"conv": conv.numpy()}


def test_levels_are_those_of_a_literal_loop(path):
    with tl.open(path) as study:
        for index in sorted(set(range(len(LENGTHS))) - {11, 14}):
            for layer, values in literal(index).items():
                kept = study[layer].steps(index)
                assert kept.levels.shape == values.shape
                assert kept.first == 0
                exact = values / kept.meaning.scales + kept.meaning.zero
                inside = (exact >= (1 if kept.meaning.zero else 0)) & (exact <= 255)
                assert np.abs(kept.levels - exact)[inside].max() <= 0.5 + 1e-4
                assert kept.clipped == (~inside & (np.abs(exact - np.clip(exact, 1, 255)) > 0.5)).sum()
                assert np.all(kept.values[values == 0] == 0)
        assert study["rnn.l0.o"].steps(0) is None
        assert study["rnn"].steps(0) is not None
        assert study["rnn.l0"].steps(11) is None


def test_gates_and_states_have_the_scales_of_their_ranges_and_others_those_of_the_sample(path):
    with tl.open(path) as study:
        meanings = {layer: study[layer].steps(0).meaning for layer in ("rnn.l0", "rnn.l0.c", "rnn.l0.i", "conv")}
    assert {layer: one.zero for layer, one in meanings.items()} == {"rnn.l0": 128, "rnn.l0.c": 128, "rnn.l0.i": 0, "conv": 0}
    np.testing.assert_array_equal(meanings["rnn.l0"].scales, np.full(4, 1 / 127, np.float32))
    np.testing.assert_array_equal(meanings["rnn.l0.i"].scales, np.full(4, 1 / 255, np.float32))
    octaves = np.log2(meanings["conv"].scales * 255) * 4
    np.testing.assert_allclose(octaves, np.rint(octaves), atol=1e-4)


def test_values_that_are_no_numbers_are_kept_as_zero_and_told(path):
    with tl.open(path) as study:
        kept = study["rnn.l0"].steps(14)
        assert (kept.levels[4:] == 128).all()
        assert kept.clipped == kept.levels[4:].size
        assert any("of the steps kept of rnn.l0, " in note and "clipped" in note for note in study.notes)
    assert check(path).problems == ()


def test_levels_are_exact_at_zero_and_say_what_is_beyond_them():
    signed, unsigned = Levels(128, np.array([0.5, 2], np.float32)), Levels(0, np.array([0.5, 2], np.float32))
    values = np.array(
        [[[0.0, 0.0], [0.7, -254.0], [64.0, np.inf]], [[np.nan, -np.inf], [-63.5, 255.0], [1.0, 3.0]]], np.float32
    )
    levels, beyond = signed.of(values)
    assert levels.tolist() == [[[128, 128], [129, 1], [255, 255]], [[128, 1], [1, 255], [130, 130]]]
    assert beyond.tolist() == [2, 3]
    assert signed.values(levels[0]).tolist() == [[0, 0], [0.5, -254], [63.5, 254]]
    levels, beyond = unsigned.of(values)
    assert levels.tolist() == [[[0, 0], [1, 0], [128, 255]], [[0, 0], [0, 128], [2, 2]]]
    assert beyond.tolist() == [2, 3]


@pytest.mark.slow
def test_a_run_that_was_interrupted_keeps_the_same_bytes(path, tmp_path, interrupted, monkeypatch):
    monkeypatch.setattr("torchlurk.stages.scan.SHARD_EXAMPLES", 2)
    monkeypatch.setattr("torchlurk.stages.scan.MOST_WAITING", 1)
    for times in (0, 2, 5):
        with interrupted("save_progress", times):
            analyzed(tmp_path / f"{times}.lurk")
        before = len(rows(tmp_path / f"{times}.lurk"))
        analyzed(tmp_path / f"{times}.lurk").close()
        assert before < len(rows(path))
        assert rows(tmp_path / f"{times}.lurk") == rows(path)


class Apart(LocalEngine):
    """Every shard gets a part of its own, which is sent as plain arrays."""

    def fold(self, job, shards, onto, kept):
        part = onto
        for shard in shards:
            with job.open(None) as take:
                other = take(shard, job.begin(part))
            part = job.merge(part, type(other).from_arrays(other.arrays()))
            kept(part, [shard])
        return part


@pytest.mark.slow
def test_any_engine_and_parts_that_are_merged_keep_the_same_bytes(path, tmp_path, monkeypatch):
    monkeypatch.setattr("torchlurk.stages.scan.SHARD_EXAMPLES", 4)
    monkeypatch.setattr("torchlurk.stages.scan.MOST_WAITING", 200)
    analyzed(tmp_path / "apart.lurk", engine=Apart()).close()
    assert rows(tmp_path / "apart.lurk") == rows(path)
    for number in (1, 2, 3):
        analyzed(tmp_path / f"{number}.lurk", part=f"{number}/3").close()
        assert check(tmp_path / f"{number}.lurk").problems == ()
    parts = [tmp_path / f"{number}.lurk" for number in (3, 1, 2)]
    with tl.merge(parts, out=tmp_path / "m.lurk") as merged, tl.open(path) as study:
        assert sorted(merged.notes) == sorted(study.notes)
    assert rows(tmp_path / "m.lurk") == rows(path)
    assert check(tmp_path / "m.lurk").problems == ()
    with sqlite3.connect(tmp_path / "1.lurk") as db:
        db.execute("UPDATE kept_layer SET zero = 128")
    db.close()
    with pytest.raises(MismatchError, match="scales"):
        tl.merge(parts, out=tmp_path / "n.lurk")


def test_steps_that_wait_survive_being_sent():
    held = StepsOfLayer(Levels(0, np.ones(3, np.float32)))
    assert StepsOfLayer.from_arrays(held.arrays()).waiting == {}
    for example in (4, 1):
        held.add(torch.arange(3.0 * example).reshape(1, 3, example), np.array([example]), first=example)
    again = StepsOfLayer.from_arrays(held.arrays())
    assert list(again.waiting) == [4, 1]
    for example, one in again.waiting.items():
        assert (one.first, one.clipped) == (example, 0)
        assert one.levels.tolist() == held.waiting[example].levels.tolist()
    assert again.size == held.size == 15


def test_burn_in_is_not_kept(tmp_path):
    class Reading(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.embedding, self.rnn = nn.Embedding(3, 2), nn.GRU(2, 2, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            return self.rnn(self.embedding(x))[0]

    (tmp_path / "a.txt").write_text("abcab" * 5)
    given = {"vocabulary": list("abc"), "window": 10, "burn_in": 4, "batch_size": 2, "keep_steps": "rnn"}
    with tl.analyze(Reading().eval(), str(tmp_path / "a.txt"), tmp_path / "s.lurk", **given) as study:
        found = [study["rnn"].steps(index) for index in range(study.reader.example_count())]
        tokens = [study.reader.tokens(index) for index in range(len(found))]
    assert [one.first for one in found] == [0, 4, 4, 4]
    assert [one.first + len(one.levels) for one in found] == [len(one) for one in tokens]
    assert sum(len(one.levels) for one in found) == 25


class Telling(Silence):
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


def test_the_size_is_said_before_and_too_much_is_refused(path, tmp_path, monkeypatch):
    telling = Telling()
    analyzed(tmp_path / "s.lurk", progress=telling).close()
    db = sqlite3.connect(path)
    (stored,) = db.execute("SELECT sum(length(levels)) FROM kept_steps").fetchone()
    db.close()
    told = f"--keep-steps keeps {stored / 1000:.3g} kB: one byte a step and unit of conv, rnn.l0, rnn.l0.c, rnn.l0.i and 1 more"
    assert told in telling.said
    monkeypatch.setattr("torchlurk.stages.kept_steps._free", lambda folder: stored * 2 - 2)
    with pytest.raises(OptionError, match=r"would keep 1\.\d+ kB of conv, .* more than half of the .* free"):
        analyzed(tmp_path / "t.lurk")
    assert not (tmp_path / "t.lurk").exists()


def test_what_cannot_be_kept_is_refused_in_a_line(tmp_path):
    with pytest.raises(OptionError, match="head has no steps"):
        analyzed(tmp_path / "s.lurk", keep_steps="head")
    with pytest.raises(UnitError, match="no layer matches 'rn'"):
        analyzed(tmp_path / "s.lurk", keep_steps="rn")
    pictures = [torch.rand(3, 8, 8) for _ in range(4)]
    with pytest.raises(OptionError, match=r"keep_steps is for text and series; .* is pictures"):
        tl.analyze(
            nn.Sequential(nn.Conv2d(3, 2, 3)), pictures, tmp_path / "s.lurk", keep_steps="0", mean=(0,) * 3, std=(1,) * 3
        )
    assert not (tmp_path / "s.lurk").exists()


DAMAGE = [
    ("UPDATE kept_layer SET zero = 7", "kept steps cannot be read: kept_layer.zero is neither 0 nor 128"),
    ("UPDATE kept_layer SET scales = zeroblob(16) WHERE length(scales) = 16", "kept_layer.scales has one that is not above 0"),
    ("UPDATE kept_layer SET scales = x'00'", "kept_layer.scales is not a blob of"),
    ("DELETE FROM kept_layer WHERE layer = 1", "kept_steps has rows of layer 1, and kept_layer does not say what they are"),
    ("UPDATE kept_layer SET layer = 7, scales = x'0000803f0000803f' WHERE layer = 1", "which has no steps"),
    ("UPDATE kept_steps SET levels = x'0102' WHERE example = 2", "its steps of example 2: kept_steps.levels is not a blob"),
    (
        "UPDATE kept_steps SET levels = zeroblob(36) WHERE example = 2",
        "rnn.l0: its steps of example 2: kept_steps.levels has a",
    ),
    ("UPDATE kept_steps SET clipped = 99", "its steps of example 0: kept_steps.clipped is not a whole number"),
    ("UPDATE kept_steps SET first = -1", "its steps of example 0: kept_steps.first is not a whole number"),
    ("UPDATE kept_steps SET first = 3", " end at "),
    ("DELETE FROM kept_steps WHERE example IN (3, 4)", "its steps of example 3 are not there, and it was not passed over"),
]


@pytest.mark.parametrize(("sql", "problem"), DAMAGE)
def test_each_damage_has_its_line(path, tmp_path, sql, problem):
    (tmp_path / "a.lurk").write_bytes(path.read_bytes())
    with sqlite3.connect(tmp_path / "a.lurk") as db:
        db.execute("PRAGMA foreign_keys = 0")
        db.execute("PRAGMA ignore_check_constraints = 1")
        db.execute(sql)
    db.close()
    problems = check(tmp_path / "a.lurk").problems
    assert any(problem in line for line in problems), problems
