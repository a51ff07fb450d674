"""A writer killed at any moment, or on a full disk: what was finished is there, and it goes on from there."""

from __future__ import annotations

import fcntl
import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from torchlurk.errors import StorageError, StudyError
from torchlurk.jobs import Shard
from torchlurk.records import (
    Example,
    Graph,
    Layer,
    LayerScan,
    Preprocessing,
    Ranking,
    UnitStatistics,
)
from torchlurk.run_records import Run
from torchlurk.store.checking import check
from torchlurk.store.connections import translated
from torchlurk.store.folding import left_open
from torchlurk.store.locking import BETWEEN_TRIES, Lock, is_claimed
from torchlurk.store.reading import Reader
from torchlurk.store.writing import Writer

LAYERS = 30
UNITS = 40

WRITE = """
import sys
import time
from pathlib import Path
import numpy as np
from torchlurk.jobs import Shard
from torchlurk.records import *
from torchlurk.run_records import *
from torchlurk.store.writing import Writer

LAYERS, UNITS, LONGEST_WAIT = 30, 40, 0.15
rng = np.random.default_rng(0)
ranking = Ranking(np.zeros((UNITS, 9), np.float32), np.tile(np.arange(9), (UNITS, 1)))
scan = LayerScan(UnitStatistics(*(np.ones(UNITS) for _ in range(6))), ranking, ranking, ranking,
                 np.zeros((UNITS, 0), np.float32), np.zeros((UNITS, 0), np.float32), np.ones((UNITS, 9), np.float32))
with Writer(Path(sys.argv[1])) as writer:
    print("open", flush=True)
    writer.begin(Run("scan", "m", "m", "d", "d", {}))
    layers = [Layer(f"layer{i}", "Conv2d", "vector", UNITS, ()) for i in range(LAYERS)]
    writer.write_model(layers, Graph(), Preprocessing(), (3, 8, 8))
    writer.write_data([], (Example(i, str(i), None) for i in range(500)), [])
    writer.write_sample(np.arange(9))
    done, state = writer.progress("scan") or ([], {"sums": np.zeros(300_000)})
    end = int(sys.argv[2])
    for i in range(len(done), end):
        with writer.transaction():
            writer.write_scan(f"layer{i}", scan)
            state["sums"] += i
            done.append(Shard(i, i + 1))
            writer.save_progress("scan", done, state)
        print(i, flush=True)
        time.sleep(LONGEST_WAIT / LAYERS)  # or all is done before the signal comes
    if end < LAYERS:
        time.sleep(600)  # until it is killed, however long that takes
    writer.finish("scan", "now")
"""


def start(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", WRITE, *map(str, arguments)], stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_a_writer_killed_at_any_moment_loses_nothing_that_was_finished(tmp_path):
    path = tmp_path / "a.lurk"
    chance = random.Random(0)
    told = -1
    for _ in range(4):
        process = start(path, LAYERS - 1)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(chance.uniform(0, 0.15))
        process.send_signal(signal.SIGKILL)
        told = max([told, *(int(line) for line in process.stdout.read().split())])
        process.wait()
        process.stdout.close()
        assert check(path).problems == ()
        with Reader(path) as reader:
            for layer in range(told + 1):
                assert reader.statistics(f"layer{layer}").mean.shape == (UNITS,)
        with Writer(path) as writer:
            done, state = writer.progress("scan") or ([], {"sums": np.zeros(300_000)})
            assert len(done) >= told + 1
            assert (state["sums"] == sum(range(len(done)))).all()
    process = start(path, LAYERS)
    process.communicate()
    assert process.returncode == 0
    report = check(path)
    assert report.problems == ()
    assert report.stages[0].finished == "now"
    assert report.counts["units"] == LAYERS * UNITS
    assert list(tmp_path.iterdir()) == [path]


FINISH = """
import os, signal, sys
from pathlib import Path
from torchlurk.run_records import Run
from torchlurk.store.writing import Writer

finished = False

def committed():
    if finished:
        os.kill(os.getpid(), signal.SIGKILL)

writer = Writer(Path(sys.argv[1]), committed)
writer.begin(Run("scan", "m", "m", "d", "d", {}))
finished = True
writer.finish("scan", "now")
"""


def test_a_study_whose_writer_was_killed_after_it_had_finished_becomes_one_file_when_it_is_next_written(tmp_path):
    path = tmp_path / "a.lurk"
    assert subprocess.run([sys.executable, "-c", FINISH, path], check=False).returncode == -signal.SIGKILL
    assert left_open(path)
    with Reader(path) as reader:
        assert reader.runs()["scan"].finished == "now"
    Writer(path).close()
    assert not left_open(path)
    assert list(tmp_path.iterdir()) == [path]


def test_a_killed_writer_leaves_no_lock_even_where_its_children_live(tmp_path):
    path = tmp_path / "a.lurk"
    code = (
        "import os, sys, time, pathlib; from torchlurk.store.writing import Writer\n"
        "writer = Writer(pathlib.Path(sys.argv[1]))\n"
        "child = os.fork()\n"
        "if child == 0: print(os.getpid(), flush=True); time.sleep(600); os._exit(0)\n"  # it has let go of the lock by now
        "time.sleep(600)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    try:
        with pytest.raises(StudyError, match="is being written by another process"):
            Writer(path)
        assert is_claimed(path)
        process.kill()
        process.wait()
        assert not is_claimed(path)
        with Writer(path) as writer:
            assert writer.runs() == {}
    finally:
        os.kill(child, signal.SIGKILL)
        process.stdout.close()


def test_an_analysis_begins_while_others_look_whether_one_is_at_work(tmp_path):
    path = tmp_path / "a.lurk"
    with (tmp_path / "a.lurk-lock").open("wb") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        assert not is_claimed(path), "somebody else who looks is no analysis"
        threading.Timer(2 * BETWEEN_TRIES, fcntl.flock, (looking, fcntl.LOCK_UN)).start()
        lock = Lock(path)
    assert is_claimed(path)
    lock.release()
    assert not is_claimed(path)


SCAN = LayerScan(
    UnitStatistics(*(np.ones(UNITS) for _ in range(6))),
    *[Ranking(np.zeros((UNITS, 9), np.float32), np.tile(np.arange(9), (UNITS, 1)))] * 3,
    *[np.zeros((UNITS, 0), np.float32)] * 2,
    np.ones((UNITS, 9), np.float32),
)


def write_layers(writer: Writer) -> None:
    """Those that are not written yet, each with a picture of 300 kB that cannot be stored as less."""
    writer.begin(Run("scan", "m", "m", "d", "d", {}))
    layers = [Layer(f"layer{i}", "Conv2d", "vector", UNITS, ()) for i in range(LAYERS)]
    writer.write_model(layers, Graph(), Preprocessing(), (3, 8, 8))
    writer.write_data([], (Example(i, str(i), None) for i in range(LAYERS)), [])
    writer.write_sample(np.arange(9))
    _, state = writer.progress("scan") or ([], {"done": np.array(0)})
    for i, layer in list(enumerate(layers))[int(state["done"]) :]:
        with writer.transaction():
            writer.write_scan(layer.name, SCAN)
            writer.save_progress("scan", [Shard(0, i + 1)], {"done": np.array(i + 1)})
            writer.write_pictures([(i, "image/png", np.random.default_rng(i).bytes(300_000))])


def holds_what_was_finished(path: Path) -> int:
    """How many layers were finished; all of them are there and nothing else."""
    with Reader(path) as reader:
        scanned = [layer.name for layer in reader.layers() if reader.picture(int(layer.name.removeprefix("layer")))]
        for name in scanned:
            assert reader.statistics(name).mean.shape == (UNITS,)
        for layer in reader.layers()[len(scanned) :]:
            with pytest.raises(StudyError, match="not finished"):
                reader.statistics(layer.name)
    return len(scanned)


def test_a_full_disk_is_said_in_one_line_and_what_was_finished_is_kept(small_disk):
    path = small_disk / "a.lurk"
    said = r"no space left on the disk where 'a\.lurk' is .*run the same command again"
    with pytest.raises(StorageError, match=said), Writer(path) as writer:
        write_layers(writer)
    finished = holds_what_was_finished(path)
    assert 3 <= finished < 20
    with pytest.raises(StorageError, match="no space left"), Writer(path) as writer:
        write_layers(writer)
    assert holds_what_was_finished(path) >= finished
    subprocess.run(["mount", "-o", "remount,size=99m", small_disk], check=True)
    with Writer(path) as writer:
        assert int(writer.progress("scan")[1]["done"]) >= finished
        write_layers(writer)
    assert holds_what_was_finished(path) == LAYERS
    assert sorted(one.name for one in small_disk.iterdir()) == ["a.lurk", "ballast"]


def test_a_study_cannot_begin_on_a_full_disk(small_disk):
    with open(small_disk / "more", "wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    with pytest.raises(StorageError, match="no space left"):
        Writer(small_disk / "a.lurk")
    (small_disk / "more").unlink()
    with Writer(small_disk / "a.lurk") as writer:
        assert writer.runs() == {}


def test_a_finished_study_that_finds_no_room_to_go_on_can_be_read_as_before(small_disk, study):
    path = shutil.copy(study, small_disk / "a.lurk")
    with open(small_disk / "more", "wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    with pytest.raises(StorageError, match=r"no space left|the disk may be full"), Writer(path) as writer:
        writer.add_note("test", "one more")
    with Reader(path) as reader:
        assert reader.example_count() == 40
    assert path.read_bytes()[18:20] == b"\x01\x01"


def test_a_quota_reached_is_an_error_of_one_line_and_what_was_finished_is_kept(tmp_path):
    path = tmp_path / "a.lurk"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5 << 20, before[1]))
    try:
        with pytest.raises(StorageError, match=r"cannot be written .*what was finished is kept"), Writer(path) as writer:
            write_layers(writer)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert 3 <= holds_what_was_finished(path) < 20
    with Writer(path) as writer:
        write_layers(writer)
    assert holds_what_was_finished(path) == LAYERS


@pytest.mark.parametrize("how", ["deleted", "replaced", "folder"])
def test_a_study_that_goes_while_it_is_written_is_said_at_once(tmp_path, make, how):
    folder = tmp_path / "folder"
    folder.mkdir()
    path = folder / "a.lurk"

    def gone():
        with Writer(path) as writer:
            make.before_scan(writer)
            shutil.rmtree(folder) if how == "folder" else path.unlink()
            if how == "replaced":
                path.write_bytes(b"other")
            writer.add_note("data", "lost")

    with pytest.raises(StorageError, match="was deleted or replaced while it was being written"):
        gone()
    assert not path.exists() or path.read_bytes() == b"other"


@pytest.mark.parametrize("how", ["folder", "study"])
def test_a_study_that_goes_at_its_first_change_is_said_too(tmp_path, how):
    folder = tmp_path / "folder"
    folder.mkdir()
    path = folder / "a.lurk"

    def committed():
        if path.exists():
            shutil.rmtree(folder) if how == "folder" else path.unlink()

    with pytest.raises(StorageError, match="was deleted or replaced"), Writer(path, committed) as writer:
        writer.add_note("data", "lost")


def test_a_study_that_goes_while_it_is_read_is_told_to_be_missing(tmp_path):
    with pytest.raises(StudyError, match="there is no study"), translated(tmp_path / "a.lurk", writing=False):
        sqlite3.connect(f"{(tmp_path / 'a.lurk').as_uri()}?mode=ro", uri=True).execute("SELECT 1 FROM meta")


def test_a_study_that_goes_after_its_last_change_is_said_too(tmp_path, make):
    writer = Writer(tmp_path / "a.lurk")
    make.before_scan(writer)
    (tmp_path / "a.lurk").unlink()
    with pytest.raises(StorageError, match="was deleted or replaced"):
        writer.close()
    writer.close()


def test_the_log_of_another_study_is_not_taken_for_its_own(tmp_path, study, make):
    other = tmp_path / "other.lurk"
    with Writer(other) as writer:
        make.before_scan(writer)
        shutil.copy(f"{other}-wal", f"{study}-wal")
    before = study.read_bytes()
    for open_it in (Reader, Writer, check):
        with pytest.raises(StudyError, match=r"'small.lurk-wal' beside it is the log of another study"):
            open_it(study)
    assert study.read_bytes() == before
    Path(f"{study}-wal").unlink()
    assert check(study).problems == ()


@pytest.mark.parametrize("cut", [1, 5000, 40000])
def test_after_a_power_cut_all_but_the_last_changes_are_there(tmp_path, make, cut):
    path, left = tmp_path / "a.lurk", tmp_path / "left.lurk"
    with Writer(path) as writer:
        make.before_scan(writer)
        for number in range(12):
            writer.add_note("data", f"{number}")
        shutil.copy(path, left)
        log = Path(f"{path}-wal").read_bytes()
    Path(f"{left}-wal").write_bytes(log[:-cut])
    with Reader(left) as reader:
        kept = [text for _, text in reader.notes()]
    assert kept == [str(number) for number in range(len(kept))]
    assert 12 - len(kept) <= 1 + cut // 16384
    with Writer(left) as writer:
        writer.add_note("data", "later")
    assert check(left).problems == ()
