"""`torchlurk merge PART… --out STUDY`."""

from __future__ import annotations

from pathlib import Path

import click

from torchlurk.cli.progress import watcher
from torchlurk.cli.summary import summary


@click.command("merge")
@click.argument("parts", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PART...")
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="STUDY", help="The study to write, NAME.lurk.")
def command(parts: tuple[Path, ...], out: Path) -> None:
    """Put the parts that `torchlurk analyze --part` made together to one study.

    The study is the one that a single process would have made. Neither the model nor the data is needed. All parts must be
    given, in any order. Parts of attribute or synthesize are added to STUDY if it is the one that they continue.
    """
    from torchlurk.stages.merge import merge

    merge(parts, out, watcher())
    click.echo(summary(out))
