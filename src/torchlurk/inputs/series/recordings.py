"""What every reader of series gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
