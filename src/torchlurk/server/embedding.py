"""The app inside a page of a notebook: who may show it there, and who may ask.

The notebook's page is of another origin than the app, and browsers keep cookies from what one site shows of another. So every
address begins with a token, relative ones of the app by themselves; whoever has it was given it by this program. No other
address is answered, and pages without it can do nothing, whatever `Host` or `Origin` a proxy makes of theirs.
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass
from urllib.parse import parse_qs

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from torchlurk.server.security import FRAMED_BY_NONE, HEADERS, POLICY, refuse

FRAMED_BY = "framed-by"
"""The parameter of the address with the origins of the page that shows the app, and of those around it."""

_ORIGIN = re.compile(r"[a-z][a-z0-9.+-]*://(?:[A-Za-z0-9.-]+|\[[0-9a-fA-F:]+\])(?::\d{1,5})?")

MISSING = "this address does not carry the notebook's token"


@dataclass(frozen=True, slots=True)
class Embedded:
    """An ASGI application before another."""

    app: ASGIApp
    token: str

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuses what lacks the token; hands on the rest of the path, and adds the headers that keep browsers strict."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        _, given, *rest = scope["path"].split("/", 2)
        if not rest or not hmac.compare_digest(given.encode(), self.token.encode()):
            await refuse(scope, receive, send, 401, MISSING, "run the cell of the notebook again")
            return
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
        origins = [one for one in query.get(FRAMED_BY, ()) if _ORIGIN.fullmatch(one)]
        policy = POLICY.replace(FRAMED_BY_NONE, f"frame-ancestors {' '.join(origins)}") if origins else POLICY

        async def secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                found = MutableHeaders(raw=message.setdefault("headers", []))
                for name, value in {**HEADERS, "content-security-policy": policy}.items():
                    found.setdefault(name, value)
            await send(message)

        path = f"/{rest[0]}"
        await self.app({**scope, "path": path, "raw_path": path.encode()}, receive, secured)
