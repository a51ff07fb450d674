"""Pictures that lie among others in one file, each known by its bytes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from hashlib import sha256

from torchlurk.errors import DataError
from torchlurk.inputs.items import Item
from torchlurk.inputs.pictures.decoding import MOST_PIXELS, decode_bytes, size_in
from torchlurk.inputs.pictures.preprocessing import prepare
from torchlurk.inputs.source import PictureSource, spread
from torchlurk.inputs.sources.folder import PROBED_BYTES, PROBED_FILES, check_sizes
from torchlurk.records import Class, Example, Skip

MOST_BYTES = 4 * MOST_PIXELS
"""What is longer is passed over before it is read: it holds more than any picture that would be decoded."""


def check_length(size: int) -> None:
    """Raises `DataError` where so many bytes are more than any picture."""
    if size > MOST_BYTES:
        raise DataError(f"has {size:,} bytes, more than any picture")


class StoredPictures(PictureSource):
    """What sources of such pictures have in common."""

    name: str
    examples: Sequence[Example]
    classes: Sequence[Class]
    skipped: tuple[Skip, ...] = ()

    @abstractmethod
    def _content(self, index: int) -> bytes:
        """The bytes of a picture; raises `DataError`, with the reason alone, where they are not there."""

    @abstractmethod
    def fingerprint(self) -> str:
        """See `Source`."""

    def read(self, index: int) -> Item:
        """See `Source`."""
        return Item(prepare(decode_bytes(self._content(index)), self.preprocessing), self.examples[index].class_index)

    def check_sizes(self) -> None:
        """Raises `DataError` where a few spread pictures would become network inputs of different sizes."""
        check_sizes(self, lambda index: size_in(self._content(index)))

    def _probed(self) -> bytes:
        """Hashes of how a few spread pictures begin."""
        return b"".join(sha256(self._beginning(index)).digest() for index in spread(len(self.examples), PROBED_FILES))

    def _beginning(self, index: int) -> bytes:
        try:
            return self._content(index)[:PROBED_BYTES]
        except DataError:
            return b""
