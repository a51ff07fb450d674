"""Campaigns: what a run records, and what is kept of those that were run."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from campaigns import recording

ROOT = Path(__file__).parents[1]
NAMES = sorted(file.stem for file in (ROOT / "campaigns").glob("*.py") if "recording.run(" in file.read_text())


def wrong():
    raise ValueError("one and one\nare three")


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a campaign of two cases with arguments; its exit status and the file that it may have written."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("needs git and a checkout: a result names the commit")
    monkeypatch.setattr(recording, "RESULTS", tmp_path)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["some", *arguments])
        with pytest.raises(SystemExit) as ended:
            recording.run("some", "About.", 3, {"right": dict, "wrong": wrong})
        return int(ended.value.code), tmp_path / "some.json"

    return call


def test_a_campaign_records_what_passed_and_what_did_not(run):
    status, file = run()
    found = json.loads(file.read_text())
    assert status == 1
    assert (found["seed"], found["passed"], found["failed"]) == (3, 1, 1)
    assert found["commit"]
    assert [(case["case"], case["passed"], case.get("said")) for case in found["cases"]] == [
        ("right", True, None),
        ("wrong", False, "ValueError: one and one"),
    ]


def test_some_of_the_cases_are_run_and_not_recorded(run):
    status, file = run("ri*")
    assert status == 0
    assert not file.exists()


def test_a_case_that_there_is_not_is_refused(run, capsys):
    assert run("nothing")[0] == 2
    assert "there are: right, wrong" in capsys.readouterr().err


@pytest.mark.parametrize("name", NAMES)
def test_each_campaign_is_described(name):
    assert f"`{name}`" in (ROOT / "campaigns" / "README.md").read_text()


@pytest.mark.parametrize("name", [name for name in NAMES if (recording.RESULTS / f"{name}.json").exists()])
def test_no_campaign_whose_result_is_kept_had_failures(name):
    result = json.loads((recording.RESULTS / f"{name}.json").read_text())
    assert result["passed"] > 0
    assert result["failed"] == 0
