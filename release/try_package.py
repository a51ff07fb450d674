"""Builds the wheel and the source distribution, and tries both as a user gets them: in an environment of their own.

    python release/try_package.py            # builds both into dist/
    python release/try_package.py --built    # tries what is in dist/

Prints a line for each thing that was tried, with its time; ends with status 1 at the first that fails.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
DIST = ROOT / "dist"
CONSTRAINTS = ROOT / "constraints.txt"
NOTEBOOK = ROOT / "docs" / "notebooks" / "first-look.ipynb"
LARGEST = 80e6
"""Bytes that the package and what it needs may add to an environment that has torch and NumPy."""

APP = ("torchlurk/web/app/index.html", "torchlurk/py.typed")
"""Some of what is installed without being a module."""


class Environment:
    """A virtual environment, and a folder outside the clone where its programs run."""

    def __init__(self, folder: Path):
        self.folder, self.work = folder / "venv", folder / "work"
        self.work.mkdir()
        self.programs = self.folder / ("Scripts" if os.name == "nt" else "bin")
        kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
        self.variables = kept | {"PYTHONSAFEPATH": "1"}
        subprocess.run([sys.executable, "-m", "venv", self.folder], check=True)

    def run(self, program: str, *arguments: str | Path) -> str:
        """What the program prints; what it said besides where it fails."""
        command = [str(self.programs / program), *map(str, arguments)]
        done = subprocess.run(command, cwd=self.work, env=self.variables, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{program} {' '.join(map(str, arguments))} failed:\n{done.stdout}{done.stderr}")
        return done.stdout

    def fresh(self, name: str) -> Path:
        """An empty folder."""
        folder = self.work / name
        folder.mkdir()
        return folder

    def install(self, *requirements: str | Path) -> None:
        """Installs with the tested versions, so that what is tried here is what the tests ran with."""
        self.run("python", "-m", "pip", "install", "--quiet", "--constraint", CONSTRAINTS, *requirements)

    def packages(self) -> Path:
        return Path(self.run("python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())

    def installed(self) -> set[str]:
        """The files of the package, as pip lists them, without what belongs to this one installation."""
        record = next(self.packages().glob("torchlurk-*.dist-info/RECORD"))
        with record.open(newline="") as lines:
            return {row[0] for row in csv.reader(lines) if row[0].startswith("torchlurk/") and "__pycache__" not in row[0]}


def size(folder: Path) -> int:
    """Bytes of all files below the folder, without what Python compiles."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")


def build() -> None:
    """Makes the wheel and the source distribution anew."""
    for old in [*DIST.glob("*.whl"), *DIST.glob("*.tar.gz")]:
        old.unlink()
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-d", DIST], cwd=ROOT, check=True, capture_output=True)


def holds_the_app(wheel: Path, source: Path) -> None:
    """Fails where the app or another file that is no module is missing in one of the two."""
    with zipfile.ZipFile(wheel) as packed:
        missing = set(APP) - set(packed.namelist())
    with tarfile.open(source) as packed:
        inside = {name.partition("/")[2] for name in packed.getnames()}
    missing |= {f"src/{name}" for name in APP} - inside
    if missing:
        raise SystemExit(f"not packed: {', '.join(sorted(missing))}")


@contextmanager
def served(environment: Environment, study: str) -> Iterator[str]:
    """The address at which `torchlurk serve` answers."""
    command = [environment.programs / "torchlurk", "serve", study, "--port", "0"]
    process = subprocess.Popen(command, cwd=environment.work, env=environment.variables, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if found := re.search(r"http://127\.0\.0\.1:\d+/", line):
                yield found.group()
                return
        raise SystemExit("torchlurk serve ended before it named an address")
    finally:
        process.terminate()
        process.wait()


def get(address: str) -> bytes:
    with urllib.request.urlopen(address, timeout=30) as answer:
        body: bytes = answer.read()
    return body


def shows_the_app(environment: Environment) -> None:
    """The page, everything that it names, and the list of studies come from the server."""
    with served(environment, "demo.lurk") as address:
        page = get(address).decode()
        for name in re.findall(r'(?:src|href)="\./([^"]+)"', page):
            get(address + name)
        if not json.loads(get(f"{address}data/studies.json"))["studies"]:
            raise SystemExit("the server lists no study")


def executed(environment: Environment) -> None:
    """The first notebook runs from its first cell to its last."""
    environment.install("nbclient", "ipykernel", "nbformat")
    run = (
        "import json, nbformat, nbclient, sys; notebook = nbformat.read(sys.argv[1], 4);"
        " nbclient.NotebookClient(notebook, timeout=600, resources=json.loads(sys.argv[2])).execute()"
    )
    own = {"metadata": {"path": str(environment.fresh("notebook"))}}
    environment.run("python", "-c", run, NOTEBOOK, json.dumps(own))


def same_files(environment: Environment, source: Path) -> None:
    """The source distribution installs the files that the wheel does."""
    from_wheel = environment.installed()
    environment.install("--force-reinstall", "--no-deps", source)
    if differing := from_wheel ^ environment.installed():
        raise SystemExit(f"wheel and source distribution differ in {', '.join(sorted(differing)[:5])}")


def said(what: str, action: Callable[[], object]) -> None:
    """Does it and prints what it was and how long it took."""
    started = time.monotonic()
    action()
    print(f"{time.monotonic() - started:6.1f} s  {what}", flush=True)


def main() -> None:
    """Everything in order."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--built", action="store_true", help="try the files that are in dist/")
    if not parser.parse_args().built:
        said("build the wheel and the source distribution", build)
    wheel, source = next(DIST.glob("*.whl")), next(DIST.glob("*.tar.gz"))
    holds_the_app(wheel, source)
    with tempfile.TemporaryDirectory() as folder:
        environment = Environment(Path(folder))
        said("install torch and NumPy", lambda: environment.install("torch", "numpy"))
        before = size(environment.packages())
        said(f"install {wheel.name}", lambda: environment.install(wheel))
        added = size(environment.packages()) - before
        print(f"{added / 1e6:6.1f} MB the wheel and what it needs, of {LARGEST / 1e6:.0f} at most")
        if added > LARGEST:
            raise SystemExit("too much is installed")
        where = environment.run("python", "-c", "import torchlurk; print(torchlurk.__file__)").strip()
        if not Path(where).is_relative_to(environment.packages()):
            raise SystemExit(f"not the installed package was tried, but {where}")
        lurk = environment.run
        said("torchlurk demo --no-serve", lambda: lurk("torchlurk", "demo", "--no-serve", "--out", "demo.lurk"))
        said("torchlurk check", lambda: lurk("torchlurk", "check", "demo.lurk"))
        said("torchlurk show", lambda: lurk("torchlurk", "show", "demo.lurk", "block2:24", "--out", "unit.png"))
        said("torchlurk export", lambda: lurk("torchlurk", "export", "demo.lurk", "site"))
        said("torchlurk serve, and the app from it", lambda: shows_the_app(environment))
        if NOTEBOOK.exists():
            said(f"the notebook {NOTEBOOK.name}", lambda: executed(environment))
        said(f"install {source.name}: the same files", lambda: same_files(environment, source))
        said("torchlurk show, from the source distribution", lambda: lurk("torchlurk", "show", "demo.lurk", "block2:24"))


if __name__ == "__main__":
    main()
