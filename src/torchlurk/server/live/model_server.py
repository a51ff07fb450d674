"""A model beside the studies of a server: its routes, for as long as the server runs."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import FastAPI

from torchlurk.resources.tree import Forest
from torchlurk.server.live.image_routes import image_routes
from torchlurk.server.live.model_worker import ModelWorker, open_desk
from torchlurk.server.live.stream import stream_routes
from torchlurk.server.model_choice import ModelChoice


@dataclass(frozen=True, slots=True)
class ModelBeside:
    """The model, and the routes that ask it."""

    desk: ModelWorker

    def add_to(self, app: FastAPI) -> None:
        """Adds its routes."""
        app.include_router(image_routes(self.desk))
        app.include_router(stream_routes(self.desk))

    def close(self) -> None:
        """Ends its thread."""
        self.desk.close()


def open_beside(forest: Forest, choice: ModelChoice) -> ModelBeside:
    """The model, loaded; raises `MismatchError` where no study was made with it, and what loading it raises."""
    return ModelBeside(open_desk(forest, choice))
