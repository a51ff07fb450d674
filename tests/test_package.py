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
