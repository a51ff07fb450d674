"""`torchlurk demo --text`: the demo of text, from its documents to what its units know."""

from __future__ import annotations

import json

import pytest

from torchlurk.inputs.demo import text_world
from torchlurk.store.checking import check


@pytest.fixture
def few_documents(monkeypatch):
    """A demo of some documents, for the same code on less data."""
    monkeypatch.setattr(text_world, "DOCUMENTS", 6)


@pytest.mark.slow
@pytest.mark.usefixtures("few_documents")
def test_the_demo_of_text_is_analyzed_and_tells_what_units_know(here, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("torchlurk.cli.demo.summary", str)  # whose types are not for checking in this process
    done = here("demo", "--text", "--no-serve")
    assert done.status == 0, done.err
    assert done.out == "demo-text.lurk\n"
    assert not check(tmp_path / "demo-text.lurk").problems
    shown = here("show", "demo-text.lurk", "lstm.c:5")
    assert "What it knows (best unit of the layer untrained)" in shown.out
    known = json.loads(here("show", "demo-text.lurk", "lstm.c:5", "--json").out)["knows"]
    assert {"quotes", "column", "word"} <= {one["track"] for one in known}


def test_a_study_to_serve_beside_the_demo_must_be_one_and_must_be_served(here, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "none.lurk").write_text("no study")
    for given, said in ((["--with", "none.lurk"], "none.lurk"), (["--with", "none.lurk", "--no-serve"], "--with")):
        done = here("demo", "--text", *given)
        assert done.status == 2
        assert said in done.err
        assert len(done.err.splitlines()) == 1
    assert not (tmp_path / "demo-text.lurk").exists()
