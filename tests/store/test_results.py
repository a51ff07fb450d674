"""What the stages after the scan write is read back as it was."""

from __future__ import annotations

import math
import sqlite3
from dataclasses import replace
from hashlib import sha256

import pytest

from torchlurk.errors import UnitError
from torchlurk.records import Attribution, MethodCheck, Synthesis
from torchlurk.run_records import StageCount
from torchlurk.store.checking import check
from torchlurk.store.reading import Reader
from torchlurk.store.writing import Writer
from torchlurk.units import Unit

UNIT = Unit("conv.0", 2)


def attribution(picture: str, **changed: object) -> Attribution:
    return replace(Attribution("max", 1, "guided", (1, 2, 9, 8), picture, 0.5, 0.75), **changed)


@pytest.fixture
def written(tmp_path, make):
    """A study with findings: its path and its pictures' names."""
    path = tmp_path / "a.lurk"
    with Writer(path) as writer:
        make.all(writer)
        names = [writer.write_picture("image/png", make.picture(seed)) for seed in (7, 8, 7)]
        writer.begin(make.run(stage="attribute"))
        found = [attribution(names[0]), attribution(names[1], ranking="mean", method="deconv", kept=math.nan)]
        writer.write_attributions(UNIT, found)
        writer.write_attributions(UNIT, [attribution(names[0], scale=2.0)])
        writer.write_recall(UNIT, {0: 0.25, 2: 1.5})
        writer.write_check("conv.0", MethodCheck("guided", 0.9, marked=True))
        writer.write_effective_field("conv.0", 5.5, 6.25)
        writer.finish("attribute", "t2")
        writer.begin(make.run(stage="synthesize"))
        writer.write_synthesis(UNIT, Synthesis("lucid", names[1], 3.5, marked="too weak", seed=5, steps=128))
        writer.count("synthesize", StageCount(1, 10))
    return path, names


def test_findings_are_read_as_they_were_written(written, make):
    path, names = written
    assert names == [sha256(make.picture(seed)).hexdigest() for seed in (7, 8, 7)]
    with Reader(path) as reader:
        first, second = reader.attributions(UNIT)
        assert first == attribution(names[0], scale=2.0)
        assert math.isnan(second.kept)
        assert replace(second, kept=0) == attribution(names[1], ranking="mean", method="deconv", kept=0)
        assert [one.recall for one in reader.unit(UNIT).exemplars["max"][:3]] == [0.25, None, 1.5]
        assert reader.checks("conv.0") == (MethodCheck("guided", 0.9, marked=True),)
        assert reader.checks("head") == ()
        assert reader.effective_field("conv.0") == (5.5, 6.25)
        assert reader.effective_field("head") is None
        (synthesis,) = reader.syntheses(UNIT)
        assert (synthesis.preset, synthesis.activation, synthesis.marked, synthesis.seed) == ("lucid", 3.5, "too weak", 5)
        assert math.isnan(synthesis.ratio)
        assert reader.stored_picture(names[1]) == ("image/png", make.picture(8))
        assert reader.stored_picture("00" * 32) is None
        assert reader.stored_picture("../x") is None
        assert reader.counts() == {"synthesize": StageCount(1, 10)}
        with pytest.raises(UnitError, match="no layer"):
            reader.attributions(Unit("nothing", 0))
    report = check(path)
    assert report.problems == ()
    assert (report.counts["attributions"], report.counts["syntheses"]) == (2, 1)


def test_a_finished_stage_is_taken_up_again_with_its_results(written, make):
    path, _ = written
    with Writer(path) as writer:
        writer.reopen(make.run(stage="attribute", started="t9"))
        assert writer.runs()["attribute"].finished is None
    with Reader(path) as reader:
        assert len(reader.attributions(UNIT)) == 2


def test_stages_are_listed_in_the_order_in_which_they_run_whenever_they_were_begun(written, make):
    path, _ = written
    with Writer(path) as writer:
        writer.reopen(make.run(stage="attribute", started="t9"))
        assert list(writer.runs()) == ["scan", "attribute", "synthesize"]
    assert [one.stage for one in check(path).stages] == ["scan", "attribute", "synthesize"]


def test_an_attribution_of_no_exemplar_is_refused(written):
    path, names = written
    with Writer(path) as writer, pytest.raises(ValueError, match="do not fit together"):
        writer.write_attributions(UNIT, [attribution(names[0], rank=77)])


@pytest.mark.parametrize("cell", ["picture = x'00'", "ranking = 'min'"])
def test_a_damaged_attribution_is_told_by_the_check(written, cell):
    path, _ = written
    db = sqlite3.connect(path)
    db.executescript(f"PRAGMA ignore_check_constraints = 1; UPDATE attribution SET {cell} WHERE rank = 1 AND method = 'guided'")
    db.close()
    assert any("attribution" in line for line in check(path).problems)
