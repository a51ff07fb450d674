"""What every reader of series gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
from jaxtyping import Float32

from torchlurk.inputs.sources.class_files import Labelling
from torchlurk.records import Skip


@dataclass(frozen=True, slots=True)
class Recordings:
    """Series as they were read; `channels` are their names ('' where unknown), `paths` '' where an example has no file.

    `labels` is None where the data tells no classes.
    """

    values: Sequence[Float32[np.ndarray, "_ channel"]]  # lengths may differ
    channels: tuple[str, ...]
    paths: tuple[str, ...]
    labels: Labelling | None
    skipped: tuple[Skip, ...] = ()


class Turned(Sequence[Float32[np.ndarray, "_ channel"]]):
    """The same series with steps for channels and channels for steps."""

    def __init__(self, values: Sequence[Float32[np.ndarray, "channel _"]]) -> None:
        self._values = values

    def __len__(self) -> int:
        return len(self._values)

    @overload
    def __getitem__(self, index: int) -> Float32[np.ndarray, "_ channel"]: ...
    @overload
    def __getitem__(self, index: slice) -> list[Float32[np.ndarray, "_ channel"]]: ...
    def __getitem__(self, index: int | slice) -> Float32[np.ndarray, "_ channel"] | list[Float32[np.ndarray, "_ channel"]]:
        return [one.T for one in self._values[index]] if isinstance(index, slice) else self._values[index].T
