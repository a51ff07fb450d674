"""Tracks of a text, and how well units tell them, as rows of tables and back."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import get_args

import numpy as np
from jaxtyping import Float32

from torchlurk.records import Layer
from torchlurk.store import columns
from torchlurk.store.columns import DamageError
from torchlurk.store.sequences import has_sequences
from torchlurk.track_records import Known, Measure, Track, TrackScores, best_strength

MEASURES: tuple[str, ...] = get_args(Measure)


def store_tracks(db: sqlite3.Connection, tracks: Sequence[Track]) -> None:
    """Replaces the tracks, and with them what units know of others."""
    db.execute("DELETE FROM track_score")
    db.execute("DELETE FROM track")
    rows = ((id, columns.writable(one.name), one.measure, int(one.told), one.steps) for id, one in enumerate(tracks))
    db.executemany("INSERT INTO track VALUES (?, ?, ?, ?, ?)", rows)


def store_track_scores(db: sqlite3.Connection, layer: int, found: Sequence[TrackScores]) -> None:
    """Replaces what the units of a layer know; their tracks must have been stored before."""
    db.execute("DELETE FROM track_score WHERE layer = ?", (layer,))
    ids = {name: id for id, name in db.execute("SELECT id, name FROM track")}
    rows = (
        (layer, ids[columns.writable(one.track.name)], *columns.narrow_rows(np.stack([one.trained, one.untrained])))
        for one in found
    )
    db.executemany("INSERT INTO track_score VALUES (?, ?, ?, ?)", rows)


def load_tracks(db: sqlite3.Connection) -> dict[int, Track]:
    """All tracks by their numbers, in order."""
    if not has_sequences(db):
        return {}
    return dict(map(_track, db.execute("SELECT id, name, measure, told, steps FROM track ORDER BY id")))


def _track(row: tuple[object, ...]) -> tuple[int, Track]:
    id, name, measure, told, steps = row
    return columns.whole(id, "track.id", least=0), Track(
        name=columns.text(name, "track.name"),
        measure=columns.one_of(measure, MEASURES, "track.measure"),
        told=bool(columns.whole(told, "track.told", least=0, below=2)),
        steps=columns.whole(steps, "track.steps", least=0),
    )


def load_track_scores(db: sqlite3.Connection, layer: int, channels: int) -> tuple[TrackScores, ...]:
    """What the units of a layer know, in the order of the tracks; none where it was not measured."""
    tracks = load_tracks(db)
    if not tracks:
        return ()
    found = db.execute("SELECT track, trained, untrained FROM track_score WHERE layer = ? ORDER BY track", (layer,))
    return tuple(_scores(tracks, row, channels) for row in found)


def _scores(tracks: dict[int, Track], row: tuple[object, ...], channels: int) -> TrackScores:
    track = tracks.get(columns.whole(row[0], "track_score.track", least=0))
    if track is None:
        raise DamageError("track_score.track is of no track")
    trained, untrained = (columns.narrow(cell, channels, f"track_score of '{track.name}'") for cell in row[1:])
    for scores in (trained, untrained):
        _check(track, scores)
    return TrackScores(track, trained, untrained)


def _check(track: Track, scores: Float32[np.ndarray, " unit"]) -> None:
    least = 0.0 if track.measure == "auc" else -1.0
    known = scores[np.isfinite(scores)]
    if np.isinf(scores).any() or (known < least - ROUNDING).any() or (known > 1 + ROUNDING).any():
        raise DamageError(f"track_score of '{track.name}' is no {track.measure}")


ROUNDING = 1e-5


def known_by(scores: Sequence[TrackScores], channel: int) -> tuple[Known, ...]:
    """What one unit knows, in the order of the tracks."""
    return tuple(
        Known(one.track, float(one.trained[channel]), best_strength(one.track.measure, one.untrained)) for one in scores
    )


def check_tracks(db: sqlite3.Connection, layers: Mapping[int, Layer]) -> Iterator[str]:
    """What is wrong with tracks and scores; `layers` are those of the study, by their numbers."""
    if not has_sequences(db):
        return
    load_tracks(db)
    for (id,) in db.execute("SELECT DISTINCT layer FROM track_score ORDER BY layer"):
        layer = layers.get(id)
        try:
            load_track_scores(db, id, 0 if layer is None else layer.channels)
        except DamageError as error:
            yield f"layer {id if layer is None else layer.name}: {error}"
