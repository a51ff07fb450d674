"""The built web app, as it lies in the package."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from torchlurk.resources.tree import Resource

BUILT = "app"
"""The folder that the package's build writes; it is not there where the build was skipped."""

MEDIA_TYPES = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
    "json": "application/json",
    "png": "image/png",
    "woff2": "font/woff2",
}
HASHED = "assets/"
"""Below it, names change with the content."""


@cache
def app_files() -> dict[str, Resource]:
    """All files of the app by path; none where it was not built. Everything is read once: no request reaches the disk."""
    root = files(__package__).joinpath(BUILT)
    return dict(_below(root, "")) if root.is_dir() else {}


def _below(folder: Traversable, prefix: str) -> list[tuple[str, Resource]]:
    found: list[tuple[str, Resource]] = []
    for one in folder.iterdir():
        path = f"{prefix}{one.name}"
        ending = one.name.rpartition(".")[2]
        if one.is_dir():
            found += _below(one, f"{path}/")
        elif ending in MEDIA_TYPES:
            found.append((path, Resource(MEDIA_TYPES[ending], one.read_bytes(), path.startswith(HASHED))))
    return sorted(found)
