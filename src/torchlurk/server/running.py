"""A server that runs beside whatever else the process does, and ends with it."""

from __future__ import annotations

import os
import secrets
import socket
import sys
import threading
import time
import webbrowser
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Protocol, runtime_checkable

import uvicorn
from fastapi import FastAPI

from torchlurk.errors import OptionError, TorchlurkError
from torchlurk.input_records import KindName
from torchlurk.input_words import KINDS
from torchlurk.options import HIGHEST_PORT
from torchlurk.resources.tree import Forest
from torchlurk.server.app import make_app
from torchlurk.server.connections import BoundedConnection
from torchlurk.server.security import LOOPBACK_NAMES, is_loopback
from torchlurk.store.reading import Reader

PORTS_TRIED = 20
"""Where the port is taken, the ones after it are tried."""

GRACE = 2
"""Seconds that open answers (event streams above all) have when the server ends."""

ACCEPTED_AT_ONCE, WAITING = 64, 1024
"""Connections that are accepted before those that are too many are closed, and those that may wait for it."""

MOST_IN_A_MESSAGE = 8 << 20
"""Bytes of one message of a stream; beyond it the connection is closed."""

STARTED_WITHIN = 30.0
WAIT_FOR_STUDY = 0.3


@runtime_checkable
class Beside(Protocol):
    """A model that answers too."""

    def add_to(self, app: FastAPI) -> None:
        """Adds its routes."""

    def close(self) -> None:
        """Lets go of it."""


@runtime_checkable
class Openable(Protocol):
    """A model that is not loaded yet (`server.model_choice`)."""

    def open(self, forest: Forest) -> Beside:
        """Opens it beside the studies that were made with it."""


class Server:
    """Serves studies from a thread of its own; use it in a `with` block, or `stop` it. With `write` people can note things;
    `embedded`, it is for a page of a notebook, and answers below its token alone.

    Raises `StudyError` for what is not a study, `OptionError` where it cannot listen on that host and port.
    """

    def __init__(
        self,
        studies: Sequence[Path],
        *,
        host: str = "127.0.0.1",
        port: int = 8000,
        model: Openable | None = None,
        write: bool = False,
        embedded: bool = False,
    ) -> None:
        readers = [Reader(path) for path in studies]
        self._readers = readers
        self.host, self._embedded = host, embedded
        forest = Forest(readers)
        self.token = None if is_loopback(host) and not embedded else secrets.token_urlsafe(24)
        self._socket = _listening(host, port)
        try:
            self._beside = None if model is None else model.open(forest)
        except BaseException:
            self._socket.close()
            raise
        self.port = int(self._socket.getsockname()[1])
        hosts = frozenset({*LOOPBACK_NAMES, host}) if self.token is None else None
        app = make_app(
            forest,
            hosts=hosts,
            token=self.token,
            ending=lambda: self._server.should_exit,
            extend=self._beside.add_to if self._beside else None,
            write=write,
            embedded=embedded,
        )
        config = uvicorn.Config(
            app,
            http=BoundedConnection,
            backlog=ACCEPTED_AT_ONCE,
            log_level="warning",
            timeout_graceful_shutdown=GRACE,
            lifespan="off",
            server_header=False,
            ws_max_size=MOST_IN_A_MESSAGE,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), name="torchlurk-serve", daemon=True)

    @property
    def url(self) -> str:
        """The address to open, with the token if one is asked for."""
        shown = socket.gethostname() if self.host in ("0.0.0.0", "::") else self.host
        base = f"http://{f'[{shown}]' if ':' in shown else shown}:{self.port}/"
        if self._embedded:
            return f"{base}{self.token}/"
        return base if self.token is None else f"{base}?token={self.token}"

    def start(self) -> Server:
        """Starts to answer; returns when it does."""
        self._thread.start()
        give_up = time.monotonic() + STARTED_WITHIN
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > give_up:
                raise TorchlurkError(f"the server did not start on {self.url}")
            time.sleep(0.01)
        self._socket.listen(WAITING)
        return self

    def wait(self, until: threading.Event | None = None) -> None:
        """Returns when the server has ended or the event is set; until then Ctrl-C raises KeyboardInterrupt here."""
        while self._thread.is_alive() and not (until and until.is_set()):
            self._thread.join(0.5)

    def stop(self) -> None:
        """Ends it; a second call does nothing."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(2 * GRACE + 1)
        self._socket.close()
        if self._beside:
            self._beside.close()
        for reader in self._readers:
            reader.close()

    def __enter__(self) -> Server:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()


def serve(
    studies: Sequence[Path],
    host: str,
    port: int,
    say: Callable[[str], None],
    *,
    open_browser: bool = False,
    until: threading.Event | None = None,
    model: Openable | None = None,
    write: bool = False,
) -> None:
    """Serves until Ctrl-C, which is raised again once everything is closed, or until the event is set.

    A model is left out, and that is said, where no study is of inputs that it could be asked about.
    """
    if model is not None and (kinds := _kinds_of(studies)) and not _can_be_asked(kinds):
        say(f"note: the model is not used: the pages Image and Live are for pictures, and here is {' and '.join(kinds)}")
        model = None
    with Server(studies, host=host, port=port, model=model, write=write) as server:
        if port not in (0, server.port):
            say(f"port {port} is taken; {server.port} is free")
        say(f"Torchlurk is at {server.url}   (Ctrl-C ends it)")
        if open_browser and _has_screen():
            with suppress(webbrowser.Error):
                webbrowser.open(server.url)
        server.wait(until)


@contextmanager
def serving_meanwhile(
    study: Path,
    port: int,
    say: Callable[[str], None],
    *,
    open_browser: bool = False,
    model: Openable | None = None,
    others: Sequence[Path] = (),
) -> Iterator[None]:
    """Within it, the study is served from the moment when it knows its layers; after it, until Ctrl-C. A `model` is opened
    beside it, and `others` are finished studies that are served too; raises `StudyError` for what is none.
    """
    for other in others:
        Reader(other).close()
    stop = threading.Event()

    def later() -> None:
        while not stop.is_set() and not _holds_model(study):
            stop.wait(WAIT_FOR_STUDY)
        for beside in dict.fromkeys(
            (model if _can_be_asked(_kinds_of([study])) else None, None)
        ):  # the study is worth seeing without its model too
            if stop.is_set():
                return
            try:
                serve([study, *others], "127.0.0.1", port, say, open_browser=open_browser, until=stop, model=beside)
            except TorchlurkError as error:
                say(str(error))
            else:
                return

    thread = threading.Thread(target=later, name="torchlurk-serve-meanwhile", daemon=True)
    thread.start()
    try:
        yield
        while thread.is_alive():
            thread.join(WAIT_FOR_STUDY)
    finally:
        stop.set()
        thread.join(2 * GRACE + 2)


def _has_screen() -> bool:
    """Whether a browser would have a window: one in the terminal would only be in the way."""
    return sys.platform in ("win32", "darwin") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _holds_model(study: Path) -> bool:
    try:
        with Reader(study) as reader:
            return bool(reader.runs()) and bool(reader.layers())
    except TorchlurkError:
        return False


def _kinds_of(studies: Sequence[Path]) -> list[KindName]:
    """The kinds of inputs of the studies that can be read."""
    found: list[KindName] = []
    for study in studies:
        with suppress(TorchlurkError), Reader(study) as reader:
            found.append(reader.inputs().kind)
    return list(dict.fromkeys(found))


def _can_be_asked(kinds: Sequence[KindName]) -> bool:
    """Whether a model can answer beside a study of one of these kinds of inputs."""
    return any(KINDS[kind].one_model for kind in kinds)


def _listening(host: str, port: int) -> socket.socket:
    """A socket on the port, or on the first free one after it."""
    if not 0 <= port <= HIGHEST_PORT:
        raise OptionError(f"--port is {port}", f"use a port from 0 (any free one) to {HIGHEST_PORT}")
    if not host:
        raise OptionError("--host is empty", "use 127.0.0.1 for this machine, 0.0.0.0 for all its addresses")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    reason = ""
    for number in [port] if port == 0 else range(port, min(port + PORTS_TRIED, HIGHEST_PORT + 1)):
        one = socket.socket(family, socket.SOCK_STREAM)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind((host, number))
            one.listen(128)
        except OSError as error:
            one.close()
            reason = error.strerror or str(error)
        else:
            return one
    raise OptionError(f"cannot listen on {host}, port {port}: {reason}", "give another --host or --port")
