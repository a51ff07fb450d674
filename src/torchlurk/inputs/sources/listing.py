"""Which files below a folder are examples, and what else is there: one walk, nothing decoded, no file looked at twice."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from torchlurk.errors import DataError
from torchlurk.inputs.pictures.decoding import PREFIX, format_of
from torchlurk.inputs.presence import absent
from torchlurk.inputs.source import printable
from torchlurk.records import Skip

_IMAGES = "jpg jpeg jpe jfif png webp gif bmp dib tif tiff avif avifs ppm pgm pbm pnm pfm jp2 j2k jpx pcx sgi rgb rgba"
_OTHERS = (
    "txt md rst json jsonl csv tsv xml yaml yml toml ini cfg log html htm pdf py ipynb sh db lnk npy npz mat h5 pkl pickle "
    "pt pth safetensors onnx zip gz tgz tar bz2 xz 7z mp4 avi mov mkv mp3 wav svg"
)
IMAGE_SUFFIXES, OTHER_SUFFIXES = (frozenset(f".{suffix}" for suffix in kinds.split()) for kinds in (_IMAGES, _OTHERS))
"""A file with the first kind of suffix counts as an image, one with the second does not; others tell by their first bytes."""

NO_CLASS = "__MACOSX"
"""A folder that archives made on a Mac leave behind: no class of anyone's."""


@dataclass(slots=True)
class Listing:
    """What a folder holds: paths relative to it, with '/', in order of code points; its sub-folders, in that order."""

    paths: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    skipped: list[Skip] = field(default_factory=list)

    def skip(self, path: str, reason: str) -> None:
        """Takes note of something passed over."""
        self.skipped.append(Skip(printable(path), reason))


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which files count as examples: what they are called, how one is known by its entry and suffix, and what to do without."""

    plural: str
    singular: str
    accepts: Callable[[os.DirEntry[str], str], bool]
    hint: str


def list_images(root: Path) -> Listing:
    """All images below `root`; see `list_files`."""
    return list_files(root, IMAGES)


def list_files(root: Path, wanted: Wanted) -> Listing:
    """All wanted files below `root`, at any depth. Links are followed, but not back up; hidden files are not there.

    Raises `DataError` where `root` is not a folder, cannot be read or holds no such file.
    """
    listing = Listing()
    for entry, path in walk(root, listing):
        if leads(entry.is_dir):
            listing.skip(path, f"is not {wanted.singular}")
        elif not leads(entry.is_file):
            listing.skip(path, "is a broken link" if entry.is_symlink() else "is not a file")
        elif wanted.accepts(entry, os.path.splitext(entry.name)[1].lower()):
            listing.paths.append(path)
        else:
            listing.skip(path, f"is not {wanted.singular}")
    _finish(root, listing, wanted)
    return listing


def walk(root: Path, listing: Listing) -> Iterator[tuple[os.DirEntry[str], str]]:
    """Everything below `root` that is not a folder to look into, with its path; sub-folders of `root` go to the listing.

    Raises `DataError` where `root` is not a folder or cannot be read.
    """
    _check_folder(root)
    # A stack of folders still to read, each with the identities of those above it, by which a link back up is known.
    above: frozenset[tuple[int, int]] = frozenset({_identity(root)})
    pending = [("", above)]
    while pending:
        prefix, above = pending.pop()
        for entry in _entries(root, prefix, listing):
            path = prefix + entry.name
            if not leads(entry.is_dir) or entry.name == NO_CLASS:
                yield entry, path
            elif (identity := _identity(entry)) in above:
                listing.skip(path, "links to a folder that it is in")
            else:
                pending.append((path + "/", above | {identity}))
                if not prefix:
                    listing.folders.append(path)


def leads(test: Callable[[], bool]) -> bool:
    """Whether an entry is, or links to, what `test` asks (`entry.is_file`); a link that leads back to itself is nothing."""
    try:
        return test()
    except OSError:
        return False


def is_folder(path: Path) -> bool:
    """Whether the path is a folder's; raises `DataError` where that may not be known."""
    try:
        return path.is_dir()
    except PermissionError as error:
        raise DataError(
            f"cannot read {path}: {error.strerror}", "check its permissions and those of the folders above it"
        ) from error


def _check_folder(root: Path) -> None:
    if is_folder(root):
        return
    if root.exists():
        raise DataError(f"{root} is a file, not a folder", "DATA is the folder that holds the images, or drawn")
    raise absent(root)


def _entries(root: Path, prefix: str, listing: Listing) -> Iterator[os.DirEntry[str]]:
    """What is in the folder `prefix` and not hidden; a folder that cannot be read is passed over, unless it is the root."""
    try:
        with os.scandir(root / prefix) as entries:
            visible = [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        if not prefix:
            raise DataError(f"cannot read the folder {root}: {error.strerror}", "check its permissions") from error
        listing.skip(prefix, f"cannot be opened: {error.strerror}")
        return
    yield from visible


def _identity(folder: Path | os.DirEntry[str]) -> tuple[int, int]:
    status = os.stat(folder)  # DirEntry.stat() has no inode on Windows
    return status.st_dev, status.st_ino


def is_image(entry: os.DirEntry[str], suffix: str) -> bool:
    """Whether a file is an image by its suffix, or by its first bytes where the suffix says nothing."""
    return suffix in IMAGE_SUFFIXES or (suffix not in OTHER_SUFFIXES and _looks_like_an_image(entry))


def _looks_like_an_image(entry: os.DirEntry[str]) -> bool:
    try:
        with open(entry, "rb") as file:
            return format_of(file.read(PREFIX)) is not None
    except OSError:
        return False


IMAGES = Wanted("images", "an image", is_image, "it should hold image files, in one sub-folder per class or directly")


def _finish(root: Path, listing: Listing, wanted: Wanted) -> None:
    listing.paths.sort()
    listing.folders.sort()
    if not listing.paths:
        others = f" ({len(listing.skipped)} other files skipped)" if listing.skipped else ""
        raise DataError(f"no {wanted.plural} in {root}{others}", wanted.hint)
    filled = {path.partition("/")[0] for path in listing.paths if "/" in path}
    for folder in listing.folders:
        if folder not in filled:
            listing.skip(folder + "/", f"is a class without {wanted.plural}")
    listing.skipped.sort(key=lambda skip: skip.path)
