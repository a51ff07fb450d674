"""The document of one unit: what `show --json` prints, and what surrounds the unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from torchlurk.errors import StudyError
from torchlurk.records import Class, Layer, UnitRecord
from torchlurk.rendering.charts import bins
from torchlurk.rendering.labels import top_classes
from torchlurk.rendering.low_end import lowest_places
from torchlurk.resources.cache import Remembered
from torchlurk.resources.documents import number, placed, step_attribution, unit_document, with_values
from torchlurk.resources.layer_page import checks_of
from torchlurk.resources.outputs import named_output
from torchlurk.resources.relations import Standardized, most_alike, neighbours, standardized
from torchlurk.resources.telling import telling, telling_profiles
from torchlurk.resources.token_documents import tokens_document
from torchlurk.store import queries
from torchlurk.store.reading import Reader
from torchlurk.units import Unit

MOST = 8
"""Units named as similar, before or after."""

TRACE_DIGITS = 4
"""Significant digits of a unit's value at a step."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The other units of a study, their responses at hand for as long as they are asked for again and again."""

    reader: Reader
    layers: Sequence[Layer]
    remembered: Remembered

    def responses(self, layer: str) -> Standardized:
        """Of all units of a layer; none where it is not scanned."""
        return self.remembered(("responses", layer), lambda: standardized(self._samples(layer)))

    def profiles(self, layer: str) -> Standardized:
        """Of all units of a layer, their class means as `standardized` makes them."""
        return self.remembered(("profiles", layer), lambda: standardized(telling_profiles(self.reader, layer)[0]))

    def neighbours(self, layer: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The layers before and after."""
        found = self.remembered(("neighbours",), lambda: neighbours(self.reader.graph(), self.layers))
        return found[layer]

    def _samples(self, layer: str) -> np.ndarray:
        try:
            return self.reader.samples(layer)
        except StudyError:  # not scanned, or not yet
            return np.zeros((0, len(self.reader.sample_examples())), np.float32)


def unit_page(reader: Reader, unit: Unit, index: int, around: Surroundings) -> dict[str, Any]:
    """Everything that the page of a unit shows; `index` is its layer's number."""
    record, classes = telling(reader.unit(unit)), reader.classes()
    made = reader.attributions(unit), reader.syntheses(unit), reader.findings(unit)
    document = unit_document(record, classes, *made, reader.remarks(unit.layer).get(unit))
    _with_pictures(reader, document, record)
    counts, edges = bins(record.sample)
    numbers = {layer.name: number for number, layer in enumerate(around.layers)}
    before, after = around.neighbours(unit.layer)
    return document | {
        "id": index,
        "dead": record.dead,
        "provisional": queries.provisional(reader).get(index),
        "output": named_output(reader, around.layers, index, unit.channel),
        "exemplars": document["exemplars"] | {"quantile": _quantiles(reader, record)},
        "classes": {kind: _classes(record, classes, kind) for kind in ("max", "mean")},
        "histogram": {"edges": edges.tolist(), "counts": counts.tolist(), "zeros": int((record.sample == 0).sum())},
        "similar": {
            "classes": _alike(around.profiles(unit.layer), unit.channel),
            "coactivation": _alike(around.responses(unit.layer), unit.channel),
        },
        "before": _others(around, unit, before, numbers),
        "after": _others(around, unit, after, numbers),
        "checks": checks_of(reader, unit.layer),
        "effective_field": reader.effective_field(unit.layer),
        **_traces(reader, unit, record),
        **tokens_document(reader, record),
    }


def step_attributions(reader: Reader, unit: Unit) -> dict[str, Any] | None:
    """The numbers of a unit's attributions on texts or series; None where there are none."""
    found = reader.step_attributions(unit)
    known = {"layer": unit.layer, "channel": unit.channel}
    return known | {"attributions": [with_values(one) for one in found]} if found else None


def _traces(reader: Reader, unit: Unit, record: UnitRecord) -> dict[str, Any]:
    """Of a text or series, what the unit did at each step of its exemplars, by example, where it is lowest, and its
    attributions.
    """
    if reader.inputs().kind == "pictures":
        return {}
    found = reader.traces(unit)
    attributed = [step_attribution(one) for one in reader.step_attributions(unit)]
    contents = {example: content for example in found if (content := reader.sequence(example)) is not None}
    places = lowest_places(record, contents, found)
    return {
        "attributions": attributed,
        **({"lowest": [placed(one) | {"picture": None} for one in places]} if places else {}),
        "traces": {str(example): [_written(value) for value in values.tolist()] for example, values in found.items()},
    }


def _written(value: float) -> float:
    """A value of a trace, which is known to one of 255 levels: more digits would say no more."""
    return float(f"{value:.{TRACE_DIGITS}g}")


def _with_pictures(reader: Reader, document: dict[str, Any], record: UnitRecord) -> None:
    """Names, beside every example and record of a picture, the file that holds it."""
    shown = {one.example: one for kind in ("max", "mean") for one in record.exemplars[kind]}
    files = queries.picture_files(reader, shown)
    for kind in ("max", "mean"):
        for entry in document["exemplars"][kind]:
            one = shown[entry["example"]]
            entry |= {"path": one.path, "class": one.class_label, "picture": _path(files.get(one.example))}
    images = [entry for kind in ("attributions", "syntheses") for entry in document["images"][kind]]
    stored = queries.files_of(reader, (entry["picture"] for entry in images))
    for entry in images:
        entry["picture"] = _path(stored.get(entry["picture"]))


def _path(file: str | None) -> str | None:
    return None if file is None else f"pictures/{file}"


def _quantiles(reader: Reader, record: UnitRecord) -> list[dict[str, Any]]:
    found = record.exemplars["quantile"]
    files = queries.picture_files(reader, (one.example for one in found))
    return [
        {
            "level": round((one.rank + 1) / (len(found) + 1), 3),
            "example": one.example,
            "path": one.path,
            "class": one.class_label,
            "score": number(one.score),
            "picture": _path(files.get(one.example)),
        }
        for one in found
    ]


def _classes(record: UnitRecord, classes: Sequence[Class], kind: str) -> list[dict[str, Any]]:
    found = top_classes(record.classes[kind], classes)
    return [{"index": one.index, "class": one.label, "value": number(value)} for one, value in found]


def _alike(responses: Standardized, channel: int) -> list[dict[str, Any]]:
    found = most_alike(responses[channel], responses, MOST, without=channel)
    return [{"channel": other, "value": number(round(value, 4))} for other, value in found]


def _others(around: Surroundings, unit: Unit, layers: Sequence[str], numbers: dict[str, int]) -> list[dict[str, Any]]:
    """The units of other layers that respond to the same examples, highest correlation first."""
    own = around.responses(unit.layer)[unit.channel]
    found = [
        (value, numbers[layer], layer, channel)
        for layer in layers
        for channel, value in most_alike(own, around.responses(layer), MOST)
    ]
    found.sort(key=lambda one: (-one[0], one[1], one[3]))
    return [
        {"layer": index, "name": layer, "channel": channel, "value": number(round(value, 4))}
        for value, index, layer, channel in found[:MOST]
    ]
