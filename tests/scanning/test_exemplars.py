"""The order of examples, and that leaders keep to it."""

from __future__ import annotations

import math

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from torchlurk.scanning.exemplars import MOST_EXAMPLES, Leaders, examples_of, scores_of, strength

SCORES = st.floats(width=32, allow_nan=False, allow_infinity=False)
OFFERS = st.lists(st.tuples(SCORES, st.integers(0, MOST_EXAMPLES - 1)), min_size=1, max_size=20)


@given(OFFERS)
def test_strengths_order_by_score_then_by_lower_example(offers: list[tuple[float, int]]) -> None:
    scores, examples = torch.tensor([one[0] for one in offers]), torch.tensor([one[1] for one in offers])
    strengths = strength(scores, examples)
    by_strength = sorted(range(len(offers)), key=lambda index: -int(strengths[index]))
    literal = sorted(range(len(offers)), key=lambda index: (-offers[index][0], offers[index][1]))
    assert by_strength == literal
    assert scores_of(strengths).tolist() == scores.tolist()
    assert examples_of(strengths).tolist() == examples.tolist()


@given(st.permutations(range(10)), st.integers(1, 12))
def test_leaders_do_not_depend_on_the_order_of_offers(order: list[int], top: int) -> None:
    scores = torch.tensor([3.0, 1.0, 3.0, -2.0, 0.0, 3.0, 1.0, -0.0, 5.0, -2.0])
    leaders = Leaders.empty(1, top)
    for index in order:
        offered = strength(scores[index].reshape(1, 1), torch.tensor([[index]]))
        leaders.insert(offered, torch.full((1, 1), index * 10, dtype=torch.int32))
    expected = sorted(range(10), key=lambda index: (-float(scores[index]), index))[:top]
    missing = max(0, top - 10)
    assert leaders.ranking().examples[0].tolist() == expected + [-1] * missing
    assert leaders.positions_by_unit()[0].tolist() == [10 * index for index in expected] + [-1] * missing


def test_nothing_is_a_missing_score_and_example() -> None:
    ranking = Leaders.empty(2, 3).ranking()
    assert np.isnan(ranking.scores).all()
    assert (ranking.examples == -1).all()
    assert math.isnan(float(scores_of(Leaders.empty(1, 1).strengths)[0, 0]))
