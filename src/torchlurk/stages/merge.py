"""Parts of an analysis become the study that one process would have made. Needs neither the model nor the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int32, Int64

from torchlurk.errors import DataError, StudyError
from torchlurk.jobs import Progress, joined
from torchlurk.records import Layer
from torchlurk.scanning.job import ScanPart
from torchlurk.scanning.part import Places
from torchlurk.stages.kept_steps import note_clipped
from torchlurk.stages.knowledge import PROBED, keep_merged
from torchlurk.stages.merge_pictures import merge_pictures
from torchlurk.stages.parts import Part, opened
from torchlurk.stages.scan_results import Scanned, keep_results
from torchlurk.stages.stage import now
from torchlurk.store.merging import (
    all_examples,
    copy_study,
    new_study,
    placed_leaders,
    take_examples,
    take_steps,
    take_traces,
)
from torchlurk.store.writing import Writer

SCAN = "scan"


def merge(paths: Sequence[Path], out: Path, progress: Progress) -> None:
    """Writes the study of all parts of a scan at `out`, whole or not at all; to parts of later stages a study at `out` may be
    the one that they went on from: it is added to.

    Raises `MismatchError` for parts that do not fit together, or not to the study.
    """
    with opened(paths) as parts:
        if SCAN not in parts[0].portion.stages:
            merge_pictures(parts, out, progress)
            return
        if out.exists():
            raise StudyError(f"'{out}' is there already", "choose another --out, or remove it")
        with new_study(out) as place:
            copy_study(parts[0].reader, place)
            with Writer(place) as writer:
                _merge_scans(writer, parts, progress)


def _merge_scans(writer: Writer, parts: Sequence[Part], progress: Progress) -> None:
    progress.begin("merge", len(parts))
    merged: ScanPart | None = None
    known: list[Mapping[str, np.ndarray]] = []
    for part in parts:
        arrays = _state(part)
        known.append({name: array for name, array in arrays.items() if name.startswith(PROBED)})
        found = ScanPart.from_arrays(arrays)
        merged = found if merged is None else merged.merge(found)
        for kind, text in part.reader.notes():
            writer.add_note(kind, text)
        progress.advance(1)
    progress.end()
    assert merged is not None
    reader = parts[0].reader
    if merged.seen == 0:
        raise DataError("none of the examples of any part can be read", "run torchlurk check on each part")
    classes = max((part.reader.classes() for part in parts), key=len)
    data = Scanned(reader.inputs().kind, classes, all_examples(reader), reader.skips())
    keep_results(writer, merged, data, reader.layers(), lambda layer: _places(layer, parts))
    for part in parts:
        take_examples(writer, part.reader)
        take_traces(writer, part.reader)
        take_steps(writer, part.reader)
    note_clipped(writer)
    keep_merged(writer, reader.layers(), known)
    writer.delete_other_pictures()
    writer.write_portion(None)
    writer.finish(SCAN, now())


def _state(part: Part) -> Mapping[str, np.ndarray]:
    """The running state that a part ended with; raises `StudyError` where it does not cover one run of examples."""
    saved = part.reader.progress(SCAN)
    if saved is None or len(joined(saved[0])) != 1:
        raise StudyError(f"'{part.path}' is damaged: its scan is not of one run of examples", "make the part anew")
    return saved[1]


def _places(layer: Layer, parts: Sequence[Part]) -> Places:
    """Where the leaders of all parts looked. They are those of no two parts, as no example is."""
    found = [placed_leaders(part.reader, layer.name) for part in parts]
    keys = np.concatenate([_keys(one.channels, one.examples) for one in found])
    order = np.argsort(keys)
    keys = keys[order]
    positions = np.concatenate([one.positions for one in found])[order]
    boxes = np.concatenate([one.boxes for one in found])[order]

    def places(
        units: Int64[np.ndarray, " n"], _: Int32[np.ndarray, " n"], examples: Int64[np.ndarray, " n"]
    ) -> tuple[Int32[np.ndarray, " n"], Int32[np.ndarray, "n 4"]]:
        at = np.searchsorted(keys, _keys(units, examples))
        return positions[at], boxes[at]

    return places


def _keys(units: Int64[np.ndarray, " n"], examples: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
    """Unit and example as one number."""
    keys: Int64[np.ndarray, " n"] = (units << 32) | examples
    return keys
