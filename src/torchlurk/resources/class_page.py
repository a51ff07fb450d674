"""The document of one class: its examples, and the units of each layer that answer to it most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float32

from torchlurk.records import Class, Layer
from torchlurk.resources.cache import Remembered
from torchlurk.resources.documents import number
from torchlurk.resources.telling import telling_profiles
from torchlurk.store import queries
from torchlurk.store.reading import Reader

EXAMPLES, UNITS = 60, 12
"""How many are named, of a class and of each layer."""

Contrasts = Float32[np.ndarray, "unit class"]


def class_document(reader: Reader, one: Class, layers: Sequence[tuple[int, Layer]], remembered: Remembered) -> dict[str, Any]:
    """`value` is the mean over the class's examples of the per-example max; `contrast` how far that lies above the mean of the
    other classes, in standard deviations over classes.
    """
    examples = queries.pictured_examples(reader, one.index, EXAMPLES)
    files = queries.picture_files(reader, (index for index, _ in examples))
    return {
        "index": one.index,
        "name": one.name,
        "label": one.label,
        "count": queries.class_sizes(reader).get(one.index, 0),
        "examples": [
            {"example": index, "path": path, "picture": f"pictures/{files[index]}" if index in files else None}
            for index, path in examples
        ],
        "layers": [
            {"layer": index, "name": layer.name, "units": _strongest(reader, index, layer.name, one.index, remembered)}
            for index, layer in layers
        ],
    }


def contrasts(profiles: Float32[np.ndarray, "unit class"]) -> Contrasts:
    """How far each class lies above the mean of the others, in standard deviations over classes; -inf where unknown."""
    known = np.isfinite(profiles)
    values = np.where(known, profiles, 0.0).astype(np.float64)
    count = known.sum(axis=1, keepdims=True)
    total = values.sum(axis=1, keepdims=True)
    others = (total - values) / np.maximum(count - 1, 1)
    mean = total / np.maximum(count, 1)
    spread = np.sqrt((np.square(values - mean) * known).sum(axis=1, keepdims=True) / np.maximum(count, 1))
    found = np.divide(values - others, spread, out=np.zeros_like(values), where=spread > 0)
    return np.where(known & (count > 1), found, -np.inf).astype(np.float32)


def _strongest(reader: Reader, index: int, layer: str, of_class: int, remembered: Remembered) -> list[dict[str, Any]]:
    """The units with the highest contrast; found for all classes at once, as one is rarely looked at alone."""

    def ranked() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        profiles = telling_profiles(reader, layer)[0]
        found = contrasts(profiles)
        order = np.argsort(-found, axis=0, kind="stable")[:UNITS]
        return order, np.take_along_axis(profiles, order, axis=0), np.take_along_axis(found, order, axis=0)

    order, values, found = remembered(("strongest", layer), ranked)
    return [
        {"channel": int(channel), "value": number(float(value)), "contrast": number(round(float(contrast), 3))}
        for channel, value, contrast in zip(order[:, of_class], values[:, of_class], found[:, of_class], strict=True)
        if np.isfinite(contrast) and contrast > 0
    ]
