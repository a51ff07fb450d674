"""Frames in, what is to be seen of them out: the newest wins, and nothing is queued (docs/reference/live.md)."""

from __future__ import annotations

import asyncio
import json
import struct
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import torch
from fastapi import APIRouter, WebSocket
from pydantic import ValidationError
from starlette.websockets import WebSocketDisconnect

from torchlurk.errors import BusyError, DataError, OptionError, StudyError, TorchlurkError
from torchlurk.hierarchy.descent import passages
from torchlurk.model_session import ModelSession, Picture
from torchlurk.resources import image_page
from torchlurk.resources.documents import number
from torchlurk.server.live.drawing import as_plane, exact_picture, sheet_of, signed_picture
from torchlurk.server.live.frame import Seen, Wanted, check, look
from torchlurk.server.live.image_routes import MOST_EXAMPLES, bench_of, prepared_pixels, uploaded_pixels
from torchlurk.server.live.model_worker import MOST_STREAMS, ModelWorker
from torchlurk.server.live.requests import AskedView
from torchlurk.store import queries
from torchlurk.units import whole_number

MOST_FRAME_BYTES = 4 * 2**20
MOST_VIEW_BYTES = 2**18
NUMBER = struct.Struct("<I")
"""What begins a frame: its number, unsigned, little-endian; and an answer: the length of its JSON."""
REFUSED, TRY_LATER = 1008, 1013
PEAK_DIGITS = 3
"""Significant ones: what a page says of a unit on hover."""


@dataclass(slots=True)
class _Sight:
    """What one client looks at: its view, the newest frame that has not been shown, and the last that has.

    `example` is the one in place of a frame; `untold` what the network sees of the last, as long as the client was not told.
    """

    bench: ModelSession
    view: AskedView = field(default_factory=AskedView)
    frame: tuple[int, bytes] | None = None
    shown: tuple[int, torch.Tensor] | None = None
    example: int | None = None
    untold: Picture | None = None
    dropped: int = 0
    again: bool = False
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def arrived(self, data: bytes) -> None:
        """A frame takes the place of one that was not shown yet."""
        if self.frame is not None:
            self.dropped += 1
        self.frame = (NUMBER.unpack_from(data)[0], data[NUMBER.size :])
        self.news.set()

    def changed(self, view: AskedView) -> None:
        """The last frame is shown once more, as it is looked at now; one that waits for another kind of view is not."""
        if (view.example, view.prepared) != (self.view.example, self.view.prepared) and self.frame is not None:
            self.frame = None
            self.dropped += 1
        self.view, self.again = view, True
        self.news.set()


def stream_routes(desk: ModelWorker) -> APIRouter:
    """`/live/{slug}`."""
    router = APIRouter()

    @router.websocket("/live/{slug}")
    async def live(socket: WebSocket, slug: str) -> None:
        """One client, until it goes."""
        await socket.accept()
        try:
            bench = bench_of(desk, slug)
            if desk.streams >= MOST_STREAMS:
                raise BusyError(f"{desk.streams} streams are already open", "close another page first")
        except TorchlurkError as error:
            await _close(socket, error)
            return
        desk.streams += 1
        try:
            await _serve(desk, socket, _Sight(bench))
        finally:
            desk.streams -= 1

    return router


async def _serve(desk: ModelWorker, socket: WebSocket, sight: _Sight) -> None:
    """Reads and answers side by side, so that neither waits for the other; ends both when either ends."""
    with suppress(WebSocketDisconnect, RuntimeError):  # it has gone: starlette says so in the one way or the other
        layers = await desk.ask(lambda: _layers(sight.bench))
        examples = await desk.ask(lambda: _examples(sight.bench))
        greeting = {"model": sight.bench.name, "layers": layers, "methods": list(passages()), "examples": examples}
        await socket.send_text(json.dumps(greeting))
    tasks = [asyncio.create_task(one) for one in (_read(socket, sight), _answer(desk, socket, sight))]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        for found in await asyncio.gather(*tasks, return_exceptions=True):
            expected = (WebSocketDisconnect, RuntimeError, asyncio.CancelledError)
            if isinstance(found, BaseException) and not isinstance(found, expected):
                raise found


async def _read(socket: WebSocket, sight: _Sight) -> None:
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            return
        data, text = message.get("bytes"), message.get("text")
        try:
            if data is not None:
                _check_frame(data)
                sight.arrived(data)
            elif text is not None:
                sight.changed(_view(text))
        except TorchlurkError as error:
            await socket.send_text(_error(error, None))


async def _answer(desk: ModelWorker, socket: WebSocket, sight: _Sight) -> None:
    while True:
        await sight.news.wait()
        sight.news.clear()
        frame, sight.frame, view = sight.frame, None, sight.view
        again, sight.again = sight.again, False
        if frame is None and not again:
            continue
        try:
            answer = await desk.ask(lambda frame=frame, view=view: _see(sight, frame, view))  # type: ignore[misc]
        except TorchlurkError as error:
            await socket.send_text(_error(error, None if frame is None else frame[0]))
            continue
        if answer is not None:
            await socket.send_bytes(answer)


def _see(sight: _Sight, frame: tuple[int, bytes] | None, view: AskedView) -> bytes | None:
    """The answer to a frame, or to the last one as it is looked at now; None where there is none yet."""
    began = time.perf_counter()
    wanted = view.wanted()
    inputs = _inputs(sight, frame, view)
    if inputs is None:
        check(sight.bench.ready(_any_input(sight.bench)), wanted)  # so that a wrong view is refused at once
        return None
    number_of, tensor = inputs
    ready = time.perf_counter()
    seen = look(sight.bench, sight.bench.ready(tensor), tensor, wanted)
    ran = time.perf_counter()
    header, blobs = _header(sight, view, wanted, seen)
    header["frame"] = number_of
    header["dropped"] = sight.dropped
    spent = (ready - began, ran - ready, time.perf_counter() - ran)
    header["seconds"] = dict(zip(("decode", "model", "draw"), spent, strict=True))
    text = json.dumps(header, allow_nan=False).encode()
    return b"".join([NUMBER.pack(len(text)), text, *blobs])


def _inputs(sight: _Sight, frame: tuple[int, bytes] | None, view: AskedView) -> tuple[int, torch.Tensor] | None:
    bench = sight.bench
    if view.example is not None and view.example != sight.example:
        sight.untold = bench.example(view.example)
        sight.shown, sight.example = (0, bench.inputs(sight.untold)), view.example
    elif view.example is None and frame is not None:
        pixels = (prepared_pixels if view.prepared else uploaded_pixels)(bench, frame[1])
        sight.untold = None if view.prepared else pixels
        sight.shown, sight.example = (frame[0], bench.inputs(pixels)), None
    return sight.shown


def _header(sight: _Sight, view: AskedView, wanted: Wanted, seen: Seen) -> tuple[dict[str, Any], list[bytes]]:
    """What the answer says, and the pictures behind it, in the order in which they are named."""
    blobs: list[bytes] = []
    header: dict[str, Any] = {"predictions": image_page.predictions(seen.predictions), "parts": []}

    def add(name: str, media_type: str, data: bytes) -> None:
        header["parts"].append({"name": name, "type": media_type, "bytes": len(data)})
        blobs.append(data)

    if sight.example is not None:
        header["example"] = sight.example
    if view.input and sight.untold is not None:
        add("input", *exact_picture(sight.untold))
        sight.untold = None
    if seen.maps is not None:
        planes = as_plane(seen.maps)
        header["layer"] = wanted.layer
        if view.sheet:
            usual = _usual(sight.bench, wanted.layer) if view.range == "study" else None
            sheet = sheet_of(planes, scale=view.range, gamma=view.gamma, usual=usual, tile=view.tile, columns=view.columns)
            add("sheet", sheet.media_type, sheet.data)
            header["sheet"] = {
                "columns": sheet.columns,
                "tile": list(sheet.tile),
                "units": len(planes),
                "signed": sheet.signed,
                "reach": number(sheet.reach),
                "peaks": [number(float(f"{one:.{PEAK_DIGITS}g}")) for one in sheet.peaks],
            }
        if view.unit is not None:
            channel = _channel(view, len(planes))
            large = sheet_of(planes[channel : channel + 1], scale="map", gamma=view.gamma, tile=max(planes.shape[1:]))
            add("map", large.media_type, large.data)
            header["map"] = {"unit": view.unit, "size": list(large.tile), "signed": large.signed, "reach": number(large.reach)}
    if seen.projection is not None:
        values = seen.projection.permute(1, 2, 0).cpu().numpy()
        add("projection", *signed_picture(values))
        at = None if seen.at is None else list(seen.at)
        box = None if seen.at is None or wanted.projected is None else sight.bench.box(wanted.projected, seen.at)
        header["projection"] = {
            "unit": view.project,
            "method": view.method,
            "position": at,
            "box": None if box is None else list(box),
            "activation": number(seen.activation),
        }
    return header, blobs


def _channel(view: AskedView, units: int) -> int:
    layer, _, written = (view.unit or "").rpartition(":")
    channel = whole_number(written)
    if layer != view.layer or channel is None or channel >= units:
        raise OptionError(f"'{view.unit}' is not a unit of the layer on display", f"{view.layer} has {units} units")
    return channel


def _usual(bench: ModelSession, layer: str | None) -> torch.Tensor | None:
    """The largest value of each unit over the study's examples."""
    if bench.study is None or layer is None:
        return None
    try:
        return torch.from_numpy(bench.study.statistics(layer).max).float()
    except StudyError:  # not scanned
        return None


def _layers(bench: ModelSession) -> list[dict[str, Any]]:
    found = bench.ready(_any_input(bench))
    return [{"name": one.name, "channels": one.channels, "shape": list(one.shape), "layout": one.layout} for one in found]


def _examples(bench: ModelSession) -> list[int]:
    assert bench.study is not None
    return queries.examples_with_pictures(bench.study, MOST_EXAMPLES)


def _any_input(bench: ModelSession) -> torch.Tensor:
    assert bench.study is not None
    return torch.zeros(1, *bench.study.input_shape(), device=bench.device)


def _view(text: str) -> AskedView:
    if len(text) > MOST_VIEW_BYTES:
        raise OptionError(f"the view has more than {MOST_VIEW_BYTES // 2**10} KiB", "send a smaller one")
    try:
        view = AskedView.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise OptionError(f"the view cannot be read: {where}: {first['msg']}"[:300], "see docs/reference/live.md") from error
    view.wanted()
    return view


def _check_frame(data: bytes) -> None:
    if len(data) < NUMBER.size:
        raise DataError("a frame begins with its number, four bytes", "see docs/reference/live.md")
    if len(data) > MOST_FRAME_BYTES:
        raise DataError(f"a frame has {len(data):,} bytes, more than {MOST_FRAME_BYTES // 2**20} MiB", "send smaller frames")


def _error(error: TorchlurkError, frame: int | None) -> str:
    return json.dumps({"error": {"kind": error.kind, "message": error.message, "hint": error.hint}, "frame": frame})


async def _close(socket: WebSocket, error: TorchlurkError) -> None:
    with suppress(WebSocketDisconnect, RuntimeError):
        await socket.send_text(_error(error, None))
        await socket.close(TRY_LATER if isinstance(error, BusyError) else REFUSED, error.message[:100])
