"""Every kind of image file is read right, or refused with its reason."""

from __future__ import annotations

import os
import struct
import zlib
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from torchlurk.errors import DataError
from torchlurk.inputs.pictures.decoding import MOST_PIXELS, decode, eight_bit, orientation, size_of

RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16)


def colours(height: int = 24, width: int = 40) -> np.ndarray:
    """A smooth colour picture whose four quarters differ, so that a wrong turn shows even in a lossy file."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([255 * x / width, 255 * y / height, 128 + 60 * np.sin(x / 9)], axis=2).astype(np.uint8)


def read(path: Path, channels: int = 3) -> np.ndarray:
    return np.asarray(eight_bit(decode(path), channels))


@contextmanager
def ordinary_user():
    """The superuser may read everything, and is somebody else for the while."""
    superuser = os.geteuid() == 0
    if superuser:
        os.seteuid(65534)
    try:
        yield
    finally:
        if superuser:
            os.seteuid(0)


@pytest.mark.parametrize("kind", ["png", "bmp", "tif", "ppm", "webp", "pcx", "sgi", "jp2"])
def test_lossless_formats_are_read_exactly(tmp_path, kind):
    path = tmp_path / f"image.{kind}"
    Image.fromarray(colours()).save(path, **({"lossless": True} if kind == "webp" else {}))
    assert np.array_equal(read(path), colours())


@pytest.mark.parametrize("kind", ["jpg", "avif"])
def test_lossy_formats_are_read_as_pillow_reads_them(tmp_path, kind):
    path = tmp_path / f"image.{kind}"
    Image.fromarray(colours()).save(path, quality=90)
    with Image.open(path) as image:
        assert np.array_equal(read(path), np.asarray(image.convert("RGB")))


def test_a_wrong_suffix_does_not_matter(tmp_path):
    Image.fromarray(colours()).save(tmp_path / "image.png")
    path = (tmp_path / "image.png").rename(tmp_path / "image.jpg")
    assert np.array_equal(read(path), colours())


@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "tif", "avif"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_exif_orientation_is_applied(tmp_path, turn, kind):
    """As EXIF 2.3 defines the tag: what row 0 and column 0 of the stored picture are of the upright one."""
    upright = colours()
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: upright.transpose(1, 0, 2)[::-1],
        7: upright.transpose(1, 0, 2)[::-1, ::-1],
        8: upright.transpose(1, 0, 2)[:, ::-1],
    }[turn]
    exif = Image.Exif()
    exif[0x0112] = turn
    path = tmp_path / f"image.{kind}"
    lossy = {"quality": 95} if kind in ("jpg", "webp", "avif") else {}
    Image.fromarray(np.ascontiguousarray(stored)).save(path, exif=exif, **lossy)
    assert read(path).shape == upright.shape
    assert np.abs(read(path).astype(int) - upright).mean() < (4 if lossy else 0.001)
    assert size_of(path) == upright.shape[:2]


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"Exif\0\0",
        b"Exif\0\0II*\0",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0II*\0\x08\0\0\0\xff\xff",
        b"garbage garbage",
        b"Exif\0\0MM\0*\0\0\0\x08\0\x01" + struct.pack(">HHIHH", 0x0112, 3, 1, 99, 0),
    ],
)
def test_a_damaged_exif_block_means_upright(tmp_path, block):
    assert orientation(block) == 1
    path = tmp_path / "image.jpg"
    Image.fromarray(colours()).save(path, exif=block, quality=95)
    assert read(path).shape == colours().shape


def test_grey_and_one_bit_are_read(tmp_path):
    Image.fromarray(RAMP).save(tmp_path / "grey.png")
    Image.fromarray(RAMP > 100).save(tmp_path / "bits.png")
    assert np.array_equal(read(tmp_path / "grey.png"), np.repeat(RAMP[..., None], 3, 2))
    assert np.array_equal(read(tmp_path / "grey.png", 1), RAMP)
    assert np.array_equal(read(tmp_path / "bits.png", 1), np.where(RAMP > 100, 255, 0))


def test_colour_is_made_grey_as_pillow_does(tmp_path):
    Image.fromarray(colours()).save(tmp_path / "image.png")
    expected = Image.fromarray(colours()).convert("L")
    assert np.array_equal(read(tmp_path / "image.png", 1), np.asarray(expected))


@pytest.mark.parametrize(
    ("kind", "transparency"), [("png", None), ("png", 3), ("png", bytes(range(0, 256, 2))), ("gif", None), ("gif", 3)]
)
def test_palettes_are_read_whatever_their_transparency(tmp_path, kind, transparency):
    image = Image.fromarray(RAMP % 128).convert("P")
    palette = np.random.default_rng(0).integers(0, 256, (256, 3), np.uint8)
    image.putpalette(palette.tobytes())
    path = tmp_path / f"image.{kind}"
    image.save(path, **({} if transparency is None else {"transparency": transparency}))
    assert np.array_equal(read(path), palette[RAMP % 128])
    assert read(path, 1).shape == RAMP.shape


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_dropped_as_torchvision_does(tmp_path, mode):
    image = Image.fromarray(colours()).convert(mode)
    image.putalpha(Image.fromarray(np.full(colours().shape[:2], 17, np.uint8)))
    image.save(tmp_path / "image.png")
    assert np.array_equal(
        read(tmp_path / "image.png"), np.asarray(Image.fromarray(colours()).convert(mode[:-1]).convert("RGB"))
    )


def test_cmyk_is_read(tmp_path):
    Image.fromarray(colours()).convert("CMYK").save(tmp_path / "image.tif")
    Image.fromarray(colours()).convert("CMYK").save(tmp_path / "image.jpg", quality=95)
    assert np.abs(read(tmp_path / "image.tif").astype(int) - colours()).max() <= 2
    assert np.abs(read(tmp_path / "image.jpg").astype(int) - colours()).mean() < 5


@pytest.mark.parametrize("kind", ["png", "tif"])
def test_sixteen_bits_are_scaled_not_clipped(tmp_path, kind):
    values = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    Image.fromarray(values).save(tmp_path / f"image.{kind}")
    assert np.array_equal(read(tmp_path / f"image.{kind}", 1), np.rint(values / 257))
    assert read(tmp_path / f"image.{kind}")[..., 2].max() == 255


@pytest.mark.parametrize(("highest", "full"), [(1.0, 1.0), (0.5, 1.0), (200.0, 255.0), (65535.0, 65535.0), (1e6, 1e6)])
def test_float_pictures_are_scaled(tmp_path, highest, full):
    values = np.linspace(0, highest, 256).astype(np.float32).reshape(16, 16)
    Image.fromarray(values).save(tmp_path / "image.tif")
    assert np.abs(read(tmp_path / "image.tif", 1) - values * 255.0 / full).max() <= 0.51


def test_undefined_and_negative_floats_are_black(tmp_path):
    Image.fromarray(np.array([[np.nan, -3.0, 1.0, np.inf]], np.float32)).save(tmp_path / "image.tif")
    assert read(tmp_path / "image.tif", 1).tolist() == [[0, 0, 255, 0]]


def test_thirty_two_bits_are_scaled(tmp_path):
    Image.fromarray(np.array([[0, 2**30, 2**31 - 1]], np.int32)).save(tmp_path / "image.tif")
    assert read(tmp_path / "image.tif", 1).tolist() == [[0, 128, 255]]


@pytest.mark.parametrize("kind", ["gif", "webp", "png", "tif"])
def test_of_an_animation_the_first_frame_is_read(tmp_path, kind):
    frames = [Image.new("RGB", (20, 10), colour) for colour in ("red", "lime", "blue")]
    lossless = {"lossless": True} if kind == "webp" else {}
    frames[0].save(tmp_path / f"image.{kind}", save_all=True, append_images=frames[1:], **lossless)
    assert np.array_equal(read(tmp_path / f"image.{kind}"), np.asarray(frames[0]))


def png_header(width: int, height: int) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


@pytest.mark.parametrize("pixels", [MOST_PIXELS + 1, int(MOST_PIXELS * 1.5), MOST_PIXELS * 3, 2**30])
def test_a_picture_that_is_too_large_is_refused_without_a_warning(tmp_path, pixels):
    (tmp_path / "bomb.png").write_bytes(png_header(pixels // 1000 + 1, 1000))
    with pytest.raises(DataError, match="more than the 89 million allowed"):
        decode(tmp_path / "bomb.png")


@pytest.mark.parametrize("kind", ["jpg", "png", "gif", "tif", "webp", "bmp"])
@pytest.mark.parametrize("share", [0.3, 0.7])
def test_a_truncated_file_is_refused_as_damaged(tmp_path, kind, share):
    path = tmp_path / f"image.{kind}"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(DataError, match="is damaged: "):
        decode(path)


@pytest.mark.parametrize("kind", ["jpg", "png", "gif", "tif", "webp", "bmp"])
def test_random_damage_is_read_or_refused_and_nothing_else(tmp_path, kind):
    path = tmp_path / f"image.{kind}"
    Image.fromarray(colours()).save(path)
    intact = np.frombuffer(path.read_bytes(), np.uint8)
    generator = np.random.default_rng(0)
    for _ in range(60):
        damaged = intact.copy()
        where = generator.integers(0, len(damaged), 5)
        damaged[where] = generator.integers(0, 256, 5)
        path.write_bytes(damaged.tobytes())
        with suppress(DataError):
            assert read(path).dtype == np.uint8


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"hello", "is not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "is not an image"),
        (b"\xff\xd8\xff", "is damaged"),
    ],
)
def test_what_is_no_image_is_refused(tmp_path, content, reason):
    (tmp_path / "file.jpg").write_bytes(content)
    with pytest.raises(DataError, match=reason):
        decode(tmp_path / "file.jpg")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(DataError, match="cannot be opened: No such file"):
        decode(tmp_path / "file.jpg")


def test_an_unreadable_file_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tmp_path.chmod(0o755)
    Image.fromarray(colours()).save("image.png")
    Path("image.png").chmod(0)
    with ordinary_user(), pytest.raises(DataError, match="cannot be opened: Permission denied"):
        decode(Path("image.png"))


def test_a_picture_cannot_have_other_numbers_of_channels():
    with pytest.raises(DataError, match="5 channels"):
        eight_bit(Image.new("RGB", (2, 2)), 5)


def test_jpegs_are_never_read_in_reduced_size(tmp_path):
    path = tmp_path / "image.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (512, 512, 3), np.uint8)).save(path)
    assert decode(path).size == (512, 512)
