"""A network as it was before training, to compare with: its shape without what it has learned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from torchlurk.models.taps.buffers import Buffers


@contextmanager
def untrained(module: nn.Module, seed: int) -> Iterator[None]:
    """Within it the module has weights that were never trained; afterwards its own, in place.

    Torch's own modules are initialized anew by their `reset_parameters`. Parameters that this leaves as they were, as those of
    other modules, get their numbers in random order. The same seed always gives the same weights.
    """
    own, buffers = [(one, one.detach().clone()) for one in module.parameters()], Buffers(module)
    devices = sorted({one.get_device() for one, _ in own if one.is_cuda})
    try:
        with torch.random.fork_rng(devices=devices), torch.inference_mode():
            torch.manual_seed(seed)
            for layer in module.modules():
                reset = getattr(layer, "reset_parameters", None)
                if reset is not None and type(layer).__module__.startswith("torch.nn."):
                    reset()
            _shuffle(own, seed)
        yield
    finally:
        with torch.inference_mode():  # in which parameters may be written that were made in it, too
            for one, values in own:
                one.copy_(values)
        buffers.put_back()


def _shuffle(own: Sequence[tuple[nn.Parameter, Tensor]], seed: int) -> None:
    """Puts the numbers of those parameters that are still as they were in random order."""
    generator = torch.Generator().manual_seed(seed)
    for parameter, before in own:
        if parameter.is_floating_point() and torch.equal(parameter, before):
            order = torch.randperm(parameter.numel(), generator=generator).to(parameter.device)
            parameter.copy_(parameter.flatten()[order].view_as(parameter))
