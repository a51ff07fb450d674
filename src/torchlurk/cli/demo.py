"""`torchlurk demo`."""

from __future__ import annotations

from pathlib import Path

import click

from torchlurk.cli.progress import watcher
from torchlurk.cli.summary import summary
from torchlurk.options import ComputeOptions, InputOptions, ScanOptions


@click.command("demo")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("demo.lurk"), show_default=True, metavar="STUDY", help="Where to."
)
def command(out: Path) -> None:
    """Analyze the demo: a small network that tells drawn things apart. Needs no download."""
    from torchlurk.analysis import STAGES, analyze_model
    from torchlurk.stages.stage import Settings

    settings = Settings(InputOptions(), ScanOptions(), ComputeOptions())
    analyze_model("demo", "demo", out, None, tuple(STAGES), settings, watcher())
    click.echo(summary(out))
