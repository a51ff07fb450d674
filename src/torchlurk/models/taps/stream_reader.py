"""Streams of recurrent modules and of cells in loops, delivered in a forward pass of the unedited model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from torchlurk.models.taps.forward_override import ForwardOverride
from torchlurk.models.taps.modules import submodules
from torchlurk.models.taps.recurrent import STATE, CellSteps, Unrolled, parts_of
from torchlurk.records import Layer


class StreamReader:
    """Delivers layers that are streams: (batch, time, unit), as soon as they are complete.

    A recurrent module is run one layer and direction at a time; what it returns is what it would have returned. The steps
    of a cell are delivered when the pass is over.
    """

    def __init__(self, layers: Sequence[Layer], deliver: Callable[[Layer, Tensor], None]) -> None:
        self._deliver = deliver
        self._wanted: dict[str, dict[int, list[Layer]]] = {}
        for layer in layers:
            path, _, number = layer.module.partition("#")
            self._wanted.setdefault(path, {}).setdefault(int(number or 0), []).append(layer)
        self._calls: dict[str, int] = {}
        self._cells: list[tuple[CellSteps, Mapping[str, Layer]]] = []

    def start(self) -> None:
        """A pass begins."""
        self._calls.clear()
        for steps, _ in self._cells:
            list(steps.told())

    def attach(self, module: nn.Module) -> Iterator[Any]:
        """What has to be removed in the end, one after the other as it is set."""
        self._cells.clear()
        for _, name, one in submodules(module):
            if name not in self._wanted:
                continue
            if isinstance(one, nn.RNNBase):
                yield ForwardOverride(one, self._forward(name, one, self._wanted[name]))
            else:
                by_stream = {layer.stream: layer for layer in self._wanted[name][0]}
                steps = CellSteps(one, by_stream)
                self._cells.append((steps, by_stream))
                yield one.register_forward_hook(steps.called, with_kwargs=True)
        if self._cells:
            yield module.register_forward_hook(self._finish)

    def _forward(self, name: str, module: nn.RNNBase, wanted: Mapping[int, Sequence[Layer]]) -> Callable[..., Any]:
        usual = module.forward
        ways = {number: self._unrolled(module, layers) for number, layers in wanted.items()}

        def forward(*args: Any, **kwargs: Any) -> Any:
            number = self._calls.get(name, 0)
            self._calls[name] = number + 1
            return ways.get(number, usual)(*args, **kwargs)

        return forward

    def _unrolled(self, module: nn.RNNBase, layers: Sequence[Layer]) -> Unrolled:
        by_stream = {_split(layer.stream): layer for layer in layers}
        wanted = {part: [stream for of, stream in by_stream if of == part] for part in parts_of(module)}
        return Unrolled(module, wanted, lambda part, stream, values: self._deliver(by_stream[part, stream], values))

    def _finish(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        for steps, layers in self._cells:
            for stream, values in steps.told():
                self._deliver(layers[stream], values)


def _split(read: str) -> tuple[str, str]:
    """A layer and direction, and the stream of it: `l0.c` is ("l0", "c")."""
    part, _, stream = read.partition(".")
    return part, stream or STATE
