"""What units do at each token: the mean of their values where it stands, and of the change that reading it brings (Ming et al.
2017, arXiv 1710.10777).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64, Int32, Int64, Shaped
from torch import Tensor

from torchlurk.records import Layer
from torchlurk.scanning.reductions import kept_on
from torchlurk.scanning.steps import Seen, step_kernels
from torchlurk.time_records import TokenMeans

AT, BEFORE = 0, 1
"""The two sums of each token: of the values where it stands, and of those one step earlier."""


@dataclass(slots=True)
class TokenSums:
    """For each of the frequent tokens, over the counted steps where it stands, the sum of each unit's values there and of its
    values one step earlier, in the order in which the layer reads.

    Before its first step a recurrent state is zero; of every other layer the first step of an example has no change, and
    `count` of it is less for `BEFORE`. Each has one more row, for all other tokens. An example on which a unit is not finite
    enters nothing of that unit; `lost` counts its steps, and is there only once there is one. Memory is 16 bytes a unit and
    token, so at most 16 kB a unit, and half as much again for `lost`, which a device always has. `aligned` is
    whether the layer had one position for each step of every example so far; if
    not, it says nothing of tokens.
    """

    sums: Float64[Tensor, "2 token unit"]
    count: Int64[Tensor, "2 token"]
    lost: Int32[Tensor, "2 token unit"] | None = None
    aligned: bool = True

    @classmethod
    def empty(cls, tokens: int, units: int) -> TokenSums:
        """Those of no example."""
        return cls(torch.zeros(2, tokens + 1, units, dtype=torch.float64), torch.zeros(2, tokens + 1, dtype=torch.int64))

    def add(self, layer: Layer, maps: Float[Tensor, "batch unit time"], seen: Seen) -> None:
        """See `OverTime`."""
        assert seen.tokens is not None
        self.aligned = self.aligned and maps.shape[2] == seen.tokens.shape[1]
        if not self.aligned:
            return
        device = kept_on(maps.device)
        self._move(device)
        values, tokens, others = maps.movedim(1, 2).to(device).float(), seen.tokens_on(device), self.count.shape[1] - 1
        at = torch.full_like(tokens, others)
        first, last, _ = seen.counted or (0, maps.shape[2], maps.shape[2])
        at[:, first:last] = tokens[:, first:last]
        next = torch.full_like(at, others)  # the token that is read after each step
        if layer.reads_backward:
            next[:, 1:] = at[:, :-1]
        else:
            next[:, :-1] = at[:, 1:]
        beginning = -1 if layer.reads_backward else 0
        if device.type != "cpu" or not bool(values.sum().isfinite()):  # to look would make a device wait for the host
            finite = (values.isfinite() | ((at == others) & (next == others))[..., None]).all(1)
            values = values.where(finite[:, None], 0.0).nan_to_num_(0.0, 0.0, 0.0)
            self._leave_out(~finite, at, next, at[:, beginning] if layer.state else None)
        self._sum(at, next, values)
        if layer.state:  # and zero before its first step
            _count(at[:, beginning], self.count[BEFORE])
        else:
            self.sums[BEFORE].index_add_(0, at[:, beginning], values[:, beginning].double())  # so that there is no change

    def _sum(
        self, at: Int64[Tensor, "batch time"], next: Int64[Tensor, "batch time"], values: Float32[Tensor, "batch time unit"]
    ) -> None:
        if values.is_cpu and (kernels := step_kernels()):
            kernels.add_tokens(values, at, next, self.sums)
        else:
            wide = values.double().flatten(0, 1)
            self.sums[AT].index_add_(0, at.flatten(), wide)
            self.sums[BEFORE].index_add_(0, next.flatten(), wide)
        for which, tokens in ((AT, at), (BEFORE, next)):
            _count(tokens, self.count[which])

    def _leave_out(
        self,
        broken: Bool[Tensor, "batch unit"],
        at: Int64[Tensor, "batch time"],
        next: Int64[Tensor, "batch time"],
        first: Int64[Tensor, " batch"] | None,
    ) -> None:
        """Notes the steps of units on examples that do not count; `first` is where a state is zero before."""
        if self.lost is None:
            self.lost = torch.zeros(self.sums.shape, dtype=torch.int32, device=self.sums.device)
        if broken.is_cpu:
            rows = broken.any(1).nonzero()[:, 0]
            broken, at, next, first = broken[rows], at[rows], next[rows], None if first is None else first[rows]
        of = broken.to(torch.int32)
        at_each_step = of[:, None].expand(-1, at.shape[1], -1).flatten(0, 1)
        self.lost[AT].index_add_(0, at.flatten(), at_each_step)
        self.lost[BEFORE].index_add_(0, next.flatten(), at_each_step)
        if first is not None:
            self.lost[BEFORE].index_add_(0, first, of)

    def _move(self, device: torch.device) -> None:
        if self.sums.device != device:
            self.sums, self.count = self.sums.to(device), self.count.to(device)
            self.lost = None if self.lost is None else self.lost.to(device)

    def merge(self, other: TokenSums) -> None:
        """See `OverTime`."""
        self.aligned = self.aligned and other.aligned
        device = self.sums.device
        self.sums += other.sums.to(device)
        self.count += other.count.to(device)
        if other.lost is not None:
            lost = other.lost.to(device)
            self.lost = lost if self.lost is None else self.lost + lost

    def arrays(self) -> dict[str, Shaped[np.ndarray, ...]]:
        """See `OverTime`."""
        known = {"sums": self.sums.cpu().numpy(), "count": self.count.cpu().numpy(), "aligned": np.array(self.aligned)}
        lost = None if self.lost is None else self.lost.cpu().numpy()
        return known if lost is None or not lost.any() else known | {"lost": lost}

    def by_unit(self) -> dict[str, Shaped[np.ndarray, "unit ..."]]:
        """See `OverTime`; there are none."""
        return {}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Shaped[np.ndarray, ...]]) -> TokenSums:
        """See `OverTime`."""
        sums, count, *lost = (torch.tensor(arrays[name]) for name in ("sums", "count", "lost") if name in arrays)
        return cls(sums, count, lost[0] if lost else None, bool(arrays["aligned"]))

    def finish(self) -> TokenMeans | None:
        """The means of each token, NaN where it was never met; None where the layer says nothing of tokens."""
        if not self.aligned:
            return None
        count = self.count[..., None].double() - (0 if self.lost is None else self.lost)
        state, change = self.sums[AT] / count[AT], (self.sums[AT] - self.sums[BEFORE]) / count[BEFORE]
        return TokenMeans(*(means[:-1].T.contiguous().cpu().numpy() for means in (state, change)))


def _count(tokens: Int64[Tensor, ...], counts: Int64[Tensor, " token"]) -> None:
    """Adds how often each token stands there, without a wait for the host."""
    every = tokens.flatten()
    counts.index_add_(0, every, torch.ones_like(every))
