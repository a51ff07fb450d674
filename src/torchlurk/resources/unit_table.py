"""All units of a study, or of some of its layers, as one table: a row a unit, layers by depth, then by channel."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache

import numpy as np
from jaxtyping import Float32

from torchlurk.frames import Column, Table, floats, texts
from torchlurk.input_records import TextExample
from torchlurk.records import Class, Layer, Remark, Synthesis
from torchlurk.resources.best_steps import excerpt, strongest_step
from torchlurk.resources.outputs import named_outputs
from torchlurk.resources.telling import telling_profiles
from torchlurk.store import queries, unit_rows
from torchlurk.store.reading import Reader
from torchlurk.store.unit_rows import Strongest
from torchlurk.track_records import best_strength
from torchlurk.unit_statistics import listed
from torchlurk.units import Unit, matching

Columns = dict[str, Column]


def unit_table(reader: Reader, globs: Iterable[str] = ()) -> Table:
    """The units that are scanned, of all layers or of those whose name matches one of the globs.

    A column of what only some layers have (a statistic, a method, a track) is null for the others; one of what no layer at hand
    has is not there. Raises `UnitError` for a glob that matches no layer, `StudyError` where none of the layers is scanned.
    """
    with reader.reading():
        layers, classes, counts = reader.layers(), reader.classes(), queries.unit_counts(reader)
        wanted = set(matching(globs, [layer.name for layer in layers])) if (globs := tuple(globs)) else None
        chosen = [index for index, layer in enumerate(layers) if wanted is None or layer.name in wanted]
        scanned = [index for index in chosen if index in counts]
        if chosen and not scanned:
            reader.statistics(layers[chosen[0]].name)  # says why there are none
        parts = [_layer(reader, layers, index, classes) for index in scanned]
    return _joined(parts, [layers[index].channels for index in scanned])


def _layer(reader: Reader, layers: Sequence[Layer], index: int, classes: Sequence[Class]) -> list[Columns]:
    """The columns of a layer's units, in groups in the order in which they stand in the table."""
    layer = layers[index]
    known = reader.statistics(layer.name)
    return [
        _places(reader, layers, index) | {"dead": Column("bool", known.dead())},
        {name: Column("float", values) for name, values in known.by_name().items()},
        _classes(reader, layer, classes),
        _strongest(reader, layer, index),
        _memory(reader, layer, index),
        _knows(reader, layer),
        _evidence(reader, layer, index),
        _syntheses(reader, layer, index),
        _remarks(reader, layer),
    ]


def _places(reader: Reader, layers: Sequence[Layer], index: int) -> Columns:
    layer = layers[index]
    outputs = named_outputs(reader, layers, index)
    return {
        "unit": texts(str(Unit(layer.name, channel)) for channel in range(layer.channels)),
        "layer": texts([layer.name] * layer.channels),
        "depth": Column("int", np.full(layer.channels, index)),
        "channel": Column("int", np.arange(layer.channels)),
        "type": texts([layer.type] * layer.channels),
        **({"output": texts(name or None for name in outputs["names"])} if outputs else {}),
    }


def _classes(reader: Reader, layer: Layer, classes: Sequence[Class]) -> Columns:
    """The classes with the highest mean of the maximum and of the mean."""
    if not classes:
        return {}
    by_max, by_mean = telling_profiles(reader, layer.name)
    names = [one.label for one in classes]
    first, value = _highest(by_max)
    by_max[np.arange(len(by_max)), first] = np.nan
    second, next_value = _highest(by_max)
    mean_first, mean_value = _highest(by_mean)
    return {
        "best_class": _named(first, names),
        "best_class_value": Column("float", value),
        "second_class": _named(second, names),
        "second_class_value": Column("float", next_value),
        "best_class_by_mean": _named(mean_first, names),
        "best_class_by_mean_value": Column("float", mean_value),
    }


def _highest(values: Float32[np.ndarray, "unit class"]) -> tuple[np.ndarray, np.ndarray]:
    """For each unit the class with the highest value (of equal ones the first; -1 where none has a value), and the value."""
    ranked = np.fmax(values, -np.inf)
    first = ranked.argmax(axis=1)
    found = np.take_along_axis(values, first[:, None], axis=1)[:, 0].astype(np.float64)
    return np.where(np.isnan(found), -1, first), found


def _named(indices: np.ndarray, names: Sequence[str]) -> Column:
    return texts(None if index < 0 else names[index] for index in indices.tolist())


def _strongest(reader: Reader, layer: Layer, index: int) -> Columns:
    found = unit_rows.strongest(reader, index, layer.channels)
    return {
        "best_example": _whole(found.example),
        "best_path": texts(found.path),
        "best_example_class": texts(found.class_label),
        "best_score": floats(found.score),
        "best_recall": floats(found.recall),
        **(_boxes(found) if reader.inputs().kind == "pictures" else _steps(reader, layer, found)),
    }


def _boxes(found: Strongest) -> Columns:
    sides = {"x0": found.x0, "y0": found.y0, "x1": found.x1, "y1": found.y1}
    return {f"best_{side}": _whole(values) for side, values in sides.items()}


def _steps(reader: Reader, layer: Layer, found: Strongest) -> Columns:
    """Of texts and series, where the unit is strongest and what it can have seen there; of texts what stands around that."""
    positions, sequence = reader.best_positions(layer.name), cache(reader.sequence)
    contents = [None if example is None else sequence(example) for example in found.example]
    steps = [
        strongest_step(layer, position, positions.get(channel), content)
        for channel, (position, content) in enumerate(zip(found.position, contents, strict=True))
    ]
    known = {
        "best_step": _whole([None if step < 0 else step for step in steps]),
        "best_reach_start": _whole(found.x0),
        "best_reach_stop": _whole(found.x1),
    }
    if reader.inputs().kind != "text":
        return known
    around = [excerpt(content, step) or NOTHING for content, step in zip(contents, steps, strict=True)]
    places = [
        content.place(path, step) if isinstance(content, TextExample) and path and step >= 0 else None
        for path, content, step in zip(found.path, contents, steps, strict=True)
    ]
    before, token, after = zip(*around, strict=True) if around else ((), (), ())
    known["best_place"] = texts(places)
    return known | {"best_before": texts(before), "best_token": texts(token), "best_after": texts(after)}


NOTHING = (None, None, None)


def _whole(values: Sequence[int | None]) -> Column:
    return Column("int", values, nullable=True)


def _memory(reader: Reader, layer: Layer, index: int) -> Columns:
    return {
        f"last_steps_{steps}": _by_channel(found, layer) for steps, found in sorted(unit_rows.last_steps(reader, index).items())
    }


def _knows(reader: Reader, layer: Layer) -> Columns:
    found = {}
    for one in reader.track_scores(layer.name):
        untrained = best_strength(one.track.measure, one.untrained)
        found[f"knows_{one.track.name}"] = Column("float", one.trained.astype(np.float64))
        found[f"knows_{one.track.name}_untrained"] = Column("float", np.full(layer.channels, untrained))
    return found


def _evidence(reader: Reader, layer: Layer, index: int) -> Columns:
    found: Columns = {}
    for check in reader.checks(layer.name):
        found[f"check_{check.method}"] = Column("float", np.full(layer.channels, check.similarity))
        found[f"check_{check.method}_marked"] = Column("bool", [check.marked] * layer.channels, nullable=True)
    kept = unit_rows.kept(reader, index)
    return found | {f"kept_{method}": _by_channel(values, layer) for method, values in kept.items()}


def _syntheses(reader: Reader, layer: Layer, index: int) -> Columns:
    found: Columns = {}
    for preset, by_channel in sorted(queries.layer_syntheses(reader, index).items()):
        rows = [by_channel.get(channel) for channel in range(layer.channels)]

        def numbers(value: Callable[[Synthesis], float], rows: list[Synthesis | None] = rows) -> Column:
            return floats(None if row is None else value(row) for row in rows)

        found |= {
            f"synthesis_{preset}_activation": numbers(lambda row: row.activation),
            f"synthesis_{preset}_ratio": numbers(lambda row: row.ratio),
            f"synthesis_{preset}_percentile": numbers(lambda row: row.percentile),
            f"synthesis_{preset}_robustness": numbers(lambda row: row.robustness),
            f"synthesis_{preset}_marked": texts(None if row is None else row.marked for row in rows),
        }
    return found


def _remarks(reader: Reader, layer: Layer) -> Columns:
    noted = {unit.channel: one for unit, one in reader.remarks(layer.name).items()}
    found = [noted.get(channel, Remark()) for channel in range(layer.channels)]
    return {
        "name": texts(one.name or None for one in found),
        "note": texts(one.text or None for one in found),
        "starred": Column("bool", np.array([one.starred for one in found], bool)),
    }


def _by_channel(values: Mapping[int, float], layer: Layer) -> Column:
    return floats(values.get(channel) for channel in range(layer.channels))


def _joined(parts: Sequence[Sequence[Columns]], units: Sequence[int]) -> Table:
    """The layers below each other; what a layer does not have is null there."""
    columns: Columns = {}
    groups = range(len(parts[0]) if parts else 0)
    others = {name for part in parts for group in groups if group != STATISTICS for name in part[group]}
    for group in groups:
        names = list(dict.fromkeys(name for part in parts for name in part[group]))
        for name in listed(names) if group == STATISTICS else names:
            # A statistic that a program has added may be called as another column is.
            own = f"statistic_{name}" if group == STATISTICS and name in others else name
            columns[own] = _stacked([part[group].get(name) for part in parts], units)
    return Table(columns, sum(units))


STATISTICS = 1
"""The group of columns whose order is that of the statistics."""


def _stacked(pieces: Sequence[Column | None], units: Sequence[int]) -> Column:
    (kind, *_), nullable = [one.type for one in pieces if one], any(one.nullable for one in pieces if one)
    if not nullable:
        empty = np.nan if kind == "float" else 0
        arrays = [np.full(count, empty) if one is None else one.values for one, count in zip(pieces, units, strict=True)]
        return Column(kind, np.concatenate(arrays))
    values = [
        value for one, count in zip(pieces, units, strict=True) for value in ([None] * count if one is None else one.values)
    ]
    return Column(kind, values, nullable=True)
