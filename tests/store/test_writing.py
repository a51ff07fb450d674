"""One writer; what it wrote is there, once, whole."""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest

from torchlurk.errors import StorageError, StudyError
from torchlurk.jobs import Shard
from torchlurk.records import Graph, Preprocessing, Skip
from torchlurk.store.checking import check
from torchlurk.store.connections import holds_nothing, open_writing
from torchlurk.store.progress import PIECE
from torchlurk.store.reading import Reader
from torchlurk.store.writing import Writer


@pytest.fixture
def writer(tmp_path, make):
    """A study before its scan."""
    with Writer(tmp_path / "a.lurk") as writer:
        make.before_scan(writer)
        yield writer


def contents(path):
    with sqlite3.connect(path) as db:
        tables = sorted(name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'"))
        found = {table: sorted(db.execute(f"SELECT * FROM {table}"), key=repr) for table in tables}
    db.close()
    return found


def test_a_closed_study_is_one_plain_file(study):
    assert [one.name for one in study.parent.iterdir()] == [study.name]
    with open(study, "rb") as file:
        header = file.read(100)
    assert header[16:18] == (16384).to_bytes(2, "big")
    assert header[18:20] == b"\x01\x01"  # a rollback journal, none that needs side files
    assert header[60:64] == (2).to_bytes(4, "big")
    assert header[68:72] == b"LURK"


def test_opening_a_study_to_write_does_not_write_yet(study):
    before = study.read_bytes()
    open_writing(study).close()
    assert study.read_bytes() == before


def test_writing_everything_again_changes_nothing(tmp_path, make):
    once, twice = tmp_path / "once.lurk", tmp_path / "twice.lurk"
    with Writer(once) as writer:
        make.all(writer)
    with Writer(twice) as writer:
        make.all(writer, finish=False)
        make.all(writer, finish=False)
    with Writer(twice) as writer:
        make.all(writer)
    assert contents(once) == contents(twice)


def test_a_second_writer_is_refused_until_the_first_ends(tmp_path, make):
    path, link = tmp_path / "a.lurk", tmp_path / "link.lurk"
    with Writer(path) as writer:
        link.symlink_to(path)
        make.before_scan(writer)
        for other in (path, link):
            with pytest.raises(StudyError, match="is being written by another process"):
                Writer(other)
        writer.add_note("still", "writing")
    with Writer(link) as writer:
        assert writer.runs() == {"scan": make.run()}


def test_a_refused_file_is_left_as_it_was_and_unlocked(tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"\xff\xd8 a photo" * 999)
    for _ in range(2):
        with pytest.raises(StudyError, match="is not a study"):
            Writer(path)
    assert path.read_bytes() == b"\xff\xd8 a photo" * 999
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there_is_said(tmp_path):
    with pytest.raises(StorageError, match="there is no folder"):
        Writer(tmp_path / "no" / "a.lurk")


def test_a_run_that_begins_again_keeps_what_was_done_and_another_run_does_not(writer, make):
    layer = make.layers()[0]
    writer.write_scan(layer.name, make.scan(layer))
    writer.save_progress("scan", [Shard(0, 8)], {})
    writer.begin(make.run(started="t9", version="2"))
    assert writer.runs()["scan"].started == "t9"
    assert writer.progress("scan") == ([Shard(0, 8)], {})
    for changed in ({"model_fingerprint": "m2"}, {"data_fingerprint": "d2"}, {"options": {}}, {"seed": 4}):
        writer.write_sample(np.arange(make.sample))
        writer.write_scan(layer.name, make.scan(layer))
        writer.save_progress("scan", [Shard(0, 8)], {})
        writer.begin(make.run(**changed))
        assert writer.progress("scan") is None
        assert not writer.examples_without_picture()
        with Reader(writer.path) as reader, pytest.raises(StudyError, match="not finished"):
            reader.statistics(layer.name)
        writer.begin(make.run())


def test_a_finished_stage_has_no_progress_and_does_not_begin_again(writer, make):
    writer.save_progress("scan", [Shard(0, 8)], {"a": np.zeros(9)})
    writer.finish("scan", "t1")
    assert writer.progress("scan") is None
    assert writer.runs()["scan"].finished == "t1"
    with pytest.raises(StudyError, match="is finished"):
        writer.begin(make.run())
    with pytest.raises(ValueError, match="never begun"):
        writer.finish("synthesize", "t1")


STATE = {
    "floats": np.random.default_rng(0).normal(size=(3, PIECE // 16)),
    "counts": np.arange(24, dtype=np.int32).reshape(2, 3, 4),
    "flags": np.array([True, False]),
    "bytes": np.arange(256, dtype=np.uint8),
    "swapped": np.arange(5, dtype=">i8"),
    "halves": np.array([[1.5, np.nan, np.inf]], np.float16),
    "number": np.array(2.5),
    "empty": np.zeros((0, 7), np.float32),
    "strided": np.arange(60.0).reshape(6, 10)[::2, ::3],
}


def test_progress_comes_back_bit_for_bit_also_after_reopening(tmp_path, make):
    path = tmp_path / "a.lurk"
    with Writer(path) as writer:
        assert writer.progress("scan") is None
        make.before_scan(writer)
        writer.save_progress("scan", [Shard(8, 16), Shard(0, 8)], STATE)
    with Writer(path) as writer:
        done, state = writer.progress("scan")
    assert done == [Shard(0, 8), Shard(8, 16)]
    assert set(state) == set(STATE)
    for name, values in STATE.items():
        assert state[name].dtype == values.dtype
        assert state[name].shape == values.shape
        assert state[name].tobytes() == values.tobytes()
        assert state[name].flags.writeable


def test_progress_replaces_the_last_whole(writer):
    writer.save_progress("scan", [Shard(0, 8), Shard(8, 9)], STATE)
    writer.save_progress("scan", [Shard(0, 9)], {"floats": STATE["floats"][:1], "new": np.ones(2)})
    done, state = writer.progress("scan")
    assert done == [Shard(0, 9)]
    assert set(state) == {"floats", "new"}
    assert np.array_equal(state["floats"], STATE["floats"][:1])


def test_only_pieces_that_changed_are_written_again(writer):
    values = np.random.default_rng(0).normal(size=20 * PIECE // 8)
    writer.save_progress("scan", [Shard(0, 8)], {"values": values})
    log = writer.path.with_name("a.lurk-wal")
    with sqlite3.connect(writer.path) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    values[-1] += 1
    writer.save_progress("scan", [Shard(0, 16)], {"values": values})
    assert log.stat().st_size < 2 * PIECE
    assert np.array_equal(writer.progress("scan")[1]["values"], values)


def test_objects_are_no_progress(writer):
    for values in (np.array([{}]), np.array(["text"]), np.zeros(2, [("a", int)]), np.zeros(1, "M8[s]")):
        with pytest.raises(ValueError, match="not plain numbers"):
            writer.save_progress("scan", [Shard(0, 8)], {"good": np.ones(3), "bad": values})
    assert writer.progress("scan") is None


@pytest.mark.slow
def test_the_room_of_dropped_progress_goes_back_to_the_disk(tmp_path, make):
    path = tmp_path / "a.lurk"
    with Writer(path) as writer:
        make.before_scan(writer)
        writer.save_progress("scan", [Shard(0, 8)], {"values": np.ones(8 * PIECE)})
        make.all(writer)
    assert path.stat().st_size < 2 * PIECE
    assert not check(path).problems


def test_a_transaction_is_written_as_a_whole_or_not_at_all(writer, make):
    layer, other, _ = make.layers()

    def ends_in_an_error():
        with writer.transaction():
            writer.write_scan(layer.name, make.scan(layer))
            writer.add_note("a", "b")
            writer.write_scan("nothing", make.scan(layer))

    def goes_on_after_an_error():
        with writer.transaction():
            writer.add_note("a", "b")
            with suppress(ValueError):
                writer.write_scan("nothing", make.scan(layer))

    with pytest.raises(ValueError, match="never written"):
        ends_in_an_error()
    with pytest.raises(StorageError, match="part of a change failed"):
        goes_on_after_an_error()
    with Reader(writer.path) as reader:
        assert reader.notes() == ()
    with writer.transaction():
        writer.write_scan(layer.name, make.scan(layer))
        with writer.transaction():
            writer.write_scan(other.name, make.scan(other))
    with Reader(writer.path) as reader:
        assert reader.statistics(layer.name).mean.size == 5


def test_records_that_do_not_fit_together_are_refused_and_nothing_is_written(writer, make):
    layer = make.layers()[0]
    scan = make.scan(layer)
    gap = scan.by_mean.examples.copy()
    gap[2, 1] = -1
    strange = scan.by_mean.examples.copy()
    strange[2, 1] = 4000
    for wrong in (
        make.scan(layer, classes=2),
        replace(scan, sample=scan.sample[:, 1:]),
        make.scan(make.layers()[1]),
        replace(scan, by_mean=replace(scan.by_mean, examples=gap)),
        replace(scan, by_mean=replace(scan.by_mean, examples=strange)),
    ):
        with pytest.raises(ValueError, match=r"has shapes|after its end|do not fit together"):
            writer.write_scan(layer.name, wrong)
    with pytest.raises(ValueError, match="use image/jpeg"):
        writer.write_pictures([(0, "image/png", b"a"), (1, "text/html", b"b")])
    with Reader(writer.path) as reader:
        assert reader.picture(0) is None
        with pytest.raises(StudyError, match="not finished"):
            reader.statistics(layer.name)


def test_exemplars_without_picture_are_those_still_to_draw(writer, make):
    assert writer.examples_without_picture() == []
    layer = make.layers()[0]
    scan = make.scan(layer)
    writer.write_scan(layer.name, scan)
    wanted = {int(e) for r in (scan.by_max, scan.by_mean, scan.quantiles) for e in r.examples.ravel() if e >= 0}
    assert writer.examples_without_picture() == sorted(wanted)
    half = sorted(wanted)[::2]
    writer.write_pictures((example, "image/png", make.picture(0)) for example in half)
    assert writer.examples_without_picture() == sorted(wanted - set(half))


def test_skips_and_notes_are_kept_once(writer):
    writer.add_skips([Skip("a.jpg", "empty"), Skip("bad.jpg", "it is empty"), Skip("a.jpg", "empty")])
    writer.add_note("layer x", "2 non-finite examples")
    writer.add_note("layer x", "2 non-finite examples")
    with Reader(writer.path) as reader:
        assert reader.skips() == (Skip("bad.jpg", "it is empty"), Skip("a.jpg", "empty"))
        assert len(reader.notes()) == 1


def test_file_names_that_are_not_utf_8_are_kept_readable(writer, make):
    first, *rest = make.examples()
    writer.write_data([], [replace(one, class_index=None) for one in (replace(first, path="caf\udce9.jpg"), *rest)])
    with Reader(writer.path) as reader:
        assert reader.examples([0])[0].path == "caf\\udce9.jpg"


def test_data_written_again_replaces_what_is_gone(writer, make):
    writer.write_data([], [replace(one, class_index=None) for one in make.examples()[:31]], [])
    with Reader(writer.path) as reader:
        assert reader.example_count() == 31
        assert reader.classes() == ()
        assert reader.skips() == ()


def test_another_model_drops_what_was_known_of_units(writer, make):
    layer = make.layers()[0]
    writer.write_scan(layer.name, make.scan(layer))
    writer.write_model((replace(layer, channels=7),), Graph(), Preprocessing(), (3, 8, 8))
    with Reader(writer.path) as reader:
        assert [one.channels for one in reader.layers()] == [7]
        assert reader.graph() == Graph()
    assert writer.examples_without_picture() == []
    assert not check(writer.path).problems


def test_an_open_reader_of_another_program_does_not_keep_a_study_from_closing(tmp_path, make, monkeypatch):
    monkeypatch.setattr("torchlurk.store.folding.PATIENCE", 0.1)
    path = tmp_path / "a.lurk"
    with Writer(path) as writer:
        make.before_scan(writer)
        other = sqlite3.connect(path)
        assert other.execute("SELECT count(*) FROM example").fetchone() == (40,)
    with Reader(path) as reader:
        assert reader.example_count() == 40
    other.close()
    with Writer(path):
        pass
    assert list(tmp_path.iterdir()) == [path]


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "s.lurk")
    for opened in (Writer, holds_nothing):
        with pytest.raises(StudyError, match="is not a study"):
            opened(tmp_path / "s.lurk")
    assert [one.name for one in tmp_path.iterdir()] == ["s.lurk"]
