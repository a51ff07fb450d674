"""A forward that fails in the middle of a scan: which examples it was given, and its own error."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
from jaxtyping import Int64, Shaped
from torch import Tensor, nn

from torchlurk.errors import ModelError, TorchlurkError, is_out_of_memory, told
from torchlurk.models.survey.expected_input import misfit
from torchlurk.records import Example

NAMED = 3

Found = TypeVar("Found")

WATCHING = ("__torch_function__", "__torch_dispatch__")
"""Functions through which the network's operations go while they are watched."""

KEPT = "what was saved before is kept: once this is mended, the same command continues"


@contextmanager
def naming_failures(
    network: nn.Module, what: Callable[[], str], inputs: Shaped[Tensor, "batch ..."] | None = None
) -> Iterator[None]:
    """Within it, what the network's own code raises becomes a `ModelError` that says it was run on what `what` tells.

    Errors of this package, on purpose or not, stay as they are, and so does a device's that has run out of memory.
    """
    try:
        yield
    except TorchlurkError:
        raise
    except Exception as error:  # a forward can fail in any way
        if is_out_of_memory(error) or _raised_here(error):
            raise
        reason, hint = told(error), KEPT
        if inputs is not None and isinstance(error, (IndexError, RuntimeError)):
            reason, hint = misfit(network, inputs) or (reason, hint)
        raise ModelError(f"{type(network).__name__} failed on {what()}: {reason}", hint) from error


def tried(check: Callable[[], Found]) -> Found | None:
    """What a check of the network on a few examples finds; None where the network's own code fails on one of them.

    The scan comes to that example in its turn, names it, and keeps what was scanned before.
    """
    try:
        return check()
    except TorchlurkError:
        raise
    except Exception as error:
        if is_out_of_memory(error) or _raised_here(error):
            raise
        return None


def named(examples: Sequence[Example], batch: Int64[np.ndarray, " batch"]) -> str:
    """The examples of a batch, in words."""
    names = [examples[index].path or str(index) for index in batch.tolist()]
    if len(names) == 1:
        return f"example {names[0]}"
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"a batch of {len(names)} examples ({', '.join(names[:NAMED])}{more})"


def _raised_here(error: Exception) -> bool:
    """Whether code of this package raised it, and not an operation of the network's that this package only watches."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    while len(frames) > 1 and frames[-1].f_code.co_name in WATCHING:
        frames.pop()
    return str(frames[-1].f_globals.get("__name__", "")).startswith("torchlurk.")
