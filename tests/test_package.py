"""What can be had without torch, and how quickly."""

import subprocess
import sys

import jaxtyping
import numpy as np
import pytest

from torchlurk.store import columns

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
