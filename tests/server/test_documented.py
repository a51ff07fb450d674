"""The reference of routes and documents is true to what is answered."""

import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "http.md").read_text()
DOCUMENTS = {
    "studies.json": "/data/studies.json",
    "{s}/study.json": "/data/demo/study.json",
    "{s}/layers/{l}.json": "/data/demo/layers/4.json",
    "{s}/layers/{l}/units/{c}.json": "/data/demo/layers/4/units/3.json",
    "{s}/classes/{k}.json": "/data/demo/classes/3.json",
}
PARTS = [
    "studies",
    "layers",
    "stages",
    "classes",
    "sheets",
    "checks",
    "best",
    "histogram",
    "similar",
    "skips",
    "units",
    "graph",
]


def section(heading):
    """The text below a heading."""
    found = re.search(rf"^### `{re.escape(heading)}`\n(.*?)(?=^#|\Z)", PAGE, re.DOTALL | re.MULTILINE)
    assert found, heading
    return found.group(1)


def keys(document):
    """The document's keys, and those of the parts that a page lists one by one."""
    for key, value in document.items():
        yield key
        if key in PARTS:
            inner = value[0] if isinstance(value, list) and value else value
            if isinstance(inner, dict) and key in ("sheets", "checks"):
                inner = next(iter(inner.values()), {})
            if isinstance(inner, dict):
                yield from inner


@pytest.mark.parametrize("heading", DOCUMENTS)
def test_every_key_of_a_document_is_described(served, heading):
    told = set(re.findall(r"`([a-z_.]+)`", section(heading)))
    told |= {part for name in told for part in name.split(".")}
    assert set(keys(served.ask(DOCUMENTS[heading]).json)) <= told


def test_every_route_has_its_heading(served):
    described = served.ask("/openapi.json").json["paths"]
    routes = [f"{method.upper()} {path}" for path, methods in described.items() for method in methods]
    for route in routes:
        assert f"### `{route}`" in PAGE


def test_every_kind_of_error_is_named(served):
    for answer in (served.ask("/data/x"), served.ask("/data/x", "PUT"), served.ask("/", Host="evil.example")):
        assert f"`{answer.json['error']['kind']}` ({answer.status}" in PAGE
