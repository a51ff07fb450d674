"""A study of texts or series passes while it is whole; each damage has its line, and no document ends in a traceback."""

from __future__ import annotations

import json
import shutil
import sqlite3
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import torchlurk
from torchlurk.errors import StudyError
from torchlurk.input_records import InputDescription, TextExample
from torchlurk.records import Example
from torchlurk.rendering.text import describe
from torchlurk.resources.tree import Forest
from torchlurk.store.checking import check
from torchlurk.store.reading import Reader
from torchlurk.store.writing import Writer

Tamper = Callable[..., Path]


@pytest.fixture
def tampered(sequences, tmp_path) -> Tamper:
    """A study of "text" or "series" after SQL that a writer would never run."""

    def tamper(kind: str, sql: str, *values: object) -> Path:
        path = Path(shutil.copy(sequences[kind], tmp_path / "a.lurk"))
        with sqlite3.connect(path) as db:
            db.execute("PRAGMA foreign_keys = 0")
            db.execute("PRAGMA ignore_check_constraints = 1")
            db.execute(sql, values)
        db.close()
        return path

    return tamper


def packed(content: object) -> bytes:
    """As `sequence.content` is."""
    return zlib.compress(content if isinstance(content, bytes) else json.dumps(content).encode())


def tokens(*given: object, offsets: object = ()) -> bytes:
    """A text's content."""
    return packed({"tokens": list(given), "offsets": offsets})


@pytest.mark.parametrize("kind", ["text", "series"])
def test_whole_studies_have_no_problem_and_are_counted(sequences, kind: str) -> None:
    report = check(sequences[kind])
    assert report.problems == ()
    assert report.counts["texts and series"] == (8 if kind == "text" else 12)
    assert report.counts["exemplars without picture"] == 0


DESCRIPTION = "UPDATE input SET description = json_set(description, ?, json(?))"
CONTENT = "UPDATE sequence SET content = ? WHERE example = 7"

DAMAGE = [
    ("text", DESCRIPTION, ("$.kind", '"sound"'), "inputs cannot be read: input.description has the kind 'sound'"),
    ("text", DESCRIPTION, ("$.kind", "{}"), "input.description has the kind {}"),
    ("text", DESCRIPTION, ("$.window", '"long"'), "input.description is not a whole number"),
    ("text", DESCRIPTION, ("$.window", "true"), "input.description is not a whole number"),
    ("text", DESCRIPTION, ("$.axes", '"tt"'), "input.description is none of bt, tb"),
    ("text", DESCRIPTION, ("$.vocabulary", "[1]"), "input.description is not text"),
    ("text", DESCRIPTION, ("$.vocabulary", '["\\ud800"]'), "input.description has half a character"),
    ("text", DESCRIPTION, ("$.vocabulary_size", "3"), "has 39 tokens and a size of 3"),
    ("text", DESCRIPTION, ("$.more", "1"), "input.description does not have the fields"),
    ("text", DESCRIPTION, ("$.kind", '"pictures"'), "8 rows of sequence in a study of pictures"),
    ("text", "UPDATE input SET description = ?", ("[" * 9999,), "input.description is not JSON"),
    ("text", "UPDATE stream SET module = ''", (), "stream of layer 0: its module is empty"),
    ("text", "UPDATE stream SET layer = 77 WHERE layer = 0", (), "stream name a row of layer that is not there"),
    ("text", CONTENT, (b"words",), "example 7: sequence.content cannot be unpacked"),
    ("text", CONTENT, (zlib.compress(b" " * 2**20)[:-9],), "example 7: sequence.content is cut short or too large"),
    ("text", CONTENT, (zlib.compress(b" " * 2**24, 9),), "example 7: sequence.content is cut short or too large"),
    ("text", CONTENT, (packed(b"\xff"),), "example 7: sequence.content is not JSON"),
    ("text", CONTENT, (packed([]),), "example 7: sequence.content is not tokens and offsets"),
    ("text", CONTENT, (tokens("a", "b"),), "example 7: sequence.content has not as many tokens"),
    ("text", CONTENT, (tokens("a", "b", 3),), "example 7: sequence.content is not text"),
    ("text", CONTENT, (tokens("a", "b", "\ud800"),), "example 7: sequence.content has half a character"),
    ("text", CONTENT, (tokens("a", "b", "c" * 9999),), "example 7: sequence.content has not as many tokens"),
    ("text", CONTENT, (tokens("a", "b", "c", offsets=[0, -1, 2]),), "example 7: sequence.content is not a whole number"),
    ("text", CONTENT, (tokens("a", "b", "c", offsets=[0, "1", 2]),), "example 7: sequence.content is not a whole number"),
    ("text", CONTENT, (tokens("a", "b", "c", offsets=[0, True, 2]),), "example 7: sequence.content is not a whole number"),
    ("text", "UPDATE sequence SET steps = ?", (2**62,), "example 0: sequence.steps is not a whole number within its range"),
    ("text", "UPDATE sequence SET steps = -1", (), "example 0: sequence.steps is not a whole number within its range"),
    ("text", "UPDATE sequence SET last = 99", (), "example 0: sequence.last is not a whole number within its range"),
    ("text", "UPDATE sequence SET first = 3, last = 2", (), "example 0: sequence.last is not a whole number"),
    ("text", "DELETE FROM sequence WHERE example = 2", (), "example 2 is an exemplar, and neither text nor series"),
    ("text", "UPDATE exemplar SET x1 = 99 WHERE x1 > 0", (), "the reach of exemplar 0 by max lies outside its"),
    ("text", "UPDATE exemplar SET x0 = -2 WHERE x0 = 0", (), "the reach of exemplar 0 by max lies outside its"),
    ("series", CONTENT, (packed(b"abc"),), "example 7: sequence.content is not a blob of"),
    ("series", CONTENT, (zlib.compress(bytes(2**26), 9),), "example 7: sequence.content is cut short or too large"),
    ("series", "UPDATE sequence SET steps = 0, last = 0", (), "example 0: sequence.content is not a blob of 0 bytes"),
    ("series", DESCRIPTION, ("$.channels", '[1,2,"a"]'), "input.description is not text"),
    ("series", "UPDATE trace SET low = ?", (float("inf"),), "unit rnn.l0:0: its trace on example 0: trace.low and trace.high"),
    ("series", "UPDATE trace SET low = -1e308, high = 1e308", (), "trace.low and trace.high are not the least and the largest"),
    ("series", "UPDATE trace SET low = high + 1", (), "trace.low and trace.high are not the least and the largest"),
    (
        "series",
        "UPDATE trace SET levels = x'00'",
        (),
        "unit rnn.l0:0: its trace on example 0 has 1 positions, its example 5 steps",
    ),
    ("series", "UPDATE trace SET levels = x''", (), "its trace on example 0 has 0 positions"),
    ("series", "UPDATE exemplar SET position = 7 WHERE position >= 0 AND layer < 6", (), "by max lies beyond its trace"),
    ("series", "UPDATE trace SET example = 99 WHERE example = 0", (), "is of a layer without steps, or of an example that is"),
    (
        "series",
        "UPDATE trace SET layer = 6 WHERE layer = 0 AND channel < 2",
        (),
        "unit head:0: its trace on example 0 is of a layer",
    ),
    ("text", "INSERT INTO prediction VALUES (0, x'00', x'00')", (), "the prediction of example 0 has not as many scores"),
    ("text", "INSERT INTO prediction VALUES (0, x'00000000', x'')", (), "the prediction of example 0 has not as many scores"),
    ("text", "INSERT INTO prediction VALUES (0, x'ffffffff', x'00000000')", (), "names an output below 0"),
    ("text", "INSERT INTO prediction VALUES (0, zeroblob(8), x'000000000000803f')", (), "is not in the order of its scores"),
    ("text", "INSERT INTO prediction VALUES (99, x'', x'')", (), "1 rows of prediction name a row of example"),
    ("text", "INSERT INTO remark VALUES ('rnn.l0', -1, '', '', 0, '')", (), "the remark on rnn.l0:-1: remark.channel is not a"),
    (
        "text",
        "INSERT INTO remark VALUES ('rnn.l0', 0, ?, '', 0, '')",
        ("x" * 101,),
        "remark.name is longer than 100 char",
    ),
    ("text", "INSERT INTO remark VALUES ('rnn.l0', 0, '', ?, 0, '')", ("x" * 10001,), "remark.text is longer than 10,000 char"),
    ("text", "INSERT INTO remark VALUES ('rnn.l0', 0, '', '', 7, '')", (), "the remark on rnn.l0:0: remark.starred"),
    ("text", "UPDATE step_attribution SET numbers = ?", (b"not packed",), "step_attribution.numbers cannot be unpacked"),
    ("series", "UPDATE step_attribution SET width = 2", (), "step_attribution.numbers"),
    ("series", "UPDATE step_attribution SET steps = 0", (), "step_attribution.steps is not a whole number"),
    (
        "text",
        "UPDATE step_attribution SET steps = 99 WHERE method = 'lrp_plus'",
        (),
        "the attribution by lrp_plus of exemplar 0 by max has 99",
    ),
    ("text", "UPDATE example_tokens SET ids = x'', width = 3", (), "example 0: example_tokens.ids is not a blob of ids"),
    (
        "text",
        "UPDATE example_tokens SET ids = x'000000', width = 2",
        (),
        "example_tokens.ids is not a blob of ids of the width",
    ),
    ("text", "UPDATE example_tokens SET ids = ?, width = 8", (b"\xff" * 8,), "has an id beyond all vocabularies"),
    ("text", "UPDATE example_tokens SET ids = x'77' WHERE example = 1", (), "has 1 tokens in example_tokens,"),
    ("text", "UPDATE example_tokens SET ids = x'77' WHERE example = 1", (), "example 1 has the token 119, the vocabulary 39"),
    ("text", "UPDATE example_tokens SET repeated = -1", (), "example 0: example_tokens.repeated is not a whole number"),
    ("text", "UPDATE example_tokens SET repeated = 1", (), "example 0: example_tokens repeats tokens of example -1"),
    ("text", "UPDATE example_tokens SET repeated = 9999 WHERE example = 1", (), "repeats more tokens than example 0 has"),
    ("text", "DELETE FROM example_tokens WHERE example = 3", (), "example 3 has no tokens, and was not passed over"),
    ("text", DESCRIPTION, ("$.kind", '"series"'), "example_tokens has rows in a study of series"),
    ("text", "UPDATE last_steps SET steps = -steps", (), "last_steps.steps is not a whole number"),
]


@pytest.mark.parametrize(("kind", "sql", "values", "problem"), DAMAGE)
def test_each_damage_has_its_line(tampered: Tamper, kind: str, sql: str, values: tuple[object, ...], problem: str) -> None:
    problems = check(tampered(kind, sql, *values)).problems
    assert any(problem in line for line in problems), problems
    assert not any("\n" in line or len(line) > 300 for line in problems)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "sql", "values"), [damage[:3] for damage in DAMAGE if " INTO " not in damage[1]])
def test_no_damage_ends_a_document_a_picture_or_a_print_in_a_traceback(
    tampered: Tamper, kind: str, sql: str, values: tuple[object, ...]
) -> None:
    path = tampered(kind, sql, *values)
    with Reader(path) as reader:
        forest, paths = Forest([reader]), ["studies.json", "a/study.json", "a/layers/0.json", "a/layers/0/units/0.json"]
        for one in [*paths, *(f"a/examples/{index}.json" for index in range(9)), "a/layers/6/units/0.json"]:
            told(lambda one=one: forest.find(one))
        told(lambda: list(forest.paths()))
    with torchlurk.open(path) as study:
        told(study["rnn.l0"].picture)
        told(lambda: study.unit("rnn.l0:0").picture())
        told(lambda: study.unit("head:0").to_json())
        told(lambda: describe((unit := study.unit("rnn.l0:0")).record, study.classes, unit.steps()))
        told(lambda: study.picture(7))
        told(lambda: list(study.units()))


def told(ask: Callable[[], object]) -> None:
    """Asks, and lets pass that the study is damaged, and nothing else."""
    try:
        found = ask()
    except StudyError:
        return
    assert not isinstance(found, Image.Image) or max(found.size) < 9999


def test_a_study_of_another_kind_lists_no_path_that_leads_nowhere(tampered: Tamper) -> None:
    with Reader(tampered("text", DESCRIPTION, "$.kind", '"pictures"')) as reader:
        assert not any("examples/" in path for path in Forest([reader]).paths())


def test_a_vocabulary_of_very_many_tokens_and_of_half_characters_is_read_again(tmp_path, make) -> None:
    words = tuple(f"a token, number {index}, of very many characters {'x' * 999}" for index in range(1200))
    with Writer(tmp_path / "a.lurk") as writer:
        writer.begin(make.run())
        inputs = InputDescription("text", "int64", vocabulary_size=1201, vocabulary=(*words, "half \ud83d"))
        writer.write_model(make.layers(), make.graph(), make.preprocessing(), (3,), inputs)
        writer.write_data([], [Example(0, "a.txt", None)], [])
        writer.write_sequences([(0, TextExample(("\ud83d", "b"), (0, 1), (0, 2)))])
    with Reader(tmp_path / "a.lurk") as reader:
        assert reader.inputs().vocabulary == (*words, "half �")
        assert reader.sequence(0) == TextExample(("�", "b"), (0, 1), (0, 2))
    assert not any("inputs" in line or "example 0" in line for line in check(tmp_path / "a.lurk").problems)


def test_of_a_word_of_thousands_of_letters_the_beginning_is_stored(tmp_path, make) -> None:
    with Writer(tmp_path / "a.lurk") as writer:
        writer.begin(make.run())
        writer.write_model(make.layers(), make.graph(), make.preprocessing(), (2,), InputDescription("text", "int64"))
        writer.write_data([], [Example(0, "a.txt", None)], [])
        writer.write_sequences([(0, TextExample(("ACGT" * 1000, "b"), (0, 4001), (0, 2)))])
    with Reader(tmp_path / "a.lurk") as reader:
        long, short = reader.sequence(0).tokens
    assert (long, short) == (f"{('ACGT' * 256)[:-1]}…", "b")


def test_the_token_of_a_layer_with_fewer_positions_is_the_one_at_its_strongest_step(tampered: Tamper) -> None:
    halved = tampered("text", "UPDATE trace SET levels = substr(levels, 1, (length(levels) + 1) / 2)")
    with sqlite3.connect(halved) as db:
        db.execute("UPDATE exemplar SET position = position / 2 WHERE position >= 0 AND layer < 6")
    db.close()
    with torchlurk.open(halved) as study:
        unit = study.unit("rnn.l0:1")
        strongest = unit.exemplars("max")[0]
        text, trace = unit.steps().examples[strongest.example], unit.steps().traces[strongest.example]
        assert (strongest.position, len(trace), text.steps) == ((10,), 12, 23)
        step = 20
        assert strongest.token == text.tokens[step] == " "
        assert "⟦ ⟧3" in describe(unit.record, study.classes, unit.steps())
        best = json.loads(Forest([study.reader]).find("a/layers/0.json").body)["best"]
        assert (best["step"][1], best["texts"][1]) == (step, [strongest.context[0], strongest.token, strongest.context[1]])


def test_small_values_keep_their_digits_in_the_documents(tampered: Tamper) -> None:
    with Reader(tampered("series", "UPDATE trace SET low = -1e-6, high = 1e-6")) as reader:
        document = json.loads(Forest([reader]).find("a/layers/0/units/0.json").body)
    values = np.array(next(iter(document["traces"].values())))
    assert 0 < np.abs(values).max() <= 1e-6
