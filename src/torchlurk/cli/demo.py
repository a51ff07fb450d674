"""`torchlurk demo`."""

from __future__ import annotations

from pathlib import Path

import click

from torchlurk.cli.early import check_named
from torchlurk.cli.flags import PORT
from torchlurk.cli.progress import watcher
from torchlurk.cli.summary import summary
from torchlurk.errors import OptionError

SYNTHESIZED = ("block1", "block2", "block3", "block4", "head")
"""Layers whose units get syntheses: the blocks' outputs and the classes. The layers within blocks would take minutes more."""


@click.command("demo")
@click.option("--text", is_flag=True, help="Analyze the demo for text: a network that predicts characters.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="STUDY",
    help="The study to write.  [default: demo.lurk; demo-text.lurk with --text]",
)
@click.option(
    "--with",
    "others",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="STUDY",
    help="Serve this study beside the demo's; may be repeated.",
)
@click.option("--port", type=PORT, default=8000, show_default=True, help="The port of the app, or the next free one.")
@click.option("--no-serve", is_flag=True, help="Do not open the app.")
def command(text: bool, out: Path | None, others: tuple[Path, ...], port: int, no_serve: bool) -> None:
    """Analyze the demo, a small network that classifies drawn objects, and open the app. Needs no download."""
    out = out or Path("demo-text.lurk" if text else "demo.lurk")
    check_named(out=out)
    analyze = _analyze_text if text else _analyze_pictures
    if no_serve:
        if others:
            raise OptionError("--with is given with --no-serve", "leave one of them out")
        analyze(out)
        return
    from torchlurk.server.model_choice import ModelChoice
    from torchlurk.server.running import serving_meanwhile

    beside = None if text else ModelChoice("demo")
    with serving_meanwhile(out, port, lambda said: click.echo(said, err=True), open_browser=True, model=beside, others=others):
        analyze(out)


def _analyze_pictures(out: Path) -> None:
    from torchlurk.analysis import analyze_model
    from torchlurk.options import ScanOptions
    from torchlurk.stage_table import Settings

    analyze_model("demo", "demo", out, None, ("scan", "attribute"), Settings(), watcher())
    some = Settings(scan=ScanOptions(layers=SYNTHESIZED))
    analyze_model("demo", "demo", out, None, ("synthesize",), some, watcher())
    click.echo(summary(out))


def _analyze_text(out: Path) -> None:
    from torchlurk.analysis import analyze_model
    from torchlurk.stage_table import Settings

    analyze_model("demo-text", "demo-text", out, None, ("scan",), Settings(), watcher())
    click.echo(summary(out))
