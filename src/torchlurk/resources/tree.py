"""Every document and picture of a study under one path. The server answers them and the export writes them: same bytes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from jaxtyping import Float32

from torchlurk.allowance import NUMBERS, allowing
from torchlurk.errors import StudyError, TorchlurkError, UnitError
from torchlurk.input_records import SeriesExample, TextExample
from torchlurk.options import MOST_PIXELS
from torchlurk.records import Layer
from torchlurk.resources import sheets
from torchlurk.resources.cache import Memory, Result
from torchlurk.resources.class_page import class_document
from torchlurk.resources.documents import example_document
from torchlurk.resources.layer_page import layer_document, views
from torchlurk.resources.study_page import card, study_document, troubled
from torchlurk.resources.unit_page import Surroundings, step_attributions, unit_page
from torchlurk.store import queries
from torchlurk.store.reading import Reader
from torchlurk.units import Unit

PICTURE = re.compile(r"pictures/([0-9a-f]{64})\.(jpg|png|webp)")
NUMBER = "(0|[1-9][0-9]{0,8})"
"""One way to write each number, so that everything has one address."""
SHEET = re.compile(rf"sheets/{NUMBER}-([A-Za-z0-9_:.\-]{{1,80}})-{NUMBER}\.jpg")
LAYER = re.compile(rf"layers/{NUMBER}\.json")
UNIT = re.compile(rf"layers/{NUMBER}/units/{NUMBER}\.json")
ATTRIBUTIONS = re.compile(rf"layers/{NUMBER}/units/{NUMBER}-attributions\.json")
CLASS = re.compile(rf"classes/{NUMBER}\.json")
EXAMPLE = re.compile(rf"examples/{NUMBER}\.json")

MEDIA_TYPES = {".json": "application/json", ".jpg": "image/jpeg", ".png": "image/png", ".webp": "image/webp"}


@dataclass(frozen=True, slots=True)
class Resource:
    """Bytes and what they are; `lasting` where they never change under this path."""

    media_type: str
    body: bytes
    lasting: bool = False


class StudyTree:
    """The paths of one study: `study.json`, `layers/3.json`, `layers/3/units/7.json`, `classes/0.json`, for texts and series
    `examples/5.json` and `layers/3/units/7-attributions.json`, pictures, sheets.

    `slug` is its name in addresses. Nothing but the study itself decides what is answered.
    """

    def __init__(self, reader: Reader, slug: str) -> None:
        self.reader, self.slug = reader, slug
        self._memory = Memory()

    def find(self, path: str) -> Resource | None:
        """What is at the path; None where nothing is. Raises `StudyError` where the study is damaged.

        Everything in one answer is from one state of the study, also while it is being written.
        """
        with allowing(), self.reader.reading():
            return self._find(path)

    def _find(self, path: str) -> Resource | None:
        if path == "study.json":
            return _json(study_document(self.reader, self.slug))
        finders = (
            (PICTURE, self._picture),
            (SHEET, self._sheet),
            (LAYER, self._layer),
            (UNIT, self._unit),
            (ATTRIBUTIONS, self._attributions),
            (CLASS, self._class),
            (EXAMPLE, self._example),
        )
        for pattern, find in finders:
            if found := pattern.fullmatch(path):
                return find(*found.groups())
        return None

    def paths(self) -> Iterator[str]:
        """All paths at which something is, once each."""
        yield "study.json"
        scanned = queries.unit_counts(self.reader)
        for number in range(len(self.layers())):
            if number in scanned:
                yield f"layers/{number}.json"
                yield from (f"layers/{number}/units/{channel}.json" for channel in range(scanned[number][0]))
                for view in views(self.reader, number):
                    yield from (f"sheets/{number}-{view}-{n}.jpg" for n in range(sheets.sheets_of(scanned[number][0])))
        for number, channel in queries.units_with_step_attributions(self.reader):
            yield f"layers/{number}/units/{channel}-attributions.json"
        yield from (f"classes/{one.index}.json" for one in self.reader.classes())
        for index in queries.sequence_examples(self.reader):
            if self._content(index) is not None:
                yield f"examples/{index}.json"
        yield from (f"pictures/{name}" for name in queries.all_picture_files(self.reader))

    def card(self) -> dict[str, Any]:
        """What the list of studies says of this one; of a damaged one, what the trouble is."""
        try:
            with self.reader.reading():
                found = card(self.reader, self.slug)
                _json(found)
                return found
        except TorchlurkError as error:
            return troubled(self.reader, self.slug, error.message)

    def layers(self) -> Sequence[Layer]:
        """All layers, in order of execution."""
        return self._remembered(("layers",), self.reader.layers)

    def _remembered(self, key: tuple[str, ...], make: Callable[[], Result]) -> Result:
        """See `Remembered`: what the scan has found is what everything remembered is made from."""
        with self.reader.reading():
            return self._memory.get(key, queries.scan_stamp(self.reader, *key[1:2]), make)

    def _picture(self, name: str, ending: str) -> Resource | None:
        found = self.reader.stored_picture(name)
        if found is None or queries.ENDINGS[found[0]] != ending:
            return None
        return Resource(*found, lasting=True)

    def _sheet(self, layer: str, view: str, number: str) -> Resource | None:
        index, sheet = int(layer), int(number)
        one = self._scanned(index)
        if one is None or view not in views(self.reader, index) or sheet >= sheets.sheets_of(one.channels):
            return None
        return Resource("image/jpeg", sheets.draw_sheet(self._drawing(index, one, view), sheet, one.channels))

    def _drawing(self, index: int, layer: Layer, view: str) -> sheets.Draw:
        kind, _, name = view.partition("-")
        if kind == "kernel":
            return sheets.kernels(self._kernels(layer))
        if kind == "attribution":
            return sheets.stored(self.reader, queries.best_attributions(self.reader, index, name))
        if kind == "synthesis":
            found = queries.layer_syntheses(self.reader, index)[name]
            return sheets.stored(self.reader, {channel: one.picture for channel, one in found.items()})
        best = self._remembered(("best", layer.name), lambda: self.reader.best(layer.name))
        return sheets.exemplars(self.reader, best, sheets.input_size(self.reader), whole=kind == "whole")

    def _kernels(self, layer: Layer) -> Float32[np.ndarray, "unit channel height width"]:
        found = self.reader.kernels(layer.name)
        if found is None or len(found) != layer.channels or not 0 < found[0].size <= MOST_PIXELS:
            raise StudyError(
                f"the kernels of layer '{layer.name}' do not fit it", "torchlurk check STUDY lists what is damaged"
            )
        return found

    def _layer(self, layer: str) -> Resource | None:
        one = self._scanned(int(layer))
        return None if one is None else _json(layer_document(self.reader, self.layers(), int(layer)))

    def _unit(self, layer: str, channel: str) -> Resource | None:
        index = int(layer)
        one = self._scanned(index)
        if one is None or int(channel) >= one.channels:
            return None
        around = Surroundings(self.reader, self.layers(), self._remembered)
        return _json(unit_page(self.reader, Unit(one.name, int(channel)), index, around))

    def _attributions(self, layer: str, channel: str) -> Resource | None:
        one = self._scanned(int(layer))
        if (int(layer), int(channel)) not in queries.units_with_step_attributions(self.reader):
            return None
        found = None if one is None else step_attributions(self.reader, Unit(one.name, int(channel)))
        return None if found is None else _json(found)

    def _class(self, index: str) -> Resource | None:
        classes = self.reader.classes()
        if int(index) >= len(classes):
            return None
        scanned = queries.unit_counts(self.reader)
        layers = [(number, one) for number, one in enumerate(self.layers()) if number in scanned]
        return _json(class_document(self.reader, classes[int(index)], layers, self._remembered))

    def _example(self, index: str) -> Resource | None:
        content = self._content(int(index))
        if content is None:
            return None
        (example,) = self.reader.examples([int(index)])
        labels = {one.index: one.label for one in self.reader.classes()}
        known = None if example.class_index is None else labels.get(example.class_index)
        return _json(example_document(int(index), example, known, content))

    def _content(self, example: int) -> TextExample | SeriesExample | None:
        """A text or series; None where it is not stored, or has more numbers than a document holds."""
        content = self.reader.sequence(example)
        return None if isinstance(content, SeriesExample) and content.values.size > NUMBERS else content

    def _scanned(self, index: int) -> Layer | None:
        """The layer of that number, if its units are known."""
        layers = self.layers()
        return layers[index] if index < len(layers) and queries.is_scanned(self.reader, index) else None


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
    try:
        text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return Resource("application/json", text.encode())
    except (ValueError, RecursionError) as error:  # options of a run with NaN, half characters, or too deep
        raise StudyError(
            "the study contains a value that cannot be written as JSON", "torchlurk check STUDY lists what is damaged"
        ) from error
