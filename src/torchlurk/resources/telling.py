"""What examples and classes tell of a unit: nothing where it has one value everywhere, as none excites it more than another."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float32

from torchlurk.records import UnitRecord
from torchlurk.store.reading import Reader

Profiles = Float32[np.ndarray, "unit class"]


def telling(record: UnitRecord) -> UnitRecord:
    """The record without exemplars and class means where the unit has one value everywhere."""
    if record.statistics["min"] != record.statistics["max"]:
        return record
    unknown = {kind: np.full_like(values, np.nan) for kind, values in record.classes.items()}
    return replace(record, exemplars=dict.fromkeys(record.exemplars, ()), classes=unknown)


def telling_profiles(reader: Reader, layer: str) -> tuple[Profiles, Profiles]:
    """A layer's class means of the per-example max and mean, NaN for units that have one value everywhere."""
    with reader.reading():
        statistics, profiles = reader.statistics(layer), reader.class_profiles(layer)
    by_max, by_mean = (np.where((statistics.min == statistics.max)[:, None], np.float32(np.nan), one) for one in profiles)
    return by_max, by_mean
