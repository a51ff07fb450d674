"""Attributions on texts and series as pictures: as rows of a contact sheet, and one alone in a notebook.

What speaks for the unit is blue, what speaks against it orange, as everywhere in sheets and in the app.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float32
from PIL import Image, ImageDraw

from torchlurk.input_records import SeriesExample, TextExample
from torchlurk.records import Exemplar, MethodCheck, StepAttribution
from torchlurk.rendering import labels
from torchlurk.rendering.colour import LIGHT, Theme
from torchlurk.rendering.contact_sheet import CAPTION, CAPTION_LINE, GAP, stacked
from torchlurk.rendering.encoding import png
from torchlurk.rendering.marked_text import cell_width, draw_lines, excerpt
from torchlurk.rendering.marks import Marks, marks_of
from torchlurk.rendering.series_lines import draw_series, names_width, ranges_of
from torchlurk.rendering.step_words import evidence_of, last_steps_words
from torchlurk.rendering.steps import Content, separator
from torchlurk.rendering.typography import fitted, write

ACROSS, LINES, CHANNEL = 768, 6, 32
"""Of a single attribution in a notebook."""


def scale_of_numbers(found: Sequence[StepAttribution]) -> float:
    """The largest magnitude among the numbers; 1 where all are zero or there are none."""
    largest = (float(np.abs(one.values[np.isfinite(one.values)]).max(initial=0.0)) for one in found)
    return max(largest, default=0.0) or 1.0


def attributed_marks(marks: Marks, content: Content, one: StepAttribution) -> Marks:
    """An exemplar's marks with the attribution's numbers for values, of a series none: they are on its lines.

    Burn-in, too: what excited the unit may lie there.
    """
    marks = replace(marks, counted=(0, content.steps))
    values = one.values[:, 0] if isinstance(content, TextExample) else np.full(content.steps, np.nan, np.float32)
    return replace(marks, values=values if len(values) == content.steps else np.full(content.steps, np.nan, np.float32))


@dataclass(frozen=True, slots=True)
class AttributedSteps:
    """What in one exemplar that is a text or series excited a unit, by a method, with the evidence that there is.

    `content` is None where the study does not hold the example. `check` is of the layer and method. `trace` is the unit's
    values there: it tells how many positions the layer has.
    """

    record: StepAttribution
    exemplar: Exemplar
    content: Content | None
    check: MethodCheck | None = None
    trace: Float32[np.ndarray, " time"] | None = None

    @property
    def method(self) -> str:
        """The method's name."""
        return self.record.method

    @property
    def values(self) -> Float32[np.ndarray, "time channel"]:
        """The numbers; of a text one a token."""
        return self.record.values

    def evidence(self) -> list[str]:
        """In words: how strong the exemplar is, what parts of it alone excite, and the check."""
        said = [f"activation {labels.number(self.exemplar.score)}", *evidence_of(self.record, self.exemplar)]
        said += [words] if self.record.ranking == "max" and (words := last_steps_words(self.exemplar)) else []
        said += [labels.checked(self.check, "input")] if self.check is not None else []
        return list(dict.fromkeys(said))  # what is said of a faint exemplar is said by both

    def picture(self, *, theme: Theme = LIGHT) -> Image.Image:
        """The text or series, coloured by the numbers, with a line of evidence below."""
        drawn = [] if self.content is None else [self._drawn(self.content, theme)]
        line = Image.new("RGB", (ACROSS, CAPTION_LINE), theme.ground)
        words = fitted("  ·  ".join([self.method, *self.evidence()]), CAPTION, ACROSS)
        write(ImageDraw.Draw(line), (0, CAPTION_LINE - 6), words, CAPTION, theme.ink)
        return stacked([*drawn, line], GAP, theme)

    def _drawn(self, content: Content, theme: Theme) -> Image.Image:
        marks = attributed_marks(marks_of(self.exemplar, content, self.trace), content, self.record)
        scale = scale_of_numbers([self.record])
        if isinstance(content, SeriesExample):
            left = names_width([content], ACROSS)
            return draw_series(
                content, marks, ranges_of([content]), scale, ACROSS, CHANNEL, left=left, theme=theme, tints=self.values
            )
        columns = ACROSS // cell_width()
        return draw_lines(
            excerpt(content, marks.centre, columns, LINES, apart=separator([content])), columns, marks, scale, theme
        )

    def _repr_png_(self) -> bytes:
        return png(self.picture())
