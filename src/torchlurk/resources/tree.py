"""Every document and picture of a study under one path. The server answers them and the export writes them: same bytes."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, TypeVar

from torchlurk.errors import StudyError, UnitError
from torchlurk.records import Layer
from torchlurk.resources import sheets
from torchlurk.resources.class_page import class_document
from torchlurk.resources.layer_page import layer_document, views
from torchlurk.resources.study_page import card, study_document
from torchlurk.resources.unit_page import Surroundings, unit_page
from torchlurk.store import overviews
from torchlurk.store.reading import Reader
from torchlurk.units import Unit

Result = TypeVar("Result")

KEPT = 24
"""Intermediate results kept for the next question: matrices of a few layers, mostly."""

PICTURE = re.compile(r"pictures/([0-9a-f]{64})\.(jpg|png|webp)")
SHEET = re.compile(r"sheets/(\d{1,6})-([a-z0-9_:.\-]{1,80})-(\d{1,6})\.jpg", re.IGNORECASE)
LAYER = re.compile(r"layers/(\d{1,6})\.json")
UNIT = re.compile(r"layers/(\d{1,6})/units/(\d{1,9})\.json")
CLASS = re.compile(r"classes/(\d{1,9})\.json")

MEDIA_TYPES = {".json": "application/json", ".jpg": "image/jpeg", ".png": "image/png", ".webp": "image/webp"}


@dataclass(frozen=True, slots=True)
class Resource:
    """Bytes and what they are; `lasting` where they never change under this path."""

    media_type: str
    body: bytes
    lasting: bool = False


class Cache:
    """The last few results, forgotten as soon as the study has been written to. Threads take turns."""

    def __init__(self, state: Callable[[], Hashable]) -> None:
        self._state, self._known = state, state()
        self._results: dict[Hashable, Any] = {}
        self._turn = threading.RLock()

    def get(self, key: Hashable, make: Callable[[], Result]) -> Result:
        """The result under this key, made if it is not there."""
        with self._turn:
            now = self._state()
            if now != self._known:
                self._results.clear()
                self._known = now
            if key in self._results:
                self._results[key] = self._results.pop(key)  # the last used is the last to go
            else:
                self._results[key] = make()
                while len(self._results) > KEPT:
                    self._results.pop(next(iter(self._results)))
            found: Result = self._results[key]
            return found


class StudyTree:
    """The paths of one study: `study.json`, `layers/3.json`, `layers/3/units/7.json`, `classes/0.json`, pictures, sheets.

    `slug` is its name in addresses. Nothing but the study itself decides what is answered.
    """

    def __init__(self, reader: Reader, slug: str) -> None:
        self.reader, self.slug = reader, slug
        self._cache = Cache(lambda: overviews.state(reader.path))

    def find(self, path: str) -> Resource | None:
        """What is at the path; None where nothing is. Raises `StudyError` where the study is damaged."""
        if path == "study.json":
            return _json(study_document(self.reader, self.slug))
        finders = (
            (PICTURE, self._picture),
            (SHEET, self._sheet),
            (LAYER, self._layer),
            (UNIT, self._unit),
            (CLASS, self._class),
        )
        for pattern, find in finders:
            if found := pattern.fullmatch(path):
                return find(*found.groups())
        return None

    def paths(self) -> Iterator[str]:
        """All paths at which something is, once each."""
        yield "study.json"
        scanned = overviews.unit_counts(self.reader)
        for number, layer in enumerate(self.layers()):
            if number in scanned:
                yield f"layers/{number}.json"
                yield from (f"layers/{number}/units/{channel}.json" for channel in range(scanned[number][0]))
                for view in views(self.reader, number):
                    yield from (f"sheets/{number}-{view}-{n}.jpg" for n in range(sheets.sheets_of(layer.channels)))
        yield from (f"classes/{one.index}.json" for one in self.reader.classes())
        yield from (f"pictures/{name}" for name in overviews.all_picture_files(self.reader))

    def card(self) -> dict[str, Any]:
        """What the list of studies says of this one."""
        return card(self.reader, self.slug)

    def layers(self) -> Sequence[Layer]:
        """All layers, in order of execution."""
        return self._cache.get("layers", self.reader.layers)

    def _finders(self) -> Sequence[tuple[re.Pattern[str], Callable[..., Resource | None]]]:
        return (
            (PICTURE, self._picture),
            (SHEET, self._sheet),
            (LAYER, self._layer),
            (UNIT, self._unit),
            (CLASS, self._class),
        )

    def _picture(self, name: str, ending: str) -> Resource | None:
        found = self.reader.stored_picture(name)
        if found is None or overviews.ENDINGS[found[0]] != ending:
            return None
        return Resource(*found, lasting=True)

    def _sheet(self, layer: str, view: str, number: str) -> Resource | None:
        index, sheet = int(layer), int(number)
        one = self._scanned(index)
        if one is None or view not in views(self.reader, index) or sheet >= sheets.sheets_of(one.channels):
            return None
        draw = self._cache.get(("view", index, view), lambda: self._drawing(index, one, view))
        return Resource("image/jpeg", sheets.draw_sheet(draw, sheet, one.channels))

    def _drawing(self, index: int, layer: Layer, view: str) -> sheets.Draw:
        kind, _, name = view.partition("-")
        if kind == "attribution":
            return sheets.stored(self.reader, overviews.best_attributions(self.reader, index, name))
        if kind == "synthesis":
            found = overviews.layer_syntheses(self.reader, index)[name]
            return sheets.stored(self.reader, {channel: one.picture for channel, one in found.items()})
        height, width = self.reader.input_shape()[-2:]
        best = self.reader.best(layer.name)
        return sheets.exemplars(self.reader, best, (height, width), whole=kind == "whole")

    def _layer(self, layer: str) -> Resource | None:
        one = self._scanned(int(layer))
        return None if one is None else _json(layer_document(self.reader, int(layer), one))

    def _unit(self, layer: str, channel: str) -> Resource | None:
        index = int(layer)
        one = self._scanned(index)
        if one is None or int(channel) >= one.channels:
            return None
        around = Surroundings(self.reader, self.layers(), self._cache.get)
        return _json(unit_page(self.reader, Unit(one.name, int(channel)), index, around))

    def _class(self, index: str) -> Resource | None:
        classes = self.reader.classes()
        if int(index) >= len(classes):
            return None
        scanned = overviews.unit_counts(self.reader)
        layers = [(number, one) for number, one in enumerate(self.layers()) if number in scanned]
        return _json(class_document(self.reader, classes[int(index)], layers, self._cache.get))

    def _scanned(self, index: int) -> Layer | None:
        """The layer of that number, if its units are known."""
        layers = self.layers()
        known = self._cache.get("scanned", lambda: overviews.unit_counts(self.reader))
        return layers[index] if index < len(layers) and index in known else None


class Forest:
    """Several studies, each under its slug, and `studies.json` that lists them."""

    def __init__(self, readers: Sequence[Reader]) -> None:
        self.trees: dict[str, StudyTree] = {}
        for reader in readers:
            slug = _slug(reader.path.stem, self.trees)
            self.trees[slug] = StudyTree(reader, slug)

    def find(self, path: str) -> Resource | None:
        """What is at the path; None where nothing is."""
        if path == "studies.json":
            return _json({"studies": [tree.card() for tree in self.trees.values()]})
        slug, _, rest = path.partition("/")
        tree = self.trees.get(slug)
        try:
            return None if tree is None else tree.find(rest)
        except UnitError as error:  # a layer that was there a moment ago: the study was written anew
            raise StudyError(error.message, error.hint) from error

    def paths(self) -> Iterator[str]:
        """All paths at which something is."""
        yield "studies.json"
        for slug, tree in self.trees.items():
            yield from (f"{slug}/{path}" for path in tree.paths())


def media_type(path: str) -> str:
    """Of a path of the tree, by its ending."""
    return MEDIA_TYPES[PurePosixPath(path).suffix]


def _slug(name: str, taken: dict[str, StudyTree]) -> str:
    base = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-") or "study"
    slug, number = base, 2
    while slug in taken:
        slug, number = f"{base}-{number}", number + 1
    return slug


def _json(document: Any) -> Resource:
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Resource("application/json", text.encode())
