"""`torchlurk show STUDY UNIT`."""

from __future__ import annotations

import json
import sys
from io import BytesIO
from pathlib import Path
from typing import get_args

import click
from PIL import Image

from torchlurk.errors import OptionError
from torchlurk.files import check_name, write_whole
from torchlurk.rendering.attributions import Rendering
from torchlurk.rendering.share_words import SHARES, TITLE
from torchlurk.rendering.text import describe
from torchlurk.resources.outputs import with_output
from torchlurk.store.queries import of_some_examples
from torchlurk.study import Study
from torchlurk.unit_statistics import STATISTICS
from torchlurk.units import Unit, aliased

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".pdf": "PDF"}
"""Of a contact sheet, by how the name of its file ends."""


class Show(click.Command):
    """With the statistics, the percentages and their meaning below the options."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Read when the help is printed: a program may add statistics."""
        with formatter.section("Statistics"):
            formatter.write_dl([(name, f"{one.meaning[0].upper()}{one.meaning[1:]}.") for name, one in STATISTICS.items()])
        with formatter.section(TITLE):
            formatter.write_dl([(name, f"{meaning[0].upper()}{meaning[1:]}.") for name, meaning in SHARES.items()])


@click.command("show", cls=Show)
@click.argument("study", type=click.Path(path_type=Path))
@click.argument("unit")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document.")
@click.option("--out", type=click.Path(path_type=Path), metavar="PICTURE.png", help="Draw a contact sheet.")
@click.option(
    "--rendering",
    type=click.Choice(get_args(Rendering)),
    default="signed",
    show_default=True,
    help="How the sheet draws attributions: signed around grey, by magnitude, or laid over the image.",
)
def command(study: Path, unit: str, as_json: bool, out: Path | None, rendering: Rendering) -> None:
    """Show what STUDY knows about one UNIT, written layer:channel: its exemplars, classes and statistics.

    With --out, UNIT may also be a layer; the sheet then shows each unit's strongest example: its box, or the text or series
    around its strongest step.
    """
    if out:
        check_name(out, FORMATS)
    with Study(study) as opened:
        names = [layer.name for layer in opened.layers]
        if out and aliased(unit, names) in names:
            _draw(opened[unit].picture(), out)
            return
        if (layer := aliased(unit, names)) in names:
            raise OptionError(
                f"'{unit}' is a layer, not a unit", f"write {layer}:0 for its first unit, or add --out PICTURE.png"
            )
        found = opened.unit(unit)
        if examples := of_some_examples(opened.reader, found.record.layer.name):
            click.echo(f"the scan is still running: these results cover {examples:,} examples so far", err=True)
        if out:
            _draw(found.picture(rendering), out, quiet=as_json)
        if as_json:
            click.echo(json.dumps(found.to_json(), indent=1, ensure_ascii=False))
        elif not out:
            coloured = sys.stdout.isatty()
            layer = found.record.layer.name
            made, checks = opened.reader.attributions(Unit(layer, found.record.channel)), opened.reader.checks(layer)
            given = with_output(opened.reader, found.record), opened.classes, found.steps(), found.remark
            click.echo(describe(*given, coloured=coloured, attributions=made, checks=checks))


def _draw(picture: Image.Image, out: Path, *, quiet: bool = False) -> None:
    picture.save(drawn := BytesIO(), FORMATS.get(out.suffix.lower(), "PNG"))
    write_whole(out, drawn.getvalue(), FORMATS)
    if not quiet:
        click.echo(f"wrote {out}")
