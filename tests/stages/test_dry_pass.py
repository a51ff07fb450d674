"""The layers of a model are found without data, whatever it takes."""

from __future__ import annotations

import pytest

from torchlurk.errors import ModelError, OptionError
from torchlurk.stages.dry_pass import survey_model

NETS = """
from torch import nn

class Reader(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.rnn, self.head = nn.Embedding(6, 4), nn.LSTM(4, 3), nn.Linear(3, 2)

    def forward(self, tokens, hidden=None):
        return self.head(self.rnn(self.embedding(tokens))[0])

class Listener(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.rnn = nn.Conv1d(2, 4, 3, padding=1), nn.GRU(4, 3, 2, batch_first=True, bidirectional=True)

    def forward(self, series):
        return self.rnn(self.conv(series).transpose(1, 2))[0]

class Narrow(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 2)

    def forward(self, series):
        return self.head(series).cumsum(1)
"""


@pytest.fixture(scope="module")
def nets(tmp_path_factory):
    file = tmp_path_factory.mktemp("nets") / "nets.py"
    file.write_text(NETS)
    return file


def test_a_network_that_begins_with_an_embedding_is_surveyed_on_tokens(nets):
    found = survey_model(f"{nets}:Reader", None, None)
    assert found.input_shape == (16,)
    assert [layer.name for layer in found.layers if layer.by_default] == [
        *("rnn.l0", "rnn.l0.c", "rnn.l0.i", "rnn.l0.f", "rnn.l0.g", "rnn.l0.o"),
        "head",
    ]


def test_a_network_that_begins_with_a_convolution_over_time_is_surveyed_on_a_series(nets):
    found = survey_model(f"{nets}:Listener", None, None)
    assert found.input_shape == (16, 2)
    fields = {layer.name: layer.receptive_field for layer in found.layers}
    assert fields["conv"] == (1, 3)
    assert {fields[name] for name in ("rnn.l0", "rnn.l0_reverse", "rnn.l1", "rnn.l1_reverse")} == {None}


@pytest.mark.parametrize(
    ("net", "shape", "expected"), [("Reader", "9", (9,)), ("Listener", "9,2", (9, 2)), ("Narrow", "9,3", (9, 3))]
)
def test_the_shape_of_a_text_or_series_can_be_given(net, shape, expected, nets):
    assert survey_model(f"{nets}:{net}", None, shape).input_shape == expected


def test_a_shape_that_does_not_fit_says_what_the_network_takes(nets):
    with pytest.raises(ModelError, match=r"the series have 5 channels, and conv \(Conv1d\) takes 2"):
        survey_model(f"{nets}:Listener", None, "9,5")
    with pytest.raises(OptionError, match=r"--input is '9,x'   \(use C,H,W"):
        survey_model(f"{nets}:Listener", None, "9,x")
    with pytest.raises(ModelError, match=r"give the input's shape with --input: C,H,W for pictures.*; T for text"):
        survey_model(f"{nets}:Narrow", None, None)
