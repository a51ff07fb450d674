"""Series whose channels come first, as convolutions over time take them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

import torchlurk as tl

CHANNELS, STEPS = 5, 40


class Beats(nn.Module):
    """Takes (batch, channel, time)."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.fc = nn.Conv1d(CHANNELS, 6, 7), nn.Linear(6, 2)

    def forward(self, x):
        return self.fc(self.a(x).relu().amax(2))


class Turning(nn.Module):
    """Takes (batch, channel, time), and reads it step by step."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.lstm, self.fc = nn.LSTM(CHANNELS, 6, batch_first=True), nn.Linear(6, 2)

    def forward(self, x):
        return self.fc(self.lstm(x.permute(0, 2, 1))[0][:, -1])


class Projecting(nn.Module):
    """Takes (batch, time, channel); its recurrent layer has as many inputs as there are steps."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.up, self.lstm = nn.Linear(CHANNELS, STEPS), nn.LSTM(STEPS, 6, batch_first=True)

    def forward(self, x):
        return self.lstm(self.up(x))[0][:, -1]


def series():
    return torch.randn(8, CHANNELS, STEPS, generator=torch.Generator().manual_seed(1))


def as_data(form, tmp_path):
    if form == "file":
        np.savez(tmp_path / "beats.npz", x=series().numpy(), y=np.arange(8) % 2)
        return tmp_path / "beats.npz"
    return TensorDataset(series()) if form == "tensors" else [(one, number % 2) for number, one in enumerate(series())]


@pytest.mark.slow
@pytest.mark.parametrize("form", ["items", "tensors", "file"])
@pytest.mark.parametrize(("network", "layer"), [(Beats, "a"), (Turning, "lstm")])
def test_series_are_read_as_the_network_takes_them(network, layer, form, tmp_path):
    study = tl.analyze(network().eval(), as_data(form, tmp_path), out=tmp_path / "a.lurk", stages=["scan"])
    assert any(note.startswith(f"examples are read as (channel, time), such as {CHANNELS}×{STEPS}") for note in study.notes)
    unit = study.unit(f"{layer}:2")
    with torch.no_grad():
        whole = network().eval()
        maps = whole.a(series()).relu() if network is Beats else whole.lstm(series().permute(0, 2, 1))[0].transpose(1, 2)
    best = maps[:, 2].amax(1)
    first = unit.exemplars()[0]
    assert first.score == pytest.approx(float(best.max()), rel=1e-5)
    assert first.position == (int(maps[int(best.argmax()), 2].argmax()),)


def test_series_that_run_as_they_are_stay_so(tmp_path):
    data = [(one.T.contiguous(), 0) for one in series()]
    study = tl.analyze(Projecting().eval(), data, out=tmp_path / "a.lurk", stages=["scan"])
    assert not any("(channel, time)" in note for note in study.notes)


def test_an_order_of_axes_that_is_given_stays(tmp_path):
    square = nn.Sequential(nn.Conv1d(CHANNELS, 4, 3), nn.ReLU()).eval()
    data = [(one, 0) for one in series()]
    study = tl.analyze(square, data, out=tmp_path / "a.lurk", stages=["scan"], input_axes="btc")
    assert not any("(channel, time)" in note for note in study.notes)


class Padded(nn.Module):
    """Takes (batch, channel, time) and how many steps are no padding."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a = nn.Conv1d(CHANNELS, 6, 3, padding=1)

    def forward(self, x, lengths):
        return self.a(x).relu().sum(2) / lengths[:, None]


def test_steps_beyond_the_length_do_not_count_in_series_that_are_turned(tmp_path):
    data = TensorDataset(series(), torch.full((8,), 30), torch.arange(8) % 2)
    study = tl.analyze(Padded().eval(), data, out=tmp_path / "a.lurk", stages=["scan"])
    with torch.no_grad():
        maps = Padded().eval().a(series()).relu()[..., :30]
    assert study.unit("a:2").exemplars()[0].score == pytest.approx(float(maps[:, 2].max()), rel=1e-5)
