"""A small folder of pictures, a small model in a file, the command line as a user calls it, and a real browser."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import pytest
from PIL import Image

import torchlurk as package
from torchlurk.cli import main

APP = Path(package.__file__).parent / "web" / "app" / "index.html"
AXE = Path(__file__).parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MODEL = """
import torch
from torch import nn
import torch.nn.functional as F
from torchlurk.records import Preprocessing

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 12, 3, stride=2)
        self.fc = nn.Linear(12, 4)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.conv2(F.max_pool2d(x, 2)).relu_()
        return self.fc(x.mean((2, 3)))

def net():
    torch.manual_seed(3)
    return Net(), Preprocessing(mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))
"""

MILLISECONDS = 60_000
"""So long a page may take to do what is expected of it: a busy machine is slow, and what is there is seen at once."""

CLASSES = ("blobs", "grid", "noise", "stripes")


@dataclass(frozen=True)
class Outcome:
    status: int
    out: str
    err: str


@pytest.fixture(scope="session")
def torchlurk():
    """Calls the command line in a process of its own."""

    def call(*arguments, cwd=None, environment=None):
        done = subprocess.run(
            [sys.executable, "-m", "torchlurk", *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            cwd=cwd,
            env=os.environ | {"OMP_NUM_THREADS": "1"} | (environment or {}),
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    return call


@pytest.fixture
def here(capfd, monkeypatch):
    """Calls the command line in this process, which saves loading torch: for commands that come to their end at once."""
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")  # which the command would set for good

    def call(*arguments):
        capfd.readouterr()
        try:
            main([str(one) for one in arguments])
            status = 0
        except SystemExit as ended:
            status = ended.code
        return Outcome(status, *capfd.readouterr())

    return call


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> str:
    """The MODEL of a small network with functional ReLU."""
    path = tmp_path_factory.mktemp("model") / "small.py"
    path.write_text(MODEL)
    return f"{path}:net"


@pytest.fixture(scope="session")
def pictures(tmp_path_factory) -> Path:
    """A folder of 96 pictures in four classes."""
    folder = tmp_path_factory.mktemp("pictures")
    draw(folder, 24)
    return folder


def draw(folder: Path, each: int) -> None:
    """Writes `each` 24 × 24 pictures of every class."""
    for number, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for index in range(each):
            random = np.random.default_rng([number, index])
            y, x = np.mgrid[:24, :24]
            wave = {
                "blobs": np.exp(-((y - random.integers(24)) ** 2 + (x - random.integers(24)) ** 2) / 20),
                "grid": ((y % 6 < 2) | (x % 6 < 2)).astype(float),
                "noise": random.random((24, 24)),
                "stripes": np.sin(x * random.uniform(0.3, 2)) / 2 + 0.5,
            }[name]
            colour = random.random(3)
            pixels = (wave[..., None] * colour + random.random((24, 24, 3)) * 0.1).clip(0, 1) * 255
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{index:03}.png")


@pytest.fixture(scope="module")
def browser_flags():
    """What a test file gives to its Chromium besides."""
    return []


@pytest.fixture(scope="module")
def chromium(browser_flags):
    """A Chromium that is installed; none is downloaded."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the Python package playwright")
    found = os.environ.get("TORCHLURK_CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip("needs a Chromium on PATH or in TORCHLURK_CHROMIUM")
    if not APP.exists():
        pytest.skip("needs the built web app (make test builds it)")
    # Started by root, as in a container, Chromium refuses its sandbox.
    sandbox = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    playwright.expect.set_options(timeout=MILLISECONDS)
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=found, args=[*sandbox, *browser_flags])
        yield browser
        browser.close()


class Tab:
    """A page of the browser that remembers what went wrong on it."""

    def __init__(self, page, base):
        self.page, self.base, self.faults, self.asked = page, base, [], []
        page.on("console", lambda said: said.type in ("error", "warning") and self._note(said.text))
        page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        page.on("requestfailed", self._failed)
        page.on("response", lambda one: one.status >= 400 and self.faults.append(f"{one.status} for {one.url}"))
        page.on("request", lambda one: self.asked.append(one.url))
        page.on("dialog", lambda dialog: (self.faults.append(f"dialog: {dialog.message}"), dialog.dismiss()))

    def _note(self, said):
        # Svelte's remark that a part which is leaving the page read a value once more: nothing of it is shown.
        if not said.endswith("/e/derived_inert"):
            self.faults.append(f"console: {said}")

    def _failed(self, request):
        # What is no longer wanted (an image of a page that was left, the stream of events) is given up by the browser itself.
        if request.failure != "net::ERR_ABORTED":
            self.faults.append(f"{request.failure} for {request.url}")

    def open(self, route):
        self.page.goto("about:blank")
        self.page.goto(self.base + route)
        self.page.locator("main h1, main [role=alert]").first.wait_for()
        return self.page

    def shown(self):
        return self.page.evaluate("location.hash")

    def serious_faults(self):
        """What axe finds wrong for people who see or move otherwise."""
        if not AXE.exists():
            pytest.skip("needs axe-core (npm ci in web/)")
        self.page.evaluate(AXE.read_text())
        found = self.page.evaluate("axe.run().then((all) => all.violations)")
        return [
            (one["id"], [node["html"] for node in one["nodes"]][:3])
            for one in found
            if one["impact"] in ("serious", "critical")
        ]


@pytest.fixture(scope="session")
def running():
    """Runs a command that says where it serves, in a process of its own, for as long as it is used; gives its address."""
    return serve


@contextmanager
def serve(*arguments, port=0):
    command = [sys.executable, "-u", "-m", "torchlurk", *map(str, arguments), "--port", str(port)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment) as process:
        try:
            told = []
            for line in process.stdout:
                told.append(line)
                if found := re.search(r"http://\S+", line):
                    break
            else:
                raise AssertionError("".join(told))
            threading.Thread(target=process.stdout.read, daemon=True).start()
            yield found[0]
        finally:
            process.kill()


@pytest.fixture(scope="session")
def free_port():
    """Finds a port that nobody listens on, for a server that is to be started there more than once."""

    def found():
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            return one.getsockname()[1]

    return found


@pytest.fixture
def serving():
    """Runs commands that serve, until the end of the test."""
    with ExitStack() as stack:
        yield lambda *arguments: stack.enter_context(serve(*arguments))


@pytest.fixture
def tab_of(chromium, serving):
    """Opens a tab on an address; at the end, while the server is still there, nothing may have failed in it."""
    tabs = []

    def open_tab(base, *, width=1280, theme="light"):
        context = chromium.new_context(viewport={"width": width, "height": 800}, color_scheme=theme)
        context.set_default_timeout(MILLISECONDS)
        tabs.append(Tab(context.new_page(), base))
        return tabs[-1]

    yield open_tab
    for tab in tabs:
        tab.page.context.close()
    assert [fault for tab in tabs for fault in tab.faults] == []


@pytest.fixture
def tab(tab_of, served):
    """Opens a tab on what the module's fixture `served` serves."""
    return tab_of(served)


@pytest.fixture(scope="module")
def document(served):
    """Reads one of the JSON documents that the app reads, by its path: the study's slug, then its own."""

    def read(path):
        with urlopen(f"{served}data/{path}") as answer:
            return json.load(answer)

    return read


@pytest.fixture(scope="module")
def unit_of(document):
    """Reads what a study says of a unit, by the study's slug and the unit's address."""

    def read(slug, address):
        layer, _, channel = address.rpartition(":")
        ids = {one["name"]: one["id"] for one in document(f"{slug}/study.json")["layers"]}
        return document(f"{slug}/layers/{ids[layer]}/units/{channel}.json")

    return read
