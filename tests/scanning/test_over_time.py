"""What is counted over the steps of texts and series, against literal loops in float64."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from torchlurk.inputs.text.frequencies import FrequentTokens
from torchlurk.records import Layer
from torchlurk.scanning import gates, over_time, token_responses
from torchlurk.scanning.arrivals import Arrivals
from torchlurk.scanning.gates import LEAST, GateSums
from torchlurk.scanning.part import LayerPart
from torchlurk.scanning.steps import Counted, Seen, step_kernels
from torchlurk.scanning.token_rankings import rank_tokens
from torchlurk.scanning.token_responses import TokenSums
from torchlurk.unit_statistics import half_life, statistics_of

UNITS, STEPS, IDS = 5, 12, (3, 0, 7, 2)
"""The frequent tokens; others stand in the texts, too."""

BATCHES = [(0, 12), (3, 12), (3, 9), (0, 12)]
"""Which steps of each batch count."""


def layer(stream: str = "l0", module: str = "rnn") -> Layer:
    return Layer("a", "LSTM", "sequence", UNITS, (STEPS,), -1, module=module, stream=stream)


def batches(count: int = 4) -> list[tuple[Tensor, Tensor, Counted]]:
    """Values (batch, unit, time), tokens and which steps count."""
    torch.manual_seed(0)
    return [
        (torch.randn(3, STEPS, UNITS).movedim(2, 1), torch.randint(0, 9, (3, STEPS)), Counted(*BATCHES[one], STEPS))
        for one in range(count)
    ]


@pytest.fixture(autouse=True, params=[True, False], ids=["compiled", "plain"])
def _ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test is of the kernels, and of plain torch, which serves where there are none."""
    if not request.param:
        for module in (gates, token_responses):
            monkeypatch.setattr(module, "step_kernels", lambda: None)
    elif step_kernels() is None:
        pytest.skip("needs Numba")


TOKENS = FrequentTokens(np.array(IDS), np.array([9, 8, 8, 1]))


def summed(kind: str, of: Layer, some: list[tuple[Tensor, Tensor, Counted]]) -> over_time.OverTime:
    (counts,) = over_time.begun([of], TOKENS).values()
    for values, tokens, counted in some:
        counts[kind].add(of, values, Seen(counted, TOKENS.places(tokens)))
    return counts[kind]


def gate_times(of: Layer, some: list[tuple[Tensor, Tensor, Counted]]) -> dict[str, np.ndarray]:
    """The statistics that follow from what is counted of a gate."""
    part = LayerPart.empty(UNITS, None, 1, np.zeros(0, np.int64))
    for values, _, _ in some:
        part.add(values, Arrivals(np.arange(len(values)), np.full(len(values), -1)))
    counts = over_time.counts_of(of, [of], {of.name: {"gate": summed("gate", of, some)}})
    return dict(part.finish(0, None, statistics_of(of), counts).statistics.more)


def literal_means(of: Layer, some: list[tuple[Tensor, Tensor, Counted]]) -> tuple[np.ndarray, np.ndarray]:
    """Mean value and mean change of each unit at each frequent token, one step after the other."""
    at, changes = defaultdict(list), defaultdict(list)
    for values, tokens, (first, last, _) in some:
        for example, ids in zip(values.double().numpy(), tokens.tolist(), strict=True):
            order = range(STEPS - 1, -1, -1) if of.reads_backward else range(STEPS)
            before = np.zeros(UNITS) if of.module else None
            for step in order:
                now = example[:, step]
                if first <= step < last:
                    at[ids[step]].append(now)
                    if before is not None:
                        changes[ids[step]].append(now - before)
                before = now
    nothing = [np.full(UNITS, np.nan)]
    return tuple(np.stack([np.mean(found.get(one, nothing), 0) for one in IDS], 1) for found in (at, changes))


@pytest.mark.parametrize(
    "of", [layer(), layer("l1_reverse"), layer("", "cell"), layer("", "")], ids=["forward", "backward", "cell", "convolution"]
)
def test_token_means_are_those_of_a_literal_loop(of: Layer) -> None:
    means = summed("tokens", of, batches()).finish()
    state, change = literal_means(of, batches())
    np.testing.assert_allclose(means.state, state, rtol=1e-12)
    np.testing.assert_allclose(means.change, change, rtol=1e-12)


@pytest.mark.parametrize("kind", ["tokens", "gate"])
@pytest.mark.parametrize("cuts", [[1], [1, 2, 3], [0, 4], [2]])
def test_counts_do_not_depend_on_how_the_data_is_cut(kind: str, cuts: list[int]) -> None:
    of = layer("l0.f" if kind == "gate" else "l0")
    some = [(values.sigmoid() if kind == "gate" else values, *rest) for values, *rest in batches()]
    whole, edges = summed(kind, of, some), [0, *cuts, len(some)]
    parts = [summed(kind, of, some[start:stop]) for start, stop in pairwise(edges)]
    first = type(whole).from_arrays(parts[-1].arrays())  # as a scan that goes on has it
    for other in parts[:-1]:
        first.merge(other)
    for name, array in whole.arrays().items():
        np.testing.assert_allclose(first.arrays()[name], array, rtol=1e-12)


def test_a_token_that_never_stands_has_no_mean() -> None:
    ((values, _, counted),) = batches(1)
    means = summed("tokens", layer(), [(values, torch.full((3, STEPS), 7), counted)]).finish()
    assert np.isnan(means.state[:, [0, 1, 3]]).all()
    np.testing.assert_allclose(means.state[:, 2], values.double().mean((0, 2)), rtol=1e-12)


def test_what_is_not_finite_leaves_out_that_unit_on_that_example_alone() -> None:
    ((values, tokens, counted),) = batches(1)
    broken = values.clone()
    broken[1, 2, 4] = math.nan
    means = summed("tokens", layer(), [(broken, tokens, counted)]).finish()
    whole = summed("tokens", layer(), [(values, tokens, counted)]).finish()
    without = summed("tokens", layer(), [(values[[0, 2]], tokens[[0, 2]], counted)]).finish()
    for found, all_, some in zip(*((one.state, one.change) for one in (means, whole, without)), strict=True):
        np.testing.assert_allclose(found[[0, 1, 3, 4]], all_[[0, 1, 3, 4]], rtol=1e-12)
        np.testing.assert_allclose(found[2], some[2], rtol=1e-12)


def test_what_is_not_finite_in_steps_that_are_not_read_changes_nothing() -> None:
    ((values, tokens, _),) = batches(1)
    counted = Counted(5, STEPS, STEPS)
    broken = values.clone()
    broken[:, :, 2] = math.inf
    found, expected = (summed("tokens", layer(), [(one, tokens, counted)]).finish() for one in (broken, values))
    np.testing.assert_array_equal(found.change, expected.change)


def test_a_layer_that_has_not_one_position_a_step_says_nothing_of_tokens() -> None:
    ((values, tokens, counted),) = batches(1)
    sums = TokenSums.empty(len(TOKENS), UNITS)
    sums.add(layer(), values[..., ::2], Seen(counted, TOKENS.places(tokens)))
    assert sums.finish() is None
    other = summed("tokens", layer(), batches())
    other.merge(TokenSums.from_arrays(sums.arrays()))
    assert other.finish() is None


def test_gate_times_are_those_of_a_literal_loop() -> None:
    some = [((3 * values).sigmoid(), *rest) for values, *rest in batches()]
    found = gate_times(layer("l0.f"), some)
    values = np.concatenate(
        [one.double().numpy()[:, :, first:last].swapaxes(0, 1).reshape(UNITS, -1) for one, _, (first, last, _) in some], 1
    )
    np.testing.assert_allclose(found["shut"], (values < 0.1).mean(1), rtol=1e-12)
    np.testing.assert_allclose(found["open"], (values > 0.9).mean(1), rtol=1e-12)
    lives = [math.log(2) / -np.mean([math.log(value) for value in row]) for row in values]
    np.testing.assert_allclose(found["half_life"], lives, rtol=1e-12)


@pytest.mark.parametrize(("kept", "steps"), [(0.5, 1), (0.9, 6.5788), (0.99, 68.9676), (1.0, 11_629_080), (0.0, 0.041667)])
def test_the_half_life_of_a_constant_gate_is_that_of_its_decay(kept: float, steps: float) -> None:
    values = torch.full((2, UNITS, STEPS), kept)
    some = [(values, torch.zeros(2, STEPS, dtype=torch.int64), Counted(0, STEPS, STEPS))]
    found = gate_times(layer("l0.z"), some)["half_life"]
    np.testing.assert_allclose(found, steps, rtol=1e-4)
    if LEAST < kept < 1:
        assert kept ** found[0] == pytest.approx(0.5, rel=1e-4)


def test_only_gates_that_keep_have_a_half_life_and_only_gates_proper_are_counted() -> None:
    some = [(values.sigmoid(), *rest) for values, *rest in batches()]
    assert set(gate_times(layer("l0.i"), some)) == {"shut", "open"}
    kinds = {
        stream: set(*over_time.begun([layer(stream)], TOKENS).values()) for stream in ("l0", "l0.c", "l0.g", "l0.n", "l0.r")
    }
    assert kinds == {"l0": {"tokens"}, "l0.c": set(), "l0.g": set(), "l0.n": set(), "l0.r": {"gate"}}
    assert over_time.begun([layer()], None) == {}


def test_a_gate_that_is_not_finite_on_an_example_is_counted_on_the_others() -> None:
    ((values, tokens, counted),) = batches(1)
    gate = values.sigmoid()
    gate[0, 3, 0] = math.nan
    found, without = (
        gate_times(layer("l0.f"), [(gate[some], tokens[some], counted)]) for some in (slice(None), slice(1, None))
    )
    np.testing.assert_allclose(found["half_life"][3], without["half_life"][3], rtol=1e-12)
    assert np.isfinite(found["half_life"]).all()
    assert np.isnan(list(gate_times(layer("l0.f"), []).values())).all()


def test_a_gate_tells_the_half_life_of_the_cells_and_states_that_it_keeps() -> None:
    def of(stream: str, channels: int = UNITS) -> Layer:
        return replace(layer(stream), name=f"rnn.{stream}", channels=channels)

    layers = [of("l0"), of("l0.c"), of("l0.f"), of("l0.i"), of("l1", 3), of("l1.c"), of("l1.f")]
    counts = {name: {"gate": GateSums.empty(UNITS)} for name in ("rnn.l0.f", "rnn.l0.i", "rnn.l1.f")}
    told = {one.name for one in layers if over_time.counts_of(one, layers, counts)}
    assert told == {
        "rnn.l0",
        "rnn.l0.c",
        "rnn.l0.f",
        "rnn.l0.i",
        "rnn.l1.c",
        "rnn.l1.f",
    }  # of projected states no cell is theirs
    gru = [of("l0"), of("l0.z"), replace(of("l0_reverse"), name="rnn.l0_reverse")]
    assert set(over_time.counts_of(gru[0], gru, {"rnn.l0.z": {"gate": GateSums.empty(UNITS)}})) == {"gate"}
    assert over_time.counts_of(gru[2], gru, {"rnn.l0.z": {"gate": GateSums.empty(UNITS)}}) == {}


def test_results_so_far_leave_the_running_state_as_it_was() -> None:
    part = LayerPart.empty(1, None, 3, np.zeros(0, np.int64))
    part.add(torch.rand(4, 1, 6), Arrivals(np.arange(4), np.full(4, -1)))
    moved = lambda units, positions, examples: (positions + 10, np.zeros((len(units), 4), np.int32))  # noqa: E731
    first, second = (part.finish(0, moved).by_max.positions for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_the_half_life_of_a_mean_logarithm() -> None:
    np.testing.assert_allclose(half_life(np.log([0.5, 0.25])), [1, 0.5])
    assert np.isnan(half_life(np.array([0.0, np.nan]))).all()


def literal_ranking(values: list[float], ids: list[int], sign: int) -> list[tuple[int, float]]:
    known = [(sign * value, place) for place, value in enumerate(values) if math.isfinite(value)]
    return [(ids[place], sign * value) for value, place in sorted(known)[:3]]


def test_tokens_are_ranked_by_value_and_equal_ones_as_they_are_listed() -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(-2, 3, (40, 9)).astype(float)
    values[rng.random(values.shape) < 0.3] = np.nan
    values[0] = np.nan
    values[1, :8] = np.nan
    ids = rng.permutation(20)[:9]
    for row, found in zip(values, rank_tokens(values, ids, most=3), strict=True):
        for sign, name in ((1, "lowest"), (-1, "highest")):
            expected = literal_ranking(row.tolist(), ids.tolist(), sign)
            ranked = [] if found is None else getattr(found, name)
            assert ([] if found is None else list(zip(ranked.ids, ranked.values, strict=True))) == expected
    assert rank_tokens(values[:1], ids) == [None]
    assert rank_tokens(np.zeros((2, 0)), np.zeros(0, np.int64)) == [None, None]
