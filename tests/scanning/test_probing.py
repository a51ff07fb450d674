"""How well units tell tracks, against literal definitions; and at which steps that is measured."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

from torchlurk.inputs.demo.documents import write
from torchlurk.inputs.demo.text_world import LENGTH, text_world
from torchlurk.inputs.sources.dataset_opening import open_dataset
from torchlurk.inputs.text.source import TextSource
from torchlurk.options import InputOptions
from torchlurk.scanning.probed_steps import EACH, ProbedSteps, left_open, probed_steps
from torchlurk.scanning.probing import areas, correlations, scores
from torchlurk.track_records import Measure, Track, best_strength, strength

DOCUMENTS = 60
RANDOM = np.random.default_rng(0)


def test_an_area_is_the_share_of_pairs_in_the_right_order() -> None:
    values = RANDOM.integers(-3, 4, (40, 5)).astype(np.float32)
    values[:, 3] = 1
    inside = RANDOM.random(40) < 0.3
    for unit, found in enumerate(areas(values, inside)):
        pairs = list(product(values[inside, unit], values[~inside, unit]))
        assert found == pytest.approx(sum((high > low) + 0.5 * (high == low) for high, low in pairs) / len(pairs), abs=1e-12)
    assert areas(values, inside)[3] == 0.5
    assert areas(-values, inside) == pytest.approx(1 - areas(values, inside), abs=1e-12)


def test_a_correlation_is_that_of_numpy_and_0_for_a_unit_that_never_changes() -> None:
    values = RANDOM.standard_normal((50, 3)).astype(np.float32) + 1000
    values[:, 2] = 0.1
    labels = RANDOM.integers(0, 48, 50).astype(np.float32)
    assert correlations(values, labels)[:2] == pytest.approx(np.corrcoef(values[:, :2].T, labels)[2, :2], abs=1e-9)
    assert correlations(values, labels)[2] == 0


def test_a_unit_that_is_not_finite_somewhere_has_no_score_there() -> None:
    values = RANDOM.standard_normal((6, 2)).astype(np.float32)
    values[1, 0] = np.inf
    rows = (np.array([0, 2, 4]), np.array([1, 3, 5]))
    labels = (np.array([0, 1, 1], np.float32), np.array([0, 1, 2], np.float32))
    tracks = (Track("a", "auc", False, 3), Track("b", "r", False, 3))
    found = scores(values, ProbedSteps(tracks, np.arange(6), np.arange(6), rows, labels))
    assert np.isfinite(found[0]).all()
    assert np.isfinite(found[1]).tolist() == [False, True]


def test_strength_does_not_ask_which_way_round() -> None:
    assert strength("auc", 0.1) == pytest.approx(0.9)
    assert strength("r", -0.7) == pytest.approx(0.7)
    assert best_strength("auc", np.array([0.1, 0.6, np.nan], np.float32)) == pytest.approx(0.9)
    assert np.isnan(best_strength("r", np.array([np.nan], np.float32)))


def literally_open(labels: Sequence[float], context: Sequence[int], measure: Measure) -> list[bool]:
    """Whether each context leaves the label open, one context after another."""
    by_context = defaultdict(list)
    for label, number in zip(labels, context, strict=True):
        if np.isfinite(label):
            by_context[number].append(label)
    known = np.array([one for one in labels if np.isfinite(one)])
    found = []
    for label, number in zip(labels, context, strict=True):
        group = np.array(by_context[number])
        if not np.isfinite(label):
            found.append(False)
        elif measure == "auc":
            share = (group == known.max()).mean()
            found.append(bool(min(share, 1 - share) >= 0.1))
        else:
            found.append(bool(group.std() >= 0.5 * known.std()))
    return found


@pytest.mark.parametrize("measure", ["auc", "r"])
def test_a_context_gives_a_label_away_where_it_hardly_varies_there(measure: Measure) -> None:
    context = RANDOM.integers(0, 30, 2000)
    spread = RANDOM.random(30)[context]
    if measure == "auc":
        labels = (RANDOM.random(2000) < 0.3 * spread).astype(np.float64)
    else:
        labels = context + 20 * spread * RANDOM.standard_normal(2000)
    labels[RANDOM.random(2000) < 0.05] = np.nan
    found = left_open(labels, context, np.isfinite(labels), measure)
    assert found.tolist() == literally_open(labels.tolist(), context.tolist(), measure)
    assert 100 < found.sum() < 1900


@pytest.fixture(scope="module")
def world() -> TextSource:
    return text_world(InputOptions(limit=DOCUMENTS))


@pytest.fixture(scope="module")
def probed(world: TextSource) -> ProbedSteps:
    found = probed_steps(world, np.arange(DOCUMENTS), 0)
    assert found is not None
    return found


def test_the_labels_are_the_known_states_of_the_text_world(probed: ProbedSteps) -> None:
    documents = [write(0, index) for index in range(DOCUMENTS)]
    known = {"quotes": "quote", "address": "address", "depth": "depth", "column": "column", "indentation": "indentation"}
    by_name = {track.name: number for number, track in enumerate(probed.tracks)}
    for name, state in known.items():
        rows, labels = probed.rows[by_name[name]], probed.labels[by_name[name]]
        whole = probed.steps[rows] < LENGTH - len("http://a")  # an address that is cut before its host is none
        places = zip(probed.examples[rows][whole].tolist(), probed.steps[rows][whole].tolist(), strict=True)
        assert labels[whole].tolist() == [float(getattr(documents[example], state)[step]) for example, step in places]


def test_what_the_last_character_tells_is_measured_everywhere_and_says_so(probed: ProbedSteps) -> None:
    told = {track.name: track.told for track in probed.tracks}
    assert told == {
        "quotes": False, "brackets": False, "address": False, "capital": True, "digit": True,
        "depth": False, "column": False, "indentation": told["indentation"], "word": told["word"],
    }  # fmt: skip


def test_steps_are_drawn_once_each_as_many_of_either_value(probed: ProbedSteps) -> None:
    for track, rows, labels in zip(probed.tracks, probed.rows, probed.labels, strict=True):
        assert len(np.unique(rows)) == len(rows) == track.steps
        inside = int((labels == labels.max()).sum())
        assert (max(inside, len(rows) - inside) <= EACH) if track.measure == "auc" else len(rows) <= 2 * EACH
    places = list(zip(probed.examples.tolist(), probed.steps.tolist(), strict=True))
    assert places == sorted(set(places))
    assert min(probed.steps) >= 2


def test_they_follow_from_data_sample_and_seed(world: TextSource, probed: ProbedSteps) -> None:
    again, other = (probed_steps(world, np.arange(DOCUMENTS), seed) for seed in (0, 1))
    assert again is not None
    assert other is not None
    assert np.array_equal(again.steps, probed.steps)
    assert not np.array_equal(other.rows[0], probed.rows[0])
    some = probed_steps(world, np.array([3, 7, 11, 20, 33]), 0)
    assert some is not None
    assert set(some.examples) <= {3, 7, 11, 20, 33}


def test_a_source_without_tracks_or_of_one_state_has_none(world: TextSource) -> None:
    series = open_dataset(TensorDataset(torch.zeros(3, 6, 2)), InputOptions(kind="series"))
    assert probed_steps(series, np.arange(3), 0) is None
    assert probed_steps(world, np.arange(0), 0) is None
