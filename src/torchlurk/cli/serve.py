"""`torchlurk serve STUDY...`."""

from __future__ import annotations

from pathlib import Path

import click

from torchlurk.cli.flags import PORT


@click.command("serve")
@click.argument("studies", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="STUDY...")
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; any other than this machine's own requires a token.",
)
@click.option("--port", type=PORT, default=8000, show_default=True, help="The port, or the next free one.")
@click.option("--write", is_flag=True, help="Let people name, note and star units in the app; without it nothing is changed.")
@click.option("--model", metavar="MODEL", help="The model of one of the studies, for the pages Image and Live.")
@click.option("--weights", metavar="FILE", help="Its weights, as for `torchlurk analyze`.")
@click.option("--class-names", metavar="FILE", help="JSON or text file with a name for each of the model's outputs.")
@click.option("--device", default="auto", show_default=True, metavar="NAME", help="auto, cpu, cuda, cuda:N or mps.")
def command(
    studies: tuple[Path, ...],
    host: str,
    port: int,
    write: bool,
    model: str | None,
    weights: str | None,
    class_names: str | None,
    device: str,
) -> None:
    """Explore studies in a browser: the network, its layers, units and classes.

    A study may still be in the making: its pages fill in as results arrive.
    """
    from torchlurk.errors import OptionError
    from torchlurk.server.model_choice import ModelChoice
    from torchlurk.server.running import serve

    if weights is not None and model is None:
        raise OptionError("--weights is given without --model", "give both")
    choice = None if model is None else ModelChoice(model, weights, device, class_names)
    try:
        serve(studies, host, port, click.echo, model=choice, write=write)
    except KeyboardInterrupt:
        raise click.Abort from None
