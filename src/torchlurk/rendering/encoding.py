"""Pictures to bytes and back. See docs/decisions/pictures.md for the measurements behind the settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Literal

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from torchlurk.allowance import spend
from torchlurk.errors import StudyError
from torchlurk.options import MOST_PIXELS

MediaType = Literal["image/png", "image/jpeg", "image/webp"]

LOSSLESS_SIDE = 96
JPEG_QUALITY = 90
PNG_COMPRESSION = 6
_NO_SUBSAMPLING = 0
WEBP_METHOD, WEBP_EFFORT = 0, 50
_KINDS: Mapping[bytes, Callable[[BytesIO], Image.Image]] = {
    b"\x89PNG": PngImageFile,
    b"\xff\xd8": JpegImageFile,
    b"RIFF": WebPImageFile,
}


def encode(picture: UInt8[np.ndarray, "height width channel"]) -> tuple[MediaType, bytes]:
    """A picture of one (grey) or three (RGB) channels as (media type, bytes); of another number, their mean as grey.

    Without loss up to `LOSSLESS_SIDE` pixels a side, as JPEG at full colour resolution beyond.
    """
    image = to_image(picture)
    target = BytesIO()
    if max(image.size) <= LOSSLESS_SIDE:
        image.save(target, "PNG", compress_level=PNG_COMPRESSION)
        return "image/png", target.getvalue()
    image.save(target, "JPEG", quality=JPEG_QUALITY, subsampling=_NO_SUBSAMPLING)
    return "image/jpeg", target.getvalue()


def encode_levels(picture: UInt8[np.ndarray, "height width channel"]) -> tuple[MediaType, bytes]:
    """Numbers as `rendering.levels` makes them, of one or three channels, as (media type, bytes), without loss."""
    target = BytesIO()
    to_image(picture).save(target, "WEBP", lossless=True, method=WEBP_METHOD, quality=WEBP_EFFORT, exact=True)
    return "image/webp", target.getvalue()


def encode_transparent(picture: UInt8[np.ndarray, "height width rgba"]) -> tuple[MediaType, bytes]:
    """An RGB picture with its opacity, as (media type, bytes), without loss but for the colour of what cannot be seen."""
    seen = np.where(picture[:, :, 3:] > 0, picture, np.uint8(0))
    target = BytesIO()
    Image.fromarray(seen).save(target, "PNG", compress_level=PNG_COMPRESSION)
    return "image/png", target.getvalue()


def png(image: Image.Image) -> bytes:
    """An image of any mode as a notebook shows it."""
    target = BytesIO()
    image.save(target, "PNG")
    return target.getvalue()


def decode(data: bytes, *, most_pixels: int = MOST_PIXELS, alpha: bool = False) -> Image.Image:
    """The picture in PNG, JPEG or WebP bytes, grey or RGB; raises `StudyError` where they are no such picture, or too large.

    With `alpha`, one that has transparency is RGBA; without, what is transparent is lost.
    """
    try:
        image = _opened(data)
        if image.width * image.height > most_pixels:
            raise _damaged(f"it has {image.width} × {image.height} pixels")
        spend(image.width * image.height, "pixels")
        image.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _damaged(str(error)) from error
    if alpha and image.has_transparency_data:
        return image.convert("RGBA")
    return (
        image.copy() if image.mode in ("L", "RGB") else image.convert("RGB")
    )  # without its decoder, which keeps the pixels too


def _opened(data: bytes) -> Image.Image:
    """The picture, not decoded yet. What Pillow's own `open` warns of, a large size, is looked at by its caller."""
    for start, kind in _KINDS.items():
        if data.startswith(start):
            return kind(BytesIO(data))
    raise _damaged("it is neither PNG nor JPEG nor WebP")


def to_image(picture: UInt8[np.ndarray, "height width channel"]) -> Image.Image:
    """A picture of one (grey) or three (RGB) channels as Pillow has it; of another number, their mean as grey."""
    if picture.shape[2] == 3:
        return Image.fromarray(np.ascontiguousarray(picture))
    grey = picture[:, :, 0] if picture.shape[2] == 1 else np.round(picture.mean(axis=2)).astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(grey))


def _damaged(reason: str) -> StudyError:
    return StudyError(f"a picture in the study cannot be read: {reason}", "torchlurk check STUDY lists what else is damaged")
