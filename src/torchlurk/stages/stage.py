"""What every stage of an analysis works with, and what it must say of itself."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import nn

from torchlurk.engines.description import Named, Recipe
from torchlurk.engines.threads import ThreadsEngine
from torchlurk.errors import DataError, ModelError, OptionError, UnitError, nearest
from torchlurk.input_records import InputAxes
from torchlurk.inputs.feeding import feed
from torchlurk.inputs.items import Batch
from torchlurk.inputs.kinds import Inputs
from torchlurk.inputs.source import Source, spread
from torchlurk.inputs.sources.encoded import EncodedPictures
from torchlurk.jobs import Clock, Engine, Progress, Share
from torchlurk.models.loading.placement import place
from torchlurk.models.survey.expected_input import misfit
from torchlurk.models.survey.input_axes import CANDIDATES, axes_of
from torchlurk.models.survey.layers import choose
from torchlurk.models.taps.arguments import OF_SEQUENCES, Arguments, accompanied, called_with, companions_of
from torchlurk.models.taps.as_found import as_found
from torchlurk.models.taps.modules import dtype_of
from torchlurk.options import Precision
from torchlurk.records import Layer
from torchlurk.run_records import Run
from torchlurk.scanning.steps import least_padded
from torchlurk.stage_table import Settings
from torchlurk.store.writing import Writer
from torchlurk.units import Unit


@dataclass(frozen=True, slots=True)
class Task:
    """One model on one source of examples, into the study at `out`; `module` is left as it was found.

    `clock` tells seconds, by which stages choose how much they do at once and when they save; `committed` is called after
    each transaction on the study. `share` is which part of the work is done, None
    all of it; a part of a stage after the scan goes on from the study `merged`. `notes` are what its reader should know of how
    model and data were opened, as (kind, text). `kind_called` is the name of a kind of input that a program has added, '' for
    the package's own. `engine` says where the work runs, which decides nothing; `named` is the module's MODEL, if it was given
    as one.
    """

    module: nn.Module
    model: str
    source: Source
    out: Path
    settings: Settings
    device: torch.device
    progress: Progress
    clock: Clock = monotonic
    committed: Callable[[], None] = lambda: None
    constants: Mapping[str, Any] = field(default_factory=dict)
    share: Share | None = None
    merged: Path | None = None
    notes: Sequence[tuple[str, str]] = ()
    kind_called: str = ""
    engine: Engine = field(default_factory=ThreadsEngine)
    named: Named | None = None

    def writer(self) -> Writer:
        """Opens the study to write."""
        return Writer(self.out, self.committed)

    def recipe(self, network: nn.Module, precision: Precision, arguments: Arguments) -> Recipe:
        """How another process makes the network, which is of that precision and called with those arguments."""
        return Recipe(self.module, self.named, self.device, precision, arguments, companions_of(network))

    def network(self, precision: Precision) -> nn.Module:
        """The module on the device, in evaluation mode and in that number format."""
        return place(self.module, self.device, precision)

    @contextmanager
    def first_input(self, network: nn.Module) -> Iterator[Inputs]:
        """The input of the first example that can be read, alone, batch first; of texts and series of the longest. Within it
        the network is given that example's further inputs, however many copies of it a pass is of.
        """
        batch, dtype = self.first_batch(), dtype_of(network)
        with accompanied(network, batch.companion_inputs(self.device, dtype)):
            yield self.source.kind.inputs(batch, self.device, dtype)

    def first_batch(self) -> Batch:
        """The first example that can be read, as a batch of one; of texts and series the longest, with the least padding.

        Raises `DataError` where there is none.
        """
        order: Sequence[int] = range(len(self.source.examples))
        if self.source.kind.name != "pictures":
            known = self.source.lengths is not None
            order = [least_padded(self.source)[0] if known else int(np.argmax(self._lengths())), *order]
        skipped: dict[int, str] = {}
        for batch in feed(self.source, order, 1, 1):
            if len(batch):
                return batch
            skipped |= batch.skipped
        raise self.nothing_to_read(skipped)

    def _lengths(self) -> Sequence[int]:
        """The steps of each text or series, 0 for those that cannot be read; reads them all where only reading tells."""
        if self.source.lengths is not None:
            lengths: list[int] = self.source.lengths.tolist()
            return lengths
        return [self._length(index) for index in range(len(self.source.examples))]

    def _length(self, index: int) -> int:
        try:
            return self.source.counted(index)[1]
        except DataError:
            return 0

    @contextmanager
    def some_inputs(self, network: nn.Module, most: int) -> Iterator[Inputs]:
        """The inputs of at most so many examples, spread over the data, as one batch, without those that cannot be read. Within
        it the network is given their further inputs.
        """
        chosen, dtype = spread(len(self.source.examples), most), dtype_of(network)
        batch = next(feed(self.source, chosen, len(chosen), 1))
        with accompanied(network, batch.companion_inputs(self.device, dtype)):
            yield self.source.kind.inputs(batch, self.device, dtype)

    @contextmanager
    def called(self, network: nn.Module) -> Iterator[Arguments]:
        """Within it the network takes batch-first inputs alone, and is given what it wants beside them.

        Raises `ModelError` where it cannot be told in which order it has its axes, or what else it wants.
        """
        axes: InputAxes | None = None
        batch, dtype = self.first_batch(), dtype_of(network)
        companions = batch.companion_inputs(self.device, dtype)
        if self.source.kind.name != "pictures":
            example, axes = self.source.kind.inputs(batch, self.device, dtype), self.settings.inputs.input_axes
            if axes is not None and axes not in CANDIDATES[example.dim()]:
                available = ", ".join(CANDIDATES[example.dim()])
                raise OptionError(
                    f"--input-axes is '{axes}', and the data is {self.source.kind.name}", f"available: {available}"
                )
            with self.telling_precision(network):
                axes = axes or axes_of(network, example, self.constants, companions, batch.parameter)
        try:
            arguments = Arguments.of(network, axes, self.constants, tuple(companions), batch.parameter)
        except ModelError as error:
            told = (
                misfit(network, self.source.kind.inputs(batch, self.device, dtype)) if OF_SEQUENCES in error.message else None
            )
            if told is None:
                raise
            raise ModelError(f"{type(network).__name__} cannot run on these inputs: {told[0]}", told[1]) from error
        with called_with(network, arguments):
            yield arguments

    @contextmanager
    def telling_precision(self, network: nn.Module) -> Iterator[None]:
        """Within it a `ModelError` of a network in 16 bits says so if in 32 bits it runs on the first example."""
        try:
            yield
        except ModelError as error:
            written = WRITTEN.get(dtype_of(network))
            if written is None or not self._runs_in_fp32():
                raise
            raise ModelError(
                f"with --precision {written}, {error.message}",
                "in fp32 it can: leave --precision out, or let its forward make tensors in the format of its input or weights"
                " (dtype=x.dtype)",
            ) from error

    def _runs_in_fp32(self) -> bool:
        network = self.network("fp32")
        try:
            with self.called(network), self.first_input(network) as example, as_found(network), torch.no_grad():
                network(example)
        except Exception:  # whatever a model raises
            return False
        return True

    def nothing_to_read(self, skipped: Mapping[int, str]) -> DataError:
        """The error that says why there is no example at all: the first reason of those `skipped`, or of the listing."""
        listed = [f" ({one.path}: {one.reason})" for one in self.source.skipped[:1]]
        reasons = [f" ({self.source.examples[one].path or f'example {one}'}: {skipped[one]})" for one in sorted(skipped)]
        first = next(iter([*reasons, *listed]), "")
        return DataError(f"none of the {len(self.source.examples)} examples in {self.source.name} can be read{first}")

    def data_options(self) -> dict[str, Any]:
        """What decides which inputs the network sees."""
        decoded = isinstance(self.source, EncodedPictures)
        return {
            "limit": self.settings.inputs.limit,
            "preprocessing": asdict(self.source.preprocessing),
            "constants": described(self.constants) if self.constants else None,
            **({"decoder": self.settings.inputs.decoder} if decoded else {}),
        }


@runtime_checkable
class Stage(Protocol):
    """One step of an analysis. It writes each finished piece at once, so that it continues where it was stopped."""

    @property
    def name(self) -> str:
        """The word for it: in `--stages`, in the study, in messages."""

    def options(self) -> Mapping[str, Any]:
        """Everything but model, data and seed that decides its results, as JSON values: what may not change afterwards."""

    def lacking(self, earlier: Run) -> bool:
        """Whether something that was asked for now is not in the results of a finished run."""

    def work(self, run: Run, earlier: Run | None) -> None:
        """Does what is not done yet and marks the run finished."""


WRITTEN: Mapping[torch.dtype, Precision] = {torch.bfloat16: "bf16", torch.float16: "fp16"}
"""How `--precision` calls the formats of 16 bits."""


def described(constants: Mapping[str, Any]) -> dict[str, str]:
    """Constants as a study records them: what tells whether they are the same again."""
    return {name: _described(value) for name, value in sorted(constants.items())}


def _described(value: Any) -> str:
    if not isinstance(value, torch.Tensor):
        return repr(value)
    numbers = value.detach().cpu().contiguous()
    digest = hashlib.sha256(numbers.reshape(-1).view(torch.uint8).numpy().tobytes()).hexdigest()[:16]
    return f"{str(numbers.dtype).removeprefix('torch.')} {tuple(numbers.shape)} {digest}"


def units_named(settings: Settings, layers: Sequence[Layer]) -> list[Unit]:
    """The units asked for by name; raises `UnitError` for one that the layers do not have."""
    channels = {one.name: one.channels for one in layers}
    found = [Unit.parse(one) for one in settings.units.units]
    for unit in found:
        if unit.layer not in channels:
            raise UnitError(
                f"there is no layer '{unit.layer}'{nearest(unit.layer, channels)}",
                "name a layer that is scanned",
            )
        if unit.channel >= channels[unit.layer]:
            raise UnitError(
                f"layer '{unit.layer}' has no channel {unit.channel}", f"it has {channels[unit.layer]}, counted from 0"
            )
    return found


def units_asked(settings: Settings, layers: Sequence[Layer]) -> dict[str, list[int]]:
    """The channels asked for, by layer, in order of execution: those of the units named, or all of the layers chosen."""
    chosen = {layer.name: list(range(layer.channels)) for layer in choose(layers, settings.scan.layers)}
    named = dict.fromkeys(units_named(settings, layers))
    by_layer = {layer.name: [unit.channel for unit in named if unit.layer == layer.name] for layer in layers}
    return {name: channels for name, channels in by_layer.items() if channels} or chosen


def now() -> str:
    """The time, as a study records it."""
    return datetime.now(UTC).isoformat(timespec="seconds")
