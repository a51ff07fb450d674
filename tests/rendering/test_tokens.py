"""A unit's tokens in a terminal and on its sheet."""

from __future__ import annotations

import pytest

from torchlurk.rendering.colour import LIGHT
from torchlurk.rendering.contact_sheet import CONTENT
from torchlurk.rendering.text import display_columns
from torchlurk.rendering.token_lists import token_lists
from torchlurk.rendering.tokens import shown, token_lines
from torchlurk.time_records import NamedRanking, NamedToken

TOKENS = ("e", " ", "\n", "狐狸", "", "a longer token", *(f"#{id}" for id in range(4)))
RANKING = NamedRanking(
    tuple(NamedToken(id, token, 0.5 - id / 10, 1000 + id) for id, token in enumerate(TOKENS)),
    (NamedToken(77, "\x1b[1m", -3.25, 1),),
)
NEXT = NamedRanking((NamedToken(0, "e", 1.5),), (NamedToken(1, " ", -2.0),), at=0.25)


@pytest.mark.parametrize("columns", [40, 80])
def test_tokens_are_told_with_value_and_count_in_lines_that_fit(columns: int) -> None:
    lines = token_lines("state", RANKING, columns, display_columns)
    assert max(map(display_columns, lines)) <= columns
    told = " ".join(lines)
    for words in ("highest", "lowest", "e 0.5000 ×1,000", "␣ 0.4000", "↵ 0.3000", "狐狸", "#3", "−3.250 ×1"):
        assert words in told
    assert "\x1b" not in told
    assert all("×" in line for line in lines[1:])  # no entry is cut in two


def test_scores_of_the_next_token_are_told_for_a_value_and_without_counts() -> None:
    title, raises, lowers = token_lines("next", NEXT, 80, display_columns)
    assert title == "What it says next: change of a token's logit where it is 0.2500"
    assert (raises.split(), lowers.split()) == (["raises", "e", "1.500"], ["lowers", "␣", "−2.000"])


def test_spaces_line_ends_and_tabs_have_signs() -> None:
    assert [shown(one) for one in (" a", "\n", "\t", "b")] == ["␣a", "↵", "→", "b"]


def test_the_lists_of_a_sheet_are_as_wide_as_it_and_none_where_there_are_no_tokens() -> None:
    (image,) = token_lists({"state": RANKING, "next": NEXT}, LIGHT)
    assert image.width == CONTENT
    assert image.getcolors(1 << 16) is None or len(image.getcolors(1 << 16)) > 2
    assert token_lists({}, LIGHT) == []
