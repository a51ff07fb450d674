"""A part of the campaign `hostile_studies`: studies from strangers are read, or refused in a line."""

import pytest

from campaigns.expensive_studies import EXPENSIVE
from campaigns.hostile_studies import expensive, fuzz

SOME = ("numbers nested in a text", "tokens that each text repeats", "a step of very many channels")


@pytest.fixture(scope="module")
def whole(sequences):
    return {**sequences, "pictures": sequences["text"]}


@pytest.mark.slow
@pytest.mark.parametrize("name", SOME)
def test_what_is_made_to_be_expensive_costs_little(tmp_path, whole, name):
    assert EXPENSIVE[name][0] in ("text", "series")
    expensive(tmp_path, whole, name)


@pytest.mark.slow
def test_damage_at_random_is_refused_in_a_line(tmp_path, whole):
    assert fuzz(tmp_path, whole, range(6))["studies"] == 6
