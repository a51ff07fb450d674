"""A scan shows what it knows so far, and leaves nothing of that behind."""

import sqlite3

import pytest
import torch
from torch import nn

from torchlurk.analysis import analyze_model
from torchlurk.jobs import Silence
from torchlurk.models.survey.input_filters import input_kernels
from torchlurk.models.survey.layers import survey
from torchlurk.options import ComputeOptions, InputOptions, ScanOptions
from torchlurk.stage_table import Settings
from torchlurk.stages import previews, scan
from torchlurk.store.checking import check
from torchlurk.store.reading import Reader

SETTINGS = Settings(
    inputs=InputOptions(limit=48),
    scan=ScanOptions(layers=("stem.0", "head"), sample=24),
    compute=ComputeOptions(batch_size=4, workers=1),
)


def analyzed(path, progress=None):
    analyze_model("demo", "demo", path, None, ("scan",), SETTINGS, progress or Silence())
    return path


def content(path):
    """All rows of all tables, but for the times of runs."""
    with sqlite3.connect(path) as db:
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        found = {name: sorted(map(repr, db.execute(f"SELECT * FROM {name}"))) for name in tables if name != "run"}
    db.close()
    return found


class Looking(Silence):
    """Reads the study whenever some examples are done."""

    def __init__(self, path):
        self.path, self.seen = path, []

    def advance(self, items):
        with Reader(self.path) as reader, reader.reading() as db:
            examples = {n for (n,) in db.execute("SELECT examples FROM provisional")}
            pictures = db.execute("SELECT count(*) FROM example_picture").fetchone()[0]
            maxima = [reader.statistics("head").max.max()] if examples else []
            self.seen.append((examples, pictures, maxima))


@pytest.mark.slow
def test_what_is_known_so_far_can_be_read_and_the_end_is_as_without(tmp_path, monkeypatch):
    plain = analyzed(tmp_path / "plain.lurk")
    monkeypatch.setattr(previews, "FIRST_AFTER", 0.0)
    monkeypatch.setattr(previews, "SHARE", 1e9)
    monkeypatch.setattr(scan, "SHARD_EXAMPLES", 8)
    looking = Looking(tmp_path / "shown.lurk")
    shown = analyzed(looking.path, looking)
    counts = [max(examples) for examples, _, _ in looking.seen if examples]
    assert counts == sorted(counts)
    assert {8, 16, 24, 32, 40} <= set(counts)
    assert max(pictures for _, pictures, _ in looking.seen) > 0
    maxima = [float(found[0]) for _, _, found in looking.seen if found]
    assert maxima == sorted(maxima)
    assert content(shown) == content(plain)
    assert not check(shown).problems


@pytest.mark.parametrize("cost", [0.001, 2.0, 40.0])
def test_previews_take_a_small_share_of_the_time(cost):
    now, spent = [0.0], 0.0
    pace = previews.Pace(cost, lambda: now[0])
    for _ in range(50_000):
        now[0] += 0.1
        if pace.due():
            with pace.measured():
                now[0] += cost
            spent += cost
    assert 0 < spent <= previews.SHARE * now[0]


class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.beside = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(3, 2, 1)
        self.second, self.depthwise = nn.Conv2d(6, 3, 3), nn.Conv2d(3, 3, 3, groups=3)

    def forward(self, x):
        return self.second(torch.cat([self.first(x), self.beside(x)], 1)) + self.depthwise(x).mean()


def test_kernels_are_those_of_convolutions_that_read_the_input():
    network = Branching()
    found = survey(network, torch.zeros(1, 3, 9, 9))
    kernels = input_kernels(network, found, found.layers)
    assert set(kernels) == {"first", "beside"}
    assert kernels["first"] == pytest.approx(network.first.weight.detach().numpy())
