"""What is noted in the app: taken with `--write` alone, from our own pages, and told to whoever looks."""

import json
import shutil

import pytest

import torchlurk
from torchlurk.resources.tree import StudyTree
from torchlurk.server.events import Watch
from torchlurk.store.reading import Reader
from torchlurk.store.writing import Writer

UNIT = "/notes/demo/block1:3"


@pytest.fixture
def study(demo, tmp_path):
    """A study to write to."""
    return shutil.copy(demo, tmp_path / "demo.lurk")


@pytest.fixture
def writing(client_of, study):
    """A client of a server that takes notes."""
    return client_of([study], write=True)


def put(client, path=UNIT, body=None, **headers):
    given = {"name": "wheels", "starred": True} if body is None else body
    data = given if isinstance(given, bytes) else json.dumps(given).encode()
    return client.ask(path, "PUT", data, **{"Content_Type": "application/json"} | headers)


def test_a_note_is_in_all_documents_from_then_on(writing, study):
    answer = put(writing)
    assert answer.status == 200
    remark = answer.json["remark"]
    assert remark == {"name": "wheels", "text": "", "starred": True, "written": remark["written"]}
    assert writing.ask("/data/demo/layers/4/units/3.json").json["remark"] == remark
    mark = {"name": "wheels", "starred": True}
    assert writing.ask("/data/demo/layers/4.json").json["remarks"] == {"3": mark}
    assert writing.ask("/data/demo/study.json").json["remarks"] == {"block1:3": mark}
    assert put(writing, body={"text": "rims"}).json["remark"]["text"] == "rims"
    assert put(writing, body={"name": "", "text": "", "starred": False}).json == {"remark": None}
    with torchlurk.open(study) as opened:
        assert opened.remarks == {}


def test_a_note_is_taken_while_an_analysis_writes(writing, study):
    with Writer(study) as writer:
        writer.add_note("test", "still writing")
        assert put(writing).status == 200
    assert writing.ask("/data/demo/layers/4/units/3.json").json["remark"]["name"] == "wheels"


def test_whether_notes_are_taken_is_said_beside_the_documents_which_are_the_same(served, writing):
    read, write = (client.ask("/data/demo/layers/0.json") for client in (served, writing))
    assert (read.headers["x-torchlurk"], write.headers["x-torchlurk"]) == ("served", "writable")
    assert read.body == write.body


def test_without_write_nothing_is_changed(served, demo):
    assert put(served).is_refusal(403, "Forbidden")
    assert "--write" in put(served).json["error"]["hint"]


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec_Fetch_Site": "cross-site"}, {"Host": "evil.example"}],
)
def test_a_foreign_page_may_not_note_anything(writing, study, headers):
    assert put(writing, **headers).is_refusal(403, "Forbidden")
    with torchlurk.open(study) as opened:
        assert opened.remarks == {}


def test_elsewhere_notes_need_the_token(client_of, study):
    client = client_of([study], host="0.0.0.0", write=True)
    assert put(client).is_refusal(401, "Unauthorized")
    assert put(client, Authorization=f"Bearer {client.server.token}").status == 200


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        (UNIT, {"name": "x" * 101}, 400, "the name has 101 characters; 100 are the most"),
        (UNIT, {"text": "x" * 10_001}, 400, "the text has 10,001 characters"),
        (UNIT, {"name": 7}, 422, "name: Input should be a valid string"),
        (UNIT, {"starred": "yes"}, 422, "starred: Input should be a valid boolean"),
        (UNIT, {"colour": "red"}, 422, "colour: Extra inputs are not permitted"),
        (UNIT, b"{", 422, "JSON decode error"),
        ("/notes/demo/block1:99", None, 400, "layer 'block1' has no channel 99"),
        ("/notes/demo/blok1:3", None, 400, "no layer 'blok1'"),
        ("/notes/demo/block1", None, 400, "'block1' is not a unit"),
        ("/notes/nowhere/block1:3", None, 404, "there is no study 'nowhere'"),
    ],
)
def test_what_cannot_be_noted_is_said(writing, path, body, status, said):
    answer = put(writing, path, body)
    assert answer.status == status
    assert said in answer.json["error"]["message"]


def test_others_who_look_are_told_which_layer_has_other_notes(study):
    with Reader(study) as reader, torchlurk.open(study) as opened:
        watch = Watch(StudyTree(reader, "demo"))
        watch.look()
        for change in ({"name": "wheels"}, {"text": "rims"}, {"name": "", "text": ""}):
            opened.note("block1:3", **change)
            assert watch.look() == [("changed", {"study": "demo", "layers": [4]})]
        assert watch.look() == []
