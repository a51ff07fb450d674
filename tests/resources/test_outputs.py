"""Units that are a network's outputs are called by what these stand for."""

from __future__ import annotations

import json

import pytest

import torchlurk
from torchlurk.records import Layer
from torchlurk.rendering.text import describe
from torchlurk.resources.outputs import named_outputs, with_output
from torchlurk.resources.tree import Forest
from torchlurk.store.reading import Reader

VOCABULARY = ("", "a", "b", " ", "\n")


@pytest.fixture(scope="module")
def characters(tmp_path_factory):
    """A study of a network that says which character comes next."""
    import torch
    from torch import nn

    class Next(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(len(VOCABULARY), 3)
            self.rnn = nn.GRU(3, 4, batch_first=True)
            self.fc = nn.Linear(4, len(VOCABULARY))

        def forward(self, x):
            return self.fc(self.rnn(self.embedding(x))[0])

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("characters")
    (folder / "text.txt").write_text("ab ba\nab\n" * 12)
    (folder / "vocabulary.json").write_text(json.dumps(VOCABULARY))
    told = {"kind": "text", "vocabulary": str(folder / "vocabulary.json"), "window": 16, "streams": "output"}
    torchlurk.analyze(Next().eval(), str(folder / "text.txt"), out=folder / "characters.lurk", **told)
    return folder / "characters.lurk"


def documents(path, *wanted):
    with Reader(path) as reader:
        forest = Forest([reader])
        return [json.loads(forest.find(f"{path.stem}/{one}").body) for one in wanted]


def test_the_logits_of_a_character_model_are_called_by_the_characters(characters):
    (study,) = documents(characters, "study.json")
    last = study["layers"][-1]
    layer, unit, before = documents(
        characters, f"layers/{last['id']}.json", f"layers/{last['id']}/units/3.json", f"layers/{last['id'] - 1}.json"
    )
    assert last["name"] == "fc"
    assert layer["outputs"] == {"of": "tokens", "names": list(VOCABULARY)}
    assert unit["output"] == {"of": "tokens", "name": " "}
    assert before["outputs"] is None
    with torchlurk.open(characters) as opened:
        records = [with_output(opened.reader, opened.unit(one).record) for one in ("fc:0", "fc:1", "fc:4", "rnn.l0:1")]
        assert [one.output for one in records] == ["", "‘a’", "‘↵’", ""]
        assert describe(records[2], []).splitlines()[1].startswith("output for ‘↵’ · Linear · sequence")
        assert opened.unit("fc:1").picture().tobytes() != opened.unit("fc:2").picture().tobytes()


def test_each_call_of_a_head_in_a_loop_is_named():
    layers = [Layer(name, "Linear", "vector", 3, ()) for name in ("body", "head", "head#1", "head#2")]

    class Classes(Reader):
        def __init__(self):
            pass

        def output_labels(self, outputs):
            return ["x", "y", "z"]

    found = [named_outputs(Classes(), layers, index) for index in range(4)]
    assert [one and one["names"][1] for one in found] == [None, "y", "y", "y"]


def test_the_outputs_of_a_classifier_are_called_by_their_classes(demo):
    (study,) = documents(demo, "study.json")
    layer, unit = documents(demo, "layers/5.json", "layers/5/units/2.json")
    assert layer["outputs"] == {"of": "classes", "names": [one["label"] for one in study["classes"]]}
    assert unit["output"] == {"of": "classes", "name": study["classes"][2]["label"]}
