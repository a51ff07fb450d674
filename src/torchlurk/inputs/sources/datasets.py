"""Any map-style data set, as Python programs have them, as a source of examples."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any

import numpy as np
import torch
from jaxtyping import Int32
from PIL import Image

from torchlurk.errors import DataError
from torchlurk.inputs.pictures.preprocessing import prepare, resolve
from torchlurk.inputs.source import ExampleList, Item, Pixels, same, spread
from torchlurk.inputs.sources.labels import CLASS_KEYS, MOST_CLASSES, item_paths, listed_classes, own_class_names
from torchlurk.options import InputOptions
from torchlurk.records import Class, Example, Preprocessing, Skip

PICTURE_KEYS = ("image", "pixel_values", "img", "input")
"""Where an item that is a mapping has its picture: under the first of these that is there."""

PROBED_EXAMPLES = 8
"""How many examples, spread over the data, enter the fingerprint."""


class DatasetSource:
    """A map-style data set; see `Source`. Items are a picture, (picture, class) or a mapping that holds them.

    A picture is a float tensor (channel, height, width), taken as the network's input as it is; or a uint8 tensor, a
    PIL image or a uint8 array, which are prepared like image files. Classes are whole numbers. Where the data set
    lists them (`targets`, `labels`, `samples`), they are known at once; otherwise an example's class is known when the
    example has been read, and `classes` grows to hold it. Names come from `class_names`, else from the data set's
    `classes`, else they are the numbers.
    """

    skipped: tuple[Skip, ...] = ()

    def __init__(
        self,
        dataset: Any,
        preprocessing: Preprocessing,
        class_names: Sequence[str] | None = None,
        name: str | None = None,
        limit: int | None = None,
    ) -> None:
        self.name = name or type(dataset).__name__
        self.preprocessing = preprocessing
        self._dataset = dataset
        size = _length(dataset)
        self._chosen = spread(size, limit)
        self._names = [str(one) for one in class_names or own_class_names(dataset) or ()]
        listed = listed_classes(dataset)
        self._listed = listed[self._chosen] if listed is not None else None
        self._class_indices = self._listed.copy() if self._listed is not None else np.full(len(self._chosen), -1)
        self._class_count = max(len(self._names), int(self._class_indices.max(initial=-1)) + 1)
        self._lock = Lock()
        paths = item_paths(dataset)
        self.examples: Sequence[Example] = ExampleList(
            [paths[index] for index in self._chosen] if paths else [""] * len(self._chosen), self._class_indices
        )

    @property
    def classes(self) -> Sequence[Class]:
        """See `Source`."""
        known = self._names
        labels = (known[index] if index < len(known) else str(index) for index in range(self._class_count))
        return tuple(Class(index, label, label) for index, label in enumerate(labels))

    def read(self, index: int) -> Item:
        """See `Source`; whatever the data set raises becomes a `DataError` with that as its reason."""
        try:
            picture, label = parts(self._dataset[self._chosen[index]])
            item = Item(to_pixels(picture, self.preprocessing), to_class(label))
        except DataError:
            raise
        except Exception as error:  # code of the user's own: one bad item must not end a long pass
            raise DataError(f"{type(error).__name__}: {' '.join(str(error).split())}") from error
        if item.class_index is not None:
            self._learn(index, item.class_index)
        return item

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
        """See `Source`: over the length, the classes as listed, and those of a few examples that read the same twice."""
        digest = hashlib.sha256(f"{len(self._chosen)}\0{self._names}".encode("utf-8", "surrogateescape"))
        if self._listed is not None:
            digest.update(np.ascontiguousarray(self._listed, "<i8").tobytes())
        for index in spread(len(self._chosen), PROBED_EXAMPLES):
            digest.update(self._content(index))
        return digest.hexdigest()

    def _content(self, index: int) -> bytes:
        try:
            first, second = self.read(index), self.read(index)
        except DataError:
            return b"unreadable"
        pixels = np.ascontiguousarray(first.pixels)
        content = f"{first.class_index}{pixels.dtype}{pixels.shape}".encode() + pixels.tobytes()
        return content if same(first, second) else b"changing"


def open_dataset(
    dataset: Any,
    options: InputOptions,
    default: Preprocessing | None = None,
    class_names: Sequence[str] | None = None,
) -> DatasetSource:
    """The data set as a source, as `open_source` is for a folder; `default` is the model's own preprocessing.

    Inputs with other numbers of channels than pictures have count as being in the 0..1 range unless mean and std are
    given. Raises `DataError` where the data set is not map-style or empty, `OptionError` for options that do not fit.
    """
    preprocessing = resolve(options, default)
    source = DatasetSource(dataset, preprocessing, class_names, limit=options.limit)
    channels = _channels(source)
    if channels in (None, preprocessing.channels):
        return source
    if options.mean or options.std:
        raise DataError(
            f"the data set's inputs have {channels} channel(s), --mean and --std {preprocessing.channels} value(s)",
            f"give {channels} value(s) each",
        )
    source.preprocessing = resolve(InputOptions(mean=(0.0,) * channels, std=(1.0,) * channels), preprocessing)
    return source


def _channels(source: DatasetSource) -> int | None:
    """How many channels the first readable of a few examples has; None where none can be read."""
    for index in spread(len(source.examples), PROBED_EXAMPLES):
        try:
            pixels = source.read(index).pixels
        except DataError:
            continue
        return int(pixels.shape[2 if isinstance(pixels, np.ndarray) else 0])
    return None


def parts(item: Any) -> tuple[Any, Any]:
    """(picture, class) of an item, None for a class that it has not; raises `DataError` where there is no picture."""
    if isinstance(item, Mapping):
        picture = next((key for key in PICTURE_KEYS if key in item), None)
        label = next((key for key in CLASS_KEYS if key in item), None)
        if picture is None:
            raise DataError(f"has none of the keys {', '.join(PICTURE_KEYS)}")
        return item[picture], item[label] if label is not None else None
    if isinstance(item, (tuple, list)):
        if not item:
            raise DataError("is an empty item")
        return item[0], item[1] if len(item) > 1 else None
    return item, None


def to_class(label: Any) -> int | None:
    """The class index that a label is, None where it is none (negative, not whole, several)."""
    if isinstance(label, (torch.Tensor, np.ndarray)):
        if label.ndim or "int" not in str(label.dtype):
            return None
        label = label.item()
    elif isinstance(label, np.integer):
        label = int(label)
    return label if type(label) is int and 0 <= label < MOST_CLASSES else None


def to_pixels(picture: Any, preprocessing: Preprocessing) -> Pixels:
    """A data set's picture as an item's pixels; raises `DataError` where it is no picture."""
    if isinstance(picture, Image.Image):
        return prepare(picture, preprocessing)
    if isinstance(picture, np.ndarray):
        picture = torch.from_numpy(_channels_first(picture).copy())
    if not isinstance(picture, torch.Tensor):
        raise DataError(f"is a {type(picture).__name__}, not a tensor or picture")
    tensor = picture.detach().as_subclass(torch.Tensor).cpu()
    tensor = tensor[None] if tensor.ndim == 2 else tensor
    if tensor.ndim != 3 or 0 in tensor.shape:
        raise DataError(f"has shape {tuple(picture.shape)}, not (channel, height, width)")
    if tensor.is_floating_point():
        return tensor.to(torch.float32)
    if tensor.dtype != torch.uint8:
        raise DataError(f"has values of type {str(tensor.dtype).removeprefix('torch.')}, not uint8 or float")
    return _prepared(tensor.permute(1, 2, 0).numpy(), preprocessing)


def _prepared(pixels: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    channels = pixels.shape[2]
    if channels in (1, 3) and preprocessing.channels in (1, 3):
        image = Image.fromarray(np.ascontiguousarray(pixels[:, :, 0] if channels == 1 else pixels))
        return prepare(image, preprocessing)
    if preprocessing.resize or preprocessing.crop:
        raise DataError(f"has {channels} channels, of which no picture can be made to resize or crop")
    return pixels


def _channels_first(array: np.ndarray) -> np.ndarray:
    """An array as (channel, height, width); channels come last where only that end is short enough to be them."""
    last = array.ndim == 3 and array.shape[2] <= 4 < array.shape[0]
    return array.transpose(2, 0, 1) if last else array


def _length(dataset: Any) -> int:
    hint = "give any object with len() and [index]; of a DataLoader, its .dataset"
    if not hasattr(dataset, "__getitem__"):
        raise DataError(f"{type(dataset).__name__} is not a map-style data set: it has no [index]", hint)
    try:
        size = len(dataset)
    except (TypeError, NotImplementedError) as error:
        raise DataError(f"{type(dataset).__name__} is not a map-style data set: it has no len()", hint) from error
    if not size:
        raise DataError(f"the data set {type(dataset).__name__} is empty", "give one with examples")
    return size
