"""Pictures come back as they were, or nearly; and bytes that are no picture of ours are refused."""

from __future__ import annotations

import struct
import zlib
from contextlib import suppress
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from torchlurk.errors import StudyError
from torchlurk.rendering.encoding import LOSSLESS_SIDE, decode, encode

RNG = np.random.default_rng(0)


def smooth(height: int, width: int, channels: int = 3) -> np.ndarray:
    noise = RNG.integers(0, 256, (height // 8 + 1, width // 8 + 1, channels), dtype=np.uint8)
    parts = [Image.fromarray(noise[:, :, c]).resize((width, height), Image.Resampling.BICUBIC) for c in range(channels)]
    return np.stack([np.asarray(part) for part in parts], axis=2)


def png_of(width: int, height: int, body: bytes = b"") -> bytes:
    """A PNG whose header claims a size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("shape", [(32, 32, 3), (LOSSLESS_SIDE, LOSSLESS_SIDE, 3), (1, 1, 1), (28, 28, 1), (5, 96, 3)])
def test_small_pictures_come_back_without_loss(shape: tuple[int, int, int]) -> None:
    picture = RNG.integers(0, 256, shape, dtype=np.uint8)
    media_type, data = encode(picture)
    assert media_type == "image/png"
    np.testing.assert_array_equal(np.asarray(decode(data)).reshape(shape), picture)


@pytest.mark.parametrize("channels", [1, 3])
def test_large_pictures_come_back_nearly_the_same(channels: int) -> None:
    picture = smooth(224, 160, channels)
    media_type, data = encode(picture)
    assert media_type == "image/jpeg"
    back = np.asarray(decode(data)).reshape(picture.shape).astype(float)
    assert np.sqrt(np.mean((back - picture) ** 2)) < 3
    assert len(data) < picture.size / 2


def test_colour_keeps_its_full_resolution_in_a_jpeg() -> None:
    stripes = np.zeros((128, 128, 3), np.uint8)
    stripes[:, ::2] = (200, 40, 40)
    stripes[:, 1::2] = (40, 40, 200)
    back = np.asarray(decode(encode(stripes)[1])).astype(float)
    assert (back[:, ::2, 0] - back[:, 1::2, 0]).mean() > 120


def test_pictures_of_other_channel_counts_are_shown_as_their_mean() -> None:
    picture = RNG.integers(0, 256, (8, 8, 5), dtype=np.uint8)
    back = np.asarray(decode(encode(picture)[1]))
    np.testing.assert_array_equal(back, np.round(picture.mean(axis=2)))


def test_the_same_picture_gives_the_same_bytes() -> None:
    picture = smooth(120, 120)
    assert encode(picture) == encode(picture.copy())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not a picture",
        b"\x89PNG\r\n\x1a\n",
        encode(smooth(128, 128))[1][:900],
        encode(smooth(32, 32))[1][:-40],
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n",
        png_of(100_000, 100_000),
        png_of(12_000, 8_000),
        png_of(0, 0),
        png_of(64, 64, b"short"),
    ],
    ids=["empty", "text", "signature", "cut jpeg", "cut png", "svg", "eps", "bomb", "large", "no pixels", "short body"],
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_hostile_bytes_are_refused_in_words(data: bytes) -> None:
    with pytest.raises(StudyError, match="cannot be read"):
        decode(data)


def test_other_formats_are_refused_however_harmless() -> None:
    target = BytesIO()
    Image.new("RGB", (4, 4)).save(target, "GIF")
    with pytest.raises(StudyError):
        decode(target.getvalue())


def test_the_limit_of_pixels_can_be_set() -> None:
    data = encode(smooth(32, 32))[1]
    assert decode(data, most_pixels=32 * 32).size == (32, 32)
    with pytest.raises(StudyError, match="32 × 32"):
        decode(data, most_pixels=32 * 32 - 1)


@given(at=st.integers(0, 2000), value=st.integers(0, 255))
def test_a_damaged_byte_is_refused_or_still_a_picture(at: int, value: int) -> None:
    data = bytearray(DAMAGEABLE)
    data[at % len(data)] = value
    with suppress(StudyError):
        assert decode(bytes(data)).mode in ("L", "RGB")


DAMAGEABLE = encode(smooth(112, 112))[1]
