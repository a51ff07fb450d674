"""Networks of text and series as Python programs have them, against a loop over single examples."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.utils.data import Dataset, TensorDataset

import torchlurk as tl
from torchlurk.errors import ModelError
from torchlurk.resources.tree import Resource

TOKENS, CHANNELS, TOP = 20, 4, 3
LENGTHS = [5, 9, 7, 9, 4, 7, 5, 9, 12, 3]


def ids() -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(1, TOKENS, (length,), generator=generator) for length in LENGTHS]


def series() -> list[Tensor]:
    generator = torch.Generator().manual_seed(2)
    return [torch.randn(length, CHANNELS, generator=generator) for length in LENGTHS]


class Listed(Dataset[Any]):
    """Inputs, with a class each or without."""

    def __init__(self, inputs: list[Tensor], *, classes: bool = True) -> None:
        self.inputs, self.with_classes = inputs, classes

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: int) -> Any:
        return (self.inputs[index], index % 3) if self.with_classes else self.inputs[index]


class Tokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.rnn = nn.Embedding(TOKENS, 6), nn.GRU(6, 5, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.rnn(self.embedding(x))[0]


class WithLengths(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = nn.LSTM(CHANNELS, 5, batch_first=True, bidirectional=True), nn.Linear(10, 3)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        return self.head(pad_packed_sequence(self.rnn(packed)[0], batch_first=True)[0])


class WithHidden(nn.Module):
    """PyTorch's word-language model: steps first, and states that are handed in."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.rnn, self.decoder = nn.Embedding(TOKENS, 6), nn.LSTM(6, 5, 2), nn.Linear(5, TOKENS)

    def init_hidden(self, batch: int) -> tuple[Tensor, Tensor]:
        return torch.zeros(2, batch, 5), torch.zeros(2, batch, 5)

    def forward(self, tokens: Tensor, hidden: tuple[Tensor, Tensor]) -> tuple[Tensor, Any]:
        found, hidden = self.rnn(self.encoder(tokens), hidden)
        return self.decoder(found), hidden


class TimeFirst(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = nn.GRU(CHANNELS, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(x)[0])


class Cells(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.LSTMCell(CHANNELS, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        hidden = cell = x.new_zeros(len(x), 5)
        found = []
        for step in range(x.shape[1]):
            hidden, cell = self.cell(x[:, step], (hidden, cell))
            found.append(hidden)
        return self.head(torch.stack(found, 1))


class Convolved(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(CHANNELS, 5, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class Encoder(nn.Module):
    """Without positions, and the mean over steps at its end: it cannot tell one order of tokens from another."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.embedding, self.encoder = nn.Embedding(TOKENS, 8), nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.encoder(self.embedding(x)).mean(1)


class Scaled(Tokens):
    def forward(self, x: Tensor, scale: float) -> Tensor:
        return self.rnn(self.embedding(x) * scale)[0]


Loop = Callable[[nn.Module, Tensor], Tensor]
"""What one layer has on one example: (time, unit)."""


def batched(net: nn.Module, one: Tensor) -> Tensor:
    return net(one[None])[0]


CASES: dict[str, tuple[type[nn.Module], Callable[[], list[Tensor]], str, Loop, dict[str, Any]]] = {
    "tokens": (Tokens, ids, "rnn.l0", batched, {}),
    "lengths": (WithLengths, series, "head", lambda net, one: net(one[None], torch.tensor([len(one)]))[0], {}),
    "hidden": (WithHidden, ids, "decoder", lambda net, one: net(one[:, None], net.init_hidden(1))[0][:, 0], {}),
    "time first": (TimeFirst, series, "head", lambda net, one: net(one[:, None])[:, 0], {}),
    "cells": (Cells, series, "head", batched, {}),
    "channels first": (Convolved, series, "conv", lambda net, one: net(one.T[None])[0].T, {"input_axes": "bct"}),
    "scale": (Scaled, ids, "rnn.l0", lambda net, one: net(one[None], 2.0)[0], {"constants": {"scale": 2.0}}),
    "encoder": (Encoder, ids, "encoder", lambda net, one: net.encoder(net.embedding(one[None]))[0], {"layers": ["encoder"]}),
}
REACHES = {"time first": "before", "tokens": "before", "hidden": "before", "cells": "before", "scale": "before"}


def made(kind: type[nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return kind().eval()


def compared(study: tl.Study, layer: str, values: list[np.ndarray], reach: str, classes: bool = True) -> None:
    """The first units of a layer, against its values on each example."""
    for channel in range(3):
        own = [one[:, channel] for one in values]
        unit = study.unit(f"{layer}:{channel}")
        if np.ptp(np.concatenate(own)) == 0:  # the output of <pad>, whose weights are zero
            assert not unit.exemplars("max")
            continue
        strongest, means = np.array([one.max() for one in own]), np.array([one.mean() for one in own])
        order = np.argsort(-strongest, kind="stable")[:TOP]
        assert [one.example for one in unit.exemplars("max")] == order.tolist()
        assert [one.score for one in unit.exemplars("max")] == pytest.approx(strongest[order], abs=1e-5)
        usual = float(np.median([len(one) for one in own]))
        ranked = [mean for mean, one in zip(means, own, strict=True) if 2 * len(one) >= usual]
        assert [one.score for one in unit.exemplars("mean")] == pytest.approx(sorted(ranked, reverse=True)[:TOP], abs=1e-5)
        for one in unit.exemplars("max"):
            step = int(own[one.example].argmax())
            assert one.position == (step,)
            steps = len(own[one.example])
            expected = {"before": (0, step + 1), "all": (0, steps), "beside": (max(0, step - 1), min(steps, step + 2))}
            expected["padded"] = (0, 12)
            assert one.reach == expected[reach]
        every = np.concatenate(own)
        assert unit.statistics["mean"] == pytest.approx(every.mean(), abs=1e-5)
        if classes:
            found = dict(unit.classes("mean"))
            assert found == pytest.approx({str(one): means[one::3].mean() for one in range(3)}, abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_network_of_ones_own_equals_a_loop_over_single_examples(name, tmp_path):
    kind, inputs, layer, loop, options = CASES[name]
    net, examples = made(kind), inputs()
    with torch.no_grad():
        values = [loop(net, one).numpy() for one in examples]
    reach = "beside" if name == "channels first" else REACHES.get(name, "all")
    with tl.analyze(net, Listed(examples), tmp_path / "s.lurk", top=TOP, batch_size=4, **options) as study:
        compared(study, layer, values, reach)


@pytest.mark.slow
def test_token_ids_without_classes_and_stacked_tensors_are_data_sets_too(tmp_path):
    net, examples = made(Tokens), ids()
    with torch.no_grad():
        values = [batched(net, one).numpy() for one in examples]
    with tl.analyze(net, Listed(examples, classes=False), tmp_path / "a.lurk", top=TOP) as study:
        compared(study, "rnn.l0", values, "before", classes=False)
        assert study.classes == ()
    stacked = torch.randint(1, TOKENS, (9, 6), generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        values = [batched(net, one).numpy() for one in stacked]
    data = TensorDataset(stacked, torch.arange(9) % 3)
    options = {"kind": "text", "streams": ["output"], "vocabulary": [chr(97 + one) for one in range(TOKENS)]}
    with tl.analyze(net, data, tmp_path / "b.lurk", top=TOP, **options) as study:
        assert [layer.name for layer in study.layers] == ["rnn.l0"]
        compared(study, "rnn.l0", values, "before")


@pytest.mark.slow
def test_a_study_with_other_constants_is_not_continued(tmp_path):
    data = Listed(ids())
    tl.analyze(made(Scaled), data, tmp_path / "s.lurk", constants={"scale": 2.0}).close()
    with pytest.raises(
        tl.errors.MismatchError, match=r"constants \(made with \{\"scale\": \"2.0\"\}, now \{\"scale\": \"3.0\"\}"
    ):
        tl.analyze(made(Scaled), data, tmp_path / "s.lurk", constants={"scale": 3.0})
    with pytest.raises(ModelError, match=r"has no parameter 'factor'.*available: scale"):
        tl.analyze(made(Scaled), data, tmp_path / "t.lurk", constants={"factor": 3.0})


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A folder with a tiny model of transformers for text, and its tokenizer: a letter a token."""
    pytest.importorskip("transformers", reason="needs transformers")
    pytest.importorskip("tokenizers", reason="needs tokenizers")
    from tokenizers import Tokenizer, models, pre_tokenizers

    from torchlurk.models.loading.extras import import_transformers

    transformers = import_transformers()
    sizes = {"vocab_size": TOKENS, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    bert = transformers.BertConfig(**sizes, max_position_embeddings=16, num_labels=3)
    gpt = transformers.GPT2Config(
        vocab_size=TOKENS, n_positions=16, n_embd=8, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0
    )
    kinds = {
        "gpt": transformers.GPT2LMHeadModel(gpt),
        "classes": transformers.BertForSequenceClassification(bert),
        "masked": transformers.BertForMaskedLM(bert),
        "encoder": transformers.BertModel(bert),
    }
    letters = {chr(97 + one): one for one in range(TOKENS - 1)} | {"<unk>": TOKENS - 1}
    tokenizer = Tokenizer(models.WordLevel(letters, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    folder = tmp_path_factory.mktemp("published")
    for name, net in kinds.items():
        net.save_pretrained(folder / name)
        tokenizer.save(str(folder / name / "tokenizer.json"))
    return folder, {name: net.eval() for name, net in kinds.items()}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "layer", "reach"),
    [
        ("gpt", "lm_head", "before"),
        ("masked", "cls.predictions.decoder", "all"),
        ("classes", "bert.encoder.layer.1.output.dense", "all"),
        ("encoder", "encoder.layer.1.output.dense", "all"),
    ],
)
def test_a_model_of_transformers_reads_text_with_its_own_tokenizer(name, layer, reach, published, tmp_path, monkeypatch):
    app = {"index.html": Resource("text/html; charset=utf-8", b"app")}  # also where it is not built
    monkeypatch.setattr("torchlurk.export.app_files", lambda: app)
    folder, nets = published
    lines = ["abcab", "hello", "qrstdefa", "ccba", "abcdefghijklmnop"]
    (tmp_path / "t.txt").write_text("\n".join(lines) + "\n")
    values: list[np.ndarray] = []
    with torch.no_grad():
        handle = nets[name].get_submodule(layer).register_forward_hook(lambda *given: values.append(given[2][0].numpy()))
        for line in lines:
            nets[name](torch.tensor([[ord(one) - 97 for one in line]]))
        handle.remove()
    with tl.analyze(f"hf:{folder / name}", str(tmp_path / "t.txt"), tmp_path / "s.lurk", lines=True, top=TOP) as study:
        compared(study, layer, values, reach, classes=False)
        assert study.reader.inputs().window is None  # no line is cut
        assert study.unit(f"{layer}:0").picture().width > 0
        assert study.export(tmp_path / "site") > len(lines)
    (tmp_path / "long.txt").write_text("abcdefghij" * 4)
    with tl.analyze(f"hf:{folder / name}", str(tmp_path / "long.txt"), tmp_path / "l.lurk", top=TOP) as cut:
        assert cut.reader.inputs().window == 16  # as many tokens as the model takes


class Tokenized(Dataset[Any]):
    """Lists of numbers by the names that tokenizers give them, padded to one length."""

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> dict[str, Any]:
        length = 3 + index
        ids = [(7 * index + 3 * at) % (TOKENS - 1) for at in range(length)] + [0] * (12 - length)
        mask = [1] * length + [0] * (12 - length)
        return {"attention_mask": mask, "input_ids": ids, "token_type_ids": [0] * 12, "text": "…", "labels": index % 3}


@pytest.mark.slow
def test_a_published_classifier_reads_padded_items_with_their_masks(published, tmp_path):
    _, nets = published
    net, data, layer = nets["classes"], Tokenized(), "bert.encoder.layer.1.output.dense"
    values: list[np.ndarray] = []
    with torch.no_grad():
        handle = net.get_submodule(layer).register_forward_hook(lambda *given: values.append(given[2][0].numpy()))
        for item in (data[index] for index in range(len(data))):
            net(**{name: torch.tensor([one]) for name, one in item.items() if name not in ("text", "labels")})
        handle.remove()
    counted = [one[: 3 + index] for index, one in enumerate(values)]
    with tl.analyze(
        net, data, tmp_path / "s.lurk", top=TOP, batch_size=4, vocabulary=["[PAD]", *"abcdefghijklmnopqrs"]
    ) as study:
        compared(study, layer, counted, "padded")
        assert study.unit(f"{layer}:0").exemplars("max")[0].token is not None


@pytest.mark.parametrize(
    ("lengths", "words"),
    [
        (torch.tensor([99]), "as btc: RuntimeError: shape"),
        (torch.tensor([5, 5]), "; as tbc: RuntimeError"),
    ],
)
def test_lengths_that_do_not_fit_are_refused_with_what_failed_first(lengths: Tensor, words: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=words) as told:
        tl.analyze(WithLengths(), Listed([torch.rand(6, CHANNELS)] * 4), tmp_path / "s.lurk", constants={"lengths": lengths})
    assert "\n" not in str(told.value)
    assert not (tmp_path / "s.lurk").exists()
