"""`torchlurk analyze MODEL DATA --out STUDY`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from torchlurk.cli.early import check_named
from torchlurk.cli.flags import PORT, Flag, added_flags, flags
from torchlurk.cli.progress import watcher
from torchlurk.cli.summary import summary
from torchlurk.errors import OptionError
from torchlurk.jobs import Share
from torchlurk.stage_table import STAGES, USUAL_STAGES, Settings, check_stage_names, option_classes


class Analyze(click.Command):
    """With flags for the options of stages that a program has added."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Asked for when a line is read and when help is printed."""
        *own, help = super().get_params(ctx)
        added = [one for options in option_classes() if options not in OPTIONS for one in added_flags(options)]
        return [*own, *added, help]


OPTIONS = option_classes()


@click.command("analyze", cls=Analyze)
@click.argument("model")
@click.argument("data")
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="STUDY", help="The study to write, NAME.lurk.")
@click.option("--weights", metavar="FILE", help="Weights: .safetensors or a .pt/.pth state_dict; 'random' for a trial run.")
@click.option(
    "--stages",
    cls=Flag,
    told=lambda: f"Which stages to run, comma-separated: {', '.join(STAGES)}.  [default: {', '.join(USUAL_STAGES)}]",
    metavar="STAGE,…",
)
@click.option("--part", metavar="K/N", help="Do only the K-th of N parts of the work; torchlurk merge puts them together.")
@click.option(
    "--from",
    "merged",
    type=click.Path(path_type=Path),
    metavar="STUDY",
    help="The merged study that --part continues from, for the stages after the scan.",
)
@click.option("--serve", is_flag=True, help="Serve the app during the analysis and afterwards, until Ctrl-C.")
@click.option("--port", type=PORT, default=8000, show_default=True, help="The port of --serve, or the next free one.")
@flags(*OPTIONS)
def command(
    model: str,
    data: str,
    out: Path,
    weights: str | None,
    stages: str | None,
    part: str | None,
    merged: Path | None,
    serve: bool,
    port: int,
    **given: Any,
) -> None:
    """Find out what every unit of MODEL responds to in DATA, and write a study.

    MODEL is torchvision:NAME, timm:NAME, hf:NAME, FILE.py:CALLABLE, package.module:CALLABLE, demo or demo-text. DATA is
    a folder of images or of text files, one sub-folder per class (or none); .tar shards or a .zip of images; a data set
    of images saved by Hugging Face's datasets; a text file, or a .tsv of example and class; series in .npy, .npz, .ts
    or .csv files; a .csv with the header path,class; FILE.py:CALLABLE, which returns a data set or a stream; drawn
    (pictures drawn by code, to start with), demo or demo-text. Rerun the same command to continue after an
    interruption.
    """
    share = Share.parse(part) if part is not None else None
    if share is not None and serve:
        raise OptionError("--serve is given with --part, whose study is not whole", "serve the merged study")
    settings = Settings.of(given)
    wanted = [stage.strip() for stage in stages.split(",") if stage.strip()] if stages is not None else USUAL_STAGES
    check_stage_names(wanted)
    check_named(model, weights, data, out)
    from torchlurk.analysis import analyze_model

    if not serve:
        analyze_model(model, data, out, weights, wanted, settings, watcher(), share=share, merged=merged)
        click.echo(summary(out) if share is None else f"{out}: part {share} is done; torchlurk merge puts all parts together")
        return
    from torchlurk.server.model_choice import ModelChoice
    from torchlurk.server.running import serving_meanwhile

    beside = ModelChoice(model, weights, settings.compute.device)
    with serving_meanwhile(out, port, lambda text: click.echo(text, err=True), model=beside):
        analyze_model(model, data, out, weights, wanted, settings, watcher())
        click.echo(summary(out))
