"""The document of one layer: everything by which its grid of units is sorted, filtered and drawn."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from torchlurk.options import PER_SHEET, shows_exemplars
from torchlurk.records import ALIKE, Layer, Ranking
from torchlurk.rendering.steps import Content
from torchlurk.resources import sheets
from torchlurk.resources.best_steps import excerpt, strongest_step
from torchlurk.resources.documents import DIGITS, number, rounded, track_document
from torchlurk.resources.outputs import named_outputs
from torchlurk.resources.remarks import layer_marks
from torchlurk.resources.telling import telling_profiles
from torchlurk.store import queries
from torchlurk.store.reading import Reader
from torchlurk.track_records import best_strength
from torchlurk.unit_statistics import listed


def views(reader: Reader, layer: int) -> list[str]:
    """What tiles can show: natural pictures first, synthetic ones last."""
    if reader.inputs().kind != "pictures":
        return []
    kernels = ["kernel"] if layer in queries.kernel_layers(reader) else []
    attributions = [f"attribution-{method}" for method in queries.methods(reader, layer)]
    exemplars = ["box", "whole"] if shows_exemplars(reader.input_shape()) else []
    return [*exemplars, *kernels, *attributions, *(f"synthesis-{preset}" for preset in queries.presets(reader, layer))]


def layer_document(reader: Reader, layers: Sequence[Layer], index: int) -> dict[str, Any]:
    """Columns with an entry a channel, and where the sprite sheets are."""
    layer = layers[index]
    known, best = reader.statistics(layer.name).by_name(), reader.best(layer.name)
    favourites, second, scores = _favourites(reader, layer)
    fewer = sheets.missing(best)
    return {
        "id": index,
        "name": layer.name,
        "provisional": queries.provisional(reader).get(index),
        "outputs": named_outputs(reader, layers, index),
        "statistics": {name: _column(known[name]) for name in listed(list(known))},
        "best_class": favourites,
        "second_class": second,
        "class_score": scores,
        "best": _best(reader, layer, best),
        "effective_field": reader.effective_field(layer.name),
        "checks": checks_of(reader, layer.name),
        "syntheses": _syntheses(reader, index, layer.channels),
        "remarks": layer_marks(reader, layer.name),
        **_knows(reader, layer),
        "sheets": {
            view: {
                "tile": sheets.TILE,
                "columns": sheets.COLUMNS,
                "per_sheet": PER_SHEET,
                "sheets": [f"sheets/{index}-{view}-{n}.jpg" for n in range(sheets.sheets_of(layer.channels))],
                "missing": fewer if view in ("box", "whole") else _unmade(reader, index, layer.channels, view),
            }
            for view in views(reader, index)
        },
    }


def _best(reader: Reader, layer: Layer, best: Ranking) -> dict[str, Any]:
    """Each unit's strongest example; of a text or series with its step, its reach and, of a text, the token in its context."""
    known = {"example": best.examples[:, 0].tolist(), "score": _column(best.scores[:, 0])}
    boxes = None if best.boxes is None else best.boxes[:, 0].tolist()
    if reader.inputs().kind == "pictures":
        return known | {"box": boxes}
    held = {example: reader.sequence(example) for example in set(known["example"]) if example >= 0}
    steps = _steps(reader, layer, best, held)
    texts = [excerpt(held.get(example), step) for example, step in zip(known["example"], steps, strict=True)]
    return known | {"box": None, "step": steps, "reach": boxes and [[box[0], box[2]] for box in boxes], "texts": texts}


def _knows(reader: Reader, layer: Layer) -> dict[str, Any]:
    """Of a text, how well each unit tells each track, and how well the best one does untrained."""
    found = reader.track_scores(layer.name)
    if not found:
        return {}
    return {
        "knows": [
            track_document(one.track)
            | {
                "score": [rounded(score) for score in one.trained.tolist()],
                "untrained": rounded(best_strength(one.track.measure, one.untrained)),
            }
            for one in found
        ]
    }


Held = Mapping[int, Content | None]


def _steps(reader: Reader, layer: Layer, best: Ranking, held: Held) -> list[int]:
    """The step at which each unit is strongest; -1 where no step is."""
    if best.positions is None:
        return [-1] * len(best.examples)
    positions = reader.best_positions(layer.name)
    places = zip(best.examples[:, 0].tolist(), best.positions[:, 0].tolist(), strict=True)
    return [
        strongest_step(layer, position, positions.get(channel), held.get(example))
        for channel, (example, position) in enumerate(places)
    ]


def checks_of(reader: Reader, layer: str) -> dict[str, Any]:
    """By method, how its pictures of a layer did in the randomization check."""
    return {
        one.method: {"similarity": number(one.similarity), "marked": one.marked, "limit": ALIKE} for one in reader.checks(layer)
    }


def _unmade(reader: Reader, index: int, channels: int, view: str) -> list[int]:
    """Channels of which there is no attribution, or no synthesis, by this method or preset."""
    kind, _, name = view.partition("-")
    made: Collection[int] = range(channels)
    if kind == "attribution":
        made = queries.best_attributions(reader, index, name)
    elif kind == "synthesis":
        made = queries.layer_syntheses(reader, index)[name]
    return [channel for channel in range(channels) if channel not in made]


def _favourites(reader: Reader, layer: Layer) -> tuple[list[int], list[int], list[float | None]]:
    """For each unit the classes with the highest and the second highest mean of the max, and the highest; -1 for none."""
    by_max, _ = telling_profiles(reader, layer.name)
    if by_max.shape[1] == 0:
        return [-1] * len(by_max), [-1] * len(by_max), [None] * len(by_max)
    values = np.where(np.isfinite(by_max), by_max, -np.inf)
    order = np.argsort(-values, axis=1, kind="stable")[:, :2]
    highest = np.take_along_axis(values, order, axis=1)
    chosen = np.where(np.isfinite(highest), order, -1)
    second = chosen[:, 1] if chosen.shape[1] > 1 else np.full(len(chosen), -1)
    return chosen[:, 0].tolist(), second.tolist(), _column(highest[:, 0])


def _syntheses(reader: Reader, index: int, channels: int) -> dict[str, Any]:
    found = {}
    for preset, by_channel in queries.layer_syntheses(reader, index).items():
        rows = [by_channel.get(channel) for channel in range(channels)]
        found[preset] = {
            "activation": [None if row is None else number(row.activation) for row in rows],
            "ratio": [None if row is None else number(row.ratio) for row in rows],
            "marked": [None if row is None else row.marked for row in rows],
        }
    return found


def _column(values: np.ndarray) -> list[float | None]:
    return [number(float(f"{value:.{DIGITS}g}")) for value in values.tolist()]
