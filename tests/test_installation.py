"""What is installed with the package: everything that it imports is declared, and what is optional may be absent."""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
import tomllib
from pathlib import Path

import pytest

from torchlurk import compiled

ROOT = Path(__file__).parents[1]
DISTRIBUTIONS = {"PIL": "pillow", "llvmlite": "numba"}
"""By what is imported, where that is not the name: Numba brings the one llvmlite that it works with."""


def named(requirement: str) -> str:
    """A distribution as its packages are imported, but for those of another name."""
    return re.match(r"[\w.-]+", requirement)[0].lower().replace("-", "_")


def declared() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = [one for some in project["optional-dependencies"].values() for one in some]
    return {named(one) for one in [*project["dependencies"], *extras]}


def imported(tree: ast.Module) -> set[str]:
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module and not node.level}
    return {name.partition(".")[0] for name in names}


@pytest.mark.slow
@pytest.mark.skipif(not (ROOT / "pyproject.toml").exists(), reason="needs a checkout")
def test_everything_that_is_imported_is_declared():
    known = declared() | set(sys.stdlib_module_names) | {"torchlurk"}
    for path in sorted((ROOT / "src" / "torchlurk").rglob("*.py")):
        others = {DISTRIBUTIONS.get(name, name) for name in imported(ast.parse(path.read_text("utf-8")))} - known
        assert not others, f"{path.relative_to(ROOT)} imports {', '.join(sorted(others))}"


def test_a_scan_without_numba_says_what_would_be_quicker(monkeypatch):
    assert compiled.advice("cpu") is None
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert compiled.advice("cuda") is None
    assert "pip install 'torchlurk[fast]'" in compiled.advice("cpu")


@pytest.mark.skipif(not (ROOT / "release").exists(), reason="needs a checkout")
def test_conda_is_asked_for_what_pip_is():
    recipe = (ROOT / "release" / "conda" / "recipe.yaml").read_text("utf-8")
    asked = set(re.findall(r"- (\S+) >=([\d.]+)", recipe.partition("  run:")[2].partition("tests:")[0]))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    needed = [*project["dependencies"], *project["optional-dependencies"]["fast"]]
    bounds = {tuple(one.partition(";")[0].strip().split(">=")) for one in needed}
    assert asked == {("pytorch" if name == "torch" else name, bound) for name, bound in bounds}
