"""What a study of text says of units over time and at tokens, against a literal loop over its windows."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import torchlurk as tl
from torchlurk.inputs.text.frequencies import frequent_tokens
from torchlurk.inputs.text.source import open_text
from torchlurk.options import InputOptions
from torchlurk.rendering.text import describe
from torchlurk.stages.token_results import outputs_of_tokens
from torchlurk.store.checking import check
from torchlurk.study import Study

LETTERS = "abcdefgh \n"
WINDOW, BURN_IN = 12, 3
OPTIONS = {"vocabulary": list(LETTERS), "window": WINDOW, "burn_in": BURN_IN, "batch_size": 4}


class Language(nn.Module):
    """An LSTM over characters with a linear head, or one that is not."""

    def __init__(self, *, linear: bool = True) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding, self.rnn = nn.Embedding(len(LETTERS), 3), nn.LSTM(3, 4, batch_first=True)
        self.head, self.linear = nn.Linear(4, len(LETTERS)), linear
        nn.init.normal_(self.rnn.weight_hh_l0)

    def forward(self, x: Tensor) -> Tensor:
        states = self.rnn(self.embedding(x))[0]
        return self.head(states if self.linear else states.tanh())


@pytest.fixture(scope="module")
def text(tmp_path_factory) -> Path:
    """A text with another letter at its end than anywhere else."""
    torch.set_num_threads(1)
    path = tmp_path_factory.mktemp("text") / "a.txt"
    drawn = np.random.default_rng(0).choice(list(LETTERS[:7] + LETTERS[8:]), 200)
    path.write_text("".join(drawn.tolist()) + "h")
    return path


@pytest.fixture(scope="module")
def study(text) -> Study:
    return tl.analyze(Language().eval(), str(text), text.parent / "s.lurk", **OPTIONS)


def literal(text: Path) -> tuple[dict[str, list[np.ndarray]], dict[str, list[np.ndarray]], np.ndarray]:
    """By letter the states and changes of each unit wherever it counts, and the forget gate at all steps that count."""
    net, ids = Language(), [LETTERS.index(one) for one in text.read_text()]
    weights = {name: one.detach().double().numpy() for name, one in net.named_parameters()}
    at: dict[str, list[np.ndarray]] = {letter: [] for letter in LETTERS}
    changes: dict[str, list[np.ndarray]] = {letter: [] for letter in LETTERS}
    gates, counted = [], 0
    while counted < len(ids):
        start = max(0, counted - BURN_IN)
        hidden = cell = np.zeros(4)
        for step in range(start, min(len(ids), start + WINDOW)):
            given = weights["rnn.weight_ih_l0"] @ weights["embedding.weight"][ids[step]] + weights["rnn.bias_ih_l0"]
            i, f, g, o = np.split(given + weights["rnn.weight_hh_l0"] @ hidden + weights["rnn.bias_hh_l0"], 4)
            i, f, o = (1 / (1 + np.exp(-one)) for one in (i, f, o))
            cell = f * cell + i * np.tanh(g)
            before, hidden = hidden, o * np.tanh(cell)
            if step >= counted:
                letter = LETTERS[ids[step]]
                at[letter].append(hidden)
                changes[letter].append(hidden - before)
                gates.append(f)
        counted = min(len(ids), start + WINDOW)
    return at, changes, np.stack(gates)


def test_the_tokens_of_a_unit_are_those_of_a_literal_loop(study, text):
    at, changes, _ = literal(text)
    for channel in range(4):
        tokens = study.unit(f"rnn.l0:{channel}").to_json()["tokens"]
        for measure, of in (("state", at), ("change", changes)):
            means = {letter: np.mean(found, 0)[channel] for letter, found in of.items() if found}
            for end, sign in (("highest", -1), ("lowest", 1)):
                found = tokens[measure][end]
                assert [one["token"] for one in found] == sorted(means, key=lambda letter: sign * means[letter])[:10]
                for one in found:
                    assert one["value"] == pytest.approx(means[one["token"]], abs=1e-6)
                    assert one["count"] == len(at[one["token"]])
                    assert LETTERS[one["id"]] == one["token"]


def test_tokens_that_stand_rarely_are_not_named_where_enough_others_do(tmp_path):
    often = [chr(0x100 + index) for index in range(24)]
    (tmp_path / "a.txt").write_text("".join(often * 5) + "".join(chr(0x300 + index) for index in range(40)))
    net = nn.Sequential(nn.Embedding(65, 3), nn.Linear(3, 4)).eval()
    vocabulary = ["<unk>", *often, *(chr(0x300 + index) for index in range(40))]
    with tl.analyze(net, tmp_path / "a.txt", tmp_path / "s.lurk", vocabulary=vocabulary, input_axes="bt") as study:
        for unit in study["1"]:
            for measure in unit.to_json()["tokens"].values():
                assert measure is None or {one["count"] for end in ("highest", "lowest") for one in measure[end]} == {5}


def test_what_a_unit_says_next_is_its_weight_at_its_typical_value(study):
    weights = Language().head.weight.detach().numpy()
    for channel in range(4):
        unit = study.unit(f"rnn.l0:{channel}")
        found = unit.to_json()["tokens"]["next"]
        assert found["at"] == pytest.approx(math.hypot(unit.statistics["mean"], unit.statistics["std"]))
        order = np.argsort(-weights[:, channel])
        assert [one["id"] for one in found["highest"]] == order.tolist()
        assert [one["id"] for one in found["lowest"]] == order[::-1].tolist()
        for one in found["highest"]:
            assert one["value"] == pytest.approx(weights[one["id"], channel] * found["at"], rel=1e-6)


def test_gates_and_memory_are_those_of_a_literal_loop(study, text):
    *_, forget = literal(text)
    found = {name: study[name].statistics for name in ("rnn.l0", "rnn.l0.c", "rnn.l0.f", "rnn.l0.i")}
    np.testing.assert_allclose(found["rnn.l0.f"]["shut"], (forget < 0.1).mean(0), atol=1e-12)
    np.testing.assert_allclose(found["rnn.l0.f"]["open"], (forget > 0.9).mean(0), atol=1e-12)
    for layer in ("rnn.l0", "rnn.l0.c", "rnn.l0.f"):
        np.testing.assert_allclose(found[layer]["half_life"], math.log(2) / -np.log(forget).mean(0), rtol=1e-5)
    assert "half_life" not in found["rnn.l0.i"]
    assert "open" not in found["rnn.l0.c"]
    described = describe(study.unit("rnn.l0.c:1").record, ())
    assert "half-life" in described
    assert " steps" in described


def test_the_frequent_tokens_are_those_that_count_most_often(text):
    source = open_text(text, InputOptions(window=WINDOW, burn_in=BURN_IN), list(LETTERS))
    counts = Counter(text.read_text())
    found = frequent_tokens(source, most=4)
    assert [LETTERS[id] for id in found.ids] == sorted(counts, key=lambda one: (-counts[one], LETTERS.index(one)))[:4]
    assert found.counts.tolist() == [counts[LETTERS[id]] for id in found.ids]
    limited = open_text(text, InputOptions(window=WINDOW, burn_in=BURN_IN, limit=3), list(LETTERS))
    steps = sum(last - first for first, last in map(limited.counted, range(3)))
    assert frequent_tokens(limited).counts.sum() == steps < len(text.read_text())


@pytest.mark.parametrize(
    ("embeddings", "vocabulary", "outputs"),
    [
        ((29, 74), 29, {29}),  # letters in, phonemes out
        ((50, 16), 50, {50}),  # tokens and positions
        ((56,), 50, {50, 56}),  # more rows than tokens
        ((), 50, {50}),
        ((50,), None, {50}),
        ((29, 74), None, set()),
    ],
)
def test_outputs_are_tokens_only_of_the_vocabulary_that_is_read(embeddings, vocabulary, outputs):
    network = nn.ModuleList(nn.Embedding(size, 2) for size in embeddings)
    assert outputs_of_tokens(network, vocabulary) == outputs


def test_a_head_that_is_not_linear_is_told_of(text, tmp_path):
    with tl.analyze(Language(linear=False).eval(), str(text), tmp_path / "s.lurk", **OPTIONS, layers=("rnn.l0",)) as study:
        assert study.unit("rnn.l0:0").to_json()["tokens"]["next"] is None
        assert any("not a linear function of the last layer's states" in note for note in study.notes)


@pytest.mark.slow
def test_parts_give_the_tokens_and_gates_of_the_whole(study, text, tmp_path, monkeypatch):
    monkeypatch.setattr("torchlurk.stages.scan.SHARD_EXAMPLES", 4)
    for number in (1, 2):
        tl.analyze(Language().eval(), str(text), tmp_path / f"{number}.lurk", part=f"{number}/2", **OPTIONS).close()
    with tl.merge([tmp_path / "2.lurk", tmp_path / "1.lurk"], out=tmp_path / "m.lurk") as merged:
        for layer in study.layers:
            known, found = layer.statistics, merged[layer.name].statistics
            for name in known:
                np.testing.assert_allclose(found[name], known[name], rtol=1e-6, err_msg=name)
        for unit in study["rnn.l0"]:
            assert merged.unit(unit.address).to_json()["tokens"].keys() == unit.to_json()["tokens"].keys()
            for one, other in zip(*(study_tokens(of.unit(unit.address)) for of in (study, merged)), strict=True):
                assert (one[0], one[1]) == (other[0], other[1])
                assert one[2] == pytest.approx(other[2], rel=1e-6)
    assert check(tmp_path / "m.lurk").problems == ()


def study_tokens(unit) -> list[tuple[str, int, float]]:
    tokens = unit.to_json()["tokens"]
    return [
        (measure, one["id"], one["value"])
        for measure in tokens
        for end in ("highest", "lowest")
        for one in tokens[measure][end]
    ]


def test_a_scan_that_was_interrupted_goes_on_to_the_same_tokens(study, text, tmp_path, interrupted, monkeypatch):
    monkeypatch.setattr("torchlurk.stages.scan.SHARD_EXAMPLES", 4)
    monkeypatch.setattr("torchlurk.stages.scan.SECONDS_BETWEEN_SAVES", 0.0)
    monkeypatch.setattr("torchlurk.stages.scan.SAVE_SHARE", 1e9)
    with interrupted("save_progress", 2):
        tl.analyze(Language().eval(), str(text), tmp_path / "s.lurk", **OPTIONS)
    with tl.analyze(Language().eval(), str(text), tmp_path / "s.lurk", **OPTIONS) as again:
        for unit in study["rnn.l0"]:
            for one, other in zip(study_tokens(unit), study_tokens(again.unit(unit.address)), strict=True):
                assert one[2] == pytest.approx(other[2], rel=1e-6)
        np.testing.assert_allclose(
            again["rnn.l0.f"].statistics["half_life"], study["rnn.l0.f"].statistics["half_life"], rtol=1e-9
        )
