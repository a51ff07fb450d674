"""A layer's part against a literal loop in float64, however the data is cut, ordered, laid out and merged."""

# Tolerances are of float32: a response is right to 6e-8, a mean over a map to 1e-5; sums over examples are in float64.

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from torchlurk.errors import ModelError
from torchlurk.scanning import part as parts_module
from torchlurk.scanning.arrivals import Arrivals
from torchlurk.scanning.part import LayerPart
from torchlurk.scanning.statistics import QUANTILES

TOP = 4
CLASSES = 5


@pytest.fixture(autouse=True, params=["fused", "torch"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Everything holds with the kernels and with plain torch."""
    if request.param == "torch":
        monkeypatch.setattr(parts_module, "fused", lambda: None)
    else:
        pytest.importorskip("numba")
    return str(request.param)


def literal(maps: Tensor, examples: list[int], classes: list[int], sample: list[int], top: int) -> dict[str, Any]:
    """Everything a part knows, by loops over examples, units and positions."""
    found: dict[str, Any] = {name: [] for name in ("max", "mean", "moments", "class_max", "class_mean", "sample", "broken")}
    for unit in range(maps.shape[1]):
        by_max, by_mean, values, responses, broken = [], [], [], {}, 0
        per_class: dict[int, list[tuple[float, float]]] = {}
        for row, example in enumerate(examples):
            numbers = [float(number) for number in maps[row, unit].flatten().tolist()]
            if not all(math.isfinite(number) for number in numbers):
                broken += 1
                continue
            position = max(range(len(numbers)), key=lambda index: (numbers[index], -index))
            mean = math.fsum(numbers) / len(numbers)
            by_max.append((-numbers[position], example, position))
            by_mean.append((-mean, example))
            per_class.setdefault(classes[row], []).append((numbers[position], mean))
            responses[example] = numbers[position]
            values += numbers
        found["max"].append([(-score, example, position) for score, example, position in sorted(by_max)[:top]])
        found["mean"].append([(-score, example) for score, example in sorted(by_mean)[:top]])
        average = math.fsum(values) / len(values) if values else math.nan
        variance = math.fsum((number - average) ** 2 for number in values) / len(values) if values else math.nan
        active = sum(number > 0 for number in values) / len(values) if values else math.nan
        edges = (min(values), max(values)) if values else (math.nan, math.nan)
        found["moments"].append((average, math.sqrt(variance), *edges, active))
        for which, name in enumerate(("class_max", "class_mean")):
            rows = [[pair[which] for pair in per_class.get(index, [])] for index in range(CLASSES)]
            found[name].append([math.fsum(row) / len(row) if row else math.nan for row in rows])
        found["sample"].append([responses.get(example, math.nan) for example in sample])
        found["broken"].append(broken)
    return found


def world(shape: tuple[int, ...], seed: int = 0) -> tuple[Tensor, list[int], list[int], list[int]]:
    """Random maps in steps of 1/8, so that ties occur and sums are exact; example indices, classes and a sample."""
    random = torch.Generator().manual_seed(seed)
    maps = (torch.randn(shape, generator=random) * 8).round() / 8
    examples = (torch.randperm(shape[0] * 3, generator=random)[: shape[0]]).tolist()
    classes = (torch.randint(-1, CLASSES - 1, (shape[0],), generator=random)).tolist()
    return maps, examples, classes, sorted([*examples[::3], 10**6])


def part_of(
    maps: Tensor, examples: list[int], classes: list[int], sample: list[int], cuts: list[int] | None = None
) -> LayerPart:
    part = LayerPart.empty(maps.shape[1], math.prod(maps.shape[2:]), TOP, np.array(sample, dtype=np.int64))
    edges = [0, *(cuts or []), len(examples)]
    for start, stop in itertools.pairwise(edges):
        if start < stop:
            of = slice(start, stop)
            part.add(maps[of], Arrivals(np.array(examples[of]), np.array(classes[of])))
    return part


def check(part: LayerPart, expected: dict[str, Any], sample: list[int], tolerance: float = 1e-6) -> None:
    scan = part.finish(CLASSES, None)
    units = len(expected["max"])
    assert scan.by_max.positions is not None
    for unit in range(units):
        for name, ranking in (("max", scan.by_max), ("mean", scan.by_mean)):
            rows = expected[name][unit]
            missing = ranking.examples.shape[1] - len(rows)
            assert ranking.examples[unit].tolist() == [row[1] for row in rows] + [-1] * missing
            scores = [row[0] for row in rows] + [math.nan] * missing
            np.testing.assert_allclose(ranking.scores[unit], scores, rtol=tolerance, atol=1e-9)
        rows = expected["max"][unit]
        assert scan.by_max.positions[unit].tolist()[: len(rows)] == [row[2] for row in rows]
    statistics = scan.statistics
    moments = np.stack([statistics.mean, statistics.std, statistics.min, statistics.max, statistics.fraction_active], 1)
    np.testing.assert_allclose(moments, np.array(expected["moments"]), rtol=tolerance, atol=1e-7)
    np.testing.assert_allclose(scan.class_max, np.array(expected["class_max"]), rtol=tolerance, atol=1e-7)
    np.testing.assert_allclose(scan.class_mean, np.array(expected["class_mean"]), rtol=tolerance, atol=1e-7)
    np.testing.assert_array_equal(scan.sample, np.array(expected["sample"], dtype=np.float32).reshape(units, len(sample)))
    assert part.moments.broken.tolist() == expected["broken"]


SHAPES = [(23, 7, 5, 6), (12, 20), (17, 3, 11), (2, 5, 3, 3), (9, 40, 7, 7), (6, 2, 30, 50), (5, 3, 2, 3, 4), (3, 1, 1, 1)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_part_equals_a_literal_loop(shape: tuple[int, ...]) -> None:
    data = world(shape)
    check(part_of(*data), literal(*data, TOP), data[3])


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16, torch.float64], ids=str)
@pytest.mark.parametrize("shape", SHAPES[:4], ids=str)
def test_number_formats_are_read_exactly(shape: tuple[int, ...], kind: torch.dtype) -> None:
    maps, *rest = world(shape)
    check(part_of(maps.to(kind), *rest), literal(maps.to(kind), *rest, TOP), rest[2])


def test_examples_that_are_not_ranked_by_mean_count_for_everything_else() -> None:
    maps, examples, classes, sample = data = world((12, 20, 3))
    part = part_of(maps[:4], examples[:4], classes[:4], sample)
    part.add(maps[4:8].clone(), Arrivals(np.array(examples[4:8]), np.array(classes[4:8])), means=False)
    part.add(maps[8:], Arrivals(np.array(examples[8:]), np.array(classes[8:])))
    others = [*range(4), *range(8, 12)]
    expected = literal(*data, TOP)
    ranked = literal(maps[others], [examples[one] for one in others], [classes[one] for one in others], sample, TOP)
    assert ranked["mean"] != expected["mean"]
    check(part, expected | {"mean": ranked["mean"]}, sample)


@pytest.mark.parametrize("cuts", [[5], [1, 2, 3], [7, 8], [], list(range(1, 23))])
def test_the_part_does_not_depend_on_how_the_data_is_cut_into_batches(cuts: list[int]) -> None:
    data = world(SHAPES[0])
    check(part_of(*data, cuts), literal(*data, TOP), data[3])


@pytest.mark.slow
@given(order=st.permutations(range(12)), cuts=st.lists(st.integers(1, 11), max_size=4), left=st.booleans())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_part_does_not_depend_on_order_or_merging(order: list[int], cuts: list[int], left: bool) -> None:
    maps, examples, classes, sample = world((12, 3, 4, 4))
    maps, examples, classes = maps[order], [examples[i] for i in order], [classes[i] for i in order]
    edges = [0, *sorted(cuts), 12]
    parts = [part_of(maps[a:b], examples[a:b], classes[a:b], sample) for a, b in itertools.pairwise(edges)] + [
        LayerPart.empty(3, 16, TOP, np.array(sample))
    ]
    total = parts.pop(0 if left else -1)
    for part in parts:
        total.merge(part)
    check(total, literal(maps, examples, classes, sample, TOP), sample)


LAYOUTS = {
    "channels last": lambda maps: maps.to(memory_format=torch.channels_last),
    "a slice of channels": lambda maps: torch.cat([maps, maps], 1)[:, : maps.shape[1]],
    "a slice of examples": lambda maps: torch.cat([maps, maps])[: maps.shape[0]],
    "every other column": lambda maps: maps.repeat_interleave(2, -1)[..., ::2],
    "transposed": lambda maps: maps.mT.contiguous().mT,
    "expanded": lambda maps: maps[:, :, :1, :1].expand(maps.shape),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("shape", [(9, 40, 7, 7), (11, 5, 6, 3)], ids=str)
def test_the_layout_in_memory_does_not_matter(layout: str, kind: torch.dtype, shape: tuple[int, ...]) -> None:
    maps, *rest = world(shape)
    laid = LAYOUTS[layout](maps.to(kind))
    check(part_of(laid, *rest), literal(laid, *rest, TOP), rest[2])


def test_tokens_with_channels_last_are_read_in_place() -> None:
    tokens, *rest = world((8, 33, 24))
    laid = tokens.movedim(-1, 1)
    check(part_of(laid, *rest), literal(laid, *rest, TOP), rest[2])


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("last", [False, True])
def test_what_is_not_finite_is_counted_and_poisons_nothing(bad: float, last: bool) -> None:
    maps, *rest = world(SHAPES[4])
    maps[3, 1, 2, 4] = bad
    maps[0, 2, 0, 0] = bad
    maps[:, 5, 6, 6] = bad
    laid = maps.to(memory_format=torch.channels_last) if last else maps
    part = part_of(laid, *rest, [4])
    check(part, literal(maps, *rest, TOP), rest[2])
    assert part.broken == 2 + len(maps)


@pytest.mark.parametrize("value", [0.0, -3.7, 1234.567, 1e-20])
def test_constant_maps_have_no_spread_and_tie_to_the_lowest_examples(value: float) -> None:
    examples, sample = [8, 3, 9, 1, 7, 5], [1, 3]
    part = part_of(torch.full((6, 3, 17, 19), value), examples, [0] * 6, sample, [2])
    scan = part.finish(CLASSES, None)
    assert scan.by_max.examples.tolist() == [[1, 3, 5, 7]] * 3
    assert scan.by_mean.examples.tolist() == [[1, 3, 5, 7]] * 3
    assert scan.by_max.positions is not None
    assert not scan.by_max.positions.any()
    np.testing.assert_allclose(scan.statistics.std, 0, atol=abs(value) * 1e-6)
    np.testing.assert_allclose(scan.statistics.mean, np.float32(value), rtol=1e-6)


@pytest.mark.parametrize("offset", [0.0, 1e3, 1e5])
def test_the_variance_survives_a_large_mean(offset: float) -> None:
    maps, *rest = world((20, 3, 15, 15))
    lifted = maps + offset
    std = part_of(lifted, *rest, [3, 9]).finish(CLASSES, None).statistics.std
    np.testing.assert_allclose(std, lifted.double().std((0, 2, 3), correction=0), rtol=1e-5)


def test_zero_has_one_sign() -> None:
    maps = torch.tensor([[-0.0, -0.0], [-0.0, 0.0], [0.0, -0.0], [-1.0, -0.0]]).reshape(4, 1, 2)
    scan = part_of(maps, [4, 3, 2, 1], [0] * 4, []).finish(CLASSES, None)
    assert scan.by_max.examples.tolist() == [[1, 2, 3, 4]]
    assert scan.by_max.positions is not None
    assert scan.by_max.positions.tolist() == [[1, 0, 0, 0]]
    assert not np.signbit(scan.by_max.scores).any()


def test_a_part_survives_as_arrays() -> None:
    data = world(SHAPES[0])
    data[0][1, 1] = math.nan
    first, second = part_of(*data, [4]), part_of(*data)
    copied = LayerPart.from_arrays({name: array.copy() for name, array in first.arrays().items()})
    for name, array in first.arrays().items():
        np.testing.assert_array_equal(copied.arrays()[name], array)
    more = torch.randn(3, *data[0].shape[1:])
    for part in (copied, first):
        part.add(more, Arrivals(np.array([901, 900, 902]), np.array([CLASSES - 1, 0, 0])))
    for name, array in first.arrays().items():
        np.testing.assert_array_equal(copied.arrays()[name], array)
    assert second.arrays().keys() == first.arrays().keys()


def test_boxes_are_asked_for_only_where_there_is_an_exemplar() -> None:
    maps, examples, classes, sample = world((2, 5, 3, 3))
    asked: list[tuple[int, int]] = []

    def places(channels: np.ndarray, positions: np.ndarray, examples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        asked.extend(zip(channels.tolist(), positions.tolist(), strict=True))
        return positions, np.stack([positions, positions, positions + 1, channels], 1).astype(np.int32)

    ranking = part_of(maps, examples, classes, sample).finish(CLASSES, places).by_max
    assert len(asked) == 5 * 2
    assert ranking.boxes is not None
    assert ranking.positions is not None
    np.testing.assert_array_equal(ranking.boxes[:, :2, 0], ranking.positions[:, :2])
    assert (ranking.boxes[:, 2:] == -1).all()


def test_quantiles_are_the_examples_nearest_to_each_level() -> None:
    count = 101
    scores = torch.randperm(count, generator=torch.Generator().manual_seed(1)).float()
    part = part_of(scores[:, None], list(range(count)), [0] * count, list(range(count)))
    ranking = part.finish(CLASSES, None).quantiles
    np.testing.assert_array_equal(ranking.scores[0], [math.floor(level * 100 + 0.5) for level in QUANTILES])
    np.testing.assert_array_equal(scores[torch.tensor(ranking.examples[0])], ranking.scores[0])


def test_nothing_seen_is_nothing_known() -> None:
    scan = LayerPart.empty(3, 4, TOP, np.array([1, 5])).finish(CLASSES, None)
    assert (scan.by_max.examples == -1).all()
    assert (scan.quantiles.examples == -1).all()
    for values in (scan.by_mean.scores, scan.class_max, scan.sample, scan.statistics.mean, scan.statistics.selectivity):
        assert np.isnan(values).all()


def test_maps_of_another_size_are_refused() -> None:
    part = LayerPart.empty(3, 4, TOP, np.zeros(0, np.int64))
    for shape in ((2, 4, 2, 2), (2, 2, 2, 2), (2, 3, 2, 3)):
        with pytest.raises(ModelError, match="3 and 4"):
            part.add(torch.zeros(shape), Arrivals(np.arange(2), np.zeros(2, np.int64)))


def test_many_classes_that_come_late_find_their_place() -> None:
    count, order = 300, np.random.default_rng(0).permutation(300)
    maps = torch.randn(count, 2, 3, generator=torch.Generator().manual_seed(0))
    part = LayerPart.empty(2, 3, TOP, np.zeros(0, np.int64))
    for start in range(0, count, 7):
        part.add(maps[start : start + 7], Arrivals(np.arange(start, min(start + 7, count)), order[start : start + 7]))
    scan = part.finish(count + 1, None)
    np.testing.assert_allclose(scan.class_max[:, order], maps.amax(-1).T, rtol=1e-6)
    np.testing.assert_allclose(scan.class_mean[:, order], maps.mean(-1).T, rtol=1e-5, atol=1e-7)
    assert np.isnan(scan.class_max[:, count]).all()
