"""`torchlurk note STUDY UNIT`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import click

from torchlurk.errors import OptionError
from torchlurk.files import check_name, write_whole
from torchlurk.records import Remark
from torchlurk.rendering.remarks import mark, paragraphs
from torchlurk.rendering.text import COLUMNS
from torchlurk.resources.remarks import read_remarks, remarks_document
from torchlurk.store.reading import Reader
from torchlurk.store.remarks import Change, write_remarks
from torchlurk.units import Unit, aliased

ENDINGS = (".json",)
INDENT = "  "
MOST_NAMED = 5
"""Units that a line names."""


@click.command("note")
@click.argument("study", type=click.Path(path_type=Path))
@click.argument("unit", required=False)
@click.option("--name", metavar="NAME", help="Name the unit; an empty name is removed.")
@click.option("--text", metavar="TEXT", help="Leave a note on the unit; an empty one is removed.")
@click.option("--star/--unstar", "starred", default=None, help="Star the unit, or take its star away.")
@click.option(
    "--import",
    "source",
    type=click.Path(path_type=Path),
    metavar="FILE.json",
    help="Import all notes from a file; each replaces the note on its unit.",
)
@click.option("--export", "target", type=click.Path(path_type=Path), metavar="FILE.json", help="Write all notes to a file.")
def command(
    study: Path,
    unit: str | None,
    name: str | None,
    text: str | None,
    starred: bool | None,
    source: Path | None,
    target: Path | None,
) -> None:
    """Name a UNIT of STUDY, written layer:channel, leave a note on it, or star it.

    Without options it shows what is noted of UNIT; without UNIT, all notes. An analysis may be writing STUDY meanwhile.
    """
    change = Change(name, text, starred)
    _refuse_odd(unit, change, source, target)
    if source is not None:
        _import(study, source)
    elif target is not None:
        _export(study, target)
    elif unit is not None and change != Change():
        _show(write_remarks(study, {Unit.parse(unit): change}))
    elif unit is not None:
        with Reader(study) as reader:
            found = reader.unit_named(Unit.parse(unit))
            _show({found: reader.remarks(found.layer).get(found)})
    else:
        with Reader(study) as reader:
            _show(reader.remarks())


def _refuse_odd(unit: str | None, change: Change, source: Path | None, target: Path | None) -> None:
    """Raises `OptionError` for options that do not go together."""
    if source is not None and target is not None:
        raise OptionError("--import and --export are given together", "run one after the other")
    if (source is not None or target is not None) and (unit is not None or change != Change()):
        raise OptionError(
            f"{'--import' if source is not None else '--export'} is for all notes of a study",
            "leave out UNIT, --name, --text, --star and --unstar",
        )
    if unit is None and change != Change():
        raise OptionError("no UNIT was given", "torchlurk note STUDY LAYER:CHANNEL --name NAME")


def _import(study: Path, source: Path) -> None:
    changes = read_remarks(source)
    with Reader(study) as reader:
        names = {layer.name: layer.channels for layer in reader.layers()}
    known = {unit: one for unit, one in changes.items() if unit.channel < names.get(aliased(unit.layer, list(names)), 0)}
    unknown = [str(unit) for unit in changes if unit not in known]
    if unknown and not known:
        raise OptionError(f"'{source}' is of units that {study} does not have: {_some(unknown)}", "name another file or study")
    write_remarks(study, known)
    click.echo(f"{study}: {_notes(len(known))} taken over")
    if unknown:
        click.echo(f"skipped, because the study has no such units: {_some(unknown)}", err=True)


def _export(study: Path, target: Path) -> None:
    check_name(target, ENDINGS)
    with Reader(study) as reader:
        remarks = reader.remarks()
    document = json.dumps(remarks_document(remarks), indent=1, ensure_ascii=False)
    write_whole(target, f"{document}\n".encode(), ENDINGS)
    click.echo(f"wrote {target}: {_notes(len(remarks))}")


def _show(remarks: Mapping[Unit, Remark | None]) -> None:
    if not remarks:
        click.echo("nothing is noted")
    for unit, remark in remarks.items():
        if remark is None:
            click.echo(f"{unit}: nothing is noted")
            continue
        click.echo(f"{unit}{INDENT}{mark(remark)}".rstrip())
        for line in paragraphs(remark, COLUMNS - len(INDENT)):
            click.echo(f"{INDENT}{line}".rstrip())


def _notes(count: int) -> str:
    return f"{count:,} note" + ("" if count == 1 else "s")


def _some(units: list[str]) -> str:
    return ", ".join(units[:MOST_NAMED]) + (f" and {len(units) - MOST_NAMED:,} more" if len(units) > MOST_NAMED else "")
