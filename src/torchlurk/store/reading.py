"""Reading a study, also one from a stranger, also while it is being written. Nothing is ever created or changed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64, Shaped

from torchlurk.errors import StudyError
from torchlurk.input_records import InputDescription, InputStatistics, SeriesExample, TextExample
from torchlurk.jobs import Shard
from torchlurk.records import (
    Attribution,
    Class,
    Example,
    Graph,
    Layer,
    MethodCheck,
    Preprocessing,
    Ranking,
    Remark,
    Skip,
    StepAttribution,
    Synthesis,
    UnitRecord,
    UnitStatistics,
)
from torchlurk.run_records import Portion, Run, StageCount
from torchlurk.store import columns, rows
from torchlurk.store.columns import DamageError
from torchlurk.store.exemplars import load_best, load_exemplars
from torchlurk.store.findings import load_findings
from torchlurk.store.kept_steps import load_steps
from torchlurk.store.kept_tokens import load_tokens
from torchlurk.store.lookups import find_layer, find_unit
from torchlurk.store.portions import load_batch_size, load_portion
from torchlurk.store.progress import load_progress
from torchlurk.store.remarks import load_remarks
from torchlurk.store.results import (
    load_attributions,
    load_checks,
    load_counts,
    load_effective_field,
    load_kernels,
    load_picture,
    load_syntheses,
)
from torchlurk.store.scans import load_matrices
from torchlurk.store.schema import MEDIA_TYPES
from torchlurk.store.sequences import (
    load_best_positions,
    load_best_traces,
    load_description,
    load_sequence,
    load_traces,
)
from torchlurk.store.snapshots import Snapshots
from torchlurk.store.statistics import SELECTED, of_layer, of_unit
from torchlurk.store.step_attributions import load_step_attributions
from torchlurk.store.tracks import known_by, load_track_scores, load_tracks
from torchlurk.time_records import KeptSteps
from torchlurk.track_records import Track, TrackScores
from torchlurk.units import Unit


class Reader(Snapshots):
    """A study opened for reading; raises `StudyError` where the file is not there, no study, damaged or too new.

    Each call sees one state of the study. Calls from several threads run side by side. Without `remarks` it is read as if
    nobody had noted anything.
    """

    def __init__(self, path: Path, *, remarks: bool = True) -> None:
        self._tells_remarks = remarks
        super().__init__(path)

    def runs(self) -> dict[str, Run]:
        """The runs of all stages begun, by stage."""
        with self.reading() as db:
            return rows.runs(db)

    def portion(self) -> Portion | None:
        """What the study is a part of; None where it is whole."""
        with self.reading() as db:
            return load_portion(db)

    def batch_size(self) -> int | None:
        """How many examples share a pass of the scan; None where that was not recorded."""
        with self.reading() as db:
            return load_batch_size(db)

    def progress(self, stage: str) -> tuple[list[Shard], dict[str, Shaped[np.ndarray, ...]]] | None:
        """The shards of an unfinished stage that are done, in order, and the state after them; None where none was saved."""
        with self.reading() as db:
            return load_progress(db, stage)

    def layers(self) -> tuple[Layer, ...]:
        """All layers, in order of execution."""
        with self.reading() as db:
            return rows.layers(db)

    def graph(self) -> Graph:
        """What feeds what."""
        with self.reading() as db:
            return rows.graph(db)

    def preprocessing(self) -> Preprocessing:
        """How pictures became inputs; raises `StudyError` where the model is not written yet."""
        with self.reading() as db:
            return rows.to_preprocessing(self._meta(db, "preprocessing"))

    def input_shape(self) -> tuple[int, ...]:
        """The shape of the network's input, without the batch; raises `StudyError` where it is not written yet."""
        with self.reading() as db:
            return columns.whole_numbers(self._meta(db, "input_shape"), "meta.input_shape")

    def output_classes(self) -> tuple[int | None, ...] | None:
        """For each output of the network the index of its class; None where they are as the classes are listed."""
        with self.reading() as db:
            found = db.execute("SELECT value FROM meta WHERE key = 'output_classes'").fetchone()
            return (
                None
                if found is None
                else rows.to_output_classes(found[0], db.execute("SELECT count(*) FROM class").fetchone()[0])
            )

    def output_labels(self, outputs: int) -> list[str] | None:
        """What each of so many outputs is called, an unknown one by its number; None where the classes do not tell."""
        with self.reading():
            classes, order = self.classes(), self.output_classes()
        if order is not None and len(order) == outputs:
            return [str(output) if index is None else classes[index].label for output, index in enumerate(order)]
        return [one.label for one in classes] if len(classes) == outputs else None

    def inputs(self) -> InputDescription:
        """What the network's inputs are."""
        with self.reading() as db:
            return load_description(db) or InputDescription("pictures", "float32")

    def sequence(self, example: int) -> TextExample | SeriesExample | None:
        """An example that is a text or a series; None where it is not stored."""
        with self.reading() as db:
            return load_sequence(db, example)

    def tokens(self, example: int) -> Int64[np.ndarray, " time"] | None:
        """The ids of all tokens of a text, burn-in included; None where they are not stored."""
        with self.reading() as db:
            return load_tokens(db, example)

    def steps(self, layer: str, example: int) -> KeptSteps | None:
        """What the units of a layer did at each step of an example that counts; None where that is not kept."""
        with self.reading() as db:
            return load_steps(db, self._layer(db, layer)[0], example)

    def traces(self, unit: Unit) -> dict[int, Float32[np.ndarray, " time"]]:
        """What a unit did at each step of its exemplars, by example; empty for pictures, and of layers with steps `apart`."""
        with self.reading() as db:
            id, found = self._layer(db, unit.layer)
            return {} if found.apart else load_traces(db, id, unit.channel)

    def tracks(self) -> tuple[Track, ...]:
        """The tracks that units were measured against."""
        with self.reading() as db:
            return tuple(load_tracks(db).values())

    def track_scores(self, layer: str) -> tuple[TrackScores, ...]:
        """How well each unit of a layer tells each track; none where that was not measured."""
        with self.reading() as db:
            id, found = self._layer(db, layer)
            return load_track_scores(db, id, found.channels)

    def best_traces(self, layer: str) -> dict[int, tuple[int, Float32[np.ndarray, " time"]]]:
        """By channel, the strongest example of each unit of a layer, and what the unit did at each of its steps."""
        with self.reading() as db:
            id, found = self._layer(db, layer)
            return {} if found.apart else load_best_traces(db, id)

    def best_positions(self, layer: str) -> dict[int, int]:
        """By channel, how many positions each unit of a layer has on its strongest example, as far as that is stored."""
        with self.reading() as db:
            return load_best_positions(db, self._layer(db, layer)[0])

    def _meta(self, db: sqlite3.Connection, key: str) -> Any:
        found = db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        if found is None:
            raise StudyError(f"'{self.path}' does not contain its model yet", "continue the analysis")
        return found[0]

    def classes(self) -> tuple[Class, ...]:
        """All classes, by index."""
        with self.reading() as db:
            found = db.execute("SELECT id, name, label FROM class ORDER BY id")
            return tuple(
                Class(
                    columns.whole(id, "class.id", least=number, below=number + 1),  # numbered from 0, as profiles have them
                    columns.text(name, "class.name"),
                    columns.text(label, "class.label"),
                )
                for number, (id, name, label) in enumerate(found)
            )

    def examples(self, indices: Iterable[int]) -> tuple[Example, ...]:
        """The examples with these indices, in the same order; raises `StudyError` for one that the study does not have."""
        with self.reading() as db:
            return tuple(self._example(db, int(index)) for index in indices)

    def _example(self, db: sqlite3.Connection, index: int) -> Example:
        found = db.execute("SELECT path, class FROM example WHERE id = ?", (index,)).fetchone()
        if found is None:
            raise StudyError(f"'{self.path}' has no example {index}", "examples are numbered from 0")
        path, class_index = found
        known = None if class_index is None else columns.whole(class_index, "example.class")
        return Example(index, columns.text(path, "example.path"), known)

    def example_count(self) -> int:
        """How many examples the data has."""
        with self.reading() as db:
            return _count(db, "example")

    def skips(self) -> tuple[Skip, ...]:
        """What was passed over in the data, in the order in which it was met."""
        with self.reading() as db:
            found = db.execute("SELECT path, reason FROM skip ORDER BY id")
            return tuple(Skip(columns.text(path, "skip.path"), columns.text(reason, "skip.reason")) for path, reason in found)

    def notes(self) -> tuple[tuple[str, str], ...]:
        """What a reader of the results should know, as (kind, text)."""
        with self.reading() as db:
            found = db.execute("SELECT kind, text FROM note ORDER BY id")
            return tuple((columns.text(kind, "note.kind"), columns.text(text, "note.text")) for kind, text in found)

    def remarks(self, layer: str | None = None) -> dict[Unit, Remark]:
        """What people have noted of units, of one layer or of all: in the order of execution, those of layers that the study
        no longer has last.
        """
        with self.reading() as db:
            return load_remarks(db, layer) if self._tells_remarks else {}

    def unit_named(self, unit: Unit) -> Unit:
        """The unit that an address means, by its layer's own name; raises `UnitError` where there is none, but for one of which
        something is noted.
        """
        with self.reading() as db:
            return unit if unit in self.remarks(unit.layer) else Unit(find_unit(db, unit, self.path)[1].name, unit.channel)

    def unit(self, unit: Unit) -> UnitRecord:
        """Everything known of a unit; raises `UnitError` where there is no such unit, `StudyError` where its layer is not
        scanned.
        """
        with self.reading() as db:
            id, layer = find_unit(db, unit, self.path)
            where = (id, unit.channel)
            values = of_unit(db, *where, layer.channels)
            if values is None:
                raise self._not_scanned(db, layer.name)
            classes, sample = _count(db, "class"), _count(db, "sample")
            profile = db.execute("SELECT max, mean FROM class_profile WHERE layer = ? AND channel = ?", where).fetchone()
            response = db.execute("SELECT sample FROM response WHERE layer = ? AND channel = ?", where).fetchone()
            maximum, mean = profile or (None, None)
            return UnitRecord(
                layer=layer,
                channel=unit.channel,
                statistics=values,
                exemplars=load_exemplars(db, where, layer, values),
                classes={
                    "max": columns.narrow(maximum, classes, "class_profile.max"),
                    "mean": columns.narrow(mean, classes, "class_profile.mean"),
                },
                sample=columns.narrow(response and response[0], sample, "response.sample"),
                knows=known_by(load_track_scores(db, id, layer.channels), unit.channel),
            )

    def _layer(self, db: sqlite3.Connection, name: str) -> tuple[int, Layer]:
        return find_layer(db, name, self.path)

    def _not_scanned(self, db: sqlite3.Connection, layer: str) -> StudyError:
        scan = rows.runs(db).get("scan")
        if scan is not None and scan.finished is None:
            return StudyError(f"the scan of '{self.path}' is not finished for layer '{layer}'", "continue the analysis")
        return StudyError(f"layer '{layer}' was not scanned in '{self.path}'", "scan it into another study")

    def statistics(self, layer: str) -> UnitStatistics:
        """The statistics of all units of a layer; raises as `unit` does."""
        with self.reading() as db:
            found = self._of_layer(db, layer, f"SELECT channel, {SELECTED} FROM unit")
            return of_layer(db, self._layer(db, layer)[0], [row[1:] for row in found])

    def best(self, layer: str) -> Ranking:
        """For each unit of a layer its one strongest example by max, with position and box; raises as `unit` does."""
        with self.reading() as db:
            id, found = self._layer(db, layer)
            units = len(self._of_layer(db, layer, "SELECT channel FROM unit"))  # before memory is taken for it
            return load_best(db, id, found, units)

    def class_profiles(self, layer: str) -> tuple[Float32[np.ndarray, "unit class"], Float32[np.ndarray, "unit class"]]:
        """For each unit of a layer and each class, the mean of the per-example max, and of the per-example mean."""
        with self.reading() as db:
            maximum, mean = self._matrices(db, layer, "class_profile", ("max", "mean"), _count(db, "class"))
            return maximum, mean

    def samples(self, layer: str) -> Float32[np.ndarray, "unit example"]:
        """For each unit of a layer its per-example max on the examples of the sample, in their order."""
        with self.reading() as db:
            (sample,) = self._matrices(db, layer, "response", ("sample",), _count(db, "sample"))
            return sample

    def _matrices(
        self, db: sqlite3.Connection, layer: str, table: str, wanted: tuple[str, ...], width: int
    ) -> tuple[Float32[np.ndarray, "unit k"], ...]:
        units = len(self._of_layer(db, layer, f"SELECT channel FROM {table}"))
        return load_matrices(db, self._layer(db, layer)[0], table, wanted, (units, width))

    def _of_layer(self, db: sqlite3.Connection, name: str, query: str) -> list[tuple[Any, ...]]:
        id, layer = self._layer(db, name)
        found = db.execute(f"{query} WHERE layer = ? ORDER BY channel", (id,)).fetchall()
        if not found and layer.channels:
            raise self._not_scanned(db, name)
        if [row[0] for row in found] != list(range(min(layer.channels, len(found) + 1))):
            raise DamageError(f"units of layer '{name}' are missing")
        return found

    def sample_examples(self) -> Int64[np.ndarray, " example"]:
        """The examples of the sample, in the order of `samples`."""
        with self.reading() as db:
            found = db.execute("SELECT example FROM sample ORDER BY position")
            return np.array([columns.whole(example, "sample.example") for (example,) in found], np.int64)

    def picture(self, example: int) -> tuple[str, bytes] | None:
        """An example as the network saw it, as (media type, bytes); None where it is not stored."""
        with self.reading() as db:
            found = db.execute(
                "SELECT media_type, data FROM example_picture JOIN picture ON sha256 = picture WHERE example = ?", (example,)
            ).fetchone()
            if found is None:
                return None
            media_type, data = found
            if not isinstance(data, bytes):
                raise DamageError("picture.data is not a blob")
            return columns.one_of(media_type, MEDIA_TYPES, "picture.media_type"), data

    def stored_picture(self, name: str) -> tuple[str, bytes] | None:
        """A picture by the SHA-256 that records name it by, as (media type, bytes); None where it is not stored."""
        with self.reading() as db:
            return load_picture(db, name)

    def attributions(self, unit: Unit) -> tuple[Attribution, ...]:
        """All attributions of a unit, by ranking, rank and method; raises `UnitError` where there is no such layer."""
        with self.reading() as db:
            return load_attributions(db, self._layer(db, unit.layer)[0], unit.channel)

    def findings(self, unit: Unit) -> dict[str, Any]:
        """What stages from outside the package found of a unit, by stage."""
        with self.reading() as db:
            return load_findings(db, self._layer(db, unit.layer)[0], unit.channel)

    def step_attributions(self, unit: Unit) -> tuple[StepAttribution, ...]:
        """Those of a unit on texts or series, by ranking, rank and method; raises `UnitError` where there is no such layer."""
        with self.reading() as db:
            return load_step_attributions(db, self._layer(db, unit.layer)[0], unit.channel)

    def checks(self, layer: str) -> tuple[MethodCheck, ...]:
        """How the methods did on a layer, by name."""
        with self.reading() as db:
            return load_checks(db, self._layer(db, layer)[0])

    def effective_field(self, layer: str) -> tuple[float, float] | None:
        """Height and width, in input pixels, of where the gradient's mass lies; None where it was not measured."""
        with self.reading() as db:
            return load_effective_field(db, self._layer(db, layer)[0])

    def kernels(self, layer: str) -> Float32[np.ndarray, "unit channel height width"] | None:
        """The weights of a convolution that reads the input directly; None for another layer."""
        with self.reading() as db:
            return load_kernels(db, self._layer(db, layer)[0])

    def syntheses(self, unit: Unit) -> tuple[Synthesis, ...]:
        """All syntheses of a unit, by preset; raises `UnitError` where there is no such layer."""
        with self.reading() as db:
            return load_syntheses(db, self._layer(db, unit.layer)[0], unit.channel)

    def counts(self) -> dict[str, StageCount]:
        """How far each unfinished stage has come."""
        with self.reading() as db:
            return load_counts(db)

    def input_statistics(self) -> InputStatistics | None:
        """Statistics of the network's inputs; None where they are not written."""
        with self.reading() as db:
            found = db.execute("SELECT count, shape, mean, covariance, spectrum FROM input_statistics").fetchone()
            return None if found is None else rows.to_input_statistics(found)


def _count(db: sqlite3.Connection, table: str) -> int:
    return int(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
