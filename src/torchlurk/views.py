"""Layers and units of a study as programs and notebooks have them: what they are in numbers and pictures. No torch here."""

from __future__ import annotations

import glob
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float32, Float64
from PIL import Image

from torchlurk.drawings import attributed, attributed_steps, drawings_of, synthesized
from torchlurk.errors import ChannelError, OptionError, UnitError
from torchlurk.frames import Table
from torchlurk.listings import Attributions, ClassMeans, Exemplars, Syntheses
from torchlurk.option_values import as_declared, fitted, shown
from torchlurk.records import Layer, Remark, UnitRecord
from torchlurk.rendering.attributions import Rendering
from torchlurk.rendering.encoding import png
from torchlurk.rendering.labels import top_classes
from torchlurk.rendering.text import Steps
from torchlurk.resources.documents import unit_document, with_values
from torchlurk.resources.telling import telling
from torchlurk.resources.token_documents import UnitTokens, tokens_document, tokens_of
from torchlurk.resources.unit_table import unit_table
from torchlurk.store.reading import Reader
from torchlurk.time_records import KeptSteps
from torchlurk.track_records import Known
from torchlurk.units import Unit

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class UnitView:
    """One unit of a study: what it responds to, in numbers and pictures."""

    def __init__(self, reader: Reader, record: UnitRecord) -> None:
        self._reader = reader
        self.record = telling(record)

    @property
    def address(self) -> str:
        """The unit written `layer:channel`."""
        return str(Unit(self.record.layer.name, self.record.channel))

    @property
    def statistics(self) -> dict[str, float]:
        """Mean, std, max, min, fraction_active, selectivity and those that the layer has besides; NaN where undefined."""
        return dict(self.record.statistics)

    @property
    def remark(self) -> Remark:
        """What people have noted of the unit: `name`, `text`, `starred` and when it was `written`; empty where nothing is."""
        unit = Unit(self.record.layer.name, self.record.channel)
        return self._reader.remarks(unit.layer).get(unit, Remark())

    @property
    def dead(self) -> bool:
        """Whether the unit was never above zero."""
        return self.record.dead

    @property
    def sample(self) -> Float32[np.ndarray, " example"]:
        """The unit's per-example max on the study's random sample of examples."""
        return self.record.sample

    @property
    def knows(self) -> tuple[Known, ...]:
        """How well the unit tells each track of a text: `track`, `score`, `strength`, and how well the best unit of its layer
        tells it `untrained`; empty where that was not measured.
        """
        return self.record.knows

    @as_declared
    def exemplars(self, by: str = "max") -> Exemplars:
        """The strongest examples `by` "max" or "mean", strongest first; or by "quantile" of the max, lowest first. None of a
        unit that has one value everywhere.
        """
        if by not in self.record.exemplars:
            raise UnitError(f"no exemplars by '{by}'", f"available: {', '.join(self.record.exemplars)}")
        return Exemplars(self.record.exemplars[by])

    @as_declared
    def classes(self, by: str = "max", top: int | None = None) -> ClassMeans:
        """Classes and the means over their examples of the per-example "max" or "mean", highest first, `top` of them or all."""
        if top is not None and top < 1:
            raise OptionError(f"top is {top}", "use a positive number, or leave it out for all")
        if by not in self.record.classes:
            raise UnitError(f"no class means by '{by}'", f"available: {', '.join(self.record.classes)}")
        values = self.record.classes[by]
        found = top_classes(values, self._reader.classes(), most=top or len(values))
        return ClassMeans((one.label, value) for one, value in found)

    def tokens(self) -> UnitTokens:
        """The tokens at which the unit is highest and lowest, as far as it has them: by its mean where they stand ("state"), by
        how much it changes there in the mean ("change"), by how much it raises their scores as the next one ("next").
        """
        return tokens_of(self._reader, self.record)

    def steps(self) -> Steps | None:
        """The texts or series of the unit's exemplars and its values at each of their steps; None for pictures."""
        return drawings_of(self._reader).steps(self._reader, self.record)

    def to_json(self) -> dict[str, Any]:
        """The document that `torchlurk show STUDY UNIT --json` prints."""
        reader, unit = self._reader, Unit(self.record.layer.name, self.record.channel)
        made = reader.attributions(unit), reader.syntheses(unit), reader.findings(unit)
        document = unit_document(self.record, self._reader.classes(), *made, self.remark)
        stepped = [with_values(one) for one in reader.step_attributions(unit)]
        return document | tokens_document(reader, self.record) | ({"attributions": stepped} if stepped else {})

    @as_declared
    def attributions(self, by: str = "max", method: str | None = None) -> Attributions:
        """What in the exemplars `by` "max" or "mean" excited the unit, strongest first, by one method or all there are.

        None where the stage attribute has not run. A notebook draws each: a picture beside its image and box, a text or series
        coloured by its numbers.
        """
        self.exemplars(by)  # refuses a kind that there is not
        given = self._reader, self.record, by, method
        pictures = self._reader.inputs().kind == "pictures"
        stored = self._reader.attributions if pictures else self._reader.step_attributions
        known = dict.fromkeys(one.method for one in stored(Unit(self.record.layer.name, self.record.channel)))
        _check_made("attributions", self.address, method, known, "attribute")
        return Attributions(attributed(*given) if pictures else attributed_steps(*given))

    @as_declared
    def syntheses(self, preset: str | None = None) -> Syntheses:
        """Pictures made to excite the unit, by one preset or all there are; none where the stage synthesize has not run."""
        known = dict.fromkeys(one.preset for one in self._reader.syntheses(Unit.of(self)))
        _check_made("syntheses", self.address, preset, known, "synthesize")
        return Syntheses(synthesized(self._reader, self.record, preset))

    @as_declared
    def picture(self, rendering: Rendering = "signed") -> Image.Image:
        """The unit's contact sheet: exemplars with boxes and attributions, or with the unit's value at each step; syntheses,
        class bars, responses, statistics.
        """
        return drawings_of(self._reader).unit(self._reader, self.record, rendering)

    def plot(self) -> Figure:
        """The same as a matplotlib figure; raises `MissingExtraError` without matplotlib."""
        return drawings_of(self._reader).figure(self._reader, self.record)

    def _repr_png_(self) -> bytes:
        return png(self.picture())

    def __repr__(self) -> str:
        return f"<Unit {self.address}>"


class LayerView(Sequence[Any]):
    """One layer of a study, as a sequence of its units (`UnitView`).

    Not declared as such: what checks types at run time would read a unit from the file to see.
    """

    def __init__(self, reader: Reader, record: Layer) -> None:
        self._reader = reader
        self.record = record
        self.name = record.name

    def __len__(self) -> int:
        return self.record.channels

    def __getitem__(self, channel: Any) -> Any:
        """The unit of that channel, counted from the end where it is negative; a slice gives a list. Raises `ChannelError`."""
        if isinstance(channel, slice):
            return [self[index] for index in range(*channel.indices(len(self)))]
        return UnitView(self._reader, self._reader.unit(Unit(self.name, self._channel(channel))))

    def __iter__(self) -> Iterator[UnitView]:
        return (self[channel] for channel in range(len(self)))

    def _channel(self, given: object) -> int:
        try:
            wanted: int = fitted("channel", given, int)
            return range(len(self))[wanted]
        except (OptionError, IndexError) as error:
            told = f"layer '{self.name}' has no channel {shown(given)}"
            raise ChannelError(told, f"it has {len(self)}, counted from 0") from error

    @as_declared
    def steps(self, example: int) -> KeptSteps | None:
        """What the units did at each step of an example that counts: `values` (time, unit), of which the first is of position
        `first`, and the `levels` that they are kept in; None where `keep_steps` did not name the layer.
        """
        return self._reader.steps(self.name, example) if example in range(self._reader.example_count()) else None

    @property
    def statistics(self) -> dict[str, Float64[np.ndarray, " unit"]]:
        """Each statistic of every unit of the layer as an array, by name."""
        return self._reader.statistics(self.name).by_name()

    def units(self) -> Table:
        """The layer's units as a table, a row a unit, as `Study.units` has all."""
        return unit_table(self._reader, [glob.escape(self.name)])

    def picture(self) -> Image.Image:
        """An overview of the layer: the box of each unit's strongest example, or its strongest step in its text or series."""
        return drawings_of(self._reader).layer(self._reader, self.record)

    def plot(self) -> Figure:
        """The units that stand out, and how all of the layer's units are spread, as a matplotlib figure; raises
        `MissingExtraError` without matplotlib.
        """
        return drawings_of(self._reader).layer_figure(self._reader, self.record)

    def _repr_png_(self) -> bytes:
        return png(self.picture())

    def __repr__(self) -> str:
        shape = "×".join(map(str, self.record.shape)) or "vector"
        return f"<Layer {self.name}: {self.record.type}, {len(self)} units, {shape}>"


def _check_made(what: str, unit: str, by: str | None, known: Collection[str], stage: str) -> None:
    """Raises `UnitError` where a unit has none by that method or preset."""
    if by is not None and by not in known:
        there = f"available: {', '.join(known)}" if known else f"run the stage {stage} with it"
        raise UnitError(f"no {what} of {unit} by '{by}'", there)
