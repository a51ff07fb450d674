"""The text world: the same document for the same seed and number, states that are those of its text, a proper source."""

from __future__ import annotations

import re
from itertools import pairwise

import numpy as np
import pytest

from torchlurk.errors import OptionError
from torchlurk.inputs.demo.documents import DEEPEST, NAMES, TOKENS, WIDTH, Document, write
from torchlurk.inputs.demo.text_world import LENGTH, text_world
from torchlurk.inputs.opening import open_source
from torchlurk.inputs.source import Source
from torchlurk.models.loading.demo_text import TOKENS as KNOWN
from torchlurk.options import InputOptions

SEED = 11


@pytest.fixture(scope="module")
def documents() -> list[Document]:
    """Twenty documents of each genre."""
    return [write(SEED, index) for index in range(20 * len(NAMES))]


def test_a_document_depends_on_its_seed_and_number_alone(documents: list[Document]) -> None:
    assert write(SEED, 7).text == documents[7].text
    assert len({one.text for one in documents} | {write(SEED + 1, 7).text}) == len(documents) + 1


def test_every_character_is_in_the_vocabulary_of_the_network(documents: list[Document]) -> None:
    assert set("".join(one.text for one in documents)) <= set(TOKENS)
    assert TOKENS == KNOWN


def test_lines_are_wrapped_and_some_quotations_and_brackets_go_on_in_the_next(documents: list[Document]) -> None:
    lines = [line for one in documents for line in one.text.split("\n")]
    assert max(map(len, lines)) <= WIDTH
    assert sum(len(line) > WIDTH - 8 for line in lines) > 300
    ends = [(one.quote[at], one.depth[at]) for one in documents for at, sign in enumerate(one.text) if sign == "\n"]
    assert any(quote for quote, _ in ends)
    assert any(depth for _, depth in ends)


def test_a_line_ends_only_where_the_next_chunk_does_not_fit(documents: list[Document]) -> None:
    plain = [one.text.removesuffix("\n").split("\n") for one in documents if "{" not in one.text]
    assert len(plain) > 20
    for lines in plain:
        for line, following in pairwise(lines):
            assert len(line) + 1 + len(following.split(" ")[0]) > WIDTH


def test_the_states_are_those_that_a_reader_of_the_text_would_keep(documents: list[Document]) -> None:
    for one in documents:
        inside, depth, column, leading, run = False, 0, 0, 0, 0
        blank = True
        addresses = [span for found in re.finditer(r"http://[a-z./0-9]+", one.text) for span in range(*found.span())]
        assert np.flatnonzero(one.address).tolist() == addresses
        for at, sign in enumerate(one.text):
            inside ^= sign == '"'
            depth += (sign == "(") - (sign == ")")
            column = 0 if sign == "\n" else column + 1
            blank = sign == "\n" or (blank and sign == " ")
            leading = 0 if sign == "\n" else leading + (blank and sign == " ")
            run = run + 1 if sign.isalpha() else 0
            kept = (one.quote[at], one.depth[at], one.column[at], one.indentation[at], one.word[at])
            assert kept == (inside, depth, column, leading, run)
        assert (inside, depth) == (False, 0)


def test_what_is_in_brackets_names_their_depth_and_blocks_are_indented(documents: list[Document]) -> None:
    digits = [(sign, depth) for one in documents for sign, depth in zip(one.text, one.depth, strict=True) if sign in "1234"]
    assert all(sign == str(depth) for sign, depth in digits if depth)
    assert {depth for _, depth in digits} == set(range(DEEPEST + 1))
    for one in documents:
        level = 0
        for line in one.text.removesuffix("\n").split("\n"):
            level -= line.strip() == "}"
            assert len(line) - len(line.lstrip()) == 2 * level
            level += line.endswith("{")
        assert not level


def test_the_text_world_is_a_source(documents: list[Document]) -> None:
    source = text_world(InputOptions(limit=10), SEED)
    assert isinstance(source, Source)
    assert [one.path for one in source.examples[:2]] == ["story/000000.txt@0", "dialogue/000001.txt@0"]
    assert [one.class_index for one in source.examples] == [0, 1, 2, 3, 4] * 2
    shown = source.kind.shown(source.read(7), source.examples[7])
    assert "".join(shown.tokens) == documents[7].text[:LENGTH]
    assert shown.counted == (0, LENGTH)
    assert source.read(7).values.tolist() == [TOKENS.index(one) for one in documents[7].text[:LENGTH]]


def test_the_source_is_told_by_its_fingerprint() -> None:
    few = InputOptions(limit=3)
    assert open_source("demo-text", few).fingerprint() == text_world(few).fingerprint()
    assert (
        len({text_world(few).fingerprint(), text_world(few, 1).fingerprint(), text_world(InputOptions(limit=4)).fingerprint()})
        == 3
    )


@pytest.mark.parametrize(
    ("options", "flag"),
    [
        (InputOptions(classes="x.csv"), "--classes"),
        (InputOptions(tokenizer="word"), "--tokenizer"),
        (InputOptions(vocabulary="x.json"), "--vocabulary"),
        (InputOptions(lines=True), "--lines"),
        (InputOptions(kind="series"), "--kind"),
        (InputOptions(resize=8), "--resize"),
    ],
)
def test_an_option_that_the_text_world_has_no_use_for_is_refused(options: InputOptions, flag: str) -> None:
    with pytest.raises(OptionError, match=flag):
        open_source("demo-text", options)
