"""What programs get of a unit as lists and tuples, each with a table of its records: a row an exemplar, a class, a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torchlurk.frames import Column, Framed, Table, floats, texts
from torchlurk.records import Attribution, Exemplar, StepAttribution
from torchlurk.rendering.attributions import Attributed
from torchlurk.rendering.step_attributions import AttributedSteps
from torchlurk.rendering.syntheses import Synthesized

BOX = ("x0", "y0", "x1", "y1")


class Exemplars(tuple[Exemplar, ...], Framed):
    """Examples of a unit, in order."""

    def table(self) -> Table:
        """A row an exemplar; a position as numbers with commas between, as it has one for each axis of the layer."""
        columns = {
            "rank": _whole([one.rank for one in self]),
            "example": _whole([one.example for one in self]),
            "path": texts(one.path for one in self),
            "class": texts(one.class_label for one in self),
            "score": floats(one.score for one in self),
            "position": texts(",".join(map(str, one.position)) if one.position else None for one in self),
            **_spans(BOX, [one.box for one in self]),
            **_spans(("reach_start", "reach_stop"), [one.reach for one in self]),
            "recall": floats(one.recall for one in self),
        }
        if any(one.token is not None for one in self):
            around = [one.context or (None, None) for one in self]
            columns |= {"token": texts(one.token for one in self)}
            columns |= {"before": texts(before for before, _ in around), "after": texts(after for _, after in around)}
        for steps in sorted({steps for one in self for steps, _ in one.last_steps}):
            columns[f"last_steps_{steps}"] = floats(dict(one.last_steps).get(steps) for one in self)
        return Table(columns, len(self))


class ClassMeans(list[tuple[str, float]], Framed):
    """Classes and a mean over their examples, highest first."""

    def table(self) -> Table:
        """A row a class."""
        return Table({"class": texts(name for name, _ in self), "value": floats(value for _, value in self)}, len(self))


class Attributions(tuple[Attributed | AttributedSteps, ...], Framed):
    """What in a unit's exemplars excited it, strongest exemplar first."""

    def table(self) -> Table:
        """A row an attribution, with its evidence; the numbers themselves are in `values` of each."""
        records: Sequence[Attribution | StepAttribution] = [one.record for one in self]
        boxes = [one.box if isinstance(one, Attribution) else None for one in records]
        columns = {
            "ranking": texts(one.ranking for one in records),
            "rank": _whole([one.rank for one in records]),
            "example": _whole([one.exemplar.example for one in self]),
            "path": texts(one.exemplar.path for one in self),
            "score": floats(one.exemplar.score for one in self),
            "method": texts(one.method for one in records),
            **_spans(BOX, boxes),
            "kept": floats(one.kept for one in records),
            "conserved": floats(one.conserved if isinstance(one, StepAttribution) else None for one in records),
            "check": floats(None if one.check is None else one.check.similarity for one in self),
            "check_marked": Column("bool", [one.check and one.check.marked for one in self], nullable=True),
        }
        return Table(columns, len(self))


class Syntheses(tuple[Synthesized, ...], Framed):
    """Pictures made to excite a unit."""

    def table(self) -> Table:
        """A row a picture, with its evidence."""
        records = [one.record for one in self]
        columns = {
            "preset": texts(one.preset for one in records),
            "activation": floats(one.activation for one in records),
            "ratio": floats(one.ratio for one in records),
            "percentile": floats(one.percentile for one in records),
            "robustness": floats(one.robustness for one in records),
            "marked": texts(one.marked for one in records),
            "seed": _whole([one.seed for one in records]),
            "steps": _whole([one.steps for one in records]),
        }
        return Table(columns, len(self))


def _whole(values: Sequence[int | None], *, nullable: bool = False) -> Column:
    return Column("int", values, nullable=nullable)


def _spans(names: Sequence[str], found: Sequence[tuple[int, ...] | None]) -> dict[str, Column]:
    """A column for each side; none where no record has any."""
    if not any(found):
        return {}
    sides: dict[str, list[Any]] = {name: [one and one[place] for one in found] for place, name in enumerate(names)}
    return {name: _whole(values, nullable=True) for name, values in sides.items()}
