"""From a text to tokens: by character, by word, or as a Hugging Face tokenizer.json says."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int64

from torchlurk.errors import MissingExtraError, OptionError, in_one_line
from torchlurk.inputs.text.vocabulary import Vocabulary, vocabulary_of

WORD = re.compile(r"\w+|[^\w\s]")
"""What one word is: a run of letters, digits and underscores, or any other single character that is not whitespace."""

CODE_POINTS = 0x110000


@dataclass(frozen=True, slots=True)
class Encoded:
    """A text's tokens: their indices, and where each starts, in characters."""

    ids: Int64[np.ndarray, " token"]
    starts: Int64[np.ndarray, " token"]


@runtime_checkable
class Tokenizer(Protocol):
    """A way from a text to tokens. `name` tells it from others in fingerprints.

    `local` is whether a part of a text that is cut between two tokens has the tokens that it has in the whole.
    """

    name: str
    vocabulary: Vocabulary
    local: bool

    def encode(self, text: str) -> Encoded:
        """The tokens of the text."""

    def tokens(self, text: str) -> list[str]:
        """The same tokens as they stand in the text."""


class Characters:
    """Every character, whitespace included, is a token."""

    local = True

    def __init__(self, vocabulary: Vocabulary, lowercase: bool) -> None:
        self.name = f"char lowercase={lowercase}"
        self.vocabulary = vocabulary
        self._lowercase = lowercase
        self._indices = np.full(CODE_POINTS, -1, np.int64)  # by code point; -1 until a character is first met

    def encode(self, text: str) -> Encoded:
        """See `Tokenizer`."""
        points = np.frombuffer(text.encode("utf-32-le"), np.uint32)
        for point in np.unique(points[self._indices[points] < 0]).tolist():
            self._indices[point] = _index(chr(point), self.vocabulary, self._lowercase)
        return Encoded(self._indices[points], np.arange(len(points)))

    def tokens(self, text: str) -> list[str]:
        """See `Tokenizer`."""
        return list(text)


class Words:
    """Every match of `WORD` is a token; whitespace is dropped."""

    local = True

    def __init__(self, vocabulary: Vocabulary, lowercase: bool) -> None:
        self.name = f"word {WORD.pattern} lowercase={lowercase}"
        self.vocabulary = vocabulary
        self._lowercase = lowercase

    def encode(self, text: str) -> Encoded:
        """See `Tokenizer`."""
        found = list(WORD.finditer(text))
        ids = (_index(one[0], self.vocabulary, self._lowercase) for one in found)
        starts = (one.start() for one in found)
        return Encoded(np.fromiter(ids, np.int64, len(found)), np.fromiter(starts, np.int64, len(found)))

    def tokens(self, text: str) -> list[str]:
        """See `Tokenizer`."""
        return WORD.findall(text)


def _index(token: str, vocabulary: Vocabulary, lowercase: bool) -> int:
    return vocabulary.index_of.get(token.lower() if lowercase else token, vocabulary.unknown)


class HuggingFace:
    """What a tokenizer.json says, with its own vocabulary, without special tokens at the ends of a text."""

    local = False

    def __init__(self, file: Path) -> None:
        self._kept = lru_cache(maxsize=2)(self._shown)  # several windows of one document are shown after each other
        self._tokenizer = _load(file)
        self.name = f"tokenizer.json {self._tokenizer.to_str()}"
        self.vocabulary = _vocabulary(self._tokenizer, file)

    def encode(self, text: str) -> Encoded:
        """See `Tokenizer`."""
        found = self._tokenizer.encode(text, add_special_tokens=False)
        starts = np.array([start for start, _ in found.offsets], np.int64)
        return Encoded(np.array(found.ids, np.int64), starts)

    def tokens(self, text: str) -> list[str]:
        """See `Tokenizer`; of several tokens that share a character, only the first shows it as it stands."""
        return self._kept(text)

    def _shown(self, text: str) -> list[str]:
        found = self._tokenizer.encode(text, add_special_tokens=False)
        shown, end = [], 0
        for token, (start, stop) in zip(found.tokens, found.offsets, strict=True):
            shown.append(text[start:stop] if end <= start < stop else token)
            end = max(end, stop)
        return shown


def _load(file: Path) -> Any:
    try:
        from tokenizers import Tokenizer as FromFile
    except ImportError as error:
        raise MissingExtraError(
            f"--tokenizer {file} needs the library tokenizers ({error})", "pip install 'torchlurk[text]'"
        ) from error
    if not file.is_file():
        reason = "it is a folder" if file.is_dir() else "no such file"
        raise OptionError(f"--tokenizer {file}: {reason}", "use char, word, or a Hugging Face tokenizer.json")
    try:
        tokenizer = FromFile.from_file(str(file))
    except Exception as error:  # the library raises nothing more specific
        told = f"--tokenizer {file} is not a tokenizer.json: {in_one_line(error)}"
        raise OptionError(told, "give the file that Hugging Face's tokenizers saved beside the model") from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def _vocabulary(tokenizer: Any, file: Path) -> Vocabulary:
    index_of = tokenizer.get_vocab(with_added_tokens=True)
    return vocabulary_of(index_of, f"the vocabulary of {file}")
