"""Data as the network takes it, where nobody says how: pictures in grey, series with channels first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from torchlurk.errors import DataError, ModelError
from torchlurk.inputs.items import Item
from torchlurk.inputs.pictures.preprocessing import GREY, normalize
from torchlurk.inputs.series.source import SeriesSource
from torchlurk.inputs.source import PictureSource, Source, spread
from torchlurk.inputs.sources.datasets import DatasetSource
from torchlurk.models.loading.load import LoadedModel
from torchlurk.models.survey.expected_input import takes_grey_alone
from torchlurk.models.survey.input_axes import axes_of
from torchlurk.models.taps.modules import dtype_of
from torchlurk.options import InputOptions
from torchlurk.records import Preprocessing

UNNORMALIZED = (
    "the model does not state its preprocessing, so it is given pixels from 0 to 1; if it was trained on normalized"
    " pixels, give --mean and --std"
)

GREYED = "pictures are given in grey, since the network takes one channel"

FIRST = 8
"""So many examples, spread over the data, are tried until one can be read."""

SERIES_AXES = 2

Pixels = UInt8[np.ndarray, "height width channel"]


def suit(source: Source, loaded: LoadedModel, inputs: InputOptions, constants: Mapping[str, Any]) -> Iterator[tuple[bool, str]]:
    """Has the source read its examples as the network takes them, and tells what follows from nothing that was said.

    Beside each note is whether it is for the study alone. It depends on the network and the data, so that a study that is
    continued has the same.
    """
    if turned := _turn(source, loaded, inputs, constants):
        yield False, turned
    pixels = _unnormalized(source, loaded, inputs)
    if pixels is not None:
        yield True, UNNORMALIZED
        if _make_grey(source, loaded, pixels):
            yield False, GREYED


def _unnormalized(source: Source, loaded: LoadedModel, inputs: InputOptions) -> Pixels | None:
    """A picture that is given as it is because nothing says otherwise; None where something does."""
    if source.kind.name != "pictures" or loaded.preprocessing is not None or inputs.mean is not None:
        return None
    every = (_pixels(source, index) for index in spread(len(source.examples), FIRST))
    return next((one for one in every if one is not None), None)


def _pixels(source: Source, index: int) -> Pixels | None:
    """An example that is still to be normalized; None for any other, and where it cannot be read."""
    item = _item(source, index)
    values = None if item is None else item.values
    return values if isinstance(values, np.ndarray) and values.dtype == np.uint8 and values.ndim == 3 else None


def _item(source: Source, index: int) -> Item | None:
    """An example; None where it cannot be read."""
    with suppress(DataError):
        return source.read(index)
    return None


def _turn(source: Source, loaded: LoadedModel, inputs: InputOptions, constants: Mapping[str, Any]) -> str:
    """Has series read as (channel, time) where the network runs on them so and not as (time, channel); what to tell."""
    if source.kind.name != "series" or inputs.input_axes or not isinstance(source, (SeriesSource, DatasetSource)):
        return ""
    every = (_item(source, index) for index in spread(len(source.examples), FIRST))
    item = next((one for one in every if one is not None and one.values.ndim == SERIES_AXES), None)
    if item is None:
        return ""
    module, example = loaded.module, torch.as_tensor(item.values)[None]
    dtype = dtype_of(module)
    beside = {name: one[None] for name, one in item.companions.items()}

    def runs_on(one: Tensor) -> bool:
        try:
            axes_of(module, one.to(dtype), constants, beside, item.parameter)
        except ModelError:
            return False
        return True

    if runs_on(example) or not runs_on(example.transpose(1, 2).contiguous()) or not source.turn():
        return ""
    told = "×".join(map(str, item.values.shape))
    return f"examples are read as (channel, time), such as {told}, since the network takes them so; --input-axes says otherwise"


def _make_grey(source: Source, loaded: LoadedModel, pixels: Pixels) -> bool:
    """Has pictures made grey where the network takes only such."""
    colour = Preprocessing()
    if pixels.shape[2] != colour.channels or not isinstance(source, (PictureSource, DatasetSource)):
        return False
    if not takes_grey_alone(loaded.module, normalize(torch.from_numpy(pixels)[None], colour)):
        return False
    source.preprocessing = replace(source.preprocessing, mean=GREY.mean, std=GREY.std)
    return True
