"""Streams: what is read of a module or function beside its output, delivered in a forward pass of the unedited model.

`STREAMS` says how, by the module's type or the function. A program may add to it, for its own modules or torch's:
`STREAMS[Gated] = {"gate": lambda module, output, x: torch.sigmoid(module.gate(x))}`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from torchlurk.models.taps.called_functions import CalledFunction, CalledFunctions, Reads, of_function
from torchlurk.models.taps.forward_override import ForwardOverride
from torchlurk.models.taps.modules import submodules
from torchlurk.models.taps.recurrent import STATE, CellSteps, Unrolled, parts_of
from torchlurk.records import Layer
from torchlurk.tables import STREAMS


class StreamReader:
    """Delivers layers that are streams: (batch, time, unit), as soon as they are complete.

    A recurrent module is run one layer at a time; what it returns is what it would have returned. The steps
    of a cell, and of a module that is called once a step, are delivered when the pass is over.
    """

    def __init__(self, layers: Sequence[Layer], deliver: Callable[[Layer, Tensor], None]) -> None:
        self._deliver = deliver
        self._wanted: dict[str, dict[int, list[Layer]]] = {}
        self._of_functions: dict[tuple[str, str], Layer] = {}
        for layer in layers:
            path, _, number = layer.module.partition("#")
            if of_function(layer.stream):
                self._of_functions[layer.module, layer.stream] = layer
            else:
                self._wanted.setdefault(path, {}).setdefault(int(number or 0), []).append(layer)
        self._functions = CalledFunctions(self._called) if self._of_functions else None
        self._calls: dict[str, int] = {}
        self._cells: list[tuple[CellSteps, Mapping[str, Layer]]] = []
        self._steps: dict[str, dict[str, tuple[Layer, list[Tensor]]]] = {}
        """What modules that are called once a step have given so far, by module and layer."""

    @property
    def sees_functions(self) -> bool:
        """Whether functions must be called where a mode sees them."""
        return self._functions is not None

    def start(self) -> None:
        """A pass begins."""
        self._calls.clear()
        if self._functions:
            self._functions.start()
        for steps, _ in self._cells:
            list(steps.told())
        self._steps.clear()

    def attach(self, module: nn.Module) -> Iterator[Any]:
        """What has to be removed in the end, one after the other as it is set."""
        self._cells.clear()
        for _, name, one in submodules(module):
            if name not in self._wanted:
                continue
            way = way_of(one)
            if isinstance(way, Mapping):
                yield self.computed(name, one, way)
            elif way is not None:
                yield way(self, name, one)
        if self._wanted:
            yield module.register_forward_hook(self._finish)
        if self._functions:
            yield from self._functions.attached(module)

    def unrolled(self, name: str, module: nn.RNNBase) -> Any:
        """A recurrent module."""
        return ForwardOverride(module, self._forward(name, module, self._wanted[name]))

    def looped(self, name: str, module: nn.RNNCellBase) -> Any:
        """A cell that the model calls once a step."""
        by_stream = {layer.stream: layer for layer in self._wanted[name][0]}
        steps = CellSteps(module, by_stream)
        self._cells.append((steps, by_stream))
        return module.register_forward_hook(steps.called, with_kwargs=True)

    def computed(self, name: str, module: nn.Module, reads: Mapping[str, Reads]) -> Any:
        """A module whose streams follow from what it is called with and what it gives."""
        wanted = self._wanted[name]

        def called(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any) -> None:
            number = self._calls.get(name, 0)
            self._calls[name] = number + 1
            for layer in wanted.get(number, ()):
                self._deliver(layer, reads[layer.stream](module, output, *args, **kwargs))

        return module.register_forward_hook(called, with_kwargs=True)

    def _called(self, found: CalledFunction) -> None:
        for stream, reads in found.streams():
            if layer := self._of_functions.get((found.call, stream)):
                self._deliver(layer, found.read(reads))

    def _forward(self, name: str, module: nn.RNNBase, wanted: Mapping[int, Sequence[Layer]]) -> Callable[..., Any]:
        usual = module.forward
        ways = {number: self._unrolled(name, module, layers) for number, layers in wanted.items()}

        def forward(*args: Any, **kwargs: Any) -> Any:
            number = 0 if name in self._steps else self._calls.get(name, 0)
            self._calls[name] = number + 1
            return ways.get(number, usual)(*args, **kwargs)

        return forward

    def _unrolled(self, name: str, module: nn.RNNBase, layers: Sequence[Layer]) -> Unrolled:
        by_stream = {_split(layer.stream): layer for layer in layers}
        wanted = {part: [stream for of, stream in by_stream if of == part] for part in parts_of(module)}

        def tell(part: str, stream: str, values: Tensor) -> None:
            layer = by_stream[part, stream]
            if name in self._steps or (values.shape[1] == 1 and layer.shape != (1,)):  # called once a step
                self._steps.setdefault(name, {}).setdefault(layer.name, (layer, []))[1].append(values)
            else:
                self._deliver(layer, values)

        return Unrolled(module, wanted, tell)

    def _finish(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        for steps, layers in self._cells:
            for stream, values in steps.told():
                self._deliver(layers[stream], values)
        for found in self._steps.values():
            for layer, given in found.values():
                self._deliver(layer, torch.cat(given, 1))
        self._steps.clear()


Way = Callable[[StreamReader, str, Any], Any] | Mapping[str, Reads]
"""How streams of a module are read: what attaches to it and is removed in the end, or a function for each stream by name."""

STREAMS |= {nn.RNNBase: StreamReader.unrolled, nn.RNNCellBase: StreamReader.looped}


def way_of(module: nn.Module) -> Way | None:
    """How the streams of a module are read; None where it has none."""
    return next((STREAMS[kind] for kind in type(module).__mro__ if kind in STREAMS), None)


def _split(read: str) -> tuple[str, str]:
    """A layer and direction, and the stream of it: `l0.c` is ("l0", "c")."""
    part, _, stream = read.partition(".")
    return part, stream or STATE
