"""Sums that statistics ask for beside what the kernels gather: a few tensors a unit, each mergeable by addition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Shaped
from torch import Tensor

from torchlurk.errors import MismatchError
from torchlurk.unit_statistics import STATISTICS

NAMES = "names"
"""Of the array that says of which statistics the sums are: those of no example have no other."""


class AskedSums:
    """For each statistic of a layer that asks for some, its sums over the examples seen so far, in float64.

    A statistic that one of two parts does not gather is left out where they merge.
    """

    def __init__(self, statistics: Sequence[str], sums: Mapping[str, dict[str, Float64[Tensor, "unit ..."]]]) -> None:
        self.statistics = tuple(statistics)
        self.sums = {name: dict(sums.get(name, {})) for name in statistics}

    @classmethod
    def empty(cls, statistics: Sequence[str]) -> AskedSums:
        """Those of no example at all."""
        return cls(statistics, {})

    def add(self, maps: Float[Tensor, "batch unit position"], finite: Bool[Tensor, "batch unit"]) -> None:
        """Take in the maps of a batch; what is not finite enters nothing."""
        maps = maps.float()
        for name in self.statistics:
            ask = STATISTICS[name].sums
            assert ask is not None
            for key, values in ask(maps).items():
                kept = finite.reshape(*finite.shape, *(1 for _ in values.shape[2:]))
                self._add(name, key, values.double().where(kept, 0.0).sum(0))

    def _add(self, name: str, key: str, sums: Float64[Tensor, "unit ..."]) -> None:
        before = self.sums[name].get(key)
        self.sums[name][key] = sums if before is None else before + sums

    def merge(self, other: AskedSums) -> None:
        """Take in those of other examples."""
        self.statistics = tuple(name for name in self.statistics if name in other.statistics)
        self.sums = {name: self.sums[name] for name in self.statistics}
        for name in self.statistics:
            for key, sums in other.sums[name].items():
                self._add(name, key, sums)

    def to(self, device: torch.device) -> AskedSums:
        """The same on another device."""
        return AskedSums(
            self.statistics,
            {name: {key: one.to(device) for key, one in sums.items()} for name, sums in self.sums.items()},
        )

    def arrays(self) -> dict[str, Shaped[np.ndarray, ...]]:
        """Everything, as plain arrays by `statistic/key`."""
        named = {f"{name}/{key}": one.cpu().numpy() for name, sums in self.sums.items() for key, one in sums.items()}
        return {NAMES: np.frombuffer("\n".join(self.statistics).encode(), np.uint8), **named}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Shaped[np.ndarray, ...]]) -> AskedSums:
        """Those whose `arrays` these are; raises `MismatchError` for a statistic that this program has not added."""
        statistics = arrays[NAMES].tobytes().decode().split() if NAMES in arrays else []
        for name in statistics:
            if name not in STATISTICS or STATISTICS[name].sums is None:
                raise MismatchError(
                    f"the scan was begun with the statistic '{name}', which is not known here",
                    "continue it with the program that adds the statistic to STATISTICS",
                )
        found: dict[str, dict[str, Tensor]] = {}
        for path, values in arrays.items():
            name, _, key = path.partition("/")
            if key:
                found.setdefault(name, {})[key] = torch.tensor(values)
        return cls(statistics, found)

    def by_statistic(self) -> dict[str, dict[str, Float64[np.ndarray, "unit ..."]]]:
        """The sums of each statistic that has gathered any, by its name."""
        return {name: {key: one.cpu().numpy() for key, one in sums.items()} for name, sums in self.sums.items() if sums}
