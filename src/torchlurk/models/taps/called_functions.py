"""Calls of functions that streams are read of, and the modules in whose forwards they are: what no hook sees."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from torchlurk.models.taps.modules import submodules
from torchlurk.models.taps.nonlinearities import Function, operation_name
from torchlurk.tables import STREAMS

Reads = Callable[..., Tensor]
"""`reads(module, output, *args, **kwargs)` is a stream of one call: its examples and channels are where the module's output has
them. Of a function, `module` is the one in whose forward it is called, the others what the function is given and gives.
"""


def function_streams() -> dict[str, Mapping[str, Reads]]:
    """By the operation that it does, the streams of each function in `STREAMS`."""
    return {operation_name(one): reads for one, reads in STREAMS.items() if not isinstance(one, type)}


def of_function(stream: str) -> bool:
    """Whether a stream is one of a function; the second of a call of a module is `heads#1`."""
    return any(stream.partition("#")[0] in reads for reads in function_streams().values())


@dataclass(frozen=True, slots=True)
class CalledFunction:
    """A call of a function, in the innermost `call` of a module; `number` counts its calls there from 0."""

    call: str
    module: nn.Module
    name: str
    number: int
    output: Any
    args: Sequence[Any]
    kwargs: Mapping[str, Any]

    def streams(self) -> Iterator[tuple[str, Reads]]:
        """How each of its streams is called, and is read."""
        for stream, read in function_streams()[self.name].items():
            yield f"{stream}#{self.number}" if self.number else stream, read

    def read(self, reads: Reads) -> Tensor:
        """A stream of this call."""
        return reads(self.module, self.output, *self.args, **self.kwargs)


class CalledFunctions(TorchFunctionMode):
    """While `attached`, tells of each call in a pass."""

    def __init__(self, tell: Callable[[CalledFunction], None]) -> None:
        super().__init__()
        self._tell = tell
        self._functions = function_streams()
        self._calls: dict[str, int] = {}
        self._stack: list[_Running] = []

    def start(self) -> None:
        """A pass begins."""
        self._calls.clear()
        self._stack.clear()

    def attached(self, module: nn.Module) -> Iterator[Any]:
        """What has to be removed in the end, in the other order, one after the other as it is set."""
        for _, name, one in submodules(module):
            yield one.register_forward_pre_hook(self._entering(name))
            yield one.register_forward_hook(self._leaving)
        self.__enter__()  # type: ignore[no-untyped-call]
        yield self

    def remove(self) -> None:
        """Sees nothing more."""
        self.__exit__(None, None, None)  # type: ignore[no-untyped-call]

    def _entering(self, name: str) -> Any:
        def enter(module: nn.Module, args: tuple[Any, ...]) -> None:
            number = self._calls[name] = self._calls.get(name, -1) + 1
            self._stack.append(_Running(f"{name}#{number}" if number else name, module, {}))

        return enter

    def _leaving(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        # Calls that ended in an error which the model caught never came by here.
        while self._stack and self._stack.pop().module is not module:
            pass

    def __torch_function__(
        self, func: Function, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        name = operation_name(func)
        if name in self._functions and self._stack:
            running = self._stack[-1]
            number = running.functions[name] = running.functions.get(name, -1) + 1
            self._tell(CalledFunction(running.call, running.module, name, number, output, args, kwargs or {}))
        return output


@dataclass(frozen=True, slots=True)
class _Running:
    """A call of a module that has not ended; `functions` counts the calls in its own forward."""

    call: str
    module: nn.Module
    functions: dict[str, int]
