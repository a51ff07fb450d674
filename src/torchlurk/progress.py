"""How far long work of a program has come: a bar below the cell in a notebook, which needs nothing but what shows the cell."""

from __future__ import annotations

import importlib
import sys
import time
from dataclasses import dataclass
from html import escape
from typing import Any

from torchlurk.errors import OptionError
from torchlurk.jobs import Clock, Progress, Silence
from torchlurk.option_values import shown

METHODS = ("begin", "advance", "end", "say")

SECONDS_BETWEEN_CHANGES = 0.2
"""How often a bar changes at most: each change is a message to the page."""


def watcher(given: Progress | None) -> Progress:
    """What a program gives, else a bar in a notebook, and silence elsewhere; raises `OptionError` for what is no progress."""
    if given is None:
        return CellBar() if in_notebook() else Silence()
    if lacking := [name for name in METHODS if not callable(getattr(given, name, None))]:
        told = f"progress is {shown(given)}, which has no method {', '.join(lacking)}"
        raise OptionError(told, "give an object of the protocol torchlurk.jobs.Progress, or leave it out")
    return given


def in_notebook() -> bool:
    """Whether a kernel runs this, which shows what is displayed below a cell."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return hasattr(shell, "kernel")


@dataclass
class Pace:
    """A task of `total` items that started at a moment, `done` of them, `earlier` before that."""

    task: str
    total: int
    done: int
    earlier: int
    started: float

    def words(self, moment: float) -> str:
        """How far it is at that moment, how fast it was, and for how many seconds it will go on."""
        elapsed = moment - self.started
        rate = (self.done - self.earlier) / elapsed if elapsed > 0 else 0.0
        left = f", {(self.total - self.done) / rate:.0f} s left" if rate and self.done < self.total else ""
        return f"{self.task}: {self.done} of {self.total} ({rate:.1f}/s{left})"


@dataclass(frozen=True, slots=True)
class Shown:
    """One state of a bar."""

    words: str
    done: int
    total: int

    def _repr_html_(self) -> str:
        bar = f'<progress value="{self.done}" max="{self.total}" style="width: 20em; vertical-align: middle"></progress>'
        return f"<div>{bar} {escape(self.words)}</div>"

    def __repr__(self) -> str:
        return self.words


class CellBar:
    """Progress below a cell of a notebook: a bar a task, and lines."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._pace: Pace | None = None
        self._handle: Any = None
        self._changed = 0.0

    def begin(self, task: str, total: int, done: int = 0) -> None:
        """See `torchlurk.jobs.Progress`."""
        self._pace = Pace(task, total, done, done, self._clock())
        display = importlib.import_module("IPython.display").display  # where there are cells, it is
        self._handle = display(self._shown(self._pace), display_id=True)

    def advance(self, items: int) -> None:
        """See `torchlurk.jobs.Progress`."""
        if self._pace is not None:
            self._pace.done += items
            if self._clock() - self._changed >= SECONDS_BETWEEN_CHANGES:
                self._handle.update(self._shown(self._pace))

    def end(self) -> None:
        """See `torchlurk.jobs.Progress`."""
        if self._pace is not None:
            self._handle.update(self._shown(self._pace))
            self._pace = None

    def say(self, text: str) -> None:
        """See `torchlurk.jobs.Progress`."""
        print(text)

    def _shown(self, pace: Pace) -> Shown:
        self._changed = self._clock()
        return Shown(pace.words(self._changed), pace.done, pace.total)
