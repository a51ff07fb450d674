"""`serve`, `demo` and `analyze --serve` as a user calls them."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

PATIENCE = 90
ADDRESS = re.compile(r"(http://127\.0\.0\.1:\d+/)")

pytestmark = pytest.mark.slow


@pytest.fixture
def start(tmp_path):
    """Starts a command in the background; returns it and a way to wait for the address that it prints."""
    running = []
    # What runs the tests in the background may ignore Ctrl-C, and what it starts would do so too.
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)

    def begin(*arguments):
        log = tmp_path / f"log{len(running)}.txt"
        with log.open("w") as to:
            process = subprocess.Popen(
                [sys.executable, "-m", "torchlurk", *map(str, arguments)],
                stdout=to,
                stderr=subprocess.STDOUT,
                env=os.environ | {"OMP_NUM_THREADS": "1", "DISPLAY": ""},
            )
        running.append(process)
        return process, log

    yield begin
    signal.signal(signal.SIGINT, usual)
    for process in running:
        process.kill()
        process.wait()


def address(process, log):
    """The address that is printed, sooner or later."""
    give_up = time.monotonic() + PATIENCE
    while time.monotonic() < give_up and process.poll() is None:
        if found := ADDRESS.search(log.read_text()):
            return found.group(1)
        time.sleep(0.1)
    raise AssertionError(log.read_text())


def studies(url):
    with urllib.request.urlopen(f"{url}data/studies.json", timeout=30) as answer:
        return json.load(answer)["studies"]


def test_serve_prints_its_address_and_ends_with_ctrl_c(start, demo):
    process, log = start("serve", demo, "--port", 0)
    url = address(process, log)
    (card,) = studies(url)
    assert card["model"] == "demo"
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE) == 130
    assert "Traceback" not in log.read_text()
    assert "torchlurk: interrupted" in log.read_text()


def test_a_taken_port_is_said_so(start, demo):
    first, log = start("serve", demo, "--port", 0)
    port = int(address(first, log).rstrip("/").rpartition(":")[2])
    second, other = start("serve", demo, "--port", port)
    assert address(second, other) != address(first, log)
    assert f"port {port} is taken" in other.read_text()


def test_what_is_no_study_is_said_in_one_line(torchlurk, tmp_path):
    (tmp_path / "x.lurk").write_text("no")
    done = torchlurk("serve", tmp_path / "x.lurk", tmp_path / "y.lurk")
    assert done.status == 2
    assert done.err.count("\n") == 1
    assert torchlurk("export", tmp_path / "y.lurk", tmp_path / "site").status == 2
    assert not (tmp_path / "site").exists()


def test_analyze_serves_meanwhile_and_goes_on(start, model, pictures, tmp_path):
    process, log = start("analyze", model, pictures, "--out", tmp_path / "s.lurk", "--stages", "scan", "--serve", "--port", 0)
    url = address(process, log)
    give_up = time.monotonic() + PATIENCE
    while not (found := studies(url)) or not found[0]["stages"][0]["finished"]:
        assert time.monotonic() < give_up
        time.sleep(0.2)
    with urllib.request.urlopen(f"{url}data/s/layers/0.json", timeout=30) as answer:
        assert len(json.load(answer)["statistics"]["max"]) == 8
    with urllib.request.urlopen(f"{url}image", timeout=30) as answer:
        assert json.load(answer) == {"studies": {"s": {"model": model}}}  # the pages Image and Live have what they need
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE) == 130
    assert "Traceback" not in log.read_text()
