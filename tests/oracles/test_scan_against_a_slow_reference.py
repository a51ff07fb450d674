"""What `show --json` says, against the literal loop of `campaigns/slow_reference.py`, on fewer examples than there."""

import pytest

from campaigns.slow_reference import NETWORKS, check


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS)
def test_what_a_study_says_equals_a_literal_loop_over_the_pictures(network, data, tmp_path):
    check(network, data, tmp_path / "s.lurk", examples=60, commands=1)
