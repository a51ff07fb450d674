"""Connections that ask nothing, slowly, or never read what they are answered: they end, so that others are served."""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

MOST_CONNECTIONS = 400
"""Open at once: far below the descriptors that a process may have. One more takes the place of the one idle for longest."""

ASKED_WITHIN, SENT_WITHIN = 10.0, 60.0
"""Seconds for the head of a request, and for its body or for a client to go on reading its answer."""

BETWEEN_LOOKS = 1.0


class BoundedConnection(H11Protocol):
    """One connection, looked at every now and then. h11 bounds the size of headers, as faster parsers do not."""

    _look: asyncio.TimerHandle | None = None
    _since = 0.0
    _state = ""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Makes room where there are too many."""
        super().connection_made(transport)
        self._watch()
        open_ones = [one for one in self.connections if isinstance(one, BoundedConnection)]
        if len(open_ones) > MOST_CONNECTIONS:
            idle = [one for one in open_ones if one.state != "answering"]
            min(idle, key=lambda one: one._since, default=self).end()

    def connection_lost(self, exc: Exception | None) -> None:
        """Looks no more."""
        self._rest()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self, event: Any) -> None:
        """What it becomes is not watched here: it is asked for signs of life."""
        self._rest()
        super().handle_websocket_upgrade(event)

    def send_400_response(self, msg: str) -> None:
        """Says that what came is not HTTP. What is being answered, where that follows a request, is answered to nobody."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        try:
            super().send_400_response(msg)
        except h11.LocalProtocolError:
            self.end()

    def end(self) -> None:
        """Closes it without waiting for anything."""
        self._rest()
        self.connections.discard(self)  # at once: until it is lost, others may come
        self.transport.abort()

    @property
    def state(self) -> str:
        """What it waits for: a request, its body, its client to read, or its answer."""
        if self.cycle is None or self.cycle.response_complete:
            return "asking"
        if self.flow.write_paused:
            return "reading"
        return "sending" if self.cycle.more_body and not self.cycle.response_started else "answering"

    def _watch(self) -> None:
        state, now = self.state, self.loop.time()
        if state != self._state:
            self._state, self._since = state, now
        most = {"asking": ASKED_WITHIN, "answering": None}.get(state, SENT_WITHIN)
        if most is not None and now - self._since > most:
            self.end()
        else:
            self._look = self.loop.call_later(BETWEEN_LOOKS, self._watch)

    def _rest(self) -> None:
        if self._look is not None:
            self._look.cancel()
