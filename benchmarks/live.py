"""Frames a second and latency of the Live page, end to end: camera, browser, server, model, and what is drawn.

python benchmarks/live.py [WEIGHTS.safetensors] [FOLDER OF IMAGES]

SqueezeNet (with random weights unless some are given) beside a study of a few examples, served by `torchlurk serve`; a real
Chromium whose camera plays a recorded stream of pictures (the demo's, or those of a folder), slowly panned over. Shown are
the 512 maps of 13 x 13 of `features.12`, one of them large, its back-projection, and five predictions. The figures are
those that the page shows: from the moment at which a frame is taken from the camera to that at which its answer is drawn.
The aim is 12 frames a second and 200 ms on two cores.
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
from statistics import median
from typing import Any

import psutil
from PIL import Image

from torchlurk.inputs.demo.world import DemoWorld

LAYER, UNIT = "features.12", 100
METHODS = ("deconv", "guided", "lrp")
CAMERA = (640, 480)
SHOTS, STEPS = 8, 30
EXAMPLES = 24
WARM_UP, MEASURED, EVERY = 6.0, 12.0, 1.0
"""Seconds."""


def main() -> None:
    """Prints the table, or why there is none."""
    browser = os.environ.get("TORCHLURK_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        print("no Chromium on PATH or in TORCHLURK_CHROMIUM: nothing measured")
        return
    weights = sys.argv[1] if len(sys.argv) > 1 else "random"
    images = sys.argv[2] if len(sys.argv) > 2 else None
    with tempfile.TemporaryDirectory() as thrown_away:
        folder = Path(thrown_away)
        record(folder / "camera.mjpeg", images)
        path = study(folder / "squeezenet.lurk", weights)
        with serving(path, weights) as (url, server):
            print(f"{'':<22}{'frames/s':>9}{'median ms':>11}{'server cores':>14}{'browser cores':>15}{'load':>7}")
            for name, query in cases():
                found = measured(browser, folder / "camera.mjpeg", f"{url}#/squeezenet/live?source=camera&{query}", server)
                print(f"{name:<22}" + "{:>9.1f}{:>11.0f}{:>14.2f}{:>15.2f}{:>7.1f}".format(*found))


def cases() -> list[tuple[str, str]]:
    """What is looked at, and the address that says so."""
    unit = f"unit={LAYER}:{UNIT}"
    return [*((method, f"{unit}&method={method}") for method in METHODS), ("overlay", f"{unit}&overlay=1")]


def measured(browser: str, camera: Path, address: str, server: psutil.Process) -> tuple[float, float, float, float, float]:
    """Medians of what the page shows, and the cores that server and browser kept busy, and the load of the machine."""
    from playwright.sync_api import sync_playwright

    flags = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
    sandbox = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    flags += [f"--use-file-for-fake-video-capture={camera}", *sandbox]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=flags)
        page = chromium.new_page(viewport={"width": 1280, "height": 800})
        page.goto(address)
        page.wait_for_function("() => /frames/.test(document.querySelector('.pace')?.innerText ?? '')")
        page.wait_for_timeout(1000 * WARM_UP)
        here = psutil.Process()
        before = busy(server), busy(here) - busy(server)
        shown = []
        for _ in range(round(MEASURED / EVERY)):
            page.wait_for_timeout(1000 * EVERY)
            shown.append([float(one) for one in re.findall(r"[\d.]+", page.locator(".pace").inner_text())])
        spent = [after - earlier for after, earlier in zip((busy(server), busy(here) - busy(server)), before, strict=True)]
        chromium.close()
    rate, latency = (median(one[index] for one in shown) for index in (0, 1))
    return rate, latency, spent[0] / MEASURED, spent[1] / MEASURED, psutil.getloadavg()[0]


def busy(process: psutil.Process) -> float:
    """Seconds of processor time of a process and of those that it started; the server is one of ours, as the browser is."""
    spent = 0.0
    for one in (process, *process.children(recursive=True)):
        try:
            times = one.cpu_times()
        except psutil.NoSuchProcess:
            continue
        spent += times.user + times.system
    return spent


def record(path: Path, images: str | None) -> None:
    """A stream of JPEGs, as a camera gives it."""
    with path.open("wb") as file:
        for picture in pictures(images):
            scale = 1.2 * max(CAMERA[0] / picture.width, CAMERA[1] / picture.height)
            large = picture.resize((round(picture.width * scale), round(picture.height * scale)))
            for step in range(STEPS):
                x = (large.width - CAMERA[0]) * step // (STEPS - 1)
                y = (large.height - CAMERA[1]) * step // (STEPS - 1)
                large.crop((x, y, x + CAMERA[0], y + CAMERA[1])).save(file, "JPEG", quality=88)


def pictures(images: str | None) -> Iterator[Any]:
    """A few, from a folder or of the demo."""
    if images is None:
        world = DemoWorld(SHOTS)
        yield from (Image.fromarray(world.read(shot).values) for shot in range(SHOTS))
        return
    for path in sorted(Path(images).glob("*.jpg"))[:SHOTS]:
        with Image.open(path) as image:
            yield image.convert("RGB")


def study(path: Path, weights: str) -> Path:
    """A study of the one layer."""
    command = ["analyze", "torchvision:squeezenet1_1", "demo", "--weights", weights, "--layers", LAYER]
    command += ["--limit", str(EXAMPLES), "--stages", "scan", "--out", str(path)]
    subprocess.run(
        [sys.executable, "-m", "torchlurk", *command], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    return path


@contextmanager
def serving(path: Path, weights: str) -> Iterator[tuple[str, psutil.Process]]:
    """`torchlurk serve` with the model, on a free port; its address and its process."""
    model = ["--model", "torchvision:squeezenet1_1", "--weights", weights]
    command = [sys.executable, "-u", "-m", "torchlurk", "serve", str(path), *model, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            told = ""
            for line in process.stdout:
                told += line
                found = re.search(r"http://\S+", line)
                if found is not None:
                    yield found[0], psutil.Process(process.pid)
                    break
            else:
                raise SystemExit(told)
        finally:
            process.kill()


if __name__ == "__main__":
    main()
