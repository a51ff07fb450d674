"""How far long work is: in a notebook a bar, in a log a line, to a program what it asks for."""

from __future__ import annotations

import re

import pytest
from torch import nn

import torchlurk as tl
from torchlurk.cli.progress import Lines
from torchlurk.jobs import Silence
from torchlurk.progress import CellBar, Pace, in_notebook, watcher

capture = pytest.importorskip("IPython.utils.capture", reason="needs IPython")


@pytest.fixture
def shell():
    """An IPython in this process, whose output is captured."""
    from IPython.core.interactiveshell import InteractiveShell

    yield InteractiveShell.instance()
    InteractiveShell.clear_instance()


def test_outside_a_notebook_nothing_is_shown_and_a_program_has_its_own(shell) -> None:
    assert not in_notebook()  # IPython alone is a terminal
    assert isinstance(watcher(None), Silence)
    own = Silence()
    assert watcher(own) is own


def test_a_bar_says_how_far_how_fast_and_for_how_long(shell) -> None:
    now = [100.0]
    with capture.capture_output() as shown:
        bar = CellBar(lambda: now[0])
        bar.begin("scan <all>", 40, done=10)
        for _ in range(20):
            now[0] += 0.05
            bar.advance(1)
        bar.end()
        bar.say("a line")
    html = [one.data["text/html"] for one in shown.outputs]
    assert len(html) == 1 + 4 + 1  # it changes five times a second at most, and at last
    assert 'value="10" max="40"' in html[0]
    assert 'value="30" max="40"' in html[-1]
    assert "scan &lt;all&gt;: 30 of 40 (20.0/s, 0 s left)" in html[-1]
    assert shown.outputs[-1].data["text/plain"] == "scan <all>: 30 of 40 (20.0/s, 0 s left)"
    assert shown.stdout == "a line\n"


def test_a_log_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines()
    lines.begin("scan", 4)
    lines.advance(3)
    lines.end()
    assert re.fullmatch(r"scan: 3 of 4 \(.*/s, \d+ s left\)\n", capsys.readouterr().err)
    assert Pace("scan", 4, 4, 0, 1.0).words(3.0) == "scan: 4 of 4 (2.0/s)"


def test_an_analysis_in_a_notebook_shows_each_stage(shell, monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setattr(shell, "kernel", object(), raising=False)
    with capture.capture_output() as shown:
        tl.analyze(
            nn.Sequential(nn.Conv2d(3, 2, 8, 8)).eval(), tl.drawn(4), tmp_path / "a.lurk", device="cpu", resize=16
        ).close()
    last = [one.data["text/plain"] for one in shown.outputs]
    assert any(one.startswith("scan: 4 of 4") for one in last), last


def test_a_study_in_a_notebook_is_its_layers_by_their_units(demo, sequences, tmp_path) -> None:
    for path in (demo, *sequences.values()):
        with tl.open(path) as study:
            assert study._repr_png_().startswith(b"\x89PNG")
            assert study.overview().width == study.layers[0].picture().width
