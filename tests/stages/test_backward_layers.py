"""Layers that a model runs through from the last step to the first have their values at the steps that they read."""

# Tolerance 1e-6: batches of another size add in another order; traces are stored in 255 steps of a unit's range.

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import torchlurk as tl
from torchlurk.units import Unit

TEXTS = [[0, 1, 2, 3, 4], [4, 4, 0, 2, 1, 3, 3], [2, 0, 1], [3, 1, 0, 0, 2]]


class FromTheEnd(nn.Module):
    """A cell in a loop, a module and a convolution with a rectification in place, all over a reversed text."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table, self.cell = nn.Embedding(5, 6), nn.LSTMCell(6, 7)
        self.back, self.conv, self.relu = nn.GRU(6, 4, batch_first=True), nn.Conv1d(6, 3, 3, padding=1), nn.ReLU(inplace=True)
        self.head = nn.Linear(14, 2)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.table(ids)
        state = (torch.zeros(len(x), 7),) * 2
        for step in reversed(range(x.shape[1])):
            state = self.cell(x[:, step], state)
        convolved = self.relu(self.conv(x.flip(1).movedim(1, 2))).amax(-1)
        return self.head(torch.cat([state[0], self.back(x.flip(1))[0][:, -1], convolved], 1))


def literal(net: FromTheEnd, ids: list[int]) -> dict[str, np.ndarray]:
    """What the first unit of each layer does at each token, and the last token that it has seen there."""
    with torch.no_grad():
        x, state, states = net.table(torch.tensor([ids])), (torch.zeros(1, 7),) * 2, {}
        for step in range(len(ids))[::-1]:
            state = net.cell(x[:, step], state)
            states[step] = float(state[0][0, 0])
        back = net.back(x.flip(1))[0][0, :, 0].flip(0)
        convolved = net.conv(x.flip(1).movedim(1, 2))[0, 0].clamp(min=0).flip(0)
    return {"cell": np.array([states[step] for step in range(len(ids))]), "back.l0": back.numpy(), "conv": convolved.numpy()}


def test_positions_reaches_tokens_and_traces_are_those_of_the_steps_that_were_read(tmp_path):
    net = FromTheEnd().eval()
    with tl.analyze(net, [torch.tensor(one) for one in TEXTS], tmp_path / "a.lurk", kind="text", batch_size=2) as study:
        outputs = {one.example: one.score for one in study["head"][0].exemplars("max")}
        for name in ("cell", "back.l0", "conv"):
            assert study[name].record.stride == (1, -1)
            assert study[name].record.backward
            traces = study.reader.traces(Unit(name, 0))
            for one in study[name][0].exemplars("max"):
                truth = literal(net, TEXTS[one.example])[name]
                at = int(truth.argmax())
                assert one.score == pytest.approx(truth.max(), abs=1e-6)
                assert one.position == (at,)
                assert one.token == str(TEXTS[one.example][at])
                end = min(at + 2, len(truth)) if name == "conv" else len(truth)
                assert one.reach == (max(0, at - 1) if name == "conv" else at, end)
                np.testing.assert_allclose(traces[one.example], truth, atol=np.ptp(truth) / 255)
    with torch.no_grad():  # the rectification in place is done to the model's own tensor
        assert outputs == {place: pytest.approx(float(net(torch.tensor([one]))[0, 0])) for place, one in enumerate(TEXTS)}


def test_attributions_are_of_the_steps_that_were_read(tmp_path):
    net = FromTheEnd().eval()
    ids = torch.tensor(TEXTS[1])[None]
    found = tl.attribute(net, ids, "cell:0", "input_x_gradient", position=(4,))[0]
    assert not found[:4].any(), "tokens that the cell had not read yet"
    assert found[4:].all()
