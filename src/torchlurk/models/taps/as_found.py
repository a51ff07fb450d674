"""A model used and left as it was found: evaluation mode, buffers, random state."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import nn

from torchlurk.errors import ModelError, is_out_of_memory, told
from torchlurk.models.taps.buffers import Buffers
from torchlurk.models.taps.compiling import as_written


@contextmanager
def evaluation(module: nn.Module) -> Iterator[None]:
    """Every submodule in eval mode, each with its own training flag again afterwards; compiled ones run as written.

    The flags are set directly: a `train` that a model overrides may do more than that (merge weights, for example).
    """
    flags = [(one, one.training) for one in module.modules()]
    try:
        for one, flag in flags:
            if flag:  # modules take their time to be told
                one.training = False
        with as_written():
            yield
    finally:
        for one, flag in flags:
            if one.training is not flag:
                one.training = flag


@contextmanager
def as_found(module: nn.Module, *, each_pass: bool = True) -> Iterator[None]:
    """Evaluation mode; buffers and random state are put back at the end, for models that change them even then.

    With `each_pass`, each pass of the module begins with the buffers as they were found and depends on none before it.
    """
    buffers = Buffers(module)
    with torch.random.fork_rng(devices=_cuda_devices(module)), evaluation(module):
        hook = module.register_forward_pre_hook(buffers.before_each_pass, prepend=True) if buffers and each_pass else None
        try:
            yield
        finally:
            if hook is not None:
                hook.remove()
            buffers.put_back()


@contextmanager
def differentiable(module: nn.Module) -> Iterator[None]:
    """As `as_found`, with gradients on."""
    with torch.inference_mode(False), torch.enable_grad(), _without_cudnn(module), as_found(module):
        yield


@contextmanager
def backward(module: nn.Module) -> Iterator[None]:
    """A backward pass: what torch or an autograd function of the model's own raises in it becomes a `ModelError`."""
    try:
        yield
    except ModelError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise ModelError(
            f"{type(module).__name__} has no backward pass: {told(error).partition(' Hint: ')[0]}",
            "a method that needs one cannot be used with it; the scan needs none",
        ) from error


def _without_cudnn(module: nn.Module) -> AbstractContextManager[None]:
    """Recurrent layers of cuDNN have no backward pass in evaluation mode.

    Its settings are the whole process's. On a CPU, where several threads may be in here at one time, they are let alone.
    """
    if not _cuda_devices(module):
        return nullcontext()
    recurrent = any(isinstance(one, nn.RNNBase) for one in module.modules())
    return torch.backends.cudnn.flags(enabled=torch.backends.cudnn.enabled and not recurrent)


def _cuda_devices(module: nn.Module) -> list[int]:
    """The numbers of CUDA's devices that a module's tensors are on."""
    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]  # which saves looking
        return []
    tensors = (*module.parameters(), *module.buffers())
    return sorted({tensor.get_device() for tensor in tensors if tensor.is_cuda})
