"""What attributions of a study have in common, for each kind of input: on pictures in windows, on texts and series by steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from torchlurk.attribution.batches import Context
from torchlurk.attribution.job import OnPictures, Scene
from torchlurk.attribution.step_batches import StepScene
from torchlurk.attribution.views import Examples
from torchlurk.input_records import KindName
from torchlurk.models.survey.layers import Survey
from torchlurk.models.survey.receptive_field import receptive_fields
from torchlurk.models.taps.modules import dtype_of
from torchlurk.stages.stage import Task
from torchlurk.store.reading import Reader


def on_pictures(task: Task, network: nn.Module, found: Survey, example: Any, reader: Reader, tolerance: float) -> Scene:
    """Nothing but receptive fields is run where that serves."""
    height, width = reader.input_shape()[-2:]
    context = Context(_examples(task, network), _filling(task, reader), (height, width), tolerance, task.device)
    return OnPictures(context, receptive_fields(network, example, found.layers))


def on_steps(task: Task, network: nn.Module, found: Survey, example: Any, reader: Reader, tolerance: float) -> Scene:
    """Whole texts or series are run."""
    return StepScene(_examples(task, network), tolerance, task.device)


def _examples(task: Task, network: nn.Module) -> Examples:
    return Examples(task.source, dtype_of(network), task.device, task.settings.compute.workers)


def _filling(task: Task, reader: Reader) -> Float[Tensor, " channel"]:
    """The data's mean colour, as the network sees it."""
    known = reader.input_statistics()
    preprocessing = task.source.preprocessing
    mean = np.zeros(len(preprocessing.mean)) if known is None else known.mean
    normalized = (mean - np.array(preprocessing.mean)) / np.array(preprocessing.std)
    return torch.tensor(normalized, dtype=torch.float32, device=task.device)


SCENES: Mapping[KindName, Callable[[Task, nn.Module, Survey, Any, Reader, float], Scene]] = {
    "pictures": on_pictures,
    "text": on_steps,
    "series": on_steps,
}
