"""Text around a step, in one line."""

from __future__ import annotations

import pytest

from torchlurk.input_records import TextExample
from torchlurk.rendering.steps import marked

WORDS = TextExample(("the", "cat", "sat"), (), (0, 3))


@pytest.mark.parametrize(("step", "line"), [(0, "⟦the⟧ cat sat"), (1, "the ⟦cat⟧ sat"), (2, "the cat ⟦sat⟧")])
def test_the_marked_word_stands_apart_from_the_words_beside_it(step: int, line: str) -> None:
    assert marked(WORDS, step, 40, apart=" ") == line


def test_a_marked_character_stands_where_it_stands() -> None:
    assert marked(TextExample(tuple("abc"), (), (0, 3)), 1, 40) == "a⟦b⟧c"
