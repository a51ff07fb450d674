"""However the work is cut, interrupted or batched, the study says the same."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time

import numpy as np
import pytest

from torchlurk.jobs import Shard
from torchlurk.study import Study

TOLERANCE = 1e-5
KILLS = 20

pytestmark = pytest.mark.slow


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


SLOW_MODEL = """
import time
from small import net as quick

def net():
    module, preprocessing = quick()
    forward = module.forward
    def slowly(x):
        time.sleep(0.02)
        return forward(x)
    module.forward = slowly
    return module, preprocessing
"""


def test_after_being_killed_at_many_random_moments(model, pictures, undisturbed, tmp_path, torchlurk):
    """The model sleeps a little in each pass, so that most kills fall into the scan; then it may finish."""
    file = tmp_path / "slow.py"
    file.write_text(f"import sys\nsys.path.insert(0, {os.path.dirname(model)!r})\n{SLOW_MODEL}")
    study, moments = tmp_path / "s.lurk", random.Random(11)
    command = [sys.executable, "-c", KILLED, f"{file}:net", str(pictures), str(study)]
    for _ in range(KILLS):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        line = process.stderr.readline()
        while line and "ready" not in line:
            line = process.stderr.readline()
        time.sleep(moments.uniform(0.0, 1.2))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stderr.close()
    done = torchlurk("analyze", f"{file}:net", pictures, "--out", study, "--batch-size", 8)
    assert done.status == 0, done.err
    same_content(undisturbed, study, exact=True)
    assert torchlurk("check", study).status == 0


KILLED = """
import sys
import torch
torch.set_num_threads(1)
from torchlurk.stages import scan
from torchlurk.study import analyze
scan.SECONDS_BETWEEN_SAVES, scan.SAVE_SHARE, scan.SHARD_EXAMPLES = 0.0, 1.0, 8
print("ready", file=sys.stderr, flush=True)
analyze(sys.argv[1], sys.argv[2], sys.argv[3], batch_size=8)
"""


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
