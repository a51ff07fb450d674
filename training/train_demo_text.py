"""Trains the demo's network for text on the text world and writes the weights that come with the package.

python training/train_demo_text.py

Under two minutes of one core. Measured on 200 fresh documents (seed 2): 2.49, 2.42, 2.38 and 2.37 bits a character after each
epoch. The demo's study uses seed 0, which is fresh too. What single units know then is measured by campaigns/text_world.py.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Int64
from safetensors.torch import save_file
from torch import Tensor, nn

import torchlurk.models.loading.demo_text as demo
from torchlurk.inputs.demo.documents import write

TRAINING_SEED, CHECK_SEED = 1, 2
TRAINING_DOCUMENTS, CHECK_DOCUMENTS = 6_000, 200
EPOCHS, BATCH = 4, 32
STEPS = 120
"""Of one pass backwards; the state goes on from one to the next."""
PEAK_RATE, WARM_UP, LONGEST_GRADIENT = 6e-3, 0.05, 1.0
REMEMBERED = 2.0
"""What the forget gates begin with: units that keep what they have seen learn to count and to remember sooner."""

LINE_END = 5.0
"""The weight of the end of a line, which is one character in forty: the network learns to count columns in single units."""

IGNORED = -100
"""In targets: nothing is predicted here."""


def documents(seed: int, count: int) -> list[Int64[Tensor, " time"]]:
    """The ids of the first documents of a world."""
    index_of = {token: index for index, token in enumerate(demo.TOKENS)}
    return [torch.tensor([index_of[one] for one in write(seed, index).text]) for index in range(count)]


def batches(
    texts: list[Int64[Tensor, " time"]], random: torch.Generator | None
) -> Iterator[tuple[Int64[Tensor, "batch time"], Int64[Tensor, "batch time"]]]:
    """Documents of about one length together, padded at their ends: inputs and what comes next."""
    order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
    groups = [order[start : start + BATCH] for start in range(0, len(order), BATCH)]
    for group in torch.randperm(len(groups), generator=random).tolist() if random else range(len(groups)):
        chosen = [texts[index] for index in groups[group]]
        inputs = nn.utils.rnn.pad_sequence([one[:-1] for one in chosen], batch_first=True)
        targets = nn.utils.rnn.pad_sequence([one[1:] for one in chosen], batch_first=True, padding_value=IGNORED)
        yield inputs, targets


def learning_rate(share: float) -> float:
    """Up along a line, down along a cosine."""
    if share < WARM_UP:
        return PEAK_RATE * share / WARM_UP
    return PEAK_RATE * 0.5 * (1 + math.cos(math.pi * (share - WARM_UP) / (1 - WARM_UP)))


def train(network: demo.DemoTextNetwork, texts: list[Int64[Tensor, " time"]], check: list[Int64[Tensor, " time"]]) -> None:
    """All epochs; prints the bits per character after each."""
    random = torch.Generator().manual_seed(0)
    update = torch.optim.Adam(network.parameters(), lr=PEAK_RATE)
    weights = torch.ones(len(demo.TOKENS))
    weights[demo.TOKENS.index("\n")] = LINE_END
    passes, done = EPOCHS * math.ceil(len(texts) / BATCH), 0
    for epoch in range(EPOCHS):
        started = time.process_time()
        for inputs, targets in batches(texts, random):
            for group in update.param_groups:
                group["lr"] = learning_rate((done + 1) / passes)
            state = None
            for part, wanted in zip(inputs.split(STEPS, 1), targets.split(STEPS, 1), strict=True):
                states, state = network.lstm(network.embedding(part), state)
                scores = network.head(states).flatten(0, 1)
                loss = F.cross_entropy(scores, wanted.flatten(), weights, ignore_index=IGNORED)
                update.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(network.parameters(), LONGEST_GRADIENT)
                update.step()
                state = tuple(one.detach() for one in state)
            done += 1
        seconds = time.process_time() - started
        print(f"epoch {epoch + 1}: {bits(network, check):.4f} bits a character, {seconds:.0f} s", flush=True)


@torch.inference_mode()
def bits(network: nn.Module, texts: list[Int64[Tensor, " time"]]) -> float:
    """The mean surprise at the next character of documents."""
    total, count = 0.0, 0
    for inputs, targets in batches(texts, None):
        losses = F.cross_entropy(network(inputs).flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="sum")
        total, count = total + losses.item(), count + int((targets != IGNORED).sum())
    return total / count / math.log(2)


def halved(network: nn.Module) -> dict[str, Tensor]:
    """The state in half precision."""
    return {name: value.half().contiguous() for name, value in network.state_dict().items()}


def main() -> None:
    """Trains, writes the weights, and measures what was written."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(demo.__file__).parent / demo.WEIGHTS)
    options = parser.parse_args()
    torch.set_num_threads(1)  # sums in another order would end in other weights
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(0)
    network = demo.DemoTextNetwork()
    with torch.no_grad():
        network.lstm.bias_ih_l0[demo.UNITS : 2 * demo.UNITS] = REMEMBERED
    texts, check = documents(TRAINING_SEED, TRAINING_DOCUMENTS), documents(CHECK_SEED, CHECK_DOCUMENTS)
    train(network, texts, check)
    save_file(halved(network), options.out)
    network.load_state_dict(halved(network))
    print(f"{options.out}: {options.out.stat().st_size / 2**10:.0f} KiB, {bits(network, check):.4f} bits a character")


if __name__ == "__main__":
    main()
