"""Any data set, as Python programs have them, as a source of examples."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Int32, Int64
from torch import Tensor
from torch.utils.data import TensorDataset

from torchlurk.errors import DataError, told
from torchlurk.input_records import BRACKETED, InputAxes, KindName, TextExample
from torchlurk.inputs.items import Item, Values, same
from torchlurk.inputs.kinds import Kind
from torchlurk.inputs.pictures.kind import Pictures
from torchlurk.inputs.series.kind import Series
from torchlurk.inputs.source import ExampleList, spread
from torchlurk.inputs.sources.class_files import Labelling
from torchlurk.inputs.sources.dataset_items import (
    check_complete,
    to_class,
    to_companion,
    to_ids,
    to_pixels,
    to_series,
    told_no_class,
    unpadded,
)
from torchlurk.inputs.sources.item_layout import ALONE, Layout
from torchlurk.inputs.sources.labels import item_paths, listed_classes, own_class_names
from torchlurk.inputs.sources.streams import Stream
from torchlurk.inputs.text.given_tracks import GivenTracks, read_tracks
from torchlurk.inputs.text.kind import Text
from torchlurk.inputs.text.tracks import MADE, TOLD_BY_TOKENS, joined, told_by_text
from torchlurk.inputs.text.vocabulary import Vocabulary
from torchlurk.records import Class, Example, Preprocessing, Skip
from torchlurk.track_records import Measure

PROBED_EXAMPLES = 8
"""How many examples, spread over the data, enter the fingerprint."""


class DatasetSource:
    """A map-style data set, or a `Stream` as one; see `Source`. Items are an input, (input, class), a mapping that holds them,
    or several inputs as `layout` says.

    A picture is a float tensor (channel, height, width), taken as the network's input as it is; or a uint8 tensor, a
    PIL image or a uint8 array, which are prepared like image files. A series is a float tensor (time, channel), or (channel,
    time) after `turn`, a text the
    whole numbers (time,) that are its token ids. Classes are whole numbers. Where the data set lists them (`targets`,
    `labels`, `samples`), or `labels` does, they are known at once; otherwise an example's class is known when the example
    has been read, and `classes` grows to hold it. Names come from `class_names`, else from the data set's `classes`, else
    they are the numbers. Steps of a sequence that are padding do not count: those that its attention mask leaves out at the
    ends or that are beyond its length (`ends` are the further inputs that say so), or else a run of `padding` at its end.
    """

    def __init__(
        self,
        dataset: Any,
        preprocessing: Preprocessing,
        class_names: Sequence[str] | None = None,
        name: str | None = None,
        limit: int | None = None,
        kind: KindName = "pictures",
        vocabulary: Vocabulary | None = None,
        axes: InputAxes | None = None,
        labels: Labelling | None = None,
        layout: Layout = ALONE,
        ends: frozenset[str] = frozenset(),
        padding: int | None = None,
    ) -> None:
        self.name = name or (dataset.name if isinstance(dataset, Stream) else type(dataset).__name__)
        self.skipped: tuple[Skip, ...] = dataset.lost if isinstance(dataset, Stream) else ()
        self.preprocessing = preprocessing
        self.dataset, self._kind, self._vocabulary, self._axes = dataset, kind, vocabulary, axes
        self._layout, self._ends, self._padding = layout, ends & set(layout.companions), padding
        size = length_of(dataset)
        self._chosen = spread(size, limit)
        own_names = labels.names if labels is not None else own_class_names(dataset)
        self._names = [str(one) for one in class_names or own_names or ()]
        listed = labels.indices if labels is not None else _listed(dataset, layout)
        self._listed = listed[self._chosen] if listed is not None else None
        self._told_by_file = labels is not None
        self._class_indices = self._listed.copy() if self._listed is not None else np.full(len(self._chosen), -1)
        self._class_count = max(len(self._names), int(self._class_indices.max(initial=-1)) + 1)
        self._lock, self.alone = Lock(), Lock()
        paths = item_paths(dataset)
        self.examples: Sequence[Example] = ExampleList(
            [paths[index] for index in self._chosen] if paths else [""] * len(self._chosen), self._class_indices
        )
        padded = self._ends or (kind == "text" and padding is not None)
        self._turned = False
        self._counted: Int64[np.ndarray, "example 2"] | None = None
        self._lengths: Int64[np.ndarray, " example"] | None = None
        if kind != "pictures" and not padded:
            self._know_steps(1)
        self._given: GivenTracks | None = None
        self._firsts = np.zeros(1, np.int64)

    def __getstate__(self) -> dict[str, Any]:
        """Pickled without its locks."""
        return {name: value for name, value in vars(self).items() if name not in ("_lock", "alone")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._lock, self.alone = Lock(), Lock()

    @property
    def kind(self) -> Kind:
        """See `Source`."""
        if self._kind == "text":
            return Text(self._vocabulary, self._shown, axes=self._axes)
        if self._kind == "series":
            return Series(axes=self._axes, counted=self.counted)
        return Pictures(self.preprocessing)

    def turn(self) -> bool:
        """Reads the items of series as (channel, time) from now on."""
        self._turned, self._lengths, self._counted = True, None, None
        if not self._ends:
            self._know_steps(2)
        return True

    def _know_steps(self, axis: int) -> None:
        steps = _steps(self.dataset, self._layout, axis)
        if steps:
            self._lengths = np.full(len(self._chosen), steps)
            self._counted = np.stack([np.zeros_like(self._lengths), self._lengths], 1)

    @property
    def lengths(self) -> Int64[np.ndarray, " example"] | None:
        """See `Source`; 0 for an example that cannot be read. Where only reading tells, all are read when first asked for:
        batches hold equal lengths, and the layers are surveyed on the longest.
        """
        if self._lengths is None and self._kind != "pictures":
            read = [self._steps_read(index) for index in range(len(self._chosen))]
            self._lengths = np.array([steps for steps, _ in read], np.int64)
            self._counted = np.array([counted for _, counted in read], np.int64)
        return self._lengths

    def _steps_read(self, index: int) -> tuple[int, tuple[int, int]]:
        try:
            item = self.read(index)
        except DataError:
            return 0, (0, 0)
        ends = [item.companions[name] for name in sorted(self._ends)]
        return len(item.values), unpadded(torch.as_tensor(item.values), ends, self._padding)

    def counted(self, index: int) -> tuple[int, int]:
        """See `Source`."""
        if self.lengths is None or self._counted is None:
            return 0, 0
        first, last = self._counted[index].tolist()
        return first, last

    def _shown(self, index: int, ids: Int64[Tensor, " time"]) -> TextExample:
        known = self._vocabulary
        tokens = tuple((known.tokens[one] if known else "") or str(one) for one in ids.tolist())
        return TextExample(tokens, (), self.counted(index))

    @property
    def tracks(self) -> Mapping[str, Measure]:
        """See `Tracked`: of a text those of a file, and with a vocabulary those that its tokens tell; where these are no single
        characters, without those that count characters.
        """
        known = self._vocabulary if self._kind == "text" else None
        made = MADE if _of_characters(known) else TOLD_BY_TOKENS if known else {}
        return {**made, **(self._given.measures if self._given else {})}

    @property
    def given_tracks(self) -> str | None:
        """See `Tracked`."""
        return self._given.digest if self._given else None

    def track_by(self, file: Path) -> None:
        """Takes the tracks in a file: a row for each token of all examples, in their order."""
        lengths = self.lengths
        assert lengths is not None
        self._firsts = np.cumsum([0, *lengths.tolist()])
        self._given = read_tracks(file, int(self._firsts[-1]))

    def labels(self, index: int) -> Mapping[str, Float32[np.ndarray, " time"]]:
        """See `Tracked`."""
        found: dict[str, Float32[np.ndarray, " time"]] = {}
        if self._vocabulary is not None:
            tokens = self._shown(index, torch.as_tensor(self.read(index).values)).tokens
            found |= told_by_text(*joined(tokens, "" if _of_characters(self._vocabulary) else " "))
        given = self._given.labels if self._given else {}
        return found | {name: one[self._firsts[index] : self._firsts[index + 1]] for name, one in given.items()}

    @property
    def classes(self) -> Sequence[Class]:
        """See `Source`."""
        known = self._names
        labels = (known[index] if index < len(known) else str(index) for index in range(self._class_count))
        return tuple(Class(index, label, label) for index, label in enumerate(labels))

    @property
    def lists_classes(self) -> bool:
        """Whether the class of each example is known before it is read."""
        return self._listed is not None

    @property
    def unnamed(self) -> str:
        """What to tell where examples that have been read have classes beyond those that have names, or none has a class for
        what stands in its place is none; '' otherwise.
        """
        if self._class_count == 0:
            return self._no_classes()
        if not 0 < len(self._names) < self._class_count:
            return ""
        known, highest = len(self._names), self._class_count - 1
        return f"the data set has class indices up to {highest}, and only the first {known} have names: the others are numbers"

    def _no_classes(self) -> str:
        for index in spread(len(self.examples), PROBED_EXAMPLES):
            with suppress(DataError):
                _, _, label = self._layout.parts(self.raw(index))
                no_class = told_no_class(label)
                return f"no example has a class: {no_class} beside the input is none (give a whole number)" if no_class else ""
        return ""

    def read(self, index: int) -> Item:
        """See `Source`; whatever the data set raises becomes a `DataError` with that as its reason."""
        item_read = self.raw(index)
        try:
            value, others, label = self._layout.parts(item_read)
            known = int(self._class_indices[index]) if self._told_by_file else to_class(label)
            item = Item(
                self._values(value),
                known if known is None or known >= 0 else None,
                {name: self._companion(name, one) for name, one in others.items()},
                self._layout.parameter,
            )
        except DataError:
            raise
        except Exception as error:  # what the user's own code gave can fail in any way
            raise DataError(told(error)) from error
        if item.class_index is not None:
            self._learn(index, item.class_index)
        return item

    def raw(self, index: int) -> Any:
        """Example `index` as the data set gives it; raises `DataError` with the reason alone."""
        try:
            return self.dataset[self._chosen[index]]
        except DataError:
            raise
        except Exception as error:  # code of the user's own: one bad item must not end a long pass
            raise DataError(told(error)) from error

    def _values(self, value: Any) -> Values:
        if self._kind == "text":
            return to_ids(value, self._vocabulary)
        if self._kind == "series":
            series = to_series(value)
            series = series.T.contiguous() if self._turned else series
            check_complete(series)
            return series
        return to_pixels(value, self.preprocessing)

    def _companion(self, name: str, value: Any) -> Tensor:
        try:
            return to_companion(value, self.preprocessing if self._kind == "pictures" else None)
        except DataError as error:
            raise DataError(f"its input '{name}' {error.message}") from error

    def _learn(self, index: int, class_index: int) -> None:
        with self._lock:
            self._class_indices[index] = class_index
            self._class_count = max(self._class_count, class_index + 1)

    def learn(self, class_indices: Int32[np.ndarray, " example"]) -> None:
        """Takes over the classes of examples read in an earlier run; -1 where none is known."""
        with self._lock:
            np.maximum(self._class_indices, class_indices, out=self._class_indices)
            self._class_count = max(self._class_count, int(class_indices.max(initial=-1)) + 1)

    def fingerprint(self) -> str:
        """See `Source`: over the length, the classes as listed, and those of a few examples that read the same twice; of a
        stream over all examples as they were counted.
        """
        digest = hashlib.sha256(f"{len(self._chosen)}\0{self._names}".encode("utf-8", "surrogateescape"))
        if self._listed is not None:
            digest.update(np.ascontiguousarray(self._listed, "<i8").tobytes())
        if isinstance(self.dataset, Stream):
            digest.update(self.dataset.sums())
            return digest.hexdigest()
        for index in spread(len(self._chosen), PROBED_EXAMPLES):
            digest.update(self._content(index))
        return digest.hexdigest()

    def _content(self, index: int) -> bytes:
        try:
            first, second = self.read(index), self.read(index)
        except DataError:
            return b"unreadable"
        values = np.ascontiguousarray(first.values)
        content = f"{first.class_index}{values.dtype}{values.shape}".encode() + values.tobytes()
        for name, one in first.companions.items():
            content += f"{first.parameter} {name}{one.dtype}{tuple(one.shape)}".encode() + one.contiguous().numpy().tobytes()
        return content if same(first, second) else b"changing"


def _of_characters(vocabulary: Vocabulary | None) -> bool:
    """Whether tokens are single characters, but for those in brackets, such as `<unk>`, and a few others."""
    tokens = [token for token in vocabulary.tokens if token and not BRACKETED.fullmatch(token)] if vocabulary else []
    return sum(len(token) == 1 for token in tokens) > 0.9 * len(tokens) > 0


def _steps(dataset: Any, layout: Layout, axis: int) -> int | None:
    """How many steps every item has, where the data set is nothing but stacked tensors whose steps lie along `axis`."""
    shown = layout.places[layout.shown] if layout.places else 0
    if type(dataset) is not TensorDataset or not isinstance(shown, int) or dataset.tensors[shown].ndim <= axis:
        return None
    return int(dataset.tensors[shown].shape[axis])


def _listed(dataset: Any, layout: Layout) -> Int64[np.ndarray, " example"] | None:
    part = layout.label
    if isinstance(dataset, Stream):
        return dataset.classes_in(part)
    return listed_classes(dataset, part) if isinstance(part, int) else listed_classes(dataset)


def length_of(dataset: Any) -> int:
    """How many items a map-style data set has; raises `DataError` where it is not one, or empty."""
    hint = "give any object with len() and [index], an IterableDataset, or a DataLoader"
    if isinstance(dataset, Mapping) and dataset and all(isinstance(key, str) for key in dataset):
        names = ", ".join(dataset)
        raise DataError(
            f"{type(dataset).__name__} holds the data sets {names}", f"give one of them: data[{next(iter(dataset))!r}]"
        )
    if not hasattr(dataset, "__getitem__"):
        raise DataError(f"{type(dataset).__name__} is not a map-style data set: it has no [index]", hint)
    try:
        size = len(dataset)
    except (TypeError, NotImplementedError) as error:
        raise DataError(f"{type(dataset).__name__} is not a map-style data set: it has no len()", hint) from error
    if not size:
        raise DataError(f"the data set {type(dataset).__name__} is empty", "give one with examples")
    return size
