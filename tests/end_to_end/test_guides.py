"""Guides run as they are written: files are saved, Python is run, and so is each command, from top to bottom."""

import os
import re
import runpy
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import torchlurk as tl

pytestmark = pytest.mark.slow

GUIDES = Path(__file__).parents[2] / "docs" / "how-to"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# (\w+\.py)\n")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where a guide is followed; what it imports is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def follow(folder, torchlurk):
    """Runs the blocks of a page in order."""

    def run(command):
        program, *arguments = shlex.split(command)
        if program == "python":
            runpy.run_path(str(folder / arguments[0]), run_name="__main__")
        elif arguments[0] == "serve":
            assert_serves(arguments)
        else:
            done = torchlurk(*arguments)
            assert done.status == 0, f"{command}: {done.err}"

    def follow_page(page):
        for language, text in BLOCK.findall(page.read_text()):
            if language == "python" and (named := FILE.match(text)):
                (folder / named.group(1)).write_text(text)
            elif language == "python":
                exec(compile(text, page.name, "exec"), {})
            elif language != "text":  # what a command prints
                for command in text.splitlines():
                    run(command)

    return follow_page


def assert_serves(arguments):
    """It prints its address, and Ctrl-C ends it."""
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)  # tests in the background may ignore it
    command = [sys.executable, "-um", "torchlurk", *arguments, "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ | {"DISPLAY": ""}
    ) as process:
        signal.signal(signal.SIGINT, usual)
        assert process.stdout is not None
        line = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        rest = process.communicate(timeout=60)[0]
    assert "http://127.0.0.1:" in line, line + rest
    assert process.returncode == 130, rest


def test_the_guide_to_recurrent_networks_runs_from_top_to_bottom(follow, folder):
    follow(GUIDES / "recurrent-networks.md")
    with tl.open(folder / "characters.lurk") as study:
        streams = ["rnn.l0", *(f"rnn.l0.{one}" for one in "cifgo")]
        assert [layer.name for layer in study.layers] == [*streams, "head"]
        for exemplar in study.unit("rnn.l0:7").exemplars("max"):
            assert exemplar.reach == (0, exemplar.position[0] + 1)  # it has seen the past in its window and itself
        assert study.unit("rnn:7").to_json()["layer"] == "rnn.l0"
    with tl.open(folder / "words.lurk") as study:
        assert {"rnn.l0.f", "rnn.l1", "rnn.l1.c", "decoder"} <= {layer.name for layer in study.layers}
        assert study.unit("rnn.l1:5").exemplars("max")[0].token in (folder / "corpus.txt").read_text() + "<eos>"
    with tl.open(folder / "series.lurk") as study:
        lengths = {example: len(values) for example, values in study.unit("rnn.l0:3").steps().traces.items()}
        assert len(set(lengths.values())) > 1
        for exemplar in study.unit("rnn.l0_reverse:3").exemplars("max"):
            assert exemplar.reach[0] == exemplar.position[0]  # it has read from the end
        assert [name for name, _ in sorted(study.unit("rnn.l0:3").classes("max"))] == ["sine", "square"]
    with tl.open(folder / "steps.lurk") as study:
        assert {layer.name for layer in study.layers} == {"step.gru.l0", "step.gru.l0.r", "step.gru.l0.z", "step.gru.l0.n"}


def test_a_cell_written_by_hand_is_the_cell_that_the_guide_says_it_is():
    import torch
    from torch import nn

    i2h, cell = nn.Linear(7 + 5, 5), nn.RNNCell(7, 5)
    with torch.no_grad():
        cell.weight_ih.copy_(i2h.weight[:, :7])
        cell.weight_hh.copy_(i2h.weight[:, 7:])
        cell.bias_ih.copy_(i2h.bias)
        cell.bias_hh.zero_()
    input, hidden = torch.randn(3, 7), torch.randn(3, 5)
    torch.testing.assert_close(cell(input, hidden), torch.tanh(i2h(torch.cat((input, hidden), 1))))
