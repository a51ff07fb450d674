"""Pictures that lie among others in one file, each known by its bytes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from hashlib import sha256

from torchlurk.errors import DataError
from torchlurk.inputs.pictures.decoding import size_in
from torchlurk.inputs.source import spread
from torchlurk.inputs.sources.encoded import EncodedPictures
from torchlurk.inputs.sources.folder import PROBED_BYTES, PROBED_FILES, check_sizes
from torchlurk.records import Class, Example, Skip


class StoredPictures(EncodedPictures):
    """What sources of such pictures have in common."""

    name: str
    examples: Sequence[Example]
    classes: Sequence[Class]
    skipped: tuple[Skip, ...] = ()

    @abstractmethod
    def fingerprint(self) -> str:
        """See `Source`."""

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
