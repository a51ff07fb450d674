"""Who may ask: the right host, no foreign page, and off this machine only those with the token."""

from __future__ import annotations

import hmac
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from torchlurk.server.answers import failure

COOKIE = "torchlurk-token"
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
FRAMED_BY_NONE = "frame-ancestors 'none'"
POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; style-src 'self' 'unsafe-inline';"
    f" object-src 'none'; base-uri 'none'; form-action 'none'; {FRAMED_BY_NONE}"
)
"""Styles may be set on elements (tiles are placed so); scripts come from our own files alone."""

HOST = re.compile(r"(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+))(?::[0-9]{1,5})?")
"""A name or an address, and a port: nothing that could hide another name."""

KINDS = {401: "Unauthorized", 403: "Forbidden"}

PRINTED = "open the address that was printed when the server started"

HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}


def is_loopback(host: str) -> bool:
    """Whether a host is this machine alone."""
    if host in LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Guard:
    """An ASGI application before another.

    A page elsewhere that makes a browser ask this server is told by its `Host` (a name that was bent to this address) or
    by its `Origin`. `hosts` None lets any host pass, where a `token` is asked for instead.
    """

    app: ASGIApp
    hosts: frozenset[str] | None
    token: str | None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuses, or hands on and adds the headers that keep browsers strict."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        refused = self._refusal(scope, headers)
        if refused is not None:
            await refuse(scope, receive, send, *refused)
            return

        async def secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                found = MutableHeaders(raw=message.setdefault("headers", []))
                for name, value in HEADERS.items():
                    found.setdefault(name, value)
                if self.token and _query(scope).get("token"):
                    found.append("set-cookie", f"{COOKIE}={self.token}; HttpOnly; SameSite=Strict; Path=/")
            await send(message)

        await self.app(scope, receive, secured)

    def _refusal(self, scope: Scope, headers: Mapping[str, str]) -> tuple[int, str, str] | None:
        """Status, message and hint; None where nothing speaks against it."""
        host = headers.get("host", "")
        if self.hosts is not None and _name(host) not in self.hosts:
            return (
                403,
                f"this server does not answer for the host '{host[:100]}'",
                PRINTED,
            )
        asks = scope["type"] == "websocket" or scope["method"] not in SAFE_METHODS
        origin = headers.get("origin")
        if asks and origin is not None and origin not in (f"http://{host}", f"https://{host}"):
            return 403, f"a page from '{origin[:100]}' may not use this server", "open the app from this server itself"
        if asks and headers.get("sec-fetch-site") in ("cross-site", "same-site"):
            return 403, "another page may not use this server", "open the app from this server itself"
        if self.token is not None and not self._knows_token(scope, headers):
            return (
                401,
                "the token is missing or wrong",
                PRINTED,
            )
        return None

    def _knows_token(self, scope: Scope, headers: Mapping[str, str]) -> bool:
        given = [
            _query(scope).get("token", ""),
            headers.get("authorization", "").removeprefix("token ").removeprefix("Bearer "),
        ]
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            cookie = None
        given.append(cookie.value if cookie else "")
        assert self.token is not None
        return any(hmac.compare_digest(one.encode(), self.token.encode()) for one in given)


def _query(scope: Scope) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(scope.get("query_string", b"").decode("latin-1")).items()}


def _name(host: str) -> str:
    """A host without its port."""
    found = HOST.fullmatch(host)
    return (found[1] or found[2]).lower() if found else ""


async def refuse(scope: Scope, receive: Receive, send: Send, status: int, message: str, hint: str) -> None:
    """Answers with an error of the one shape, a WebSocket too."""
    response = failure(status, KINDS[status], message, hint)
    for name, value in HEADERS.items():
        response.headers[name] = value
    if scope["type"] == "websocket":
        await receive()
        head = {"type": "websocket.http.response.start", "status": status, "headers": response.raw_headers}
        await send(head)
        await send({"type": "websocket.http.response.body", "body": response.body})
        return
    await response(scope, receive, send)
