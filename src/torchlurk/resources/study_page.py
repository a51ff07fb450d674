"""The documents of a whole study: its card in the list, and everything that all its pages need."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from torchlurk.errors import StudyError
from torchlurk.records import Graph, Layer
from torchlurk.resources.relations import layer_nodes
from torchlurk.resources.remarks import study_marks
from torchlurk.run_records import Run, StageCount
from torchlurk.store import queries
from torchlurk.store.columns import writable
from torchlurk.store.notes import said_once
from torchlurk.store.portions import load_least_for_means
from torchlurk.store.reading import Reader

COVER = 6
"""Pictures on the card of a study."""

SKIPS = 100
"""How many of what was passed over is named."""


def card(reader: Reader, slug: str) -> dict[str, Any]:
    """What the list of studies says of one."""
    layers, runs = reader.layers(), reader.runs()
    counts = queries.unit_counts(reader)
    scan = runs.get("scan")
    return {
        "slug": slug,
        "name": writable(reader.path.stem),
        "model": scan.model if scan else "",
        "data": scan.data if scan else "",
        "layers": len(counts),
        "units": sum(units for units, _ in counts.values()),
        "examples": reader.example_count(),
        "bytes": reader.path.stat().st_size,
        "version": scan.version if scan else "",
        "stages": [{key: value for key, value in stage.items() if key != "options"} for stage in _covering(reader, counts)],
        "cover": _cover(reader, layers, counts),
    }


def troubled(reader: Reader, slug: str, trouble: str) -> dict[str, Any]:
    """The card of a study that cannot be read any more: the others are listed all the same."""
    counts = dict.fromkeys(("layers", "units", "examples", "bytes"), 0)
    texts = dict.fromkeys(("model", "data", "version"), "")
    return {"slug": slug, "name": writable(reader.path.stem), **texts, **counts, "stages": [], "cover": [], "trouble": trouble}


def study_document(reader: Reader, slug: str) -> dict[str, Any]:
    """What all pages of a study need: layers, graph, classes, stages. Raises `StudyError` while there is no model yet."""
    runs, layers, counts = reader.runs(), reader.layers(), queries.unit_counts(reader)
    scan = runs.get("scan")
    if scan is None:
        raise StudyError(f"'{reader.path}' contains no scan yet", "start or continue the analysis")
    sizes, graph = queries.class_sizes(reader), reader.graph()
    nodes = layer_nodes(graph, layers)
    kernels, provisional = queries.kernel_layers(reader), queries.provisional(reader)
    skips = reader.skips()
    return {
        "slug": slug,
        "name": writable(reader.path.stem),
        "model": scan.model,
        "data": scan.data,
        "input": list(reader.input_shape()),
        **_inputs(reader),
        "preprocessing": asdict(reader.preprocessing()),
        "version": scan.version,
        "examples": reader.example_count(),
        "classes": [
            {"index": one.index, "name": one.name, "label": one.label, "examples": sizes.get(one.index, 0)}
            for one in reader.classes()
        ],
        "output_classes": reader.output_classes(),
        "layers": [
            _layer(number, layer, counts.get(number, (0, 0)))
            | {"node": nodes.get(layer.name), "kernels": number in kernels, "provisional": provisional.get(number)}
            for number, layer in enumerate(layers)
        ],
        "graph": _graph(graph),
        "stages": _covering(reader, counts),
        "methods": queries.methods(reader),
        "presets": queries.presets(reader),
        "notes": [list(note) for note in said_once(reader.notes())],
        "remarks": study_marks(reader),
        "skips": {"count": len(skips), "first": [[one.path, one.reason] for one in skips[:SKIPS]]},
    }


def _inputs(reader: Reader) -> dict[str, Any]:
    """Of what kind the examples are, and how they were given to the network; the vocabulary is not among it."""
    with reader.reading() as db:
        inputs, least = reader.inputs(), load_least_for_means(db)
    told = {"axes": inputs.axes, "window": inputs.window, "burn_in": inputs.burn_in, "channels": list(inputs.channels)}
    called = {"called": inputs.called} if inputs.called else {}
    called |= {"example": inputs.example} if inputs.example else {}
    means = {"least_for_means": least} if least else {}
    return {"kind": inputs.kind, "inputs": told | {"vocabulary_size": inputs.vocabulary_size} | means | called}


def stages(reader: Reader) -> list[dict[str, Any]]:
    """How far each stage has come, in the order in which they run."""
    counts = reader.counts()
    return [_stage(run, counts.get(run.stage)) for run in reader.runs().values()]


def _covering(reader: Reader, counts: dict[int, tuple[int, int]]) -> list[dict[str, Any]]:
    """The stages, each with the layers and the units that it covers, out of all that were scanned and are not dead."""
    alive = [units - dead for units, dead in counts.values()]
    every = sum(one > 0 for one in alive), sum(alive)
    found = []
    for stage in stages(reader):
        layers, units = every if stage["stage"] == "scan" else queries.pictured(reader, stage["stage"])
        found.append(stage | {"covers": {"layers": [layers, every[0]], "units": [units, every[1]]}})
    return found


def _stage(run: Run, count: StageCount | None) -> dict[str, Any]:
    done, total = (count.done, count.total) if count else (0, 0)
    return {
        "stage": run.stage,
        "started": run.started,
        "finished": run.finished,
        "done": done,
        "total": total,
        "seed": run.seed,
        "version": run.version,
        "options": dict(run.options),
    }


def _layer(number: int, layer: Layer, counted: tuple[int, int]) -> dict[str, Any]:
    return {
        "id": number,
        "name": layer.name,
        "type": layer.type,
        "layout": layer.layout,
        "channels": layer.channels,
        "shape": list(layer.shape),
        "parameters": layer.parameters,
        "receptive_field": list(layer.receptive_field) if layer.receptive_field else None,
        "stride": list(layer.stride) if layer.stride else None,
        "nonlinearity": layer.nonlinearity,
        "read_after": list(layer.read_after),
        "units": counted[0],
        "dead": counted[1],
    }


def _graph(graph: Graph) -> dict[str, Any]:
    nodes = [[one.id, one.kind, one.name, one.module, one.type, list(one.shape)] for one in graph.nodes]
    return {"nodes": nodes, "edges": [list(edge) for edge in graph.edges]}


def _cover(reader: Reader, layers: tuple[Layer, ...], counts: dict[int, tuple[int, int]]) -> list[str]:
    """The strongest examples of units all over the last layer that has a map."""
    mapped = [layer for number, layer in enumerate(layers) if number in counts and layer.shape and layer.channels]
    if not mapped:
        return []
    best = reader.best(mapped[-1].name).examples[:, 0]
    examples = list(dict.fromkeys(int(one) for one in best if one >= 0))
    spread = np.linspace(0, len(examples) - 1, min(COVER, len(examples))).round().astype(int)
    chosen = [examples[index] for index in spread]
    files = queries.picture_files(reader, chosen)
    return [f"pictures/{files[one]}" for one in chosen if one in files]
