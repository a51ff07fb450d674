"""However the work is cut or batched, the study says the same."""

import random
import sqlite3

import numpy as np
import pytest

from torchlurk.jobs import Shard
from torchlurk.study import Study

TOLERANCE = 1e-5


def same_content(one, other, *, exact):
    """Compares two studies unit by unit: ids and order where scores differ by more than rounding, values to rounding."""
    with Study(one) as left, Study(other) as right:
        assert [layer.record for layer in left.layers] == [layer.record for layer in right.layers]
        assert left.classes == right.classes
        assert left.skipped == right.skipped
        assert np.array_equal(left.reader.sample_examples(), right.reader.sample_examples())
        for layer in left.layers:
            for mine, theirs in zip(layer, right[layer.name], strict=True):
                same_unit(mine, theirs, 0.0 if exact else TOLERANCE)
        for index in range(left.reader.example_count()):
            assert left.reader.picture(index) == right.reader.picture(index)
        stats = [study.input_statistics for study in (left, right)]
        assert np.allclose(stats[0].spectrum, stats[1].spectrum, rtol=1e-12)


def same_unit(mine, theirs, tolerance):
    near = lambda a, b: (np.isnan(a) and np.isnan(b)) or abs(a - b) <= tolerance * max(1.0, abs(a))  # noqa: E731
    for name, value in mine.statistics.items():
        assert near(value, theirs.statistics[name]), name
    for ranking in ("max", "mean", "quantile"):
        for a, b in zip(mine.exemplars(ranking), theirs.exemplars(ranking), strict=True):
            assert near(a.score, b.score)
            if tolerance == 0:
                assert a == b
    for ranking in ("max", "mean"):
        assert np.allclose(
            mine.record.classes[ranking], theirs.record.classes[ranking], rtol=tolerance, atol=tolerance, equal_nan=True
        )
    assert np.allclose(mine.sample, theirs.sample, rtol=tolerance, atol=tolerance, equal_nan=True)


@pytest.fixture(scope="module")
def undisturbed(torchlurk, model, pictures, tmp_path_factory):
    study = tmp_path_factory.mktemp("study") / "undisturbed.lurk"
    done = torchlurk("analyze", model, pictures, "--out", study, "--batch-size", 8)
    assert done.status == 0, done.err
    return study


@pytest.mark.parametrize("size", [1, 7, 64])
def test_for_any_batch_size(size, torchlurk, model, pictures, undisturbed, tmp_path):
    study = tmp_path / "s.lurk"
    done = torchlurk("analyze", model, pictures, "--out", study, "--batch-size", size, "--workers", 1 + size % 3)
    assert done.status == 0, done.err
    same_content(undisturbed, study, exact=False)


def test_for_shards_merged_in_any_order(model, pictures, undisturbed, tmp_path, monkeypatch):
    """An engine that runs every shard onto nothing and merges the parts in a drawn order."""
    from torchlurk.stages import scan
    from torchlurk.study import analyze

    class Scattered:
        def run(self, job, shards, onto, kept):
            parts = [job.run(Shard(cut, cut + 1), job.empty()) for shard in shards for cut in range(shard.start, shard.stop, 1)]
            random.Random(4).shuffle(parts)
            while len(parts) > 1:
                parts.append(job.merge(parts.pop(0), parts.pop(0)))
            return job.merge(onto, parts[0])

    monkeypatch.setattr(scan, "LocalEngine", Scattered)
    study = tmp_path / "s.lurk"
    analyze(model, str(pictures), study, batch_size=5).close()
    same_content(undisturbed, study, exact=False)


def test_running_it_again_changes_nothing(torchlurk, model, pictures, undisturbed):
    before = undisturbed.read_bytes()
    done = torchlurk("analyze", model, pictures, "--out", undisturbed, "--batch-size", 3)
    assert (done.status, done.err) == (0, f"{undisturbed}: the scan stage is complete\n")
    assert undisturbed.read_bytes() == before


def test_every_record_names_its_run(undisturbed):
    with Study(undisturbed) as study:
        run = study.runs["scan"]
    assert run.finished
    assert len(run.model_fingerprint) == len(run.data_fingerprint) == 64
    assert run.options["top"] == 9
    assert run.options["preprocessing"]["mean"] == [0.4, 0.5, 0.6]
    assert sqlite3.connect(undisturbed).execute("PRAGMA journal_mode").fetchone() == ("delete",)
