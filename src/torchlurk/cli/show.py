"""`torchlurk show STUDY UNIT`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from torchlurk.errors import StorageError
from torchlurk.rendering.text import describe
from torchlurk.study import Study


@click.command("show")
@click.argument("study", type=click.Path(path_type=Path))
@click.argument("unit")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document.")
@click.option("--out", type=click.Path(path_type=Path), metavar="PICTURE.png", help="Draw a contact sheet.")
def command(study: Path, unit: str, as_json: bool, out: Path | None) -> None:
    """Show what STUDY knows of one UNIT, written layer:channel: its exemplars, classes and statistics."""
    with Study(study) as opened:
        found = opened.unit(unit)
        if out:
            try:
                found.picture().save(out)
            except (OSError, ValueError) as error:
                raise StorageError(f"cannot write {out}: {error}", "name a .png in a folder that can be written") from error
        if as_json:
            click.echo(json.dumps(found.to_json(), indent=1, ensure_ascii=False))
        elif out:
            click.echo(f"wrote {out}")
        else:
            click.echo(describe(found.record, opened.classes))
