"""What units know: how well each tells the tracks of a text, beside the same network untrained.

A pass over the examples at hand for some layers at a time, so that memory is bounded; the network's weights decide nothing
of which steps are looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor

from torchlurk.errors import told
from torchlurk.inputs.feeding import feed
from torchlurk.jobs import Shard
from torchlurk.models.taps.as_found import evaluation
from torchlurk.models.taps.reading import reading
from torchlurk.models.taps.untrained import untrained
from torchlurk.records import Layer
from torchlurk.scanning.arrivals import Arrivals
from torchlurk.scanning.deliveries import Deliveries
from torchlurk.scanning.job import Scan
from torchlurk.scanning.probed_steps import ProbedSteps
from torchlurk.scanning.probing import scores
from torchlurk.scanning.steps import least_padded
from torchlurk.store.writing import Writer
from torchlurk.track_records import TrackScores

MOST_BYTES = 1 << 28
"""Of values that are held at once; one layer's are, however many they be: some thousand steps of each unit, twice."""


@dataclass(frozen=True, slots=True)
class _Probed:
    """Keeps the values of one layer's units at the probed steps."""

    values: Float32[np.ndarray, "row unit"]
    probed: ProbedSteps

    def add(
        self,
        maps: Float[Tensor, "batch unit *positions"],
        arrivals: Arrivals,
        pool: Executor | None,
        ceiling: float | None = None,
        means: bool = True,
    ) -> None:
        """Takes what `Deliveries` gives it; the scan alone needs the last three."""
        examples = arrivals.examples
        bounds = np.searchsorted(self.probed.examples, (examples, examples + 1))
        for row, (start, stop) in enumerate(bounds.T.tolist()):
            if start < stop and self.probed.steps[stop - 1] < maps.shape[2]:
                steps = torch.from_numpy(self.probed.steps[start:stop]).to(maps.device)
                self.values[start:stop] = maps[row].index_select(1, steps).T.float().cpu().numpy()


def keep_knowledge(writer: Writer, scan: Scan, probed: ProbedSteps, seed: int) -> None:
    """Stores how well each unit of a layer with a value at every step tells each track."""
    with writer.transaction():
        writer.write_tracks(probed.tracks)
    for layer, trained, random in _read(scan, probed, np.unique(probed.examples), seed):
        _keep(writer, layer, probed, trained, random)


def knowledge_of_share(scan: Scan, probed: ProbedSteps, within: Shard, seed: int) -> dict[str, np.ndarray]:
    """What merging needs of the examples `within`, as arrays: the units' values at their probed steps."""
    own = np.flatnonzero((probed.examples >= within.start) & (probed.examples < within.stop))
    found = {f"{PROBED}{name}": array for name, array in probed.arrays().items()} | {f"{PROBED}own": own}
    for layer, trained, random in _read(scan, probed, np.unique(probed.examples[own]), seed):
        found |= {f"{TRAINED}{layer}": trained[own], f"{UNTRAINED}{layer}": random[own]}
    return found


def keep_merged(writer: Writer, layers: Sequence[Layer], parts: Sequence[Mapping[str, np.ndarray]]) -> None:
    """Stores what units know, from the arrays of all shares."""
    if f"{PROBED}tracks" not in parts[0]:
        return
    probed = ProbedSteps.from_arrays({name.removeprefix(PROBED): array for name, array in parts[0].items()})
    with writer.transaction():
        writer.write_tracks(probed.tracks)
    for layer in layers:
        if f"{TRAINED}{layer.name}" not in parts[0]:
            continue
        trained, random = (np.full((len(probed.steps), layer.channels), np.nan, np.float32) for _ in range(2))
        for part in parts:
            trained[part[f"{PROBED}own"]] = part[f"{TRAINED}{layer.name}"]
            random[part[f"{PROBED}own"]] = part[f"{UNTRAINED}{layer.name}"]
        _keep(writer, layer.name, probed, trained, random)


NO_CONTROL = "what units know has no control beside it: the network cannot be run untrained"

PROBED = "probed/"
TRAINED, UNTRAINED = f"{PROBED}trained/", f"{PROBED}untrained/"

Values = Float32[np.ndarray, "row unit"]


def _keep(writer: Writer, layer: str, probed: ProbedSteps, trained: Values, random: Values) -> None:
    pairs = zip(probed.tracks, scores(trained, probed), scores(random, probed), strict=True)
    writer.write_track_scores(layer, [TrackScores(*one) for one in pairs])
    if np.isnan(random).all() and not np.isnan(trained).all():
        writer.add_note("tracks", NO_CONTROL)


def _read(
    scan: Scan, probed: ProbedSteps, examples: Int64[np.ndarray, " example"], seed: int
) -> Iterator[tuple[str, Values, Values]]:
    """Of each layer with a value at every step, its units' values at the probed steps of these examples, and untrained."""
    groups = list(_groups([layer for layer in scan.layers if _at_every_step(layer, scan)], len(probed.steps)))
    scan.progress.begin("tracks", 2 * len(examples) * len(groups))
    for group in groups:
        trained, random = (_values(scan, group, probed, examples.tolist(), which) for which in (None, seed))
        for layer in group:
            yield layer.name, trained[layer.name], random[layer.name]
    scan.progress.end()


def _at_every_step(layer: Layer, scan: Scan) -> bool:
    """Whether a layer has as many positions as its example has steps, or as many as are no padding."""
    lengths = scan.source.lengths
    if layer.layout != "sequence" or lengths is None:
        return False
    return layer.shape == (int(lengths.max()),) or layer.shape == (least_padded(scan.source)[1],)


def _groups(layers: Sequence[Layer], rows: int) -> Iterator[list[Layer]]:
    """Layers that are read in one pass, in order."""
    group: list[Layer] = []
    for layer in layers:
        if group and 2 * 4 * rows * sum(one.channels for one in [*group, layer]) > MOST_BYTES:
            yield group
            group = []
        group.append(layer)
    if group:
        yield group


def _values(
    scan: Scan, layers: Sequence[Layer], probed: ProbedSteps, examples: Sequence[int], seed: int | None
) -> Mapping[str, Float32[np.ndarray, "row unit"]]:
    """What the units of some layers are at the probed steps, NaN where a layer is not reached; with a seed, untrained."""
    found = {layer.name: np.full((len(probed.steps), layer.channels), np.nan, np.float32) for layer in layers}
    taking = Deliveries(layers, {name: _Probed(values, probed) for name, values in found.items()}, None)
    if seed is None:
        _run(scan, layers, taking, examples)
        return found
    try:
        with untrained(scan.network, seed):
            _run(scan, layers, taking, examples)
    except Exception as error:  # with other weights, code of the user's own may fail
        scan.progress.say(f"note: {NO_CONTROL}: {told(error)}")
    return found


def _run(scan: Scan, layers: Sequence[Layer], taking: Deliveries, examples: Sequence[int]) -> None:
    with evaluation(scan.network), torch.inference_mode(), reading(scan.network, layers, taking):
        for batch in feed(scan.source, examples, scan.batch_size, scan.workers):
            if len(batch):
                for rows in taking.passes(batch.examples, batch.classes):
                    scan.passed(taking, batch, rows)
            scan.progress.advance(len(batch) + len(batch.skipped))
