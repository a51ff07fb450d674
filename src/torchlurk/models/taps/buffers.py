"""A module's buffers as they were found, to be put back: some models write to them in every pass, in evaluation mode too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(slots=True)
class _Kept:
    """One buffer, what it held when it was found, and what its history and version were."""

    owner: nn.Module
    name: str
    buffer: Tensor | None
    content: Tensor | None
    history: Any
    version: int | None


class Buffers:
    """What all buffers of `module` held when this was made."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._names = {one: tuple(name for name, _ in one._buffers.items()) for one in module.modules()}
        self._kept = [_kept(one, name, buffer) for one in self._names for name, buffer in one._buffers.items()]

    def __bool__(self) -> bool:
        """Whether the module has any."""
        return bool(self._kept)

    def changed(self) -> list[str]:
        """The names of those that are other tensors now, hold something else, or have been added."""
        paths = {one: path for path, one in self._module.named_modules()}
        altered = _altered(self._kept)
        found = [(one.owner, one.name) for one in self._kept if _replaced(one) or id(one) in altered]
        return [".".join(filter(None, (paths.get(owner, ""), name))) for owner, name in (*found, *self._added())]

    def put_back(self) -> None:
        """Every buffer is the tensor that it was, holds what it did, and is tied to no pass; added ones are removed."""
        self._restore(thorough=True)

    def before_each_pass(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        """A forward pre-hook. It looks at version counters alone, for it runs often: writes to `.data` escape it."""
        self._restore(thorough=False)

    def _restore(self, *, thorough: bool) -> None:
        # Function modes of whoever watches the pass would be asked about every buffer's version, and see what is no part of it.
        with torch._C.DisableTorchFunction(), torch.no_grad():
            altered = _altered([one for one in self._kept if thorough or _written(one)])
            for one in self._kept:
                if _replaced(one):
                    one.owner._buffers[one.name] = one.buffer
                if one.buffer is None or one.content is None:
                    continue
                if one.buffer.grad_fn is not one.history:
                    one.buffer.detach_()
                if id(one) in altered:
                    one.buffer.copy_(one.content)
                one.version = _version(one.buffer)
            for owner, name in list(self._added()):
                del owner._buffers[name]

    def _added(self) -> Iterator[tuple[nn.Module, str]]:
        for owner, names in self._names.items():
            if len(owner._buffers) > len(names):
                yield from ((owner, name) for name, _ in owner._buffers.items() if name not in names)


def _kept(owner: nn.Module, name: str, buffer: Tensor | None) -> _Kept:
    if buffer is None:
        return _Kept(owner, name, None, None, None, 0)
    return _Kept(owner, name, buffer, buffer.detach().clone(), buffer.grad_fn, _version(buffer))


def _replaced(one: _Kept) -> bool:
    now = one.owner._buffers  # of a scripted module hardly a dictionary
    return one.name not in now or now[one.name] is not one.buffer


def _altered(kept: Sequence[_Kept]) -> set[int]:
    """The ids of those that hold something else than when they were found; each device is asked once."""
    altered: set[int] = set()
    elsewhere: dict[torch.device, list[tuple[int, Tensor]]] = {}
    for one in kept:
        if one.buffer is None or one.content is None:
            continue
        if one.buffer.is_cpu or one.buffer.shape != one.content.shape:
            altered |= set() if torch.equal(one.buffer, one.content) else {id(one)}
        else:
            elsewhere.setdefault(one.buffer.device, []).append((id(one), (one.buffer != one.content).any()))
    for asked in elsewhere.values():
        told = torch.stack([differs for _, differs in asked]).tolist()
        altered |= {key for (key, _), differs in zip(asked, told, strict=True) if differs}
    return altered


def _version(buffer: Tensor) -> int | None:
    """How often it was written to; tensors made in inference mode do not count that."""
    return None if buffer.is_inference() else buffer._version


def _written(one: _Kept) -> bool:
    """Whether it may have been written to since it had that version."""
    return one.buffer is not None and (one.version is None or one.buffer._version != one.version)
