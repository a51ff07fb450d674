"""A decoder that begins when all of an example was read has steps of its own, which are marked on none of the example's."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import torchlurk as tl
from torchlurk.rendering.text import describe
from torchlurk.study import Study
from torchlurk.units import Unit

CALLS = 6
TEXTS = [[1, 2, 3], [3, 3, 1, 2], [2, 1, 1, 3, 3, 2, 1], [1, 3]]


class Spelled(nn.Module):
    """An encoder, and a cell called `CALLS` times after it, on its own last guess."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table, self.encoder, self.cell = nn.Embedding(4, 5), nn.GRU(5, 7, batch_first=True), nn.GRUCell(7, 7)
        self.head = nn.Linear(7, 3)

    def states(self, ids: Tensor) -> list[Tensor]:
        state = self.encoder(self.table(ids))[1][0]
        found = []
        for _ in range(CALLS):
            state = self.cell(state.roll(1, 1), state)
            found.append(state)
        return found

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(torch.stack(self.states(ids), 1).mean(1))


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Study:
    path = tmp_path_factory.mktemp("own") / "a.lurk"
    data = [torch.tensor(one) for one in TEXTS]
    stages = ["scan", "attribute"]
    return tl.analyze(
        Spelled().eval(), data, path, vocabulary=["", *"abc"], stages=stages, units=["cell:2"], methods=["gradient"]
    )


def test_no_token_is_marked_and_the_call_is_told(study) -> None:
    unit = study["cell"][2]
    assert unit.record.layer.apart
    assert not study["encoder.l0"].record.apart
    for one in unit.exemplars("max"):
        with torch.no_grad():
            values = torch.stack(Spelled().states(torch.tensor([TEXTS[one.example]])), 1)[0, :, 2]
        assert (one.position, one.token, one.reach) == ((), None, (0, len(TEXTS[one.example])))
        assert one.own_step == int(values.argmax())
        assert one.score == pytest.approx(float(values.max()), abs=1e-6)
    assert not study.reader.traces(Unit("cell", 2))
    assert {one["own_step"] for one in unit.to_json()["exemplars"]["max"]} <= set(range(CALLS))
    said = describe(unit.record, study.classes, unit.steps())
    assert "steps of its own" in said
    assert "its own step" in said
    assert "⟦" not in said


def test_it_is_attributed_at_its_own_step(study) -> None:
    (first, *_) = study["cell"][2].exemplars("max")
    found = study["cell"][2].attributions()[0]
    own = tl.attribute(Spelled().eval(), torch.tensor([TEXTS[first.example]]), "cell:2", "gradient", position=(first.own_step,))
    torch.testing.assert_close(torch.from_numpy(found.values[:, 0]), own[0], rtol=1e-5, atol=1e-7)
