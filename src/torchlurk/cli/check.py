"""`torchlurk check STUDY`."""

from __future__ import annotations

from pathlib import Path

import click

from torchlurk.errors import StudyError
from torchlurk.store.checking import check


@click.command("check")
@click.argument("study", type=click.Path(path_type=Path))
def command(study: Path) -> None:
    """Verify the file STUDY: its integrity, and how complete each stage is."""
    report = check(study)
    for line in report.lines():
        click.echo(line)
    if report.problems:
        raise StudyError(f"{study} is damaged: {report.problems[0]}", "make it anew, or take it from where it came")
