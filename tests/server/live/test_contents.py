"""What a model beside a study answers is as it is declared, for the web app's types are made from that."""

from __future__ import annotations

import json
import struct
from typing import Any

from tests.declared import faults
from torchlurk.server.live import contents

WAIT = 30.0


def test_what_is_answered_of_an_image_is_as_declared(client: Any, thing: bytes) -> None:
    overview = client.post("/image/demo", thing, "image/png")[1]
    path, unit = f"/image/demo/{overview['image']}", overview["predictions"][0]["unit"]
    response = client.get(f"{path}/response?unit={unit}")[1]
    (below, *_) = overview["layers"][-2]["strongest"]
    place = {"unit": below["unit"], "position": below["position"]}
    branches = {"branches": [{"units": [unit]}, {"units": [below["unit"]]}]}
    answers = [
        (client.get("/image/demo")[1], contents.About),
        (overview, contents.Overview),
        (response, contents.Response),
        (client.post(f"{path}/makeups", branches)[1], contents.Makeups),
        (client.post(f"{path}/pictures", branches)[1], contents.PathPictures),
        (client.post(f"{path}/uses", place)[1], contents.Uses),
        (client.post(f"{path}/effects", {"cases": [[{"unit": below["unit"]}]], "watched": [place]})[1], contents.Effects),
    ]
    assert [fault for answer, of in answers for fault in faults(answer, of, of.__name__)] == []


def test_what_a_stream_says_is_as_declared(client: Any, thing: bytes) -> None:
    view = {"layer": "block2", "unit": "block2:24", "project": "block3:7", "input": True}
    with client.stream() as socket:
        greeting = json.loads(socket.recv(timeout=WAIT))
        socket.send(json.dumps(view))
        socket.send(struct.pack("<I", 1) + thing)
        message = socket.recv(timeout=WAIT)
    (length,) = struct.unpack_from("<I", message)
    header = json.loads(message[4 : 4 + length])
    assert {"sheet", "map", "projection", "layer"} <= set(header)
    assert faults(greeting, contents.Greeting, "greeting") + faults(header, contents.Header, "header") == []
