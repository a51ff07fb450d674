"""What an item of a Python program's data set is, and how it becomes values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Int64, Shaped
from PIL import Image
from torch import Tensor

from torchlurk.errors import DataError, a_type
from torchlurk.input_records import KindName
from torchlurk.inputs.items import Values
from torchlurk.inputs.pictures.preprocessing import normalize, prepare
from torchlurk.inputs.sources.labels import CLASS_KEYS, MOST_CLASSES
from torchlurk.inputs.text.vocabulary import MOST_TOKENS, Vocabulary
from torchlurk.option_values import shown
from torchlurk.records import Preprocessing

INPUT_KEYS = ("image", "pixel_values", "img", "input", "input_ids", "series", "values")
"""Where an item that is a mapping has its input: under the first of these that is there."""

MOST_SHOWN = 30
"""Characters of a text in a message."""

OF_TEXT = "a data set holds token ids of texts, or pictures; texts themselves are read from a text file, whose path is DATA"

SHAPES = "(channel, height, width) of a picture, (time, channel) floats of a series, or (time,) whole numbers of a text"
OF_BATCHES = "give single examples: of a DataLoader the loader itself, and no list of its batches"


class UnknownTokenError(DataError):
    """A token id stands for no token: the data and the vocabulary do not belong together."""


def parts(item: Any) -> tuple[Any, Any]:
    """(input, class) of an item, None for a class that it has not; raises `DataError` where there is no input.

    A list of whole numbers is the token ids of a text.
    """
    if are_ids(item):
        return item, None
    if isinstance(item, Mapping):
        found = next((key for key in INPUT_KEYS if key in item), None)
        label = next((key for key in CLASS_KEYS if key in item), None)
        if found is None:
            raise DataError(f"has none of the keys {', '.join(INPUT_KEYS)}")
        return item[found], item[label] if label is not None else None
    if isinstance(item, (tuple, list)):
        if not item:
            raise DataError("is an empty item")
        return item[0], item[1] if len(item) > 1 else None
    return item, None


def are_ids(item: Any) -> bool:
    """Whether an item is a Python list of token ids, and not of an input and a class."""
    return isinstance(item, list) and bool(item) and all(type(one) is int or isinstance(one, np.integer) for one in item)


def check_no_text(value: Any) -> None:
    """Raises `DataError` for text that is not yet token ids."""
    if isinstance(value, str):
        beginning = value if len(value) <= MOST_SHOWN else f"{value[:MOST_SHOWN]}…"
        raise DataError(f"is the text {beginning!r}: {OF_TEXT}")


def check_no_number(value: Any) -> None:
    """Raises `DataError` for a single number, as every item of one long tensor of token ids is."""
    found = tensor_of(value)
    if found is not None and not found.ndim:
        raise DataError(f"is the number {found.item()}, not {SHAPES}; one long text is cut as in list(ids.split(256))")


def to_class(label: Any) -> int | None:
    """The class index that a label is, None where it is none (negative, not whole, several)."""
    if isinstance(label, (torch.Tensor, np.ndarray)):
        if label.ndim or "int" not in str(label.dtype):
            return None
        label = label.item()
    elif isinstance(label, np.integer):
        label = int(label)
    return label if type(label) is int and 0 <= label < MOST_CLASSES else None


def told_no_class(label: Any) -> str:
    """What an item has in the place of its class that looks like one and is none, in a few words: a float, a truth value, a
    name, a row of zeros with a single one. '' of all else, such as the targets of each step.
    """
    plain = label.item() if isinstance(label, (torch.Tensor, np.ndarray, np.generic)) and not label.ndim else label
    if isinstance(plain, (float, bool, str)):
        return f"{a_type(plain)} such as {shown(plain)}"
    row = tensor_of(plain)
    if row is None or row.ndim != 1 or (int((row == 1).sum()), int((row == 0).sum())) != (1, len(row) - 1):
        return ""
    return f"a row of {len(row)} numbers, all 0 but one,"


def kind_of(value: Any) -> KindName:
    """The kind of an input: whole numbers (time,) are text, floats (time, channel) a series, all else is for pictures."""
    found = tensor_of(value)
    if found is not None:
        floats = found.is_floating_point()
        if found.ndim == 2 and floats:
            return "series"
        if found.ndim == 1 and not floats:
            return "text"
    return "pictures"


def tensor_of(value: Any) -> Tensor | None:
    """A tensor, array, number, or list of numbers as a tensor; None of anything else."""
    if isinstance(value, Tensor):
        return value.detach().as_subclass(Tensor).cpu()
    try:
        if isinstance(value, np.ndarray):
            return torch.from_numpy(value.copy())
        if isinstance(value, (bool, int, float, np.number)):
            return torch.tensor(value)
        if isinstance(value, (list, tuple)) and value and not isinstance(value[0], (Tensor, str)):
            return torch.tensor(value)
    except (TypeError, ValueError, RuntimeError):  # of objects, of rows that differ, of numbers beyond 64 bits
        return None
    return None


def to_companion(value: Any, preprocessing: Preprocessing | None) -> Shaped[Tensor, ...]:
    """A further input as a tensor: floats in float32, whole numbers in int64; raises `DataError` where it is none.

    Beside a shown picture, a PIL image or uint8 array (..., 3) is a picture too, and is prepared in the same way.
    """
    picture = isinstance(value, Image.Image) or (str(getattr(value, "dtype", "")).endswith("uint8") and value.ndim == 3)
    if picture and preprocessing is not None:
        pixels = torch.as_tensor(to_pixels(value, preprocessing))
        return normalize(pixels[None], preprocessing)[0]
    found = tensor_of(value)
    if found is None or found.is_complex():
        raise DataError(f"is {a_type(value)}, not a tensor, array or number")
    if found.dtype is torch.bool:
        return found
    return found.to(torch.float32 if found.is_floating_point() else torch.int64)


def unpadded(
    values: Shaped[Tensor, "time ..."], ends: Sequence[Shaped[Tensor, ...]], padding: int | None = None
) -> tuple[int, int]:
    """The steps of a sequence from the first to the last that are no padding, half-open: what no mask among `ends` leaves out,
    a length among them, or else the run of the token `padding` at its end. All where this would be none.

    A mask that is not of this length, and a length that the sequence cannot have, say nothing.
    """
    steps = len(values)
    seen, told = torch.ones(steps, dtype=torch.bool), False
    for one in ends:
        if one.shape == (steps,) and (steps > 1 or int(one) < 2):
            seen, told = seen & (one != 0), True
        elif one.numel() == 1 and 0 < int(one) <= steps:
            seen[int(one) :], told = False, True
    if not told and padding is not None and values.ndim == 1 and len(others := (values != padding).nonzero()):
        seen[int(others[-1]) + 1 :] = False
    kept = seen.nonzero()
    return (int(kept[0]), int(kept[-1]) + 1) if len(kept) else (0, steps)


def to_ids(value: Any, vocabulary: Vocabulary | None) -> Int64[Tensor, " time"]:
    """Token ids from a data set; raises `DataError` where they are none, or the vocabulary has no such index."""
    tensor = _tensor(value)
    if tensor.ndim != 1 or not len(tensor) or tensor.is_floating_point():
        raise DataError(f"has shape {tuple(tensor.shape)} and type {_type(tensor)}, not (time,) whole numbers of a text")
    ids = tensor.to(torch.int64)
    lowest, highest = int(ids.min()), int(ids.max())
    if lowest < 0:
        raise UnknownTokenError(f"has the token id {lowest}")
    if highest >= MOST_TOKENS:
        raise UnknownTokenError(f"has the token id {highest}; no network has as many tokens")
    if vocabulary is not None and highest >= len(vocabulary):
        raise UnknownTokenError(f"has the token id {highest}; the vocabulary ends at {len(vocabulary) - 1}")
    return ids


def to_series(value: Any) -> Float32[Tensor, "time channel"]:
    """A series from a data set; raises `DataError` where it is none."""
    tensor = _tensor(value)
    if tensor.ndim != 2 or 0 in tensor.shape or tensor.is_complex():
        raise DataError(f"has shape {tuple(tensor.shape)} and type {_type(tensor)}, not (time, channel) floats of a series")
    return tensor.to(torch.float32)


def check_complete(series: Shaped[Tensor, "time channel"]) -> None:
    """Raises `DataError` where a series has missing values: they would spread over every later step."""
    missing = series.isnan().nonzero()
    if len(missing):
        step, channel = missing[0].tolist()
        raise DataError(f"has missing values, the first at step {step} of channel {channel}")


def _tensor(value: Any) -> Tensor:
    check_no_text(value)
    found = tensor_of(value)
    if found is None:
        raise DataError(f"is {a_type(value)}, not a tensor or array")
    return found


def _type(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def to_pixels(picture: Any, preprocessing: Preprocessing) -> Values:
    """A data set's picture as an item's pixels; raises `DataError` where it is no picture."""
    check_no_text(picture)
    if isinstance(picture, Image.Image):
        return prepare(picture, preprocessing)
    if isinstance(picture, np.ndarray):
        picture = torch.from_numpy(channels_first(picture).copy())
    if not isinstance(picture, torch.Tensor):
        raise DataError(f"is {a_type(picture)}, not a tensor or picture")
    tensor = picture.detach().as_subclass(torch.Tensor).cpu()
    tensor = tensor[None] if tensor.ndim == 2 else tensor
    if tensor.ndim != 3 or 0 in tensor.shape:
        batch = f"; {OF_BATCHES}" if tensor.ndim == 4 else ""
        raise DataError(f"has shape {tuple(picture.shape)}, not {SHAPES}{batch}")
    if tensor.is_floating_point():
        return tensor.to(torch.float32)
    if tensor.dtype != torch.uint8:
        several = f", or, if these are {len(picture)} texts, {OF_BATCHES}" if picture.ndim == 2 else ""
        raise DataError(f"has values of type {_type(tensor)}, not uint8 or float: give floats{several}")
    return _prepared(tensor.permute(1, 2, 0).numpy(), preprocessing)


def _prepared(pixels: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    channels = pixels.shape[2]
    if channels in (1, 3) and preprocessing.channels in (1, 3):
        image = Image.fromarray(np.ascontiguousarray(pixels[:, :, 0] if channels == 1 else pixels))
        return prepare(image, preprocessing)
    if preprocessing.resize or preprocessing.crop:
        raise DataError(f"has {channels} channels, which cannot be resized or cropped as a picture")
    return pixels


def channels_first(array: np.ndarray) -> np.ndarray:
    """An array as (channel, height, width); channels come last where only that end is short enough to be them."""
    last = array.ndim == 3 and array.shape[2] <= 4 < array.shape[0]
    return array.transpose(2, 0, 1) if last else array
