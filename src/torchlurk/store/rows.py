"""Records as rows of tables, and back."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import repeat
from typing import Any, get_args

import numpy as np

from torchlurk.input_records import InputStatistics
from torchlurk.records import Graph, Layer, LayerScan, Layout, Node, Preprocessing, Ranking
from torchlurk.run_records import Run
from torchlurk.stage_table import STAGES
from torchlurk.store import columns
from torchlurk.store.columns import DamageError
from torchlurk.store.schema import RANKINGS
from torchlurk.store.sequences import load_streams

LAYOUTS: tuple[str, ...] = get_args(Layout)
NODE_KINDS = ("input", "module", "operation", "output")
INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos")
MOST_CHANNELS = 1 << 31
MOST_POSITIONS = 1 << 31


def insert(table: str, columns: int) -> str:
    """The statement that adds a row of `columns` values."""
    return f"INSERT INTO {table} VALUES ({', '.join('?' * columns)})"


def from_run(run: Run) -> tuple[Any, ...]:
    """A row of `run`."""
    return (
        run.stage,
        columns.writable(run.model),
        run.model_fingerprint,
        columns.writable(run.data),
        run.data_fingerprint,
        columns.to_json(dict(run.options)),
        run.seed,
        run.version,
        run.started,
        run.finished,
    )


def same_run(left: Run, right: Run) -> bool:
    """Whether both give the same results: the model's and the data's fingerprint, options and seed are equal."""

    def decides(run: Run) -> tuple[Any, ...]:
        return run.model_fingerprint, run.data_fingerprint, columns.to_json(dict(run.options)), run.seed

    return decides(left) == decides(right)


def runs(db: sqlite3.Connection) -> dict[str, Run]:
    """All runs, by stage, in the order of the stages."""
    found = db.execute(
        "SELECT stage, model, model_fingerprint, data, data_fingerprint, options, seed, version, started, finished FROM run"
    )
    by_stage = {run.stage: run for run in map(_run, found)}
    known = [stage for stage in STAGES if stage in by_stage]
    return {stage: by_stage[stage] for stage in [*known, *sorted(by_stage.keys() - set(known))]}


def _run(row: tuple[Any, ...]) -> Run:
    stage, model, model_fingerprint, data, data_fingerprint, options, seed, version, started, finished = row
    chosen = columns.from_json(options, "run.options")
    if not isinstance(chosen, dict):
        raise DamageError("run.options is not a JSON object")
    return Run(
        stage=columns.text(stage, "run.stage"),
        model=columns.text(model, "run.model"),
        model_fingerprint=columns.text(model_fingerprint, "run.model_fingerprint"),
        data=columns.text(data, "run.data"),
        data_fingerprint=columns.text(data_fingerprint, "run.data_fingerprint"),
        options=chosen,
        seed=columns.whole(seed, "run.seed"),
        version=columns.text(version, "run.version"),
        started=columns.text(started, "run.started"),
        finished=columns.optional_text(finished, "run.finished"),
    )


def from_layer(id: int, layer: Layer) -> tuple[Any, ...]:
    """A row of `layer`."""
    return (
        id,
        layer.name,
        layer.type,
        layer.layout,
        layer.channels,
        columns.to_json(layer.shape),
        layer.channel_axis,
        layer.parameters,
        None if layer.receptive_field is None else columns.to_json(layer.receptive_field),
        None if layer.stride is None else columns.to_json(layer.stride),
        layer.nonlinearity,
        columns.to_json(layer.read_after),
        int(layer.by_default),
    )


LAYER_COLUMNS = (
    "id, name, type, layout, channels, shape, channel_axis, parameters, receptive_field, stride, nonlinearity, read_after,"
    " by_default"
)


def layers(db: sqlite3.Connection) -> tuple[Layer, ...]:
    """All layers, in order."""
    streams = load_streams(db)
    found = map(layer_of, db.execute(f"SELECT {LAYER_COLUMNS} FROM layer ORDER BY id"))
    return tuple(_of_stream(layer, streams.get(id)) for id, layer in found)


def _of_stream(layer: Layer, read: tuple[str, str] | None) -> Layer:
    return layer if read is None else replace(layer, module=read[0], stream=read[1])


def layer_of(row: tuple[Any, ...]) -> tuple[int, Layer]:
    """A row of `layer` as its id and record."""
    (id, name, type, layout, channels, shape, axis, parameters, field, stride, nonlinearity, after, by_default) = row
    layer = Layer(
        name=columns.text(name, "layer.name", longest=columns.LONGEST_NAME),
        type=columns.text(type, "layer.type"),
        layout=columns.one_of(layout, LAYOUTS, "layer.layout"),
        channels=columns.whole(channels, "layer.channels", least=0, below=MOST_CHANNELS),
        shape=columns.whole_numbers(shape, "layer.shape"),
        channel_axis=columns.whole(axis, "layer.channel_axis"),
        parameters=columns.whole(parameters, "layer.parameters", least=0),
        receptive_field=columns.pair(field, "layer.receptive_field"),
        stride=columns.pair(stride, "layer.stride", least=-MOST_POSITIONS),
        nonlinearity=columns.optional_text(nonlinearity, "layer.nonlinearity"),
        read_after=columns.words(after, "layer.read_after"),
        by_default=bool(columns.whole(by_default, "layer.by_default")),
    )
    if layer.positions >= MOST_POSITIONS:
        raise DamageError("layer.shape is too large")
    return columns.whole(id, "layer.id"), layer


def graph(db: sqlite3.Connection) -> Graph:
    """The graph, nodes and edges in the order in which they were given."""
    nodes = tuple(
        Node(
            id=columns.whole(id, "node.id"),
            kind=columns.one_of(kind, NODE_KINDS, "node.kind"),
            name=columns.text(name, "node.name", longest=columns.LONGEST_NAME),
            module=columns.text(module, "node.module", longest=columns.LONGEST_NAME),
            type=columns.text(type, "node.type"),
            shape=columns.whole_numbers(shape, "node.shape"),
        )
        for id, kind, name, module, type, shape in db.execute(
            "SELECT id, kind, name, module, type, shape FROM node ORDER BY rank"
        )
    )
    edges = db.execute("SELECT source, target FROM edge ORDER BY id")
    return Graph(nodes, tuple((columns.whole(s, "edge.source"), columns.whole(t, "edge.target")) for s, t in edges))


def from_preprocessing(preprocessing: Preprocessing) -> str:
    """The value of `meta.preprocessing`."""
    return columns.to_json(asdict(preprocessing))


def to_output_classes(value: object, classes: int) -> tuple[int | None, ...]:
    """The classes of a value of `meta.output_classes`, each at most once, of so many there are."""
    what = "meta.output_classes"
    found = columns.from_json(value, what)
    if not isinstance(found, list):
        raise DamageError(f"{what} is not a list")
    named = columns.whole_numbers(columns.to_json([one for one in found if one is not None]), what)
    if len(set(named)) < len(named) or any(one >= classes for one in named):
        raise DamageError(f"{what} names a class twice, or one that is not there")
    return tuple(found)


def to_preprocessing(value: object) -> Preprocessing:
    """The preprocessing of a value of `meta.preprocessing`."""
    what = "meta.preprocessing"
    found = columns.from_json(value, what)
    if not isinstance(found, dict) or set(found) != {"resize", "crop", "interpolation", "mean", "std"}:
        raise DamageError(f"{what} has other fields than it must")
    resize, crop = found["resize"], found["crop"]
    sides = None if resize is None else columns.whole_numbers(columns.to_json(resize), what)
    return Preprocessing(
        resize=sides,
        crop=None if crop is None else columns.pair(columns.to_json(crop), what),
        interpolation=columns.one_of(found["interpolation"], INTERPOLATIONS, what),
        mean=columns.numbers(found["mean"], what),
        std=columns.numbers(found["std"], what),
    )


def from_input_statistics(statistics: InputStatistics) -> tuple[Any, ...]:
    """The row of `input_statistics`."""
    arrays = (statistics.mean, statistics.covariance, statistics.spectrum)
    blobs = (np.ascontiguousarray(one, columns.WIDE).tobytes() for one in arrays)
    return (0, statistics.count, columns.to_json(statistics.spectrum.shape), *blobs)


def to_input_statistics(row: tuple[Any, ...]) -> InputStatistics:
    """The record of a row (count, shape, mean, covariance, spectrum)."""
    count, shape, mean, covariance, spectrum = row
    extent = columns.whole_numbers(shape, "input_statistics.shape")
    if len(extent) != 3:
        raise DamageError("input_statistics.shape is not channel, height, frequency")
    channels = extent[0]
    return InputStatistics(
        count=columns.whole(count, "input_statistics.count", least=0),
        mean=columns.wide(mean, (channels,), "input_statistics.mean"),
        covariance=columns.wide(covariance, (channels, channels), "input_statistics.covariance"),
        spectrum=columns.wide(spectrum, extent, "input_statistics.spectrum"),
    )


def of_exemplars(layer: int, scan: LayerScan) -> Iterator[tuple[Any, ...]]:
    """Rows of `exemplar`, in the order of its primary key; raises `ValueError` for a ranking with a gap."""
    rankings = dict(zip(RANKINGS, (scan.by_max, scan.by_mean, scan.quantiles), strict=True))
    for name, ranking in rankings.items():
        if ((ranking.examples[:, :-1] < 0) & (ranking.examples[:, 1:] >= 0)).any():
            raise ValueError(f"the ranking by {name} continues after its end (-1)")
    examples = np.concatenate([ranking.examples for ranking in rankings.values()], axis=1)
    ranks = [rank for ranking in rankings.values() for rank in range(ranking.examples.shape[1])]
    names = [name for name, ranking in rankings.items() for _ in range(ranking.examples.shape[1])]
    there = examples >= 0
    columns = (
        np.broadcast_to(np.arange(len(examples))[:, None], examples.shape),
        np.broadcast_to(np.array(names, object), examples.shape),
        np.broadcast_to(np.array(ranks, np.int64), examples.shape),
        examples,
        np.concatenate([ranking.scores for ranking in rankings.values()], axis=1),
        *np.moveaxis(np.concatenate([_places(ranking) for ranking in rankings.values()], axis=1), -1, 0),
    )
    return zip(repeat(layer), *(column[there].tolist() for column in columns), repeat(None), strict=False)


def _places(ranking: Ranking) -> np.ndarray:
    """For each unit and rank: position, x0, y0, x1, y1; None where there is none."""
    places = np.full((*ranking.examples.shape, 5), None, object)
    if ranking.positions is not None:
        places[..., 0] = ranking.positions
    if ranking.boxes is not None:
        places[..., 1:] = ranking.boxes
    return places
