"""Two trained recurrent networks: what a study says of states, cells and gates, against a literal loop over single examples."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import torchlurk as tl
from torchlurk.study import Study

pytestmark = pytest.mark.slow

TOP = 3
TOLERANCE = 1e-5
UNITS = (0, 17, 31)
"""Those that are compared of each layer."""


class Vowels(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(12, 32, num_layers=2, bidirectional=True, batch_first=True)
        self.head = nn.Linear(64, 9)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        if lengths is None:
            lengths = torch.full((len(x),), x.shape[1])
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        found, steps = pad_packed_sequence(self.rnn(packed)[0], batch_first=True)
        return self.head(found.sum(1) / steps[:, None])


class TextGen(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(465, 100)
        self.rnn_1, self.rnn_2 = nn.LSTM(100, 128, batch_first=True), nn.LSTM(128, 128, batch_first=True)
        self.attention, self.output = nn.Linear(356, 1, bias=False), nn.Linear(356, 465)

    def forward(self, x: Tensor) -> Tensor:
        embedded = self.embedding(x)
        first, _ = self.rnn_1(embedded)
        second, _ = self.rnn_2(first)
        everything = torch.cat([embedded, first, second], -1)
        weights = self.attention(everything).softmax(1)
        return self.output((weights * everything).sum(1))


def stepped(weights: Mapping[str, Tensor], name: str, part: str, steps: np.ndarray) -> dict[str, np.ndarray]:
    """h, c and the gates (time, unit) of one layer and direction on one example, step by step in float64."""
    w_i, w_h, b_i, b_h = (
        weights[f"{name}.{one}_{part}"].double().numpy() for one in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    hidden = cell = np.zeros(w_h.shape[1])
    rows: dict[str, list[np.ndarray]] = {stream: [] for stream in ("", "c", "i", "f", "g", "o")}
    for step in steps[::-1] if part.endswith("_reverse") else steps:
        i, f, g, o = np.split(w_i @ step + b_i + w_h @ hidden + b_h, 4)
        i, f, o = (1 / (1 + np.exp(-one)) for one in (i, f, o))
        g = np.tanh(g)
        cell = f * cell + i * g
        hidden = o * np.tanh(cell)
        for stream, value in zip(rows, (hidden, cell, i, f, g, o), strict=True):
            rows[stream].append(value)
    turned = -1 if part.endswith("_reverse") else 1
    return {stream: np.stack(found)[::turned] for stream, found in rows.items()}


Streams = dict[str, np.ndarray]


def of_vowels(weights: Mapping[str, Tensor], series: np.ndarray) -> Streams:
    """Every stream of one utterance, by the layer's name."""
    found, given = {}, series.astype(np.float64)
    for layer in (0, 1):
        parts = {part: stepped(weights, "rnn", part, given) for part in (f"l{layer}", f"l{layer}_reverse")}
        found |= {
            ".".join(filter(None, ("rnn", part, stream))): one for part, all_ in parts.items() for stream, one in all_.items()
        }
        given = np.concatenate([one[""] for one in parts.values()], 1)
    return found


def of_text(weights: Mapping[str, Tensor], ids: np.ndarray) -> Streams:
    """Every stream of one line."""
    found, given = {}, weights["embedding.weight"].double().numpy()[ids]
    for name in ("rnn_1", "rnn_2"):
        streams = stepped(weights, name, "l0", given)
        found |= {".".join(filter(None, (name, "l0", stream))): one for stream, one in streams.items()}
        given = streams[""]
    return found


def reach(layer: str, step: int, steps: int) -> tuple[int, int]:
    """The steps that a state at `step` has seen."""
    if layer.startswith("rnn.l1"):
        return 0, steps
    return (step, steps) if "_reverse" in layer else (0, step + 1)


def check(study: Study, loop: list[Streams], classes: list[int | None]) -> None:
    """Everything that the study says of some units of each layer, against the streams of each example."""
    for layer in [one.name for one in study.layers if one.name in loop[0]]:
        for channel in (unit for unit in UNITS if unit < loop[0][layer].shape[1]):
            values = [one[layer][:, channel] for one in loop]
            unit = study.unit(f"{layer}:{channel}")
            strongest, means = np.array([one.max() for one in values]), np.array([one.mean() for one in values])
            exemplars = unit.exemplars("max")
            assert [one.score for one in exemplars] == pytest.approx(sorted(strongest, reverse=True)[:TOP], abs=TOLERANCE)
            for one in exemplars:
                (step,), own = one.position, values[one.example]
                assert own[step] == pytest.approx(strongest[one.example], abs=TOLERANCE), (layer, channel)
                assert one.score == pytest.approx(own[step], abs=TOLERANCE)
                assert one.reach == reach(layer, step, len(own)), (layer, channel)
            usual = float(np.median([len(one) for one in values]))
            ranked = [mean for mean, one in zip(means, values, strict=True) if 2 * len(one) >= usual]
            assert [one.score for one in unit.exemplars("mean")] == pytest.approx(
                sorted(ranked, reverse=True)[:TOP], abs=TOLERANCE
            )
            every = np.concatenate(values)
            assert unit.statistics["mean"] == pytest.approx(every.mean(), abs=TOLERANCE)
            assert unit.statistics["std"] == pytest.approx(every.std(), abs=TOLERANCE)
            assert unit.statistics["max"] == pytest.approx(every.max(), abs=TOLERANCE)
            assert unit.statistics["min"] == pytest.approx(every.min(), abs=TOLERANCE)
            for by, numbers in (("max", strongest), ("mean", means)):
                for label, value in unit.classes(by):
                    of_class = [number for number, one in zip(numbers, classes, strict=True) if one == int(label) - 1]
                    assert value == pytest.approx(np.mean(of_class), abs=TOLERANCE)


@pytest.fixture(scope="module")
def vowels(data: Path) -> tuple[nn.Module, Mapping[str, Tensor], list[np.ndarray], list[int]]:
    """The network, its weights, and three utterances of each speaker with their classes."""
    weights = load_file(data / "models" / "vowels_lstm.safetensors")
    net = Vowels()
    net.load_state_dict(weights)
    series, classes = [], []
    lines = (data / "series" / "JapaneseVowels_TEST.ts").read_text().partition("@data")[2].split()
    for line in lines[:: max(1, len(lines) // 27)]:
        *channels, speaker = line.split(":")
        series.append(np.array([[float(value) for value in channel.split(",")] for channel in channels], np.float32).T)
        classes.append(int(speaker) - 1)
    return net.eval(), weights, series, classes


class Listed(torch.utils.data.Dataset[Any]):
    """Series with their classes, called by number from 1 on."""

    def __init__(self, series: list[np.ndarray], classes: list[int]) -> None:
        self.series, self.targets = series, classes
        self.classes = [str(1 + one) for one in range(9)]

    def __len__(self) -> int:
        return len(self.series)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return torch.from_numpy(self.series[index].copy()), self.targets[index]


def test_the_vowels_equal_a_literal_loop(vowels, tmp_path):
    net, weights, series, classes = vowels
    loop = [of_vowels(weights, one) for one in series]
    assert len({len(one) for one in series}) > 5
    with tl.analyze(net, Listed(series, classes), tmp_path / "s.lurk", top=TOP, batch_size=5) as study:
        assert {layer.name for layer in study.layers} == {*loop[0], "head"}
        check(study, loop, classes)


def numbers(study: Study) -> dict[str, Any]:
    """What every unit compared says, example by example."""
    found = {}
    for layer in study.layers:
        for channel in (unit for unit in UNITS if unit < len(layer)):
            unit = study.unit(f"{layer.name}:{channel}")
            found[unit.address] = [one.score for by in ("max", "mean") for one in unit.exemplars(by)] + [
                unit.statistics["mean"]
            ]
    return found


def test_nothing_depends_on_order_or_batch_size(vowels, tmp_path):
    net, _, series, classes = vowels
    order = np.random.default_rng(0).permutation(len(series)).tolist()
    shuffled = Listed([series[one] for one in order], [classes[one] for one in order])
    tried = [(Listed(series, classes), 1), (Listed(series, classes), 64), (shuffled, 5)]
    found = []
    for number, (examples, size) in enumerate(tried):
        with tl.analyze(
            net,
            examples,
            tmp_path / f"{number}.lurk",
            top=TOP,
            batch_size=size,
            layers=("rnn.l0", "rnn.l1", "rnn.l1_reverse.f"),
        ) as study:
            found.append(numbers(study))
    for other in found[1:]:
        for unit, expected in found[0].items():
            assert other[unit] == pytest.approx(expected, abs=TOLERANCE), unit


def test_the_text_generator_equals_a_literal_loop_over_lines(data, tmp_path):
    import json

    weights = load_file(data / "models" / "textgenrnn.safetensors")
    net = TextGen()
    net.load_state_dict(weights)
    vocabulary = json.loads((data / "models" / "textgenrnn_vocab.json").read_text())
    text = (data / "text" / "wikitext2_valid_part.txt").read_text().replace("\n", " ")
    lines = [text[start : start + 40] for start in range(0, 24 * 40, 40)]
    (tmp_path / "lines.txt").write_text("\n".join(lines) + "\n")
    ids = [np.array([vocabulary.get(one, 0) for one in line]) for line in lines]
    loop = [of_text(weights, one) for one in ids]
    some = ("rnn_1.l0.i", "rnn_2.l0", "rnn_2.l0.c")
    for size, layers in ((5, ()), (1, some), (64, some)):
        options = {"vocabulary": vocabulary, "lines": True, "window": 40, "layers": layers, "top": TOP, "batch_size": size}
        with tl.analyze(net.eval(), str(tmp_path / "lines.txt"), tmp_path / f"{size}.lurk", **options) as study:
            assert study.reader.example_count() == len(lines)
            check(study, loop, [None] * len(lines))
