"""A server as `torchlurk serve` starts it, and a client that sends exactly what it is told to."""

import http.client
import json
import shutil
from dataclasses import dataclass

import pytest

from torchlurk.server.running import Server


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    def is_refusal(self, status, kind):
        """Whether it is an error of the one shape."""
        error = self.json["error"]
        return (
            self.status == status and set(error) == {"kind", "message", "hint"} and error["kind"] == kind and error["message"]
        )


class Client:
    """Asks a server on this machine."""

    def __init__(self, server):
        self.server, self.port = server, server.port

    def ask(self, path, method="GET", body=None, **headers):
        """The answer; headers are given with underscores, `None` leaves out what is sent by itself."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            given = {"Host": f"127.0.0.1:{self.port}"} | {name.replace("_", "-"): value for name, value in headers.items()}
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in given.items():
                if value is not None:
                    connection.putheader(name, value)
            if isinstance(body, bytes) and "Content_Length" not in headers:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body if isinstance(body, bytes) else None)
            got = connection.getresponse()
            return Answer(got.status, {name.lower(): value for name, value in got.getheaders()}, got.read())
        finally:
            connection.close()


@pytest.fixture(scope="session")
def served(demo, tmp_path_factory):
    """A client of a server of the demo study, on this machine only."""
    folder = tmp_path_factory.mktemp("served")
    with Server([shutil.copy(demo, folder / "demo.lurk")], port=0) as server:
        yield Client(server)


@pytest.fixture
def client_of():
    """Makes a client of a server of the test's own; servers end with the test."""
    servers = []

    def start(studies, **options):
        servers.append(Server(studies, port=0, **options).start())
        return Client(servers[-1])

    yield start
    for server in servers:
        server.stop()


@pytest.fixture(scope="session")
def client_from():
    """Makes a client of a server that runs already."""
    return Client
