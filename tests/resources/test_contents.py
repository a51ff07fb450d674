"""The documents that are served are as they are declared, and the web app's types are made from that declaration."""

from __future__ import annotations

import json

import pytest

from tests.declared import faults
from torchlurk.resources import contents, unit_contents
from torchlurk.resources.tree import ATTRIBUTIONS, CLASS, EXAMPLE, LAYER, UNIT, Forest
from torchlurk.store.reading import Reader
from web import document_types


def declared(path):
    """What is at a path of the tree; None for pictures."""
    _, _, below = path.partition("/")
    if path == "studies.json":
        return contents.Studies
    if below == "study.json":
        return contents.Study
    kinds = (
        (LAYER, contents.Layer),
        (UNIT, unit_contents.Unit),
        (ATTRIBUTIONS, unit_contents.UnitAttributions),
        (CLASS, unit_contents.ClassPage),
        (EXAMPLE, unit_contents.Example),
    )
    return next((kind for pattern, kind in kinds if pattern.fullmatch(below)), None)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pictures", "text", "series"])
def test_every_document_holds_the_keys_that_are_declared_and_no_others(kind, demo, sequences):
    with Reader(demo if kind == "pictures" else sequences[kind]) as reader:
        forest = Forest([reader])
        documents = {path: declared(path) for path in forest.paths() if path.endswith(".json")}
        assert None not in documents.values()
        found = [fault for path, of in documents.items() for fault in faults(json.loads(forest.find(path).body), of, path)]
    assert found == []


def test_the_types_of_the_web_app_are_made_from_what_is_declared_now():
    stale = [path.name for path, text in document_types.written().items() if path.read_text() != text]
    assert stale == [], "run: PYTHONPATH=src python web/document_types.py"


def test_a_key_that_is_not_declared_one_that_is_missing_and_one_of_another_kind_are_told():
    card = {"slug": 3, "more": 1}
    told = faults(card, contents.Card, "card")
    assert "card.slug: 3 is not of <class 'str'>" in told
    assert "card: more is not declared" in told
    assert "card: no name" in told
