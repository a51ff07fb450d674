"""What benchmarks take from the package is there: nothing else runs them when names change."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

BENCHMARKS = sorted((Path(__file__).parents[1] / "benchmarks").glob("*.py"))


def taken(file: Path) -> list[tuple[str, str]]:
    """Modules of the package and the names that a file imports from them."""
    found = [one for one in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(one, ast.ImportFrom)]
    return [(one.module or "", name.name) for one in found for name in one.names if (one.module or "").startswith("torchlurk")]


@pytest.mark.slow
@pytest.mark.parametrize("file", BENCHMARKS, ids=[file.stem for file in BENCHMARKS])
def test_what_a_benchmark_imports_from_the_package_is_there(file: Path) -> None:
    for module, name in taken(file):
        try:
            found = importlib.import_module(module)
        except ImportError as error:
            pytest.skip(str(error))  # an extra that is not there
        if not hasattr(found, name):  # a module of a package
            importlib.import_module(f"{module}.{name}")
