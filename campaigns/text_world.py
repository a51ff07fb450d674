"""What units of the demo's network for text know, on the world whose every state is known, and what is lost without them.

Each unit is measured as in every study of text (docs/reference/methods.md), on documents that took no part in training. Then
the unit that tells a track best is held at its mean at every step, and the loss is taken where it should be missed: at steps
where the last three characters do not tell the track, and the character that comes next closes the quotation, the brackets or
the line.
"""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from campaigns import recording
from torchlurk.inputs.demo.documents import TOKENS
from torchlurk.inputs.demo.text_world import DOCUMENTS, text_world
from torchlurk.models.loading.demo_text import DemoTextNetwork, demo_text_network
from torchlurk.options import InputOptions
from torchlurk.scanning.probed_steps import labelled_steps, left_open
from torchlurk.study import Study, analyze
from torchlurk.track_records import best_strength, strengths

SEED = 0
LAYERS = ("lstm", "lstm.c")
"""The states and the cells."""
LEAST = {"quotes": 0.95, "address": 0.90, "brackets": 0.95, "column": 0.80}
MARGIN = 0.05
"""By so much the best unit is better than the best one untrained."""
CLOSED_BY = {"quotes": '"', "brackets": ")", "column": "\n"}
ABLATED_DOCUMENTS, DRAWS, FEWEST_BELOW = 100, 100, 95


@cache
def study(documents: int = DOCUMENTS) -> Study:
    """The demo's study, but for its gates."""
    folder = Path(tempfile.mkdtemp())
    return analyze(
        "demo-text", "demo-text", folder / "text.lurk", layers=["lstm*"], streams=["output", "cell"], limit=documents, top=1
    )


def best(track: str, documents: int = DOCUMENTS) -> tuple[str, int, float, float]:
    """Layer and channel of the unit that tells a track best, how well it does, and how well the best one untrained."""
    found = []
    for layer in LAYERS:
        (scores,) = [one for one in study(documents).reader.track_scores(layer) if one.track.name == track]
        assert not scores.track.told
        reached = strengths(scores.track.measure, scores.trained)
        untrained = best_strength(scores.track.measure, scores.untrained)
        found.append((float(np.nanmax(reached)), layer, int(np.nanargmax(reached)), untrained))
    strength, layer, channel, _ = max(found)
    return layer, channel, strength, max(one[3] for one in found)


def knows(track: str, documents: int = DOCUMENTS) -> dict[str, object]:
    """Checks that a single unit tells a track, as training alone makes it."""
    layer, channel, strength, untrained = best(track, documents)
    assert strength >= LEAST[track], f"{layer}:{channel} tells {track} by {strength:.3f}"
    assert strength >= untrained + MARGIN, f"{track}: {strength:.3f}, untrained {untrained:.3f}"
    return {"unit": f"{layer}:{channel}", "strength": round(strength, 4), "untrained": round(untrained, 4)}


@cache
def texts() -> tuple[Int64[Tensor, "document time"], Int64[Tensor, " document"]]:
    """The ids of some documents, padded at their ends, and their lengths."""
    world = text_world(InputOptions(limit=ABLATED_DOCUMENTS))
    ids = [torch.as_tensor(world.read(index).values) for index in range(ABLATED_DOCUMENTS)]
    return nn.utils.rnn.pad_sequence(ids, batch_first=True), torch.tensor([len(one) for one in ids])


@cache
def missed(track: str) -> Bool[np.ndarray, "document time"]:
    """The steps where the last characters do not tell the track, and what comes next closes it."""
    world, (ids, _) = text_world(InputOptions(limit=ABLATED_DOCUMENTS)), texts()
    labelled = labelled_steps(world, world, range(ABLATED_DOCUMENTS))
    assert labelled is not None
    labels = labelled.labels[list(world.tracks).index(track)].astype(np.float64)
    is_open = left_open(labels, labelled.context, np.isfinite(labels), world.tracks[track])
    found = np.zeros(tuple(ids.shape), bool)
    found[labelled.examples[is_open], labelled.steps[is_open]] = True
    if track != "column":
        found[labelled.examples[labels == 0], labelled.steps[labels == 0]] = False
    found[:, :-1] &= (ids[:, 1:] == TOKENS.index(CLOSED_BY[track])).numpy()
    found[:, -1] = False
    return found


@torch.inference_mode()
def run(
    network: DemoTextNetwork, held: tuple[str, int] | None, means: dict[str, Float[Tensor, " unit"]]
) -> tuple[Float[Tensor, "document time"], dict[str, Float[Tensor, "document time unit"]]]:
    """The loss at the next character after each step, and the states and cells; one unit may be held at its mean."""
    (ids, _), lstm = texts(), network.lstm
    entering = network.embedding(ids) @ lstm.weight_ih_l0.T + lstm.bias_ih_l0 + lstm.bias_hh_l0
    h = c = torch.zeros(len(ids), lstm.hidden_size)
    states, cells = [], []
    for step in range(ids.shape[1]):
        i, f, g, o = (entering[:, step] + h @ lstm.weight_hh_l0.T).chunk(4, 1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        if held is not None and held[0] == "lstm.c":
            c[:, held[1]] = means["lstm.c"][held[1]]
        h = o.sigmoid() * c.tanh()
        if held is not None and held[0] == "lstm":
            h[:, held[1]] = means["lstm"][held[1]]
        states.append(h)
        cells.append(c)
    reached = {"lstm": torch.stack(states, 1), "lstm.c": torch.stack(cells, 1)}
    logits = network.head(reached["lstm"][:, :-1])
    losses = F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none").view(len(ids), -1)
    return F.pad(losses, (0, 1)), reached


@cache
def intact() -> tuple[Float[Tensor, "document time"], dict[str, Float[Tensor, " unit"]]]:
    """The losses of the network as it is, and the mean of each unit over all steps of the documents."""
    losses, reached = run(demo_text_network(), None, {})
    ids, lengths = texts()
    there = torch.arange(ids.shape[1]) < lengths[:, None]
    return losses, {layer: values[there].mean(0) for layer, values in reached.items()}


@cache
def rises(layer: str, channel: int) -> dict[str, float]:
    """By track, by how much the loss rises where the track is missed, without a unit."""
    before, means = intact()
    after, _ = run(demo_text_network(), (layer, channel), means)
    return {track: float((after - before)[torch.from_numpy(missed(track))].mean()) for track in CLOSED_BY}


def is_missed(track: str, draws: int = DRAWS, documents: int = DOCUMENTS) -> dict[str, object]:
    """Checks that the unit which tells a track is missed more than units drawn at random from its layer."""
    layer, channel, _, _ = best(track, documents)
    others = np.setdiff1d(np.arange(demo_text_network().lstm.hidden_size), [channel])
    drawn = np.random.default_rng(SEED).choice(others, draws, replace=False)
    own = rises(layer, channel)[track]
    below = sum(rises(layer, int(other))[track] < own for other in drawn)
    assert below >= FEWEST_BELOW / DRAWS * draws, f"{layer}:{channel}: {own:.4f}, above {below} of {draws}"
    return {
        "unit": f"{layer}:{channel}",
        "steps": int(missed(track).sum()),
        "loss": round(own, 4),
        "above": f"{below} of {draws}",
    }


CASES = {f"a unit knows: {track}": (lambda track=track: knows(track)) for track in LEAST} | {
    f"without it, missed: {track}": (lambda track=track: is_missed(track)) for track in CLOSED_BY
}

if __name__ == "__main__":
    recording.run("text_world", "What units of the demo's network for text know.", SEED, CASES)
