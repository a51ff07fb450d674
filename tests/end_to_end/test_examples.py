"""The examples run as they are, and print what they promise."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "arguments", "says"),
    [
        ("quickstart.py", ["60"], "selectivity"),
        pytest.param("own_dataset.py", [], "second:3 likes", marks=pytest.mark.slow),
    ],
)
def test_an_example_runs(script, arguments, says, tmp_path):
    command = [sys.executable, "-W", "error", EXAMPLES / script, tmp_path / "s.lurk", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    assert says in done.stdout
