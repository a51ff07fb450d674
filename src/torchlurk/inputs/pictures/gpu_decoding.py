"""JPEGs decoded, turned upright, resized and cropped on a GPU; every other picture as without one.

Which of the two decodes a picture follows from the picture alone. Pixels differ from Pillow's: nvJPEG rounds otherwise, and
spreads coarser colour over pixels without smoothing it.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from torchlurk.errors import DataError, DeviceError, MissingExtraError, OptionError, first_line, is_out_of_memory
from torchlurk.inputs.pictures.decoding import ColourJpeg, colour_jpeg, decode_bytes
from torchlurk.inputs.pictures.preprocessing import HIGHEST, prepare, resized_within
from torchlurk.options import Decoder
from torchlurk.records import Preprocessing

Pixels = UInt8[np.ndarray, "height width channel"]

PIXELS_TOGETHER = 2**26
"""Of pictures that are decoded at once: as they are stored, each pixel takes three bytes, and four times that to be resized."""

DECODING = frozenset({"cuda"})
"""The kinds of devices that decode."""

INTERPOLATIONS = "bilinear", "bicubic"
"""Those that torch does as Pillow does."""


class GpuDecoder:
    """Makes the network's pictures of the contents of files; for several threads."""

    def __init__(self, device: torch.device) -> None:
        self._device, self._own = device, threading.local()

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process has another GPU by this number, or none: it takes the first that it has."""
        return GpuDecoder, (torch.device(self._device.type),)

    def prepared(self, contents: Sequence[bytes], preprocessing: Preprocessing) -> list[Pixels | str]:
        """Each as `prepare` gives it, or the reason why it cannot be read.

        Raises `DeviceError` where one picture does not fit into the memory of the device.
        """
        found: dict[int, Pixels | str] = {}
        jpegs: dict[int, ColourJpeg] = {}
        for row, data in enumerate(contents):
            try:
                if header := colour_jpeg(data):
                    resized_within(_upright(header), preprocessing.resize)
                    jpegs[row] = header
                else:
                    found[row] = _by_pillow(data, preprocessing)
            except DataError as error:
                found[row] = error.message
        for rows in _together(jpegs):
            some = self._each([contents[row] for row in rows], [jpegs[row] for row in rows], preprocessing)
            found |= zip(rows, some, strict=True)
        return [found[row] for row in range(len(contents))]

    def _each(
        self, contents: Sequence[bytes], headers: Sequence[ColourJpeg], preprocessing: Preprocessing
    ) -> list[Pixels | str]:
        """All at once; one after the other where that fails, since one damaged picture spoils all, and by Pillow what fails
        alone.
        """
        try:
            return list(self._there(contents, headers, preprocessing))
        except RuntimeError as error:
            if len(contents) == 1 and is_out_of_memory(error):
                height, width = headers[0].size
                raise DeviceError(
                    f"a picture of {width}x{height} does not fit into the memory of the device to be decoded",
                    "leave --decoder out",
                ) from error
            if len(contents) == 1:
                return [_by_pillow(contents[0], preprocessing)]
        torch.cuda.empty_cache()
        alone = (self._each([one], [header], preprocessing) for one, header in zip(contents, headers, strict=True))
        return [one for some in alone for one in some]

    def _there(self, contents: Sequence[bytes], headers: Sequence[ColourJpeg], preprocessing: Preprocessing) -> list[Pixels]:
        with self._stream(), torch.inference_mode():
            decoded = decode_jpegs(contents, self._device)
            made = [_prepared(one, of.orientation, preprocessing) for one, of in zip(decoded, headers, strict=True)]
            numbers = torch.cat([one.flatten() for one in made]).cpu().numpy()  # one copy, one wait
        ends = np.cumsum([one.numel() for one in made])[:-1]
        return [some.reshape(tuple(one.shape)) for some, one in zip(np.split(numbers, ends), made, strict=True)]

    def _stream(self) -> AbstractContextManager[Any]:
        """One of each thread: on that of the scan, reading would wait for all that is queued there."""
        if self._device.type != "cuda":
            return nullcontext()
        if not hasattr(self._own, "stream"):
            self._own.stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        return torch.cuda.stream(self._own.stream)


def gpu_decoder(decoder: Decoder, device: torch.device) -> GpuDecoder | None:
    """The decoder where `decoder` names one, tried on a small picture; None for Pillow.

    Raises `OptionError` for a device that decodes nothing, `MissingExtraError` where torchvision is not there or cannot do it.
    """
    if decoder == "pillow":
        return None
    if device.type not in DECODING:
        raise OptionError(f"--decoder is 'gpu', and --device is {device.type}", "use --device cuda, or leave --decoder out")
    small = io.BytesIO()
    Image.new("RGB", (16, 16)).save(small, "JPEG")
    try:
        decode_jpegs([small.getvalue()], device)
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"--decoder is 'gpu', and there is no {error.name}", "pip install 'torchlurk[models]', or leave --decoder out"
        ) from error
    except (RuntimeError, ImportError, AttributeError) as error:
        raise MissingExtraError(
            f"--decoder is 'gpu', and this torchvision does not decode on a GPU: {first_line(error)}",
            "install the torchvision that belongs to this torch, built for CUDA with nvJPEG, or leave --decoder out",
        ) from error
    return GpuDecoder(device)


def check_preprocessing(preprocessing: Preprocessing) -> None:
    """Raises `OptionError` where pictures cannot be made so on a GPU."""
    if preprocessing.resize is not None and preprocessing.interpolation not in INTERPOLATIONS:
        raise OptionError(
            f"--decoder is 'gpu', and --interpolation is {preprocessing.interpolation}",
            f"use --interpolation {' or '.join(INTERPOLATIONS)}, or leave --decoder out",
        )
    if preprocessing.channels != len("RGB"):
        raise OptionError(
            f"--decoder is 'gpu', and the network's inputs have {preprocessing.channels} channel(s)", "leave --decoder out"
        )


def decode_jpegs(contents: Sequence[bytes], device: torch.device) -> list[UInt8[Tensor, "3 _ _"]]:
    """The pixels of JPEGs as they are stored, on the device; raises `RuntimeError` where one of them cannot be decoded."""
    from torchvision.io import ImageReadMode, decode_jpeg

    encoded = [torch.frombuffer(bytearray(one), dtype=torch.uint8) for one in contents]
    decoded: list[Tensor] = decode_jpeg(encoded, mode=ImageReadMode.RGB, device=device)
    return decoded


def _by_pillow(data: bytes, preprocessing: Preprocessing) -> Pixels | str:
    try:
        return prepare(decode_bytes(data), preprocessing)
    except DataError as error:
        return error.message


def _together(jpegs: Mapping[int, ColourJpeg]) -> Iterator[list[int]]:
    """Which are decoded at once."""
    some, pixels = list[int](), 0
    for row, header in jpegs.items():
        own = header.size[0] * header.size[1]
        if some and pixels + own > PIXELS_TOGETHER:
            yield some
            some, pixels = [], 0
        some.append(row)
        pixels += own
    if some:
        yield some


def _upright(header: ColourJpeg) -> tuple[int, int]:
    height, width = header.size
    return (width, height) if header.orientation > 4 else (height, width)


def _prepared(
    pixels: UInt8[Tensor, "3 _ _"], orientation: int, preprocessing: Preprocessing
) -> UInt8[Tensor, "height width 3"]:
    """See `torchlurk.inputs.pictures.preprocessing.prepare`."""
    picture = _turned(pixels, orientation)
    size = resized_within((picture.shape[1], picture.shape[2]), preprocessing.resize)
    if size != tuple(picture.shape[1:]):
        sized = F.interpolate(picture[None].float(), size, mode=preprocessing.interpolation, antialias=True)
        picture = sized[0].round_().clamp_(0, HIGHEST).to(torch.uint8)
    if preprocessing.crop is not None:
        picture = _centre(picture, *preprocessing.crop)
    return picture.permute(1, 2, 0).contiguous()


def _turned(pixels: UInt8[Tensor, "3 _ _"], orientation: int) -> UInt8[Tensor, "3 _ _"]:
    """Upright, from an orientation of EXIF: from 5 on rows and columns are exchanged."""
    picture = pixels.transpose(1, 2) if orientation > 4 else pixels
    flips = {2: (2,), 3: (1, 2), 4: (1,), 6: (2,), 7: (1, 2), 8: (1,)}
    return picture.flip(flips[orientation]) if orientation in flips else picture


def _centre(picture: UInt8[Tensor, "3 _ _"], height: int, width: int) -> UInt8[Tensor, "3 {height} {width}"]:
    missing_y, missing_x = max(height - picture.shape[1], 0), max(width - picture.shape[2], 0)
    if missing_x or missing_y:
        picture = F.pad(picture, (missing_x // 2, (missing_x + 1) // 2, missing_y // 2, (missing_y + 1) // 2))
    top, left = round((picture.shape[1] - height) / 2), round((picture.shape[2] - width) / 2)
    return picture[:, top : top + height, left : left + width]
