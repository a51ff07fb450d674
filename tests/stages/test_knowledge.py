"""What units know: a network that is known to remember addresses, measured, beside the same network untrained."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import torchlurk as tl
from tests.stages.conftest import Interrupted
from torchlurk.errors import MismatchError, OptionError
from torchlurk.inputs.demo.documents import TOKENS
from torchlurk.inputs.demo.text_world import text_world
from torchlurk.jobs import Silence
from torchlurk.models.taps.untrained import untrained
from torchlurk.options import InputOptions
from torchlurk.scanning.probed_steps import probed_steps
from torchlurk.stages.merge import merge
from torchlurk.store.checking import check
from torchlurk.study import Study

DOCUMENTS = 20
LATCH, OTHERS = 0, 3


class Latch(nn.Module):
    """A recurrent network whose first unit stays high from the `h` of an address on, until the next blank or new line."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding.from_pretrained(torch.eye(len(TOKENS)))
        self.rnn = nn.RNN(len(TOKENS), 1 + OTHERS, batch_first=True)
        with torch.no_grad():
            generator = torch.Generator().manual_seed(0)
            for one in self.rnn.parameters():
                one.copy_(torch.randn(one.shape, generator=generator) * 0.2)
            self.rnn.weight_ih_l0[LATCH] = 0
            self.rnn.weight_hh_l0[LATCH] = 0
            self.rnn.weight_hh_l0[LATCH, LATCH] = 2
            self.rnn.bias_ih_l0[LATCH] = self.rnn.bias_hh_l0[LATCH] = 0
            self.rnn.weight_ih_l0[LATCH, TOKENS.index("h")] = 5
            self.rnn.weight_ih_l0[LATCH, [TOKENS.index(" "), TOKENS.index("\n")]] = -5

    def forward(self, tokens: Tensor) -> Tensor:
        states, _ = self.rnn(self.embedding(tokens))
        return states


NETWORK = Latch()


def analyzed(out: Path, **options: object) -> Study:
    given = {"layers": ["rnn*"], "limit": DOCUMENTS, "top": 2, "batch_size": 4} | options
    return tl.analyze(NETWORK, "demo-text", out, **given)


def scored(study: Study) -> dict[str, dict[str, list[float]]]:
    """All scores, by track."""
    return {
        one.track.name: {"trained": one.trained.tolist(), "untrained": one.untrained.tolist()}
        for one in study.reader.track_scores("rnn")
    }


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Study]:
    with analyzed(tmp_path_factory.mktemp("latch") / "latch.lurk") as found:
        yield found


def test_a_unit_that_remembers_addresses_knows_them_and_no_untrained_one_does(study: Study) -> None:
    (address,) = [one for one in study.unit("rnn:0").record.knows if one.track.name == "address"]
    assert address.score == 1
    assert address.untrained < 0.8
    assert not address.track.told
    (capital,) = [one for one in study.unit("rnn:0").record.knows if one.track.name == "capital"]
    assert capital.track.told


def test_scores_are_those_of_a_literal_count_over_the_units_own_values(study: Study) -> None:
    world = text_world(InputOptions(limit=DOCUMENTS))
    probed = probed_steps(world, study.reader.sample_examples(), 0)
    assert probed is not None
    network = Latch().eval()
    with torch.inference_mode():
        states = {int(one): network(world.read(int(one)).values[None])[0].numpy() for one in np.unique(probed.examples)}
    values = np.stack([states[one][step] for one, step in zip(probed.examples.tolist(), probed.steps.tolist(), strict=True)])
    (number,) = [number for number, track in enumerate(probed.tracks) if track.name == "quotes"]
    own, labels = values[probed.rows[number]], probed.labels[number]
    pairs = zip(own[labels == 1].T, own[labels == 0].T, strict=True)
    literal = [((high[:, None] > low) + 0.5 * (high[:, None] == low)).mean() for high, low in pairs]
    assert scored(study)["quotes"]["trained"] == pytest.approx(literal, abs=2e-4)  # the sums of a batch round otherwise


def test_the_network_is_left_as_it_was_found(study: Study) -> None:
    assert all(torch.equal(value, Latch().state_dict()[name]) for name, value in NETWORK.state_dict().items())


@pytest.mark.parametrize("fails", [False, True])
def test_untrained_weights_last_for_the_block_and_are_the_same_each_time(fails: bool) -> None:
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ParameterList([torch.arange(9.0)]))
    network[1].running_mean.fill_(3)
    before, random = {name: value.clone() for name, value in network.state_dict().items()}, torch.random.get_rng_state()
    seen: list[dict[str, Tensor]] = []
    for _ in range(2):
        try:
            with untrained(network, 7):
                seen.append({name: value.clone() for name, value in network.state_dict().items()})
                if fails:
                    raise ZeroDivisionError
        except ZeroDivisionError:
            pass
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert torch.equal(random, torch.random.get_rng_state())
    assert all(torch.equal(value, seen[1][name]) for name, value in seen[0].items())
    assert not torch.equal(seen[0]["0.weight"], before["0.weight"])
    assert not torch.equal(seen[0]["2.0"], before["2.0"])
    assert seen[0]["2.0"].sort().values.tolist() == before["2.0"].tolist()
    assert seen[0]["1.running_mean"].tolist() == [0, 0, 0, 0]


class Strict(Latch):
    """A network that runs with its own weights alone."""

    def forward(self, tokens: Tensor) -> Tensor:
        if self.rnn.weight_hh_l0[LATCH, LATCH] != 2:
            raise ValueError("these are not the weights")
        return super().forward(tokens)


@pytest.mark.slow
def test_a_network_that_cannot_run_untrained_is_measured_without_a_control(tmp_path: Path) -> None:
    with tl.analyze(Strict(), "demo-text", tmp_path / "x.lurk", layers=["rnn*"], limit=DOCUMENTS, top=2) as found:
        (address,) = [one for one in found.unit("rnn:0").record.knows if one.track.name == "address"]
        assert any("cannot be run untrained" in note for note in found.notes)
    assert address.score == 1
    assert np.isnan(address.untrained)


@pytest.mark.slow
def test_a_scan_that_is_interrupted_while_it_measures_ends_with_the_same_scores(
    study: Study, tmp_path: Path, interrupted: Interrupted
) -> None:
    with interrupted("write_track_scores", 0):
        analyzed(tmp_path / "x.lurk")
    with analyzed(tmp_path / "x.lurk") as continued:
        assert scored(continued) == scored(study)


@pytest.mark.slow
def test_parts_have_the_scores_of_the_whole(study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torchlurk.stages.scan.SHARD_EXAMPLES", 4)
    for number in (1, 2):
        analyzed(tmp_path / f"{number}.lurk", part=f"{number}/2").close()
    merge([tmp_path / f"{number}.lurk" for number in (2, 1)], tmp_path / "merged.lurk", Silence())
    with Study(tmp_path / "merged.lurk") as merged:
        assert merged.reader.tracks() == study.reader.tracks()
        for name, found in scored(study).items():
            assert scored(merged)[name]["trained"] == pytest.approx(found["trained"], abs=1e-6)
            assert scored(merged)[name]["untrained"] == pytest.approx(found["untrained"], abs=1e-6)


@pytest.mark.slow
def test_tracks_of_a_file_are_measured_too_and_a_study_goes_on_with_no_others(tmp_path: Path) -> None:
    world = text_world(InputOptions(limit=6))
    steps = int(np.sum(world.lengths))
    np.savez(tmp_path / "t.npz", random=np.random.default_rng(0).integers(0, 2, steps), place=np.arange(steps))
    with analyzed(tmp_path / "x.lurk", limit=6, tracks=str(tmp_path / "t.npz")) as found:
        tracks = {one.name: one.measure for one in found.reader.tracks()}
        assert tracks | {"random": "auc", "place": "r"} == tracks
        assert all(0.4 < one < 0.6 for one in scored(found)["random"]["trained"])
    with pytest.raises(MismatchError, match="tracks"):
        analyzed(tmp_path / "x.lurk", limit=6).close()
    np.savez(tmp_path / "short.npz", random=np.arange(5))
    with pytest.raises(OptionError, match="the data"):
        analyzed(tmp_path / "y.lurk", limit=6, tracks=str(tmp_path / "short.npz")).close()
    assert not (tmp_path / "y.lurk").exists()


def test_documents_and_the_terminal_tell_what_a_unit_knows(study: Study) -> None:
    unit = study.unit("rnn:0")
    told = {one["track"]: one for one in json.loads(json.dumps(unit.to_json()))["knows"]}
    assert told["address"]["score"] == told["address"]["strength"] == 1
    assert told["address"]["measure"] == "auc"
    assert told["column"]["untrained"] == pytest.approx(max(abs(one) for one in scored(study)["column"]["untrained"]), abs=1e-4)
    assert not check(study.path).problems


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("UPDATE track_score SET trained = x'00'", "layer rnn.l0: track_score of 'quotes' is not a blob of 16 bytes"),
        ("UPDATE track_score SET untrained = x'00000040000000400000004000000040'", "track_score of 'quotes' is no auc"),
        ("UPDATE track SET measure = 'auc', name = 'x' || id, steps = -1", "track.steps"),
        ("DELETE FROM track WHERE id = 0", "track_score.track is of no track"),
        ("UPDATE track SET measure = 'f1' WHERE id = 0", "track.measure is none of auc, r"),
    ],
)
def test_damage_to_what_is_known_is_found(study: Study, tmp_path: Path, sql: str, said: str) -> None:
    path = Path(shutil.copy(study.path, tmp_path / "a.lurk"))
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA ignore_check_constraints = 1")
        db.execute(sql)
    db.close()
    assert any(said in problem for problem in check(path).problems)
