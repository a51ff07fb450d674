"""What the signatures promise: axes are strings that are checked, and nothing is left unchecked without need."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import jaxtyping
import pytest

SOURCES = sorted((Path(__file__).parents[1] / "src" / "torchlurk").rglob("*.py"))
COMPILED = {"compiled", "inlined"}
"""What Numba compiles has registers and addresses as values, for which Python has no types."""


@cache
def trees() -> list[tuple[str, ast.Module]]:
    return [(path.as_posix(), ast.parse(path.read_text("utf-8"))) for path in SOURCES]


@pytest.mark.slow
def test_axes_are_named_in_strings_and_so_are_checked() -> None:
    """A formatter takes the quotes off what happens to be an expression, such as time times channel."""
    for path, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Subscript) and hasattr(jaxtyping, ast.unparse(node.value)):
                _, axes = node.slice.elts if isinstance(node.slice, ast.Tuple) else (None, node.slice)
                assert isinstance(axes, ast.Constant), f"{path}:{node.lineno}: {ast.unparse(node)}"


@pytest.mark.slow
def test_only_what_is_compiled_has_no_types() -> None:
    for path, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                marks = {ast.unparse(mark) for mark in node.decorator_list}
                assert "no_type_check" not in marks or marks & COMPILED, f"{path}:{node.lineno}: {node.name}"
