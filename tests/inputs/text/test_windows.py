"""A text is cut so that every token counts once, with what came before it in view."""

from __future__ import annotations

import pytest

from torchlurk.errors import OptionError
from torchlurk.inputs.text.windows import Windowing


@pytest.mark.parametrize("length", [0, 1, 9, 10, 11, 17, 40, 41])
@pytest.mark.parametrize(("left", "right"), [(True, False), (False, True), (True, True), (False, False)])
@pytest.mark.parametrize("burn_in", [0, 1, 3, 4])
def test_every_token_counts_in_exactly_one_window(length, left, right, burn_in):
    cuts = Windowing(10, burn_in, left, right).cut(length)
    assert [token for _, _, first, end in cuts for token in range(first, end)] == list(range(length))
    for start, stop, first, end in cuts:
        assert 0 < stop - start <= 10
        assert first - start == (burn_in if left and start else first - start)
        assert first - start <= burn_in * left
        assert stop - end == (burn_in * right if stop < length else 0)


def test_burn_in_is_on_the_side_that_is_asked_for_and_at_no_end_of_the_text():
    assert Windowing(8, 2).cut(20) == [(0, 8, 0, 8), (6, 14, 8, 14), (12, 20, 14, 20)]
    assert Windowing(8, 2, left=False, right=True).cut(20) == [(0, 8, 0, 6), (6, 14, 6, 12), (12, 20, 12, 20)]
    assert Windowing(8, 2, right=True).cut(14) == [(0, 8, 0, 6), (4, 12, 6, 10), (8, 14, 10, 14)]
    assert Windowing(8, 2).cut(8) == [(0, 8, 0, 8)]


def test_the_usual_burn_in_is_a_quarter_and_at_most_64():
    assert Windowing.chosen(None, None) == Windowing(256, 64)
    assert Windowing.chosen(40, None).burn_in == 10
    assert Windowing.chosen(1000, None).burn_in == 64
    assert Windowing.chosen(40, 0).burn_in == 0


def test_burn_in_that_leaves_nothing_to_count_is_refused():
    with pytest.raises(OptionError, match=r"--burn-in 5 on both sides leaves nothing to count of --window 10.*at most 4"):
        Windowing(10, 5, True, True)
