"""All documents of a source of text as one array of token ids."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int64, Integer

from torchlurk.errors import DataError
from torchlurk.inputs.source import printable
from torchlurk.inputs.text.files import Layout, pieces, read_text
from torchlurk.inputs.text.tokenizing import Characters, Tokenizer
from torchlurk.records import Skip


@dataclass(frozen=True, slots=True)
class TextFile:
    """One file: `name` is relative to DATA, `digest` the SHA-256 of its text."""

    path: Path
    name: str
    digest: str

    def text(self) -> str:
        """What is in it; raises `DataError` where that is not what was there when it was opened."""
        return _text(self)


@runtime_checkable
class Original(Protocol):
    """Where documents stand: a `TextFile`, or what is like one."""

    @property
    def name(self) -> str: ...
    @property
    def digest(self) -> str: ...
    def text(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Corpus:
    """Documents, each the characters `begins` to `ends` of the file `file_of`, and the tokens `firsts[i]` to `firsts[i + 1]`.

    `ids` are in the smallest type that holds them. `starts` says where a token starts within its document; None where every
    character is a token. `labels` are the classes that the files themselves tell.
    """

    files: tuple[Original, ...]
    tokenizer: Tokenizer
    file_of: Int64[np.ndarray, " document"]
    begins: Int64[np.ndarray, " document"]
    ends: Int64[np.ndarray, " document"]
    firsts: Int64[np.ndarray, " document_and_one"]
    ids: Integer[np.ndarray, " token"]
    starts: Integer[np.ndarray, " token"] | None
    labels: tuple[str | None, ...]
    skipped: tuple[Skip, ...]

    def __len__(self) -> int:
        return len(self.file_of)

    def length(self, document: int) -> int:
        """How many tokens the document has."""
        return int(self.firsts[document + 1] - self.firsts[document])

    def offset(self, document: int, token: int) -> int:
        """Where the token starts in its file, in characters."""
        within = token if self.starts is None else int(self.starts[self.firsts[document] + token])
        return int(self.begins[document]) + within

    def file(self, document: int) -> Original:
        """The file that the document is in."""
        return self.files[int(self.file_of[document])]

    def path(self, document: int, token: int = 0) -> str:
        """`file@offset` of a token."""
        return f"{self.file(document).name}@{self.offset(document, token)}"

    def text(self, document: int) -> str:
        """The document; raises `DataError` where the file is not what it was."""
        return self.file(document).text()[int(self.begins[document]) : int(self.ends[document])]

    def tokens(self, document: int, start: int, stop: int) -> tuple[str, ...]:
        """Tokens of the document as they stand there; raises `DataError` where the file is not what it was."""
        text, begin, end = self.file(document).text(), int(self.begins[document]), int(self.ends[document])
        if not self.tokenizer.local:
            return tuple(self.tokenizer.tokens(text[begin:end])[start:stop])
        after = self.offset(document, stop) if stop < self.length(document) else end
        return tuple(self.tokenizer.tokens(text[self.offset(document, start) : after]))

    def digest(self) -> bytes:
        """Changes with any text, the cut into documents, the tokenizer and the vocabulary."""
        digest = hashlib.sha256(repr([(one.name, one.digest) for one in self.files]).encode())
        digest.update(repr((self.tokenizer.name, self.tokenizer.vocabulary.tokens, self.labels)).encode())
        for array in (self.file_of, self.begins, self.ends, self.firsts, self.ids.astype(np.int64)):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.digest()


@lru_cache(maxsize=2)
def _text(file: TextFile) -> str:
    text = read_text(file.path)
    if _digest(text) != file.digest:
        raise DataError("has changed since it was opened")
    return text


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(slots=True)
class _Growing:
    """A corpus while its files are read."""

    tokenizer: Tokenizer
    files: list[Original] = field(default_factory=list)
    places: list[tuple[int, int, int]] = field(default_factory=list)
    ids: list[np.ndarray] = field(default_factory=list)
    starts: list[np.ndarray] = field(default_factory=list)
    labels: list[str | None] = field(default_factory=list)
    skipped: list[Skip] = field(default_factory=list)

    def add(self, path: Path, name: str, layout: Layout) -> None:
        """Takes the documents of one file; raises `DataError`, with the reason alone, where it cannot be read."""
        text = read_text(path)
        self.take(TextFile(path, name, _digest(text)), text, layout)

    def take(self, original: Original, text: str, layout: Layout) -> None:
        """Takes the documents in a text; raises `DataError`, with the reason alone, where it has none."""
        before = len(self.places)
        for piece in pieces(text, layout):
            if isinstance(piece, str):
                self.skipped.append(Skip(original.name, piece))
                continue
            encoded = self.tokenizer.encode(text[piece.start : piece.stop])
            if not len(encoded.ids):
                if layout != "whole":
                    self.skipped.append(Skip(f"{original.name}@{piece.start}", "has no token"))
                continue
            self.places.append((len(self.files), piece.start, piece.stop))
            self.ids.append(encoded.ids.astype(np.min_scalar_type(len(self.tokenizer.vocabulary))))
            self.labels.append(piece.label)
            if not isinstance(self.tokenizer, Characters):
                self.starts.append(encoded.starts.astype(np.min_scalar_type(len(text))))
        if len(self.places) == before:
            raise DataError("has no token" if text else "is empty")
        self.files.append(original)

    def finish(self) -> Corpus:
        """The corpus of all that was added."""
        places = np.array(self.places, np.int64).reshape(-1, 3)
        return Corpus(
            files=tuple(self.files),
            tokenizer=self.tokenizer,
            file_of=places[:, 0],
            begins=places[:, 1],
            ends=places[:, 2],
            firsts=np.cumsum([0, *(len(one) for one in self.ids)], dtype=np.int64),
            ids=np.concatenate(self.ids),
            starts=np.concatenate(self.starts) if self.starts else None,
            labels=tuple(self.labels),
            skipped=tuple(self.skipped),
        )


def read_corpus(root: Path, names: Iterable[str], tokenizer: Tokenizer, layout: Layout) -> Corpus:
    """The documents in the files `names` below `root`; of a single file (`names` is its own), what is wrong with it is raised.

    Of several, those that cannot be read are passed over. Raises `DataError` where none can.
    """
    names = list(names)
    growing = _Growing(tokenizer)
    for name in names:
        try:
            growing.add(root / name, printable(name), layout)
        except DataError as error:
            if error.hint and len(names) == 1:
                raise DataError(f"{printable(name)} {error.message}", error.hint) from error
            growing.skipped.append(Skip(printable(name), error.message))
    if not growing.places:
        first = growing.skipped[0]
        raise DataError(f"{first.path} {first.reason}", "give text files with something in them, in UTF-8")
    return growing.finish()


def corpus_of(originals: Sequence[Original], tokenizer: Tokenizer) -> Corpus:
    """The corpus of texts that are in no files, one document each; raises `DataError` for one without a token."""
    growing = _Growing(tokenizer)
    for one in originals:
        growing.take(one, one.text(), "whole")
    return growing.finish()
