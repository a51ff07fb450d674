"""One image file to one upright picture: what may be opened, how large it may be, and any kind of pixel to 8 bit.

What a damaged file can do here is one thing: raise `DataError` with the reason.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageFile, JpegImagePlugin

from torchlurk.errors import DataError

MOST_PIXELS = 2**30 // 4 // 3
"""Larger pictures (more than 89 megapixels) are passed over: a small file can claim any size, and every reading
thread holds a whole picture. It is also where Pillow itself would begin to warn."""

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "PPM", "JPEG2000", "PCX", "SGI")
"""What is tried, known by the first bytes. Formats that start other programs (EPS) or that any file may pass for
(TGA) are not among them."""

PREFIX = 16
"""How many first bytes tell the format."""

_SIXTEEN_BIT, _THIRTY_TWO_BIT = 2.0**16 - 1, 2.0**31 - 1
_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = (5, 6, 7, 8)
_RGB, _END = b"RGB", b"\xff\xd9"
"""What a JPEG calls its channels where they are red, green and blue, and how one ends that is not cut off."""


class _Jpeg(JpegImagePlugin.JpegImageFile):
    """A JPEG without the look into its EXIF block for dots per inch, which warns where the block is damaged."""

    def _read_dpi_from_exif(self) -> None:
        return

    @property
    def channels_named(self) -> bytes:
        """The numbers by which the file calls its channels."""
        return bytes(one[0] for one in self.layer)


def format_of(prefix: bytes) -> str | None:
    """The image format whose files begin with these bytes; None for all others."""
    Image.init()
    for name in FORMATS:
        if name in Image.OPEN:
            accept = Image.OPEN[name][1]
            if accept is not None and accept(prefix):
                return name
    return None


def decode(path: Path) -> Image.Image:
    """The picture in a file, upright (EXIF), the first frame of an animation, in whatever mode it is stored.

    Never in JPEG's reduced-size mode, which gives other pixels than decoding and then resizing. Raises `DataError`
    with the reason alone.
    """
    with _opened(path) as image:
        image.load()  # turns a TIFF upright by itself
        turn = _UPRIGHT.get(orientation(image.info.get("exif", b"")))
        return image if turn is None else image.transpose(turn)


def decode_bytes(data: bytes, *, most_pixels: int = MOST_PIXELS) -> Image.Image:
    """As `decode`, of a file's content."""
    with _guarded(), _recognized(BytesIO(data), "") as image:
        _check_size(image, most_pixels)
        image.load()
        turn = _UPRIGHT.get(orientation(image.info.get("exif", b"")))
        return image if turn is None else image.transpose(turn)


def size_of(path: Path) -> tuple[int, int]:
    """(height, width) of the upright picture in a file, from its header; raises `DataError` as `decode` does."""
    with _opened(path) as image:
        return _upright_size(image)


def size_in(data: bytes) -> tuple[int, int]:
    """As `size_of`, of a file's content."""
    with _guarded(), _recognized(BytesIO(data), "") as image:
        _check_size(image, MOST_PIXELS)
        return _upright_size(image)


@dataclass(frozen=True, slots=True)
class ColourJpeg:
    """What the header of a JPEG in usual colours says: (height, width) as stored, and how it is to be turned, as in EXIF."""

    size: tuple[int, int]
    orientation: int


def colour_jpeg(data: bytes) -> ColourJpeg | None:
    """The header of a whole JPEG of three channels, luminance and colour; None for every other picture and for one cut off.

    Raises `DataError`, as `decode` does, for what is no picture or too large.
    """
    with _guarded(), _recognized(BytesIO(data), "") as image:
        _check_size(image, MOST_PIXELS)
        if not isinstance(image, _Jpeg) or image.mode != "RGB" or image.info.get("adobe_transform", 1) != 1:
            return None
        if image.channels_named == _RGB or not data.rstrip(b"\0").endswith(_END):
            return None
        return ColourJpeg((image.height, image.width), orientation(image.info.get("exif", b"")))


def _upright_size(image: Image.Image) -> tuple[int, int]:
    sideways = orientation(image.info.get("exif", b"")) in _SIDEWAYS  # a TIFF's size is already that of the upright
    return (image.width, image.height) if sideways else (image.height, image.width)


@contextmanager
def _opened(path: Path) -> Iterator[ImageFile.ImageFile]:
    """The file's picture, its header read; all that goes wrong inside becomes a `DataError`."""
    with _guarded(), open(path, "rb") as file, _recognized(file, str(path)) as image:
        _check_size(image, MOST_PIXELS)
        yield image


def _check_size(image: Image.Image, most: int) -> None:
    if image.width * image.height > most:
        raise DataError(f"has {image.width}x{image.height} pixels, more than the {most // 10**6} million allowed")


@contextmanager
def _guarded() -> Iterator[None]:
    """All that goes wrong inside becomes a `DataError`."""
    try:
        yield
    except DataError:
        raise
    except MemoryError as error:
        raise DataError("does not fit into memory") from error
    except OSError as error:
        # Of the operating system's errors only those that it raised itself carry a number.
        reason = f"cannot be opened: {error.strerror}" if error.errno else f"is damaged: {error}"
        raise DataError(reason) from error
    except Exception as error:  # a damaged file may raise anything in a decoder
        raise DataError(f"is damaged: {error or type(error).__name__}") from error


def _recognized(file: IO[bytes] | BytesIO, name: str) -> ImageFile.ImageFile:
    prefix = file.read(PREFIX)
    if not prefix:
        raise DataError("is empty")
    kind = format_of(prefix)
    if kind is None:
        raise DataError("is not an image")
    file.seek(0)
    # Image.open would warn of large pictures, and of JPEGs that are damaged multi-picture files; in threads a
    # warning cannot be silenced without silencing it for others.
    return _Jpeg(file, name) if kind == "JPEG" else Image.OPEN[kind][0](file, name)


def orientation(exif: bytes) -> int:
    """The orientation, 1 to 8, that an EXIF block gives; 1 (upright) where it gives none or is damaged."""
    block = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(order + "I", block, 4)
        (entries,) = struct.unpack_from(order + "H", block, start)
        for entry in range(entries):
            tag, _, _, value = struct.unpack_from(order + "HHIH", block, start + 2 + 12 * entry)
            if tag == _ORIENTATION:
                return value if value in _UPRIGHT else 1
    except struct.error:
        return 1
    return 1


def eight_bit(image: Image.Image, channels: int) -> Image.Image:
    """The picture as 8-bit grey (`channels` 1) or RGB (3); raises `DataError` for other numbers.

    Transparency is dropped, not composited, as in torchvision's own reading of image folders: the network was
    trained on the colours beneath it. 16-bit, 32-bit and float pictures are scaled to the 8-bit range.
    """
    mode = {1: "L", 3: "RGB"}.get(channels)
    if mode is None:
        raise DataError(f"is an image but cannot be read as {channels} channels")
    if image.mode == mode:
        return image
    if image.mode == "F" or image.mode.startswith("I"):
        image = _scaled(image)
    elif image.mode == "P" and "transparency" in image.info:
        image = image.copy()
        del image.info["transparency"]  # it changes no colour, but makes the conversion warn
    try:
        return image.convert(mode)
    except ValueError as error:
        raise DataError(f"has pixels that cannot be converted: {error}") from error


def _scaled(image: Image.Image) -> Image.Image:
    """A grey picture with more than 8 bits, as 8 bits.

    Integers count as 16-bit unless they exceed that. A float picture's range is 0 to the smallest of 1, 255 and 65535
    that holds its highest value, else to that value. Negative and undefined values are black.
    """
    values = np.nan_to_num(np.asarray(image).astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    highest = values.max(initial=0.0)
    ranges = (1.0, 255.0, _SIXTEEN_BIT) if image.mode == "F" else (_SIXTEEN_BIT, _THIRTY_TWO_BIT)
    full = next((limit for limit in ranges if highest <= limit), highest)
    return Image.fromarray(np.rint(values.clip(min=0) * (255.0 / full)).astype(np.uint8))
