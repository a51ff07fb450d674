"""Boxes of a few of the networks of `campaigns/boxes.py`; the rest, and more layers by another way, run there."""

from __future__ import annotations

import pytest

from campaigns.boxes import check


@pytest.mark.slow
@pytest.mark.parametrize("name", ["squeezenet1_1", "mobilenet_v3_small"])
def test_boxes_hold_all_that_a_unit_sees_and_no_side_too_much(name: str) -> None:
    check(name)
