"""How much a request may bring."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from torchlurk.server.answers import failure
from torchlurk.units import whole_number

TOO_LARGE = 413


@dataclass(frozen=True, slots=True)
class Bounded:
    """An ASGI application that is never given more than `most` bytes of a request's body, said or not."""

    app: ASGIApp
    most: int

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuses what says that it is too large; what does not say so is cut off where it becomes so."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        said = whole_number(dict(scope["headers"]).get(b"content-length", b"0").decode("latin-1"))
        if said is None or said > self.most:
            await failure(TOO_LARGE, "TooLarge", self._message(), "send less data")(scope, receive, send)
            return
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self.most:
                raise HTTPException(TOO_LARGE, self._message())
            return message

        await self.app(scope, counted, send)

    def _message(self) -> str:
        return f"requests are limited to {self.most >> 20} MiB"
