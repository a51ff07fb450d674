"""A server with a model beside a study of text, which it cannot be asked about."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import nn

import torchlurk as tl
from torchlurk.errors import OptionError
from torchlurk.server.model_choice import ModelChoice
from torchlurk.server.running import serve


class Reading(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.letters, self.cells = nn.Embedding(9, 4), nn.GRU(4, 5, batch_first=True)

    def forward(self, ids):
        return self.cells(self.letters(ids))[0][:, -1]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    data = [(torch.randint(0, 9, (12,)), 0) for _ in range(4)]
    return tl.analyze(Reading().eval(), data, out=tmp_path_factory.mktemp("text") / "text.lurk", stages=["scan"])


def test_the_study_is_served_without_its_model(study):
    said, ended = [], threading.Event()
    ended.set()
    choice = ModelChoice.of(Reading().eval(), None, "cpu", None, None, None)
    serve([study.path], "127.0.0.1", 0, said.append, until=ended, model=choice)
    assert said[0] == "note: the model is not used: the pages Image and Live are for pictures, and here is text"
    assert said[1].startswith("Torchlurk is at http://127.0.0.1:")


def test_a_program_that_asks_for_the_model_is_refused(study):
    with pytest.raises(OptionError, match=r"is for pictures; .*text\.lurk is a study of text"):
        study.serve(0, model=Reading().eval(), device="cpu")
