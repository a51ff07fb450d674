"""The stages of an analysis, one after the other: each is recorded as a run, resumes, and is never done twice.

This is where the packages meet: a model and a source of examples come in, records go to the store.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

import torchlurk
from torchlurk.engines.description import Named
from torchlurk.engines.naming import dismiss, engine_of, join
from torchlurk.errors import DeviceError, MismatchError, OptionError, StorageError, StudyError, first_line, is_out_of_memory
from torchlurk.input_words import KINDS, added_kind
from torchlurk.inputs.demo.drawn import DrawnPictures
from torchlurk.inputs.demo.opening import told_of_folder
from torchlurk.inputs.opening import open_source
from torchlurk.inputs.pictures.gpu_decoding import gpu_decoder
from torchlurk.inputs.presence import called_in
from torchlurk.inputs.source import Source
from torchlurk.inputs.sources.class_files import told_of_unlabelled
from torchlurk.inputs.sources.dataset_opening import open_dataset, told_of_stream
from torchlurk.inputs.sources.encoded import decoded_by
from torchlurk.inputs.sources.folder import told_of_splits
from torchlurk.jobs import Engine, Progress, Share
from torchlurk.models.loading.callables import data_set
from torchlurk.models.loading.identity import fingerprint, unwrap
from torchlurk.models.loading.load import LoadedModel, check_no_weights, load
from torchlurk.models.loading.placement import choose_devices
from torchlurk.models.taps.arguments import forward_parameters
from torchlurk.options import InputOptions
from torchlurk.run_records import Run
from torchlurk.stage_table import STAGES, Settings, check_stages
from torchlurk.stages.burn_in import with_burn_in
from torchlurk.stages.mismatch import differences
from torchlurk.stages.shares import begin_share, check_share, finish_share, is_done_share
from torchlurk.stages.stage import Stage, Task, now
from torchlurk.store.connections import holds_nothing
from torchlurk.store.folding import left_open
from torchlurk.store.reading import Reader
from torchlurk.suiting import suit

MOST_STD = 2
"""No numbers from 0 to 1 have a larger one than 0.5; 1 leaves pixels as they are."""


def run_stages(task: Task, stages: Sequence[str]) -> None:
    """Runs those of the stages that are not complete yet, in their order.

    Raises `MismatchError` when the study was made with other weights, data or settings, before anything is computed.
    """
    check_stages(tuple(stages), task.source.kind.name)
    task = _with_usual_methods(with_burn_in(task))
    wanted: list[Stage] = [declared.make(task) for name, declared in STAGES.items() if name in stages]
    check_share(task, [stage.name for stage in wanted])
    runs = {stage.name: _new_run(task, stage) for stage in wanted}
    if not task.out.exists():
        join(task.engine, task.device)
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
            join(task.engine, task.device)
            try:
                stage.work(runs[stage.name], before)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                raise DeviceError(
                    f"{task.device} ran out of memory in the stage {stage.name}: {first_line(error)}",
                    "what was saved is kept: continue on another device, or with fewer --layers or --units",
                ) from error
            written = True
    if task.share is not None:
        finish_share(task)
    if not written and left_open(task.out):
        _fold_in(task)


def _with_usual_methods(task: Task) -> Task:
    """The task with the methods of attribution that are usual for its kind of input, where none are named."""
    attribute = task.settings.attribute
    methods = attribute.methods or KINDS[task.source.kind.name].methods
    return replace(task, settings=replace(task.settings, attribute=replace(attribute, methods=methods)))


def _fold_in(task: Task) -> None:
    """Makes one file of a study whose writer was killed after its last transaction; says so where it cannot."""
    try:
        task.writer().close()
    except StorageError as error:
        task.progress.say(f"{task.out} keeps the files {task.out.name}-* beside it: {error.message}")
    except StudyError:  # another process is writing it, and will make one file of it
        return


def _earlier_runs(out: Path) -> dict[str, Run]:
    """The runs recorded in the study, if there is one; read without touching the file."""
    if not out.exists() or holds_nothing(out):
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
            f"{out} was made with different settings: {'; '.join(differing)}",
            "rerun with the original settings, or choose another --out",
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
    constants: Mapping[str, Any] | None = None,
    share: Share | None = None,
    merged: Path | None = None,
    engine: Engine | None = None,
) -> None:
    """Loads what is named and runs the stages; `model` and `data` may be objects or the texts of the command line.

    `class_names` and `vocabulary` are those that a program gives as objects, not as files; `constants` are arguments of the
    model's forward that are the same for every example. `share` is which part of the work is done, and `merged` the study
    whose scan a part of a later stage continues from. `engine` is one that a program gives as an object, not by its name.
    """
    asked, devices = settings.compute.engine if engine is None else engine, choose_devices(settings.compute.device)
    chosen = engine_of(asked, settings.compute, progress.say, devices)
    task = task_of(model, data, out, weights, settings, progress, class_names, vocabulary, constants)
    try:
        run_stages(replace(task, share=share, merged=merged, engine=chosen), stages)
    finally:
        if engine is None:
            dismiss(chosen)


def task_of(
    model: nn.Module | str,
    data: Any,
    out: Path,
    weights: str | Path | None,
    settings: Settings,
    progress: Progress,
    class_names: Sequence[str] | None = None,
    vocabulary: Mapping[str, int] | Sequence[str] | None = None,
    constants: Mapping[str, Any] | None = None,
) -> Task:
    """The task of `analyze_model`, with model and data loaded."""
    device = choose_devices(settings.compute.device)[0]
    decoder = gpu_decoder(settings.inputs.decoder, device)
    named = Named.of(model, weights) if isinstance(model, str) else None
    if isinstance(model, str):
        loaded = load(model, weights, preprocessing=not _says_all(settings.inputs))
    else:
        check_no_weights(weights)
        loaded = LoadedModel(unwrap(model), None, type(model).__name__)
    notes = [("weights", one) for one in loaded.told]
    for one in loaded.told:
        progress.say(one)
    called = called_in(str(data)) if isinstance(data, (str, Path)) else None
    if called is None and isinstance(data, (str, Path, DrawnPictures)):
        if class_names is not None:
            raise OptionError("--class-names is a list, which needs a data set object as DATA", "give a file of names")
        data = data if isinstance(data, DrawnPictures) else str(data)
        if isinstance(data, str) and (told := told_of_folder(data)):
            progress.say(told)
            notes.append(("data", told))
        source = open_source(data, settings.inputs, loaded.preprocessing, vocabulary, loaded.text)
        if ranged := _of_other_range(source):
            progress.say(f"note: {ranged}")
            notes.append(("inputs", ranged))
        if splits := told_of_splits(source):
            progress.say(splits)
            notes.append(("data", splits))
    else:
        takes = forward_parameters(loaded.module, constants or {})
        name = None if called is None else str(data)
        data = data if called is None else data_set(str(data), called[0])
        source = open_dataset(data, settings.inputs, loaded.preprocessing, class_names, vocabulary, takes, progress, name)
        if told := told_of_stream(source):
            progress.say(f"note: {told}")
            notes.append(("data", told))
    for aside, told in suit(source, loaded, settings.inputs, constants or {}):
        notes.append(("inputs", told))
        if not aside:
            progress.say(f"note: {told}")
    if unlabelled := told_of_unlabelled(source, settings.inputs.classes):
        progress.say(f"note: {unlabelled}")
        notes.append(("classes", unlabelled))
    return Task(
        loaded.module,
        loaded.spec,
        decoded_by(source, decoder),
        out,
        settings,
        device,
        progress,
        constants=constants or {},
        notes=notes,
        kind_called=added_kind(data, settings.inputs.kind),
        named=named,
    )


def _of_other_range(source: Source) -> str:
    """What to tell where mean and std are of pixels from 0 to 255; '' where they may be of those from 0 to 1."""
    mean, std = source.preprocessing.mean, source.preprocessing.std
    if source.kind.name != "pictures" or (max(mean) <= 1 and max(std) <= MOST_STD):
        return ""
    return (
        f"pixels are numbers from 0 to 1, and the mean is {_listed(mean)}, the std {_listed(std)}: divide --mean and"
        " --std by 255 if they were computed on pixels from 0 to 255"
    )


def _listed(values: Sequence[float]) -> str:
    return ",".join(f"{value:g}" for value in values)


def _says_all(inputs: InputOptions) -> bool:
    """Whether the options leave nothing of the preprocessing to the model's own configuration."""
    return None not in (inputs.mean, inputs.std) and (inputs.resize, inputs.crop) != (None, None)
