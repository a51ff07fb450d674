"""Connections that ask nothing, slowly, or hang up: they end, and others are served."""

import base64
import os
import socket
import time

import pytest

from torchlurk.errors import OptionError
from torchlurk.server import app, connections
from torchlurk.server.running import Server


@pytest.fixture
def quick(monkeypatch, client_of, drawn):
    """A client of a server that waits for a fifth of a second, and has room for four connections."""
    monkeypatch.setattr(connections, "ASKED_WITHIN", 0.2)
    monkeypatch.setattr(connections, "SENT_WITHIN", 0.2)
    monkeypatch.setattr(connections, "BETWEEN_LOOKS", 0.05)
    monkeypatch.setattr(connections, "MOST_CONNECTIONS", 4)
    return client_of([drawn])


def connected(client):
    return socket.create_connection(("127.0.0.1", client.port), timeout=30)


def ended(connection):
    """Whether the server closes it, within the connection's timeout."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


HEAD = b"PUT /notes/demo/x:0 HTTP/1.1\r\nHost: localhost\r\n"


class Untouched:
    def open(self, forest):
        raise AssertionError("the model is loaded for nothing")


def test_a_host_that_is_not_there_is_told_before_a_model_is_loaded(drawn):
    with pytest.raises(OptionError, match="cannot listen on"):
        Server([drawn], host="203.0.113.9", port=0, model=Untouched())


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: local", HEAD + b"Content-Length: 9\r\n\r\nab"])
def test_who_does_not_go_on_is_not_waited_for(quick, sent):
    with connected(quick) as connection:
        connection.sendall(sent)
        assert ended(connection)


def test_one_more_takes_the_place_of_the_one_idle_for_longest(quick, monkeypatch):
    monkeypatch.setattr(connections, "ASKED_WITHIN", 60.0)
    idle = [connected(quick) for _ in range(12)]
    try:
        assert quick.ask("/data/studies.json").status == 200
        assert all(ended(one) for one in idle[:8])
    finally:
        for one in idle:
            one.close()


@pytest.mark.slow
def test_who_does_not_read_is_not_answered_for_ever(quick):
    with connected(quick) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        connection.sendall(b"GET /data/demo/study.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 200)
        until = time.monotonic() + 30
        with pytest.raises((ConnectionResetError, BrokenPipeError)):  # noqa: PT012
            while time.monotonic() < until:
                connection.send(b"x")
                time.sleep(0.05)


def test_an_upload_that_breaks_off_leaves_no_traceback(client_of, drawn, caplog):
    client = client_of([drawn])
    with connected(client) as connection:
        connection.sendall(HEAD + b"Content-Length: 9\r\n\r\nabc")
        time.sleep(0.1)
    assert client.ask("/data/studies.json").status == 200
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize(
    "host", ["evil@127.0.0.1", "127.0.0.1#x", "127.0.0.1/x", "127.0.0.1?x", "127.0.0.1:80:80", "localhost\\x"]
)
def test_a_host_that_is_more_than_a_name_is_refused(served, host):
    assert served.ask("/data/studies.json", Host=host).is_refusal(403, "Forbidden")


@pytest.mark.parametrize("origin", ["http://[", "http://127.0.0.1:port", "//", "http://evil@127.0.0.1", "127.0.0.1"])
def test_an_origin_that_is_none_is_refused(served, origin):
    assert served.ask("/data/studies.json", "POST", b"", Origin=origin).is_refusal(403, "Forbidden")
    key = base64.b64encode(os.urandom(16)).decode()
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec_WebSocket_Key": key, "Sec_WebSocket_Version": "13"}
    assert served.ask("/live", Origin=origin, **upgrade).is_refusal(403, "Forbidden")


def test_only_so_many_pages_listen_at_once(monkeypatch, client_of, drawn):
    monkeypatch.setattr(app, "MOST_LISTENERS", 1)
    client = client_of([drawn])
    with connected(client) as first:
        first.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"200" in first.recv(4096)
        assert client.ask("/events").is_refusal(503, "Busy")
