"""A model used and left as it was found: evaluation mode, buffers, random state."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from torchlurk.models.taps.compiling import as_written


@contextmanager
def evaluation(module: nn.Module) -> Iterator[None]:
    """Every submodule in eval mode, each with its own training flag again afterwards; compiled ones run as written.

    The flags are set directly: a `train` that a model overrides may do more than that (merge weights, for example).
    """
    flags = [(one, one.training) for one in module.modules()]
    try:
        for one, _ in flags:
            one.training = False
        with as_written():
            yield
    finally:
        for one, flag in flags:
            one.training = flag


@contextmanager
def as_found(module: nn.Module) -> Iterator[None]:
    """Evaluation mode; and buffers and random state are put back, for models that change them even then."""
    buffers = [(one, name, buffer) for one in module.modules() for name, buffer in one._buffers.items()]
    contents = [None if buffer is None else buffer.clone() for *_, buffer in buffers]
    tensors = (*module.parameters(), *module.buffers())
    devices = sorted({tensor.get_device() for tensor in tensors if tensor.is_cuda})
    with torch.random.fork_rng(devices=devices), evaluation(module):
        try:
            yield
        finally:
            for (owner, name, buffer), content in zip(buffers, contents, strict=True):
                owner._buffers[name] = buffer
                if buffer is not None and content is not None and not torch.equal(buffer, content):
                    buffer.copy_(content)


@contextmanager
def differentiable(module: nn.Module) -> Iterator[None]:
    """As `as_found`, with gradients on.

    Buffers that a forward pass wrote to lose the history that ties them to it.
    """
    histories = [one.grad_fn for one in module.buffers()]
    recurrent = any(isinstance(one, nn.RNNBase) for one in module.modules())
    # cuDNN's recurrent layers have no backward pass in evaluation mode.
    cudnn = torch.backends.cudnn.flags(enabled=torch.backends.cudnn.enabled and not recurrent)
    with torch.inference_mode(False), torch.enable_grad(), cudnn, as_found(module):
        try:
            yield
        finally:
            for buffer, history in zip(module.buffers(), histories, strict=True):
                if buffer.grad_fn is not history:
                    buffer.detach_()
