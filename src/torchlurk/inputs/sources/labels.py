"""What a map-style data set says of its items without reading them: classes, their names, paths."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64

CLASS_KEYS = ("label", "labels", "class", "target", "fine_label")
"""Where an item that is a mapping has its class: under the first of these that is there."""

MOST_CLASSES = 100_000
"""A whole number from here on is no class but something else."""


def listed_classes(dataset: Any, part: int = 1) -> Int64[np.ndarray, " example"] | None:
    """The class of every item as the data set lists them, -1 for none; None where it lists none.

    Looks through `Subset` and `ConcatDataset`. A `target_transform` makes other classes of them than are listed. Of stacked
    tensors, `part` is the one that holds the classes.
    """
    inner, indices = getattr(dataset, "dataset", None), getattr(dataset, "indices", None)
    if inner is not None and indices is not None:
        listed = listed_classes(inner, part)
        return listed[np.asarray(indices, np.int64)] if listed is not None else None
    if isinstance(getattr(dataset, "datasets", None), (list, tuple)):
        several = [listed_classes(one, part) for one in dataset.datasets]
        known = [one for one in several if one is not None]
        return np.concatenate(known) if len(known) == len(several) else None
    if getattr(dataset, "target_transform", None) is not None:
        return None
    found = (_as_classes(listing, len(dataset)) for listing in _listings(dataset, part))
    return next((one for one in found if one is not None), None)


def _listings(dataset: Any, part: int) -> list[Any]:
    tensors = getattr(dataset, "tensors", None)
    return [
        getattr(dataset, "targets", None),
        getattr(dataset, "labels", None),
        tensors[part] if isinstance(tensors, tuple) and len(tensors) > part else None,
        [label for _, label in _pairs(dataset)],
    ]


def _as_classes(listing: Any, size: int) -> Int64[np.ndarray, " example"] | None:
    if not isinstance(listing, (list, tuple, np.ndarray, torch.Tensor)) or len(listing) != size:
        return None
    try:
        array = np.asarray(listing)
    except (ValueError, TypeError):
        return None
    if array.ndim != 1 or array.dtype.kind not in "iu":
        return None
    return np.where((array >= 0) & (array < MOST_CLASSES), array, -1).astype(np.int64)


def _pairs(dataset: Any) -> list[tuple[Any, Any]]:
    """The (path, class) pairs that torchvision's folder data sets keep; none for others."""
    samples = getattr(dataset, "samples", None)
    known = isinstance(samples, list) and all(isinstance(one, tuple) and len(one) == 2 for one in samples)
    return samples if known and samples is not None else []


def own_class_names(dataset: Any) -> list[str] | None:
    """The data set's own class names, looking through `Subset` and `ConcatDataset`; None where it has none."""
    names = getattr(dataset, "classes", None)
    if isinstance(names, (list, tuple)) and all(isinstance(one, str) for one in names):
        return list(names)
    features = getattr(dataset, "features", None)
    if isinstance(features, Mapping):
        label = next((features[key] for key in CLASS_KEYS if key in features), None)
        return getattr(label, "names", None)
    inner = [getattr(dataset, "dataset", None), *(getattr(dataset, "datasets", None) or ())]
    return next((found for one in inner if one is not None and (found := own_class_names(one))), None)


def item_paths(dataset: Any) -> list[str] | None:
    """Each item's file, relative to the data set's root, where it lists them in torchvision's way."""
    inner, indices = getattr(dataset, "dataset", None), getattr(dataset, "indices", None)
    if inner is not None and indices is not None:
        paths = item_paths(inner)
        return [paths[index] for index in indices] if paths else None
    pairs, root = _pairs(dataset), getattr(dataset, "root", None)
    if len(pairs) != len(dataset) or not isinstance(root, (str, os.PathLike)):
        return None
    if not all(isinstance(path, str) for path, _ in pairs):
        return None
    return [os.path.relpath(path, root).replace(os.sep, "/") for path, _ in pairs]
