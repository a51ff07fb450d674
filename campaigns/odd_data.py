"""Folders and files of data that are strange: how each is made, and what is said of it."""

import io
import os
import socket
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from campaigns.senseless import WORKS, Command, in_full

Make = Callable[[Path], None]


def png(side: int = 16, mode: str = "RGB", kind: str = "PNG") -> bytes:
    """A small picture."""
    to = io.BytesIO()
    Image.new(mode, (side, side), 7).save(to, kind)
    return to.getvalue()


def bomb(side: int = 60_000) -> bytes:
    """A PNG of very many pixels in a few bytes of header."""
    chunk = lambda name, body: struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))  # noqa: E731
    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def files(**contents: bytes | str) -> Make:
    """A folder of files; `__` in a name is a slash, and the last `_` a dot."""

    def make(folder: Path) -> None:
        folder.mkdir()
        for name, content in contents.items():
            stem, _, suffix = name.replace("__", "/").rpartition("_")
            file = folder / f"{stem}.{suffix}"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content if isinstance(content, bytes) else content.encode())

    return make


def links(folder: Path) -> None:
    """Links that lead in circles and nowhere, beside one picture."""
    folder.mkdir()
    (folder / "one.png").write_bytes(png())
    for name, leads in (
        ("self.png", "self.png"),
        ("up", "."),
        ("up2", ".."),
        ("none.png", "absent.png"),
        ("a", "b"),
        ("b", "a"),
    ):
        os.symlink(leads, folder / name)


def special(folder: Path) -> None:
    """A pipe, a socket and links to devices that have the names of pictures."""
    folder.mkdir()
    (folder / "one.png").write_bytes(png())
    os.mkfifo(folder / "pipe.png")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(folder / "socket.png"))
    os.symlink("/dev/zero", folder / "zero.png")
    os.symlink("/dev/full", folder / "full.jpg")


def names(folder: Path) -> None:
    """Names that are no text, have line ends, or would be something else on a page or a terminal."""
    folder.mkdir()
    for name in (
        b"\xff\xfe.png",
        b"a\nb.png",
        b"\x1b[31m.png",
        b"<script>.png",
        "ü\u202e.png".encode(),
        b" .png",
        b"-.png",
        b"x" * 250 + b".png",
    ):
        Path(os.fsdecode(os.path.join(os.fsencode(folder), name))).write_bytes(png())


def deep(folder: Path) -> None:
    """Two hundred folders, one in the other."""
    inner = folder.joinpath(*["d"] * 200)
    inner.mkdir(parents=True)
    (inner / "one.png").write_bytes(png())


def wide(folder: Path) -> None:
    """Many classes, all empty but one."""
    for number in range(2000):
        (folder / f"class{number}").mkdir(parents=True)
    (folder / "class7" / "one.png").write_bytes(png())


def kinds(folder: Path) -> None:
    """Pictures of all modes and formats."""
    folder.mkdir()
    for mode, kind in (
        ("1", "PNG"),
        ("L", "PNG"),
        ("LA", "PNG"),
        ("P", "PNG"),
        ("I;16", "PNG"),
        ("CMYK", "JPEG"),
        ("RGBA", "WEBP"),
        ("F", "TIFF"),
        ("LAB", "TIFF"),
        ("YCbCr", "JPEG"),
    ):
        (folder / f"{mode.replace(';', '')}.{kind.lower()}").write_bytes(png(mode=mode, kind=kind))


def tar(cut: int | None = None, *, names: tuple[str, ...] = ("a/1.png", "b/2.png")) -> Make:
    """A tar file, cut off after some bytes."""

    def make(file: Path) -> None:
        with tarfile.open(file, "w") as archive:
            for name in names:
                info = tarfile.TarInfo(name)
                info.size = len(png())
                archive.addfile(info, io.BytesIO(png()))
        file.write_bytes(file.read_bytes()[:cut])

    return make


def packed_bomb(file: Path) -> None:
    """A zip whose one picture unpacks to four gigabytes."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/1.png", png())
        with archive.open("a/2.png", "w", force_zip64=True) as one:
            for _ in range(300):
                one.write(bytes(1 << 20))


def array(content: object, **saving: bool) -> Make:
    """A .npy file."""

    def make(file: Path) -> None:
        np.save(file, content, **saving)  # type: ignore[arg-type]

    return make


def head_alone(file: Path) -> None:
    """A .npy whose header claims a terabyte."""
    array(np.zeros((2, 3), np.float32))(file)
    file.write_bytes(file.read_bytes().replace(b"(2, 3), ", b"(400000000000, 3), ")[:200])


def written(content: bytes | str) -> Make:
    """A file of that content."""
    return lambda file: void(file.write_bytes(content if isinstance(content, bytes) else content.encode()))


def void(result: object) -> None:
    """Nothing."""


DATA: dict[str, Make] = {
    "nothing": files(),
    "hidden": files(_hidden__one_png=png()),
    "texts": files(a_md="text"),
    "zero bytes": files(a_png=b"", b_png=b""),
    "one of zero bytes": files(a_png=b"", b_png=png()),
    "damaged": files(a_png=png()[:40], b_jpg=b"\xff\xd8\xff\xe0" + bytes(99)),
    "one damaged": files(a_png=png()[:40], b_png=png()),
    "sizes": files(a_png=png(16), b_png=png(17)),
    "one pixel": files(a_png=png(1)),
    "bomb": files(a_png=bomb()),
    "bomb beside": files(a_png=bomb(), b_png=png(), c_png=png()),
    "not what it is called": files(a_png=b"%PDF-1.4", b_png="<svg/>", c_png=b"MZ" + bytes(99)),
    "kinds both": files(a_png=png(), b_txt="some text"),
    "links": links,
    "special": special,
    "names": names,
    "deep": deep,
    "wide": wide,
    "kinds": kinds,
    "cut.tar": tar(700),
    "nothing.tar": tar(0),
    "outside.tar": tar(names=("../../1.png", "/etc/2.png")),
    "zeros.tar": written(bytes(10240)),
    "no.tar": written("not a tar"),
    "packed.tar.gz": written(b"\x1f\x8b\x08" + bytes(20)),
    "bomb.zip": packed_bomb,
    "cut.zip": written(b"PK\x03\x04" + bytes(50)),
    "objects.npy": array(np.array([{}, 1], object), allow_pickle=True),
    "nan.npy": array(np.full((4, 5, 3), np.nan, np.float32)),
    "empty.npy": array(np.zeros((0, 5, 3), np.float32)),
    "complex.npy": array(np.zeros((4, 5, 3), np.complex64)),
    "terabyte.npy": head_alone,
    "bytes.npy": written(bytes(99)),
    "absent.csv": written("path,class\nabsent.png,a\n"),
    "circle.csv": written("path,class\ncircle.csv,a\n"),
    "outside.csv": written("path,class\n/dev/zero,a\n../../../etc/passwd,b\n"),
    "head.csv": written("path,class\n"),
    "bytes.csv": written(bytes(range(256)) * 9),
    "empty.txt": written(""),
    "bytes.txt": written(bytes(range(256)) * 99),
    "line.txt": written("a" * 3_000_000),
    "series.ts": written("@data\n1,2,x:a\n"),
    "digits.ts": written(f"@dimensions {'9' * 5000}\n@data\n1,2:a\n"),
    "data set": files(state_json="{}", dataset__info_json="{}", dataset_info_json="{}"),
}

SAID = {
    "nothing": "no images in strange/nothing",
    "texts": r"no images in strange/texts \(1 other files skipped\)",
    "zero bytes": r"none of the 2 examples in strange/zero bytes can be read \(a\.png: is",
    "damaged": r"none of the 2 examples in strange/damaged can be read \(a\.png: is",
    "sizes": r"images differ in size: a\.png is 16x16, b\.png 17x17",
    "one pixel": "Net cannot run on an input of 3×1×1: RuntimeError: Calculated padded",
    "bomb": r"none of the 1 examples in strange/bomb can be read \(a\.png: has",
    "not what it is called": "none of the 3 examples in strange/not what it is called can be read",
    "links": r"examples differ in shape: one\.png is 16x16 with 3 channels, up2/one",
    "nothing.tar": r".*/strange/nothing\.tar is empty",
    "zeros.tar": r"no pictures in strange/zeros\.tar",
    "no.tar": r".*/strange/no\.tar is not a tar file",
    "packed.tar.gz": r"strange/packed\.tar\.gz is compressed, so its members cannot be read",
    "cut.zip": r".*/strange/cut\.zip cannot be read as a zip file: File is not a zip file",
    "objects.npy": r"strange/objects\.npy contains Python objects, which are never unpickled",
    "nan.npy": r"none of the 4 examples in strange/nan\.npy can be read \(example 0: has",
    "empty.npy": r"strange/empty\.npy has the shape \(0, 5, 3\), not \(example, time, channel\)",
    "complex.npy": r"strange/complex\.npy holds values of type complex64, not numbers",
    "terabyte.npy": r"strange/terabyte\.npy cannot be read as a NumPy file: mmap length is",
    "bytes.npy": r"strange/bytes\.npy cannot be read as a NumPy file: it is none",
    "absent.csv": r"none of the files listed in strange/absent\.csv exists",
    "circle.csv": r"none of the 1 files can be read: circle\.csv row 1 has 'circle\.csv' in",
    "outside.csv": r"strange/outside\.csv lists files of an unknown kind, such as",
    "head.csv": r"none of the files listed in strange/head\.csv exists",
    "bytes.csv": r"strange/bytes\.csv is not UTF-8: byte 0x80 at offset 128 \(line 2\)",
    "empty.txt": "text needs the vocabulary that the model was trained with",
    "bytes.txt": "text needs the vocabulary that the model was trained with",
    "line.txt": "text needs the vocabulary that the model was trained with",
    "series.ts": r"strange/series\.ts, line 2: dimensions of 1 and 3 steps in one example",
    "digits.ts": r"strange/digits\.ts, line 1: @dimensions is '.* not a number",
    "data set": "strange/data set cannot be read: '_data_files'",
}

NAMED = {
    "": "DATA is an empty text",
    ".": r"images differ in size: data/a/0\.png is 16x16, strange/one pixel/a\.png",
    "-": "no file or folder -",
    "absent": "no file or folder absent",
    "absent.png": r"no file or folder absent\.png; nearest: net\.py",
    "absent/": "no file or folder absent",
    "~absent/x": r"no file or folder \~absent/x",
    "net.py": r"net\.py is a file, not a folder",
    "net.py/x": r"no file or folder net\.py/x",
    "whole.lurk": r"whole\.lurk is a file, not a folder",
    "/dev/null": "/dev/null is a file, not a folder",
    "/dev/zero": "/dev/zero is a file, not a folder",
    "/dev/stdin": "/dev/stdin is a file, not a folder",
    "/proc/self/mem": "/proc/self/mem is a file, not a folder",
    "LONG": ".*: File name too long",
    "train-{0..9999999999}.tar": r"the pattern train-\{0\.\.9999999999\}\.tar stands for more than 100,000",
    "{a,b}" * 20 + ".tar": "stands for more than 100,000 files",
    "train-{9..1}.tar": r"the pattern train-\{9\.\.1\}\.tar stands for no file",
    "{" * 5000 + "a..b.tar": "File name too long",
    "{1..2}" * 35 + ".tar": "has more than 32 braces",
    "{1..DIGITS}.tar": r"\{1\.\..*: File name too long",
    "*.tar": r"no file matches \*\.tar",
    "[.tar": r"no file matches \[\.tar",
    "http://example.invalid/a.zip": "DATA is an address",
    "absent.npz:x": r"no file or folder absent\.npz:x",
    "DEMO": "no file or folder DEMO",
    "demo-texts": r"no file or folder demo-texts; nearest: file-text\.py",
    "\udcff": r"no file or folder \?",
    "a\nb": "no file or folder a b",
}


def prepare(folder: Path) -> None:
    """Makes all of them."""
    place = folder / "strange"
    place.mkdir()
    for name, make in DATA.items():
        make(place / name)


def of(data: str) -> list[str]:
    """An analysis of it."""
    return ["analyze", "net.py:Net", in_full(data), "--out", "s.lurk"]


FOLDERS: dict[str, Command] = {
    **{name: (of(f"strange/{name}"), SAID.get(name, WORKS)) for name in DATA},
    **{f"named {one[:40]!r}": (of(one), said) for one, said in NAMED.items()},
}
