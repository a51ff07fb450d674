"""How far long work has come: a bar with rate and time left on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from torchlurk.jobs import Progress as Watcher
from torchlurk.progress import Pace

SECONDS_BETWEEN_LINES = 10.0
"""How often work that is not watched on a terminal says how far it is."""


def watcher() -> Watcher:
    """A bar where standard error is a terminal, lines where it is not."""
    return Bar() if sys.stderr.isatty() else Lines()


class Bar:
    """Progress on a terminal."""

    def __init__(self) -> None:
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._console = Console(stderr=True, highlight=False)

    def begin(self, task: str, total: int, done: int = 0) -> None:
        """See `torchlurk.jobs.Progress`."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
        self._bar = Progress(*columns, TimeRemainingColumn(compact=True), console=self._console)
        self._task = self._bar.add_task(task, total=total, completed=done, rate="")
        self._bar.start()

    def advance(self, items: int) -> None:
        """See `torchlurk.jobs.Progress`."""
        if self._bar:
            self._bar.advance(self._task, items)
            speed = self._bar.tasks[0].speed
            self._bar.update(self._task, rate=f"{speed:.1f}/s" if speed else "")

    def end(self) -> None:
        """See `torchlurk.jobs.Progress`."""
        if self._bar:
            self._bar.stop()
            self._bar = None

    def say(self, text: str) -> None:
        """See `torchlurk.jobs.Progress`."""
        self._console.print(text, markup=False, soft_wrap=True)


class Lines:
    """Progress in a log."""

    def __init__(self) -> None:
        self._pace: Pace | None = None
        self._spoke = 0.0

    def begin(self, task: str, total: int, done: int = 0) -> None:
        """See `torchlurk.jobs.Progress`."""
        self._spoke = time.monotonic()
        self._pace = Pace(task, total, done, done, self._spoke)

    def advance(self, items: int) -> None:
        """See `torchlurk.jobs.Progress`."""
        if self._pace is not None:
            self._pace.done += items
            if time.monotonic() - self._spoke >= SECONDS_BETWEEN_LINES:
                self._line(self._pace)

    def end(self) -> None:
        """See `torchlurk.jobs.Progress`."""
        if self._pace is not None:
            self._line(self._pace)

    def say(self, text: str) -> None:
        """See `torchlurk.jobs.Progress`."""
        print(text, file=sys.stderr, flush=True)

    def _line(self, pace: Pace) -> None:
        self._spoke = time.monotonic()
        self.say(pace.words(self._spoke))
