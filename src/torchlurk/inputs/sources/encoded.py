"""Sources whose pictures are read as the contents of files: one by one, or some at once where a GPU decodes them."""

from __future__ import annotations

import stat
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from torchlurk.errors import DataError, OptionError
from torchlurk.inputs.items import Item
from torchlurk.inputs.pictures.decoding import MOST_PIXELS, decode_bytes
from torchlurk.inputs.pictures.gpu_decoding import GpuDecoder, check_preprocessing
from torchlurk.inputs.pictures.preprocessing import prepare
from torchlurk.inputs.source import PictureSource, Source
from torchlurk.records import Example

MOST_BYTES = 4 * MOST_PIXELS
"""What is longer is passed over before it is read: it holds more than any picture that would be decoded."""


def check_length(size: int) -> None:
    """Raises `DataError` where so many bytes are more than any picture."""
    if size > MOST_BYTES:
        raise DataError(f"has {size:,} bytes, more than any picture")


def content_of(path: Path) -> bytes:
    """What a file holds; raises `DataError`, with the reason alone, where it is none, or longer than any picture."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise DataError("is not a file")
        with path.open("rb") as stream:
            content = stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise DataError(f"cannot be opened: {error.strerror}") from error
    check_length(len(content))
    return content


class EncodedPictures(PictureSource):
    """What such sources have in common. `decoder` is None where Pillow decodes all."""

    examples: Sequence[Example]
    decoder: GpuDecoder | None = None

    @abstractmethod
    def _content(self, index: int) -> bytes:
        """The bytes of a picture; raises `DataError`, with the reason alone, where they are not there."""

    def _picture(self, index: int) -> Image.Image:
        """A picture as Pillow decodes it."""
        return decode_bytes(self._content(index))

    def read(self, index: int) -> Item:
        """See `Source`."""
        if self.decoder is None:
            return Item(prepare(self._picture(index), self.preprocessing), self.examples[index].class_index)
        (found,) = self.read_together([index], self.decoder)
        if isinstance(found, str):
            raise DataError(found)
        return found

    def read_together(self, indices: Sequence[int], decoder: GpuDecoder) -> list[Item | str]:
        """The examples, or the reasons why they cannot be read."""
        contents, found = dict[int, bytes](), dict[int, Item | str]()
        for index in indices:
            try:
                contents[index] = self._content(index)
            except DataError as error:
                found[index] = error.message
        pictures = decoder.prepared(list(contents.values()), self.preprocessing)
        for index, one in zip(contents, pictures, strict=True):
            found[index] = one if isinstance(one, str) else Item(one, self.examples[index].class_index)
        return [found[index] for index in indices]


def decoded_by(source: Source, decoder: GpuDecoder | None) -> Source:
    """The source, whose pictures that decoder decodes; raises `OptionError` where it has none to decode."""
    if decoder is not None:
        if not isinstance(source, EncodedPictures):
            raise OptionError(
                f"--decoder is 'gpu', and {source.name} has no picture files to decode",
                "leave --decoder out, or give a folder, a list, an archive or a saved data set of pictures",
            )
        check_preprocessing(source.preprocessing)
        source.decoder = decoder
    return source
