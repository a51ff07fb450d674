"""Killed at any moment and continued, an analysis ends with the same study."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CAMPAIGN = Path(__file__).parents[2] / "campaigns" / "interruptions.py"


@pytest.mark.slow
def test_killed_again_and_again_each_stage_ends_with_the_study_of_one_that_was_not():
    done = subprocess.run(
        [sys.executable, CAMPAIGN, "--cases", "small", "--ways", "chained"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told = done.stdout.splitlines()
    assert [line.split(", ")[1] for line in told] == ["scan", "attribute", "synthesize"]
    assert all(line.endswith(", all studies the same") and " 0 kills" not in line for line in told)
