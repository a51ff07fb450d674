"""Where in a text or series a unit is strongest, and what stands around that."""

from __future__ import annotations

from torchlurk.input_records import TextExample, step_at
from torchlurk.records import Layer
from torchlurk.rendering.steps import Content
from torchlurk.store.exemplars import CONTEXT


def strongest_step(layer: Layer, position: int | None, positions: int | None, content: Content | None) -> int:
    """The step of a position of a layer that has so many on an example; -1 where no step is.

    Where the study does not hold the example or how many positions it has, they count as the steps.
    """
    if position is None or position < 0 or not layer.shape or layer.apart:
        return -1
    return position if content is None or positions is None else step_at(position, positions, content.steps)


def excerpt(content: Content | None, step: int) -> tuple[str, str, str] | None:
    """What stands before, at and after a step of a text; None where the example is no text, or not there."""
    if not isinstance(content, TextExample) or not 0 <= step < len(content.tokens):
        return None
    before, after = content.around(step, CONTEXT)
    return before, content.tokens[step], after
