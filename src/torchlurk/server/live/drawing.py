"""Maps and signed pictures as encoded bytes."""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass
from io import BytesIO
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from torchlurk.anatomy import PathPicture
from torchlurk.records import Box
from torchlurk.rendering.colour import signed
from torchlurk.rendering.encoding import encode, to_image
from torchlurk.rendering.tree import focus

Range = Literal["map", "layer", "study"]

TILE = 48
"""Pixels of a map's longer side in a sheet, at most."""
PLAIN_PIXELS = 2**18
"""Up to so many pixels a sheet is sent without loss, for small maps are shown enlarged."""
FAST, QUALITY, SIGNED_QUALITY = 1, 80, 88
NEUTRAL, HIGHEST = 128, 255


@dataclass(frozen=True, slots=True)
class Sheet:
    """All maps of a layer in one grey picture, row by row; `signed` where 128 stands for zero, not 0. `peaks` are the largest
    magnitudes of its units.
    """

    media_type: str
    data: bytes
    columns: int
    tile: tuple[int, int]
    signed: bool
    reach: float
    peaks: tuple[float, ...]


def sheet_of(
    maps: Float[Tensor, "channel height width"],
    *,
    scale: Range,
    gamma: float = 1.0,
    usual: Float[Tensor, " channel"] | None = None,
    tile: int = TILE,
    columns: int | None = None,
) -> Sheet:
    """The sheet, as good as square where `columns` are not given.

    A map's brightest is its own largest value, the layer's, or the `usual` largest of its unit.

    Of maps with negative values zero is grey. `reach` is the layer's largest magnitude.
    """
    height, width = maps.shape[1:]
    peaks = maps.abs().amax((1, 2))
    if max(height, width) > tile:
        height, width = max(1, round(height * tile / max(height, width))), max(1, round(width * tile / max(height, width)))
        maps = F.adaptive_avg_pool2d(maps, (height, width))
    own = maps.abs().amax((1, 2))
    reach = float(own.amax()) if len(own) else 0.0
    known = usual.to(own.device) if scale == "study" and usual is not None else torch.full_like(own, reach)
    highest = own if scale == "map" else known
    shares = (maps / highest.clamp(min=torch.finfo(maps.dtype).tiny)[:, None, None]).clamp(-1, 1)
    negative = bool((maps < 0).any())
    if gamma != 1:
        shares = shares.sign() * shares.abs().pow(gamma)
    levels = (NEUTRAL + shares * (HIGHEST - NEUTRAL)) if negative else shares * HIGHEST
    columns = min(columns or max(1, math.ceil(math.sqrt(len(maps) * height / width))), max(1, len(maps)))
    rows = -(-len(maps) // columns)
    filled = torch.zeros(rows * columns, height, width, dtype=torch.uint8)
    filled[: len(maps)] = levels.round().to(torch.uint8).cpu()
    grid = filled.view(rows, columns, height, width).permute(0, 2, 1, 3).reshape(rows * height, columns * width)
    media_type, data = grey(grid.numpy())
    return Sheet(media_type, data, columns, (height, width), negative, reach, tuple(peaks.tolist()))


def grey(levels: UInt8[np.ndarray, "height width"]) -> tuple[str, bytes]:
    """A grey picture, quickly encoded: without loss where it is small."""
    target = BytesIO()
    image = Image.fromarray(levels)
    if levels.size <= PLAIN_PIXELS:
        image.save(target, "PNG", compress_level=FAST)
        return "image/png", target.getvalue()
    image.save(target, "JPEG", quality=QUALITY)
    return "image/jpeg", target.getvalue()


def exact_picture(pixels: UInt8[np.ndarray, "height width channel"]) -> tuple[str, bytes]:
    """Grey or colour, without loss."""
    target = BytesIO()
    Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[:, :, 0]).save(target, "PNG", compress_level=FAST)
    return "image/png", target.getvalue()


def signed_picture(values: Float[np.ndarray, "height width channel"]) -> tuple[str, bytes]:
    """Signed numbers around neutral grey, no pixel saturated but the few strongest."""
    target = BytesIO()
    to_image(signed(values)).convert("RGB").save(target, "JPEG", quality=SIGNED_QUALITY, subsampling=0)
    return "image/jpeg", target.getvalue()


def in_focus(picture: PathPicture) -> tuple[Box, str]:
    """The square of the image around which a path's picture is, and that picture as a data address."""
    x0, y0, x1, y1 = box = focus(picture.values)
    media_type, data = encode(np.asarray(to_image(signed(picture.values[y0:y1, x0:x1].astype(np.float64))).convert("RGB")))
    return box, data_address(media_type, data)


def data_address(media_type: str, data: bytes) -> str:
    """Bytes as a `data:` address."""
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def as_plane(maps: Float[Tensor, " channel *position"]) -> Float[Tensor, "channel height width"]:
    """Maps as pictures: a vector's units are one pixel each, tokens a square where there are as many, else a row."""
    if maps.ndim == 3:
        return maps
    count = maps[0].numel()
    side = math.isqrt(count)
    if side * side == count:
        return maps.reshape(len(maps), side, side)
    if side * side == count - 1:  # behind a class token
        return maps.reshape(len(maps), count)[:, 1:].reshape(len(maps), side, side)
    return maps.reshape(len(maps), 1, count)
