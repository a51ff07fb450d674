"""Whether a network's scores for tokens say more than how frequent tokens are: with a wrong vocabulary they do not."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from torchlurk.errors import DataError
from torchlurk.inputs.source import Source, spread
from torchlurk.inputs.text.source import TextSource
from torchlurk.models.taps.as_found import as_found
from torchlurk.models.taps.tensors import tensors_in
from torchlurk.scanning.failures import tried
from torchlurk.stages.token_results import outputs_of_tokens

LOOKED_AT = 32
"""Examples, spread over the data."""

FEWEST = 1000
"""Tokens below which nothing is concluded."""

SHIFTS = (1, 0, -1)
"""Networks guess the next token, a masked one, or, reading backward, the one before."""


def poor_guesses(network: nn.Module, source: Source, device: torch.device) -> str:
    """What to tell where the scores of a network that has one for each token are on the mean no better than the frequencies of
    the tokens in the data, whichever token they may be of; '' where they are better, and of other networks and sources.

    The network takes batch-first inputs, and is left as found.
    """
    if not isinstance(source, TextSource):
        return ""
    frequencies = source.token_counts().astype(np.float64)
    surprise = -np.log(np.maximum(frequencies, 1) / frequencies.sum())
    sums, baselines, counts = np.zeros((3, len(SHIFTS)))
    for scores, ids in _scored(network, source, device):
        for number, shift in enumerate(SHIFTS):
            steps = np.arange(max(0, -shift), len(ids) - max(0, shift))
            targets = ids[steps + shift]
            sums[number] -= float(scores[steps, targets].sum())
            baselines[number] += surprise[targets].sum()
            counts[number] += len(steps)
    if counts.min() < FEWEST or not np.isfinite(sums).all() or (sums < baselines).any():
        return ""
    loss, baseline = sums[0] / counts[0], baselines[0] / counts[0]
    return (
        f"the network's scores for the next token are no better than the tokens' frequencies ({loss:.2f} nats a token,"
        f" {baseline:.2f} by frequency): do the vocabulary, tokenizer and weights match those used in training?"
    )


def _scored(
    network: nn.Module, source: TextSource, device: torch.device
) -> Iterator[tuple[Float[Tensor, "time token"], Int64[np.ndarray, " time"]]]:
    """The logarithms of the probabilities of tokens at each step of some examples, and the tokens there."""
    outputs = outputs_of_tokens(network, len(source.kind.vocabulary) if source.kind.vocabulary else None)
    for index in spread(len(source.examples), LOOKED_AT):
        try:
            ids = np.asarray(source.read(index).values)
        except DataError:
            continue
        found = tried(partial(_outputs, network, torch.from_numpy(ids)[None].to(device)))
        scores = next((one for one in found or () if one.is_floating_point()), None)
        if scores is None or scores.shape[:2] != (1, len(ids)) or scores.ndim != 3 or scores.shape[2] not in outputs:
            return
        if scores.shape[2] > ids.max():
            yield _logarithms(scores[0].float().cpu()), ids


def _outputs(network: nn.Module, inputs: Int64[Tensor, "batch time"]) -> list[Tensor]:
    with torch.inference_mode(), as_found(network):
        return tensors_in(network(inputs))


def _logarithms(scores: Float[Tensor, "time token"]) -> Float[Tensor, "time token"]:
    """Of logits, of their logarithms as they are, and of probabilities."""
    sums = scores.sum(1)
    shares = bool((scores >= 0).all()) and torch.allclose(sums, torch.ones_like(sums), atol=1e-3)
    return scores.clamp(min=1e-12).log() if shares else scores.log_softmax(1)
