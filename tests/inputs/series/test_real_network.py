"""A trained network classifies the series that it is fed as well as it does outside."""

from __future__ import annotations

import torch
from safetensors.torch import load_file
from torch import nn

from torchlurk.inputs.feeding import feed
from torchlurk.inputs.opening import open_source
from torchlurk.options import InputOptions


class Vowels(nn.Module):
    """The architecture of vowels_lstm, as its description gives it."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(12, 32, num_layers=2, bidirectional=True, batch_first=True)
        self.head = nn.Linear(64, 9)

    def forward(self, series):
        return self.head(self.rnn(series)[0].mean(1))


def test_a_trained_network_is_right_as_often_as_its_makers_measured(data):
    network = Vowels().eval()
    network.load_state_dict(load_file(data / "models" / "vowels_lstm.safetensors"))
    source = open_source(str(data / "series" / "JapaneseVowels_TEST.ts"), InputOptions())
    right = seen = 0
    with torch.inference_mode():
        for batch in feed(source, range(len(source.examples)), 32):
            scores = network(source.kind.inputs(batch, torch.device("cpu"), torch.float32))
            right += int((scores.argmax(1).numpy() == batch.classes).sum())
            seen += len(batch)
    assert (seen, right) == (370, 360)  # 97.3 %
