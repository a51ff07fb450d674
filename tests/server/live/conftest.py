"""A server with the demo model beside a study of it."""

from __future__ import annotations

import io
import json
import shutil
import struct
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from websockets.sync.client import ClientConnection, connect

from torchlurk.inputs.demo.world import DemoWorld
from torchlurk.server.model_choice import ModelChoice
from torchlurk.server.running import Server

IMAGES = 24


@dataclass(frozen=True)
class Client:
    """Asks the server; what comes back of an error is (status, error)."""

    port: int

    def get(self, path: str) -> tuple[int, Any, Any]:
        return self._ask(urllib.request.Request(f"http://127.0.0.1:{self.port}{path}"))

    def post(self, path: str, body: Any, kind: str = "application/json", **headers: str) -> tuple[int, Any, Any]:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        given = {"content-type": kind} | headers
        return self._ask(urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, given, method="POST"))

    def stream(self, slug: str = "demo", **given: Any) -> ClientConnection:
        return connect(f"ws://127.0.0.1:{self.port}/live/{slug}", max_size=2**24, **given)

    def _ask(self, request: urllib.request.Request) -> tuple[int, Any, Any]:
        try:
            with urllib.request.urlopen(request, timeout=60) as found:
                data, headers = found.read(), found.headers
                return found.status, json.loads(data) if "json" in headers["content-type"] else data, headers
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())["error"], error.headers


@pytest.fixture(scope="session")
def study(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copy(drawn, tmp_path_factory.mktemp("live")))


@pytest.fixture(scope="session")
def server(study: Path) -> Iterator[Server]:
    with Server([study], port=0, model=ModelChoice("demo", device="cpu")) as running:
        yield running


@pytest.fixture
def client(server: Server) -> Client:
    return Client(server.port)


@pytest.fixture(scope="session")
def thing() -> bytes:
    """An image file of something drawn, as large as the network's input."""
    return encoded(Image.fromarray(DemoWorld(IMAGES).read(3).values))


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    target = io.BytesIO()
    image.save(target, kind)
    return target.getvalue()


def framed(number: int, data: bytes) -> bytes:
    return struct.pack("<I", number) + data
