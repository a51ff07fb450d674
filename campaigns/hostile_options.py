"""Commands that make no sense: senseless options, strange folders, odd models. Each is refused in one true line, or works.

Each command runs in a process of its own, forked from one that has imported torch. It ends with status 2 and one line that
says what is wrong, in the words that the tables expect, or with 0; no traceback, no more than `MOST_BYTES`, no line that does
not end. CPU time is measured from the start of the command: a refusal takes less than importing torch twice, as where Ray is
asked for, which is imported then. The longest one is recorded.
"""

import functools
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from campaigns import recording
from campaigns.odd_data import FOLDERS
from campaigns.odd_models import MODELS
from campaigns.senseless import OPTIONS, WORKS, Command, prepared
from torchlurk.cli import main

SEED = 0
MOST_BYTES = 1 << 30
MOST_SECONDS = 120.0
"""Of real time: what has not ended by then waits for something."""
LONGEST_LINE = 1500
AT_ONCE = 20


@dataclass(frozen=True)
class Ended:
    """How a command ended: its status, what it said on standard error, CPU seconds, and bytes of memory beyond its parent's."""

    status: int
    said: str
    cpu_seconds: float
    memory: int


def ran(arguments: list[str], folder: Path) -> Ended:
    """Runs `torchlurk` with the arguments in the folder, in a process of its own."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with tempfile.TemporaryFile() as said:
        child = os.fork()
        if child == 0:
            _be(arguments, folder, said.fileno())
        until = time.monotonic() + MOST_SECONDS
        while not (found := os.wait4(child, os.WNOHANG))[0]:
            if time.monotonic() > until:
                os.kill(child, signal.SIGKILL)
            time.sleep(0.005)
        said.seek(0)
        used, text = found[2], said.read().decode("utf-8", "replace")
    memory = max(used.ru_maxrss - before, 0) << 10
    return Ended(os.waitstatus_to_exitcode(found[1]), text, used.ru_utime + used.ru_stime, memory)


def _be(arguments: list[str], folder: Path, said: int) -> None:
    """Is the command, to its end. What an earlier one has written at `s.lurk` goes first."""
    status = 1
    try:
        nothing = os.open(os.devnull, os.O_RDWR)
        for number, target in enumerate((nothing, nothing, said)):
            os.dup2(target, number)
        sys.stdout, sys.stderr = (open(number, "w", closefd=False) for number in (1, 2))  # noqa: SIM115
        os.chdir(folder)
        for one in folder.glob("s.lurk*"):
            one.unlink()
        main(arguments)
        status = 0
    except SystemExit as ended:
        status = int(ended.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def wrong_with(ended: Ended, words: str, importing: float) -> str:
    """What is wrong with how a command ended, '' for nothing; `words` is a pattern of what it has to say."""
    lines = ended.said.rstrip("\n").split("\n")
    if "Traceback" in ended.said:
        return f"a traceback: {lines[-1][:300]}"
    if words is WORKS:
        return "" if ended.status == 0 else f"status {ended.status}: {lines[-1][:300]}"
    expected = 130 if words.startswith("interrupted") else 2
    if ended.status != expected or not lines[-1].startswith("torchlurk: "):
        return f"status {ended.status}: {lines[-1][:300]!r}"
    if any(line.startswith("torchlurk: ") for line in lines[:-1]) or len(lines[-1]) > LONGEST_LINE:
        return f"more than a line: {len(ended.said)} characters"
    if not re.search(words, lines[-1]):
        return f"it does not say {words!r}: {lines[-1][:300]}"
    if ended.memory > MOST_BYTES:
        return f"{ended.memory >> 20} MB"
    return f"{ended.cpu_seconds:.1f} s" if ended.cpu_seconds > 2 * importing else ""


def check(commands: Mapping[str, Command], folder: Path, importing: float) -> dict[str, object]:
    """All of them end as they should; how many were refused, and the longest time of one in times of `import torch`."""
    wrong, refused, longest, most = [], 0, 0.0, 0
    for name, (arguments, words) in commands.items():
        ended = ran(arguments, folder)
        if found := wrong_with(ended, words, importing):
            wrong.append(f"{name}: {found}")
        elif words is not WORKS:
            refused, longest, most = refused + 1, max(longest, ended.cpu_seconds), max(most, ended.memory)
    assert not wrong, "\n".join([f"{len(wrong)} of {len(commands)}", *wrong])
    share = round(longest / importing, 2)
    return {"commands": len(commands), "refused": refused, "longest / import torch": share, "MB beyond its parent": most >> 20}


def seconds_of_import() -> float:
    """CPU seconds that a new process takes to import torch."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", "import torch"], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def in_parts(about: str, commands: Mapping[str, Command]) -> dict[str, dict[str, Command]]:
    """The commands in cases of `AT_ONCE`, by name."""
    names = list(commands)
    parts = [names[first : first + AT_ONCE] for first in range(0, len(names), AT_ONCE)]
    return {f"{about} {number}": {name: commands[name] for name in part} for number, part in enumerate(parts, 1)}


if __name__ == "__main__":
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as made:
        here = Path(made)
        prepared(here)
        import torchlurk.analysis
        import torchlurk.explanation
        import torchlurk.server.running
        import torchlurk.stages.dry_pass  # noqa: F401

        longest = seconds_of_import()
        tables = {"senseless options": OPTIONS, "strange data": FOLDERS, "odd models": MODELS}
        parts = {name: part for about, table in tables.items() for name, part in in_parts(about, table).items()}
        cases = {name: functools.partial(check, part, here, longest) for name, part in parts.items()}
        recording.run("hostile_options", __doc__, SEED, cases)
