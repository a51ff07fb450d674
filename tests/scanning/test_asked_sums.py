"""Statistics that ask for sums of their own, against a literal loop, however the data is cut, saved and merged."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from torchlurk.errors import MismatchError
from torchlurk.scanning import part as parts_module
from torchlurk.scanning.arrivals import Arrivals
from torchlurk.scanning.part import STANDARD, LayerPart
from torchlurk.unit_statistics import STATISTICS, Statistic

LARGE = Statistic(
    "large",
    "share of positions above one, and the mean cube",
    lambda seen: seen.sums["above"] / seen.count + seen.sums["cubes"].sum(1) / seen.count,
    sums=lambda maps: {"above": (maps > 1).sum(-1), "cubes": maps**3},
)
WANTED = STANDARD | {"large": LARGE}


@pytest.fixture(autouse=True, params=["fused", "torch"])
def added(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the kernels and with plain torch."""
    monkeypatch.setitem(STATISTICS, "large", LARGE)
    if request.param == "torch":
        monkeypatch.setattr(parts_module, "fused", lambda: None)


def maps_of(examples: int) -> torch.Tensor:
    random = torch.Generator().manual_seed(3)
    maps = torch.randn(examples, 3, 4, 2, generator=random) * 2
    maps[1, 2, 0, 0] = math.nan
    return maps


def part_of(maps: torch.Tensor, cut: slice, ceiling: float | None = None) -> LayerPart:
    part = LayerPart.empty(3, 8, 2, np.arange(2), WANTED)
    rows = maps[cut].clone()
    part.add(rows, Arrivals(np.arange(len(maps))[cut], np.full(len(rows), -1)), ceiling=ceiling)
    return part


def literal(maps: torch.Tensor) -> list[float]:
    found = []
    for unit in range(3):
        rows = [one[unit].flatten().double().tolist() for one in maps if one[unit].isfinite().all()]
        values = [value for row in rows for value in row]
        found.append((sum(value > 1 for value in values) + math.fsum(value**3 for value in values)) / len(values))
    return found


@pytest.mark.parametrize("at", [1, 4])
def test_they_are_those_of_all_examples_however_these_are_cut_saved_and_merged(at: int) -> None:
    maps = maps_of(6)
    first, second = part_of(maps, slice(at)), part_of(maps, slice(at, 6))
    first = LayerPart.from_arrays({name: array.copy() for name, array in first.arrays().items()})
    first.merge(second)
    # The sums are of float32 cubes, each right to 6e-8 of the largest.
    np.testing.assert_allclose(first.finish(0, None, WANTED).statistics.more["large"], literal(maps), rtol=1e-6)


def test_they_are_of_what_the_unit_is_after_a_rectification_that_the_scan_does() -> None:
    maps = maps_of(5)
    found = part_of(maps, slice(5), ceiling=1.5).finish(0, None, WANTED).statistics.more["large"]
    np.testing.assert_allclose(found, literal(maps.clamp(0, 1.5)), rtol=1e-6)  # as above


def test_a_part_of_no_example_changes_nothing_and_one_without_the_statistic_leaves_it_out() -> None:
    maps = maps_of(4)
    part = part_of(maps, slice(4))
    part.merge(LayerPart.from_arrays(LayerPart.empty(3, 8, 2, np.arange(2), WANTED).arrays()))
    assert "large" in part.finish(0, None, WANTED).statistics.more
    part.merge(LayerPart.empty(3, 8, 2, np.arange(2)))
    assert part.finish(0, None, WANTED).statistics.more == {}


def test_sums_that_were_saved_by_another_program_are_refused_by_the_name_of_their_statistic(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    saved = part_of(maps_of(2), slice(2)).arrays()
    monkeypatch.delitem(STATISTICS, "large")
    with pytest.raises(MismatchError, match="statistic 'large'"):
        LayerPart.from_arrays(saved)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [("large", lambda seen: seen.max[:1], "shape"), ("<b>", lambda seen: seen.max, "small letters")],
)
def test_one_that_is_not_a_number_a_unit_or_has_no_plain_name_is_an_error(name, value, words) -> None:
    with pytest.raises(ValueError, match=words):
        part_of(maps_of(2), slice(2)).finish(0, None, STANDARD | {name: Statistic("x", "x", value)})
