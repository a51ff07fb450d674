"""Units, layers and examples of a study as pictures and figures. How they are drawn depends on the kind of the data alone, and
`BY_KIND` is where that is decided.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, lru_cache, wraps
from glob import escape
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar, runtime_checkable

import numpy as np
from PIL import Image

from torchlurk.allowance import DRAWN, PIXELS, UNPACKED, allowing
from torchlurk.errors import StudyError
from torchlurk.input_records import KindName
from torchlurk.records import Exemplar, Layer, UnitRecord
from torchlurk.rendering.attributions import Attributed, Rendering, attribution_rows
from torchlurk.rendering.contact_sheet import contact_sheet
from torchlurk.rendering.encoding import decode
from torchlurk.rendering.sequences import (
    SERIES,
    TEXTS,
    Rows,
    sequence_example,
    sequence_layer_sheet,
    sequence_sheet,
    sequence_units,
)
from torchlurk.rendering.shown import best_exemplar
from torchlurk.rendering.sprites import LAYER_COLUMNS, best_box, layer_sheet, units_grid
from torchlurk.rendering.step_attributions import AttributedSteps
from torchlurk.rendering.study_sheet import study_sheet
from torchlurk.rendering.syntheses import Synthesized, synthesis_row
from torchlurk.rendering.text import Steps
from torchlurk.resources.outputs import with_output
from torchlurk.resources.sheets import input_size, sheets_of
from torchlurk.resources.token_documents import tokens_of
from torchlurk.resources.unit_table import unit_table
from torchlurk.store.portions import load_least_for_means
from torchlurk.store.queries import standing_out, telling_selectivity, unit_counts
from torchlurk.store.reading import Reader
from torchlurk.units import Unit

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from torchlurk.plotting import LayerFacts


P = ParamSpec("P")
Drawn = TypeVar("Drawn")


@runtime_checkable
class Drawings(Protocol):
    """What is drawn of a study with data of one kind."""

    def unit(self, reader: Reader, record: UnitRecord, rendering: Rendering) -> Image.Image:
        """The unit's contact sheet."""

    def figure(self, reader: Reader, record: UnitRecord) -> Figure:
        """The same as a matplotlib figure; raises `MissingExtraError` without matplotlib."""

    def layer(self, reader: Reader, layer: Layer) -> Image.Image:
        """An overview of the layer by its units' strongest examples."""

    def some_units(self, reader: Reader, layer: Layer) -> Image.Image:
        """The same of a few units that stand out."""

    def layer_figure(self, reader: Reader, layer: Layer) -> Figure:
        """The units of the layer that stand out, and how all are spread; raises `MissingExtraError` without matplotlib."""

    def example(self, reader: Reader, index: int) -> Image.Image | None:
        """An exemplar's example as the network saw it; None where the study does not hold it."""

    def steps(self, reader: Reader, record: UnitRecord) -> Steps | None:
        """The texts or series of the unit's exemplars and its values at their steps; None for pictures."""

    def input_size(self, reader: Reader) -> tuple[int, int]:
        """Height and width of the network's input; raises `StudyError` where it has none."""


def bounded(
    **most: int,
) -> Callable[[Callable[Concatenate[Any, Reader, P], Drawn]], Callable[Concatenate[Any, Reader, P], Drawn]]:
    """For a method that draws something of a study: it is read in one state, no more of it than that is unpacked, and what
    cannot be drawn is an error of the study.
    """

    def around(draw: Callable[Concatenate[Any, Reader, P], Drawn]) -> Callable[Concatenate[Any, Reader, P], Drawn]:
        @wraps(draw)
        def drawn(self: Any, reader: Reader, /, *given: P.args, **named: P.kwargs) -> Drawn:
            with allowing(**most), reader.reading():
                return draw(self, reader, *given, **named)

        return drawn

    return around


def drawings_of(reader: Reader) -> Drawings:
    """How a study is drawn."""
    return BY_KIND[reader.inputs().kind]


class Pictures:
    """Exemplars with their boxes, with attributions and syntheses where there are some."""

    @bounded(pixels=DRAWN)
    def unit(self, reader: Reader, record: UnitRecord, rendering: Rendering) -> Image.Image:
        """See `Drawings`."""
        found = [one for by in ("max", "mean") if by in record.exemplars for one in attributed(reader, record, by)]
        made = synthesized(reader, record)
        return contact_sheet(
            with_output(reader, record),
            reader.classes(),
            lambda example: self.example(reader, example),
            input_size(reader),
            beneath=attribution_rows(found, rendering=rendering),
            made=synthesis_row(made) if made else None,
        )

    @bounded(pixels=DRAWN)
    def figure(self, reader: Reader, record: UnitRecord) -> Figure:
        """See `Drawings`."""
        from torchlurk.plotting import plot_unit

        return plot_unit(with_output(reader, record), reader.classes(), lambda example: self.example(reader, example))

    @bounded()
    def layer(self, reader: Reader, layer: Layer) -> Image.Image:
        """See `Drawings`."""
        best, pictures = reader.best(layer.name), lru_cache(1)(lambda example: self.example(reader, example))
        with allowing(pixels=PIXELS * sheets_of(layer.channels)):
            return layer_sheet(layer, best, pictures, input_size(reader), dead=_dead(reader, layer))

    @bounded(pixels=DRAWN)
    def some_units(self, reader: Reader, layer: Layer) -> Image.Image:
        """See `Drawings`."""
        best, size = reader.best(layer.name), input_size(reader)
        channels = standing_out(reader, layer.name, LAYER_COLUMNS)
        return units_grid({one: best_box(best, one, lambda example: self.example(reader, example), size) for one in channels})

    @bounded(pixels=DRAWN)
    def layer_figure(self, reader: Reader, layer: Layer) -> Figure:
        """See `Drawings`."""
        from torchlurk.plotting import plot_layer

        best, size = reader.best(layer.name), input_size(reader)

        def crop(channel: int) -> Image.Image | None:
            return best_box(best, channel, lambda example: self.example(reader, example), size)

        return plot_layer(_facts(reader, layer), crop)

    def example(self, reader: Reader, index: int) -> Image.Image | None:
        """See `Drawings`."""
        stored = reader.picture(index)
        return decode(stored[1]) if stored else None

    def steps(self, reader: Reader, record: UnitRecord) -> Steps | None:
        """See `Drawings`."""
        return None

    def input_size(self, reader: Reader) -> tuple[int, int]:
        """See `Drawings`."""
        return input_size(reader)


class Sequences:
    """Exemplars with the unit's values at each of their steps."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def _rows_of(self, reader: Reader) -> Rows:
        """How they are drawn, with what the study's examples are called."""
        example = reader.inputs().example
        return replace(self._rows, noun=f"{example}s") if example else self._rows

    @bounded(bytes=UNPACKED)
    def unit(self, reader: Reader, record: UnitRecord, rendering: Rendering) -> Image.Image:
        """See `Drawings`."""
        return sequence_sheet(with_output(reader, record), reader.classes(), self.steps(reader, record), self._rows_of(reader))

    @bounded(bytes=UNPACKED)
    def figure(self, reader: Reader, record: UnitRecord) -> Figure:
        """See `Drawings`."""
        from torchlurk.plotting import plot_steps

        return plot_steps(with_output(reader, record), reader.classes(), self.steps(reader, record), self._rows_of(reader).noun)

    @bounded(bytes=UNPACKED)
    def layer(self, reader: Reader, layer: Layer) -> Image.Image:
        """See `Drawings`."""
        best, of = reader.best(layer.name), self._best_steps(reader, layer)
        steps = {channel: of(int(example), channel) for channel, example in enumerate(best.examples[:, 0])}
        return sequence_layer_sheet(layer, best, steps, self._rows_of(reader), dead=_dead(reader, layer))

    def some_units(self, reader: Reader, layer: Layer) -> Image.Image:
        """See `Drawings`."""
        best, of = reader.best(layer.name), self._best_steps(reader, layer)
        channels = standing_out(reader, layer.name, self._rows.few)
        steps = {channel: of(int(best.examples[channel, 0]), channel) for channel in channels}
        return sequence_units(layer, best, steps, channels, self._rows)

    @bounded(bytes=UNPACKED)
    def layer_figure(self, reader: Reader, layer: Layer) -> Figure:
        """See `Drawings`."""
        from torchlurk.plotting import plot_layer_in_steps

        best, of = reader.best(layer.name), self._best_steps(reader, layer)

        def in_steps(channel: int) -> tuple[Exemplar, Steps]:
            exemplar = best_exemplar(layer, best, channel)
            return exemplar, of(exemplar.example, channel)

        return plot_layer_in_steps(_facts(reader, layer), in_steps)

    def _best_steps(self, reader: Reader, layer: Layer) -> Callable[[int, int], Steps]:
        """From the example where a unit is strongest, and its channel, to the text or series with the unit's values."""
        traces, sequence = reader.best_traces(layer.name), cache(reader.sequence)

        def of(example: int, channel: int) -> Steps:
            content, trace = sequence(example) if example >= 0 else None, traces.get(channel)
            known = {} if trace is None or trace[0] != example else {example: trace[1]}
            return Steps({} if content is None else {example: content}, known)

        return of

    def example(self, reader: Reader, index: int) -> Image.Image | None:
        """See `Drawings`."""
        content = reader.sequence(index)
        return None if content is None else sequence_example(content)

    @bounded(bytes=UNPACKED)
    def steps(self, reader: Reader, record: UnitRecord) -> Steps:
        """See `Drawings`."""
        examples = {one.example for ranked in record.exemplars.values() for one in ranked}
        contents = {example: content for example in examples if (content := reader.sequence(example)) is not None}
        unit = Unit(record.layer.name, record.channel)
        with reader.reading() as db:
            least = load_least_for_means(db)
        return Steps(contents, reader.traces(unit), tokens_of(reader, record), reader.step_attributions(unit), least)

    def input_size(self, reader: Reader) -> tuple[int, int]:
        """See `Drawings`."""
        raise StudyError(
            f"'{reader.path}' is a study of {self._rows_of(reader).noun}, which have steps and no height and width",
            "study.reader.inputs() describes its inputs, study.reader.sequence(example) returns one",
        )


BY_KIND: Mapping[KindName, Drawings] = {"pictures": Pictures(), "text": Sequences(TEXTS), "series": Sequences(SERIES)}


def attributed(reader: Reader, record: UnitRecord, by: str, method: str | None = None) -> tuple[Attributed, ...]:
    """What in the exemplars `by` "max" or "mean" excited the unit, strongest first, by one method or all there are."""
    unit, drawings = Unit(record.layer.name, record.channel), drawings_of(reader)
    example = cache(lambda index: drawings.example(reader, index))
    checks = {one.method: one for one in reader.checks(unit.layer)}
    exemplars = {one.rank: one for one in record.exemplars[by]}
    found = []
    for one in reader.attributions(unit):
        stored = reader.stored_picture(one.picture)
        if one.ranking == by and method in (None, one.method) and one.rank in exemplars and stored is not None:
            exemplar = exemplars[one.rank]
            whole, check = example(exemplar.example), checks.get(one.method)
            picture = decode(stored[1])
            if reader.input_shape()[0] != len(picture.getbands()):  # WebP has three channels for one
                picture = picture.convert("L")
            levelled = stored[0] == "image/webp"
            found.append(Attributed(one, exemplar, picture, whole, drawings.input_size(reader), check, levelled))
    return tuple(found)


def attributed_steps(reader: Reader, record: UnitRecord, by: str, method: str | None = None) -> tuple[AttributedSteps, ...]:
    """The same of a unit on texts or series."""
    unit = Unit(record.layer.name, record.channel)
    checks, exemplars = {one.method: one for one in reader.checks(unit.layer)}, {one.rank: one for one in record.exemplars[by]}
    sequence, traces = cache(reader.sequence), reader.traces(unit)
    return tuple(
        AttributedSteps(one, exemplar, sequence(exemplar.example), checks.get(one.method), traces.get(exemplar.example))
        for one in reader.step_attributions(unit)
        if one.ranking == by and method in (None, one.method) and (exemplar := exemplars.get(one.rank)) is not None
    )


def synthesized(reader: Reader, record: UnitRecord, preset: str | None = None) -> tuple[Synthesized, ...]:
    """Pictures made to excite the unit, by one preset or all there are."""
    found = []
    for one in reader.syntheses(Unit(record.layer.name, record.channel)):
        stored = reader.stored_picture(one.picture)
        if preset in (None, one.preset) and stored is not None:
            found.append(Synthesized(one, decode(stored[1], alpha=True)))
    return tuple(found)


def study_figure(reader: Reader) -> Figure:
    """The layers over depth; raises `MissingExtraError` without matplotlib."""
    from torchlurk.plotting import plot_study

    with reader.reading():
        scanned = _scanned(reader)
        layers = [_facts(reader, layer) for layer in scanned]
        words = _study_facts(reader, scanned)
    return plot_study(reader.path.name, "  ·  ".join(words), layers)


LAYERS_SHOWN = 12
"""At most so many layers are on the overview of a study."""


def study_overview(reader: Reader) -> Image.Image:
    """A few units that stand out of up to twelve layers, spread over the depth; raises `StudyError` where none is scanned."""
    with reader.reading():
        scanned = _scanned(reader)
        layers = [layer for layer in scanned if not layer.gate] or scanned
        last, shown = len(layers) - 1, min(len(layers), LAYERS_SHOWN)
        chosen = [layers[round(place * last / max(shown - 1, 1))] for place in range(shown)]
        facts = [*_study_facts(reader, scanned), *([f"{shown} layers shown"] if shown < len(scanned) else [])]
        drawings = drawings_of(reader)
        return study_sheet(reader.path.name, facts, [(layer, drawings.some_units(reader, layer)) for layer in chosen])


def _scanned(reader: Reader) -> list[Layer]:
    """The layers that have been scanned; raises `StudyError` where there are none."""
    counts = unit_counts(reader)
    layers = [layer for index, layer in enumerate(reader.layers()) if index in counts]
    if not layers:
        unit_table(reader)  # says why there are none
    return layers


def _study_facts(reader: Reader, layers: Sequence[Layer]) -> list[str]:
    run, units = reader.runs().get("scan"), sum(layer.channels for layer in layers)
    of = [run.model, run.data] if run else []
    return [*of, f"{len(layers):,} layers", f"{units:,} units", f"{reader.example_count():,} examples"]


def _facts(reader: Reader, layer: Layer) -> LayerFacts:
    from torchlurk.plotting import LayerFacts

    units, scores = unit_table(reader, [escape(layer.name)]), reader.track_scores(layer.name)
    return LayerFacts(layer, units, scores, telling_selectivity(reader, layer.name))


def _dead(reader: Reader, layer: Layer) -> list[int]:
    return [int(channel) for channel in np.flatnonzero(reader.statistics(layer.name).dead())]
