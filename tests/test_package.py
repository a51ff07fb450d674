"""What can be had without torch, and how quickly."""

import os
import re
import select
import subprocess
import sys
from pathlib import Path

import jaxtyping
import numpy as np
import pytest

from torchlurk.store import columns

ROOT = Path(__file__).parents[1]

TORCHLESS = [
    "errors",
    "units",
    "records",
    "options",
    "jobs",
    "store.reading",
    "rendering.contact_sheet",
    "resources.documents",
    "study",
    "cli.show",
    "cli.check",
]


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("analyze demo demo --out s.lurk --weights absent.pt", "there is no weights file 'absent.pt'"),
        ("layers demo --weights absent.pt", "there is no weights file 'absent.pt'"),
        ("layers absent.py", "there is no file 'absent.py'"),
        ("layers absent.py:net", "there is no file 'absent.py'"),
        ("analyze absent.py:net demo --out s.lurk", "there is no file 'absent.py'"),
        ("explain s.lurk photo.jpg --model absent.py:net", "there is no file 'absent.py'"),
        ("analyze demo absent --out s.lurk", "no file or folder absent"),
        ("demo --out absent/s.lurk", "there is no folder 'absent'"),
        ("analyze demo ~absent/data --out s.lurk", "no file or folder ~absent/data"),
        ("analyze demo hf://datasets/a/b --out s.lurk", "DATA is an address (hf://…)"),
        ("analyze demo https://a.b/{0..9}.tar --out s.lurk", "DATA is an address (https://…)"),
        ("analyze demo absent.py:stream --out s.lurk", "no file or folder absent.py"),
        ("analyze demo absent.npz:x --out s.lurk", "no file or folder absent.npz:x"),
        ("analyze demo absent.tar --out s.lurk", "no file or folder absent.tar"),
        ("analyze demo demo --out absent/s.lurk", "there is no folder 'absent' to write 's.lurk' in"),
        ("analyze demo demo --out s.lurk --stages scan,scam", "--stages names 'scam'; nearest: scan"),
        ("analyze demo demo --out s.lurk --stages ,", "--stages names no stage"),
        ("analyze demo demo --out s.lurk --part 3/2", "--part is '3/2'"),
        ("analyze demo demo --out s.lurk --part 1/2 --serve", "--serve is given with --part"),
        ("analyze demo demo --out s.lurk --top 0", "--top is 0"),
        ("analyze demo demo --out s.lurk --crop ²", "Invalid value for '--crop': '²'"),
        (f"analyze demo demo --out s.lurk --crop {'9' * 5000}", "Invalid value for '--crop': '999"),
    ],
)
def test_what_is_wrong_with_a_command_alone_is_told_before_torch_is_imported(command, said):
    done = run(f"import sys; sys.modules['torch'] = None; from torchlurk.cli import main; main({command.split()})")
    assert done.returncode == 2
    assert done.stderr.startswith(f"torchlurk: {said}")
    assert done.stderr.count("\n") == 1


@pytest.mark.skipif(not hasattr(select, "poll"), reason="asks the system whether a pipe is read")
@pytest.mark.parametrize("printed", ["click.echo('a')", "rich.print('a')", "print('a', flush=True)"])
def test_who_no_longer_reads_what_is_printed_ends_the_command_without_a_word(printed):
    code = (
        "import click, rich; from torchlurk import cli; from torchlurk.cli import show;"
        f" show.command.callback = lambda **_: {printed}; cli.main(['show', 'a.lurk', 'b:0'])"
    )
    read, written = os.pipe()
    os.close(read)
    with open(written, "wb") as unread:
        done = subprocess.run([sys.executable, "-c", code], stdout=unread, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_broken_pipe_of_another_kind_is_no_silent_success():
    done = run(
        "from torchlurk import cli; from torchlurk.cli import show\ndef broken(**_): raise BrokenPipeError(32, 'a socket')\n"
        "show.command.callback = broken; cli.main(['show', 'a.lurk', 'b:0'])"
    )
    assert done.returncode != 0


def test_no_garbage_is_looked_for_when_a_command_ends():
    done = run(
        "import atexit, gc; atexit.register(lambda: print(gc.get_freeze_count() > 0)); from torchlurk.cli import main;"
        " main(['check', 'absent.lurk'])"
    )
    assert (done.returncode, done.stdout) == (2, "True\n")


@pytest.mark.parametrize("module", ["", *(f".{name}" for name in TORCHLESS)])
def test_it_is_imported_without_torch(module):
    done = run(f"import sys, torchlurk{module}; sys.exit('torch' in sys.modules)")
    assert done.returncode == 0, done.stderr


def test_the_package_alone_imports_nothing_heavy():
    done = run(
        "import sys, torchlurk; sys.exit(any(name in sys.modules for name in ('numpy', 'PIL', 'click', 'rich', 'sqlite3')))"
    )
    assert done.returncode == 0, done.stderr


def test_an_unknown_attribute_is_an_attribute_error():
    done = run("import torchlurk; torchlurk.analyse")
    assert "AttributeError: module 'torchlurk' has no attribute 'analyse'" in done.stderr


def test_axes_in_signatures_are_checked_in_tests():
    with pytest.raises(jaxtyping.TypeCheckError, match="unit k"):
        columns.narrow_rows(np.zeros(3, np.float32))


AS_FOUND = """
import os, warnings, torch
found = dict(os.environ), list(warnings.filters)
import torchlurk
network = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), torch.nn.ReLU())
torchlurk.analyze(network, [torch.rand(3, 8, 8)] * 4, "a.lurk", stages=["scan"], mean=(0.5,) * 3, std=(0.5,) * 3).close()
assert found == (dict(os.environ), warnings.filters), set(os.environ) - set(found[0])
"""


@pytest.mark.slow
def test_an_analysis_leaves_the_process_as_found(tmp_path):
    done = subprocess.run([sys.executable, "-c", AS_FOUND], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not (ROOT / "ARCHITECTURE.md").exists(), reason="needs a checkout")
def test_packages_import_downwards_as_the_architecture_shows_them():
    table = (ROOT / "ARCHITECTURE.md").read_text("utf-8").partition("|---|---|\n")[2].partition("\n\n")[0]
    lines = [re.findall(r"`([^`]+)`", row.split("|")[1]) for row in table.splitlines()]
    # What has a line of its own within a package is part of it.
    line_of = {name: number for number, names in enumerate(lines) for name in names if "/" not in name}
    source = ROOT / "src" / "torchlurk"
    for path in sorted(source.rglob("*.py")):
        own = of_table(".".join(path.relative_to(source).with_suffix("").parts), line_of)
        for used in re.findall(r"^\s*from torchlurk\.([\w.]+) import", path.read_text("utf-8"), re.M):
            other = of_table(used, line_of)
            if own and other:
                assert line_of[own] <= line_of[other], f"{path.relative_to(source)} imports {used}, which stands above {own}"


def of_table(module, line_of):
    """The package of a module that the table has: the longest name that it begins with."""
    return max((name for name in line_of if f"{module}.".startswith(f"{name}.")), key=len, default=None)
