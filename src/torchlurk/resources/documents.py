"""The JSON documents of a study. Numbers that are undefined (NaN) are null."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from jaxtyping import Float32

from torchlurk.input_records import SeriesExample, TextExample
from torchlurk.records import (
    Attribution,
    Class,
    Example,
    Exemplar,
    Graph,
    Layer,
    Remark,
    StepAttribution,
    Synthesis,
    UnitRecord,
)
from torchlurk.rendering.labels import top_classes
from torchlurk.resources.remarks import remark_document
from torchlurk.track_records import Known, Track

DIGITS = 6
"""Significant digits of numbers in columns."""


def number(value: float | None) -> float | None:
    """A float that JSON can hold: NaN and infinities are null."""
    return None if value is None or not math.isfinite(value) else float(value)


def unit_document(
    record: UnitRecord,
    classes: Sequence[Class],
    attributions: Sequence[Attribution] = (),
    syntheses: Sequence[Synthesis] = (),
    findings: Mapping[str, Any] | None = None,
    remark: Remark | None = None,
) -> dict[str, Any]:
    """What `torchlurk show STUDY UNIT --json` prints; `findings` is in it where there are some."""
    return {
        "layer": record.layer.name,
        "channel": record.channel,
        "layout": record.layer.layout,
        "shape": list(record.layer.shape),
        "statistics": {name: number(value) for name, value in record.statistics.items()},
        "exemplars": {
            "max": [placed(exemplar) for exemplar in record.exemplars.get("max", ())],
            "mean": [_scored(exemplar) for exemplar in record.exemplars.get("mean", ())],
        },
        "classes": {kind: highest(record.classes[kind], classes) for kind in ("max", "mean")},
        "images": {
            "attributions": [_attribution(one) for one in attributions],
            "syntheses": [_synthesis(one) for one in syntheses],
        },
        **({"findings": dict(findings)} if findings else {}),
        "remark": remark_document(remark),
        **({"knows": [_known(one) for one in record.knows]} if record.knows else {}),
    }


def track_document(track: Track) -> dict[str, Any]:
    """What a track is, and how it was measured."""
    return {
        "track": track.name,
        "words": track.words,
        "measure": track.measure,
        "told": track.told,
        "steps": track.steps,
    }


def rounded(value: float) -> float | None:
    """A score, which is of a sample of steps: more digits would say no more."""
    return number(round(value, SCORE_DIGITS))


SCORE_DIGITS = 4
"""Decimals of an AUC or a correlation."""


def _known(one: Known) -> dict[str, Any]:
    return track_document(one.track) | {
        "score": rounded(one.score),
        "strength": rounded(one.strength),
        "untrained": rounded(one.untrained),
    }


def highest(values: Float32[np.ndarray, " class"], classes: Sequence[Class]) -> list[dict[str, Any]]:
    """The classes with the highest values, highest first."""
    return [{"class": one.label, "value": number(value)} for one, value in top_classes(values, classes)]


def layers_document(model: str, input_shape: Sequence[int], layers: Sequence[Layer], graph: Graph) -> dict[str, Any]:
    """What `torchlurk layers MODEL --json` prints."""
    return {
        "model": model,
        "input": list(input_shape),
        "layers": [asdict(layer) for layer in layers],
        "graph": {"nodes": [asdict(node) for node in graph.nodes], "edges": [list(edge) for edge in graph.edges]},
    }


def _scored(exemplar: Exemplar) -> dict[str, Any]:
    return {"rank": exemplar.rank, "example": exemplar.example, "score": number(exemplar.score)}


def placed(exemplar: Exemplar) -> dict[str, Any]:
    """An exemplar with where it is in its example."""
    return {
        "rank": exemplar.rank,
        "example": exemplar.example,
        "path": exemplar.path,
        "class": exemplar.class_label,
        "score": number(exemplar.score),
        "position": None if exemplar.position is None else list(exemplar.position),
        **(_box(exemplar) if exemplar.reach is None else _reach(exemplar)),
        "recall": number(exemplar.recall),
        **({"faint": True} if exemplar.faint else {}),
    }


def _box(exemplar: Exemplar) -> dict[str, Any]:
    return {"box": None if exemplar.box is None else list(exemplar.box)}


def _reach(exemplar: Exemplar) -> dict[str, Any]:
    """Where an exemplar looked in a text or series, and in a text the token there and what stands around it."""
    assert exemplar.reach is not None
    token = {} if exemplar.token is None else {"token": exemplar.token, "context": list(exemplar.context or ("", ""))}
    last = {"last_steps": {str(steps): share for steps, share in exemplar.last_steps}} if exemplar.last_steps else {}
    own = {} if exemplar.own_step is None else {"own_step": exemplar.own_step}
    return {"reach": list(exemplar.reach), **token, **last, **own}


def example_document(index: int, example: Example, label: str | None, content: TextExample | SeriesExample) -> dict[str, Any]:
    """What `examples/N.json` holds: a text's tokens with their offsets, or a series' channels as numbers."""
    known = {"example": index, "path": example.path, "class": label, "counted": list(content.counted)}
    if isinstance(content, TextExample):
        return known | {"kind": "text", "tokens": list(content.tokens), "offsets": list(content.offsets)}
    values = [[number(float(f"{value:.{DIGITS}g}")) for value in channel] for channel in content.values.T.tolist()]
    return known | {"kind": "series", "channels": list(content.channels), "values": values}


def _attribution(one: Attribution) -> dict[str, Any]:
    return {
        "exemplars": one.ranking,
        "rank": one.rank,
        "method": one.method,
        "box": list(one.box),
        "picture": one.picture,
        "scale": number(one.scale),
        "kept": number(one.kept),
    }


def step_attribution(one: StepAttribution) -> dict[str, Any]:
    """What excited a unit in a text or series; without its numbers."""
    return {
        "exemplars": one.ranking,
        "rank": one.rank,
        "method": one.method,
        "kept": number(one.kept),
        "conserved": number(one.conserved),
    }


def with_values(one: StepAttribution) -> dict[str, Any]:
    """The same with its numbers, by channel (one of a text) and step."""
    values = [[number(float(f"{value:.{DIGITS}g}")) for value in channel] for channel in one.values.T.tolist()]
    return step_attribution(one) | {"values": values}


def _synthesis(one: Synthesis) -> dict[str, Any]:
    return {
        "preset": one.preset,
        "picture": one.picture,
        "activation": number(one.activation),
        "ratio_to_best_exemplar": number(one.ratio),
        "percentile": number(one.percentile),
        "robustness": number(one.robustness),
        "marked": one.marked,
        "seed": one.seed,
        "steps": one.steps,
    }
