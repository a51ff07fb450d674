"""`torchlurk layers MODEL`."""

from __future__ import annotations

import json
from collections.abc import Sequence

import click
from rich import box
from rich.console import Console
from rich.table import Table

from torchlurk.cli.early import check_named
from torchlurk.records import Layer
from torchlurk.rendering.labels import counted
from torchlurk.resources.documents import layers_document

WIDTH = 240
"""Columns that the table may take."""


@click.command("layers")
@click.argument("model")
@click.option("--weights", metavar="FILE", help="Weights, if the layers depend on them.")
@click.option(
    "--input",
    "shape",
    metavar="C,H,W|T,C|T",
    help="Shape of the network's input, where the model does not tell: of a picture, a series, or a text (T tokens).",
)
@click.option(
    "--all", "every", is_flag=True, help="Include layers that are scanned only if --layers names them: pools, concatenations."
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document, with the graph.")
def command(model: str, weights: str | None, shape: str | None, every: bool, as_json: bool) -> None:
    """List the layers of MODEL whose units can be analyzed. This needs no weights."""
    check_named(model, weights)
    from torchlurk.stages.dry_pass import survey_model

    found = survey_model(model, weights, shape)
    if as_json:
        click.echo(json.dumps(layers_document(model, found.input_shape, found.layers, found.graph), indent=1))
        return
    scanned = [layer for layer in found.layers if layer.by_default]
    # Wide enough for any name: a terminal that is narrower wraps, and nothing is cut off in a file.
    Console(highlight=False, width=WIDTH).print(_table(found.layers if every else scanned))
    units = sum(layer.channels for layer in scanned)
    click.echo(f"{counted(len(scanned), 'layer')} with {counted(units, 'unit')}, for {_input(found.input_shape)}")


def _table(layers: Sequence[Layer]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("layer", no_wrap=True)
    table.add_column("type", no_wrap=True)
    table.add_column("layout")
    for name in ("units", "map", "parameters", "receptive field", "stride"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("read after", no_wrap=True)
    for layer in layers:
        table.add_row(
            layer.name,
            layer.type,
            layer.layout,
            f"{layer.channels}",
            _times(layer.shape),
            f"{layer.parameters:,}" if layer.parameters else "",
            _seen(layer),
            _times(_along(layer, layer.stride)) if layer.stride else "",
            ", ".join(layer.read_after),
            style=None if layer.by_default else "dim",
        )
    return table


def _input(shape: tuple[int, ...]) -> str:
    """The shape of an input in words."""
    if len(shape) == 1:
        return f"a text of {shape[0]} tokens"
    return f"a series of {shape[0]} steps and {shape[1]} channels" if len(shape) == 2 else f"an input of {_times(shape)}"


def _seen(layer: Layer) -> str:
    """How much of the input one position sees; steps may see all of an input's, before them, after them or both."""
    if layer.receptive_field:
        return _times(_along(layer, layer.receptive_field))
    return "unlimited" if layer.layout == "sequence" else "whole input"


def _along(layer: Layer, extent: tuple[int, int]) -> tuple[int, ...]:
    """Of a sequence the steps alone."""
    return extent[1:] if layer.layout == "sequence" else extent


def _times(extent: tuple[int, ...]) -> str:
    return "×".join(map(str, extent))
