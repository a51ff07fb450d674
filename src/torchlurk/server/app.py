"""The routes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from importlib.metadata import version

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import ClientDisconnect
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.types import ASGIApp

from torchlurk.errors import BusyError, NoModelError, StorageError, StudyError, TorchlurkError, UnknownImageError
from torchlurk.resources.tree import Forest
from torchlurk.server.answers import ASK_AGAIN, SERVED, WRITABLE, answer, failure
from torchlurk.server.embedding import Embedded
from torchlurk.server.events import events
from torchlurk.server.limits import Bounded
from torchlurk.server.notes import note_routes
from torchlurk.server.security import Guard
from torchlurk.web import app_files

WORTH_PACKING = 1024
"""Bytes from which answers are compressed."""
PACKING = 5
"""How hard, 1 to 9: beyond, time grows and size hardly shrinks."""
MOST_UPLOADED = 32 << 20
"""Bytes of a request's body."""

ANSWERED_AT_ONCE = 4
"""Threads that make answers: Python runs one at a time, and more of them only hinder each other."""

MOST_LISTENERS = 64
"""Pages that are told of changes at once; each looks at the studies twice a second."""

BAD_REQUEST = 400
STATUSES = {StudyError: 409, BusyError: 503, UnknownImageError: 404, NoModelError: 404, StorageError: 507}
"""Of our own errors; of all others it is `BAD_REQUEST`."""

KINDS = {404: "NotFound", 405: "MethodNotAllowed", 413: "TooLarge"}

NO_APP = """<!doctype html><meta charset="utf-8"><title>Torchlurk</title><body><h1>Torchlurk</h1>
<p>The web app was not built into this installation.
Install Torchlurk from its wheel, or with <code>pip install .</code> in a clone.</p>
<p>The studies are being served all the same: <a href="data/studies.json">data/studies.json</a>.</p>"""


def make_app(
    forest: Forest,
    *,
    hosts: frozenset[str] | None,
    token: str | None = None,
    ending: Callable[[], bool] = lambda: False,
    extend: Callable[[FastAPI], None] | None = None,
    write: bool = False,
    embedded: bool = False,
) -> ASGIApp:
    """The application that serves these studies, behind the guard that decides who may ask; `ending` is true once the
    server waits for open answers to end, `extend` adds the routes of a model, and with `write` notes are taken. `embedded` in
    a page of a notebook, it answers below the token alone, as `Embedded` says.
    """
    app = FastAPI(title="Torchlurk", version=version("torchlurk"), docs_url=None, redoc_url=None, openapi_url="/openapi.json")
    app.add_middleware(GZipMiddleware, minimum_size=WORTH_PACKING, compresslevel=PACKING)
    _add_errors(app)
    _add_data(app, forest, ending, WRITABLE if write else SERVED)
    app.include_router(note_routes(forest, write=write))
    (extend or _add_no_model)(app)
    _add_pages(app)
    bounded = Bounded(app, MOST_UPLOADED)
    if embedded:
        assert token is not None
        return Embedded(bounded, token)
    return Guard(bounded, hosts, token)


def _add_data(app: FastAPI, forest: Forest, ending: Callable[[], bool], told: str) -> None:
    turns, listeners = CapacityLimiter(ANSWERED_AT_ONCE), CapacityLimiter(MOST_LISTENERS)

    @app.get("/data/{path:path}", summary="A document or picture of a study", tags=["data"])
    async def data(request: Request, path: str) -> Response:
        """`studies.json`, or what is below a study's slug; the same bytes as an export holds."""
        found = await run_sync(forest.find, path, limiter=turns)
        if found is None:
            return failure(404, "NotFound", f"nothing is at data/{path[:200]}", "data/studies.json lists the studies")
        return answer(request, found, told)

    @app.get("/events", summary="Progress of stages and changes of studies", tags=["events"])
    async def watch() -> Response:
        """Server-sent events: `progress` and `changed`."""
        if listeners.available_tokens == 0:
            raise BusyError(f"{MOST_LISTENERS} pages are already listening", "close some of them")
        headers = {"cache-control": "no-store", "x-accel-buffering": "no", "content-encoding": "identity"}
        return StreamingResponse(
            _counted(events(forest.trees, ending), listeners), media_type="text/event-stream", headers=headers
        )


async def _counted(told: AsyncIterator[bytes], listeners: CapacityLimiter) -> AsyncIterator[bytes]:
    async with listeners:
        async for one in told:
            yield one


def _add_no_model(app: FastAPI) -> None:
    @app.get("/image", summary="The studies beside which their model is open", tags=["image"])
    async def none() -> Response:
        """None is: `torchlurk serve` was given no model."""
        return JSONResponse({"studies": {}}, headers={"cache-control": ASK_AGAIN})


def _add_pages(app: FastAPI) -> None:
    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> Response:
        """The routes in a table; a browser needs no script for it."""
        rows = "".join(
            f"<tr><td><code>{method.upper()}</code></td><td><code>{path}</code></td><td>{route['summary']}</td></tr>"
            for path, methods in app.openapi()["paths"].items()
            for method, route in methods.items()
        )
        return HTMLResponse(
            f'<!doctype html><meta charset="utf-8"><title>Torchlurk: routes</title><h1>Routes</h1><table>{rows}</table>'
            '<p><a href="openapi.json">openapi.json</a></p>'
        )

    @app.get("/{path:path}", include_in_schema=False)
    async def files(request: Request, path: str) -> Response:
        """The web app."""
        found = app_files().get(path or "index.html")
        if found is not None:
            return answer(request, found)
        if path in ("", "index.html"):
            return HTMLResponse(NO_APP)
        return failure(404, "NotFound", f"nothing is at {path[:200]}", "the app is at the root")


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(TorchlurkError)
    async def ours(request: Request, error: TorchlurkError) -> Response:
        status = next((one for kind, one in STATUSES.items() if isinstance(error, kind)), BAD_REQUEST)
        return failure(status, error.kind, error.message, error.hint)

    @app.exception_handler(HTTPException)
    async def known(request: Request, error: HTTPException) -> Response:
        return failure(error.status_code, KINDS.get(error.status_code, "Refused"), str(error.detail))

    @app.exception_handler(ClientDisconnect)
    async def gone(request: Request, error: ClientDisconnect) -> Response:
        """Whoever sent it went away before all was here; nobody reads this."""
        return failure(400, "Refused", "the request is incomplete")

    @app.exception_handler(RequestValidationError)
    async def malformed(request: Request, error: RequestValidationError) -> Response:
        found = "; ".join(f"{'.'.join(map(str, one['loc'][1:]))}: {one['msg']}".removeprefix(": ") for one in error.errors())
        return failure(422, "BadRequest", found)

    @app.exception_handler(Exception)
    async def unforeseen(request: Request, error: Exception) -> Response:
        return failure(500, "Unforeseen", f"{type(error).__name__} on {request.url.path[:200]}", "see the server's log")
