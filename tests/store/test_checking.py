"""A whole study passes; each kind of damage has its line."""

from __future__ import annotations

import sqlite3
import struct
import zlib

import numpy as np
import pytest

from torchlurk.errors import StudyError
from torchlurk.jobs import Shard
from torchlurk.store.checking import MOST_LINES, StageState, check
from torchlurk.store.writing import Writer


def test_a_whole_study_has_no_problem_and_is_counted(study, make):
    report = check(study)
    assert report.problems == ()
    assert report.stages == (StageState("scan", "t1", 0, 0, 40),)
    counts = {
        "layers": 3,
        "layers scanned": 3,
        "units": 10,
        "examples": 40,
        "classes": 3,
        "pictures": 4,
        "skipped": 1,
        "notes": 1,
    }
    assert counts.items() <= report.counts.items()
    assert report.counts["exemplars"] == 10 * 13 - 3 * 3
    assert report.counts["exemplars without picture"] == 0


def test_an_unfinished_study_says_how_far_it_is(tmp_path, make):
    path = tmp_path / "a.lurk"
    with Writer(path) as writer:
        make.before_scan(writer)
        writer.save_progress("scan", [Shard(0, 8), Shard(16, 20)], {"sums": np.ones(3)})
        writer.write_scan("head", make.scan(make.layers()[2]))
        report = check(path)
    assert report.problems == ()
    assert report.stages == (StageState("scan", None, 2, 12, 40),)
    assert report.counts["layers scanned"] == 1
    assert report.counts["exemplars without picture"] > 0


@pytest.mark.parametrize(
    ("sql", "problem"),
    [
        ("DELETE FROM example WHERE id = 7", "rows of exemplar name a row of example that is not there"),
        ("DELETE FROM picture", "40 rows of example_picture name a row of picture that is not there"),
        ("UPDATE class SET id = 9 WHERE id = 2", "class is not numbered from 0 to 2"),
        ("DELETE FROM sample WHERE position = 4", "sample is not numbered from 0 to 9"),
        ("DELETE FROM unit WHERE channel = 1 AND layer = 0", "layer 'conv.0': unit has 4 of 5 units"),
        ("DELETE FROM response WHERE layer = 1", "layer 'blocks.1': response has 0 of 3 units"),
        ("UPDATE unit_statistic SET numbers = zeroblob(8) WHERE layer = 1", "layer 'blocks.1': unit_statistic.numbers"),
        ("UPDATE unit_statistic SET name = 'max' WHERE layer = 1", "layer 'blocks.1': unit_statistic.name"),
        ("UPDATE unit_statistic SET name = '<b>' WHERE layer = 1", "layer 'blocks.1': unit_statistic.name"),
        ("UPDATE unit_statistic SET layer = 9 WHERE layer = 1", "rows of unit_statistic name a row of layer"),
        (
            "UPDATE class_profile SET mean = zeroblob(8) WHERE layer = 2",
            "unit head:0: class_profile.mean is not a blob of 12 bytes",
        ),
        ("UPDATE response SET sample = zeroblob(48)", "unit conv.0:0: response.sample is not a blob of 44 bytes"),
        ("DELETE FROM exemplar WHERE rank = 1 AND ranking = 'mean'", "unit head:1: ranks by mean have gaps"),
        (
            "UPDATE exemplar SET example = 1 WHERE ranking = 'max' AND rank < 2",
            "unit conv.0:0: example 1 is twice among the exemplars by max",
        ),
        (
            "UPDATE exemplar SET score = -9 WHERE rank = 0 AND ranking = 'max'",
            "unit conv.0:0: exemplars 0 and 1 by max are out of order",
        ),
        (
            "UPDATE exemplar SET score = 9 WHERE rank = 0 AND ranking = 'quantile'",
            "unit conv.0:0: exemplars 0 and 1 by quantile are out of order",
        ),
        (
            "UPDATE exemplar SET score = 1, example = 39 - rank WHERE ranking = 'mean'",
            "unit conv.0:0: exemplars 0 and 1 by mean are out of order",
        ),
        ("UPDATE exemplar SET score = NULL WHERE rank = 0", "unit conv.0:0: exemplars 0 and 1 by max are out of order"),
        (
            "UPDATE exemplar SET position = 12 WHERE layer = 0 AND position >= 0",
            "unit conv.0:0: exemplar 0 by max lies outside",
        ),
        ("UPDATE exemplar SET position = 1 WHERE layer = 2 AND position >= 0", "unit head:0: exemplar 0 by max lies outside"),
        ("UPDATE exemplar SET x1 = 17 WHERE x1 > 0", "unit conv.0:0: exemplar 0 by max lies outside"),
        ("UPDATE exemplar SET y1 = NULL", "unit conv.0:0: exemplar 0 by max lies outside"),
        ("UPDATE picture SET data = x'ff'", "is not what its name says"),
        ("UPDATE meta SET value = 'x' WHERE key = 'input_shape'", "records cannot be read: meta.input_shape is not JSON"),
        ("DELETE FROM meta WHERE key = 'input_shape'", "meta has no 'input_shape'"),
        ("DELETE FROM run", "there are layers, and no run of the scan"),
        ("INSERT OR REPLACE INTO kernel VALUES (0, '[4,1,1,1]', zeroblob(16))", "the kernels of layer 'conv.0' do not fit it"),
        ("INSERT INTO meta VALUES ('more', '1')", "meta has an unknown key 'more'"),
        ("UPDATE run SET options = '3'", "records cannot be read: run.options is not a JSON object"),
        ("UPDATE layer SET channels = 999999999999", "records cannot be read: layer.channels"),
        ("UPDATE input_statistics SET mean = x''", "input_statistics.mean is not a blob of 24 bytes"),
        ("UPDATE unit SET layer = 77 WHERE layer = 0", "5 rows of unit name a row of layer that is not there"),
    ],
)
def test_each_damage_has_its_line(tampered, sql, problem):
    problems = check(tampered(sql)).problems
    assert any(problem in line for line in problems), problems
    assert not any("\n" in line for line in problems)
    assert len(problems) < 11 * MOST_LINES


def test_pictures_must_decode_as_what_they_are_called(tmp_path, make):
    huge = bytearray(make.picture(0))
    huge[16:24] = struct.pack(">II", 30_000, 30_000)  # the size in the header, and its checksum
    huge[29:33] = struct.pack(">I", zlib.crc32(huge[12:29]))
    bad = {
        0: ("image/png", b"not a picture"),
        1: ("image/jpeg", make.picture(0)),
        2: ("image/png", make.picture(1)[:-20]),
        3: ("image/png", bytes(huge)),
        4: ("image/webp", b""),
    }
    path = tmp_path / "a.lurk"
    with Writer(path) as writer:
        make.before_scan(writer)
        writer.write_pictures((example, *picture) for example, picture in bad.items())
        writer.write_pictures([(5, "image/png", make.picture(2))])
    problems = check(path).problems
    assert len(problems) == len(bad)
    assert all("is not a readable image/" in line for line in problems)


def test_progress_that_is_not_as_it_was_written_is_found_and_not_used(tmp_path, make):
    path = tmp_path / "a.lurk"
    for sql, problem in {
        "UPDATE progress_piece SET data = zeroblob(24)": "piece 0 of 'sums' is not as it was written",
        "UPDATE progress_piece SET data = zeroblob(8)": "'sums' has 8 of 24 bytes",
        "UPDATE progress_array SET dtype = '|O8'": "is not a number type",
        "UPDATE progress_array SET shape = '[4000000000000]'": "has 24 of 32000000000000 bytes",
    }.items():
        with Writer(path) as writer:
            make.before_scan(writer)
            writer.save_progress("scan", [Shard(0, 8)], {"sums": np.ones(3)})
        with sqlite3.connect(path) as db:
            db.execute(sql)
        db.close()
        assert any(problem in line for line in check(path).problems)
        with Writer(path) as writer, pytest.raises(StudyError, match="is damaged: the progress 'sums'"):
            writer.progress("scan")
        path.unlink()


def test_a_damaged_page_is_a_problem_not_a_traceback(study):
    whole = study.read_bytes()
    found = 0
    for page in range(1, len(whole) // 16384):
        broken = bytearray(whole)
        broken[page * 16384 : page * 16384 + 200] = bytes(200)
        study.write_bytes(broken)
        found += bool(check(study).problems)
    assert found > len(whole) // 16384 // 2


def test_what_is_no_study_is_refused(tmp_path):
    (tmp_path / "a.lurk").write_bytes(b"words " * 999)
    for name in ("a.lurk", "b.lurk"):
        with pytest.raises(StudyError):
            check(tmp_path / name)
