"""How far open gates are, and how much they keep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64, Shaped
from torch import Tensor

from torchlurk.records import Layer
from torchlurk.scanning.reductions import kept_on
from torchlurk.scanning.steps import Seen, counted_steps, step_kernels

BOUNDS = 0.1, 0.9
"""Below the one a gate is shut, above the other it is open (Karpathy et al. 2015, arXiv 1506.02078, sec. 4.2)."""

LEAST = 2.0**-24
"""A gate counts as at least so far from 0 and from 1: what is nearer single precision does not tell from them. So the half-life
of what is kept lies between 0.04 and 12 million steps.
"""


@dataclass(slots=True)
class GateSums:
    """Over the counted steps of all examples, for each unit of a gate: how many there are, at how many it is shut and at how
    many open, and, of a gate that keeps, the sum of its logarithm, taken as at least `LEAST` from 0 and 1.

    An example on which a unit is not finite enters nothing.
    """

    steps: Int64[Tensor, " unit"]
    counts: Int64[Tensor, "2 unit"]
    logarithm: Float64[Tensor, " unit"]

    @classmethod
    def empty(cls, units: int) -> GateSums:
        """Those of no example."""
        steps, counts = torch.zeros(units, dtype=torch.int64), torch.zeros(2, units, dtype=torch.int64)
        return cls(steps, counts, torch.zeros(units, dtype=torch.float64))

    def add(self, layer: Layer, maps: Float[Tensor, "batch unit time"], seen: Seen) -> None:
        """See `OverTime`."""
        self._move(kept_on(maps.device))
        values = counted_steps(layer, maps, seen.counted).movedim(1, 2).to(self.steps.device).float()
        if not values.is_cpu or not bool(values.sum().isfinite()):  # to look would make a device wait for the host
            self._add_some(values, layer.keeps)
            return
        self.steps += values.shape[0] * values.shape[1]
        if kernels := step_kernels():
            kernels.add_gates(values, BOUNDS, LEAST, self.counts, self.logarithm, layer.keeps)
        else:
            self._count(values, layer.keeps)

    def _move(self, device: torch.device) -> None:
        for one in fields(self):
            setattr(self, one.name, getattr(self, one.name).to(device))

    def _add_some(self, values: Float[Tensor, "batch time unit"], keeps: bool) -> None:
        """Takes in values that are not all finite."""
        finite = values.isfinite().all(1, keepdim=True)
        self.steps += finite.sum((0, 1)) * values.shape[1]
        self._count(values.where(finite, torch.nan), keeps)

    def _count(self, values: Float[Tensor, "batch time unit"], keeps: bool) -> None:
        self.counts[0] += (values < BOUNDS[0]).sum((0, 1))
        self.counts[1] += (values > BOUNDS[1]).sum((0, 1))
        if keeps:
            self.logarithm += values.double().clamp_(LEAST, 1 - LEAST).log_().nansum((0, 1))

    def merge(self, other: GateSums) -> None:
        """See `OverTime`."""
        for one in fields(self):
            own = getattr(self, one.name)
            own.add_(getattr(other, one.name).to(own.device))

    def arrays(self) -> dict[str, Shaped[np.ndarray, ...]]:
        """See `OverTime`."""
        return {one.name: getattr(self, one.name).cpu().numpy() for one in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Shaped[np.ndarray, ...]]) -> GateSums:
        """See `OverTime`."""
        return cls(**{name: torch.tensor(array) for name, array in arrays.items()})

    def by_unit(self) -> dict[str, Shaped[np.ndarray, "unit ..."]]:
        """See `OverTime`."""
        found = self.arrays()
        shut, open = found["counts"]
        return {"steps": found["steps"], "shut": shut, "open": open, "logarithm": found["logarithm"]}
