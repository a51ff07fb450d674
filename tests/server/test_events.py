"""What a page is told while a study is being written."""

import http.client
import json
import shutil
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from dataclasses import replace
from queue import Queue

import pytest

from torchlurk.resources.tree import StudyTree
from torchlurk.run_records import StageCount
from torchlurk.server.events import Watch
from torchlurk.store.reading import Reader
from torchlurk.store.writing import Writer


@pytest.fixture
def copy(demo, tmp_path):
    """A study to write to."""
    return shutil.copy(demo, tmp_path / "copy.lurk")


@pytest.fixture
def watch(copy):
    """A listener of it."""
    with Reader(copy) as reader:
        yield Watch(StudyTree(reader, "copy"))


def reopened(writer):
    """Takes up the finished scan again."""
    run = writer.runs()["scan"]
    writer.reopen(replace(run, finished=None))


def test_the_first_look_tells_where_each_stage_is(watch):
    ((kind, told),) = watch.look()
    assert (kind, told["study"], told["stage"]) == ("progress", "copy", "scan")
    assert told["finished"]


def test_nothing_is_told_while_nothing_changes(watch):
    watch.look()
    assert watch.look() == []


def test_progress_is_told_with_what_is_left(watch, copy):
    watch.look()
    with Writer(copy) as writer:
        reopened(writer)
        writer.count("scan", StageCount(10, 60))
        events = [told for kind, told in watch.look() if kind == "progress"]
        assert (events[-1]["done"], events[-1]["total"]) == (10, 60)
        assert events[-1]["finished"] is None


def test_that_nobody_goes_on_with_a_stage_is_told(watch, copy):
    with Writer(copy) as writer:
        reopened(writer)
        writer.count("scan", StageCount(10, 60))
        assert [told["stopped"] for kind, told in watch.look() if kind == "progress"] == [False]
    assert [told["stopped"] for kind, told in watch.look() if kind == "progress"] == [True]
    assert watch.look() == []


@pytest.mark.slow
def test_an_analysis_that_was_killed_is_told_as_stopped(watch, copy):
    writing = f"""
import os, signal
from pathlib import Path
from dataclasses import replace
from torchlurk.store.writing import Writer

writer = Writer(Path({str(copy)!r}))
writer.reopen(replace(writer.runs()["scan"], finished=None))
print("open", flush=True)
signal.pause()
"""
    with subprocess.Popen([sys.executable, "-c", writing], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        assert [told["stopped"] for kind, told in watch.look() if kind == "progress"] == [False]
        process.kill()
    assert copy.with_name(f"{copy.name}-lock").exists()
    assert [told["stopped"] for kind, told in watch.look() if kind == "progress"] == [True]


def test_what_is_written_to_a_study_that_is_served_through_a_link_is_told(copy, tmp_path):
    link = tmp_path / "elsewhere" / "link.lurk"
    link.parent.mkdir()
    link.symlink_to(copy)
    with Reader(link) as reader, Writer(copy) as writer:
        reopened(writer)
        watch = Watch(StudyTree(reader, "link"))
        watch.look()
        writer.count("scan", StageCount(10, 60))
        assert [(told["done"], told["stopped"]) for _, told in watch.look()] == [(10, False)]


def test_a_layer_whose_results_are_others_is_named(watch, copy):
    watch.look()
    with sqlite3.connect(copy) as db:
        db.execute("INSERT INTO provisional VALUES (4, 20)")
    db.close()
    assert watch.look() == [("changed", {"study": "copy", "layers": [4]})]


def test_what_later_stages_add_is_told_now_and_then(watch, copy, monkeypatch):
    watch.look()
    with Writer(copy) as writer:
        writer.begin(replace(writer.runs()["scan"], stage="attribute", finished=None))
        writer.count("attribute", StageCount(3, 9))
        assert [kind for kind, _ in watch.look()] == ["progress"]
        monkeypatch.setattr("torchlurk.server.events.SECONDS_BETWEEN_CHANGES", 0.0)
        assert watch.look() == [("changed", {"study": "copy", "layers": None})]
        assert watch.look() == []


def test_a_study_that_is_replaced_by_something_else_tells_nothing(watch, copy):
    watch.look()
    copy.write_bytes(b"no study any more")
    assert watch.look() == []


def listen(client, queue):
    """Puts the head and the lines of the event stream into the queue, until the server ends."""
    with closing(http.client.HTTPConnection("127.0.0.1", client.port, timeout=30)) as connection:
        connection.request("GET", "/events")
        response = connection.getresponse()
        queue.put((response.status, response.getheader("content-type"), response.getheader("content-encoding")))
        with response:
            while line := response.readline():
                queue.put(line.decode().strip())


def test_a_page_hears_of_what_another_process_writes(client_of, copy):
    client, heard = client_of([copy]), Queue()
    threading.Thread(target=listen, args=(client, heard), daemon=True).start()
    status, media_type, encoding = heard.get(timeout=30)
    assert (status, media_type, encoding) == (200, "text/event-stream; charset=utf-8", "identity")
    assert next_data(heard)["finished"]
    with Writer(copy) as writer:
        reopened(writer)
        writer.count("scan", StageCount(7, 60))
        while next_data(heard).get("done") != 7:
            pass


def next_data(heard):
    """The data of the next event."""
    while not (line := heard.get(timeout=30)).startswith("data: "):
        pass
    return json.loads(line.removeprefix("data: "))


def test_ten_pages_may_listen_and_go(client_of, copy):
    client = client_of([copy])
    for _ in range(10):
        connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=30)
        connection.request("GET", "/events")
        response = connection.getresponse()
        assert response.status == 200
        response.close()
        connection.close()
    assert client.ask("/data/studies.json").status == 200
