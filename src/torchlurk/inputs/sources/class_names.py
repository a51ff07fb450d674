"""Words for class folders, from a file: synsets or numbers to what people say."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torchlurk.errors import OptionError
from torchlurk.files import read_given
from torchlurk.units import whole_number

FORMS = (
    'use JSON (a list of names, {"folder": "words"}, or a list of {"synset", "name"}) or text '
    "(lines of 'folder words', or of one name each)"
)
_SYNSET = re.compile(r"n\d{8}(?=$|[^0-9A-Za-z])")


@dataclass(slots=True)
class _Words:
    """What a file says: words by folder, and names in the order of the class indices."""

    by_folder: dict[str, str] = field(default_factory=dict)
    by_index: list[str] = field(default_factory=list)


def read_labels(file: Path, folders: Sequence[str]) -> list[str]:
    """A label for each class folder, in order; a folder that the file does not know keeps its name.

    A folder is known by its name, by the synset it begins with, or, where the file lists plain names, by its number: the
    one it is called, else its place among the folders if there are as many names and none of them is a folder's.
    Raises `OptionError` where the file cannot be read or has another form, names none of the folders, or lists fewer names
    than there are numbers.
    """
    try:
        text = read_given(file).decode("utf-8-sig")
    except OSError as error:
        raise OptionError(f"--class-names {file}: {error.strerror}", "give a file that can be read") from error
    except UnicodeDecodeError as error:
        raise OptionError(f"--class-names {file} is not a text file", FORMS) from error
    words = _from_json(file, text) if text.lstrip()[:1] in ("{", "[") else _from_lines(text, folders)
    if not (words.by_folder or words.by_index):
        raise OptionError(f"--class-names {file} names no classes", FORMS)
    in_order = len(words.by_index) == len(folders) and not set(folders) & set(words.by_index)
    if not in_order:
        _check_named(f"--class-names {file}", words, folders)
    return [_label(folder, words, words.by_index[place] if in_order else folder) for place, folder in enumerate(folders)]


def _check_named(what: str, words: _Words, folders: Sequence[str]) -> None:
    if set(folders) & set(words.by_index) or any(_in_words(folder, words) is not None for folder in folders):
        return
    known, highest = len(words.by_index), max((whole_number(one) or 0 for one in folders), default=0)
    if known and all(whole_number(one) is not None for one in folders):
        if highest >= known:
            raise OptionError(f"{what} lists {known:,} names, and there is a class {highest}", "list one for each number")
    elif folders:
        called = ", ".join(folders[:SHOWN]) + (", …" if len(folders) > SHOWN else "")
        told = f"lists {known:,} names for {len(folders):,} classes, which" if known else "names none of the classes, which"
        raise OptionError(f"{what} {told} are called {called}", "give a file with these names and what to call them instead")


SHOWN = 3
"""So many names are in a message."""


def _in_words(folder: str, words: _Words) -> str | None:
    """What the file has for the folder by its name or synset."""
    synset = _SYNSET.match(folder)
    return words.by_folder.get(folder) or (words.by_folder.get(synset[0]) if synset else None)


def _label(folder: str, words: _Words, otherwise: str) -> str:
    if (found := _in_words(folder, words)) is not None:
        return found
    if (index := whole_number(folder)) is not None and index < len(words.by_index):
        return words.by_index[index]
    return otherwise


def _from_json(file: Path, text: str) -> _Words:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise OptionError(f"--class-names {file} is not JSON: {error}", FORMS) from error
    words = _Words()
    if isinstance(content, dict):
        _add_mapping(content, words)
    elif content and all(isinstance(one, str) for one in content):
        words.by_index = content
    elif all(isinstance(one, dict) for one in content):
        _add_records(content, words)
    return words


def _add_mapping(content: Mapping[str, Any], words: _Words) -> None:
    """Takes folder → words, index → name, index → [synset, name] (as ImageNet's class index has it) or name → index."""
    for key, value in content.items():
        if isinstance(value, str):
            words.by_folder[key] = value
        elif isinstance(value, int):
            words.by_folder[str(value)] = key
        elif isinstance(value, list) and len(value) == 2 and all(isinstance(part, str) for part in value):
            words.by_folder[value[0]] = words.by_folder[key] = value[1]
    numbered = [words.by_folder.get(str(index)) for index in range(len(content))]
    words.by_index = [name for name in numbered if name is not None] if None not in numbered else []


def _add_records(content: Sequence[Mapping[str, Any]], words: _Words) -> None:
    for place, record in enumerate(content):
        name = record.get("name", record.get("label"))
        if isinstance(name, str):
            keys = (record.get("synset"), record.get("folder"), record.get("index", place))
            words.by_folder |= {str(key): name for key in keys if key is not None}


def _from_lines(text: str, folders: Sequence[str]) -> _Words:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    pairs = [re.split(r"\t+", line, maxsplit=1) if "\t" in line else line.split(maxsplit=1) for line in lines]
    known = {*folders, *(synset[0] for folder in folders if (synset := _SYNSET.match(folder)))}
    if any(len(pair) == 2 and (pair[0] in known or _SYNSET.fullmatch(pair[0])) for pair in pairs):
        return _Words(by_folder={pair[0].strip(): _first_words(*pair) for pair in pairs if len(pair) == 2})
    return _Words(by_index=lines)


def _first_words(folder: str, words: str) -> str:
    """The first of the synonyms that ImageNet lists for a synset; other folders' words as they stand."""
    return words.split(",")[0].strip() if _SYNSET.fullmatch(folder) else words.strip()
