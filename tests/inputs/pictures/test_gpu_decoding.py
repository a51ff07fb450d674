"""Pictures decoded by a GPU, for which a stand-in decodes here: what it gets, what it makes of it, what is left to Pillow."""

from __future__ import annotations

import io
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import torchlurk as tl
from torchlurk.errors import DataError, DeviceError, MismatchError, MissingExtraError, OptionError
from torchlurk.inputs.feeding import feed
from torchlurk.inputs.opening import open_source
from torchlurk.inputs.pictures import gpu_decoding
from torchlurk.inputs.pictures.decoding import decode_bytes
from torchlurk.inputs.pictures.gpu_decoding import GpuDecoder, gpu_decoder
from torchlurk.inputs.pictures.preprocessing import prepare
from torchlurk.inputs.sources.encoded import decoded_by
from torchlurk.options import InputOptions
from torchlurk.records import Preprocessing

CPU = torch.device("cpu")
SMALL = Preprocessing(resize=(24,), crop=(20, 20))
OPTIONS = {"resize": 24, "crop": 20, "mean": (0, 0, 0), "std": (1, 1, 1)}


def picture(seed: int, size: tuple[int, int] = (40, 32)) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def encoded(image: Image.Image, kind: str = "JPEG", **options) -> bytes:
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


@pytest.fixture
def asked(monkeypatch):
    """The contents that the GPU was asked for at once, each time; it decodes no other JPEGs than Pillow does, as stored."""
    calls: list[list[bytes]] = []

    def decode_jpegs(contents, device):
        calls.append(list(contents))
        pixels = []
        for one in contents:
            try:
                with Image.open(io.BytesIO(one)) as image:
                    pixels.append(torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous())
            except OSError as error:
                raise RuntimeError("Error while decoding JPEG images: 2") from error
        return pixels

    monkeypatch.setattr(gpu_decoding, "decode_jpegs", decode_jpegs)
    monkeypatch.setattr(gpu_decoding, "DECODING", {"cpu"})
    return calls


def made(contents: list[bytes], preprocessing: Preprocessing = SMALL) -> list[np.ndarray | str]:
    return GpuDecoder(CPU).prepared(contents, preprocessing)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("resize", [None, (24,), (16, 50), (70,)])
@pytest.mark.parametrize("crop", [None, (20, 20), (90, 30)])
def test_pictures_are_resized_and_cropped_as_by_pillow(asked, interpolation, resize, crop):
    preprocessing = Preprocessing(resize=resize, crop=crop, interpolation=interpolation)
    contents = [encoded(picture(0)), encoded(picture(1, (31, 47)))]
    for content, found in zip(contents, made(contents, preprocessing), strict=True):
        expected = prepare(decode_bytes(content), preprocessing)
        assert found.shape == expected.shape
        # Pillow rounds between the two axes.
        assert np.abs(found.astype(int) - expected).max() <= 1
    assert asked == [contents]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_upright(asked, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(picture(0), exif=exif)
    as_stored = Preprocessing()
    np.testing.assert_array_equal(made([content], as_stored)[0], prepare(decode_bytes(content), as_stored))
    assert asked == [[content]]


def test_progressive_ones_are_decoded_there_and_all_others_by_pillow(asked):
    progressive = encoded(picture(0), progressive=True)
    cut_off = encoded(picture(4))[:-40]
    others = [
        encoded(picture(1).convert("L")),
        encoded(picture(2).convert("CMYK")),
        encoded(picture(3), keep_rgb=True),
        encoded(picture(5), "PNG"),
        encoded(picture(6), "WEBP"),
    ]
    *found, refused = made([*others, progressive, cut_off])
    assert asked == [[progressive]]
    for content, one in zip(others, found, strict=False):
        np.testing.assert_array_equal(one, prepare(decode_bytes(content), SMALL))
    assert "truncated" in refused


def test_what_fails_with_others_is_decoded_alone_and_by_pillow_if_that_fails_too(asked, monkeypatch):
    contents = [encoded(picture(seed)) for seed in range(3)]
    expected = made(contents)
    usual = gpu_decoding.decode_jpegs

    def choosy(given, device):
        if contents[1] in given:
            raise RuntimeError("Error while decoding JPEG images: Unknown chroma subsampling")
        return usual(given, device)

    monkeypatch.setattr(gpu_decoding, "decode_jpegs", choosy)
    found = made([*contents, b"", b"no picture"])
    assert found[3:] == ["is empty", "is not an image"]
    for number in (0, 2):
        np.testing.assert_array_equal(found[number], expected[number])
    np.testing.assert_array_equal(found[1], prepare(decode_bytes(contents[1]), SMALL))


def test_pictures_that_do_not_fit_together_are_decoded_one_by_one_and_one_that_does_not_is_told(asked, monkeypatch):
    contents = [encoded(picture(seed)) for seed in range(3)]
    expected, usual = made(contents), gpu_decoding.decode_jpegs
    room = 1

    def narrow(given, device):
        if len(given) > room:
            raise torch.OutOfMemoryError("Tried to allocate 20.00 MiB")
        return usual(given, device)

    monkeypatch.setattr(gpu_decoding, "decode_jpegs", narrow)
    for found, one in zip(made(contents), expected, strict=True):
        np.testing.assert_array_equal(found, one)
    room = 0
    with pytest.raises(DeviceError, match=r"^a picture of 40x32 does not fit into the memory of the device to be decoded"):
        made(contents)


def test_no_more_pixels_are_decoded_at_once_than_find_room(asked, monkeypatch):
    monkeypatch.setattr(gpu_decoding, "PIXELS_TOGETHER", 2 * 40 * 32)
    contents = [encoded(picture(seed)) for seed in range(5)]
    made(contents)
    assert asked == [contents[:2], contents[2:4], contents[4:]]


def test_another_process_takes_the_gpu_that_it_has():
    copied = pickle.loads(pickle.dumps(GpuDecoder(torch.device("cuda", 3))))
    assert copied._device == torch.device("cuda")


@pytest.fixture
def folder(tmp_path) -> Path:
    root = tmp_path / "pictures"
    root.mkdir()
    for seed in range(6):
        picture(seed).save(root / f"{seed}.jpg")
    picture(6).save(root / "6.png")
    (root / "7.jpg").write_bytes(encoded(picture(7))[:-60])
    return root


def test_a_source_reads_some_at_once_and_one_alone_alike(asked, folder):
    source = decoded_by(open_source(str(folder), InputOptions(resize=24, crop=20)), GpuDecoder(CPU))
    (batch,) = feed(source, range(8), 8, workers=1)
    assert list(map(len, asked)) == [6]
    assert batch.examples.tolist() == list(range(7))
    ((index, reason),) = batch.skipped
    assert (index, "truncated" in reason) == (7, True)
    for index in range(7):
        np.testing.assert_array_equal(source.read(index).values, batch.values[index])
    with pytest.raises(DataError, match="truncated"):
        source.read(7)


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU())


def scan(data, out: Path, **options) -> tl.Study:
    data = str(data) if isinstance(data, Path) else data
    return tl.analyze(network(), data, out, device="cpu", engine="local", batch_size=4, **OPTIONS | options)


def test_a_study_says_what_decoded_its_pictures_and_is_continued_with_that_alone(asked, folder, tmp_path):
    out = tmp_path / "s.lurk"
    with scan(folder, out, decoder="gpu") as study:
        assert study.reader.runs()["scan"].options["decoder"] == "gpu"
    assert sum(map(len, asked)) >= 6
    with pytest.raises(MismatchError, match='decoder \\(made with "gpu", now "pillow"\\)'):
        scan(folder, out)
    asked.clear()
    scan(folder, out, decoder="gpu", stages=["attribute"], methods=["gradient"], exemplars=1).close()
    assert asked


def test_parts_of_two_decoders_are_not_merged(asked, folder, tmp_path):
    parts = [tmp_path / f"{number}.lurk" for number in (1, 2)]
    for number, (part, decoder) in enumerate(zip(parts, ("pillow", "gpu"), strict=True), 1):
        scan(folder, part, decoder=decoder, part=f"{number}/2").close()
    with pytest.raises(MismatchError, match="decoder"):
        tl.merge(parts, out=tmp_path / "merged.lurk")


def test_wrong_uses_are_one_line(folder, tmp_path, monkeypatch):
    with pytest.raises(OptionError, match=r"^decoder is 'gpu', and device is cpu"):
        scan(folder, tmp_path / "s.lurk", decoder="gpu")
    with pytest.raises(OptionError, match=r"^decoder is 'cuda'"):
        scan(folder, tmp_path / "s.lurk", decoder="cuda")
    monkeypatch.setattr(gpu_decoding, "DECODING", {"cpu"})

    def without(contents, device):
        raise RuntimeError("decode_jpegs_cuda: torchvision not compiled with nvJPEG support\nand so on")

    monkeypatch.setattr(gpu_decoding, "decode_jpegs", without)
    told = r"^decoder is 'gpu', and this torchvision does not decode on a GPU: decode_jpegs_cuda: torchvision not compiled with"
    with pytest.raises(MissingExtraError, match=told):
        scan(folder, tmp_path / "s.lurk", decoder="gpu")
    assert not (tmp_path / "s.lurk").exists()


def test_without_torchvision_it_is_one_line_too(monkeypatch):
    monkeypatch.setattr(gpu_decoding, "DECODING", {"cpu"})
    monkeypatch.setitem(sys.modules, "torchvision.io", None)
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(MissingExtraError, match=r"^--decoder is 'gpu', and there is no torchvision"):
        gpu_decoder("gpu", CPU)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"interpolation": "lanczos"}, "decoder is 'gpu', and interpolation is lanczos"),
        ({"mean": (0.5,), "std": (0.5,)}, r"decoder is 'gpu', and the network's inputs have 1 channel\(s\)"),
    ],
)
def test_what_it_cannot_make_is_refused(asked, folder, tmp_path, options, told):
    with pytest.raises(OptionError, match=told):
        scan(folder, tmp_path / "s.lurk", decoder="gpu", **options)


def test_data_without_picture_files_have_nothing_to_decode(asked, tmp_path):
    data = torch.utils.data.TensorDataset(torch.rand(4, 3, 24, 24))
    with pytest.raises(OptionError, match=r"^decoder is 'gpu', and TensorDataset has no picture files to decode"):
        scan(data, tmp_path / "s.lurk", decoder="gpu")
    with pytest.raises(OptionError, match="has no picture files to decode"):
        tl.analyze(network(), "drawn", tmp_path / "s.lurk", device="cpu", decoder="gpu", limit=4)
