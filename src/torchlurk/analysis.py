"""The stages of an analysis, one after the other: each is recorded as a run, resumes, and is never done twice.

This is where the packages meet: a model and a source of examples come in, records go to the store.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

import torch
from torch import nn

import torchlurk
from torchlurk.engines.local import LocalEngine
from torchlurk.errors import DataError, MismatchError, ModelError, OptionError
from torchlurk.inputs.datasets import open_dataset
from torchlurk.inputs.feeding import check_repeatable, feed, inputs_of
from torchlurk.inputs.preprocessing import display
from torchlurk.inputs.sources import Source, open_source
from torchlurk.jobs import Progress, Shard, joined, remaining
from torchlurk.models.identity import fingerprint, unwrap
from torchlurk.models.layers import Survey, choose, survey
from torchlurk.models.loading import LoadedModel, load
from torchlurk.models.placement import choose_device, place
from torchlurk.models.receptive_field import ReceptiveField, receptive_fields
from torchlurk.options import ComputeOptions, InputOptions, ScanOptions, stored
from torchlurk.records import Layer, Run, Skip
from torchlurk.rendering.encoding import encode
from torchlurk.scanning.batch_size import choose_batch_size
from torchlurk.scanning.job import Scan, ScanPart
from torchlurk.scanning.statistics import draw_sample
from torchlurk.store.reading import Reader
from torchlurk.store.writing import Writer

STAGES = ("scan",)
"""The stages there are, in the order in which they run."""

SHARD_EXAMPLES = 128
"""Roughly how many examples a shard has: what an interruption can cost at most, beside the time between two saves."""

SECONDS_BETWEEN_SAVES = 2.0
SAVE_SHARE = 0.02
"""Saving the running state takes at most this share of the time, however large it is."""

USUAL_SIZES = ((224, 224), (32, 32), (28, 28), (64, 64), (96, 96), (128, 128), (256, 256), (299, 299), (384, 384))
"""Heights and widths of inputs that are tried, in order, for a model that does not tell its own."""

PICTURES_AT_ONCE = 64
"""How many example pictures go into one transaction."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that was asked for, but for the model and the data."""

    inputs: InputOptions
    scan: ScanOptions
    compute: ComputeOptions


class Analysis:
    """One model on one source of examples, into one study.

    `module` is left as it was found. Raises `MismatchError` when the study at `out` was made with other weights, data
    or settings.
    """

    def __init__(
        self, module: nn.Module, model: str, source: Source, out: Path, settings: Settings, progress: Progress
    ) -> None:
        self._module, self._model, self._source = module, model, source
        self._out, self._settings, self._progress = out, settings, progress
        self._device = choose_device(settings.compute.device)

    def run(self, stages: Sequence[str]) -> None:
        """Runs those of the stages that are not complete yet."""
        unknown = [stage for stage in stages if stage not in STAGES]
        if unknown or not stages:
            raise OptionError(f"--stages names '{', '.join(unknown)}'", f"there is: {', '.join(STAGES)}")
        run = self._new_run()
        earlier = self._earlier_run()
        if earlier:
            refuse_mismatch(self._out, earlier, run)
        if earlier and earlier.finished:
            self._progress.say(f"{self._out}: the scan is complete")
            return
        self._scan(run, earlier)

    def _earlier_run(self) -> Run | None:
        """The scan recorded in the study, if there is one; read without touching the file."""
        if not self._out.exists():
            return None
        with Reader(self._out) as reader:
            return reader.runs().get("scan")

    def _scan(self, run: Run, earlier: Run | None) -> None:
        network = place(self._module, self._device, self._settings.scan.precision)
        example = self._first_input(dtype_of(network))
        found = survey(network, example, self._settings.scan.tap)
        layers = choose(found.layers, self._settings.scan.layers)
        with Writer(self._out) as writer:
            if not earlier:
                self._begin(writer, run, found, layers)
            scan = self._job(network, example, layers)
            part = self._all_examples(writer, scan)
            self._keep(writer, part, layers, receptive_fields(network, example, layers))
            self._keep_pictures(writer)
            writer.finish("scan", _now())

    def _new_run(self) -> Run:
        options = stored(self._settings.scan) | {
            "limit": self._settings.inputs.limit,
            "preprocessing": asdict(self._source.preprocessing),
        }
        return Run(
            stage="scan",
            model=self._model,
            model_fingerprint=fingerprint(self._module),
            data=self._source.name,
            data_fingerprint=self._source.fingerprint(),
            options=json.loads(json.dumps(options)),
            seed=self._settings.scan.seed,
            version=torchlurk.__version__,
            started=_now(),
        )

    def _begin(self, writer: Writer, run: Run, found: Survey, layers: Sequence[Layer]) -> None:
        changing = check_repeatable(self._source)
        with writer.transaction():
            writer.begin(run)
            writer.write_model(layers, found.graph, self._source.preprocessing, found.input_shape)
            writer.write_data(self._source.classes, self._source.examples, self._source.skipped)
            writer.write_sample(self._sample())
            for layer in found.skipped:
                writer.add_note("layer", f"layer {layer.path} is left out: {layer.reason}")
            if changing:
                writer.add_note("data", changing)

    def _sample(self) -> Any:
        return draw_sample(len(self._source.examples), self._settings.scan.sample, self._settings.scan.seed)

    def _first_input(self, dtype: torch.dtype) -> torch.Tensor:
        """The first example that can be read, as a batch of one."""
        for batch in feed(self._source, range(len(self._source.examples)), 1, 1):
            if len(batch):
                return inputs_of(batch, self._source.preprocessing, self._device, dtype)
        raise self._nothing_to_read()

    def _nothing_to_read(self) -> DataError:
        reasons = [*self._source.skipped[:1]]
        first = f" ({reasons[0].path}: {reasons[0].reason})" if reasons else ""
        return DataError(f"none of the {len(self._source.examples)} examples in {self._source.name} can be read{first}")

    def _job(self, network: nn.Module, example: torch.Tensor, layers: Sequence[Layer]) -> Scan:
        return Scan(
            network=network,
            layers=layers,
            source=self._source,
            top=self._settings.scan.top,
            sample=self._sample(),
            batch_size=self._settings.compute.batch_size or choose_batch_size(network, example),
            workers=self._settings.compute.workers,
            device=self._device,
            dtype=example.dtype,
            progress=self._progress,
        )

    def _all_examples(self, writer: Writer, scan: Scan) -> ScanPart:
        """The part of all examples: what an earlier run saved, and the rest, saved again and again on the way."""
        saved = writer.progress("scan")
        done, part = (list(saved[0]), scan.restored(saved[1])) if saved else ([], scan.empty())
        shards = remaining(len(self._source.examples), done, scan.shard_size(SHARD_EXAMPLES))
        saver = _Saver(writer, done)
        self._progress.begin("scan", len(self._source.examples), sum(map(len, done)))
        part = LocalEngine().run(scan, shards, part, saver.kept)
        self._progress.end()
        saver.save(part)
        return part

    def _keep(self, writer: Writer, part: ScanPart, layers: Sequence[Layer], fields: Mapping[str, ReceptiveField]) -> None:
        """Writes what the finished part says, one layer a transaction."""
        if part.seen == 0:
            raise self._nothing_to_read()
        examples = (
            replace(one, class_index=int(known)) if known >= 0 else one
            for one, known in zip(self._source.examples, part.classes, strict=True)
        )
        skipped = [*self._source.skipped, *_skips(self._source, part)]
        with writer.transaction():
            writer.write_data(self._source.classes, examples, skipped)
            writer.write_input_statistics(part.inputs.finish())
        for layer in layers:
            scanned = part.layers[layer.name]
            writer.write_scan(layer.name, scanned.finish(len(self._source.classes), fields[layer.name].boxes))
            if scanned.broken:
                share = f"{scanned.broken} responses of units to examples are not finite, and left out"
                writer.add_note("nonfinite", f"layer {layer.name}: {share}")

    def _keep_pictures(self, writer: Writer) -> None:
        """Stores every exemplar's example as the network saw it, once."""
        wanted = writer.examples_without_picture()
        self._progress.begin("pictures", len(wanted))
        for batch in feed(self._source, wanted, PICTURES_AT_ONCE, self._settings.compute.workers):
            shown = display(batch.pixels, self._source.preprocessing)
            writer.write_pictures(
                (int(example), *encode(picture)) for example, picture in zip(batch.examples, shown, strict=True)
            )
            self._progress.advance(len(batch) + len(batch.skipped))
        self._progress.end()


class _Saver:
    """Saves the running part when enough time has passed since the last save, in proportion to what saving costs."""

    def __init__(self, writer: Writer, done: list[Shard]) -> None:
        self._writer, self._done = writer, done
        self._last, self._cost = monotonic(), 0.0

    def kept(self, part: ScanPart, shard: Shard) -> None:
        """Takes note of a finished shard."""
        self._done = joined([*self._done, shard])
        if monotonic() - self._last >= max(SECONDS_BETWEEN_SAVES, self._cost / SAVE_SHARE):
            self.save(part)

    def save(self, part: ScanPart) -> None:
        """Saves now."""
        started = monotonic()
        self._writer.save_progress("scan", self._done, part.arrays())
        self._last = monotonic()
        self._cost = self._last - started


def refuse_mismatch(out: Path, earlier: Run, now: Run) -> None:
    """Raises `MismatchError` that says in what the study's run differs from the one asked for now."""
    differing = []
    if earlier.model_fingerprint != now.model_fingerprint:
        differing.append(f"the model's weights (made with {earlier.model}, now {now.model})")
    if earlier.data_fingerprint != now.data_fingerprint:
        differing.append(f"the data (made with {earlier.data}, now {now.data})")
    differing += [
        f"--{name.replace('_', '-')} (made with {_shown(earlier.options.get(name))}, now {_shown(value)})"
        for name, value in now.options.items()
        if earlier.options.get(name) != value
    ]
    if differing:
        raise MismatchError(
            f"{out} was made otherwise: {'; '.join(differing)}",
            f"give the same again, or start anew with another --out or without {out}",
        )


def _shown(value: Any) -> str:
    return json.dumps(value) if value is not None else "none"


def _skips(source: Source, part: ScanPart) -> list[Skip]:
    return [Skip(source.examples[index].path or str(index), reason) for index, reason in sorted(part.skipped.items())]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def dtype_of(network: nn.Module) -> torch.dtype:
    """The floating-point format of the network's parameters; float32 where it has none."""
    return next((one.dtype for one in network.parameters() if one.is_floating_point()), torch.float32)


def analyze_model(
    model: nn.Module | str,
    data: Any,
    out: Path,
    weights: str | Path | None,
    stages: Sequence[str],
    settings: Settings,
    progress: Progress,
    class_names: Sequence[str] | None = None,
) -> None:
    """Loads what is named and runs the stages; `model` and `data` may be objects or the texts of the command line."""
    if isinstance(model, str):
        loaded = load(model, weights, preprocessing=not _says_all(settings.inputs))
    else:
        loaded = LoadedModel(unwrap(model), None, type(model).__name__)
    if isinstance(data, (str, Path)):
        source = open_source(str(data), settings.inputs, loaded.preprocessing)
    else:
        source = open_dataset(data, settings.inputs, loaded.preprocessing, class_names)
    Analysis(loaded.module, loaded.spec, source, out, settings, progress).run(stages)


def _says_all(inputs: InputOptions) -> bool:
    """Whether the options leave nothing of the preprocessing to the model's own configuration."""
    return None not in (inputs.mean, inputs.std) and (inputs.resize, inputs.crop) != (None, None)


def survey_model(model: str, weights: str | None, shape: str | None) -> Survey:
    """The survey of the model on an input of `shape` ("C,H,W"), on its own size, or on the first usual size that it takes."""
    loaded = load(model, weights or _no_weights(model), preprocessing=False)
    if shape is not None:
        return survey(loaded.module, torch.zeros(1, *_parsed(shape)))
    sizes = [loaded.preprocessing.crop] if loaded.preprocessing and loaded.preprocessing.crop else USUAL_SIZES
    refused: ModelError | None = None
    for channels in _input_channels(loaded):
        for height, width in sizes:
            try:
                return survey(loaded.module, torch.zeros(1, channels, height, width))
            except ModelError as error:
                refused = refused or error
    assert refused is not None
    raise ModelError(refused.message, "say the input's shape with --input C,H,W")


def _no_weights(model: str) -> str | None:
    """The layers do not depend on the weights: none are fetched."""
    return "random" if model.partition(":")[0] in ("torchvision", "timm", "hf") else None


def _parsed(shape: str) -> tuple[int, ...]:
    parts = shape.split(",")
    if not all(part.strip().isdigit() and int(part) > 0 for part in parts):
        raise OptionError(f"--input is {shape!r}", "it may be C,H,W, for example 3,224,224")
    return tuple(int(part) for part in parts)


def _input_channels(loaded: LoadedModel) -> list[int]:
    """What the input's channels may be: as the preprocessing says, or as the first convolution wants."""
    if loaded.preprocessing:
        return [loaded.preprocessing.channels]
    first = next((one for one in loaded.module.modules() if isinstance(one, nn.Conv2d)), None)
    return [first.in_channels] if first else [3, 1]
