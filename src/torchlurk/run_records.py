"""Plain, frozen values of a study that tell how it was made: the runs of its stages, how far they are, what it is a part of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Run:
    """One stage on one model and data set: everything that decides its result."""

    stage: str
    model: str
    model_fingerprint: str
    data: str
    data_fingerprint: str
    options: Mapping[str, Any]
    seed: int = 0
    version: str = ""
    started: str = ""
    finished: str | None = None


@dataclass(frozen=True, slots=True)
class Portion:
    """What a study holds that is one part of several: part `number` of `of`, of the work of these stages.

    `asked` is what beyond the options of the runs must be the same in all parts, by the name of its option.
    """

    number: int
    of: int
    stages: tuple[str, ...]
    asked: Mapping[str, Any] = field(default_factory=dict)
    finished: bool = False


@dataclass(frozen=True, slots=True)
class StageCount:
    """How far a stage that is not finished has come, in its own items (examples, units)."""

    done: int
    total: int
