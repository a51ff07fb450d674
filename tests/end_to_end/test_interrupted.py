"""Ctrl-C: what is kept is said, and it ends the command wherever it falls."""

import os
import signal
import subprocess
import sys
import time

import pytest

SWALLOWS = """
import os, signal, threading, time
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        swallowed = 0
        while swallowed < 2:
            try:
                os.kill(os.getpid(), signal.SIGINT) if not swallowed else time.sleep(600)
            except:
                swallowed += 1
        time.sleep(600)
        return self.conv(x)
"""


@pytest.mark.slow
def test_an_interruption_that_a_model_swallows_is_raised_again(pictures, tmp_path):
    (tmp_path / "net.py").write_text(SWALLOWS)
    command = ["analyze", f"{tmp_path / 'net.py'}:Net", str(pictures), "--out", str(tmp_path / "s.lurk")]
    done = subprocess.run(
        [sys.executable, "-m", "torchlurk", *command], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode in (130, -signal.SIGINT)
    assert done.stderr.endswith("torchlurk: interrupted: what was computed is kept; rerun the same command to continue\n")
    assert "Traceback" not in done.stderr


def test_one_that_is_on_its_way_is_left_alone(monkeypatch):
    from torchlurk.cli import interrupting

    monkeypatch.setattr(interrupting, "AGAIN_AFTER", 0.02)
    saved = []

    @interrupting.insisting()
    def interrupted():
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
        finally:
            time.sleep(0.2)
            saved.append(True)

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert saved
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
