"""A study as static files: the app and every resource, byte for byte as the server answers them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torchlurk.errors import OptionError, StorageError, TorchlurkError
from torchlurk.jobs import Progress, Silence
from torchlurk.resources.tree import Forest
from torchlurk.store.reading import Reader
from torchlurk.web import app_files

MARK = ".torchlurk-export"
"""A file that says that a folder holds nothing but an export, so that it may be written over."""


def export(studies: Sequence[Path], folder: Path, progress: Progress | None = None) -> int:
    """Writes the app with these studies into a folder, new, empty or an earlier export; returns how many files.

    Any static host can serve it, under any path. Raises `OptionError` for a folder with other things in it.
    """
    progress = progress or Silence()
    if not app_files():
        raise TorchlurkError("the web app was not built into this installation", "install Torchlurk from its wheel")
    _check(folder)
    readers = [Reader(path) for path in studies]
    try:
        forest = Forest(readers)
        paths = list(forest.paths())
        progress.begin("export", len(paths))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / MARK).touch()
            for path, file in app_files().items():
                _write(folder / path, file.body)
            _remove_others(folder, {*app_files(), *(f"data/{path}" for path in paths), MARK})
            for path in paths:
                found = forest.find(path)
                assert found is not None, path
                _write(folder / "data" / path, found.body)
                progress.advance(1)
        except OSError as error:
            raise StorageError(
                f"cannot write to '{folder}': {error.strerror or error}", "free some space, or name another"
            ) from error
        progress.end()
        return len(paths) + len(app_files())
    finally:
        for reader in readers:
            reader.close()


def _check(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise OptionError(f"'{folder}' is a file", "name a folder")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MARK).exists():
        raise OptionError(f"'{folder}' has other things in it", "name a new folder, or an earlier export")


def _remove_others(folder: Path, kept: set[str]) -> None:
    """Deletes what an earlier export left that this one does not have."""
    for file in folder.rglob("*"):
        if file.is_file() and file.relative_to(folder).as_posix() not in kept:
            file.unlink()


def _write(file: Path, body: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(body)
