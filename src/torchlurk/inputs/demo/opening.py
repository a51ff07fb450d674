"""Data that are made by code, by the names that DATA has for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from torchlurk.errors import OptionError
from torchlurk.input_records import KindName
from torchlurk.inputs.demo import drawn
from torchlurk.inputs.pictures.preprocessing import resolve
from torchlurk.inputs.presence import DEMO, DEMO_TEXT, DRAWN
from torchlurk.inputs.source import Source
from torchlurk.inputs.sources.recognition import check_options, check_vocabulary
from torchlurk.options import InputOptions
from torchlurk.records import Preprocessing

MADE: Mapping[str, KindName] = {DEMO: "pictures", DEMO_TEXT: "text", DRAWN: "pictures"}
"""Of which kind they are."""


def is_made(data: str) -> bool:
    """Whether DATA names data made by code: `drawn` does not where there is a folder of that name, for that is the user's."""
    return data in MADE and not (data == DRAWN and Path(data).is_dir())


def told_of_folder(data: str) -> str | None:
    """What a user is told where there is a folder with the name of data made by code: which of the two is meant."""
    if data not in MADE or not Path(data).is_dir():
        return None
    if is_made(data):
        return f"DATA is Torchlurk's own {data}, not the folder of that name: for that, write ./{data}"
    return f"DATA is the folder {data}; the pictures drawn by code are used only if there is no such folder"


def open_made(
    data: str | drawn.DrawnPictures,
    options: InputOptions,
    default: Preprocessing | None,
    vocabulary: Mapping[str, int] | Sequence[str] | None,
) -> Source:
    """The source, as of `open_source`."""
    name = data if isinstance(data, str) else DRAWN
    check_options(options, MADE[name])
    check_vocabulary(vocabulary, MADE[name])
    if name == DEMO_TEXT:
        return _text(options, vocabulary)
    own = {"classes": options.classes, "class-names": options.class_names, "kind": options.kind not in (None, "pictures")}
    _refuse(name, own)
    if name == DEMO:
        return _demo(options, default)
    pictures = drawn.DrawnPictures(options.limit or drawn.IMAGES) if isinstance(data, str) else data
    return _drawn(pictures, options, default)


def _refuse(name: str, given: Mapping[str, object]) -> None:
    """Raises `OptionError` for an option that data made by code have no use for."""
    for flag, value in given.items():
        if value:
            raise OptionError(f"--{flag} applies to your own data, not to {name}", "leave it out")


def _text(options: InputOptions, vocabulary: Mapping[str, int] | Sequence[str] | None) -> Source:
    from torchlurk.inputs.demo.text_world import text_world

    own = {name: getattr(options, name) for name in ("classes", "tokenizer", "lowercase", "lines")}
    other = {"kind": options.kind not in (None, "text"), "vocabulary": options.vocabulary or vocabulary}
    _refuse(DEMO_TEXT, own | other)
    return text_world(options)


def _demo(options: InputOptions, default: Preprocessing | None) -> Source:
    from torchlurk.inputs.demo.world import IMAGES, PREPROCESSING, DemoWorld

    return DemoWorld(options.limit or IMAGES, preprocessing=resolve(options, default or PREPROCESSING))


def _drawn(pictures: drawn.DrawnPictures, options: InputOptions, default: Preprocessing | None) -> Source:
    from torchlurk.inputs.demo.world import DrawnWorld

    return DrawnWorld(len(pictures), pictures.seed, resolve(options, default), options.limit)
