"""Which network this is: the module inside its wrappers, and a fingerprint of everything it computes with."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter
from torch.optim.swa_utils import AveragedModel

from torchlurk.errors import ModelError

_WRAPPERS = (nn.DataParallel, nn.parallel.DistributedDataParallel, AveragedModel)
_COMPILED = "_orig_mod"
"""Where torch.compile keeps the module that it wraps."""


def unwrap(module: object) -> nn.Module:
    """The module inside DataParallel, DistributedDataParallel, AveragedModel and torch.compile, however nested.

    Raises `ModelError` for what is no module, and for TorchScript, whose operations cannot be followed, also where a module
    inside is such.
    """
    if not isinstance(module, nn.Module):
        given, hint = (
            repr(module) if isinstance(module, str) else f"of the type {type(module).__name__}",
            "give the module itself",
        )
        if isinstance(module, type) and issubclass(module, nn.Module):
            given, hint = f"the class {module.__name__}", f"give an instance of it, with its weights: {module.__name__}(…)"
        elif isinstance(module, Mapping) and module and all(isinstance(one, Tensor) for one in module.values()):
            given, hint = "a state dict", "load it into the module, and give that: module.load_state_dict(…)"
        raise ModelError(f"the model is {given}, not a torch.nn.Module", hint)
    if not isinstance(module, torch.jit.ScriptModule) and "_modules" not in vars(module):
        raise ModelError(
            f"{type(module).__name__} is not set up: its __init__ does not call super().__init__()", "call it there, first"
        )
    _check_nesting(module)
    while True:
        if isinstance(module, torch.jit.ScriptModule):
            raise ModelError("the model is a TorchScript module", "give the Python module it was made from")
        inner = module.module if isinstance(module, _WRAPPERS) else module._modules.get(_COMPILED)
        if inner is None:
            break
        module = inner
    for path, one in module.named_modules():
        if isinstance(one, torch.jit.ScriptModule):
            raise ModelError(f"its module '{path}' is a TorchScript module", "give the Python module it was made from")
    return module


def _check_nesting(module: nn.Module) -> None:
    """Raises `ModelError` where a module lies in itself: torch would go down without end."""
    within, done = [(module, iter(module._modules.items()))], set[int]()
    while within:
        above, others = within[-1]
        name, child = next(others, ("", None))
        if child is not None and any(child is one for one, _ in within):
            raise ModelError(f"{type(child).__name__} lies in itself, as '{name}'", "make a new module for each place")
        if child is not None and id(child) not in done:
            within.append((child, iter(child._modules.items())))
        elif child is None and not name:
            done.add(id(above))
            within.pop()


def fingerprint(module: nn.Module) -> str:
    """SHA-256, in hexadecimal, of the types of all modules and of the names, dtypes, shapes and bytes of the state dict.

    The same on any device, in any memory format and inside any wrapper. Raises `ModelError` where a parameter has no
    values yet (lazy modules, the meta device).
    """
    module = unwrap(module)
    digest = hashlib.sha256()
    for name, child in module.named_modules():
        digest.update(f"{name}={type(child).__qualname__}\n".encode())
    state = module.state_dict()
    for name in sorted(state):
        digest.update(f"{name}:".encode())
        for piece in _pieces(name, state[name]):
            digest.update(piece)
    return digest.hexdigest()


def _pieces(name: str, value: object) -> Iterator[bytes | memoryview]:
    """A value of a state dict as bytes; what is neither tensor nor plain value counts by its type alone."""
    if isinstance(value, Tensor):
        yield from _tensor(name, value)
    elif isinstance(value, Mapping):
        for key in sorted(value, key=str):
            yield f"{key}:".encode()
            yield from _pieces(name, value[key])
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _pieces(name, item)
    elif isinstance(value, str | int | float | bool | torch.dtype | None):
        yield repr(value).encode()
    else:
        yield type(value).__qualname__.encode()


def _tensor(name: str, tensor: Tensor) -> Iterator[bytes | memoryview]:
    if isinstance(tensor, UninitializedParameter | UninitializedBuffer) or tensor.is_meta:
        raise ModelError(f"'{name}' of the model has no values yet", "run the model once or load its weights first")
    yield f"{tensor.dtype}{tuple(tensor.shape)}".encode()
    if tensor.is_quantized:
        tensor = tensor.dequantize()
    if tensor.layout is not torch.strided:
        tensor = tensor.to_dense()
    plain = tensor.detach().resolve_conj().resolve_neg().cpu().reshape(-1)
    yield plain.view(torch.uint8).numpy().data
