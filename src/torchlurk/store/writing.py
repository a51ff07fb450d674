"""The one writer of a study. Each finished piece is one transaction: its records and its done-mark together."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64, Shaped

from torchlurk.errors import ModelError, StudyError
from torchlurk.input_records import InputDescription, InputStatistics, SeriesExample, TextExample
from torchlurk.jobs import Shard
from torchlurk.records import (
    Attribution,
    Class,
    Example,
    Graph,
    Layer,
    LayerScan,
    MethodCheck,
    Preprocessing,
    Skip,
    StepAttribution,
    Synthesis,
)
from torchlurk.run_records import Portion, Run, StageCount
from torchlurk.stage_table import STAGES
from torchlurk.store import columns, rows
from torchlurk.store.columns import DamageError
from torchlurk.store.connections import translated
from torchlurk.store.findings import forget_findings, store_finding
from torchlurk.store.portions import load_batch_size, store_batch_size, store_least_for_means, store_portion
from torchlurk.store.progress import forget_progress, load_progress, store_progress
from torchlurk.store.results import store_attributions, store_check, store_count, store_picture, store_synthesis
from torchlurk.store.scans import store_scan
from torchlurk.store.sequences import store_description, store_sequences, store_streams, store_traces
from torchlurk.store.step_attributions import store_last_steps, store_step_attributions
from torchlurk.store.tracks import store_track_scores, store_tracks
from torchlurk.store.transactions import Transactions
from torchlurk.track_records import Track, TrackScores
from torchlurk.units import Unit


class Writer(Transactions):
    """Creates a study or continues one; raises `StudyError` where another process is writing it or it is no study, and
    `StorageError` where it cannot be written. What a method wrote is there when it returns, and survives the process.

    While it is open others may read. Closing folds everything into one plain file. Methods may be called from any
    thread, one at a time. `committed` is called after each transaction.
    """

    def runs(self) -> dict[str, Run]:
        """The runs recorded so far, by stage."""
        with self._turn, translated(self.path, writing=True):
            return rows.runs(self._db)

    def begin(self, run: Run) -> None:
        """Records a stage's run in place of an unfinished one of that stage; raises `StudyError` where it is finished.

        Progress and results of the unfinished one are kept where model, data, options and seed are the same, dropped
        otherwise.
        """
        with self.transaction():
            before = rows.runs(self._db).get(run.stage)
            if before is not None and before.finished is not None:
                raise StudyError(f"the stage '{run.stage}' of '{self.path}' is finished", "choose another --out")
            record = rows.from_run(run)
            if before is not None and not rows.same_run(before, run):
                self._drop_stage(run.stage)
            self._db.execute(
                "INSERT INTO run VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (stage) DO UPDATE SET"
                " model = excluded.model, model_fingerprint = excluded.model_fingerprint, data = excluded.data,"
                " data_fingerprint = excluded.data_fingerprint, options = excluded.options, seed = excluded.seed,"
                " version = excluded.version, started = excluded.started, finished = excluded.finished",
                record,
            )

    def reopen(self, run: Run) -> None:
        """Takes up a finished stage again, to add to its results; its run is recorded anew, as not finished."""
        with self.transaction():
            self._db.execute("UPDATE run SET finished = NULL WHERE stage = ?", (run.stage,))
            self.begin(run)

    def count(self, stage: str, count: StageCount) -> None:
        """Records how far a begun stage has come, for those who watch."""
        with self.transaction():
            store_count(self._db, stage, count)

    def finish(self, stage: str, finished: str) -> None:
        """Marks a begun stage as done at the time `finished`, and drops its progress."""
        with self.transaction():
            changed = self._db.execute("UPDATE run SET finished = ? WHERE stage = ?", (finished, stage)).rowcount
            if not changed:
                raise ValueError(f"the stage '{stage}' was never begun")
            forget_progress(self._db, stage)

    def write_portion(self, portion: Portion | None) -> None:
        """Records what the study is a part of; None: it is whole."""
        with self.transaction():
            store_portion(self._db, portion)

    def write_passes(self, batch_size: int, least_for_means: int) -> None:
        """Records how many examples share a pass of the scan, and how many steps of one have to count for it to be ranked by
        mean.
        """
        with self.transaction():
            store_batch_size(self._db, batch_size)
            store_least_for_means(self._db, least_for_means)

    def batch_size(self) -> int | None:
        """How many examples share a pass of the scan; None where that was not recorded."""
        with self._turn, translated(self.path, writing=True):
            return load_batch_size(self._db)

    def _drop_stage(self, stage: str) -> None:
        forget_progress(self._db, stage)
        forget_findings(self._db, stage)
        for table in STAGES[stage].tables if stage in STAGES else ():
            self._db.execute(f"DELETE FROM {table}")

    def save_progress(self, stage: str, done: Sequence[Shard], state: Mapping[str, Shaped[np.ndarray, ...]]) -> None:
        """Replaces a begun stage's progress by the shards done and the state after them, whole or not at all."""
        with self.transaction():
            store_progress(self._db, stage, done, state)

    def progress(self, stage: str) -> tuple[list[Shard], dict[str, Shaped[np.ndarray, ...]]] | None:
        """The shards done, in order, and the state after them; None where none was saved."""
        with self._turn, translated(self.path, writing=True):
            return load_progress(self._db, stage)

    def write_model(
        self,
        layers: Sequence[Layer],
        graph: Graph,
        preprocessing: Preprocessing,
        input_shape: tuple[int, ...],
        inputs: InputDescription | None = None,
    ) -> None:
        """Replaces what the study knows of the network, and what it knows of units where the layers are not the same."""
        with self.transaction():
            if tuple(layers) != rows.layers(self._db):
                self._drop_stage("scan")
                self._db.execute("DELETE FROM stream")
                self._db.execute("DELETE FROM layer")
                self._many(rows.insert("layer", 13), (rows.from_layer(id, one) for id, one in enumerate(layers)))
                store_streams(self._db, enumerate(layers))
            self._db.execute("DELETE FROM edge")
            self._db.execute("DELETE FROM node")
            nodes = enumerate(graph.nodes)
            self._many(
                rows.insert("node", 7),
                ((n.id, rank, n.kind, n.name, n.module, n.type, columns.to_json(n.shape)) for rank, n in nodes),
            )
            self._many("INSERT INTO edge (source, target) VALUES (?, ?)", graph.edges)
            self._set_meta("preprocessing", rows.from_preprocessing(preprocessing))
            self._set_meta("input_shape", columns.to_json(input_shape))
            if inputs is not None:
                store_description(self._db, inputs)
            self._read_model_back()

    def _read_model_back(self) -> None:
        """Raises `ModelError` for a network that the study could not be read with: now, not after the scan."""
        try:
            rows.layers(self._db)
            rows.graph(self._db)
        except DamageError as error:
            raise ModelError(
                f"the network has a layer that a study cannot hold: {error}", "leave it out with --layers"
            ) from None

    def write_output_classes(self, order: Sequence[int | None] | None) -> None:
        """Replaces which output of the network is which class; None: they are as the classes are listed."""
        with self.transaction():
            if order is None:
                self._db.execute("DELETE FROM meta WHERE key = 'output_classes'")
            else:
                self._set_meta("output_classes", columns.to_json(order))

    def _set_meta(self, key: str, value: str) -> None:
        self._db.execute("INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", (key, value))

    def write_data(self, classes: Sequence[Class], examples: Iterable[Example], skipped: Sequence[Skip] = ()) -> None:
        """Replaces what the study knows of the data. Results on examples that are no longer there must be dropped before
        (by `begin`).
        """
        given = array("q")

        def told() -> Iterator[tuple[int, str, int | None]]:
            for one in examples:
                given.append(one.index)
                yield one.index, columns.writable(one.path), one.class_index

        with self.transaction():
            self._many(
                "INSERT INTO class VALUES (?, ?, ?)"
                " ON CONFLICT (id) DO UPDATE SET name = excluded.name, label = excluded.label",
                ((one.index, columns.writable(one.name), columns.writable(one.label)) for one in classes),
            )
            self._many(
                "INSERT INTO example VALUES (?, ?, ?)"
                " ON CONFLICT (id) DO UPDATE SET path = excluded.path, class = excluded.class",
                told(),
            )
            self._delete_except("example", np.array(given, np.int64))
            self._delete_except("class", np.array([one.index for one in classes], np.int64))
            self._db.execute("DELETE FROM skip")
            self.add_skips(skipped)

    def _delete_except(self, table: str, kept: Int64[np.ndarray, " example"]) -> None:
        ids = np.fromiter((id for (id,) in self._db.execute(f"SELECT id FROM {table}")), np.int64)
        self._many(f"DELETE FROM {table} WHERE id = ?", ((int(id),) for id in np.setdiff1d(ids, kept)))

    def add_skips(self, skipped: Iterable[Skip]) -> None:
        """Adds to what was passed over; what is known already stays once."""
        with self.transaction():
            self._many(
                "INSERT OR IGNORE INTO skip (path, reason) VALUES (?, ?)",
                ((columns.writable(one.path), columns.writable(one.reason)) for one in skipped),
            )

    def add_note(self, kind: str, text: str) -> None:
        """Adds something that a reader of the results should know; the same note stays once."""
        with self.transaction():
            self._db.execute(
                "INSERT OR IGNORE INTO note (kind, text) VALUES (?, ?)", (columns.writable(kind), columns.writable(text))
            )

    def write_sample(self, examples: Int64[np.ndarray, " s"]) -> None:
        """Replaces the sample: the examples on which every unit's response is kept, in the order of those responses."""
        with self.transaction():
            self._db.execute("DELETE FROM sample")
            self._many(rows.insert("sample", 2), enumerate(examples.tolist()))

    def write_input_statistics(self, statistics: InputStatistics) -> None:
        """Replaces the statistics of the network's inputs."""
        with self.transaction():
            self._db.execute("DELETE FROM input_statistics")
            self._db.execute(rows.insert("input_statistics", 6), rows.from_input_statistics(statistics))

    def write_scan(self, layer: str, scan: LayerScan, examples: int | None = None) -> None:
        """Replaces everything known of the units of a layer; classes and sample must have been written before.

        `examples` is how many of them these results are of, where these are not all: something to look at meanwhile.
        """
        with self.transaction():
            store_scan(self._db, layer, self._layer_id(layer), scan, examples)

    def write_kernels(self, layer: str, weights: Float32[np.ndarray, "unit channel height width"]) -> None:
        """Records the weights of a convolution that reads the input directly."""
        with self.transaction():
            row = (
                self._layer_id(layer),
                columns.to_json(weights.shape),
                np.ascontiguousarray(weights, columns.NARROW).tobytes(),
            )
            self._db.execute("INSERT OR REPLACE INTO kernel VALUES (?, ?, ?)", row)

    def write_pictures(self, pictures: Iterable[tuple[int, str, bytes]]) -> None:
        """Stores pictures of examples, as (example, media type, bytes); the same bytes are stored once."""
        with self.transaction():
            for example, media_type, data in pictures:
                self._db.execute(
                    "INSERT INTO example_picture VALUES (?, ?) ON CONFLICT (example) DO UPDATE SET picture = excluded.picture",
                    (example, store_picture(self._db, media_type, data)),
                )

    def write_sequences(self, examples: Iterable[tuple[int, TextExample | SeriesExample]]) -> None:
        """Stores examples that are texts or series, by their index."""
        with self.transaction():
            store_sequences(self._db, examples)

    def write_traces(
        self, layer: str, example: int, channels: Int64[np.ndarray, " unit"], values: Float32[np.ndarray, "unit time"]
    ) -> None:
        """Stores what units of a layer did at each step of an example."""
        with self.transaction():
            store_traces(self._db, self._layer_id(layer), example, channels, values)

    def write_tracks(self, tracks: Sequence[Track]) -> None:
        """Replaces the tracks that units are measured against, and what is known of others."""
        with self.transaction():
            store_tracks(self._db, tracks)

    def write_track_scores(self, layer: str, found: Sequence[TrackScores]) -> None:
        """Replaces how well the units of a layer tell tracks, which must have been written before."""
        with self.transaction():
            store_track_scores(self._db, self._layer_id(layer), found)

    def exemplar_units(self, layer: str) -> dict[int, list[int]]:
        """For each example that is an exemplar of units of a layer, those units."""
        with self._turn, translated(self.path, writing=True):
            found: dict[int, list[int]] = {}
            query = "SELECT DISTINCT example, channel FROM exemplar WHERE layer = ? ORDER BY example, channel"
            for example, channel in self._db.execute(query, (self._layer_id(layer),)):
                found.setdefault(example, []).append(channel)
            return found

    def write_picture(self, media_type: str, data: bytes) -> str:
        """Stores a picture once; returns its SHA-256 in hexadecimal, by which records name it."""
        with self.transaction():
            return store_picture(self._db, media_type, data).hex()

    def write_attributions(self, unit: Unit, found: Sequence[Attribution | StepAttribution]) -> None:
        """Adds attributions of a unit; one of the same exemplar and method is replaced."""
        with self.transaction():
            where = self._layer_id(unit.layer), unit.channel
            store_attributions(self._db, *where, (one for one in found if isinstance(one, Attribution)))
            store_step_attributions(self._db, *where, (one for one in found if isinstance(one, StepAttribution)))

    def write_last_steps(self, unit: Unit, shares: Mapping[int, Iterable[tuple[int, float]]]) -> None:
        """Records, by the rank of exemplars by max, how many nearest steps alone give which share of the activation."""
        with self.transaction():
            store_last_steps(self._db, self._layer_id(unit.layer), unit.channel, shares)

    def write_recall(self, unit: Unit, recalls: Mapping[int, float]) -> None:
        """Records, by the rank of exemplars by max, the share of the activation that their boxes alone give."""
        with self.transaction():
            layer = self._layer_id(unit.layer)
            self._many(
                "UPDATE exemplar SET recall = ? WHERE layer = ? AND channel = ? AND ranking = 'max' AND rank = ?",
                ((recall, layer, unit.channel, rank) for rank, recall in recalls.items()),
            )

    def replace_note(self, kind: str, beginning: str, text: str | None) -> None:
        """Puts a note in the place of that of its kind which begins so; None leaves none."""
        with self.transaction():
            start = columns.writable(beginning)
            known = self._db.execute(
                "SELECT id FROM note WHERE kind = ? AND substr(text, 1, length(?)) = ?", (columns.writable(kind), start, start)
            ).fetchone()
            if text is None:
                self._db.execute("DELETE FROM note WHERE id = ?", known or (None,))
            elif known:
                self._db.execute("UPDATE note SET text = ? WHERE id = ?", (columns.writable(text), *known))
            else:
                self.add_note(kind, text)

    def replace_check(self, layer: str, method: str, check: MethodCheck | None) -> None:
        """Records how a method did on a layer, or that it is not known any more."""
        with self.transaction():
            self._db.execute("DELETE FROM method_check WHERE layer = ? AND method = ?", (self._layer_id(layer), method))
            if check is not None:
                self.write_check(layer, check)

    def replace_effective_field(self, layer: str, field: tuple[float, float] | None) -> None:
        """Records where the gradient's mass of a layer's units lies, or that it is not known any more."""
        with self.transaction():
            self._db.execute("DELETE FROM effective_field WHERE layer = ?", (self._layer_id(layer),))
            if field is not None:
                self.write_effective_field(layer, *field)

    def write_finding(self, stage: str, unit: Unit, content: Any) -> None:
        """Records what a begun stage from outside the package found of a unit: anything that JSON can hold. What it found
        before is replaced.
        """
        with self.transaction():
            store_finding(self._db, stage, self._layer_id(unit.layer), unit.channel, content)

    def write_check(self, layer: str, check: MethodCheck) -> None:
        """Records how a method did on a layer."""
        with self.transaction():
            store_check(self._db, self._layer_id(layer), check)

    def write_effective_field(self, layer: str, height: float, width: float) -> None:
        """Records where the gradient's mass of a layer's units lies, in input pixels."""
        with self.transaction():
            row = (self._layer_id(layer), height, width)
            self._db.execute("INSERT OR REPLACE INTO effective_field VALUES (?, ?, ?)", row)

    def write_synthesis(self, unit: Unit, synthesis: Synthesis) -> None:
        """Adds a synthesis of a unit; one of the same preset is replaced."""
        with self.transaction():
            store_synthesis(self._db, self._layer_id(unit.layer), unit.channel, synthesis)

    def _layer_id(self, layer: str) -> int:
        found = self._db.execute("SELECT id FROM layer WHERE name = ?", (layer,)).fetchone()
        if found is None:
            raise ValueError(f"the layer '{layer}' was never written")
        return int(found[0])

    def examples_without_picture(self, *, best_only: bool = False, also: Iterable[int] = ()) -> list[int]:
        """The exemplars of any ranking, and others that are `also` wanted, whose picture is not stored, in ascending order; or
        only those that are a unit's strongest.
        """
        best = " WHERE ranking = 'max' AND rank = 0" if best_only else ""
        with self._turn, translated(self.path, writing=True):
            wanted = {example for (example,) in self._db.execute(f"SELECT DISTINCT example FROM exemplar{best}")}
            stored = self._db.execute("SELECT example FROM example_picture UNION SELECT example FROM sequence")
            return sorted((wanted | set(also)).difference(example for (example,) in stored))

    def delete_other_pictures(self) -> None:
        """Deletes the pictures of examples that are no unit's exemplar (any more)."""
        with self.transaction():
            for table in ("example_picture", "sequence"):
                self._db.execute(f"DELETE FROM {table} WHERE example NOT IN (SELECT example FROM exemplar)")
            used = " UNION ".join(f"SELECT picture FROM {table}" for table in ("example_picture", "attribution", "synthesis"))
            self._db.execute(f"DELETE FROM picture WHERE sha256 NOT IN ({used})")
