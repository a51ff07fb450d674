"""What the server answers: the tree's bytes with cache headers, the app, the routes, errors of one shape."""

import gzip
import shutil
import socket
import threading

import pytest

import torchlurk
from torchlurk.errors import OptionError
from torchlurk.resources.tree import Forest
from torchlurk.server import app as app_module
from torchlurk.server.running import Server
from torchlurk.store.reading import Reader
from torchlurk.store.writing import Writer


@pytest.mark.slow
def test_every_path_of_the_tree_is_answered_with_its_bytes(served, demo):
    with Reader(demo) as reader:
        forest = Forest([reader])
        paths = list(forest.paths())
        for path in paths:
            if path.endswith("studies.json"):
                continue
            answer, found = served.ask(f"/data/{path}"), forest.find(path)
            assert (answer.status, answer.body) == (200, found.body), path
            assert answer.headers["content-type"] == found.media_type
    assert len(paths) > 300


def test_documents_are_asked_for_again_and_pictures_kept_for_ever(served):
    study = served.ask("/data/demo/study.json")
    assert study.headers["cache-control"] == "no-cache"
    picture = served.ask("/data/demo/" + served.ask("/data/studies.json").json["studies"][0]["cover"][0])
    assert "immutable" in picture.headers["cache-control"]


def test_what_has_not_changed_is_not_sent_again(served):
    tag = served.ask("/data/demo/study.json").headers["etag"]
    again = served.ask("/data/demo/study.json", If_None_Match=tag)
    assert (again.status, again.body) == (304, b"")
    assert served.ask("/data/demo/study.json", If_None_Match='"other"').status == 200


def test_documents_are_compressed_and_pictures_not(served):
    plain = served.ask("/data/demo/study.json")
    packed = served.ask("/data/demo/study.json", Accept_Encoding="gzip")
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body
    assert "content-encoding" not in served.ask("/data/demo/sheets/0-box-0.jpg", Accept_Encoding="gzip").headers


@pytest.mark.parametrize("path", ["/data/nothing.json", "/data/demo/layers/77.json", "/nothing", "/data/", "/live/nothing"])
def test_what_is_not_there_is_said_so(served, path):
    assert served.ask(path).is_refusal(404, "NotFound")


def test_other_methods_are_refused(served):
    assert served.ask("/data/studies.json", "DELETE").is_refusal(405, "MethodNotAllowed")


def test_the_routes_are_listed_without_a_script(served):
    page = served.ask("/docs")
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert b"/data/{path}" in page.body
    assert b"/events" in page.body
    assert b"<script" not in page.body
    described = served.ask("/openapi.json").json
    assert set(described["paths"]) == {"/data/{path}", "/events", "/image", "/notes/{slug}/{unit}"}


def test_it_starts_without_the_built_app_and_says_what_to_do(client_of, demo, monkeypatch):
    monkeypatch.setattr(app_module, "app_files", dict)
    client = client_of([demo])
    page = client.ask("/")
    assert page.status == 200
    assert b"pip install ." in page.body
    assert client.ask("/data/studies.json").status == 200


def test_a_damaged_study_does_not_hide_the_others(client_of, demo, tmp_path):
    broken = shutil.copy(demo, tmp_path / "broken.lurk")
    client = client_of([demo, broken])
    size = broken.stat().st_size
    with broken.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (size - 4096))
    good, bad = client.ask("/data/studies.json").json["studies"]
    assert good["units"] > 0
    assert "broken.lurk" in bad["trouble"]
    assert client.ask("/data/broken/study.json").is_refusal(409, "Study")
    assert client.ask("/data/demo/study.json").status == 200


def test_a_taken_port_gives_way_to_the_next(demo):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with Server([demo], port=port) as server:
            assert port < server.port <= port + 20


def test_a_port_that_there_is_not_is_refused(demo):
    with pytest.raises(OptionError, match="65536"):
        Server([demo], port=65536)


def test_it_is_served_from_python_and_stops(demo):
    with torchlurk.open(demo) as study:
        server = study.serve(port=0)
        assert server.url == f"http://127.0.0.1:{server.port}/"
        server.stop()
        server.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port), timeout=5)


@pytest.mark.slow
def test_two_hundred_requests_at_once_are_all_answered_rightly_while_the_study_is_written(client_of, demo, tmp_path):
    copy = shutil.copy(demo, tmp_path / "busy.lurk")
    client = client_of([copy])
    paths = [f"/data/busy/layers/{layer}/units/{channel}.json" for layer in range(4) for channel in range(10)]
    paths += [f"/data/busy/sheets/{layer}-{view}-0.jpg" for layer in range(4) for view in ("box", "whole")]
    expected = {path: client.ask(path).body for path in paths}
    wrong, ended, written = [], threading.Event(), []

    def write():
        with Writer(copy) as writer:
            while not ended.is_set() or len(written) <= 5:
                writer.write_effective_field("block1", len(written), len(written))
                written.append(len(written))

    def ask(path):
        answer = client.ask(path)
        if (answer.status, answer.body) != (200, expected[path]):
            wrong.append((path, answer.status, answer.body[:200]))

    writing = threading.Thread(target=write)
    writing.start()
    threads = [threading.Thread(target=ask, args=(paths[number % len(paths)],)) for number in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    ended.set()
    writing.join(60)
    assert not wrong
    assert client.ask("/data/busy/layers/4.json").json["effective_field"] == [written[-1]] * 2
