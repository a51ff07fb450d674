"""`torchlurk export STUDY FOLDER`."""

from __future__ import annotations

from pathlib import Path

import click

from torchlurk.cli.progress import watcher


@click.command("export")
@click.argument("study", type=click.Path(path_type=Path))
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--without-notes", is_flag=True, help="Leave out the names, notes and stars that people gave to units.")
def command(study: Path, folder: Path, without_notes: bool) -> None:
    """Write the app with STUDY into FOLDER, as static files that any web host can serve under any path."""
    from torchlurk.export import export

    files = export([study], folder, watcher(), notes=not without_notes)
    click.echo(f"{folder}: {files:,} files; to view them here: python -m http.server --directory {folder}")
