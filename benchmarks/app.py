"""How soon the pages of large studies are there, how smoothly they scroll and how much they hold, in a real Chromium.

python benchmarks/app.py [FOLDER]

Makes studies of ResNet-50 (42,664 units), ResNet-152 and DenseNet-201 with random weights on a few demo pictures, in FOLDER
or one that is thrown away, and serves them. "First" is the first time that the server is asked for the page, "again" the next
time, by a browser that knows nothing. The limit is one second for Home, Layer and Unit.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

MODELS = ("resnet50", "resnet152", "densenet201")
EXAMPLES = 40
SETTLE = 1500
"""Milliseconds after which a page's memory and elements are counted."""

PAGES = (
    ("Home", "#/", ".cover img"),
    ("Layer, 2,048 units", "#/resnet50/layer/layer4.2", ".grid a"),
    ("Unit", "#/resnet50/unit/layer4.2:1500", ".pictures img"),
    ("ResNet-152, folded", "#/resnet152?open=none", ".node"),
    ("ResNet-152, all open", "#/resnet152?open=all", ".node"),
    ("DenseNet-201, folded", "#/densenet201?open=none", ".node"),
    ("DenseNet-201, all open", "#/densenet201?open=all", ".node"),
)
"""What it is, its address, and the first thing there that is of use."""

WATCH = """
window.blocked = [];
new PerformanceObserver((list) => window.blocked.push(...list.getEntries().map((one) => one.duration)))
  .observe({ type: "longtask", buffered: true });
"""
HEAD = f"{'':24}{'first ms':>9}{'again ms':>9}{'longest block ms':>18}{'frame ms':>9}{'95 %':>7}{'heap MB':>9}{'elements':>10}"
SCROLL = """async () => {
  const frames = [];
  let last = performance.now();
  const end = last + 2500;
  while (last < end) {
    await new Promise(requestAnimationFrame);
    frames.push(performance.now() - last);
    last = performance.now();
    scrollBy(0, 160);
    if (innerHeight + scrollY >= document.documentElement.scrollHeight - 1) scrollTo(0, 0);
  }
  frames.sort((a, b) => a - b);
  return [frames[frames.length >> 1], frames[Math.floor(frames.length * 0.95)]];
}"""


def main() -> None:
    """Prints the table, or why there is none."""
    browser = os.environ.get("TORCHLURK_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        print("no Chromium on PATH or in TORCHLURK_CHROMIUM: nothing measured")
        return
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as thrown_away:
        folder = Path(sys.argv[1] if len(sys.argv) > 1 else thrown_away)
        studies = [study(model, folder) for model in MODELS]
        with serving(studies) as url, sync_playwright() as playwright:
            chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
            print(HEAD)
            for name, address, wanted in PAGES:
                first = measured(chromium, url + address, wanted)
                again = measured(chromium, url + address, wanted)
                print(
                    f"{name:<24}{first['ready']:>9.0f}{again['ready']:>9.0f}{again['blocked']:>18.0f}"
                    f"{again['frame']:>9.1f}{again['slow']:>7.1f}{again['heap']:>9.1f}{again['elements']:>10}"
                )
            chromium.close()


def measured(chromium: Any, address: str, wanted: str) -> dict[str, float]:
    """One visit by a browser that knows nothing: times in milliseconds, memory in megabytes."""
    context = chromium.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.add_init_script(WATCH)
    page.goto(address, wait_until="commit")
    page.wait_for_selector(wanted)
    ready = page.evaluate("performance.now()")
    page.wait_for_timeout(SETTLE)
    blocked = page.evaluate("Math.max(0, ...window.blocked)")
    devtools = context.new_cdp_session(page)
    devtools.send("HeapProfiler.collectGarbage")
    heap = devtools.send("Runtime.getHeapUsage")["usedSize"] / 1e6
    elements = page.evaluate("document.querySelectorAll('*').length")
    frame, slow = page.evaluate(SCROLL)
    context.close()
    return {"ready": ready, "blocked": blocked, "heap": heap, "elements": elements, "frame": frame, "slow": slow}


def study(model: str, folder: Path) -> Path:
    """A study of a model with random weights; made where it is not there."""
    path = folder / f"{model}.lurk"
    command = ["analyze", f"torchvision:{model}", "demo", "--weights", "random", "--limit", str(EXAMPLES), "--stages", "scan"]
    subprocess.run([sys.executable, "-m", "torchlurk", *command, "--out", str(path)], check=True, stdout=subprocess.DEVNULL)
    return path


@contextmanager
def serving(studies: list[Path]) -> Iterator[str]:
    """`torchlurk serve` on a free port; its address."""
    command = [sys.executable, "-u", "-m", "torchlurk", "serve", *map(str, studies), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            told = process.stdout.readline()
            found = re.search(r"http://\S+", told)
            if found is None:
                raise SystemExit(told)
            yield found[0]
        finally:
            process.kill()


if __name__ == "__main__":
    main()
