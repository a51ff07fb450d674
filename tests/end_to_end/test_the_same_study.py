"""However the work is cut or batched, the study says the same."""

import os
import random
import sqlite3

import pytest

from campaigns import random_kills
from campaigns.random_kills import same_content
from torchlurk.engines.local import LocalEngine
from torchlurk.jobs import Shard
from torchlurk.study import Study, analyze

pytestmark = pytest.mark.slow


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


def test_after_being_killed_at_random_moments(model, pictures, undisturbed, tmp_path, torchlurk):
    """A few kills of those of `campaigns/random_kills.py`."""
    folder, function = os.path.split(model)[0], model.rpartition(":")[2]
    slow = random_kills.slow_model(tmp_path / "slow.py", folder, "small", function)
    study = tmp_path / "s.lurk"
    random_kills.killed(slow, str(pictures), study, 1000, 3, random_kills.SEED)
    same_content(undisturbed, study, exact=True)
    assert torchlurk("check", study).status == 0


def test_for_shards_merged_in_any_order(model, pictures, undisturbed, tmp_path):
    """An engine that runs every example onto nothing and merges the parts in a drawn order."""

    class Scattered(LocalEngine):
        def fold(self, job, shards, onto, kept):
            with job.open(None) as take:
                single = [Shard(cut, cut + 1) for shard in shards for cut in range(shard.start, shard.stop)]
                parts = [take(one, job.begin()) for one in single]
            random.Random(4).shuffle(parts)
            while len(parts) > 1:
                parts.append(job.merge(parts.pop(0), parts.pop(0)))
            merged = job.merge(onto, parts[0])
            kept(merged, shards)
            return merged

    study = tmp_path / "s.lurk"
    analyze(model, str(pictures), study, batch_size=5, engine=Scattered()).close()
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
