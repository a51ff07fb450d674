"""Units that are a network's outputs are called by what these stand for."""

from __future__ import annotations

import json

import pytest

import torchlurk
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


def test_the_outputs_of_a_classifier_are_called_by_their_classes(demo):
    (study,) = documents(demo, "study.json")
    layer, unit = documents(demo, "layers/5.json", "layers/5/units/2.json")
    assert layer["outputs"] == {"of": "classes", "names": [one["label"] for one in study["classes"]]}
    assert unit["output"] == {"of": "classes", "name": study["classes"][2]["label"]}
