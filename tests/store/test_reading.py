"""What is written comes back, and wrong files are refused in one line."""

from __future__ import annotations

import math
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest

from torchlurk.errors import StudyError, UnitError
from torchlurk.records import Skip
from torchlurk.store.connections import LARGEST_CELL
from torchlurk.store.reading import Reader
from torchlurk.store.schema import VERSION
from torchlurk.store.writing import Writer
from torchlurk.units import Unit


def test_everything_written_comes_back(study, make):
    with Reader(study) as reader:
        assert reader.version == VERSION
        assert reader.layers() == make.layers()
        assert reader.graph() == make.graph()
        assert reader.preprocessing() == make.preprocessing()
        assert reader.input_shape() == (3, make.side, make.side)
        assert [one.label for one in reader.classes()] == ["class 0", "class 1", "class 2"]
        assert reader.examples(range(40)) == tuple(make.examples())
        assert [one.index for one in reader.examples([7, 2, 7])] == [7, 2, 7]
        assert reader.example_count() == 40
        assert reader.skips() == (Skip("bad.jpg", "it is empty"),)
        assert reader.notes() == (("data", "changes when read again"),)
        assert reader.sample_examples().tolist() == [3 * i for i in range(make.sample)]
        run = reader.runs()["scan"]
        assert run == make.run(finished="t1")
        for name in ("mean", "covariance", "spectrum"):
            assert np.array_equal(getattr(reader.input_statistics(), name), getattr(make.input_statistics(), name))


def test_a_layer_comes_back_bit_for_bit(study, make):
    with Reader(study) as reader:
        for seed, layer in enumerate(make.layers()):
            scan = make.scan(layer, seed=seed)
            found = reader.statistics(layer.name)
            for name in ("mean", "std", "min", "max", "fraction_active", "selectivity"):
                assert np.array_equal(getattr(found, name), getattr(scan.statistics, name), equal_nan=True)
            assert np.array_equal(found.more["range"], scan.statistics.more["range"])
            maximum, mean = reader.class_profiles(layer.name)
            assert np.array_equal(maximum, scan.class_max, equal_nan=True)
            assert np.array_equal(mean, scan.class_mean)
            assert np.array_equal(reader.samples(layer.name), scan.sample)


def test_a_unit_comes_back_with_its_exemplars(study, make):
    with Reader(study) as reader:
        for seed, layer in enumerate(make.layers()):
            scan = make.scan(layer, seed=seed)
            for channel in range(layer.channels):
                unit = reader.unit(Unit(layer.name, channel))
                assert unit.layer == layer
                assert unit.channel == channel
                assert np.array_equal(unit.sample, scan.sample[channel])
                assert np.array_equal(unit.classes["max"], scan.class_max[channel], equal_nan=True)
                assert unit.statistics["mean"] == scan.statistics.mean[channel]
                assert unit.statistics["range"] == scan.statistics.more["range"][channel]
                assert math.isnan(unit.statistics["selectivity"]) == (channel == 0)
                rankings = {"max": scan.by_max, "mean": scan.by_mean, "quantile": scan.quantiles}
                assert list(unit.exemplars) == list(rankings)
                for name, ranking in rankings.items():
                    wanted = ranking.examples[channel][ranking.examples[channel] >= 0]
                    found = unit.exemplars[name]
                    assert [one.example for one in found] == wanted.tolist()
                    assert [one.rank for one in found] == list(range(len(wanted)))
                    assert [one.score for one in found] == ranking.scores[channel, : len(wanted)].tolist()


def test_exemplars_by_max_have_a_position_and_a_box_and_name_their_example(study, make):
    layer = make.layers()[0]
    by_max = make.scan(layer).by_max
    with Reader(study) as reader:
        exemplars = reader.unit(Unit(layer.name, 1)).exemplars
    for rank, one in enumerate(exemplars["max"]):
        assert one.position == tuple(divmod(int(by_max.positions[1, rank]), 3))
        assert one.box == tuple(by_max.boxes[1, rank].tolist())
        assert one.path == make.examples()[one.example].path
        assert one.class_label == (f"class {one.example % 3}" if one.example % 5 else None)
        assert one.recall is None
    assert {(one.position, one.box) for one in exemplars["mean"]} == {(None, None)}


def test_a_vector_unit_has_the_empty_position(study):
    with Reader(study) as reader:
        assert reader.unit(Unit("head", 0)).exemplars["max"][0].position == ()


def test_equal_pictures_are_stored_once(study, make):
    with Reader(study) as reader:
        assert reader.picture(2) == ("image/png", make.picture(2))
        assert reader.picture(6) == reader.picture(2)
        assert reader.picture(999) is None
    with sqlite3.connect(study) as db:
        assert db.execute("SELECT count(*) FROM picture").fetchone() == (4,)
    db.close()


def test_an_unknown_layer_or_channel_is_named_with_what_there_is(study):
    with Reader(study) as reader:
        with pytest.raises(UnitError, match=r"no layer 'conv\.O'.*nearest: conv\.0"):
            reader.unit(Unit("conv.O", 0))
        with pytest.raises(UnitError, match=r"'conv\.0' has no channel 5   \(it has channels 0 to 4\)"):
            reader.unit(Unit("conv.0", 5))
        with pytest.raises(UnitError):
            reader.statistics("nothing")
        with pytest.raises(StudyError, match="no example 40"):
            reader.examples([0, 40])


def test_a_layer_not_yet_scanned_is_told_from_one_that_never_will_be(tmp_path, make):
    path = tmp_path / "a.lurk"
    with Writer(path) as writer:
        make.before_scan(writer)
    with Reader(path) as reader:
        for read in (reader.statistics, reader.samples, reader.class_profiles, lambda name: reader.unit(Unit(name, 0))):
            with pytest.raises(StudyError, match=r"not finished for layer 'conv\.0'"):
                read("conv.0")
    with Writer(path) as writer:
        writer.finish("scan", "t1")
    with Reader(path) as reader, pytest.raises(StudyError, match="was not scanned"):
        reader.unit(Unit("conv.0", 0))


def test_a_study_without_classes_and_pictures_is_read(tmp_path, make):
    path = tmp_path / "a.lurk"
    layer = make.layers()[0]
    with Writer(path) as writer:
        make.before_scan(writer)
        writer.write_data([], [type(one)(one.index, "", None) for one in make.examples()])
        writer.write_scan(layer.name, make.scan(layer, classes=0))
    with Reader(path) as reader:
        assert reader.classes() == ()
        assert reader.class_profiles(layer.name)[0].shape == (5, 0)
        assert reader.unit(Unit(layer.name, 0)).classes["mean"].shape == (0,)
        assert reader.picture(0) is None
        assert reader.input_statistics() is None


def test_what_is_not_a_study_is_said_in_one_line(tmp_path, study):
    files = {
        "zero.lurk": b"",
        "text.lurk": b"once upon a time\n" * 300,
        "zeros.lurk": bytes(100_000),
        "random.lurk": os.urandom(50_000),
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(StudyError, match="is not a study") as raised:
            Reader(tmp_path / name)
        assert "\n" not in str(raised.value)
        assert (tmp_path / name).read_bytes() == content
    with pytest.raises(StudyError, match="is not a study"):
        Reader(tmp_path)
    with pytest.raises(StudyError, match=r"there is no study .*smal\.lurk'; nearest: small\.lurk"):
        Reader(study.with_name("smal.lurk"))
    with pytest.raises(StudyError, match="there is no study"):
        Reader(tmp_path / "no" / "where.lurk")


def test_another_database_is_not_a_study(tmp_path):
    path = tmp_path / "other.lurk"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE unit (a)")
    db.close()
    for opened in (Reader, Writer):
        with pytest.raises(StudyError, match="is not a study"):
            opened(path)
    assert not list(tmp_path.glob("other.lurk-*"))


def test_a_newer_study_asks_for_a_newer_torchlurk(tampered):
    path = tampered(f"PRAGMA user_version = {VERSION + 6}")
    for opened in (Reader, Writer):
        with pytest.raises(StudyError, match=rf"newer Torchlurk: study version {VERSION + 6}.*pip install -U torchlurk"):
            opened(path)


@pytest.mark.parametrize(
    "planted",
    [
        "CREATE VIEW v AS SELECT 1",
        "CREATE TRIGGER t AFTER INSERT ON unit BEGIN DELETE FROM unit; END",
        "CREATE INDEX i ON unit (mean)",
        "CREATE TABLE more (a)",
        "CREATE VIRTUAL TABLE f USING fts5(a)",
        "ALTER TABLE unit ADD COLUMN more REAL",
        "DROP TABLE note",
        "ALTER TABLE class RENAME TO hidden; CREATE VIEW class AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL"
        " SELECT i + 1 FROM n) SELECT i AS id, 'a' AS name, 'b' AS label FROM n",
    ],
)
def test_a_schema_that_is_not_ours_is_refused(tampered, planted):
    path = tampered(planted)
    for opened in (Reader, Writer):
        with pytest.raises(StudyError, match="is damaged: it"):
            opened(path)


def test_analyze_of_sqlite_is_let_pass(tampered):
    Reader(tampered("ANALYZE")).close()


@pytest.mark.parametrize(
    ("sql", "read"),
    [
        ("UPDATE layer SET channels = 4611686018427387904", lambda r: r.layers()),
        ("UPDATE layer SET channels = 2000000000", lambda r: r.samples("conv.0")),
        ("UPDATE layer SET shape = '[9999999999, 9999999999]'", lambda r: r.layers()),
        ("UPDATE layer SET shape = '{}'", lambda r: r.layers()),
        ("UPDATE layer SET shape = '[-1]'", lambda r: r.layers()),
        ("UPDATE layer SET shape = '[true]'", lambda r: r.layers()),
        (f"UPDATE layer SET shape = '{'[' * 100_000}'", lambda r: r.layers()),
        ("UPDATE layer SET layout = 'round'", lambda r: r.layers()),
        ("UPDATE layer SET stride = '[1]'", lambda r: r.layers()),
        ("UPDATE layer SET read_after = '[1]'", lambda r: r.layers()),
        ("UPDATE layer SET name = CAST(x'ff' AS TEXT) WHERE id = 0", lambda r: r.layers()),
        ("UPDATE node SET kind = 'evil'", lambda r: r.graph()),
        ("UPDATE run SET options = '[]'", lambda r: r.runs()),
        ("UPDATE run SET options = 'x'", lambda r: r.runs()),
        ("UPDATE meta SET value = '{}'", lambda r: r.preprocessing()),
        ("UPDATE meta SET value = replace(value, 'bicubic', 'x')", lambda r: r.preprocessing()),
        ("UPDATE meta SET value = replace(value, '[20]', '5')", lambda r: r.preprocessing()),
        ("UPDATE response SET sample = x'00'", lambda r: r.samples("conv.0")),
        ("UPDATE response SET sample = zeroblob(10000000)", lambda r: r.unit(Unit("conv.0", 0))),
        ("UPDATE class_profile SET max = x'00'", lambda r: r.class_profiles("conv.0")),
        ("DELETE FROM class_profile", lambda r: r.unit(Unit("conv.0", 0))),
        ("DELETE FROM unit WHERE channel = 1", lambda r: r.statistics("conv.0")),
        ("UPDATE unit SET channel = channel + 7", lambda r: r.statistics("conv.0")),
        ("UPDATE exemplar SET position = 99999", lambda r: r.unit(Unit("conv.0", 0))),
        ("UPDATE exemplar SET position = -1", lambda r: r.unit(Unit("conv.0", 0))),
        ("UPDATE exemplar SET x1 = NULL WHERE x1 > 0", lambda r: r.unit(Unit("conv.0", 0))),
        ("UPDATE exemplar SET ranking = 'best' WHERE ranking = 'max'", lambda r: r.unit(Unit("conv.0", 0))),
        ("DELETE FROM example", lambda r: r.unit(Unit("conv.0", 0))),
        ("UPDATE picture SET media_type = 'text/html'", lambda r: r.picture(0)),
        ("UPDATE input_statistics SET shape = '[3,99999999,99999999]'", lambda r: r.input_statistics()),
        ("UPDATE input_statistics SET shape = '[3]'", lambda r: r.input_statistics()),
    ],
)
def test_cells_that_cannot_be_are_damage(tampered, sql, read):
    with Reader(tampered(sql)) as reader, pytest.raises(StudyError, match="is damaged: ") as raised:
        read(reader)
    assert "\n" not in str(raised.value)


def test_cells_of_a_wrong_type_are_damage(study):
    """STRICT keeps them out of a table, not out of a file: here the schema was another while they were written."""
    columns = {"layer": "type", "unit": "mean", "class": "label", "exemplar": "score", "response": "sample", "picture": "data"}
    db = sqlite3.connect(study, isolation_level=None)
    db.execute("PRAGMA foreign_keys = 0")
    db.execute("PRAGMA writable_schema = 1")
    db.execute("UPDATE sqlite_schema SET sql = replace(sql, 'STRICT, ', '')")
    db.execute("UPDATE sqlite_schema SET sql = replace(sql, ') STRICT', ')')")
    db.close()
    db = sqlite3.connect(study, isolation_level=None)
    db.execute("PRAGMA ignore_check_constraints = 1")
    for table, column in columns.items():
        db.execute(
            f"UPDATE {table} SET {column} = {'x' + repr('00ff') if column in ('type', 'label', 'mean', 'score') else repr('t')}"
        )
    db.execute("PRAGMA writable_schema = 1")
    db.execute("UPDATE sqlite_schema SET sql = sql || ' STRICT' WHERE sql NOT LIKE '%WITHOUT ROWID'")
    db.execute("UPDATE sqlite_schema SET sql = replace(sql, 'WITHOUT ROWID', 'STRICT, WITHOUT ROWID')")
    db.close()
    with Reader(study) as reader:
        unit = Unit("conv.0", 0)
        for read in (reader.layers, reader.classes, lambda: reader.unit(unit), lambda: reader.picture(0)):
            with pytest.raises(StudyError, match="is damaged"):
                read()


def test_a_truncated_study_is_damaged_and_never_a_traceback(study):
    whole, said = study.read_bytes(), []
    for size in (1, 99, 100, 5000, 16384, 20000, len(whole) // 2, len(whole) - 16384, len(whole) - 1):
        study.write_bytes(whole[:size])
        try:
            with Reader(study) as reader:
                for read in (reader.runs, reader.layers, reader.graph, reader.classes, reader.skips, reader.notes):
                    read()
                for layer in ("conv.0", "blocks.1", "head"):
                    reader.unit(Unit(layer, 0))
                    reader.samples(layer)
        except StudyError as error:
            said.append(str(error))
    assert said
    assert not any("\n" in line for line in said)


def test_random_damage_never_ends_in_a_traceback(study):
    whole, said = study.read_bytes(), []
    rng = np.random.default_rng(0)
    for _ in range(150):
        broken = bytearray(whole)
        for place in rng.integers(0, len(whole), 300):
            broken[place] = rng.integers(256)
        for place in rng.integers(100, 4000, 2):
            broken[place] = rng.integers(256)
        study.write_bytes(broken)
        try:
            with Reader(study) as reader:
                for read in (reader.runs, reader.layers, reader.graph, reader.classes, reader.input_statistics):
                    read()
                for layer in ("conv.0", "blocks.1", "head"):
                    reader.unit(Unit(layer, 1))
                    reader.samples(layer)
                    reader.class_profiles(layer)
        except (StudyError, UnitError) as error:
            said.append(str(error))
    assert said
    assert not any("\n" in line for line in said)


@pytest.mark.slow
def test_a_cell_larger_than_any_is_not_read(study):
    db = sqlite3.connect(study)
    with db:
        db.execute("UPDATE picture SET data = zeroblob(?)", (LARGEST_CELL + 1,))
    db.close()
    with Reader(study) as reader, pytest.raises(StudyError, match="too big"):
        reader.picture(0)


def test_reading_changes_nothing_and_leaves_nothing(study):
    before = study.read_bytes(), study.stat().st_mtime_ns
    with Reader(study) as reader:
        reader.layers()
        assert [one.name for one in study.parent.iterdir()] == [study.name]
    assert (study.read_bytes(), study.stat().st_mtime_ns) == before
    with Reader(study) as reader, reader.reading() as db, pytest.raises(sqlite3.OperationalError, match="readonly"):
        db.execute("DELETE FROM unit")


def test_a_closed_reader_says_so(study):
    reader = Reader(study)
    reader.close()
    reader.close()
    with pytest.raises(StudyError, match="is closed"):
        reader.layers()


def test_names_with_odd_characters_are_only_names(tmp_path, make):
    for name in ("a?mode=memory&x.lurk", "100% #1.lurk", "ünï côde.lurk", "file:b.lurk"):
        path = tmp_path / name
        with Writer(path) as writer:
            make.all(writer)
        with Reader(path) as reader:
            assert reader.example_count() == 40
    assert len(list(tmp_path.iterdir())) == 4


def test_threads_read_side_by_side(study):
    wrong = []

    def read(reader: Reader) -> None:
        for _ in range(10):
            wrong.extend(c for c in range(5) if reader.unit(Unit("conv.0", c)).channel != c)

    with Reader(study) as reader:
        threads = [threading.Thread(target=read, args=(reader,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


def test_a_study_is_read_while_it_is_written_and_after(tmp_path, make):
    path = tmp_path / "a.lurk"
    layers = make.layers()
    with Writer(path) as writer, Reader(path) as reader:
        make.before_scan(writer)
        for seed, layer in enumerate(layers):
            with pytest.raises(StudyError, match="not finished"):
                reader.statistics(layer.name)
            with writer.transaction():
                writer.write_scan(layer.name, make.scan(layer, seed=seed))
                with pytest.raises(StudyError, match="not finished"):
                    reader.statistics(layer.name)
            assert reader.statistics(layer.name).mean.shape == (layer.channels,)
        writer.finish("scan", "t1")
        writer.close()
        assert sorted(one.name for one in tmp_path.iterdir()) == ["a.lurk"]
        assert reader.runs()["scan"].finished == "t1"
        with Writer(path) as again:
            again.add_note("later", "a second stage")
            assert reader.notes() == (("later", "a second stage"),)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.lurk"]


READ = """
import os, sys
from pathlib import Path
from torchlurk.errors import TorchlurkError
from torchlurk.store.reading import Reader
from torchlurk.store.writing import Writer
if os.geteuid() == 0:
    os.seteuid(65534)
try:
    with (Reader if sys.argv[2] == "read" else Writer)(Path(sys.argv[1])) as opened:
        print(len(opened.runs()))
except TorchlurkError as error:
    print(type(error).__name__, error)
"""


def as_nobody(path: Path, what: str) -> str:
    """What reading or writing prints for a user without rights (for root: as another user)."""
    ran = subprocess.run(
        [sys.executable, "-c", READ, path, what],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.stderr == ""
    return ran.stdout.strip()


@pytest.fixture
def locked_folder():
    """A folder that others may read and, in the end, nobody may write."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


@pytest.mark.skipif(os.name == "nt", reason="folders have no write permission there")
def test_a_finished_study_opens_in_a_read_only_folder(locked_folder, study):
    path = Path(shutil.copy(study, locked_folder))
    path.chmod(0o444)
    locked_folder.chmod(0o555)
    assert as_nobody(path, "read") == "1"
    assert [one.name for one in locked_folder.iterdir()] == [path.name]
    assert as_nobody(path, "write").startswith("StorageError")


@pytest.mark.skipif(os.name == "nt", reason="folders have no write permission there")
def test_an_unfinished_study_opens_in_a_read_only_folder_where_the_file_is_all(locked_folder, tmp_path, make):
    path = tmp_path / "a.lurk"
    writer = Writer(path)
    make.before_scan(writer)
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    copy = Path(shutil.copy(path, locked_folder))
    locked_folder.chmod(0o555)
    assert as_nobody(copy, "read") == "1"
    locked_folder.chmod(0o755)
    writer.add_note("a", "b")
    shutil.copy(f"{path}-wal", f"{copy}-wal")
    locked_folder.chmod(0o555)
    assert "copy it with the files" in as_nobody(copy, "read")
    writer.close()


@pytest.mark.skipif(os.name == "nt", reason="folders have no write permission there")
def test_a_study_whose_writer_was_killed_opens_in_a_read_only_folder_and_is_left_as_it_is(locked_folder, tmp_path, make):
    path = tmp_path / "a.lurk"
    writer = Writer(path)
    make.before_scan(writer)
    for ending in ("", "-wal", "-shm"):
        copy = Path(shutil.copy(f"{path}{ending}", locked_folder))
        copy.chmod(0o444)
    writer.close()
    locked_folder.chmod(0o555)
    before = {one.name: one.read_bytes() for one in locked_folder.iterdir()}
    assert as_nobody(locked_folder / path.name, "read") == "1"
    assert {one.name: one.read_bytes() for one in locked_folder.iterdir()} == before


@pytest.mark.skipif(os.name == "nt", reason="files have other permissions there")
def test_a_study_without_permission_is_refused_in_one_line(locked_folder, study):
    path = Path(shutil.copy(study, locked_folder))
    path.chmod(0o000)
    assert as_nobody(path, "read").startswith("StudyError")
    locked_folder.chmod(0o000)
    assert as_nobody(path, "read").startswith("StudyError")
