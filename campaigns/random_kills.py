"""A scan killed at random moments and continued, again and again: the study is that of a scan that nothing disturbed.

The scan of some of the demo's examples, in a child process. `interruptions` kills after every transaction; here the moments
are any.
"""

import functools
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from campaigns import recording
from torchlurk.study import Study

SEED = 11
KILLS, CHAINS = 20, 3
TOLERANCE = 1e-5

SLOW_MODEL = """
import sys
import time
sys.path.insert(0, {folder!r})
from {module} import {function} as quick

def net():
    made = quick()
    module = made[0] if isinstance(made, tuple) else made
    forward = module.forward
    def slowly(x):
        time.sleep(0.02)
        return forward(x)
    module.forward = slowly
    return made
"""

SCAN = """
import sys
import torch
torch.set_num_threads(1)
from torchlurk.stages import scan
from torchlurk.study import analyze
scan.SECONDS_BETWEEN_SAVES, scan.SAVE_SHARE, scan.SHARD_EXAMPLES = 0.0, 1.0, 8
print("ready", file=sys.stderr, flush=True)
analyze(sys.argv[1], sys.argv[2], sys.argv[3], batch_size=8, stages=["scan"], limit=int(sys.argv[4]))
"""


def slow_model(file: Path, folder: str, module: str, function: str) -> str:
    """The MODEL of a function's network that sleeps a little in each pass, so that most kills fall into the scan."""
    file.write_text(SLOW_MODEL.format(folder=folder, module=module, function=function))
    return f"{file}:net"


def killed(model: str, data: str, study: Path, limit: int, kills: int, seed: int) -> None:
    """Starts the scan so many times and kills it after up to 1.2 s; then it may finish."""
    moments = random.Random(seed)
    command = [sys.executable, "-c", SCAN, model, data, str(study), str(limit)]
    for _ in range(kills):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        line = process.stderr.readline()
        while line and "ready" not in line:
            line = process.stderr.readline()
        time.sleep(moments.uniform(0.0, 1.2))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stderr.close()
    subprocess.run(command, check=True, capture_output=True)


def same_content(one: Path, other: Path, *, exact: bool) -> None:
    """Compares two studies unit by unit: ids and order where scores differ by more than rounding, values to rounding."""
    with Study(one) as left, Study(other) as right:
        assert [layer.record for layer in left.layers] == [layer.record for layer in right.layers]
        assert left.classes == right.classes
        assert left.skipped == right.skipped
        assert np.array_equal(left.reader.sample_examples(), right.reader.sample_examples())
        for layer in left.layers:
            for mine, theirs in zip(layer, right[layer.name], strict=True):
                same_unit(mine, theirs, 0.0 if exact else TOLERANCE)
        for index in range(left.reader.example_count()):
            assert left.reader.picture(index) == right.reader.picture(index)
        stats = [study.input_statistics for study in (left, right)]
        assert np.allclose(stats[0].spectrum, stats[1].spectrum, rtol=1e-12)


def same_unit(mine, theirs, tolerance):
    near = lambda a, b: (np.isnan(a) and np.isnan(b)) or abs(a - b) <= tolerance * max(1.0, abs(a))  # noqa: E731
    for name, value in mine.statistics.items():
        assert near(value, theirs.statistics[name]), name
    for ranking in ("max", "mean", "quantile"):
        for a, b in zip(mine.exemplars(ranking), theirs.exemplars(ranking), strict=True):
            assert near(a.score, b.score)
            if tolerance == 0:
                assert a == b
    for ranking in ("max", "mean"):
        assert np.allclose(
            mine.record.classes[ranking], theirs.record.classes[ranking], rtol=tolerance, atol=tolerance, equal_nan=True
        )
    assert np.allclose(mine.sample, theirs.sample, rtol=tolerance, atol=tolerance, equal_nan=True)


def check(folder: Path, seed: int) -> None:
    """One chain of kills, against a scan that nothing disturbed."""
    model = slow_model(folder / f"slow{seed}.py", "", "torchlurk.models.loading.demo", "demo_network")
    studies = folder / f"killed{seed}.lurk", folder / f"undisturbed{seed}.lurk"
    for study, kills in zip(studies, (KILLS, 0), strict=True):
        killed(model, "demo", study, 96, kills, seed)
    same_content(*studies, exact=True)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        chains = {f"chain {seed}": functools.partial(check, Path(made), seed) for seed in range(SEED, SEED + CHAINS)}
        recording.run("random_kills", __doc__, SEED, chains)
