"""The JSON documents of a study. Numbers that are undefined (NaN) are null."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from torchlurk.records import Class, Exemplar, Graph, Layer, UnitRecord

CLASSES_SHOWN = 20
"""How many of the highest class means a unit's document lists."""


def number(value: float | None) -> float | None:
    """A float that JSON can hold: NaN and infinities are null."""
    return None if value is None or not math.isfinite(value) else float(value)


def unit_document(record: UnitRecord, classes: Sequence[Class]) -> dict[str, Any]:
    """What `torchlurk show STUDY UNIT --json` prints."""
    return {
        "layer": record.layer.name,
        "channel": record.channel,
        "layout": record.layer.layout,
        "shape": list(record.layer.shape),
        "statistics": {name: number(value) for name, value in record.statistics.items()},
        "exemplars": {
            "max": [_placed(exemplar) for exemplar in record.exemplars.get("max", ())],
            "mean": [_scored(exemplar) for exemplar in record.exemplars.get("mean", ())],
        },
        "classes": {kind: highest(record.classes[kind], classes) for kind in ("max", "mean")},
        "images": {"attributions": [], "syntheses": []},
    }


def highest(values: np.ndarray, classes: Sequence[Class], most: int = CLASSES_SHOWN) -> list[dict[str, Any]]:
    """The classes with the highest values, highest first, equal ones by index; classes without a value are left out."""
    order = np.argsort(-values, kind="stable")
    known = [index for index in order if math.isfinite(values[index])]
    return [{"class": classes[index].label, "value": float(values[index])} for index in known[:most]]


def layers_document(model: str, input_shape: Sequence[int], layers: Sequence[Layer], graph: Graph) -> dict[str, Any]:
    """What `torchlurk layers MODEL --json` prints."""
    return {
        "model": model,
        "input": list(input_shape),
        "layers": [asdict(layer) for layer in layers],
        "graph": {"nodes": [asdict(node) for node in graph.nodes], "edges": [list(edge) for edge in graph.edges]},
    }


def _scored(exemplar: Exemplar) -> dict[str, Any]:
    return {"rank": exemplar.rank, "example": exemplar.example, "score": number(exemplar.score)}


def _placed(exemplar: Exemplar) -> dict[str, Any]:
    return {
        "rank": exemplar.rank,
        "example": exemplar.example,
        "path": exemplar.path,
        "class": exemplar.class_label,
        "score": number(exemplar.score),
        "position": None if exemplar.position is None else list(exemplar.position),
        "box": None if exemplar.box is None else list(exemplar.box),
        "recall": number(exemplar.recall),
    }
