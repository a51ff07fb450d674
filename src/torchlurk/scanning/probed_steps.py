"""At which steps of a text units are measured against tracks: where the last three tokens do not give the label away.

All of it follows from the data, the study's sample and the seed, and nothing from a network.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64

from torchlurk.errors import DataError
from torchlurk.inputs.source import Source, Tracked
from torchlurk.track_records import Measure, Track

CONTEXT = 3
"""Tokens, the step's own included, that may give a track away."""
MOST_STEPS = 1 << 18
"""So many steps of the sample are looked at, in a random order of its examples."""
RARER = 0.1
"""The last tokens leave a track of two values open where the rarer value has at least this share of the steps at which they are
the last ones."""
SPREAD = 0.5
"""They leave a numeric track open where its standard deviation at these steps is at least this share of that at all steps."""
FEWEST = 25
"""A track is measured where it is left open at this many steps of either value, or at twice as many of a numeric one."""
EACH = 1000
"""So many steps of either value, or twice as many of a numeric track, are drawn."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """Steps of some examples, with the label that each track has there; `context` numbers the last three tokens."""

    examples: Int64[np.ndarray, " step"]
    steps: Int64[np.ndarray, " step"]
    context: Int64[np.ndarray, " step"]
    labels: Float32[np.ndarray, "track step"]


@dataclass(frozen=True, slots=True)
class ProbedSteps:
    """The steps that the units' values are wanted at, in the order of examples and steps.

    Of each track `rows` says which of them are its own, and `labels` what its labels are there.
    """

    tracks: tuple[Track, ...]
    examples: Int64[np.ndarray, " row"]
    steps: Int64[np.ndarray, " row"]
    rows: tuple[Int64[np.ndarray, " _step"], ...]
    labels: tuple[Float32[np.ndarray, " _step"], ...]

    def arrays(self) -> dict[str, np.ndarray]:
        """All of it as plain arrays, for saving."""
        told = json.dumps([asdict(track) for track in self.tracks]).encode()
        named = {f"{name}/{number}": one for name in ("rows", "labels") for number, one in enumerate(getattr(self, name))}
        return {"tracks": np.frombuffer(told, np.uint8), "examples": self.examples, "steps": self.steps, **named}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> ProbedSteps:
        """The steps that `arrays()` came from."""
        tracks = tuple(Track(**one) for one in json.loads(arrays["tracks"].tobytes()))
        rows, labels = (tuple(arrays[f"{name}/{one}"] for one in range(len(tracks))) for name in ("rows", "labels"))
        return cls(tracks, arrays["examples"], arrays["steps"], rows, labels)


def probed_steps(source: Source, sample: Int64[np.ndarray, " sample"], seed: int) -> ProbedSteps | None:
    """Those of the examples in the sample; None where the source has no tracks, or none of them changes."""
    if not isinstance(source, Tracked) or not source.tracks:
        return None
    order = np.random.default_rng((seed, 0)).permutation(sample)
    labelled = labelled_steps(source, source, order)
    if labelled is None:
        return None
    tracks, chosen = [], []
    for number, (name, measure) in enumerate(source.tracks.items()):
        found = _chosen(labelled, number, measure, np.random.default_rng((seed, 1 + number)))
        if found is not None:
            told, steps = found
            tracks.append(Track(name, measure, told, len(steps)))
            chosen.append((number, steps))
    if not tracks:
        return None
    wanted = np.unique(np.concatenate([steps for _, steps in chosen]))
    wanted = wanted[np.lexsort((labelled.steps[wanted], labelled.examples[wanted]))]
    row_of = np.full(len(labelled.steps), -1)
    row_of[wanted] = np.arange(len(wanted))
    return ProbedSteps(
        tracks=tuple(tracks),
        examples=labelled.examples[wanted],
        steps=labelled.steps[wanted],
        rows=tuple(row_of[steps] for _, steps in chosen),
        labels=tuple(labelled.labels[number, steps] for number, steps in chosen),
    )


def labelled_steps(source: Source, tracked: Tracked, order: Sequence[int] | Int64[np.ndarray, " sample"]) -> Labelled | None:
    """The counted steps of these examples with as many tokens before them, until there are `MOST_STEPS`."""
    examples: list[np.ndarray] = []
    steps: list[np.ndarray] = []
    contexts: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    total = 0
    for example in map(int, order):
        try:
            ids, told = np.asarray(source.read(example).values), tracked.labels(example)
        except DataError:
            continue
        first, last = source.counted(example)
        first, last = max(first, CONTEXT - 1), min(last, first + MOST_STEPS - total)
        if first >= last:
            continue
        examples.append(np.full(last - first, example))
        steps.append(np.arange(first, last))
        contexts.append(np.stack([ids[first - back : last - back] for back in range(CONTEXT)], 1))
        labels.append(np.stack([told[name][first:last] for name in tracked.tracks]))
        total += last - first
        if total >= MOST_STEPS:
            break
    if not steps:
        return None
    return Labelled(
        np.concatenate(examples), np.concatenate(steps), _numbered(np.concatenate(contexts)), np.concatenate(labels, 1)
    )


def _numbered(contexts: Int64[np.ndarray, "step token"]) -> Int64[np.ndarray, " step"]:
    """A number for each of the contexts, from 0."""
    number = np.zeros(len(contexts), np.int64)
    for tokens in contexts.T:  # numbered anew each time: the product of vocabularies may be beyond 64 bits
        _, number = np.unique(number * (int(tokens.max()) + 1) + tokens, return_inverse=True)
    return number


def _chosen(
    labelled: Labelled, number: int, measure: Measure, random: np.random.Generator
) -> tuple[bool, Int64[np.ndarray, " drawn"]] | None:
    """Whether the last tokens tell the track, and the steps drawn for it, in order; None where it (nearly) never changes."""
    labels = labelled.labels[number].astype(np.float64)
    known = np.isfinite(labels)
    groups = _of_values(labels, known, measure)
    if any(len(group) < FEWEST for group in groups) or np.unique(labels[known]).size < 2:
        return None
    kept = left_open(labels, labelled.context, known, measure)
    open_groups = _of_values(labels, kept, measure)
    told = any(len(group) < FEWEST * (3 - len(groups)) for group in open_groups) or np.unique(labels[kept]).size < 2
    drawn = [
        random.choice(group, min(len(group), EACH * (3 - len(groups))), replace=False)
        for group in (groups if told else open_groups)
    ]
    return told, np.sort(np.concatenate(drawn))


def _of_values(labels: Float64[np.ndarray, " step"], among: Bool[np.ndarray, " step"], measure: Measure) -> list[np.ndarray]:
    """The steps of either value of a track that has two; of a numeric one all of them."""
    if measure == "r":
        return [np.flatnonzero(among)]
    high = labels == np.nanmax(labels)
    return [np.flatnonzero(among & ~high), np.flatnonzero(among & high)]


def left_open(
    labels: Float64[np.ndarray, " step"],
    context: Int64[np.ndarray, " step"],
    known: Bool[np.ndarray, " step"],
    measure: Measure,
) -> Bool[np.ndarray, " step"]:
    """At which steps the last tokens do not give the label away, as it is at all steps at which they are the last."""
    values, places = labels[known], context[known]
    size = int(context.max(initial=0)) + 1
    count = np.bincount(places, minlength=size).clip(min=1)
    if measure == "auc":
        share = np.bincount(places, values == values.max(), minlength=size) / count
        is_open = np.minimum(share, 1 - share) >= RARER
    else:
        centred = values - values.mean()
        mean = np.bincount(places, centred, minlength=size) / count
        variance = np.bincount(places, centred**2, minlength=size) / count - mean**2
        is_open = variance.clip(min=0) ** 0.5 >= SPREAD * centred.std()
    kept: Bool[np.ndarray, " step"] = known & is_open[context]
    return kept
