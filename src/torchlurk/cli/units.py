"""`torchlurk units STUDY`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.table import Table as Printed
from rich.text import Text

from torchlurk.errors import OptionError
from torchlurk.files import check_name
from torchlurk.frames import ENDINGS, Table
from torchlurk.records import Remark
from torchlurk.rendering import labels
from torchlurk.rendering.known_tracks import gain, written
from torchlurk.rendering.remarks import mark
from torchlurk.rendering.steps import MARKS, visible
from torchlurk.rendering.text import shortened
from torchlurk.resources.unit_table import unit_table
from torchlurk.store import queries
from torchlurk.store.reading import Reader
from torchlurk.track_records import Known, Track

WIDTH = 240
"""Columns that the table may take."""
MOST_ROWS = 500
"""Units that are printed; files and JSON have them all."""
LONGEST = 24
"""Columns of a name."""
BESIDE = 16
"""Characters before and after a token."""

Row = dict[str, Any]
Cell = Callable[[Row], str]


@click.command("units")
@click.argument("study", type=click.Path(path_type=Path))
@click.option("--layers", "globs", multiple=True, metavar="GLOB", help="Only units of layers that match GLOB; may be repeated.")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE.csv|FILE.parquet", help="Write all columns to a file.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document, with all columns.")
def command(study: Path, globs: tuple[str, ...], out: Path | None, as_json: bool) -> None:
    """List the units of STUDY, one per row: statistics, classes, evidence, what they know, notes.

    Without --out and --json it prints the columns that say most, of at most 500 units. A .csv file needs no further library, a
    .parquet file pyarrow or polars.
    """
    if out is not None and as_json:
        raise OptionError("--out and --json are given together", "run one after the other")
    if out is not None:
        check_name(out, ENDINGS)
    with Reader(study) as reader, reader.reading():
        table, tracks, running = unit_table(reader, globs), reader.tracks(), queries.provisional(reader)
    if running:
        examples = min(running.values())
        click.echo(f"the scan is still running: these results cover {examples:,} examples so far", err=True)
    if out is not None:
        table.write(out)
        click.echo(f"wrote {out}: {len(table):,} units, {len(table.columns)} columns")
    elif as_json:
        click.echo(f'{{"units": {table.to_json()}}}')
    else:
        Console(highlight=False, width=WIDTH).print(_printed(table, tracks))
        if (more := len(table) - MOST_ROWS) > 0:
            click.echo(f"and {more:,} more units   (--layers GLOB chooses layers, --out FILE.csv and --json have all)")


def _printed(table: Table, tracks: Sequence[Track]) -> Printed:
    """The columns that say most; those in which no unit has anything are left out."""
    cells: dict[str, tuple[bool, Cell]] = {
        "unit": (False, lambda row: str(row["unit"])),
        "name": (False, lambda row: mark(Remark(shortened(row["name"] or "", LONGEST), starred=row["starred"]))),
        "output": (False, _words("output")),
        "maximum": (True, _number("max")),
        "active": (True, lambda row: "dead" if row["dead"] else labels.percent(_value(row, "fraction_active"))),
        "selectivity": (True, _number("selectivity")),
        "best class": (False, _words("best_class")),
        "second class": (False, _words("second_class")),
        "half-life": (True, _number("half_life")),
        "knows": (False, lambda row: _known(row, tracks)),
        **{f"{name} ratio": (True, _number(f"synthesis_{name}_ratio")) for name in _presets(table)},
        "strongest example": (False, lambda row: shortened(row.get("best_place") or row.get("best_path") or "", LONGEST)),
        "there": (False, _excerpt),
    }
    rows = list(islice(table, MOST_ROWS))
    shown = Printed(box=box.SIMPLE_HEAD, pad_edge=False)
    filled = {title: (right, [cell(row) for row in rows]) for title, (right, cell) in cells.items()}
    kept = {title: one for title, one in filled.items() if any(one[1])}
    for title, (right, _) in kept.items():
        shown.add_column(title, justify="right" if right else "left", no_wrap=True)
    for number, row in enumerate(rows):
        shown.add_row(*(Text(column[number]) for _, column in kept.values()), style="dim" if row["dead"] else None)
    return shown


def _presets(table: Table) -> list[str]:
    start, end = "synthesis_", "_ratio"
    return [name[len(start) : -len(end)] for name in table.columns if name.startswith(start) and name.endswith(end)]


def _words(name: str) -> Cell:
    return lambda row: shortened(row.get(name) or "", LONGEST)


def _excerpt(row: Row) -> str:
    """Of a text, the token where the unit is strongest between what stands beside it."""
    if row.get("best_token") is None:
        return ""
    before, token, after = (visible(row[f"best_{name}"]) for name in ("before", "token", "after"))
    return f"{before[-BESIDE:]:>{BESIDE}}{MARKS[0]}{shortened(token, LONGEST)}{MARKS[1]}{after[:BESIDE]}"


def _number(name: str) -> Cell:
    return lambda row: "" if math.isnan(value := _value(row, name)) else labels.number(value)


def _value(row: Row, name: str) -> float:
    value = row.get(name)
    return math.nan if value is None else float(value)


def _known(row: Row, tracks: Sequence[Track]) -> str:
    """The track at which the unit is better by most than the best unit of its layer untrained, and how well it tells it."""
    found = [Known(one, _value(row, f"knows_{one.name}"), _value(row, f"knows_{one.name}_untrained")) for one in tracks]
    best = max(found, key=gain, default=None)
    return f"{shortened(best.track.name, LONGEST)} {written(best.strength)}" if best is not None and gain(best) > 0 else ""
