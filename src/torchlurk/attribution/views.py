"""Units with their examples as a network takes them: whole inputs, or windows of them, and what passes over them give."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Any

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from torchlurk.attribution import evidence
from torchlurk.attribution.methods import ByRule, by_rules
from torchlurk.attribution.methods import method as method_named
from torchlurk.attribution.window import WindowReadout
from torchlurk.errors import StudyError
from torchlurk.inputs.feeding import feed
from torchlurk.inputs.source import Source
from torchlurk.models.taps.arguments import NOTHING_BESIDE, Companions, accompanied, companions_of
from torchlurk.models.taps.readout import Readout, UnreachedError
from torchlurk.records import Box

AT_ONCE = 36
"""(unit, exemplar) pairs of one pass on a CPU at most."""

PIXELS = 4 * 224 * 224
"""Of the inputs of one pass on a CPU: what more than that gains is lost to its caches. However many run at one time, passes
are the same: another batch rounds otherwise.
"""

AT_ONCE_THERE, PIXELS_THERE = 1024, 256 * 224 * 224
"""Pairs of one pass on any other device, and pixels of their inputs or windows; where the maps do not fit into its memory,
pieces are halved.
"""

INPUTS_KEPT = 256 << 20
"""Bytes of inputs that are kept at hand: neighbouring units share exemplars."""


def at_once(device: torch.device, pixels: int) -> int:
    """How many pairs one pass is of, each of an input or window of so many pixels."""
    most, together = (AT_ONCE, PIXELS) if device.type == "cpu" else (AT_ONCE_THERE, PIXELS_THERE)
    return min(most, max(1, together // pixels))


@dataclass(frozen=True, slots=True)
class View:
    """Pairs as a readout takes them: whole inputs, or windows of them.

    Several pairs may be of one input: `rows` says of which each is; None, that each has its own. `corners` (y, x) is where
    what a pair is given begins in the input, and `size` the input's (height, width). `companions` are the further inputs that
    go with `inputs`.
    """

    readout: Readout
    inputs: Float[Tensor, "input channel height width"]
    rows: Int[Tensor, " pair"] | None
    channels: Int[Tensor, " pair"]
    positions: Int[Tensor, " pair"] | None
    corners: tuple[tuple[int, int], ...]
    size: tuple[int, int]
    windowed: bool = False
    companions: Companions = field(default_factory=dict)

    @classmethod
    def whole(
        cls,
        readout: Readout,
        inputs: Float[Tensor, "input channel height width"],
        rows: Int[Tensor, " pair"],
        channels: Int[Tensor, " pair"],
        positions: Int[Tensor, " pair"] | None,
        companions: Companions = NOTHING_BESIDE,
    ) -> View:
        """The whole inputs."""
        size = (int(inputs.shape[2]), int(inputs.shape[3]))
        laid_out = inputs.contiguous(memory_format=torch.channels_last)
        return cls(readout, laid_out, rows, channels, positions, ((0, 0),) * len(rows), size, companions=companions)

    @classmethod
    def window(cls, readout: WindowReadout, view: View) -> View:
        """The receptive fields of the pairs of another view."""
        assert view.positions is not None
        top, left = (one.tolist() for one in readout.starts(view.positions))
        windows, corners = readout.cut(view.own, view.positions), tuple(zip(top, left, strict=True))
        own = view.own_companions
        return cls(readout, windows, None, view.channels, view.positions, corners, view.size, windowed=True, companions=own)

    @property
    def own(self) -> Float[Tensor, "pair channel height width"]:
        """The input of each pair."""
        if self.rows is None:
            return self.inputs
        return self.inputs[self.rows].contiguous(memory_format=torch.channels_last)

    @property
    def own_companions(self) -> Companions:
        """The further inputs of each pair."""
        if self.rows is None:
            return self.companions
        return {name: one if len(one) == 1 else one[self.rows] for name, one in self.companions.items()}

    @contextmanager
    def _ready(self, companions: Companions) -> Iterator[None]:
        """Around passes of what these further inputs go with; where there are none, those that the network was given stay."""
        with self.readout.ready(), accompanied(self.readout.module, companions or companions_of(self.readout.module)):
            yield

    def chosen(self, which: Sequence[int]) -> View:
        """Some of the pairs."""
        places = None if self.positions is None else self.positions[which]
        corners = tuple(self.corners[index] for index in which)
        rows = torch.tensor(which, device=self.channels.device) if self.rows is None else self.rows[which]
        return replace(self, rows=rows, channels=self.channels[which], positions=places, corners=corners)

    def activations(self) -> Float[Tensor, " pair"]:
        """Of each unit at its position, or its mean."""
        with self._ready(self.own_companions), torch.no_grad():
            found: Tensor = self.readout(self.own, self.channels, self.positions)
            return found

    def by_rules(
        self, methods: Sequence[str]
    ) -> tuple[Float[Tensor, " pair"], dict[str, Float[Tensor, "pair channel height width"]]]:
        """Activations, and attributions by each of these methods; raises `ModelError` where there is no way back."""
        ways = [way for way in map(method_named, methods) if isinstance(way, ByRule)]
        given = (self.own, None) if self.windowed else (self.inputs, self.rows)  # windows differ, be they of one input
        with self._ready(self.own_companions if self.windowed else self.companions):
            made, activations = by_rules(ways, self.readout, given[0], self.channels, self.positions, given[1])
        return activations, {name: one.detach().float() for name, one in zip(methods, made, strict=True)}

    def is_all(self, box: Box | None) -> bool:
        """Whether the box is the whole input."""
        return box is None or box == (0, 0, self.size[1], self.size[0])

    def attributions(self, method: str) -> Float[Tensor, "pair channel height width"]:
        """By a method; raises `ModelError` where it is not defined here."""
        with self._ready(self.own_companions):
            return method_named(method)(self.readout, self.own, self.channels, self.positions)[0].detach().float()

    def inside(self, boxes: Sequence[Box | None]) -> Bool[Tensor, "pair height width"]:
        """Which pixels lie in the boxes, which are in pixels of the whole input; all of them where there is no box."""
        whole = (0, 0, self.size[1], self.size[0])
        moved = [
            (x0 - x, y0 - y, x1 - x, y1 - y)
            for (x0, y0, x1, y1), (y, x) in zip((box or whole for box in boxes), self.corners, strict=True)
        ]
        height, width = self.inputs.shape[2:]
        return evidence.inside(torch.tensor(moved, device=self.inputs.device), int(height), int(width))

    def left(
        self, seen: Bool[Tensor, "pair height width"], filling: Float[Tensor, " channel"], of: Float[Tensor, " pair"]
    ) -> Float[Tensor, " pair"]:
        """The share of activations that is left with these pixels alone; what lies beyond the input stays as it is.

        NaN where these pixels alone do not lead the model to the layer.
        """
        beyond = ~self.inside([None] * len(self.channels))
        with self._ready(self.own_companions):
            try:
                return evidence.left_of_activation(
                    self.readout, self.own, seen | beyond, filling, self.channels, self.positions, of
                )
            except UnreachedError:
                return torch.full_like(of, torch.nan)


class Examples:
    """Inputs by example, of any kind, with their companions, the last used at hand; for several threads."""

    def __init__(self, source: Source, dtype: torch.dtype, device: torch.device, workers: int | None) -> None:
        self.source, self._dtype, self._device, self._workers = source, dtype, device, workers
        self._known: OrderedDict[int, tuple[Tensor, Companions]] = OrderedDict()
        self._lock = Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled without the inputs at hand."""
        return Examples, (self.source, self._dtype, self._device, self._workers)

    def on(self, device: torch.device) -> Examples:
        """The same on another device, with inputs at hand of its own."""
        return Examples(self.source, self._dtype, device, self._workers)

    def inputs(self, examples: Sequence[int]) -> Shaped[Tensor, "pair ..."]:
        """The inputs in this order, on the device; texts and series must be equally long.

        Raises `StudyError` for one that cannot be read any more.
        """
        found = torch.stack([one for one, _ in self._found(examples)])
        return found.to(self._device)

    def companions(self, examples: Sequence[int]) -> Companions:
        """The further inputs of examples that are `alike`, in this order, on the device."""
        each = [companions for _, companions in self._found(examples)]
        return {name: torch.stack([one[name] for one in each]).to(self._device) for name in each[0]}

    def alike(self, examples: Sequence[int]) -> list[list[int]]:
        """Where these stand whose further inputs have the same shapes; all together where there are none."""
        if not self._found(examples[:1])[0][1]:
            return [list(range(len(examples)))]
        rows: dict[tuple[object, ...], list[int]] = {}
        for row, (_, companions) in enumerate(self._found(examples)):
            rows.setdefault(tuple(tuple(one.shape) for one in companions.values()), []).append(row)
        return list(rows.values())

    def _found(self, examples: Sequence[int]) -> list[tuple[Tensor, Companions]]:
        with self._lock:
            self._read(sorted(set(examples) - set(self._known)))
            for example in examples:
                self._known.move_to_end(example)
            found = [self._known[example] for example in examples]
            while len(self._known) * found[0][0].nbytes > INPUTS_KEPT and len(self._known) > 1:
                self._known.popitem(last=False)
            return found

    def _read(self, lacking: Sequence[int]) -> None:
        if not lacking:
            return
        cpu = torch.device("cpu")
        for batch in feed(self.source, lacking, max(1, len(lacking)), self._workers):
            made = self.source.kind.inputs(batch, cpu, self._dtype)
            beside = batch.companion_inputs(cpu, self._dtype)
            for row, (example, one) in enumerate(zip(batch.examples.tolist(), made, strict=True)):
                self._known[example] = one, {name: companion[row] for name, companion in beside.items()}
            for example, reason in batch.skipped:
                raise StudyError(
                    f"example {example} could be read during the scan, but not now: {reason}",
                    "give the same data as for the scan",
                )
