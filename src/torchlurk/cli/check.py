"""`torchlurk check STUDY`."""

from __future__ import annotations

from pathlib import Path

import click

from torchlurk.errors import StudyError
from torchlurk.run_records import Portion
from torchlurk.store.checking import StageState, check
from torchlurk.study import Study

SKIPS_SHOWN = 100
"""How many of the skipped examples are listed."""


@click.command("check")
@click.argument("study", type=click.Path(path_type=Path))
def command(study: Path) -> None:
    """Verify the file STUDY: its integrity, how complete each stage is, and which examples were skipped."""
    report = check(study)
    click.echo(f"{study}: a study, format {report.version}")
    click.echo("holds: " + ", ".join(f"{count:,} {name}" for name, count in report.counts.items()))
    if report.portion is not None:
        click.echo(_told(report.portion))
    for stage in report.stages:
        click.echo(f"stage {_state(stage, report.portion)}")
    if report.problems:
        for problem in report.problems:
            click.echo(f"problem: {problem}")
        raise StudyError(f"{study} is damaged: {len(report.problems)} problem(s)", "restore a copy, or run the analysis again")
    click.echo("no problems found")
    for stray in report.strays:
        click.echo(f"note: {stray}")
    _tell(study)


def _told(portion: Portion) -> str:
    what = f"part {portion.number}/{portion.of} of {' and '.join(portion.stages)}"
    return f"{what}: done; merge puts all parts together" if portion.finished else f"{what}: begun; analyze continues it"


def _state(stage: StageState, portion: Portion | None) -> str:
    if stage.stage == "scan" and portion is not None and portion.finished and not stage.finished:
        return f"scan: {stage.examples:,} of {stage.all_examples:,} examples, those of the part, done"
    if stage.finished:
        return f"{stage.stage}: done ({stage.finished})"
    if not stage.shards:
        return f"{stage.stage}: begun; torchlurk analyze continues it"
    return f"{stage.stage}: {stage.examples:,} of {stage.all_examples:,} examples done; torchlurk analyze continues it"


def _tell(path: Path) -> None:
    with Study(path) as study:
        for note in study.notes:
            click.echo(f"note: {note}")
        for skip in study.skipped[:SKIPS_SHOWN]:
            click.echo(f"skipped {skip.path}: {skip.reason}")
        if len(study.skipped) > SKIPS_SHOWN:
            click.echo(f"and {len(study.skipped) - SKIPS_SHOWN:,} more")
