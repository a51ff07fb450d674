"""The one route that changes a study: what a person notes of a unit."""

from __future__ import annotations

from typing import Annotated

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, StrictBool
from starlette.responses import JSONResponse, Response

from torchlurk.resources.remarks import remark_document
from torchlurk.resources.tree import Forest
from torchlurk.server.answers import failure
from torchlurk.store.remarks import Change, write_remarks
from torchlurk.units import Unit

LONGEST_ADDRESS = 512


class Note(BaseModel):
    """What is noted; what is not given stays as it was."""

    model_config = ConfigDict(extra="forbid")

    name: str | None = None
    text: str | None = None
    starred: StrictBool | None = None


def note_routes(forest: Forest, *, write: bool) -> APIRouter:
    """`/notes`, which refuses everything unless the server may `write`."""
    router = APIRouter(tags=["notes"])
    turns = CapacityLimiter(1)

    @router.put("/notes/{slug}/{unit:path}", summary="Name, annotate or star a unit")
    async def note(
        slug: Annotated[str, Path(max_length=200)], unit: Annotated[str, Path(max_length=LONGEST_ADDRESS)], given: Note
    ) -> Response:
        """JSON {name, text, starred}; what is noted then, in full, or null."""
        if not write:
            return failure(403, "Forbidden", "this server is read-only", "start it with torchlurk serve --write")
        tree = forest.trees.get(slug)
        if tree is None:
            return failure(404, "NotFound", f"there is no study '{slug[:100]}'", "data/studies.json lists the studies")
        asked, change = Unit.parse(unit), Change(given.name, given.text, given.starred)
        found = await run_sync(write_remarks, tree.reader.path, {asked: change}, limiter=turns)
        (remark,) = found.values()
        return JSONResponse({"remark": remark_document(remark)}, headers={"cache-control": "no-store"})

    return router
