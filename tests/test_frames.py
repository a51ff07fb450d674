"""Tables of units, exemplars, classes and attributions, against the records that they are made of."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import torchlurk as tl
from torchlurk.cli import torchlurk_command
from torchlurk.errors import MissingExtraError, OptionError, StudyError, UnitError
from torchlurk.frames import Column, Table, floats, texts
from torchlurk.resources.unit_table import _joined
from torchlurk.store.writing import Writer
from torchlurk.track_records import Track, TrackScores

GUIDE = Path(__file__).parents[1] / "docs" / "how-to" / "compute-with-units.md"


@pytest.fixture
def noted(demo, tmp_path):
    """The demo's study, open, with two notes."""
    path = shutil.copy(demo, tmp_path / "demo.lurk")
    with tl.open(path) as study:
        study.note("block1:3", name="wheels", text="also rims", starred=True)
        study.note("head:1", name="dogs")
        yield study


def same(found, expected):
    return found == expected or (expected is None and found is None) or (found is None and math.isnan(expected))


def call(*arguments):
    """What a command prints; its error is raised."""
    done = CliRunner().invoke(torchlurk_command, [*map(str, arguments)])
    if done.exception is not None:
        raise done.exception
    return done.stdout


def expected_of(unit, depth):
    """What a unit's own record says, by column."""
    record, document = unit.record, unit.to_json()
    highest = {by: unit.classes(by) or [(None, None)] * 2 for by in ("max", "mean")}
    best = unit.exemplars("max")[0] if unit.exemplars("max") else None
    row = {
        "unit": unit.address,
        "layer": record.layer.name,
        "depth": depth,
        "channel": record.channel,
        "type": record.layer.type,
        "dead": unit.dead,
        **unit.statistics,
        "best_class": highest["max"][0][0],
        "best_class_value": highest["max"][0][1],
        "second_class": highest["max"][1][0],
        "second_class_value": highest["max"][1][1],
        "best_class_by_mean": highest["mean"][0][0],
        "best_class_by_mean_value": highest["mean"][0][1],
        "best_example": best and best.example,
        "best_path": best and best.path,
        "best_example_class": best and best.class_label,
        "best_score": best and best.score,
        "best_recall": best and best.recall,
        "name": unit.remark.name or None,
        "note": unit.remark.text or None,
        "starred": unit.remark.starred,
    }
    box, reach, context = (best and (best.box, best.reach, best.context)) or (None, None, None)
    row |= {f"best_{side}": number for side, number in zip(("x0", "y0", "x1", "y1"), box or (), strict=False)}
    row |= {f"best_reach_{end}": number for end, number in zip(("start", "stop"), reach or (), strict=False)}
    if reach is not None and (one := unit.exemplars("max").table()["token"] if context else None) is not None:
        row |= {"best_before": context[0], "best_token": one[0], "best_after": context[1]}
    for one in document["images"]["syntheses"]:
        row |= {
            f"synthesis_{one['preset']}_{name}": one[key]
            for name, key in {"activation": "activation", "ratio": "ratio_to_best_exemplar", "marked": "marked"}.items()
        }
    for one in [*document["images"]["attributions"], *document.get("attributions", [])]:
        if one["exemplars"] == "max" and one["rank"] == 0:
            row[f"kept_{one['method']}"] = one["kept"]
    for known in unit.knows:
        row |= {f"knows_{known.track.name}": known.score, f"knows_{known.track.name}_untrained": known.untrained}
    return row | {f"last_steps_{steps}": share for steps, share in (best.last_steps if best else ())}


def assert_there(study, row):
    """The step of a row is where the token stands, and of a series where the unit is strongest."""
    unit = study.unit(row["unit"])
    exemplar, content = unit.exemplars("max")[0], study.reader.sequence(row["best_example"])
    if not unit.record.layer.shape:
        assert row["best_step"] is None
    elif exemplar.token is not None:
        assert content.tokens[row["best_step"]] == row["best_token"]
        assert row["best_place"] == content.place(row["best_path"], row["best_step"])
    trace = unit.steps().traces.get(row["best_example"], ())
    if row["best_step"] is not None and len(trace) == content.steps:
        assert trace[row["best_step"]] == trace[content.counted[0] :].max()


def assert_as_recorded(study):
    rows = list(study.units())
    units = [(depth, unit) for depth, layer in enumerate(study.layers) for unit in layer]
    assert [row["unit"] for row in rows] == [unit.address for _, unit in units]
    for row, (depth, unit) in zip(rows, units, strict=True):
        for name, value in expected_of(unit, depth).items():
            assert same(row[name], value), (unit.address, name)
        absent = {name for name in row if name.startswith(("synthesis_", "kept_", "knows_"))} - set(expected_of(unit, depth))
        left = {name for name in absent if not name.endswith(("_percentile", "_robustness"))}
        assert all(row[name] is None for name in left), unit.address


@pytest.mark.slow
def test_each_unit_has_a_row_with_what_its_record_says(noted):
    assert_as_recorded(noted)


@pytest.fixture
def knowing(sequences, tmp_path):
    """The study of texts, with what the states know of two tracks."""
    path, tracks = (
        shutil.copy(sequences["text"], tmp_path / "text.lurk"),
        (Track("quotes", "auc", False, 90), Track("x", "r", True, 80)),
    )
    rng = np.random.default_rng(0)
    with Writer(path) as writer:
        writer.write_tracks(tracks)
        scores = [TrackScores(one, *rng.random((2, 5)).astype(np.float32)) for one in tracks]
        scores[0].trained[4] = np.nan
        writer.write_track_scores("rnn.l0", scores)
    return path


@pytest.mark.parametrize("kind", ["text", "series"])
def test_so_do_units_of_texts_and_series(sequences, knowing, kind):
    with tl.open(knowing if kind == "text" else sequences[kind]) as study:
        assert_as_recorded(study)
        table = study.units()
        assert ("knows_quotes" in table.columns) == (kind == "text")
        gates = [row for row in table if row["layer"] == "rnn.l0.f"]
        assert all(0 <= row["shut"] <= 1 for row in gates)
        assert all(row["shut"] is None for row in table if row["layer"] == "rnn.l0")
        for row in table:
            assert_there(study, row)
        attributed = next(row for row in table if row["unit"] == "rnn.l0:1")
        assert attributed["last_steps_1"] is not None
        assert attributed["kept_gradient"] is not None


def test_evidence_of_a_layer_is_null_elsewhere(noted):
    for row in noted.units():
        of_the_layer = row["layer"] == "block1"
        assert row["check_guided"] == (0.93 if of_the_layer else None)
        assert row["check_guided_marked"] is (True if of_the_layer else None)


def test_layers_are_chosen_by_globs(noted):
    names = [layer.name for layer in noted.layers]
    blocks = [name for name in names if name.startswith("block1")]
    assert list(dict.fromkeys(noted.units(["head", "block1*"])["layer"])) == [*blocks, "head"]
    assert set(noted.units("head")["layer"]) == {"head"} == set(noted["head"].units()["layer"])
    with pytest.raises(UnitError, match="no layer matches 'heat'; nearest: head"):
        noted.units("heat")


def test_units_that_are_not_scanned_are_told(demo, tmp_path):
    import sqlite3

    path = shutil.copy(demo, tmp_path / "demo.lurk")
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA foreign_keys = OFF")
        db.execute("DELETE FROM unit")
    with tl.open(path) as study, pytest.raises(StudyError, match="was not scanned"):
        study.units()


TABLE = Table(
    {
        "word": texts(['a "b", c', None]),
        "number": floats([0.1, None]),
        "whole": Column("int", [1, None], nullable=True),
        "flag": Column("bool", [None, True], nullable=True),
        "count": Column("int", np.array([3, 4])),
        "on": Column("bool", np.array([True, False])),
    },
    2,
)


def test_a_table_has_rows_and_columns():
    assert len(TABLE) == 2
    assert list(TABLE)[1] == {"word": None, "number": None, "whole": None, "flag": True, "count": 4, "on": False}
    assert TABLE["number"].dtype == np.float64
    assert TABLE["whole"].tolist() == [1, None]
    with pytest.raises(OptionError, match="no column 'numbr'; nearest: number"):
        TABLE["numbr"]


def test_pandas_has_the_same_rows_and_types():
    pandas = pytest.importorskip("pandas")
    frame = TABLE.to_frame("pandas")
    types = ["string", "float64", "Int64", "boolean", "int64", "bool"]
    assert [str(one) for one in frame.dtypes] == types
    assert frame["word"][0] == 'a "b", c'
    assert frame.isna().sum().tolist() == [1, 1, 1, 1, 0, 0]
    assert [str(one) for one in Table(TABLE._columns, 0)._head(0).to_frame("pandas").dtypes] == types
    assert isinstance(frame, pandas.DataFrame)


def test_polars_has_the_same_rows_and_types():
    polars = pytest.importorskip("polars")
    frame = TABLE.to_frame("polars")
    assert frame.rows(named=True) == list(TABLE)
    assert frame.dtypes == [polars.String, polars.Float64, polars.Int64, polars.Boolean, polars.Int64, polars.Boolean]
    assert frame.equals(polars.DataFrame(TABLE)), "it reads a table by itself"


def test_arrow_has_the_same_rows_and_types():
    pyarrow = pytest.importorskip("pyarrow")
    frame = TABLE.to_frame("arrow")
    assert frame.to_pylist() == list(TABLE)
    assert frame.schema.types == TABLE._head(0).to_frame("arrow").schema.types
    assert frame.equals(pyarrow.table(TABLE)), "it reads a table by itself"


def test_a_csv_file_has_all_digits_and_nothing_where_nothing_is(tmp_path):
    TABLE.write(tmp_path / "table.csv")
    rows = list(csv.reader(io.StringIO((tmp_path / "table.csv").read_text())))
    assert rows == [list(TABLE.columns), ['a "b", c', "0.1", "1", "", "3", "true"], ["", "", "", "true", "4", "false"]]


def test_a_parquet_file_is_read_back_the_same(tmp_path):
    polars = pytest.importorskip("polars")
    TABLE.write(tmp_path / "table.parquet")
    assert polars.read_parquet(tmp_path / "table.parquet").rows(named=True) == list(TABLE)


@pytest.fixture
def without(monkeypatch):
    """Makes libraries look as if they were not installed."""

    def hide(*modules):
        for module in modules:
            monkeypatch.setitem(sys.modules, module, None)

    return hide


def test_without_a_library_it_says_what_to_install(without, tmp_path):
    without("pandas", "polars", "pyarrow")
    with pytest.raises(MissingExtraError, match=r"none is installed   \(pip install pandas\)"):
        TABLE.to_frame()
    with pytest.raises(MissingExtraError, match=r"needs pyarrow .*\(pip install pyarrow\)"):
        TABLE.to_frame("arrow")
    with pytest.raises(MissingExtraError, match=r"writing .parquet needs pyarrow or polars.*or write a \.csv file"):
        TABLE.write(tmp_path / "table.parquet")
    with pytest.raises(OptionError, match=r"library is 'excel'   \(use 'pandas', 'polars', 'arrow'\)"):
        TABLE.to_frame("excel")
    TABLE.write(tmp_path / "table.csv")
    assert TABLE._repr_html_() is None


def test_a_frame_is_of_the_library_that_the_program_uses(monkeypatch):
    polars = pytest.importorskip("polars")
    monkeypatch.delitem(sys.modules, "pandas", raising=False)
    assert isinstance(TABLE.to_frame(), polars.DataFrame)


def test_tables_need_neither_torch_nor_a_library_of_frames(demo):
    code = (
        "import sys, torchlurk as tl\n"
        f"study = tl.open({str(demo)!r}); study.units().to_csv()\n"
        "print(sorted({'torch', 'pandas', 'polars', 'pyarrow', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("block", re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL), ids=range(5))
def test_the_guide_runs(block, noted, monkeypatch):
    pytest.importorskip("pandas")
    pytest.importorskip("polars")
    block = block.replace("check_gradient_marked", "check_guided_marked")  # the one that this study has
    monkeypatch.chdir(noted.path.parent)
    exec(compile(block, GUIDE.name, "exec"), {})


def test_exemplars_classes_and_pictures_of_a_unit_are_frames_too(noted):
    pytest.importorskip("polars")
    unit = noted.unit("block1:3")
    exemplars = unit.exemplars("max").to_frame("polars").rows(named=True)
    assert [(row["example"], row["path"], row["class"], row["score"]) for row in exemplars] == [
        (one.example, one.path, one.class_label, one.score) for one in unit.exemplars("max")
    ]
    first = unit.exemplars("max")[0]
    assert tuple(exemplars[0][side] for side in ("x0", "y0", "x1", "y1")) == first.box
    assert exemplars[0]["position"] == ",".join(map(str, first.position))
    classes = unit.classes("mean", top=3)
    assert classes.to_frame("polars").rows() == list(classes)
    attributions = unit.attributions("max").to_frame("polars").rows(named=True)
    assert [(row["method"], row["kept"], row["x1"]) for row in attributions] == [("gradient", 0.25, 14), ("guided", 0.25, 14)]
    assert [row["check_marked"] for row in attributions] == [None, True]
    (synthesis,) = unit.syntheses().to_frame("polars").rows(named=True)
    assert (synthesis["preset"], synthesis["ratio"], synthesis["marked"]) == ("lucid", 1.5, None)


def test_exemplars_and_attributions_of_texts_have_their_steps(sequences):
    pytest.importorskip("polars")
    with tl.open(sequences["text"]) as study:
        unit = study.unit("rnn.l0:1")
        found, first = unit.exemplars("max").to_frame("polars").rows(named=True)[0], unit.exemplars("max")[0]
        assert (found["reach_start"], found["reach_stop"]) == first.reach
        assert (found["before"], found["token"], found["after"]) == (first.context[0], first.token, first.context[1])
        assert found["last_steps_1"] == dict(first.last_steps)[1]
        attributed = unit.attributions("max").to_frame("polars")
        assert attributed["method"].to_list() == [one.method for one in unit.attributions("max")]
        assert "x0" not in attributed.columns


def test_the_command_prints_the_units_as_json(noted):
    printed = json.loads(call("units", noted.path, "--json", "--layers", "head"))["units"]
    assert printed == json.loads(noted.units("head").to_json())
    assert printed[1]["name"] == "dogs"


def test_the_command_writes_a_file(noted, tmp_path):
    out = tmp_path / "units.csv"
    table = noted.units()
    assert call("units", noted.path, "--out", out) == f"wrote {out}: {len(table)} units, {len(table.columns)} columns\n"
    rows = list(csv.DictReader(io.StringIO(out.read_text())))
    assert [float(row["max"]) for row in rows] == table["max"].tolist()
    with pytest.raises(OptionError, match=r"does not end in \.csv or \.parquet"):
        call("units", noted.path, "--out", tmp_path / "units.xlsx")
    with pytest.raises(OptionError, match="--out and --json are given together"):
        call("units", noted.path, "--out", out, "--json")


def test_the_command_prints_a_table_of_what_says_most(noted, monkeypatch):
    lines = call("units", noted.path, "--layers", "block1").splitlines()
    titles = ["unit", "name", "maximum", "active", "selectivity", "best class", "second class", "lucid ratio"]
    assert re.split(r" {2,}", lines[1].strip()) == [*titles, "strongest example"]
    assert [line.split()[0] for line in lines[3:-1]] == [f"block1:{channel}" for channel in range(32)]
    assert "★ wheels" in lines[6]
    monkeypatch.setattr("torchlurk.cli.units.MOST_ROWS", 5)
    cut = call("units", noted.path, "--layers", "block1").splitlines()
    assert cut[3:8] == lines[3:8] or len(cut) == 10
    assert cut[-1].startswith("and 27 more units")


def test_the_command_names_what_a_unit_knows_better_than_untrained(knowing):
    with tl.open(knowing) as study:
        known = {unit.address: unit.knows for unit in study["rnn.l0"]}
    assert sorted(one.track.name for one in known["rnn.l0:0"]) == ["quotes", "x"]
    lines = call("units", knowing, "--layers", "rnn.l0").splitlines()[3:-1]
    for line, of_unit in zip(lines, known.values(), strict=True):
        better = [one for one in of_unit if one.strength > one.untrained]
        assert any(f" {one.track.name} {one.strength:.2f} " in line for one in better) == bool(better)
    assert "⟦" in lines[0]
    assert sum("quotes" in line or " x " in line for line in lines) in range(1, 5)


def test_a_statistic_that_is_called_as_a_column_gets_another_name():
    part = [{"unit": texts(["a:0"])}, {"unit": floats([1.0]), "mean": floats([2.0])}, {"name": texts([None])}]
    assert _joined([part], [1]).columns == ("unit", "mean", "statistic_unit", "name")
