"""The documents that are served are as they are declared, and the web app's types are made from that declaration."""

from __future__ import annotations

import json
import types
from typing import Any, Literal, NotRequired, Union, get_args, get_origin, get_type_hints, is_typeddict

import pytest

from torchlurk.resources import contents
from torchlurk.resources.tree import ATTRIBUTIONS, CLASS, EXAMPLE, LAYER, UNIT, Forest
from torchlurk.store.reading import Reader
from web import document_types

ORDINARY = {str: str, bool: bool, int: int, float: (int, float), type(None): type(None), None: type(None)}


def faults(value, of, at):
    """Where a value is not of its declared type."""
    origin, inner = get_origin(of), get_args(of)
    if of is Any:
        return []
    if is_typeddict(of):
        return _keys(value, of, at)
    if origin is Literal:
        return [] if value in inner else [f"{at}: {value!r} is not of {inner}"]
    if origin in (Union, types.UnionType):
        found = [faults(value, one, at) for one in inner]
        return [] if [] in found else [one for some in found for one in some][:1]
    if origin in (list, tuple, dict):
        parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
        if parts is None or (origin is dict) != isinstance(value, dict):
            return [f"{at}: {value!r} is no {origin.__name__}"]
        if origin is tuple and len(value) != len(inner):
            return [f"{at}: {len(value)} values, not {len(inner)}"]
        kinds = inner if origin is tuple else [inner[-1]] * len(value)
        return [one for (key, part), kind in zip(parts, kinds, strict=True) for one in faults(part, kind, f"{at}.{key}")]
    right = isinstance(value, ORDINARY[of]) and (of is bool or not isinstance(value, bool))
    return [] if right else [f"{at}: {value!r} is not of {of}"]


def _keys(value, of, at):
    if not isinstance(value, dict):
        return [f"{at}: {value!r} has no keys"]
    hints = get_type_hints(of, include_extras=True)
    declared = {key: get_args(one)[0] if get_origin(one) is NotRequired else one for key, one in hints.items()}
    missing = [key for key, one in hints.items() if key not in value and get_origin(one) is not NotRequired]
    if "__extra_items__" in declared:
        declared = dict.fromkeys(value, declared["__extra_items__"]) | declared
    told = [f"{at}: no {key}" for key in missing] + [f"{at}: {key} is not declared" for key in value if key not in declared]
    return told + [one for key in value if key in declared for one in faults(value[key], declared[key], f"{at}.{key}")]


def declared(path):
    """What is at a path of the tree; None for pictures."""
    _, _, below = path.partition("/")
    if path == "studies.json":
        return contents.Studies
    if below == "study.json":
        return contents.Study
    kinds = (
        (LAYER, contents.Layer),
        (UNIT, contents.Unit),
        (ATTRIBUTIONS, contents.UnitAttributions),
        (CLASS, contents.ClassPage),
        (EXAMPLE, contents.Example),
    )
    return next((kind for pattern, kind in kinds if pattern.fullmatch(below)), None)


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
