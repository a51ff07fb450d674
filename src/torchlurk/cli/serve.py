"""`torchlurk serve STUDY...`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("serve")
@click.argument("studies", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="STUDY...")
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Where to listen; on another than this machine a token is asked for."
)
@click.option("--port", default=8000, show_default=True, help="The port; where it is taken, the next free one.")
def command(studies: tuple[Path, ...], host: str, port: int) -> None:
    """Explore studies in a browser: the network, its layers, units and classes.

    A study may still be being written: pages fill in.
    """
    from torchlurk.server.running import serve

    try:
        serve(studies, host, port, click.echo)
    except KeyboardInterrupt:
        raise click.Abort from None
