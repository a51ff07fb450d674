"""The stages of an analysis, one after the other: each is recorded as a run, resumes, and is never done twice.

This is where the packages meet: a model and a source of examples come in, records go to the store.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

import torchlurk
from torchlurk.errors import MismatchError, ModelError, OptionError, StorageError, StudyError
from torchlurk.inputs.opening import open_source
from torchlurk.inputs.sources.datasets import open_dataset
from torchlurk.jobs import Progress, Share
from torchlurk.models.loading.identity import fingerprint, unwrap
from torchlurk.models.loading.load import LoadedModel, load
from torchlurk.models.loading.placement import choose_device
from torchlurk.models.survey.layers import Survey, survey
from torchlurk.options import InputOptions
from torchlurk.records import Run
from torchlurk.stages.attribute import AttributeStage
from torchlurk.stages.mismatch import differences
from torchlurk.stages.scan import ScanStage
from torchlurk.stages.shares import begin_share, check_share, finish_share, is_done_share
from torchlurk.stages.stage import Settings, Stage, Task, now
from torchlurk.stages.synthesize import SynthesizeStage
from torchlurk.store.folding import left_open
from torchlurk.store.reading import Reader

STAGES: Mapping[str, Callable[[Task], Stage]] = {
    "scan": ScanStage,
    "attribute": AttributeStage,
    "synthesize": SynthesizeStage,
}
"""The stages there are, in the order in which they run."""

USUAL_STAGES = ("scan",)
"""What runs where no stage is named: one pass over the data. The others add to it (docs/decisions/the-usual-stages.md)."""

USUAL_SIZES = ((224, 224), (32, 32), (28, 28), (64, 64), (96, 96), (128, 128), (256, 256), (299, 299), (384, 384))
"""Heights and widths of inputs that are tried, in order, for a model that does not tell its own."""


def run_stages(task: Task, stages: Sequence[str]) -> None:
    """Runs those of the stages that are not complete yet, in their order.

    Raises `MismatchError` when the study was made with other weights, data or settings, before anything is computed.
    """
    unknown = [stage for stage in stages if stage not in STAGES]
    if unknown or not stages:
        raise OptionError(f"--stages names '{', '.join(unknown)}'", f"there is: {', '.join(STAGES)}")
    wanted = [make(task) for name, make in STAGES.items() if name in stages]
    check_share(task, [stage.name for stage in wanted])
    runs = {stage.name: _new_run(task, stage) for stage in wanted}
    begin_share(task, list(runs), runs[wanted[0].name])
    earlier = _earlier_runs(task.out)
    for name, run in runs.items():
        if name in earlier:
            refuse_mismatch(task.out, earlier[name], run)
    written = False
    for stage in wanted:
        before = earlier.get(stage.name)
        if (before and before.finished and not stage.lacking(before)) or is_done_share(task):
            task.progress.say(f"{task.out}: the {stage.name} stage is complete")
        else:
            stage.work(runs[stage.name], before)
            written = True
    if task.share is not None:
        finish_share(task)
    if not written and left_open(task.out):
        _fold_in(task)


def _fold_in(task: Task) -> None:
    """Makes one file of a study whose writer was killed after its last transaction; says so where it cannot."""
    try:
        task.writer().close()
    except StorageError as error:
        task.progress.say(f"{task.out} stays with the files {task.out.name}-* beside it: {error.message}")
    except StudyError:  # another process is writing it, and will make one file of it
        return


def _earlier_runs(out: Path) -> dict[str, Run]:
    """The runs recorded in the study, if there is one; read without touching the file."""
    if not out.exists():
        return {}
    with Reader(out) as reader:
        return reader.runs()


def _new_run(task: Task, stage: Stage) -> Run:
    return Run(
        stage=stage.name,
        model=task.model,
        model_fingerprint=fingerprint(task.module),
        data=task.source.name,
        data_fingerprint=task.source.fingerprint(),
        options=json.loads(json.dumps(dict(stage.options()))),
        seed=task.settings.scan.seed,
        version=torchlurk.__version__,
        started=now(),
    )


def refuse_mismatch(out: Path, earlier: Run, now: Run) -> None:
    """Raises `MismatchError` that says in what the study's run differs from the one asked for now."""
    if differing := differences(earlier, now, ("made with", "now")):
        raise MismatchError(
            f"{out} was made otherwise: {'; '.join(differing)}",
            f"give the same again, or start anew with another --out or without {out}",
        )


def analyze_model(
    model: nn.Module | str,
    data: Any,
    out: Path,
    weights: str | Path | None,
    stages: Sequence[str],
    settings: Settings,
    progress: Progress,
    class_names: Sequence[str] | None = None,
    vocabulary: Mapping[str, int] | Sequence[str] | None = None,
    share: Share | None = None,
    merged: Path | None = None,
) -> None:
    """Loads what is named and runs the stages; `model` and `data` may be objects or the texts of the command line.

    `class_names` and `vocabulary` are those that a program gives as objects, not as files. `share` is which part of the work is
    done, and `merged` the study whose scan a part of a later stage goes on from.
    """
    task = task_of(model, data, out, weights, settings, progress, class_names, vocabulary)
    run_stages(replace(task, share=share, merged=merged), stages)


def task_of(
    model: nn.Module | str,
    data: Any,
    out: Path,
    weights: str | Path | None,
    settings: Settings,
    progress: Progress,
    class_names: Sequence[str] | None = None,
    vocabulary: Mapping[str, int] | Sequence[str] | None = None,
) -> Task:
    """The task of `analyze_model`, with model and data loaded."""
    if isinstance(model, str):
        loaded = load(model, weights, preprocessing=not _says_all(settings.inputs))
    else:
        loaded = LoadedModel(unwrap(model), None, type(model).__name__)
    if isinstance(data, (str, Path)):
        source = open_source(str(data), settings.inputs, loaded.preprocessing, vocabulary)
    else:
        source = open_dataset(data, settings.inputs, loaded.preprocessing, class_names, vocabulary)
    device = choose_device(settings.compute.device)
    return Task(loaded.module, loaded.spec, source, out, settings, device, progress)


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
