"""How much the memory of a device has room for: fewer examples at a time where it runs out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch

from torchlurk.errors import DeviceError, is_out_of_memory

Found = TypeVar("Found")


@dataclass(slots=True)
class Room:
    """How many examples at most a pass is of, as far as the device has run out of memory; None where it has not."""

    most: int | None = None

    def halve(self, tried: int) -> None:
        """After so many did not fit. Raises `DeviceError` where it was one."""
        if tried < 2:
            raise DeviceError(
                "one example alone does not fit into the memory of the device",
                "use another device, smaller inputs or fewer layers",
            )
        self.most = (tried + 1) // 2
        torch.cuda.empty_cache()


@contextmanager
def undivided(what: str) -> Iterator[None]:
    """Within it a device that runs out of memory is a `DeviceError`: what was taken in by half cannot be taken in again."""
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise DeviceError(
            f"the device ran out of memory in {what}", "what was saved is kept: continue with a smaller --batch-size"
        ) from error


def as_many_as_fit(run: Callable[[int], Found], most: int) -> Found:
    """What `run` gives for so many examples, or for half as many where the device has too little memory, and so on."""
    room = Room(most)
    while True:
        count = room.most or most
        try:
            return run(count)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        # What the pass held is free only once the error is gone.
        room.halve(count)
