"""Which source DATA names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from torchlurk.errors import DataError, OptionError
from torchlurk.input_records import KindName, ReadsText
from torchlurk.input_words import KINDS, added_kind, like
from torchlurk.inputs.archives.naming import is_archive
from torchlurk.inputs.archives.source import open_archives
from torchlurk.inputs.pictures.preprocessing import resolve
from torchlurk.inputs.series.source import open_series
from torchlurk.inputs.source import DEMO, DEMO_TEXT, Source
from torchlurk.inputs.sources.class_files import Labelling
from torchlurk.inputs.sources.file_lists import is_list, read_list
from torchlurk.inputs.sources.folder import ImageFolder
from torchlurk.inputs.sources.listing import Listing
from torchlurk.inputs.sources.recognition import check_options, recognized
from torchlurk.inputs.text.source import open_text
from torchlurk.options import WINDOW, InputOptions
from torchlurk.records import Preprocessing


def open_source(
    data: str,
    options: InputOptions,
    default: Preprocessing | None = None,
    vocabulary: Mapping[str, int] | Sequence[str] | None = None,
    reads_text: ReadsText | None = None,
) -> Source:
    """The source that DATA names: a folder or list of images, text or series, a file of text or series,
    tar or zip files, `demo` or `demo-text`.

    `default` is the model's own preprocessing, `reads_text` how it reads text by itself, `vocabulary` one that a program
    gives. Of the demo, `limit` is how many pictures are drawn. Raises `DataError` where there is nothing to read, or where
    the pictures differ in size and nothing says how to make them alike; `OptionError` for options that do not go together or
    not with this kind of data.
    """
    path = Path(data).expanduser()
    if data not in DEMO_KINDS and (called := added_kind(data, options.kind)):
        return _added(called, path, options)
    archived = data not in DEMO_KINDS and is_archive(data)
    kind = _of_pictures(data, options) if archived else DEMO_KINDS.get(data) or recognized(path, like(options.kind))
    check_options(options, kind)
    if vocabulary is not None and kind != "text":
        raise OptionError(f"--vocabulary is for text; DATA is {kind}", "leave it out")
    if archived:
        return open_archives(data, options, default)
    if data == DEMO:
        return _demo(options, default)
    if data == DEMO_TEXT:
        return _demo_text(options, vocabulary)
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
        raise DataError(f"there is no file or folder {path}", f"DATA of the kind {called} is one")
    source: Source = kind.opens(path, options)
    return source


def _of_pictures(data: str, options: InputOptions) -> KindName:
    """The kind of tar and zip files; raises `OptionError` where another is asked for."""
    if like(options.kind) not in (None, "pictures"):
        raise OptionError(f"--kind is '{options.kind}', {data} is read for pictures alone", "unpack it and give the folder")
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


DEMO_KINDS: Mapping[str, KindName] = {DEMO: "pictures", DEMO_TEXT: "text"}


def _own_vocabulary(options: InputOptions, known: ReadsText | None) -> tuple[str, ...] | None:
    """The model's own, where no other way to read text is given."""
    return known.vocabulary if known and options.tokenizer in (None, "char") and options.vocabulary is None else None


def _refuse(data: str, given: Mapping[str, object]) -> None:
    """Raises `OptionError` for an option that a demo's data has no use for."""
    for flag, value in given.items():
        if value:
            raise OptionError(f"--{flag} applies to your own data, not to {data}", "leave it out")


def _demo_text(options: InputOptions, vocabulary: Mapping[str, int] | Sequence[str] | None) -> Source:
    from torchlurk.inputs.demo.text_world import text_world

    own = {name: getattr(options, name) for name in ("classes", "tokenizer", "lowercase", "lines")}
    other = {"kind": options.kind not in (None, "text"), "vocabulary": options.vocabulary or vocabulary}
    _refuse(DEMO_TEXT, own | other)
    return text_world(options)


def _demo(options: InputOptions, default: Preprocessing | None) -> Source:
    from torchlurk.inputs.demo.world import IMAGES, PREPROCESSING, DemoWorld

    _refuse(DEMO, {"classes": options.classes, "kind": options.kind not in (None, "pictures")})
    return DemoWorld(options.limit or IMAGES, preprocessing=resolve(options, default or PREPROCESSING))


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
