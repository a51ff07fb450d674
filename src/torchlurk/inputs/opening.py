"""Which source DATA names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from torchlurk.errors import DataError, OptionError
from torchlurk.files import expanded
from torchlurk.input_records import KindName, ReadsText
from torchlurk.input_words import KINDS, added_kind, like
from torchlurk.inputs.archives.naming import is_archive
from torchlurk.inputs.archives.source import open_archives
from torchlurk.inputs.demo.drawn import DrawnPictures
from torchlurk.inputs.demo.opening import is_made, open_made
from torchlurk.inputs.pictures.preprocessing import resolve
from torchlurk.inputs.series.source import open_series
from torchlurk.inputs.source import Source
from torchlurk.inputs.sources.class_files import Labelling
from torchlurk.inputs.sources.file_lists import is_list, read_list
from torchlurk.inputs.sources.folder import ImageFolder
from torchlurk.inputs.sources.listing import Listing
from torchlurk.inputs.sources.recognition import LEAVE_OUT, TABLE_OF_TEXTS, check_options, check_vocabulary, recognized
from torchlurk.inputs.sources.saved_datasets import is_saved, open_saved
from torchlurk.inputs.text.source import open_text
from torchlurk.options import WINDOW, InputOptions
from torchlurk.records import Preprocessing


def open_source(
    data: str | DrawnPictures,
    options: InputOptions,
    default: Preprocessing | None = None,
    vocabulary: Mapping[str, int] | Sequence[str] | None = None,
    reads_text: ReadsText | None = None,
) -> Source:
    """The source that DATA names: a folder or list of images, text or series, a file of text or series,
    tar or zip files, a saved data set, `demo`, `demo-text` or `drawn`; or drawn pictures that a program has.

    `default` is the model's own preprocessing, `reads_text` how it reads text by itself, `vocabulary` one that a program
    gives. Of data made by code, `limit` is how many examples are made. A folder that is called `drawn` is that folder. Raises
    `DataError` where there is nothing to read, or where the pictures differ in size and nothing says how to make them alike;
    `OptionError` for options that do not go together or not with this kind of data.
    """
    if isinstance(data, DrawnPictures) or is_made(data):
        return open_made(data, options, default, vocabulary)
    path = expanded(data)
    if called := added_kind(data, options.kind):
        return _added(called, path, options)
    archived, saved = is_archive(data), is_saved(path)
    kind = _of_pictures(data, options) if archived or saved else recognized(path, like(options.kind))
    table = kind == "series" and path.suffix.lower() == ".csv"
    check_options(options, kind, hint=TABLE_OF_TEXTS if table else LEAVE_OUT)
    check_vocabulary(vocabulary, kind)
    if archived:
        return open_archives(data, options, default)
    if saved:
        return open_saved(path, options, default, data)
    listed = read_list(path) if path.suffix.lower() == ".csv" and is_list(path) else None
    root = path.parent if listed else path
    if kind == "text":
        known = _own_vocabulary(options, reads_text) if vocabulary is None else vocabulary
        return open_text(root, _as_the_model_reads(options, reads_text, vocabulary), known, data, listed)
    if kind == "series":
        return open_series(root, options, data, listed)
    return _images(root, options, default, data, listed)


def _added(called: str, path: Path, options: InputOptions) -> Source:
    """The source of a kind that a program has added."""
    kind = KINDS[called]
    check_options(options, kind.like, called=called)
    assert kind.opens is not None
    if not path.exists():
        raise DataError(f"there is no file or folder {path}", f"DATA of the kind {called} is a file or folder")
    source: Source = kind.opens(path, options)
    return source


def _of_pictures(data: str, options: InputOptions) -> KindName:
    """The kind of archives and saved data sets; raises `OptionError` where another is asked for."""
    if like(options.kind) not in (None, "pictures"):
        raise OptionError(
            f"--kind is '{options.kind}', and {data} can only be read as pictures", "unpack it and give the folder"
        )
    return "pictures"


def _as_the_model_reads(
    options: InputOptions, known: ReadsText | None, vocabulary: Mapping[str, int] | Sequence[str] | None
) -> InputOptions:
    """The options with the model's own tokenizer and window where none are given."""
    if known is None:
        return options
    if known.tokenizer and options.tokenizer is None and options.vocabulary is None and vocabulary is None:
        options = replace(options, tokenizer=known.tokenizer)
    if known.longest and options.window is None and known.longest < WINDOW:
        options = replace(options, window=known.longest)
    return options


def _own_vocabulary(options: InputOptions, known: ReadsText | None) -> tuple[str, ...] | None:
    """The model's own, where no other way to read text is given."""
    return known.vocabulary if known and options.tokenizer in (None, "char") and options.vocabulary is None else None


def _images(
    root: Path,
    options: InputOptions,
    default: Preprocessing | None,
    name: str,
    listed: tuple[Listing, Labelling] | None,
) -> Source:
    folder = ImageFolder(
        root,
        resolve(options, default),
        class_names=options.class_names,
        limit=options.limit,
        name=name,
        classes=options.classes,
        listed=listed,
    )
    folder.check_sizes()
    return folder
