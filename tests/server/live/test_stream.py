"""The stream: what it answers, that the newest frame wins, and that nothing grows, hangs or leaks."""

# Tolerances: grey levels are rounded, and some pictures are JPEG (1 to 1.5 levels); numbers are float32 through a network
# that is run on a batch of another size (1e-5 to 1e-4), peaks are sent in steps of half a percent.

from __future__ import annotations

import io
import json
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from PIL import Image
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from torchlurk.attribution.backward import attribute
from torchlurk.inputs.demo.world import PREPROCESSING, DemoWorld
from torchlurk.inputs.pictures.preprocessing import normalize
from torchlurk.models.loading.demo import demo_network
from torchlurk.rendering.colour import signed
from torchlurk.server.live.model_worker import MOST_STREAMS
from torchlurk.server.live.stream import MOST_FRAME_BYTES

WAIT = 30.0
ALLOWED_GROWTH = 48 * 2**20
"""Bytes: what a few frames take while they are being shown, and what sockets hold."""


def frame(number: int, data: bytes) -> bytes:
    return struct.pack("<I", number) + data


def answer(socket: ClientConnection) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The next answer: what it says, and its pictures by name."""
    message = socket.recv(timeout=WAIT)
    if isinstance(message, str):
        return json.loads(message), {}
    (length,) = struct.unpack_from("<I", message)
    header = json.loads(message[4 : 4 + length])
    at, parts = 4 + length, {}
    for part in header["parts"]:
        parts[part["name"]] = message[at : at + part["bytes"]]
        at += part["bytes"]
    assert at == len(message)
    return header, parts


@contextmanager
def begun(client: Any, view: dict[str, Any], **given: Any) -> Iterator[ClientConnection]:
    with client.stream(**given) as socket:
        assert {"model", "layers", "methods", "examples"} == set(json.loads(socket.recv(timeout=WAIT)))
        socket.send(json.dumps(view))
        yield socket


def inputs() -> torch.Tensor:
    return normalize(torch.from_numpy(DemoWorld(24).read(3).values)[None], PREPROCESSING)


def test_a_frame_is_answered_with_maps_predictions_and_a_back_projection(client: Any, thing: bytes) -> None:
    net, view = demo_network(), {"layer": "block2", "unit": "block2:24", "project": "block3:7", "method": "guided", "tile": 24}
    with begun(client, view) as socket:
        socket.send(frame(41, thing))
        header, parts = answer(socket)
    assert header["frame"] == 41
    assert header["layer"] == "block2"
    assert set(parts) == {"sheet", "map", "projection"}
    best = torch.softmax(net(inputs()), 1)[0].argmax().item()
    assert header["predictions"][0]["index"] == best
    maps: list[torch.Tensor] = []
    net.block2.register_forward_hook(lambda *given: maps.append(given[2].detach()))
    net(inputs())
    sheet = np.asarray(Image.open(io.BytesIO(parts["sheet"])))
    height, width = header["sheet"]["tile"]
    row, column = divmod(24, header["sheet"]["columns"])
    tile = sheet[row * height : (row + 1) * height, column * width : (column + 1) * width]
    assert np.allclose(tile, (maps[0][0, 24] / maps[0].max() * 255).numpy(), atol=1.5)
    shown = np.asarray(Image.open(io.BytesIO(parts["projection"]))).astype(float)
    expected = signed(attribute(net, inputs(), "block3:7", "guided")[0].permute(1, 2, 0).double().numpy()).astype(float)
    assert np.abs(shown - expected).mean() < 4
    assert np.corrcoef(shown.ravel(), expected.ravel())[0, 1] > 0.97


def test_a_new_view_shows_the_last_frame_once_more(client: Any, thing: bytes) -> None:
    with begun(client, {"predictions": 1}) as socket:
        socket.send(frame(5, thing))
        header, _ = answer(socket)
        assert len(header["predictions"]) == 1
        socket.send(json.dumps({"layer": "block1", "predictions": 0}))
        header, parts = answer(socket)
    assert header["frame"] == 5
    assert header["predictions"] == []
    assert set(parts) == {"sheet"}


def test_an_example_of_the_study_in_place_of_a_frame(client: Any) -> None:
    example = client.get("/image/demo")[1]["examples"][1]
    with begun(client, {"example": example}) as socket:
        assert answer(socket)[0]["predictions"]


def test_a_unit_switched_off_changes_what_comes_after_and_nothing_is_left_of_it(client: Any, thing: bytes) -> None:
    with begun(client, {}) as socket:
        socket.send(frame(1, thing))
        before = answer(socket)[0]["predictions"]
        off = [{"unit": f"block4:{channel}"} for channel in range(60)]
        socket.send(json.dumps({"changes": off, "layer": "block4"}))
        during = answer(socket)[0]["predictions"]
        socket.send(json.dumps({}))
        after = answer(socket)[0]["predictions"]
    assert during[0]["output"] != pytest.approx(before[0]["output"])
    assert after == before


def test_the_newest_frame_wins(client: Any, thing: bytes) -> None:
    with begun(client, {"layer": "block4", "project": "block4:3"}) as socket:
        for number in range(1, 101):
            socket.send(frame(number, thing))
        seen, dropped = [], 0
        while not seen or seen[-1] != 100:
            header, _ = answer(socket)
            seen.append(header["frame"])
            dropped = header["dropped"]
    assert seen == sorted(seen)
    assert len(seen) + dropped == 100
    assert dropped > 0


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (frame(3, b"not an image"), "is not an image"),
        (frame(3, b""), "is empty"),
        (frame(3, b"\xff\xd8\xff\xe0" + b"\0" * 50), "damaged"),
        (b"ab", "number"),
        (b"\0" * (MOST_FRAME_BYTES + 1), "more than"),
    ],
)
def test_a_bad_frame_is_refused_and_the_stream_goes_on(client: Any, thing: bytes, data: bytes, word: str) -> None:
    with begun(client, {}) as socket:
        socket.send(data)
        error, _ = answer(socket)
        assert word in error["error"]["message"]
        assert set(error["error"]) == {"kind", "message", "hint"}
        socket.send(frame(4, thing))
        assert answer(socket)[0]["frame"] == 4


@pytest.mark.parametrize(
    "view",
    [
        "nonsense",
        '{"layer": "nowhere"}',
        '{"project": "block4:99999"}',
        '{"method": "nothing", "project": "block4:1"}',
        '{"changes": [{"unit": "block4:1", "factor": 1e999}]}',
        '{"gamma": 0}',
        '{"tile": 100000}',
        '{"what": 1}',
        '{"example": 1000000}',
        '{"layer": "block4", "unit": "block3:1"}',
        '{"predictions": ' + "9" * 300000 + "}",
    ],
)
def test_a_bad_view_is_refused_and_the_stream_goes_on(client: Any, thing: bytes, view: str) -> None:
    with begun(client, {}) as socket:
        socket.send(frame(1, thing))
        answer(socket)
        socket.send(view)
        assert answer(socket)[0]["error"]["message"]
        socket.send("{}")
        assert answer(socket)[0]["frame"] == 1


def test_a_message_beyond_all_bounds_closes_the_connection(client: Any) -> None:
    with begun(client, {}) as socket:
        with suppress(ConnectionClosed):
            socket.send(b"\0" * (9 << 20))
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=WAIT)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009


def test_a_study_without_a_model_says_so_and_closes(client: Any) -> None:
    with client.stream("other") as socket:
        assert json.loads(socket.recv(timeout=WAIT))["error"]["kind"] == "NoModel"
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=WAIT)


def test_a_page_elsewhere_may_not_listen(client: Any) -> None:
    with (
        pytest.raises((InvalidStatus, ConnectionClosed)),
        connect(f"ws://127.0.0.1:{client.port}/live/demo", origin="http://elsewhere.example") as socket,
    ):
        socket.recv(timeout=WAIT)


def test_one_stream_too_many_is_told_so_and_a_place_becomes_free(client: Any) -> None:
    with ExitStack() as opened:
        for _ in range(MOST_STREAMS):
            opened.enter_context(begun(client, {}))
        with client.stream() as socket:
            assert json.loads(socket.recv(timeout=WAIT))["error"]["kind"] == "Busy"
    give_up = time.monotonic() + WAIT
    while time.monotonic() < give_up:
        with client.stream() as socket:
            if "model" in json.loads(socket.recv(timeout=WAIT)):
                return
        time.sleep(0.05)
    pytest.fail("no place became free")


@pytest.mark.slow
def test_a_client_that_never_reads_does_not_make_the_server_grow(client: Any, thing: bytes) -> None:
    image = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (480, 640, 3), np.uint8)).save(image, "JPEG", quality=90)
    data, process = image.getvalue(), psutil.Process()
    with begun(client, {"layer": "stem.0", "tile": 48, "project": "block1:3"}, max_queue=1) as socket:

        def pour(seconds: float) -> int:
            end, sent = time.monotonic() + seconds, 0
            while time.monotonic() < end:
                socket.send(frame(sent, data))
                sent += 1
                time.sleep(0.002)
            return sent

        pour(1.0)
        before = process.memory_info().rss
        sent = pour(3.0)
        grown = process.memory_info().rss - before
    assert sent > 10
    assert grown < ALLOWED_GROWTH


def test_clients_come_and_go_and_leave_nothing_behind(client: Any, server: Any, thing: bytes) -> None:
    def visit(number: int) -> None:
        with begun(client, {"layer": "block3"}) as socket:
            socket.send(frame(number, thing))
            if number % 3:
                answer(socket)  # the others go without waiting for it

    visit(1)
    before = len(threading.enumerate())
    visitors = [threading.Thread(target=visit, args=(number,)) for number in range(10)]
    for one in visitors:
        one.start()
    for one in visitors:
        one.join(WAIT)
    desk = server._beside.desk
    give_up = time.monotonic() + WAIT
    while (desk.streams or len(threading.enumerate()) > before + 2) and time.monotonic() < give_up:
        time.sleep(0.02)
    assert desk.streams == 0
    assert desk._waiting == 0
    assert len(threading.enumerate()) <= before + 2
    module = desk.benches["demo"].module
    assert not any(one._forward_hooks or one._forward_pre_hooks or "forward" in vars(one) for one in module.modules())
    assert all(torch.equal(one, other) for one, other in zip(module.parameters(), demo_network().parameters(), strict=True))


def test_a_prepared_frame_is_taken_pixel_for_pixel_and_only_at_the_networks_size(client: Any, thing: bytes) -> None:
    with begun(client, {"prepared": True, "predictions": 3}) as socket:
        socket.send(frame(1, thing))
        exact = answer(socket)[0]["predictions"]
        target = io.BytesIO()
        Image.open(io.BytesIO(thing)).resize((50, 50)).save(target, "PNG")
        socket.send(frame(2, target.getvalue()))
        refused, _ = answer(socket)
    best = torch.softmax(demo_network()(inputs()), 1)[0]
    assert [one["probability"] for one in exact] == pytest.approx(best.topk(3).values.tolist(), abs=1e-5)
    assert "is 50x50 and not 96x96" in refused["error"]["message"]
    assert refused["frame"] == 2


def test_an_example_comes_with_its_picture_once_and_frames_do_not_take_its_place(client: Any, thing: bytes) -> None:
    with client.stream() as socket:
        examples = json.loads(socket.recv(timeout=WAIT))["examples"]
        socket.send(frame(1, thing))
        socket.send(json.dumps({"example": examples[3], "layer": "block4", "input": True}))
        header, parts = answer(socket)
        while header.get("example") is None:
            header, parts = answer(socket)
        assert header["example"] == examples[3]
        assert Image.open(io.BytesIO(parts["input"])).size == (96, 96)
        socket.send(json.dumps({"example": examples[3], "layer": "block3", "input": True}))
        header, parts = answer(socket)
    assert header["example"] == examples[3]
    assert set(parts) == {"sheet"}


def test_what_the_network_sees_of_a_file_is_told_where_it_is_asked_for(client: Any) -> None:
    wide = io.BytesIO()
    Image.effect_mandelbrot((300, 200), (-2, -1, 1, 1), 20).save(wide, "PNG")
    with begun(client, {"input": True}) as socket:
        socket.send(frame(1, wide.getvalue()))
        _, parts = answer(socket)
        shown = np.asarray(Image.open(io.BytesIO(parts["input"])))
        socket.send(json.dumps({"input": True, "prepared": True}))
        _, again = answer(socket)
    assert shown.shape == (96, 96, 3)
    assert shown[48, 48, 0] == pytest.approx(
        np.asarray(Image.open(wide).resize((96, 96), Image.Resampling.BILINEAR))[48, 48], abs=1
    )
    assert again == {}


def test_a_sheet_says_of_each_unit_how_strong_it_is(client: Any, thing: bytes) -> None:
    net = demo_network()
    maps: list[torch.Tensor] = []
    net.block3.register_forward_hook(lambda *given: maps.append(given[2].detach()))
    net(inputs())
    with begun(client, {"layer": "block3", "tile": 2}) as socket:
        socket.send(frame(1, thing))
        header, _ = answer(socket)
    assert header["sheet"]["peaks"] == pytest.approx(maps[0][0].abs().amax((1, 2)).tolist(), rel=6e-3)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["lrp", "deconv", "guided", "gradient", "guided_neg"])
def test_the_methods_of_the_stream_are_those_of_an_attribution(client: Any, thing: bytes, method: str) -> None:
    with begun(client, {"project": "block3:7", "method": method}) as socket:
        socket.send(frame(1, thing))
        _, parts = answer(socket)
    shown = np.asarray(Image.open(io.BytesIO(parts["projection"]))).astype(float)
    expected = signed(attribute(demo_network(), inputs(), "block3:7", method)[0].permute(1, 2, 0).double().numpy())
    assert np.corrcoef(shown.ravel(), expected.astype(float).ravel())[0, 1] > 0.97


@pytest.mark.parametrize("method", ["lrp", "guided"])
def test_a_unit_that_is_switched_off_or_scaled_is_still_projected_as_it_was(client: Any, thing: bytes, method: str) -> None:
    view = {"project": "block3:7", "method": method, "predictions": 1}
    with begun(client, view) as socket:
        socket.send(frame(1, thing))
        before, parts = answer(socket)
        socket.send(json.dumps(view | {"changes": [{"unit": "block3:7"}]}))
        after, still = answer(socket)
        socket.send(json.dumps(view | {"changes": [{"unit": "block1:3", "factor": 0.5}]}))
        below, other = answer(socket)
    assert after["projection"] == before["projection"]
    assert still["projection"] == parts["projection"]
    assert after["predictions"][0]["output"] != before["predictions"][0]["output"]
    assert below["projection"]["activation"] != before["projection"]["activation"]
    assert other["projection"] != parts["projection"]
