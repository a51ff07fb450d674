"""A server among clients that mean it ill: malformed requests, thousands of silent connections, hundreds of requests at once.

`torchlurk serve` of a small study with its model, in a process of its own. No answer says 500, a client that comes fresh is
served within two seconds throughout, and the server's memory and descriptors are afterwards what they were. All of it together,
with clients of the live page among them, goes on for five minutes, or for as many as CAMPAIGN_MINUTES says.
"""

import base64
import contextlib
import functools
import http.client
import os
import random
import re
import resource
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import torchlurk
from campaigns import live_clients, recording

SEED = 3
MALFORMED, SILENT, AT_ONCE, LISTENING, LIVE = 300, 2000, 500, 8, 3
MINUTES = int(os.environ.get("CAMPAIGN_MINUTES", "5"))
SERVED_WITHIN = 2.0
MOST_GROWTH = 100 << 20
"""Bytes, from the second tenth of the time on: by then what answers keep for the next is kept."""
MOST_CLIMB = 16 << 20
"""Bytes by which the last third of the time may be above the second: then it would go on to grow."""

PATHS = [
    "/data/studies.json", "/data/demo/study.json", "/data/demo/layers/0.json", "/data/demo/layers/1/units/3.json",
    "/data/demo/sheets/0-box-0.jpg", "/data/demo/classes/0.json", "/docs", "/", "/image", "/image/demo",
]  # fmt: skip
NUMBERS = ["0", "-1", "9" * 30, "9" * 5000, "1e9", "NaN", "0x1", "\u0663", "1_000"]


class Served:
    """The server's process, and what is asked of it."""

    def __init__(self, study: Path) -> None:
        command = [sys.executable, "-u", "-m", "torchlurk", "serve", str(study), "--port", "0", "--model", "demo", "--write"]
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log, text=True)
        assert self.process.stdout is not None
        found = re.search(r":(\d+)/", self.process.stdout.readline())
        assert found, "the server did not start"
        self.port = int(found[1])

    def fresh(self, path: str = "/data/studies.json") -> float:
        """Seconds until a client that has just come is served."""
        start = time.monotonic()
        assert self.ask("GET", path)[0] == 200
        return time.monotonic() - start

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        """The status and body of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with contextlib.closing(connection):
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()

    def raw(self, sent: bytes) -> bytes:
        """The first of what comes back for some bytes; nothing where the server hangs up or waits for more."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.settimeout(1.0)
            with contextlib.suppress(OSError):
                connection.sendall(sent)
                return connection.recv(4096)
        return b""

    def memory(self) -> int:
        """Bytes of the process that are in memory."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def descriptors(self) -> int:
        """How many the process has open."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def said(self) -> str:
        """What it has written on standard error."""
        self.log.seek(0)
        return self.log.read()

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(10)


def malformed(dice: random.Random) -> bytes:
    """A request with something wrong in it."""
    host = dice.choice(
        [b"127.0.0.1", b"localhost:1", b"[::1]", b"[", b"evil@127.0.0.1", b"127.0.0.1#x", b"", b"\xff", b"a" * 5000]
    )
    origin = dice.choice([b"http://[", b"http://127.0.0.1", b"null", b"//", b"http://\xff", b"http://a:99999", b"]["])
    number = dice.choice(NUMBERS).encode()
    path = dice.choice(
        [
            b"/data/demo/layers/" + number + b".json", b"/data/demo/classes/" + number + b".json", b"/data/%ff%00/" + number,
            b"/image/demo/" + b"0" * 64 + b"/maps?layer=x&channels=" + number, b"/events?" + number,
            b"/notes/demo/features.0:" + number,
            b"/image/demo", b"/image/%00", b"*", b"http://evil/", b"/\xff", b"/%", b"?" * 3000, b"/live",
            b"/data/" + b"../" * 500,
        ]
    )  # fmt: skip
    method = dice.choice([b"GET", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"HEAD", b"get", b"\x00", b"CONNECT", b"X" * 300])
    body = dice.choice(
        [
            b"", b'{"example": ' + number + b"}", b'{"class": ' + number + b"}", b"[" * 20000, b"\xff" * 100,
            b'{"name": "\\ud800"}',
            b'{"example": 1e999}', b"\x89PNG\r\n\x1a\n" + dice.randbytes(200), b"GIF89a" + b"\xff" * 50,
            b'{"name": "' + b"a" * 50000 + b'"}',
        ]
    )  # fmt: skip
    length = dice.choice([b"%d" % len(body)] * 4 + [b"-1", b"9" * 40, b"0x10", b"%d" % (len(body) + 5), b"1, 2"])
    more = dice.choice(
        [
            b"", b"Transfer-Encoding: chunked\r\n", b"Expect: 100-continue\r\n", b"Cookie: " + b"=;" * 500 + b"\r\n",
            b"Content-Type: application/json\r\n", b"Content-Type: multipart/form-data\r\n", b"Range: bytes=-5-\r\n",
            b"If-None-Match: " + b'"' * 300 + b"\r\n", b"Authorization: token \xff\r\n", b"Accept-Encoding: gzip;q=x\r\n",
            b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
            + dice.choice([b"x", base64.b64encode(bytes(16))]) + b"\r\n",
        ]
    )  # fmt: skip
    return b"%b %b HTTP/%b\r\nHost: %b\r\nOrigin: %b\r\nContent-Length: %b\r\n%b\r\n%b" % (
        method,
        path,
        dice.choice([b"1.1", b"1.1", b"1.0", b"2", b"9.9"]),
        host,
        origin,
        length,
        more,
        body,
    )


def all_malformed(served: Served, count: int = MALFORMED) -> dict[str, object]:
    """None is answered by 500, and the server goes on; how many were answered by which hundred."""
    answers: dict[str, int] = {}
    for number in range(count):
        received = served.raw(malformed(random.Random(f"{SEED}-{number}")))
        status = received[9:12].decode("latin-1") if received.startswith(b"HTTP/") else "none"
        assert not status.startswith("50"), (number, received[:300])
        answers[status] = answers.get(status, 0) + 1
    assert "Traceback" not in served.said(), served.said()[-3000:]
    return {"requests": count, "fresh": round(served.fresh(), 2), **dict(sorted(answers.items()))}


@contextlib.contextmanager
def silence(served: Served, count: int) -> Iterator[list[socket.socket]]:
    """Connections that ask nothing, or begin to: each has sent between nothing and most of a request."""
    begun = b"GET /data/studies.json HTTP/1.1\r\nHost: localhost\r\nX: "
    opened: list[socket.socket] = []
    try:
        for number in range(count):
            one = socket.socket()
            one.settimeout(2.0)
            with contextlib.suppress(OSError):
                one.connect(("127.0.0.1", served.port))
                one.sendall(begun[: number % len(begun)])
            opened.append(one)
        yield opened
    finally:
        for one in opened:
            one.close()


def thousands_silent(served: Served, count: int = SILENT, seconds: float = 20.0) -> dict[str, object]:
    """Silent connections, some of which send a byte now and then; a fresh client comes twice a second."""
    before, slowest, most = served.descriptors(), 0.0, 0
    with silence(served, count) as opened:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for one in opened[::7]:
                with contextlib.suppress(OSError):
                    one.send(b"x")
            slowest, most = max(slowest, served.fresh()), max(most, served.descriptors())
            time.sleep(0.5)
    time.sleep(2.0)
    assert slowest < SERVED_WITHIN, slowest
    assert most < before + 500, (before, most)
    assert served.descriptors() < before + 20, (before, served.descriptors())
    return {"connections": count, "slowest fresh": round(slowest, 2), "most descriptors": most}


def many_at_once(served: Served, count: int = AT_ONCE) -> dict[str, object]:
    """Requests side by side, with pages that listen and an image asked about; all are answered."""
    dice = random.Random(SEED)
    asked = [dice.choice(PATHS) for _ in range(count)]
    listening = [socket.create_connection(("127.0.0.1", served.port)) for _ in range(LISTENING)]
    for one in listening:
        one.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    with ThreadPoolExecutor(100) as clients:
        answers = [clients.submit(served.ask, "GET", path) for path in asked]
        image = clients.submit(served.ask, "POST", "/image/demo", b'{"example": 0}', **{"content-type": "application/json"})
        slowest = max(served.fresh() for _ in range(5))
        statuses = {one.result()[0] for one in [*answers, image]}
    for one in listening:
        one.close()
    assert statuses <= {200, 503}, statuses
    return {"requests": count, "slowest fresh": round(slowest, 2)}


def minutes(served: Served, length: float = MINUTES * 60.0) -> dict[str, object]:
    """All of it at once, for minutes: what it takes in memory and descriptors does not grow.

    Two clients send what is malformed, `LIVE` others come to the live page and go, half of `SILENT` are silent; a fresh client
    comes five times a second.
    """
    many_at_once(served)
    files, until = served.descriptors(), time.monotonic() + length
    slowest, asked, ended, told = 0.0, 0, threading.Event(), live_clients.Told()
    taken: list[tuple[int, int]] = []

    def ill(seed: int) -> None:
        dice = random.Random(seed)
        while not ended.is_set():
            with contextlib.suppress(OSError):
                assert b" 500 " not in served.raw(malformed(dice))[:20]

    with ThreadPoolExecutor(2 + LIVE) as others, silence(served, SILENT // 2) as opened:
        working = [others.submit(ill, seed) for seed in range(2)]
        working += [others.submit(live_clients.clients, served.port, seed, ended, told) for seed in range(LIVE)]
        while time.monotonic() < until:
            for one in opened[asked % 5 :: 50]:
                with contextlib.suppress(OSError):
                    one.send(b"x")
            slowest, asked = max(slowest, served.fresh(PATHS[asked % len(PATHS)])), asked + 1
            taken.append((served.memory(), served.descriptors()))
            time.sleep(0.2)
        ended.set()
        for one in working:
            one.result()
    time.sleep(12.0)
    third, tenth = len(taken) // 3, len(taken) // 10
    grown = served.memory() - int(median(memory for memory, _ in taken[tenth : 2 * tenth]))
    at = [taken[len(taken) * part // 10 - (part == 10)] for part in range(11)]
    found: dict[str, object] = {
        "minutes": round(length / 60, 1),
        "fresh": asked,
        "slowest fresh": round(slowest, 2),
        "grown MB": grown >> 20,
        "MB at each tenth": [memory >> 20 for memory, _ in at],
        "descriptors at each tenth": [descriptors for _, descriptors in at],
        "live connections": told.connections,
        "live frames": told.frames,
        "slowest frame": round(told.slowest, 2),
    }
    climb = median(memory for memory, _ in taken[-third:]) - median(memory for memory, _ in taken[third : 2 * third])
    assert slowest < SERVED_WITHIN, found
    assert grown < MOST_GROWTH, found
    assert climb < MOST_CLIMB, (climb, found)
    assert told.frames, found
    assert served.descriptors() < files + 20, (files, served.descriptors())
    assert "Traceback" not in served.said(), served.said()[-3000:]
    return found


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (8192, 8192))
    with tempfile.TemporaryDirectory() as made:
        study = Path(made) / "demo.lurk"
        torchlurk.analyze("demo", "demo", study, stages=["scan"], limit=24, top=4, device="cpu", workers=1).close()
        server = Served(study)
        try:
            checks = {
                "malformed": all_malformed,
                "silent": thousands_silent,
                "at once": many_at_once,
                f"{MINUTES} minutes of all": minutes,
            }
            cases = {name: functools.partial(check, server) for name, check in checks.items()}
            recording.run("hostile_requests", __doc__, SEED, cases)
        finally:
            server.close()
