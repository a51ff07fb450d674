"""Where a network runs and in which number format."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from torchlurk.errors import DeviceError, ModelError, OptionError, first_line, is_out_of_memory
from torchlurk.options import Precision

_CUDA = re.compile(r"cuda(?::(\d+))?")
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_IMAGE_KERNEL_AXES = 4
"""output, input, height, width: what can be stored with channels last."""


def choose_device(name: str) -> torch.device:
    """The device called `name`; 'auto' takes CUDA, else the CPU: Apple's MPS has no float64, in which sums are kept.

    A device of another backend that torch has been given is taken by its name. Raises `DeviceError` for one that is not
    there and `OptionError` for what names none.
    """
    cuda = _CUDA.fullmatch(name)
    if name == "auto":
        return _best()
    if name == "cpu" or (name == "mps" and torch.backends.mps.is_available()):
        return torch.device(name)
    if not cuda and name != "mps" and (other := _of_another_backend(name)) is not None:
        return other
    if not cuda and name != "mps":
        raise OptionError(f"--device is {name!r}", "use auto, cpu, cuda, cuda:N or mps")
    if not cuda or not torch.cuda.is_available() or int(cuda[1] or 0) >= torch.cuda.device_count():
        raise DeviceError(f"this machine has no device '{name}'", f"available: {', '.join(_present())}")
    return torch.device("cuda", int(cuda[1]) if cuda[1] else torch.cuda.current_device())


def choose_devices(name: str) -> tuple[torch.device, ...]:
    """All devices of a kind for 'cuda:all', and for every other name the one that `choose_device` finds."""
    kind, _, which = name.partition(":")
    if which != "all" or kind in ("auto", "cpu", "mps"):
        return (choose_device(name),)
    first = choose_device(kind)
    return tuple(torch.device(first.type, index) for index in range(torch.get_device_module(first).device_count()))


def place(module: nn.Module, device: torch.device, precision: Precision) -> nn.Module:
    """The module on `device` with floating-point numbers in `precision`: itself where nothing must change, else a copy.

    A copy in 16 bits has its image kernels in channels-last order, in which such convolutions are fastest. Raises
    `ModelError` where the module cannot be copied, `DeviceError` where the device has too little memory.
    """
    dtype = _DTYPES[precision]
    if all(_is_placed(tensor, device, dtype) for tensor in _tensors(module)):
        return module
    numbers = {tensor.dtype for tensor in _tensors(module) if tensor.is_floating_point()}
    if numbers - {dtype} and any(tensor.is_complex() for tensor in _tensors(module)):
        raise ModelError(f"the model has complex parameters, so it cannot be cast to {precision}", "use --precision fp32")
    try:
        copied = copy.deepcopy(module)
    except Exception as error:  # copying runs code of the modules' own
        raise ModelError(
            f"the model cannot be copied: {first_line(error)}", f"move it to {device} in {precision} yourself"
        ) from error
    try:
        copied = copied.to(device, dtype) if numbers - {dtype} else copied.to(device)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise DeviceError(f"the model does not fit into the memory of {device}", "use another device") from error
    return copied if precision == "fp32" else _channels_last(copied)


def _channels_last(module: nn.Module) -> nn.Module:
    # Module.to would refuse a model that has five-dimensional parameters too.
    for parameter in module.parameters():
        if parameter.dim() == _IMAGE_KERNEL_AXES:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return module


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    yield from module.parameters()
    yield from module.buffers()


def _is_placed(tensor: Tensor, device: torch.device, dtype: torch.dtype) -> bool:
    there = tensor.device.type == device.type and device.index in (None, tensor.device.index)
    return there and (not tensor.is_floating_point() or tensor.dtype is dtype)


def _best() -> torch.device:
    return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")


def _of_another_backend(name: str) -> torch.device | None:
    """The device of a backend beside those of torch itself; None where torch knows none of this name that is there."""
    try:
        device = torch.device(name)
        there = torch.get_device_module(device).is_available()
    except (RuntimeError, AttributeError):
        return None
    return device if there and device.type not in ("cpu", "cuda") else None


def _present() -> list[str]:
    cards = [f"cuda:{index}" for index in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    return ["cpu", *cards, *(["mps"] if torch.backends.mps.is_available() else [])]
