"""Attributions where the memory of a device runs out: of fewer pairs at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from torchlurk.attribution.batches import Attributes, Made, Pairs, Piece
from torchlurk.errors import DeviceError, is_out_of_memory

Found = TypeVar("Found")


class InPieces:
    """Attributes as another does; pairs that do not fit into memory are halved, and all after them have as many. See
    `torchlurk.attribution.batches.Attributes`.
    """

    def __init__(self, own: Attributes) -> None:
        self._own = own
        self._most: int | None = None

    def pieces(self, pairs: Pairs) -> Iterator[Pairs]:
        """See `Attributes`."""
        return self._own.pieces(pairs)

    def __call__(self, piece: Piece) -> Made:
        """See `Attributes`."""
        made = Made()
        for some in self._each(piece.pairs, lambda pairs: self._own(replace(piece, pairs=pairs))):
            made.found += some.found
            made.recalls += some.recalls
            made.last_steps += some.last_steps
            made.refused |= some.refused
        return made

    def spreads(self, method: str, pairs: Pairs) -> Iterator[Float[Tensor, "pair 2"]]:
        """See `Attributes`."""
        for some in self._each(pairs, lambda pairs: list(self._own.spreads(method, pairs))):
            yield from some

    def alike(self, methods: Sequence[str], shuffled: nn.Module, pairs: Pairs) -> dict[str, list[float]]:
        """See `Attributes`."""
        found: dict[str, list[float]] = {name: [] for name in methods}
        for some in self._each(pairs, lambda pairs: self._own.alike(methods, shuffled, pairs)):
            for name in methods:
                found[name] += some[name]
        return found

    def _each(self, pairs: Pairs, make: Callable[[Pairs], Found]) -> Iterator[Found]:
        waiting = [pairs] if self._most is None else list(pairs.cut(self._most))
        while waiting:
            some = waiting.pop(0)
            try:
                found = make(some)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                if len(some) < 2:
                    raise DeviceError(
                        f"the attribution of one exemplar of unit {some.channels[0]} of its layer does not fit into the memory"
                        " of the device",
                        "use another device, or name other units with --units",
                    ) from error
                self._most = (len(some) + 1) // 2
                waiting = [*some.cut(self._most), *waiting]
            else:
                yield found
                continue
            torch.cuda.empty_cache()  # what the pass held is free only once the error is gone
