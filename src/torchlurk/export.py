"""A study as static files: the app and every resource, byte for byte as the server answers them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torchlurk.errors import StudyError, TorchlurkError
from torchlurk.jobs import Progress, Silence
from torchlurk.resources.tree import Forest
from torchlurk.site import Site
from torchlurk.store.reading import Reader
from torchlurk.web import app_files


def export(studies: Sequence[Path], folder: Path, progress: Progress | None = None, *, notes: bool = True) -> int:
    """Writes the app with these studies into a folder, new, empty or an earlier export; returns how many files.

    Any static host can serve it, under any path. An earlier export stays as it is until all is there; of what is in the
    folder nothing but the files of that export is touched. Without `notes`, what people have noted is left out. Raises
    `OptionError` where something is in the way.
    """
    progress = progress or Silence()
    app = app_files()
    if not app:
        raise TorchlurkError("this installation does not contain the web app", "install Torchlurk from its wheel")
    readers: list[Reader] = []
    try:
        readers += (Reader(study, remarks=notes) for study in studies)
        forest = Forest(readers)
        paths = list(forest.paths())
        with Site(folder, [*app, *(f"data/{path}" for path in paths)]) as site:
            progress.begin("export", len(paths))
            for path, file in app.items():
                site.write(path, file.body)
            for path in paths:
                found = forest.find(path)
                if found is None:
                    raise StudyError(f"the study has no {path}", "torchlurk check STUDY lists what is damaged")
                site.write(f"data/{path}", found.body)
                progress.advance(1)
            site.finish()
        progress.end()
        return len(paths) + len(app)
    finally:
        for reader in readers:
            reader.close()
