"""The facade: `analyze` makes a study, `open` reads one, and a study gives its layers, units and pictures.

Opening and reading need no torch; `analyze` imports it when called.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from PIL import Image

from torchlurk.drawings import drawings_of, study_figure, study_overview
from torchlurk.errors import OptionError, UnitError, nearest, telling_keywords
from torchlurk.frames import Table
from torchlurk.input_records import InputStatistics
from torchlurk.jobs import Progress, Share
from torchlurk.option_values import all_as_declared, as_declared, fitted, shown
from torchlurk.progress import watcher
from torchlurk.records import Class, Graph, Remark, Skip
from torchlurk.rendering.encoding import png
from torchlurk.resources.unit_table import unit_table
from torchlurk.run_records import Run
from torchlurk.stage_table import USUAL_STAGES, Settings, option_classes
from torchlurk.store.notes import said_once
from torchlurk.store.queries import unit_counts
from torchlurk.store.reading import Reader
from torchlurk.store.remarks import Change, write_remarks
from torchlurk.units import Unit, aliased
from torchlurk.views import LayerView, UnitView

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import nn

    from torchlurk.server.notebook import App
    from torchlurk.server.running import Server


Analyze = TypeVar("Analyze", bound=Callable[..., Any])


@all_as_declared
class _Records(Reader):
    """The records of a study for programs: what they ask with is checked, so that a wrong argument is not taken for damage."""


class Study:
    """Everything computed for one model on one data set, read from its file. Close it, or use it in a `with` block."""

    @as_declared
    def __init__(self, path: str | Path) -> None:
        self._reader = _Records(Path(path))
        self.path = self._reader.path

    def __enter__(self) -> Study:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of the file."""
        self._reader.close()

    @property
    def reader(self) -> Reader:
        """The records of the study's file, for what has no verb here."""
        return self._reader

    @as_declared
    def serve(
        self,
        port: int = 8000,
        host: str = "127.0.0.1",
        *,
        write: bool = False,
        model: nn.Module | str | None = None,
        weights: str | Path | None = None,
        class_names: str | Path | None = None,
        device: str = "auto",
        constants: Mapping[str, Any] | None = None,
        further_inputs: Mapping[str, Any] | None = None,
    ) -> Server:
        """Opens the study in the app: starts a server that runs beside this program; `url` is its address, `stop` ends it. With
        `write`, units can be named and noted there. `model`, the one that the study was made with (a module, or a MODEL as on
        the command line with `weights`), opens the pages Image and Live; the other arguments are those of `explain`.
        """
        from torchlurk.server.model_choice import ModelChoice
        from torchlurk.server.running import Server

        choice = ModelChoice.of(model, weights, device, class_names, constants, further_inputs)
        return Server([self.path], host=host, port=port, model=choice, write=write).start()

    @as_declared
    def app(
        self,
        height: int = 720,
        *,
        proxy: str | None = None,
        write: bool = False,
        model: nn.Module | str | None = None,
        weights: str | Path | None = None,
    ) -> App:
        """The app in a cell of a notebook, of that many pixels' height, where it is the last expression; `close` ends it.

        Where the browser reaches the kernel's machine through a proxy that the page cannot find by itself, `proxy` is the
        address there, as `/proxy/{port}/`. `write`, `model` and `weights` are as for `serve`. Raises `OptionError` for what is
        no height or address.
        """
        from torchlurk.server.model_choice import ModelChoice
        from torchlurk.server.notebook import App

        return App(self.path, height=height, proxy=proxy, write=write, model=ModelChoice.of(model, weights))

    @as_declared
    def export(self, folder: str | Path, *, notes: bool = True) -> int:
        """Writes the study with the app as static files into a new folder, with or without people's notes; returns how many."""
        from torchlurk.export import export

        return export([self.path], Path(folder), notes=notes, progress=watcher(None))

    @property
    def runs(self) -> dict[str, Run]:
        """What was run, by stage."""
        return self._reader.runs()

    @property
    def layers(self) -> tuple[LayerView, ...]:
        """The layers whose units were scanned, in order of execution."""
        return tuple(LayerView(self._reader, layer) for layer in self._reader.layers())

    @property
    def graph(self) -> Graph:
        """What feeds what in the model."""
        return self._reader.graph()

    @property
    def classes(self) -> tuple[Class, ...]:
        """The classes of the data set; none if it has none."""
        return self._reader.classes()

    @property
    def skipped(self) -> tuple[Skip, ...]:
        """What in the data was passed over, and why."""
        return self._reader.skips()

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know of the study before trusting it."""
        return tuple(text for _, text in said_once(self._reader.notes()))

    @property
    def remarks(self) -> dict[str, Remark]:
        """What people have noted of units, by address."""
        return {str(unit): one for unit, one in self._reader.remarks().items()}

    @as_declared
    def note(
        self, unit: Unit | UnitView | str, *, name: str | None = None, text: str | None = None, starred: bool | None = None
    ) -> Remark:
        """Names a unit, notes something of it or stars it, in the study's file, also while an analysis is writing it; returns
        what is noted now. What is not given stays; an empty name or text is removed.
        """
        asked = Unit.of(unit)
        (remark,) = write_remarks(self.path, {asked: Change(name, text, starred)}).values()
        return remark or Remark()

    @property
    def input_statistics(self) -> InputStatistics | None:
        """Colour and spectrum of the network's inputs."""
        return self._reader.input_statistics()

    def plot(self) -> Figure:
        """The layers over depth, as a matplotlib figure: selectivity, active positions, dead units, and of texts what the best
        units know. Raises `MissingExtraError` without matplotlib.
        """
        return study_figure(self._reader)

    def overview(self) -> Image.Image:
        """A few units that stand out of each layer, of up to twelve layers spread over the depth: the box of a unit's strongest
        example, or its text or series around the strongest step. A notebook shows it by itself.
        """
        return study_overview(self._reader)

    @as_declared
    def units(self, layers: str | Iterable[str] = ()) -> Table:
        """All units as a table, a row a unit, in the order of execution, then by channel: `to_frame` gives it to pandas, polars
        or Arrow. `layers` chooses them by their names or by globs.
        """
        return unit_table(self._reader, [layers] if isinstance(layers, str) else tuple(layers))

    def __getitem__(self, layer: str) -> LayerView:
        """The layer of that name, `rnn` for the last layer of a recurrent module; raises `UnitError` naming the nearest."""
        layers = {one.name: one for one in self._reader.layers()}
        if not isinstance(layer, str):
            raise UnitError(f"{shown(layer)} is not the name of a layer", "study.layers lists all")
        name = aliased(layer, list(layers))
        if name not in layers:
            raise UnitError(f"no layer '{layer}' in {self.path}{nearest(layer, layers)}", "study.layers lists all")
        return LayerView(self._reader, layers[name])

    def unit(self, address: Unit | UnitView | str) -> UnitView:
        """The unit written `layer:channel`; raises `UnitError` if the study has none such."""
        return UnitView(self._reader, self._reader.unit(Unit.of(address)))

    @as_declared
    def picture(self, example: int) -> Image.Image | None:
        """An exemplar's example as the network saw it, a text or series drawn; None if the study does not hold it."""
        return (
            drawings_of(self._reader).example(self._reader, example) if example in range(self._reader.example_count()) else None
        )

    @property
    def input_size(self) -> tuple[int, int]:
        """(height, width) of the network's input; raises `StudyError` where its inputs are texts or series."""
        return drawings_of(self._reader).input_size(self._reader)

    def _repr_png_(self) -> bytes | None:
        """The overview; nothing where no layer has been scanned."""
        return png(self.overview()) if unit_counts(self._reader) else None

    def __repr__(self) -> str:
        layers = self._reader.layers()
        return f"<Study {self.path}: {len(layers)} layers, {sum(layer.channels for layer in layers)} units>"


@as_declared
def open(path: str | Path) -> Study:
    """The study in the file at `path`. Needs neither torch nor the model; raises `StudyError` if it is not a study."""
    return Study(path)


def _with_options(function: Analyze) -> Analyze:
    """The function, whose signature names every option of an analysis as a keyword."""
    own = list(inspect.signature(function).parameters.values())
    named = {one.name: one for options in option_classes() for one in fields(options)}
    keywords = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=one.default, annotation=one.type)
        for name, one in named.items()
    ]
    function.__dict__["__signature__"] = inspect.Signature([*own[:-1], *keywords, own[-1]])
    return function


@_with_options
@telling_keywords()
def analyze(
    model: nn.Module | str,
    data: Any,
    out: str | Path,
    *,
    weights: str | Path | None = None,
    stages: Sequence[str] | None = None,
    constants: Mapping[str, Any] | None = None,
    part: str | None = None,
    merged: str | Path | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Study:
    """Finds out what every unit of the model responds to, and returns the study written at `out`.

    `model` is any module (left as found), or a MODEL as on the command line, with `weights`. `data` is what DATA is on the
    command line, or any map-style data set or stream of (tensor, class) or tensor: floats (channel, height, width) are
    pictures, floats (time, channel) series, whole numbers (time,) the tokens of a text. Of a data set with normalized
    pictures, `mean` and `std` say how they were normalized, so that they can be shown; `class_names` may also be a list of
    names, and `vocabulary` the tokens themselves. `constants` are arguments of the model's forward, by name, that are the
    same for every example. `part` does the K-th of N parts of the work ("K/N") into a study of its own, which `merge` puts
    together with the others; a part of a stage after the scan continues from the study `merged`. Running it again
    continues, or finds it complete. In a notebook a bar shows how far it is; `progress` is any object of the protocol
    `torchlurk.jobs.Progress`. The other keywords are the options of `torchlurk analyze`, with underscores; `engine` may
    also be any object of the protocol `torchlurk.jobs.Engine`. Raises a `TorchlurkError` that says what to do.
    """
    from torchlurk.analysis import analyze_model

    out, weights = fitted("out", out, str), fitted("weights", weights, str | None)
    part, merged = fitted("part", part, str | None), fitted("merged", merged, str | None)
    if constants is not None and not isinstance(constants, Mapping):
        raise OptionError(f"constants is {shown(constants)}", "give a dict: the arguments by their names")
    names, tokens = options.get("class_names"), options.get("vocabulary")
    if names is not None:
        names = fitted("class_names", names, str | Path | tuple[str, ...])
    if tokens is not None:
        tokens = fitted("vocabulary", tokens, str | Path | Mapping | tuple[str, ...])
    files = {name: value for name, value in options.items() if name not in AS_OBJECTS or isinstance(value, (str, Path))}
    analyze_model(
        model,
        data,
        Path(out),
        weights,
        list(fitted("stages", USUAL_STAGES if stages is None else stages, tuple[str, ...], commas=True)),
        Settings.of(files),
        watcher(progress),
        class_names=None if "class_names" in files else names,
        vocabulary=None if "vocabulary" in files else tokens,
        constants=constants,
        share=Share.parse(part) if part is not None else None,
        merged=Path(merged) if merged is not None else None,
        engine=None if "engine" in files else options.get("engine"),
    )
    return Study(out)


AS_OBJECTS = ("class_names", "vocabulary", "engine")
"""Options that are files or names on the command line, and of which a program may give the content, or the object."""


@as_declared
def merge(parts: Iterable[str | Path], *, out: str | Path, progress: Progress | None = None) -> Study:
    """Puts the parts that `analyze(…, part="K/N")` made together to the study that one process would have made.

    Needs neither the model nor the data. Raises `MismatchError` where the parts do not fit together: one is missing, there
    twice, or of another model, other data or other options.
    """
    from torchlurk.stages.merge import merge as merge_parts

    merge_parts([Path(part) for part in parts], Path(out), watcher(progress))
    return Study(out)
