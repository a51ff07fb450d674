"""The Python file that a MODEL names: known from its name and a look at the disk, before torch is imported."""

from __future__ import annotations

import ast
from pathlib import Path

from torchlurk.errors import ModelError, nearest
from torchlurk.files import expanded

_SUFFIX = ".py"


def named_file(spec: str) -> Path | None:
    """The file of `FILE.py:CALLABLE`, None for any other spec.

    Raises `ModelError` where it is not there, or where the callable is not named: then with the names that the file has.
    """
    place, _, name = spec.rpartition(":")
    if spec.endswith(_SUFFIX):
        place, name = spec, ""
    if not place.endswith(_SUFFIX):
        return None
    file = expanded(place)
    if not file.is_file():
        raise _absent(file, place)
    if not name.isidentifier():
        raise _without_callable(file, place)
    return file


def _absent(file: Path, place: str) -> ModelError:
    try:
        beside = [one.name for one in file.parent.iterdir() if one.suffix == _SUFFIX and one.is_file()]
    except OSError:
        beside = []
    what = f"'{place}' is a folder, not a Python file" if file.is_dir() else f"there is no file '{place}'"
    return ModelError(
        f"{what}{nearest(file.name, beside)}",
        "FILE.py:CALLABLE is a Python file, from the current folder, and the function or class in it that makes the model",
    )


def _without_callable(file: Path, place: str) -> ModelError:
    try:
        statements = ast.parse(file.read_bytes()).body
    except (OSError, SyntaxError, ValueError):
        statements = []
    kinds = (ast.FunctionDef, ast.ClassDef)
    names = [one.name for one in statements if isinstance(one, kinds) and not one.name.startswith("_")]
    written = ", ".join(f"{place}:{name}" for name in names)
    return ModelError(
        f"'{place}' is a file; it does not say which of its models to use",
        f"name one of its callables: {written}" if names else f"write {place}:CALLABLE",
    )
