"""Text around a step, in one line."""

from __future__ import annotations

import pytest

from torchlurk.input_records import TextExample
from torchlurk.rendering.steps import marked, separator

WORDS = TextExample(("the", "cat", "sat"), (), (0, 3))


@pytest.mark.parametrize(("step", "line"), [(0, "⟦the⟧ cat sat"), (1, "the ⟦cat⟧ sat"), (2, "the cat ⟦sat⟧")])
def test_the_marked_word_stands_apart_from_the_words_beside_it(step: int, line: str) -> None:
    assert marked(WORDS, step, 40, apart=" ") == line


def test_a_marked_character_stands_where_it_stands() -> None:
    assert marked(TextExample(tuple("abc"), (), (0, 3)), 1, 40) == "a⟦b⟧c"


@pytest.mark.parametrize(
    ("tokens", "shown", "around"),
    [
        (("a", "b", "</s>"), "ab</s>", ("a", "</s>")),
        (("the", "sea", "<unk>"), "the sea <unk>", ("the ", " <unk>")),
        (("Ġthe", "Ġsea", "[SEP]"), "ĠtheĠsea[SEP]", ("Ġthe", "[SEP]")),
        (("7", "1", "8"), "7 1 8", ("7 ", " 8")),
    ],
)
def test_tokens_without_places_are_parted_where_they_are_words(tokens, shown, around) -> None:
    text = TextExample(tokens, (), (0, 3))
    assert separator([text]).join(tokens) == shown
    assert text.around(1, 16) == around
