"""From a picture to the network's input and back: resize, centre crop, normalization, and its exact inverse.

Every step gives the same bits as torchvision's Resize, CenterCrop, ToTensor and Normalize on a PIL image.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from PIL import Image, ImageOps
from torch import Tensor

from torchlurk.errors import DataError, OptionError
from torchlurk.inputs.pictures.decoding import MOST_PIXELS, eight_bit
from torchlurk.options import InputOptions
from torchlurk.records import Preprocessing

HIGHEST = 255.0
"""The value of a uint8 that stands for 1.0."""

GREY = Preprocessing(mean=(0.0,), std=(1.0,))
"""Of networks that take one channel and do not say how pictures are prepared."""

_RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def resolve(options: InputOptions, default: Preprocessing | None) -> Preprocessing:
    """The options' preprocessing, completed field by field from the model's own (`default`).

    Where neither says: no resize, no crop, bilinear, and inputs in the 0..1 range. Raises `OptionError` where the
    fields, so put together, do not fit each other.
    """
    known = default or Preprocessing()
    resize = (options.resize,) if isinstance(options.resize, int) else options.resize
    crop = (options.crop, options.crop) if isinstance(options.crop, int) else options.crop
    if resize is not None and crop is None and known.crop is not None:
        _check_resize_covers(resize, known.crop)
    mean, std = _moments(options, default)
    return Preprocessing(
        resize=resize or known.resize,
        crop=crop or known.crop,
        interpolation=options.interpolation or known.interpolation,
        mean=mean,
        std=std,
    )


def _check_resize_covers(resize: tuple[int, ...], crop: tuple[int, int]) -> None:
    height, width = resize if len(resize) == 2 else resize * 2
    if height < crop[0] or width < crop[1]:
        raise OptionError(
            f"--resize {','.join(map(str, resize))} is smaller than the model's own crop {crop[0]}x{crop[1]}",
            "give --crop too; otherwise the uncovered border would be black",
        )


def _moments(options: InputOptions, default: Preprocessing | None) -> tuple[tuple[float, ...], tuple[float, ...]]:
    channels = len(options.mean or options.std or (default or Preprocessing()).mean)
    known = default or Preprocessing(mean=(0.0,) * channels, std=(1.0,) * channels)
    mean, std = options.mean or known.mean, options.std or known.std
    if len(mean) != len(std):
        given, missing = ("mean", "std") if options.mean else ("std", "mean")
        raise OptionError(
            f"--{given} has {channels} value(s), the model's own {missing} {known.channels}", f"give --{missing} too"
        )
    return mean, std


def resized(size: tuple[int, int], resize: tuple[int, ...] | None) -> tuple[int, int]:
    """(height, width) of a picture of `size` after the resize; the longer side is rounded down."""
    height, width = size
    if resize is None:
        return size
    if len(resize) == 2:
        return resize[0], resize[1]
    if width <= height:
        return int(resize[0] * height / width), resize[0]
    return resize[0], int(resize[0] * width / height)


def resized_within(size: tuple[int, int], resize: tuple[int, ...] | None) -> tuple[int, int]:
    """As `resized`; raises `DataError` for a picture so long and narrow that it would fill the memory."""
    height, width = resized(size, resize)
    if height * width > MOST_PIXELS:
        raise DataError(f"is too elongated ({size[1]}x{size[0]}) to be resized to {width}x{height}")
    return height, width


def prepared_size(size: tuple[int, int], preprocessing: Preprocessing) -> tuple[int, int]:
    """(height, width) of the network's input from a picture of (height, width) `size`."""
    return preprocessing.crop or resized(size, preprocessing.resize)


def prepare(image: Image.Image, preprocessing: Preprocessing) -> UInt8[np.ndarray, "height width channel"]:
    """The picture as the network sees it, before normalization: 8 bit, grey or RGB, resized, the centre cropped.

    What the crop covers beyond the picture is black. Raises `DataError` where the picture cannot be had in as many
    channels as the preprocessing has, or is so long and narrow that resizing it would fill the memory.
    """
    image = eight_bit(image, preprocessing.channels)
    height, width = resized_within((image.height, image.width), preprocessing.resize)
    if (width, height) != image.size:
        image = image.resize((width, height), _RESAMPLING[preprocessing.interpolation])
    if preprocessing.crop is not None:
        image = _centre(image, *preprocessing.crop)
    pixels = np.array(image)  # a copy of its own: torch warns of arrays that cannot be written to
    return pixels if pixels.ndim == 3 else pixels[:, :, None]


def _centre(image: Image.Image, height: int, width: int) -> Image.Image:
    missing_x, missing_y = max(width - image.width, 0), max(height - image.height, 0)
    if missing_x or missing_y:
        border = (missing_x // 2, missing_y // 2, (missing_x + 1) // 2, (missing_y + 1) // 2)
        image = ImageOps.expand(image, border, fill=0)
    if image.size == (width, height):
        return image
    top, left = round((image.height - height) / 2), round((image.width - width) / 2)
    return image.crop((left, top, left + width, top + height))


def _channelwise(values: tuple[float, ...], like: Tensor) -> Float32[Tensor, "channel 1 1"]:
    return _on(like.device, tuple(values))


@lru_cache(maxsize=64)
def _on(device: torch.device, values: tuple[float, ...]) -> Float32[Tensor, "channel 1 1"]:
    """Sent to a device once, not with each batch; never written to."""
    with torch.inference_mode(False):
        return torch.tensor(values, dtype=torch.float32, device=device).view(-1, 1, 1)


def unit_range(pixels: UInt8[Tensor, "batch height width channel"]) -> Float32[Tensor, "batch channel height width"]:
    """The pictures in the 0..1 range, channels first."""
    # A divisor on the device: by a plain number CUDA multiplies with the reciprocal, which is one bit off.
    highest = _channelwise((HIGHEST,), pixels)
    values = pixels.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)
    return values.div_(highest)


def normalize(
    pixels: UInt8[Tensor, "batch height width channel"], preprocessing: Preprocessing
) -> Float32[Tensor, "batch channel height width"]:
    """The network's input: (x/255 - mean) / std, in this order of operations, on the device of `pixels`."""
    _check_channels(pixels.shape[3], preprocessing)
    inputs = unit_range(pixels)
    return inputs.sub_(_channelwise(preprocessing.mean, inputs)).div_(_channelwise(preprocessing.std, inputs))


def denormalize(
    inputs: Float[Tensor, "batch channel height width"], preprocessing: Preprocessing
) -> Float32[Tensor, "batch channel height width"]:
    """Inputs without the normalization: in the 0..1 range where they came from pictures, not clipped."""
    _check_channels(inputs.shape[1], preprocessing)
    values = inputs.detach().to(torch.float32, copy=True)
    return values.mul_(_channelwise(preprocessing.std, values)).add_(_channelwise(preprocessing.mean, values))


def display(
    inputs: Float[Tensor, "batch channel height width"] | UInt8[Tensor, "batch height width channel"],
    preprocessing: Preprocessing,
) -> UInt8[np.ndarray, "batch height width shown"]:
    """The pictures that a network's inputs show: `normalize` undone, exactly, for what came from pictures.

    One channel is shown as grey, three as RGB; of two the first is shown as grey, of more than three the first three
    as RGB. Values outside the 0..1 range are clipped, NaN is black. Pictures not yet normalized stay as they are.
    """
    if inputs.dtype == torch.uint8:
        pictures = inputs
    else:
        values = denormalize(inputs, preprocessing).mul_(HIGHEST).nan_to_num_(0.0).round_().clamp_(0, HIGHEST)
        pictures = values.to(torch.uint8).permute(0, 2, 3, 1)
    shown = 1 if pictures.shape[3] < 3 else 3
    return pictures[..., :shown].contiguous().cpu().numpy()


def _check_channels(channels: int, preprocessing: Preprocessing) -> None:
    if preprocessing.channels not in (1, channels):
        raise DataError(
            f"the inputs have {channels} channel(s), the preprocessing {preprocessing.channels}",
            f"give --mean and --std with {channels} value(s)",
        )
