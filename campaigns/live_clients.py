"""Clients of the live page: they send frames and views, right and wrong ones, read what comes back or do not, and go."""

import contextlib
import io
import json
import logging
import random
import struct
import threading
import time
from dataclasses import dataclass, field

import numpy as np
from PIL import Image
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

LAYERS = ("stem.0", "block1", "block2", "block3", "block4", "head")
METHODS = ("guided", "deconv", "gradient", "lrp", "guided_neg", "no method", "\0")
WAIT = 20.0

logging.getLogger("websockets.client").setLevel(logging.CRITICAL + 1)  # of its own connections that it is made to break off


@dataclass
class Told:
    """What the clients have seen of the server, all together."""

    connections: int = 0
    frames: int = 0
    slowest: float = 0.0
    refused: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, **counts: float) -> None:
        """Adds counts; of `slowest` it keeps the larger one."""
        with self.lock:
            for name, value in counts.items():
                before = getattr(self, name)
                setattr(self, name, max(before, value) if name == "slowest" else before + value)


def clients(port: int, seed: int, ended: threading.Event, told: Told) -> None:
    """One client after the other, each of another temper, until the event."""
    dice = random.Random(f"live-{seed}")
    while not ended.is_set():
        temper = dice.choice([polite, polite, polite, malformed, deaf, abrupt])
        address, most = f"ws://127.0.0.1:{port}/live/demo", 2**24
        with (
            contextlib.suppress(OSError, WebSocketException),
            connect(address, max_size=most, open_timeout=WAIT, close_timeout=1) as socket,
        ):
            first = json.loads(socket.recv(timeout=WAIT))
            told.add(connections=1, refused="error" in first)
            if "error" not in first:
                temper(socket, dice, told, ended)
        ended.wait(dice.uniform(0.0, 0.3))


def polite(socket: ClientConnection, dice: random.Random, told: Told, ended: threading.Event) -> None:
    """Waits for each answer before it sends the next frame; changes its view now and then."""
    socket.send(json.dumps(view(dice)))
    for number in range(dice.randrange(1, 40)):
        if ended.is_set():
            return
        start = time.monotonic()
        socket.send(struct.pack("<I", number) + image(dice))
        socket.recv(timeout=WAIT)
        told.add(frames=1, slowest=time.monotonic() - start)
        if dice.random() < 0.2:
            socket.send(json.dumps(view(dice)))
            socket.recv(timeout=WAIT)


def malformed(socket: ClientConnection, dice: random.Random, told: Told, ended: threading.Event) -> None:
    """Sends what is no frame and no view; each is answered by an error in words, or the connection is closed."""
    for _ in range(dice.randrange(1, 30)):
        whole = struct.pack("<I", 1) + image(dice)
        socket.send(
            dice.choice(
                [
                    "{", "[]", "null", '"' + "a" * 5000, json.dumps({"layer": 2**70}), json.dumps({"unit": "block2:²"}),
                    json.dumps({"layer": "block2", "unit": "block2:" + "9" * 5000}), json.dumps({"tile": -1}),
                    '{"layer": "\\ud800"}', '{"example": 1e999}', json.dumps({"example": -1}), "[" * 20000,
                    json.dumps(view(dice) | {"example": 10**9}), json.dumps(view(dice) | {"prepared": True}),
                    b"", b"\0", whole[: dice.randrange(len(whole))], struct.pack("<I", 2**32 - 1) + dice.randbytes(3000),
                    whole + bytes(5_000_000), bytes(9_000_000),
                ]
            )
        )  # fmt: skip
        with contextlib.suppress(TimeoutError):
            socket.recv(timeout=0.2)


def deaf(socket: ClientConnection, dice: random.Random, told: Told, ended: threading.Event) -> None:
    """Sends frames as fast as it can and reads nothing."""
    socket.send(json.dumps(view(dice)))
    for number in range(dice.randrange(1, 60)):
        socket.send(struct.pack("<I", number) + image(dice))


def abrupt(socket: ClientConnection, dice: random.Random, told: Told, ended: threading.Event) -> None:
    """Leaves without a word in the middle of a frame."""
    socket.send(json.dumps(view(dice)))
    socket.send(struct.pack("<I", 1) + image(dice))
    socket.socket.sendall(b"\x82\xfe\xff\xff" + dice.randbytes(100))
    socket.socket.close()


def view(dice: random.Random) -> dict[str, object]:
    """What to look at: mostly something that there is."""
    layer = dice.choice(LAYERS)
    wanted = {
        "layer": layer,
        "unit": f"{layer}:{dice.randrange(8)}",
        "method": dice.choice(METHODS),
        "tile": dice.choice([16, 48]),
    }
    if dice.random() < 0.3:
        wanted["project"] = f"{dice.choice(LAYERS)}:{dice.randrange(4)}"
    return wanted


def image(dice: random.Random) -> bytes:
    """A picture of any size, in one of the forms that browsers send."""
    side = dice.choice([1, 48, 64, 224])
    pixels = np.frombuffer(dice.randbytes(side * side * 3), np.uint8).reshape(side, side, 3)
    to = io.BytesIO()
    Image.fromarray(pixels).save(to, dice.choice(["JPEG", "PNG", "WEBP"]))
    return to.getvalue()
