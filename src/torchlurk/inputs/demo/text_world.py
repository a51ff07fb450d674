"""The text world as a source of examples: the beginning of a document each."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from torchlurk.inputs.demo.documents import NAMES, SHORTEST, TOKENS, VERSION, write
from torchlurk.inputs.presence import DEMO_TEXT
from torchlurk.inputs.sources.class_files import Labelling, classes_of
from torchlurk.inputs.text.corpus import corpus_of
from torchlurk.inputs.text.source import TextSource
from torchlurk.inputs.text.tokenizing import Characters
from torchlurk.inputs.text.vocabulary import vocabulary_of
from torchlurk.inputs.text.windows import Windowing
from torchlurk.options import InputOptions

DOCUMENTS = 400
"""Of the demo's study: 80 of each genre."""
SEED = 0
LENGTH = SHORTEST
"""Characters of an example, the first of its document: examples of one length share batches."""


@dataclass(frozen=True, slots=True)
class WrittenText:
    """One document as a corpus knows its files: its text is written again when it is asked for."""

    seed: int
    index: int

    @property
    def name(self) -> str:
        """See `TextFile`."""
        return f"{NAMES[self.index % len(NAMES)]}/{self.index:06d}.txt"

    @property
    def digest(self) -> str:
        """See `TextFile`: a document depends on the world's version, the seed and its number alone."""
        return hashlib.sha256(f"{DEMO_TEXT} {VERSION} {self.seed} {self.index}".encode()).hexdigest()

    def text(self) -> str:
        """See `TextFile`."""
        return _written(self.seed, self.index)


@lru_cache(maxsize=16)
def _written(seed: int, index: int) -> str:
    return write(seed, index).text[:LENGTH]


def text_world(options: InputOptions, seed: int = SEED) -> TextSource:
    """The documents of the world with this seed; `limit` is how many are written."""
    numbers = range(options.limit or DOCUMENTS)
    originals = [WrittenText(seed, index) for index in numbers]
    corpus = corpus_of(originals, Characters(vocabulary_of(TOKENS), lowercase=False))
    labels = Labelling(NAMES, np.array(numbers, np.int64) % len(NAMES))
    windowing = Windowing.chosen(options.window or LENGTH, options.burn_in)
    return TextSource(corpus, windowing, labels, classes_of(NAMES, options.class_names), DEMO_TEXT, options)
