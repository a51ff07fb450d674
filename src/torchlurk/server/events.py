"""What happens to the studies while they are looked at, as server-sent events; read from the files, whoever writes them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from time import monotonic
from typing import Any

from starlette.concurrency import run_in_threadpool

from torchlurk.errors import TorchlurkError
from torchlurk.files import real
from torchlurk.records import Remark
from torchlurk.resources.study_page import stages
from torchlurk.resources.tree import StudyTree
from torchlurk.store import queries
from torchlurk.store.locking import is_claimed
from torchlurk.units import Unit

BETWEEN_LOOKS = 0.5
SECONDS_BETWEEN_CHANGES = 5.0
"""While attributions and syntheses are added, pages are told no more often than this that there are more."""
SECONDS_BETWEEN_SIGNS = 15.0
"""A comment now and then, so that nothing on the way takes the connection for dead."""


class Watch:
    """One listener's view of one study: what has changed since it last looked."""

    def __init__(self, tree: StudyTree) -> None:
        self._tree = tree
        self._state: Any = None
        self._claimed = False
        self._scanned: dict[int, int | None] | None = None
        self._remarks: dict[Unit, Remark] = {}
        self._later: tuple[Any, ...] = ()
        self._told_all = 0.0
        self._waiting = False
        self._told: dict[str, Any] = {}
        self._began: dict[str, tuple[float, int]] = {}

    def look(self) -> list[tuple[str, dict[str, Any]]]:
        """The events since the last look."""
        path = self._tree.reader.path
        self._claimed = is_claimed(real(path))
        state = queries.state(path), self._claimed
        waiting = self._waiting and monotonic() - self._told_all > SECONDS_BETWEEN_CHANGES
        if state == self._state and not waiting:
            return []
        self._state = state
        try:
            with self._tree.reader.reading():
                return [*self._progress(), *self._changes()]
        except TorchlurkError:  # it is being replaced, or damaged: the pages say so when they ask
            return []

    def _progress(self) -> list[tuple[str, dict[str, Any]]]:
        events = []
        for stage in stages(self._tree.reader):
            told = (stage["done"], stage["total"], stage["finished"], self._stopped(stage))
            if self._told.get(stage["stage"]) != told:
                self._told[stage["stage"]] = told
                events.append(("progress", {"study": self._tree.slug, **self._rate(stage)}))
        return events

    def _stopped(self, stage: dict[str, Any]) -> bool:
        return stage["finished"] is None and not self._claimed

    def _rate(self, stage: dict[str, Any]) -> dict[str, Any]:
        """The stage with items a second and seconds left, as far as this listener has seen it run."""
        name, done = stage["stage"], stage["done"]
        start, before = self._began.setdefault(name, (monotonic(), done))
        seconds = monotonic() - start
        rate = (done - before) / seconds if seconds > 1 and done > before else None
        left = (stage["total"] - done) / rate if rate else None
        kept = {key: stage[key] for key in ("stage", "done", "total", "finished")}
        return kept | {"rate": rate, "left": left, "stopped": self._stopped(stage)}

    def _changes(self) -> list[tuple[str, dict[str, Any]]]:
        """Which layers have other results of the scan or other notes; all of them, now and then, where another stage has gone
        on.
        """
        reader = self._tree.reader
        provisional = queries.provisional(reader)
        scanned = {layer: provisional.get(layer) for layer in queries.unit_counts(reader)}
        later = tuple((run["stage"], run["done"], run["finished"]) for run in stages(reader) if run["stage"] != "scan")
        noted = self._noted()
        before, self._scanned = self._scanned, scanned
        went_on = later != self._later and monotonic() - self._told_all > SECONDS_BETWEEN_CHANGES
        self._waiting = later != self._later and not went_on and before is not None
        if went_on or before is None:
            self._later, self._told_all = later, monotonic()
        if before is None:
            return []
        layers = sorted(noted.union(one for one in scanned if one not in before or scanned[one] != before[one]))
        if went_on or layers or before.keys() - scanned.keys():
            return [("changed", {"study": self._tree.slug, "layers": None if went_on else layers or None})]
        return []

    def _noted(self) -> set[int]:
        """The numbers of the layers that have units of which something else is noted than at the last look."""
        before, self._remarks = self._remarks, self._tree.reader.remarks()
        changed = {unit.layer for unit, _ in before.items() ^ self._remarks.items()}
        return (
            {number for number, layer in enumerate(self._tree.reader.layers()) if layer.name in changed} if changed else set()
        )


async def events(trees: Mapping[str, StudyTree], ending: Callable[[], bool]) -> AsyncIterator[bytes]:
    """All events of all studies, for one listener, until it goes away or the server ends."""
    watches = [Watch(tree) for tree in trees.values()]
    spoke = monotonic()
    yield b": welcome\n\n"
    while not ending():
        for watch in watches:
            for kind, data in await run_in_threadpool(watch.look):
                yield f"event: {kind}\ndata: {json.dumps(data)}\n\n".encode()
                spoke = monotonic()
        if monotonic() - spoke > SECONDS_BETWEEN_SIGNS:
            yield b": still here\n\n"
            spoke = monotonic()
        await asyncio.sleep(BETWEEN_LOOKS)
