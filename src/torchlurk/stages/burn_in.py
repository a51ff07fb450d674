"""On which sides the windows of a running text need burn-in: where the layers look beyond their own step."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from torchlurk.inputs.source import Windowed
from torchlurk.models.survey.layers import choose, survey
from torchlurk.models.survey.receptive_field import ReceptiveField, receptive_fields
from torchlurk.stages.places import BY_KIND
from torchlurk.stages.stage import Task


def with_burn_in(task: Task) -> Task:
    """The task with its windows cut anew where a layer that is scanned looks ahead, or only ahead.

    This follows from the structure of the network alone, so a study that is continued gets the same windows.
    """
    if not isinstance(task.source, Windowed) or not task.source.cut_up:
        return task
    network = task.network(task.settings.scan.precision)
    with task.called(network), task.first_input(network) as example:
        axes = BY_KIND[task.source.kind.name]
        found = survey(network, example, task.settings.scan.tap, axes)
        layers = choose(found.layers, task.settings.scan.layers, task.settings.scan.streams)
        fields = receptive_fields(network, example, layers, axes, unreached=True)
    stepped = [fields[layer.name] for layer in layers if layer.layout == "sequence" and layer.name in fields]
    seen = [_beyond(field, example.shape[1]) for field in stepped]
    if not any(right for _, right in seen):
        return task
    return replace(task, source=task.source.burning(left=any(left for left, _ in seen), right=True))


def _beyond(field: ReceptiveField, steps: int) -> tuple[bool, bool]:
    """Whether any position looks at steps before its own, and at steps after.

    A map that is longer than the input was padded: it may then be as much behind as it is longer.
    """
    starts, ends = np.broadcast_to(field.columns, (2, field.channels, *field.shape))
    places = np.arange(field.shape[0])
    stride = max(1, round(steps / len(places)))
    longer = max(0, len(places) - math.ceil(steps / stride))
    looking = starts < ends
    before = looking & (starts < (places - longer) * stride)
    after = looking & (ends > (places + 1) * stride)
    return bool(before.any()), bool(after.any())
