"""`torchlurk demo`."""

from __future__ import annotations

from pathlib import Path

import click

from torchlurk.cli.progress import watcher
from torchlurk.cli.summary import summary

SYNTHESIZED = ("block1", "block2", "block3", "block4", "head")
"""Layers whose units get syntheses: the blocks' outputs and the classes. The layers within blocks would take minutes more."""


@click.command("demo")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("demo.lurk"),
    show_default=True,
    metavar="STUDY",
    help="The study to write.",
)
@click.option("--port", default=8000, show_default=True, help="The port of the app; if it is taken, the next free one.")
@click.option("--no-serve", is_flag=True, help="Do not open the app.")
def command(out: Path, port: int, no_serve: bool) -> None:
    """Analyze the demo, a small network that classifies drawn objects, and open the app. Needs no download."""
    from torchlurk.analysis import analyze_model
    from torchlurk.options import ScanOptions
    from torchlurk.stage_table import Settings

    def run() -> None:
        analyze_model("demo", "demo", out, None, ("scan", "attribute"), Settings(), watcher())
        some = Settings(scan=ScanOptions(layers=SYNTHESIZED))
        analyze_model("demo", "demo", out, None, ("synthesize",), some, watcher())
        click.echo(summary(out))

    if no_serve:
        run()
        return
    from torchlurk.server.running import ModelChoice, serving_meanwhile

    beside = ModelChoice("demo")
    with serving_meanwhile(out, port, lambda text: click.echo(text, err=True), open_browser=True, model=beside):
        run()
