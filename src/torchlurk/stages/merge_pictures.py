"""Parts of the stages after the scan: what they made of their units is added to the study that they went on from.

What is said of a layer as a whole needs the network. The units that it rests on are all made in one part, which says it;
merging takes it over where it rests on the same units of the whole, and otherwise leaves it out, with a note.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from torchlurk.errors import MismatchError, StudyError
from torchlurk.jobs import Progress
from torchlurk.options import AttributeOptions, ScanOptions, UnitOptions
from torchlurk.records import Layer, MethodCheck
from torchlurk.stage_table import STAGES, Settings
from torchlurk.stages.attribute import CHANGED_TOLD, note_of_changed, undefined
from torchlurk.stages.conclusions import FIELD_METHOD, Rows, resting_on
from torchlurk.stages.mismatch import differences
from torchlurk.stages.parts import AGAIN, Part
from torchlurk.stages.stage import now, units_asked
from torchlurk.store import queries
from torchlurk.store.merging import copy_study, exemplars_up_to, new_study
from torchlurk.store.notes import begun
from torchlurk.store.reading import Reader
from torchlurk.store.writing import Writer


def merge_pictures(parts: Sequence[Part], out: Path, progress: Progress) -> None:
    """Adds what the parts made to the study at `out`, or to a copy of what they went on from where there is none."""
    for part in parts[1:]:
        _check_scan(parts[0], part.path, part.reader)
    if out.exists():
        with Reader(out) as reader:
            if reader.portion() is not None:
                raise StudyError(f"'{out}' is a part itself", "choose another --out")
            _check_scan(parts[0], out, reader)
            _check_runs(parts[0], out, reader)
        _merge(parts, out, progress)
        return
    with new_study(out) as place:
        copy_study(parts[0].reader, place)
        _merge(parts, place, progress)


def _check_scan(part: Part, path: Path, reader: Reader) -> None:
    """Raises `MismatchError` where a study does not hold the scan that the part went on from."""
    if reader.runs().get("scan") != part.reader.runs()["scan"]:
        raise MismatchError(f"'{path}' is not the scan that '{part.path}' continues", "give all parts the same --from")


def _check_runs(part: Part, out: Path, reader: Reader) -> None:
    for stage in part.portion.stages:
        there, run = reader.runs().get(stage), part.reader.runs()[stage]
        if there is not None and (found := differences(there, run, (f"'{out}':", f"'{part.path}':"))):
            raise MismatchError(f"the stage {stage} differs in {'; '.join(found)}", AGAIN)


def _merge(parts: Sequence[Part], place: Path, progress: Progress) -> None:
    stages = parts[0].portion.stages
    with Writer(place) as writer, Reader(place) as reader:
        runs = writer.runs()
        for stage in stages:
            there = runs.get(stage)
            run = replace(parts[0].reader.runs()[stage], finished=None)
            (writer.reopen if there is not None and there.finished else writer.begin)(run)
        progress.begin("merge", len(parts))
        for part in parts:
            with writer.transaction():
                for stage in stages:
                    STAGES[stage].merge(writer, part.reader, stage)
                _take_notes(writer, part)
            progress.advance(1)
        progress.end()
        with writer.transaction():
            if "attribute" in stages:
                _Layers(parts, reader, writer).conclude()
            writer.write_portion(None)
            for stage in stages:
                writer.finish(stage, now())


def _take_notes(writer: Writer, part: Part) -> None:
    for kind, text in part.reader.notes():
        if kind != "attribute" or CHANGED_TOLD not in text:
            writer.add_note(kind, text)


class _Layers:
    """What is said of each layer, from the rows of all parts."""

    def __init__(self, parts: Sequence[Part], reader: Reader, writer: Writer) -> None:
        self._parts, self._reader, self._writer = parts, reader, writer
        asked = parts[0].portion.asked
        self._seed = reader.runs()["scan"].seed
        self._methods, self._most = asked["methods"], int(asked["exemplars"])
        self._layers = reader.layers()
        chosen = Settings(
            scan=ScanOptions(layers=tuple(asked["layers"])),
            units=UnitOptions(tuple(asked["units"])),
            attribute=AttributeOptions(tuple(self._methods), self._most),
        )
        self._asked = units_asked(chosen, self._layers)
        self._undefined = begun(text for kind, text in reader.notes() if kind == "attribute")

    def conclude(self) -> None:
        """Writes all of it."""
        for layer in self._layers:
            rows = self._merged_rows(layer)
            if rows:
                self._checks(layer, rows)
            if layer.name in self._asked:
                self._note_changed(layer, rows)

    def _merged_rows(self, layer: Layer) -> Rows:
        found: dict[str, frozenset[tuple[int, int]]] = dict(queries.attributed_ranks(self._reader, layer.name))
        for part in self._parts:
            for method, rows in queries.attributed_ranks(part.reader, layer.name).items():
                found[method] = found.get(method, frozenset()) | rows
        return found

    def _checks(self, layer: Layer, rows: Rows) -> None:
        left_out = []
        for method, all_rows in rows.items():
            part = self._saying(layer, method, all_rows, strongest_alone=True)
            if part is None:
                left_out.append(f"the check of {method}")
            self._writer.replace_check(layer.name, method, _check(part, layer, method))
        if FIELD_METHOD in rows:
            part = self._saying(layer, FIELD_METHOD, rows[FIELD_METHOD], strongest_alone=False)
            if part is None:
                left_out.append("the effective field")
            self._writer.replace_effective_field(layer.name, None if part is None else part.reader.effective_field(layer.name))
        if left_out:
            told = (
                f"layer {layer.name}: not known: {', '.join(left_out)}; the units that it rests on were made in several parts"
            )
            self._writer.add_note("merge", told)

    def _saying(self, layer: Layer, method: str, rows: frozenset[tuple[int, int]], *, strongest_alone: bool) -> Part | None:
        """The part whose conclusion rests on the exemplars on which that of the whole would rest."""

        def basis(some: frozenset[tuple[int, int]]) -> list[tuple[int, int]]:
            return [row for row in resting_on(self._seed, layer.name, some) if row[1] == 0 or not strongest_alone]

        for part in self._parts:
            own = queries.attributed_ranks(part.reader, layer.name).get(method, frozenset())
            if basis(own) == basis(rows):
                return part
        return None

    def _note_changed(self, layer: Layer, rows: Rows) -> None:
        """Says how many exemplars by max have no attribution although their unit was looked at."""
        expected: dict[int, int] = {}
        for channel, rank in sorted(frozenset().union(*rows.values())):
            expected[channel] = rank + 1
        if any(undefined(layer, method) not in self._undefined for method in self._methods):
            kept = exemplars_up_to(self._reader, layer.name, self._most)
            for channel in self._asked[layer.name]:
                expected[channel] = max(expected.get(channel, 0), kept.get(channel, 0))
        notes = [text for kind, text in self._reader.notes() if kind == "attribute"]
        beginning = note_of_changed(layer.name)
        if any(text.startswith(beginning) and CHANGED_TOLD not in text for text in notes):
            return  # the layer could not be looked at, and the note says why
        changed = sum(expected.values()) - len(frozenset().union(*rows.values()))
        self._writer.replace_note("attribute", beginning, self._told(beginning, changed) if changed else None)

    def _told(self, beginning: str, changed: int) -> str:
        """The note, with the reason that a part found."""
        reasons = {
            text.removeprefix(beginning).partition(CHANGED_TOLD)[2]
            for part in self._parts
            for kind, text in part.reader.notes()
            if kind == "attribute" and text.startswith(beginning) and CHANGED_TOLD in text
        }
        return f"{beginning}{changed} {CHANGED_TOLD}{min(reasons, default='; they have no attributions')}"


def _check(part: Part | None, layer: Layer, method: str) -> MethodCheck | None:
    if part is None:
        return None
    return next((one for one in part.reader.checks(layer.name) if one.method == method), None)
