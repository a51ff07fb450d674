"""One word for each thing: labels of the app and of the command line are words of the glossary, and no page uses another."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import click
import pytest

from torchlurk.cli import COMMANDS, torchlurk_command
from torchlurk.input_words import KINDS
from torchlurk.records import Layout
from torchlurk.stage_table import STAGES
from torchlurk.unit_statistics import STATISTICS

ROOT = Path(__file__).parents[1]
GLOSSARY = ROOT / "docs" / "reference" / "glossary.md"
WEB = ROOT / "web" / "src"
PAGES = [
    ROOT / "README.md",
    ROOT / "ARCHITECTURE.md",
    *(page for page in sorted((ROOT / "docs").rglob("*.md")) if page != GLOSSARY and page.parent.name != "decisions"),
]

ROW = re.compile(r"^\| ([^|]+) \| ([^|]+) \| ([^|]*)\|$", re.MULTILINE)
ROWS = [row for row in ROW.findall(GLOSSARY.read_text()) if row[0] not in ("word",)]
WORDS = [word for words, _, _ in ROWS for word in words.split(", ")]
ELSEWHERE = [word.strip() for _, _, others in ROWS for word in others.split(",") if word.strip()]

EVERYDAY_LABELS = """
after; after (→); all as they were; answers to; before; before (←); before the change:; beside; brightest; choose…;
close; close all; colours from over 0 to; dismiss; done; enter; follow down; found; freeze the frame (f); gamma; gamma
(t); help and keys; help and keys (?); its page; larger; light or dark (t); live; loading; look up; never above zero;
next (z); nothing; now; one after the other; overlay; png; prefers; progress; remove; reset; reset (esc); save; show;
show all; show less; size; smaller; sort by; strongest; svg; the input; this cannot be shown; torchlurk: all studies;
what if it were removed?; what is shown large; what it is made of; what it knows; what it usually responds to; what it
usually sees; who uses it; words; worth knowing:; , together with signs; , what excited it by; :, correlation
"""
EVERYDAY = " ".join(EVERYDAY_LABELS.split()).split("; ")
"""Labels of the app that need no word of our own."""

LABELS = (
    r"<(?:h[1-4]|th|dt|dd|legend|summary|label|option|button|figcaption)\b[^>]*>([^<{]*[A-Za-z][^<{]*)",
    r"\b(?:label|title|heading|aria-label|placeholder)=\"([^\"]*)\"",
    r"\b(?:words|label|title|menu): \"([^\"]+)\"",
)
PLURALS = {"child": "children", "study": "studies", "class": "classes", "box": "boxes", "synthesis": "syntheses"}
VALUES = "FILE FOLDER NAME N F H W R G B K C T HTML WORDS PICTURE TEXT IMAGE GLOB"
GENERAL = frozenset(VALUES.split())
"""Names of values on the command line that say only how something is written."""


def labels_of(text: str) -> set[str]:
    """What a file of the app says as labels, without what is put into them."""
    text = re.sub(r"=>|->|>=", "=", text)
    found = {one for pattern in LABELS for one in re.findall(pattern, text)}
    whole = {" ".join(re.sub(r"\{[^}]*\}", "", one).split()) for one in found}
    return {one for one in whole if re.search(r"[A-Za-z]{2}", one)}


def app_files() -> list[Path]:
    return [path for path in sorted([*WEB.rglob("*.svelte"), *WEB.rglob("*.ts")]) if not path.name.endswith(".test.ts")]


def written(word: str) -> str:
    """A pattern for a word and its plural."""
    return rf"\b(?:{re.escape(word)}s?|{PLURALS.get(word, word)})\b"


def prose(text: str) -> str:
    """A page without its code, the targets of its links and the names of others' works."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`]*`|\]\([^)]*\)|\*[A-Z][^*\n]*\*|Hugging Face(?:'s)?\s+datasets", "", text)


def told(texts: list[str]) -> list[tuple[str, str]]:
    """The words from elsewhere that texts use."""
    return [(word, text[:100]) for word in ELSEWHERE for text in texts if re.search(written(word), text, re.IGNORECASE)]


def test_each_word_stands_once_and_has_a_meaning() -> None:
    assert len(ROWS) > 50
    assert len(WORDS) == len(set(WORDS))
    assert all(meaning.strip() for _, meaning, _ in ROWS)
    assert not set(WORDS) & set(ELSEWHERE)


def test_labels_of_the_app_are_words_of_the_glossary() -> None:
    labels = {label for path in app_files() for label in labels_of(path.read_text())}
    assert len(labels) > 150
    unknown = [one for one in labels if not any(re.search(written(word), one, re.IGNORECASE) for word in WORDS)]
    assert sorted(one for one in unknown if one.lower() not in EVERYDAY) == []


def test_words_that_the_app_explains_are_in_the_glossary() -> None:
    explained = re.search(r"const WORDS.*?= \[\n(.*?)\n  \];", (WEB / "parts" / "Help.svelte").read_text(), re.DOTALL)
    words = re.findall(r'^ +\["([^"]+)"', explained[1], re.MULTILINE)
    assert len(words) > 5
    assert set(words) <= set(WORDS)


def test_statistics_stages_kinds_and_layouts_are_in_the_glossary() -> None:
    text = GLOSSARY.read_text()
    for name in (one.label for one in STATISTICS.values()):
        assert name in WORDS, name
    for name in (*STAGES, *get_args(Layout)):
        assert f"`{name}`" in text, name
    for name in KINDS:
        assert re.search(written(name.removesuffix("s")), text), name


def test_values_of_the_command_line_are_called_by_words_of_the_glossary() -> None:
    context, names = click.Context(torchlurk_command), set()
    for command in COMMANDS:
        for one in torchlurk_command.get_command(context, command).params:
            names |= set(
                re.findall(r"[A-Z]+", one.make_metavar(context) if isinstance(one, click.Argument) else one.metavar or "")
            )
    unknown = {name for name in names - GENERAL if name.lower() not in {word.lower() for word in WORDS}}
    assert unknown == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_no_page_uses_a_word_from_elsewhere(page: Path) -> None:
    assert told([prose(page.read_text())]) == []


def test_neither_the_app_nor_the_help_uses_a_word_from_elsewhere() -> None:
    strings = [one for path in app_files() for one in labels_of(path.read_text())]
    quoted = [one for path in app_files() for one in re.findall(r'"([^"\n]* [^"\n]*)"', path.read_text())]
    assert told([*strings, *quoted]) == []
    assert told([prose((ROOT / "docs" / "reference" / "cli.md").read_text().replace("```", ""))]) == []
