"""What people note of units: written by anybody at any moment, beside an analysis too; nothing is lost and one file remains."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace

import pytest

from torchlurk.errors import OptionError, StorageError, StudyError, UnitError
from torchlurk.export import export
from torchlurk.records import Remark
from torchlurk.resources.tree import Resource
from torchlurk.store import schema
from torchlurk.store.changing import small_change
from torchlurk.store.checking import check
from torchlurk.store.folding import change_journal, settle
from torchlurk.store.reading import Reader
from torchlurk.store.remarks import LONGEST_NAME, LONGEST_TEXT, Change, write_remarks
from torchlurk.store.writing import Writer
from torchlurk.units import Unit


@pytest.fixture
def unit(make):
    """A unit of the study."""
    return Unit(make.layers()[0].name, 1)


def remarks(path):
    """What is noted, without the times."""
    with Reader(path) as reader:
        return {str(unit): (one.name, one.text, one.starred) for unit, one in reader.remarks().items()}


def is_one_plain_file(path):
    return os.listdir(path.parent) == [path.name] and path.read_bytes()[18:20] == b"\x01\x01"


def test_a_remark_is_there_and_the_study_is_one_plain_file_again(study, unit):
    assert remarks(study) == {}
    written = write_remarks(study, {unit: Change(name="wheels", text="also  rims\n", starred=True)})
    assert remarks(study) == {str(unit): ("wheels", "also  rims", True)}
    assert set(written) == {unit}
    assert written[unit].written.endswith("+00:00")
    assert is_one_plain_file(study)
    assert check(study).problems == ()


def test_what_is_not_given_stays_and_what_is_empty_goes(study, unit):
    write_remarks(study, {unit: Change(name="wheels", text="rims")})
    write_remarks(study, {unit: Change(starred=True)})
    assert remarks(study) == {str(unit): ("wheels", "rims", True)}
    write_remarks(study, {unit: Change(name="")})
    assert remarks(study) == {str(unit): ("", "rims", True)}
    assert write_remarks(study, {unit: Change(text="", starred=False)}) == {unit: None}
    assert remarks(study) == {}


def test_what_says_the_same_again_keeps_its_time(study, unit):
    write_remarks(study, {unit: Change(name="wheels", written="2001-01-01T00:00:00+00:00")})
    found = write_remarks(study, {unit: Change(name=" wheels ")})
    assert found[unit].written == "2001-01-01T00:00:00+00:00"


def test_remarks_come_in_the_order_of_execution(study, make):
    first, second, third = (layer.name for layer in make.layers())
    units = [Unit(third, 0), Unit(first, 2), Unit(second, 1), Unit(first, 0)]
    write_remarks(study, {one: Change(name="x") for one in units})
    with Reader(study) as reader:
        assert list(reader.remarks()) == [Unit(first, 0), Unit(first, 2), Unit(second, 1), Unit(third, 0)]
        assert list(reader.remarks(second)) == [Unit(second, 1)]
    with Reader(study, remarks=False) as reader:
        assert reader.remarks() == {}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"name": "x" * (LONGEST_NAME + 1)}, "the name has 101 characters"),
        ({"text": "x" * (LONGEST_TEXT + 1)}, "the text has 10,001 characters"),
        ({"name": "a\x1b[31m"}, "the name contains characters that cannot be shown"),
        ({"text": "a\x00b"}, "the text contains characters that cannot be shown"),
        ({"name": "\udce9"}, "the name contains characters that cannot be shown"),
    ],
)
def test_what_cannot_be_shown_is_refused(given, said):
    with pytest.raises(OptionError, match=said):
        Change(**given)


def test_names_of_all_scripts_and_lines_of_text_are_kept():
    assert Change(name=" 👩‍👧  עין\n العين ").name == "👩‍👧 עין العين"
    assert Change(text="\r\n a\tb \r\n\r\n c\n\n").text == " a\tb\n\n c"


def test_a_unit_that_is_not_there_is_refused_and_nothing_of_the_rest_is_written(study, unit):
    for wrong, said in ((Unit("nowhere", 0), "no layer 'nowhere'"), (Unit(unit.layer, 99), "has no channel 99")):
        with pytest.raises(UnitError, match=said):
            write_remarks(study, {unit: Change(name="wheels"), wrong: Change(name="x")})
    assert remarks(study) == {}
    assert is_one_plain_file(study)


def test_what_is_no_study_is_refused_and_left_as_it_was(tmp_path, unit):
    other = tmp_path / "other.lurk"
    with closing(sqlite3.connect(other)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE a (b)")
    before = other.read_bytes()
    for path, said in ((other, "is not a study"), (tmp_path / "none.lurk", "there is no study"), (tmp_path, "is not a study")):
        with pytest.raises(StudyError, match=said):
            write_remarks(path, {unit: Change(name="x")})
    assert other.read_bytes() == before
    assert not (tmp_path / "none.lurk").exists()


def test_a_study_of_format_1_has_no_place_for_remarks(tmp_path, unit):
    path = tmp_path / "old.lurk"
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(f"PRAGMA page_size = {schema.PAGE_SIZE}")
        for statement in schema.VERSION_1:
            db.execute(statement)
        db.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
        db.execute("PRAGMA user_version = 1")
    before = path.read_bytes()
    with pytest.raises(StudyError, match="is of study format 1, which this Torchlurk reads"):
        write_remarks(path, {unit: Change(name="x")})
    assert path.read_bytes() == before
    with Reader(path) as reader:
        assert reader.remarks() == {}


def test_remarks_are_written_while_an_analysis_holds_the_study(tmp_path, make, unit):
    path = tmp_path / "a.lurk"
    with Writer(path) as writer:
        make.before_scan(writer)
        write_remarks(path, {unit: Change(name="wheels")})
        assert remarks(path) == {str(unit): ("wheels", "", False)}
        make.all(writer)
        with pytest.raises(StudyError, match="is being written by another process"):
            Writer(path)
        write_remarks(path, {unit: Change(starred=True)})
        assert path.with_name("a.lurk-wal").exists()
    assert remarks(path) == {str(unit): ("wheels", "", True)}
    assert is_one_plain_file(path)
    assert check(path).problems == ()


def test_another_scan_into_the_same_file_leaves_remarks_and_check_names_those_without_a_unit(tmp_path, make, unit):
    path = tmp_path / "a.lurk"
    with Writer(path) as writer:
        make.all(writer, finish=False)
    write_remarks(path, {unit: Change(name="wheels"), Unit(make.layers()[2].name, 0): Change(starred=True)})
    with Writer(path) as writer:
        writer.begin(make.run(seed=9))
        writer.write_model(
            (replace(make.layers()[0], name="other"), *make.layers()[1:]), make.graph(), make.preprocessing(), (3, 8, 8)
        )
    assert remarks(path) == {f"{make.layers()[2].name}:0": ("", "", True), str(unit): ("wheels", "", False)}
    report = check(path)
    assert report.problems == ()
    assert report.strays == (f"the remark 'wheels' is on {unit}, which the study does not have",)
    write_remarks(path, {unit: Change(name="")})  # it can be removed, and no other be made
    with pytest.raises(UnitError):
        write_remarks(path, {unit: Change(name="wheels")})


STEPS = 40
"""More statements than writing a remark takes."""


def killed_at(statement, path, unit, monkeypatch):
    """Whether a process that writes a remark came to its end before it was killed at that statement."""
    from torchlurk.store import changing, folding
    from torchlurk.store.connections import open_alone, open_changing

    seen = 0

    def told(_):
        nonlocal seen
        seen += 1
        if seen == statement:
            os.kill(os.getpid(), signal.SIGKILL)

    def traced(opening):
        def opened(path):
            db = opening(path)
            db.set_trace_callback(told)
            return db

        return opened

    child = os.fork()
    if child == 0:
        monkeypatch.setattr(changing, "open_changing", traced(open_changing))
        monkeypatch.setattr(folding, "open_alone", traced(open_alone))
        write_remarks(path, {unit: Change(text="after")})
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0


@pytest.mark.slow
def test_a_process_killed_at_any_statement_leaves_the_remark_as_it_was_or_as_it_was_to_be(study, unit, monkeypatch):
    found = []
    for statement in range(1, STEPS):
        write_remarks(study, {unit: Change(text="before")})
        ended = killed_at(statement, study, unit, monkeypatch)
        found.append(remarks(study)[str(unit)][1])  # readable as it lies there, by a reader that changes nothing
        if ended:
            break
    assert ended
    assert len(found) > 5
    assert found == sorted(found, reverse=True)  # once it is written it stays
    assert {found[0], found[-1]} == {"before", "after"}
    assert check(study).problems == ()
    assert is_one_plain_file(study)
    killed_at(found.index("after") + 1, study, unit, monkeypatch)
    write_remarks(study, {unit: Change(text="later")})
    assert is_one_plain_file(study)


NOTE = """
import sys
from pathlib import Path
from torchlurk.store.remarks import Change, write_remarks
from torchlurk.units import Unit

for number in range(int(sys.argv[3])):
    write_remarks(Path(sys.argv[1]), {Unit(sys.argv[2], number): Change(text=f"{number}")})
"""


def test_many_write_at_once_and_nothing_is_lost_and_no_analysis_is_refused(study, make):
    layers, each = [layer.name for layer in make.layers()[:2]], 3
    processes = [subprocess.Popen([sys.executable, "-c", NOTE, study, layer, str(each)]) for layer in layers]
    notes = 0
    while any(process.poll() is None for process in processes):
        with Writer(study) as writer:
            writer.add_note("test", str(notes))
        notes += 1
    assert [process.returncode for process in processes] == [0, 0]
    with Reader(study) as reader:
        assert set(reader.remarks()) == {Unit(layer, channel) for layer in layers for channel in range(each)}
        assert len(reader.notes()) == 1 + notes
    assert check(study).problems == ()
    assert is_one_plain_file(study)


@pytest.mark.parametrize("opening", ["analysis", "note"])
def test_a_file_that_is_folded_while_it_is_opened_to_write_is_written_through_the_log_all_the_same(
    study, unit, monkeypatch, opening
):
    folded = 0

    def change_and_fold(db, mode):
        nonlocal folded
        change_journal(db, mode)
        if mode == "WAL" and not folded:
            folded += 1
            settle(study)

    monkeypatch.setattr("torchlurk.store.folding.change_journal", change_and_fold)
    if opening == "analysis":
        with Writer(study) as writer:
            writer.add_note("test", "a note")
            assert study.with_name(f"{study.name}-wal").stat().st_size
    else:
        with small_change(study) as db:
            assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert folded == 1
    assert is_one_plain_file(study)


def test_remarks_are_written_beside_readers_that_stay(study, unit):
    with Reader(study) as reader:
        reader.layers()
        write_remarks(study, {unit: Change(name="wheels")})
        assert reader.remarks()[unit] == replace(Remark("wheels"), written=reader.remarks()[unit].written)
    assert is_one_plain_file(study)


def test_a_full_disk_is_said_and_what_was_noted_is_kept(small_disk, make, unit):
    path = small_disk / "a.lurk"
    with Writer(path) as writer:
        make.before_scan(writer)
    write_remarks(path, {unit: Change(name="wheels")})
    full(small_disk / "more")
    with pytest.raises(StorageError, match=r"no space left|the disk may be full"):
        write_remarks(path, {Unit(unit.layer, 0): Change(text="x" * LONGEST_TEXT)})
    assert remarks(path) == {str(unit): ("wheels", "", False)}
    (small_disk / "more").unlink()
    write_remarks(path, {unit: Change(starred=True)})
    assert remarks(path) == {str(unit): ("wheels", "", True)}


def full(file):
    """Takes all room of a disk."""
    with open(file, "wb", buffering=0) as to:
        try:
            while True:
                to.write(bytes(4096))
        except OSError:
            return


def test_an_export_holds_notes_unless_told_otherwise(study, unit, tmp_path, monkeypatch):
    monkeypatch.setattr("torchlurk.export.app_files", lambda: {"index.html": Resource("text/html", b"<!doctype html>")})
    write_remarks(study, {unit: Change(name="SECRET-NAME", text="SECRET-TEXT", starred=True)})
    told = {}
    for notes in (True, False):
        export([study], tmp_path / f"{notes}", notes=notes)
        data = tmp_path / f"{notes}" / "data" / "small"
        documents = [path for path in data.rglob("*.json") if b"SECRET" in path.read_bytes()]
        told[notes] = {path.relative_to(data).as_posix() for path in documents}
    assert told == {True: {"study.json", "layers/0.json", "layers/0/units/1.json"}, False: set()}
