"""What a network's outputs are, told by the operation that they end in."""

from __future__ import annotations

from typing import Literal

from torch import nn

from torchlurk.models.survey.channel_axis import COPIES, REARRANGEMENTS
from torchlurk.models.survey.recorded import Recording, Value
from torchlurk.models.taps.nonlinearities import POINTWISE

Ending = Literal["softmax", "log_softmax", "sigmoid", "logits of labels", "numbers", "unknown"]
"""What the outputs are: probabilities of classes, their logarithms, a probability each, logits of one each, plain numbers (of a
regression, an embedding); unknown is anything else, such as the logits of a classifier."""

ENDINGS: dict[str, Ending] = {
    "softmax": "softmax",
    "safe_softmax": "softmax",
    "special_softmax": "softmax",
    "softmin": "softmax",
    "log_softmax": "log_softmax",
    "special_log_softmax": "log_softmax",
    "sigmoid": "sigmoid",
    "hardsigmoid": "sigmoid",
    "tanh": "numbers",
    "hardtanh": "numbers",
    "softsign": "numbers",
    "softplus": "numbers",
    "normalize": "numbers",
}

LOGARITHMS: dict[tuple[str, Ending], Ending] = {("log", "softmax"): "log_softmax", ("exp", "log_softmax"): "softmax"}

PASSING = COPIES | REARRANGEMENTS | {"clamp", "clip", "nan_to_num", "mean", "cat", "concat", "concatenate", "stack", "hstack"}
"""What may come after: of several that are put together or averaged, all must end alike."""

OF_PROBLEMS: dict[str, Ending] = {"regression": "numbers", "multi_label_classification": "logits of labels"}
"""What a Hugging Face configuration says that a head's outputs are."""


def ending(module: nn.Module, recording: Recording) -> Ending:
    """What the first output of a recorded pass is."""
    found = _ending(recording.outputs[0]) if recording.outputs else "unknown"
    if found != "unknown":
        return found
    problem = getattr(getattr(module, "config", None), "problem_type", None)
    return OF_PROBLEMS.get(problem, "unknown") if isinstance(problem, str) else "unknown"


def _ending(value: Value) -> Ending:
    operation = value.producer
    if operation is None:
        return "unknown"
    name = POINTWISE.get(operation.name, operation.name)
    if name in ENDINGS:
        return ENDINGS[name]
    before = {_ending(one) for one in operation.inputs} if name in PASSING or name in {"log", "exp"} else set()
    if len(before) != 1:
        return "unknown"
    return before.pop() if name in PASSING else LOGARITHMS.get((name, before.pop()), "unknown")
