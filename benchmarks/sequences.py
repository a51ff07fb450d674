"""What the scan of a text costs over the forward pass that it rides on: states alone, and with all cells and gates.

CPU time of one thread; the plain pass and the ways of scanning take turns on the same shards of two batches, so that whatever
else the machine does meets all alike; medians. The network is that of textgenrnn (two LSTMs of 128 units over 465 characters,
attention over all steps) with random weights, on tokens drawn by Zipf's law.

    python benchmarks/sequences.py [--rounds 15] [--batch-size 64] [--steps 40]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from torchlurk.inputs.feeding import feed
from torchlurk.inputs.items import Batch
from torchlurk.inputs.sources.dataset_opening import open_dataset
from torchlurk.inputs.text.frequencies import frequent_tokens
from torchlurk.jobs import Silence
from torchlurk.models.survey.axes import Axes
from torchlurk.models.survey.layers import choose, survey
from torchlurk.options import InputOptions
from torchlurk.scanning.job import Scan
from torchlurk.scanning.room import Room
from torchlurk.scanning.statistics import draw_sample

TOKENS, UNITS, WIDTH = 465, 128, 100
TOP, SAMPLE = 9, 1024
WAYS = {"states": ("output",), "states, cells and gates": ("all",)}
TOGETHER, WARM = 2, 1
"""Batches of a shard, and shards that are not measured: kernels are compiled, and classes and leaders begin."""
AIMS = {"states": 1.15, "states, cells and gates": 3.0}


Way = Callable[[Sequence[Batch]], None]


class TextGen(nn.Module):
    """Characters to scores of the next."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(TOKENS, WIDTH)
        self.rnn_1, self.rnn_2 = nn.LSTM(WIDTH, UNITS, batch_first=True), nn.LSTM(UNITS, UNITS, batch_first=True)
        self.attention, self.output = nn.Linear(WIDTH + 2 * UNITS, 1, bias=False), nn.Linear(WIDTH + 2 * UNITS, TOKENS)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of one character."""
        embedded = self.embedding(x)
        first, _ = self.rnn_1(embedded)
        second, _ = self.rnn_2(first)
        everything = torch.cat([embedded, first, second], -1)
        return self.output((self.attention(everything).softmax(1) * everything).sum(1))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, and prints a line a way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, usual in (("rounds", 15), ("batch-size", 64), ("steps", 40)):
        parser.add_argument(f"--{name}", type=int, default=usual)
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    drawn = np.random.default_rng(0).zipf(1.3, ((given.rounds + WARM) * TOGETHER * given.batch_size, given.steps)) % TOKENS
    source = open_dataset(
        TensorDataset(torch.from_numpy(drawn)), InputOptions(), vocabulary=[str(one) for one in range(TOKENS)]
    )
    network = TextGen().eval()
    batches = list(feed(source, range(len(drawn)), given.batch_size, 1))
    shards = [batches[start : start + TOGETHER] for start in range(0, len(batches), TOGETHER)]
    layers = survey(network, torch.from_numpy(drawn[:1]), axes=Axes.of("bt")).layers
    ways: dict[str, Way] = {"forward pass": lambda shard: plain_pass(network, shard)}
    for way, streams in WAYS.items():
        job = Scan(
            network=network,
            layers=choose(layers, streams=streams),
            source=source,
            top=TOP,
            sample=draw_sample(len(drawn), SAMPLE, 0),
            batch_size=given.batch_size,
            workers=1,
            device=torch.device("cpu"),
            dtype=torch.float32,
            progress=Silence(),
            tokens=frequent_tokens(source),
        )
        ways[way] = scanning(job)
    seconds = measured(ways, shards)
    plain = statistics.median(seconds.pop("forward pass"))
    print(f"forward pass: {plain / TOGETHER / given.batch_size / given.steps * 1e6:.1f} µs a step")
    for way, found in seconds.items():
        print(f"{way}: {statistics.median(found) / plain:.2f} times the forward pass, aim {AIMS[way]}")


def plain_pass(network: nn.Module, shard: Sequence[Batch]) -> None:
    """The network alone."""
    with torch.inference_mode():
        for batch in shard:
            network(batch.values)


def scanning(job: Scan) -> Way:
    """Takes one shard after the other into a part, as the scan does."""
    part = job.empty()

    def take(shard: Sequence[Batch]) -> None:
        with job._taking(part, None, Room()) as taking:
            for batch in shard:
                taking(batch)

    return take


def measured(ways: Mapping[str, Way], shards: Sequence[Sequence[Batch]]) -> dict[str, list[float]]:
    """CPU seconds of each way on each shard but the first ones, in turns."""
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for number, shard in enumerate(shards):
        for way, run in ways.items():
            started = time.process_time()
            run(shard)
            if number >= WARM:
                seconds[way].append(time.process_time() - started)
    return seconds


if __name__ == "__main__":
    main()
