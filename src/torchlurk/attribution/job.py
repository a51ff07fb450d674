"""Attributions as a job: pairs of one layer in, their attributions and what speaks for them out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

import torch
from torch import nn

from torchlurk.attribution.batches import Attributes, Attributor, Context, Made, Piece
from torchlurk.attribution.in_pieces import InPieces
from torchlurk.engines.description import Recipe
from torchlurk.inputs.source import Source
from torchlurk.models.survey.receptive_field import ReceptiveField
from torchlurk.models.taps.twins import separable, twin
from torchlurk.records import Layer

MOST_WORKERS = 8
"""Each holds the maps of what it is at."""


@runtime_checkable
class Scene(Protocol):
    """What all pairs have in common, for one kind of input."""

    @property
    def device(self) -> torch.device:
        """That of the network and its inputs."""

    @property
    def source(self) -> Source:
        """Where the inputs come from."""

    def on(self, device: torch.device) -> Scene:
        """The same on another device."""

    def attributor(self, network: nn.Module, layer: Layer, undefined: set[str]) -> Attributes:
        """What attributes units of a layer with that network; `undefined` are the methods known not to be defined for it."""


@dataclass(frozen=True, slots=True)
class OnPictures:
    """See `Scene`; `fields` are the receptive fields of layers by name."""

    context: Context
    fields: Mapping[str, ReceptiveField]

    @property
    def device(self) -> torch.device:
        """See `Scene`."""
        return self.context.device

    @property
    def source(self) -> Source:
        """See `Scene`."""
        return self.context.examples.source

    def on(self, device: torch.device) -> OnPictures:
        """See `Scene`."""
        return replace(self, context=self.context.on(device))

    def attributor(self, network: nn.Module, layer: Layer, undefined: set[str]) -> Attributes:
        """See `Scene`."""
        return Attributor(self.context, network, layer, self.fields[layer.name], undefined)


@dataclass(frozen=True, slots=True)
class Attribute:
    """Attributions of units of these layers, by name. See `torchlurk.jobs.Each`.

    `network` is on the device of the `scene` and is left as found; `recipe` says how it was made, and how it is called. A
    worker has a copy that shares the parameters, for reading a layer is done to module objects.
    """

    network: nn.Module
    layers: Mapping[str, Layer]
    scene: Scene
    recipe: Recipe
    several: bool = field(init=False)
    """Whether workers have copies; not on a GPU, where torch may use one core alone, nor where copies cannot be made."""

    def __post_init__(self) -> None:
        """Tries once to copy the network."""
        object.__setattr__(self, "several", self.scene.device.type == "cpu" and separable(self.network))

    @property
    def networks(self) -> Sequence[tuple[nn.Module, Recipe]]:
        """See `torchlurk.engines.description.Describable`."""
        return [(self.network, self.recipe)]

    @property
    def source(self) -> Source:
        """Where the inputs come from."""
        return self.scene.source

    def on(self, device: torch.device, networks: Sequence[nn.Module]) -> Attribute:
        """See `torchlurk.engines.devices.Movable`."""
        return replace(self, network=networks[0], scene=self.scene.on(device))

    @property
    def most_workers(self) -> int:
        """See `torchlurk.jobs.Each`."""
        return MOST_WORKERS if self.several else 1

    @contextmanager
    def open(self, cores: Executor | None) -> Iterator[Callable[[Piece], Made]]:
        """See `torchlurk.jobs.Each`."""
        yield _Worker(self, twin(self.network) if self.several else self.network)

    def attributor(self, layer: str, network: nn.Module, undefined: set[str]) -> Attributes:
        """What attributes units of a layer with that network."""
        return InPieces(self.scene.attributor(network, self.layers[layer], undefined))


class _Worker:
    """Makes what is asked for with a network of its own, layer after layer."""

    def __init__(self, job: Attribute, network: nn.Module) -> None:
        self._job, self._network = job, network
        self._layer = ""
        self._attributor: Attributes | None = None

    def __call__(self, piece: Piece) -> Made:
        if self._attributor is None or self._layer != piece.layer:
            self._attributor = self._job.attributor(piece.layer, self._network, set())
            self._layer = piece.layer
        return self._attributor(piece)
