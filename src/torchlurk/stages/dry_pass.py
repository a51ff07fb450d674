"""The layers of a model without data: one pass over an input that says nothing, of a shape that the model takes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from math import prod

import torch
from torch import Tensor, nn

from torchlurk.errors import ModelError, OptionError
from torchlurk.inputs.kinds import Inputs
from torchlurk.models.loading.load import LoadedModel, load
from torchlurk.models.survey.axes import PICTURES
from torchlurk.models.survey.expected_input import Expected, expected_input
from torchlurk.models.survey.input_axes import axes_of
from torchlurk.models.survey.layers import Survey, survey
from torchlurk.models.taps.arguments import Arguments, called_with
from torchlurk.models.taps.as_found import as_found
from torchlurk.stages.places import BY_KIND
from torchlurk.units import whole_number

USUAL_SIZES = ((224, 224), (32, 32), (28, 28), (64, 64), (96, 96), (128, 128), (256, 256), (299, 299), (384, 384))
"""Heights and widths of pictures that are tried, in order, for a model that does not tell its own."""

USUAL_STEPS = (16, 64, 128, 256)
"""Steps of a text or series that are tried, in order."""

MOST_NUMBERS = 2**27
"""Of one input, which is made to look at the network."""

SHAPES = "C,H,W for pictures, for example 3,224,224; T,C for series; T for text"


def survey_model(model: str, weights: str | None, shape: str | None) -> Survey:
    """The survey of the model on an input of `shape`, on its own size, or on the first usual size that it takes.

    "C,H,W" is a picture, "T,C" a series and "T" the token ids of a text. Without a shape the first module of the model tells
    which of these it takes.
    """
    loaded = load(model, weights or _no_weights(model), preprocessing=False)
    expected = expected_input(loaded.module)
    if shape is not None:
        return _surveyed(loaded.module, _blank(_parsed(shape), expected))
    refused: ModelError | None = None
    for usual in _usual_shapes(loaded, expected):
        try:
            return _surveyed(loaded.module, _blank(usual, expected))
        except ModelError as error:
            refused = refused or error
    assert refused is not None
    raise ModelError(refused.message, f"give the input's shape with --input: {SHAPES}")


@contextmanager
def telling_size(network: nn.Module, example: Inputs) -> Iterator[None]:
    """Where the network does not run on pictures of that size within it, the `ModelError` tells a usual one that it runs at."""
    try:
        yield
    except ModelError as error:
        size = _runs_at(network, example) if isinstance(example, Tensor) and error.hint == PICTURES.hint else None
        if size is None:
            raise
        height, width = size
        raise ModelError(error.message, f"it runs at {height}×{width}: --resize {height} --crop {width}") from error


def _runs_at(network: nn.Module, example: Tensor) -> tuple[int, int] | None:
    """The first usual size at which pictures like the example go through; None where none does."""
    for height, width in USUAL_SIZES:
        with as_found(network), torch.inference_mode(False), torch.no_grad(), suppress(Exception):
            network(example.new_zeros(1, example.shape[1], height, width))
            return height, width
    return None


def _surveyed(module: nn.Module, example: Tensor) -> Survey:
    kind = {2: "text", 3: "series"}.get(example.ndim, "pictures")
    axes = None if kind == "pictures" else axes_of(module, example, {})
    with called_with(module, Arguments.of(module, axes, {})):
        return survey(module, example, axes=BY_KIND[kind])


def _blank(shape: tuple[int, ...], expected: Expected | None) -> Tensor:
    """Zeros; of text, ids that differ, so that one step can be told from another."""
    if prod(shape) > MOST_NUMBERS:
        raise OptionError(f"--input has {prod(shape):,} numbers", f"use at most {MOST_NUMBERS:,}: a small input is enough")
    if len(shape) > 1:
        return torch.zeros(1, *shape)
    tokens = expected.extent if expected is not None and expected.kind == "text" else 2
    return torch.arange(shape[0])[None] % tokens


def _no_weights(model: str) -> str | None:
    """The layers do not depend on the weights: none are fetched."""
    return "random" if model.partition(":")[0] in ("torchvision", "timm", "hf") else None


def _parsed(shape: str) -> tuple[int, ...]:
    sides = [whole_number(part.strip()) or 0 for part in shape.split(",")]
    if len(sides) > 3 or 0 in sides:
        raise OptionError(f"--input is {shape!r}", f"use {SHAPES}")
    return tuple(sides)


def _usual_shapes(loaded: LoadedModel, expected: Expected | None) -> Iterator[tuple[int, ...]]:
    """The shapes that are tried: pictures as the preprocessing says, or what the first telling module wants."""
    if loaded.preprocessing is None and expected is not None and expected.kind != "pictures":
        channels = () if expected.kind == "text" else (expected.extent,)
        yield from ((steps, *channels) for steps in USUAL_STEPS)
        return
    sizes = [loaded.preprocessing.crop] if loaded.preprocessing and loaded.preprocessing.crop else USUAL_SIZES
    for count in _picture_channels(loaded):
        yield from ((count, height, width) for height, width in sizes)


def _picture_channels(loaded: LoadedModel) -> list[int]:
    """As the preprocessing says, or as the first convolution wants."""
    if loaded.preprocessing:
        return [loaded.preprocessing.channels]
    first = next((one for one in loaded.module.modules() if isinstance(one, nn.Conv2d)), None)
    return [first.in_channels] if first else [3, 1]
