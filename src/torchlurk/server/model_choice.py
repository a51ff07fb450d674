"""Which model is opened beside studies; torch is imported when it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torchlurk.errors import OptionError
from torchlurk.resources.tree import Forest

if TYPE_CHECKING:
    from torch import nn

    from torchlurk.server.live.model_server import ModelBeside


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """A model to open beside the studies that were made with it: a MODEL as on the command line, or any module.

    `constants` and `further_inputs` are what its forward is given beside an image.
    """

    model: nn.Module | str
    weights: str | Path | None = None
    device: str = "auto"
    class_names: str | Path | None = None
    constants: Mapping[str, Any] | None = None
    further_inputs: Mapping[str, Any] | None = None

    @classmethod
    def of(
        cls,
        model: nn.Module | str | None,
        weights: str | Path | None = None,
        device: str = "auto",
        class_names: str | Path | None = None,
        constants: Mapping[str, Any] | None = None,
        further_inputs: Mapping[str, Any] | None = None,
    ) -> ModelChoice | None:
        """The choice, None without a model. Raises `OptionError` where something is given for a model, and none is."""
        given = {"weights": weights, "class_names": class_names, "constants": constants, "further_inputs": further_inputs}
        if model is not None:
            return cls(model, weights, device, class_names, constants, further_inputs)
        for name, value in given.items():
            if value is not None:
                raise OptionError(f"{name} is given without model", "give both")
        return None

    def open(self, forest: Forest) -> ModelBeside:
        """The model; raises `MismatchError` where no study was made with it, and what loading it raises."""
        from torchlurk.server.live.model_server import open_beside

        return open_beside(forest, self)
