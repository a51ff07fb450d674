"""Text files as a source of examples: windows over their documents."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from torchlurk.errors import DataError, OptionError
from torchlurk.input_records import TextExample
from torchlurk.inputs.items import Item
from torchlurk.inputs.source import ExampleList, printable, spread
from torchlurk.inputs.sources.class_files import Labelling, by_folder, classes_of, labelling, read_classes
from torchlurk.inputs.sources.listing import IMAGE_SUFFIXES, Listing, Wanted, list_files
from torchlurk.inputs.text.corpus import Corpus, read_corpus
from torchlurk.inputs.text.files import Layout
from torchlurk.inputs.text.given_tracks import GivenTracks, read_tracks
from torchlurk.inputs.text.kind import Text
from torchlurk.inputs.text.tokenizing import Characters, HuggingFace, Tokenizer, Words
from torchlurk.inputs.text.tracks import MADE, told_by_text
from torchlurk.inputs.text.vocabulary import PADDING, UNKNOWN, Vocabulary, read_vocabulary, vocabulary_of
from torchlurk.inputs.text.windows import Windowing
from torchlurk.options import InputOptions
from torchlurk.records import Class, Example, Preprocessing, Skip
from torchlurk.track_records import Measure

ROWS = ".tsv"
TEXT_SUFFIXES = frozenset({".txt", ".text"})
"""Files that are text by their name alone; with --kind text, others may be."""

NEVER_TEXT = IMAGE_SUFFIXES | {ROWS, ".csv", ".npy", ".npz", ".ts"}
"""In a folder of texts, files that are passed over whatever is in them."""


class TextSource:
    """Windows over the documents of a corpus; see `Source`. `labels` has the class of each document."""

    preprocessing = Preprocessing()

    def __init__(
        self,
        corpus: Corpus,
        windowing: Windowing,
        labels: Labelling,
        classes: Sequence[Class],
        name: str,
        options: InputOptions,
        skipped: tuple[Skip, ...] = (),
        given: GivenTracks | None = None,
    ) -> None:
        self.name = name
        self.classes = classes
        self.skipped = skipped + corpus.skipped
        self._corpus, self._windowing, self._labels, self._options = corpus, windowing, labels, options
        self._passed_over = skipped
        self._cut_up = bool(np.diff(corpus.firsts).max(initial=0) > windowing.size)
        if options.tracks and given is None:
            given = read_tracks(Path(options.tracks), len(corpus.ids))
        self._given = given
        cuts = [(document, *cut) for document in range(len(corpus)) for cut in windowing.cut(corpus.length(document))]
        chosen = spread(len(cuts), options.limit)
        self._cuts = np.array(cuts, np.int64).reshape(-1, 5)[chosen]
        self.lengths: Int64[np.ndarray, " example"] | None = self._cuts[:, 2] - self._cuts[:, 1]
        self.examples: Sequence[Example] = ExampleList(_Paths(corpus, self._cuts), labels.indices[self._cuts[:, 0]])

    @property
    def kind(self) -> Text:
        """See `Source`."""
        return Text(
            self._corpus.tokenizer.vocabulary,
            self._shown,
            self._windowing.size if self._cut_up else None,
            self._windowing.burn_in if self._cut_up else None,
            self._options.input_axes,
            "line" if self._options.lines else "row" if any(self._corpus.labels) else "",
        )

    @property
    def cut_up(self) -> bool:
        """See `Windowed`."""
        return self._cut_up

    def burning(self, *, left: bool, right: bool) -> TextSource:
        """See `Windowed`."""
        known = self._windowing
        windowing = Windowing(known.size, known.burn_in, left, right)
        kept = self._labels, self.classes, self.name, self._options, self._passed_over, self._given
        return TextSource(self._corpus, windowing, *kept)

    def repeated(self, index: int) -> int:
        """See `Windowed`."""
        (document, start, stop, *_), (before, _, end, *_) = self._cuts[index].tolist(), self._cuts[index - 1].tolist()
        return min(max(0, end - start), stop - start) if index > 0 and document == before else 0

    def read(self, index: int) -> Item:
        """See `Source`."""
        document, start, stop, *_ = self._cuts[index].tolist()
        first = int(self._corpus.firsts[document])
        ids = self._corpus.ids[first + start : first + stop].astype(np.int64)
        return Item(torch.from_numpy(ids), self.examples[index].class_index)

    def counted(self, index: int) -> tuple[int, int]:
        """See `Source`."""
        _, start, _, first, end = self._cuts[index].tolist()
        return first - start, end - start

    def token_counts(self) -> Int64[np.ndarray, " id"]:
        """How often each token stands at a step that counts, by its id."""
        firsts = self._corpus.firsts[self._cuts[:, 0]]
        edges = np.zeros(len(self._corpus.ids) + 1, np.int64)
        np.add.at(edges, firsts + self._cuts[:, 3], 1)
        np.add.at(edges, firsts + self._cuts[:, 4], -1)
        return np.bincount(self._corpus.ids[np.cumsum(edges[:-1]) > 0])

    def fingerprint(self) -> str:
        """See `Source`: over every token, the files' names and texts, the vocabulary, the tokenizer, windows and classes."""
        digest = hashlib.sha256(self._corpus.digest())
        digest.update(self._cuts.tobytes())
        digest.update(repr(self._labels.names).encode() + self._labels.indices.tobytes())
        return digest.hexdigest()

    @property
    def tracks(self) -> dict[str, Measure]:
        """See `Tracked`: those that the text tells, and those of the file in place of others of their name."""
        return {**MADE, **(self._given.measures if self._given else {})}

    @property
    def given_tracks(self) -> str | None:
        """See `Tracked`."""
        return self._given.digest if self._given else None

    def labels(self, index: int) -> dict[str, Float32[np.ndarray, " time"]]:
        """See `Tracked`."""
        document, start, stop, *_ = self._cuts[index].tolist()
        corpus = self._corpus
        starts = np.array([corpus.offset(document, token) for token in range(start, stop)], np.int64)
        text, begin = corpus.text(document), int(corpus.begins[document])
        found = told_by_text(text, starts - begin, corpus.tokens(document, start, stop))
        first = int(corpus.firsts[document])
        given = self._given.labels if self._given else {}
        return found | {name: labels[first + start : first + stop] for name, labels in given.items()}

    def _shown(self, index: int, ids: Int64[Tensor, " time"]) -> TextExample:
        document, start, stop, *_ = self._cuts[index].tolist()
        offsets = tuple(self._corpus.offset(document, token) for token in range(start, stop))
        return TextExample(self._corpus.tokens(document, start, stop), offsets, self.counted(index))


class _Paths(Sequence[str]):
    """`file@offset` of each example's first counted token, made when asked for."""

    def __init__(self, corpus: Corpus, cuts: Int64[np.ndarray, "example 5"]) -> None:
        self._corpus, self._cuts = corpus, cuts

    def __len__(self) -> int:
        return len(self._cuts)

    def __getitem__(self, index: int) -> str:  # type: ignore[override]  # examples are asked for one at a time
        document, _, _, first, _ = self._cuts[index].tolist()
        return self._corpus.path(document, first)


def open_text(
    path: Path,
    options: InputOptions,
    vocabulary: Mapping[str, int] | Sequence[str] | None = None,
    name: str | None = None,
    listed: tuple[Listing, Labelling] | None = None,
) -> TextSource:
    """The text file, table or folder at `path` as a source; `listed` are the files and classes of a list.

    Raises `DataError` where there is no text, `OptionError` where the tokenizer, the vocabulary or the windows do not fit.
    """
    tokenizer = _tokenizer(options, vocabulary)
    windowing = Windowing.chosen(options.window, options.burn_in)
    if options.lines and path.suffix.lower() == ROWS:
        raise OptionError(f"--lines is for text files; {path.name} has one example per row", "leave --lines out")
    layout: Layout = "rows" if path.suffix.lower() == ROWS else "lines" if options.lines else "whole"
    listing, labels = listed or (None, None)
    skipped: tuple[Skip, ...] = ()
    if path.is_dir():
        listing = listing or list_files(path, _wanted(options))
        skipped = tuple(listing.skipped)
        corpus = read_corpus(path, listing.paths, tokenizer, layout)
    else:
        corpus = read_corpus(path.parent, [path.name], tokenizer, layout)
    _check_known(corpus, name or str(path), layout)
    if options.classes:
        labels = read_classes(Path(options.classes), _document_paths(corpus, layout))
    elif labels is not None:
        by_name = dict(zip(map(printable, listing.paths if listing else ()), labels.indices.tolist(), strict=True))
        labels = Labelling(labels.names, np.array([by_name[corpus.file(one).name] for one in range(len(corpus))], np.int64))
    elif layout == "rows":
        labels = labelling(corpus.labels)
    else:
        paths = [corpus.file(document).name for document in range(len(corpus))]
        labels = by_folder(paths, [printable(folder) for folder in listing.folders] if listing else ())
    classes = classes_of(labels.names, options.class_names)
    return TextSource(corpus, windowing, labels, classes, name or str(path), options, skipped)


def _tokenizer(options: InputOptions, vocabulary: Mapping[str, int] | Sequence[str] | None) -> Tokenizer:
    wanted = options.tokenizer or "char"
    if wanted not in ("char", "word"):
        for given, flag in ((options.vocabulary or vocabulary, "vocabulary"), (options.lowercase, "lowercase")):
            if given:
                raise OptionError(f"--{flag} is for the tokenizers char and word", f"leave it out: {wanted} has its own")
        return HuggingFace(Path(wanted))
    known = chosen_vocabulary(options, vocabulary)
    if known is None:
        raise OptionError(
            "text needs the vocabulary that the model was trained with",
            "give --vocabulary FILE.json with the index of each token, or --tokenizer tokenizer.json",
        )
    return (Characters if wanted == "char" else Words)(known, options.lowercase)


def chosen_vocabulary(options: InputOptions, given: Mapping[str, int] | Sequence[str] | None) -> Vocabulary | None:
    """The vocabulary in the options' file, or the one that a program gives; None without either."""
    if options.vocabulary is not None:
        return read_vocabulary(Path(options.vocabulary))
    return vocabulary_of(given) if given is not None else None


def _wanted(options: InputOptions) -> Wanted:
    def accepts(entry: object, suffix: str) -> bool:
        return suffix in TEXT_SUFFIXES or (options.kind == "text" and suffix not in NEVER_TEXT)

    hint = "it should hold .txt files, in one sub-folder per class or directly; of other names with --kind text"
    return Wanted("text files", "a text file", accepts, hint)


def _check_known(corpus: Corpus, name: str, layout: Layout) -> None:
    """Raises `DataError` where the vocabulary has none of the tokens: the tokenizer is then another than the model's."""
    vocabulary = corpus.tokenizer.vocabulary
    stands_for_nothing = vocabulary.tokens[vocabulary.unknown] in ("", *UNKNOWN, *PADDING)
    if stands_for_nothing and bool((corpus.ids == vocabulary.unknown).all()):
        raise DataError(
            f"none of the {len(corpus.ids)} tokens in {name} is in the vocabulary",
            "give the --tokenizer and the --vocabulary that the model was trained with"
            + ("; a row is the example, a tab, its class" if layout == "rows" else ""),
        )


def _document_paths(corpus: Corpus, layout: Layout) -> list[str]:
    if layout == "whole":
        return [corpus.file(document).name for document in range(len(corpus))]
    return [corpus.path(document) for document in range(len(corpus))]
