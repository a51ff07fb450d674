"""What is sent back: a resource with its cache headers, or the one shape that all errors have."""

from __future__ import annotations

from hashlib import sha256

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from torchlurk.resources.tree import Resource

FOR_EVER = "public, max-age=31536000, immutable"
ASK_AGAIN = "no-cache"
SERVED, WRITABLE = "served", "writable"
"""The header `x-torchlurk`: by it the app knows that there is a server, not a host of files, and whether it takes notes."""
TAG = 32
"""Characters of an entity tag."""


def failure(status: int, kind: str, message: str, hint: str = "") -> JSONResponse:
    """An error: what kind, what went wrong, what to do."""
    return JSONResponse({"error": {"kind": kind, "message": message, "hint": hint}}, status)


def answer(request: Request, resource: Resource, told: str = SERVED) -> Response:
    """A resource; nothing but "not modified" where the browser has it already."""
    tag = f'"{sha256(resource.body).hexdigest()[:TAG]}"'
    headers = {"x-torchlurk": told, "etag": tag, "cache-control": FOR_EVER if resource.lasting else ASK_AGAIN}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(resource.body, media_type=resource.media_type, headers=headers)
