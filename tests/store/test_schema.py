"""The schema, its documentation and its versions agree."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import pytest

from torchlurk.errors import StudyError
from torchlurk.store import schema
from torchlurk.store.reading import Reader
from torchlurk.store.writing import Writer

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "study-file.md"


def documented() -> dict[str, list[str]]:
    """Tables and columns of the page: '### `table`' and rows '| `column` | …'."""
    tables: dict[str, list[str]] = {}
    for line in PAGE.read_text("utf-8").splitlines():
        if heading := re.match(r"### `(\w+)`", line):
            tables[heading[1]] = []
        elif (column := re.match(r"\| `(\w+)` \|", line)) and tables:
            tables[list(tables)[-1]].append(column[1])
    return tables


def test_every_table_and_column_is_documented_and_no_other():
    db = sqlite3.connect(":memory:", isolation_level=None)
    schema.upgrade(db, 0)
    names = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    real = {name: [column[1] for column in db.execute(f"PRAGMA table_info({name})")] for name in names}
    db.close()
    assert documented() == real


def test_every_table_is_strict_and_every_reference_has_a_target():
    db = sqlite3.connect(":memory:", isolation_level=None)
    schema.upgrade(db, 0)
    tables = {row[1]: row[5] for row in db.execute("PRAGMA table_list") if not row[1].startswith("sqlite_")}
    assert set(tables.values()) == {1}
    for table in tables:
        for reference in db.execute(f"PRAGMA foreign_key_list({table})"):
            assert reference[2] in tables
    db.close()


def test_an_older_study_is_read_as_it_is_and_not_continued(study, monkeypatch):
    step = ("CREATE TABLE later (\n    id INTEGER PRIMARY KEY\n) STRICT",)
    monkeypatch.setattr(schema, "STEPS", (*schema.STEPS, step))
    for module in ("schema", "connections", "transactions"):
        monkeypatch.setattr(f"torchlurk.store.{module}.VERSION", len(schema.STEPS))
    before = study.read_bytes()
    with Reader(study) as reader:
        assert reader.version == len(schema.STEPS) - 1
        assert reader.example_count() == 40
    with pytest.raises(StudyError, match="does not continue") as told:
        Writer(study)
    assert told.value.hint == "choose another --out"
    assert study.read_bytes() == before


@pytest.mark.parametrize("statement", [one for step in schema.STEPS for one in step])
def test_a_statement_is_stored_as_it_is_written(statement):
    """The schema of a file is compared with these texts, letter by letter."""
    assert statement.startswith("CREATE TABLE ")
    assert "--" not in statement
    assert statement == statement.strip()
