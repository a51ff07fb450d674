"""A study as static files: the same bytes as the server answers, and nothing of the user's is written over."""

import functools
import http.server
import threading
import urllib.request
from pathlib import Path

import pytest

import torchlurk
from torchlurk.errors import OptionError, TorchlurkError
from torchlurk.export import export
from torchlurk.resources.tree import Resource
from torchlurk.server.running import Server
from torchlurk.site import LIST

APP = {
    "index.html": Resource("text/html; charset=utf-8", b"<!doctype html><title>app</title>"),
    "assets/app-1.js": Resource("text/javascript; charset=utf-8", b"'app'", lasting=True),
}


@pytest.fixture(autouse=True)
def _app(monkeypatch):
    """An app, also where it is not built."""
    monkeypatch.setattr("torchlurk.export.app_files", lambda: APP)
    monkeypatch.setattr("torchlurk.server.app.app_files", lambda: APP)


def files(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_what_is_exported_is_what_is_served(demo, tmp_path):
    count = export([demo], tmp_path / "site")
    written = files(tmp_path / "site")
    assert written.pop(LIST)
    assert len(written) == count > 300
    with Server([demo], port=0) as server:
        for path, body in written.items():
            with urllib.request.urlopen(server.url + path, timeout=30) as answer:
                assert answer.read() == body, path


@pytest.mark.parametrize("kind", ["text", "series"])
def test_studies_of_sequences_are_exported_as_they_are_served(sequences, tmp_path, kind):
    export([sequences[kind]], tmp_path / "site")
    written = files(tmp_path / "site")
    assert written.pop(LIST)
    assert {f"data/{kind}/examples/{index}.json" for index in range(8)} <= set(written)
    assert not any("/sheets/" in path or "/pictures/" in path for path in written)
    with Server([sequences[kind]], port=0) as server:
        for path, body in written.items():
            with urllib.request.urlopen(server.url + path, timeout=30) as answer:
                assert answer.read() == body, path


@pytest.mark.slow
def test_it_works_on_a_plain_host_of_files_under_a_prefix(demo, tmp_path):
    with torchlurk.open(demo) as study:
        study.export(tmp_path / "www" / "deep" / "site")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path / "www")
    handler.log_message = lambda *_: None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as host:
        thread = threading.Thread(target=host.serve_forever)
        thread.start()
        base = f"http://127.0.0.1:{host.server_port}/deep/site/"
        for path in ("", "data/studies.json", "data/demo/study.json", "data/demo/layers/0/units/0.json"):
            with urllib.request.urlopen(base + path, timeout=30) as answer:
                assert answer.status == 200
        host.shutdown()
        thread.join()


@pytest.mark.slow
def test_an_earlier_export_is_written_over_and_what_is_gone_goes(demo, tmp_path):
    folder = tmp_path / "site"
    export([demo], folder)
    export([], folder)
    assert set(files(folder)) == {*APP, "data/studies.json", LIST}
    assert sorted(one.name for one in tmp_path.iterdir()) == ["site"]


def test_a_file_is_no_folder(demo, tmp_path):
    (tmp_path / "site").write_text("")
    with pytest.raises(OptionError, match="is a file"):
        export([demo], tmp_path / "site")


def test_without_the_app_nothing_is_exported(demo, tmp_path, monkeypatch):
    monkeypatch.setattr("torchlurk.export.app_files", dict)
    with pytest.raises(TorchlurkError, match="app"):
        export([demo], tmp_path / "site")
    assert not (tmp_path / "site").exists()


@pytest.mark.slow
def test_how_far_it_is_is_told(demo, tmp_path):
    told = []

    class Watcher:
        def begin(self, task, total, done=0):
            told.append((task, total))

        def advance(self, items):
            told.append(items)

        def end(self):
            told.append("end")

        def say(self, text):
            told.append(text)

    export([demo], tmp_path / "site", Watcher())
    assert told[0] == ("export", sum(told[1:-1]))
    assert told[-1] == "end"
