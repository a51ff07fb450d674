"""What Python programs give as options, in the types that the options have: lists, arrays and tensors become tuples."""

from __future__ import annotations

import typing
from collections.abc import Iterable, Mapping
from math import isfinite, prod
from pathlib import PurePath
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin

from torchlurk.errors import OptionError
from torchlurk.units import Unit

MOST_SHOWN = 80
"""Characters of a value in a message."""

WORDS = {int: "a whole number", float: "a number", bool: "True or False", str: "text"}
SEVERAL = {int: "whole numbers", float: "numbers", str: "texts"}


class _UnfitError(Exception):
    """A value is not of a type."""


def fitted(name: str, value: Any, hint: Any, *, commas: bool = False) -> Any:
    """The value of an option as the type in `hint` has it.

    A list, array or tensor becomes a tuple, one value a tuple of one, a float without a fraction a whole number, a path, unit
    or device its text and, with `commas`, a text the words between them. Raises `OptionError` for what is not of that type.
    """
    kinds = get_args(hint) if get_origin(hint) in (typing.Union, UnionType) else (hint,)
    plain = _plain(value)
    for kind in kinds:
        try:
            return _as(kind, plain, commas)
        except _UnfitError:
            continue
    raise OptionError(f"--{name.replace('_', '-')} is {_shown(value)}", f"use {' or '.join(filter(None, map(_told, kinds)))}")


def as_position(value: Any) -> tuple[int, ...] | None:
    """A position in a layer's map as a tuple, of sequences also a single number; raises `OptionError` for anything else."""
    found: tuple[int, ...] | None = fitted("position", value, tuple[int, ...] | None)
    return found


def _plain(value: Any) -> Any:
    """An array or tensor as numbers or lists of them; of several axes those of the only one that is longer than 1."""
    if not callable(getattr(value, "tolist", None)):
        return value
    shape = tuple(getattr(value, "shape", ()))
    flat = len(shape) > 1 and max(shape) == prod(shape)
    return value.reshape(-1).tolist() if flat else value.tolist()


def _as(kind: Any, value: Any, commas: bool) -> Any:
    if get_origin(kind) is tuple:
        return _as_tuple(get_args(kind), value, commas)
    if get_origin(kind) is Literal:
        return _when(isinstance(value, str) and value in get_args(kind), value)
    if kind is bool or kind in (None, NoneType):
        return _when(isinstance(value, bool) if kind is bool else value is None, value)
    if kind is int:
        _when(isinstance(value, (int, float)) and not isinstance(value, bool), value)
        return int(_when(isfinite(value) and value == value // 1, value))
    if kind is float:
        return _when(isinstance(value, (int, float)) and not isinstance(value, bool), value)
    if kind is str:
        named = isinstance(value, (str, PurePath, Unit)) or type(value).__name__ == "device"
        return str(_when(named, value))
    return value  # an option of a stage from outside, of a type that is its own


def _as_tuple(kinds: tuple[Any, ...], value: Any, commas: bool) -> tuple[Any, ...]:
    several = not isinstance(value, (str, bytes, Mapping)) and isinstance(value, Iterable)
    if isinstance(value, str) and commas:
        value, several = [word.strip() for word in value.split(",")], True
    found = list(value) if several else [value]
    if kinds[-1] is not Ellipsis:
        _when(len(found) == len(kinds), value)
    each = [kinds[0]] * len(found) if kinds[-1] is Ellipsis else kinds
    return tuple(_as(kind, _plain(one), commas) for kind, one in zip(each, found, strict=True))


def _when(fits: bool, value: Any) -> Any:
    if not fits:
        raise _UnfitError
    return value


def _told(kind: Any) -> str:
    """A type in words; '' for None."""
    if get_origin(kind) is Literal:
        return ", ".join(get_args(kind))
    if get_origin(kind) is tuple:
        first, *others = get_args(kind)
        many = SEVERAL.get(first, "values")
        return f"a tuple of {many}" if others == [...] else f"{1 + len(others)} {many}"
    return "" if kind is NoneType else WORDS.get(kind, str(kind))


def _shown(value: Any) -> str:
    shown = " ".join(repr(value).split())
    return shown if len(shown) <= MOST_SHOWN else f"{shown[:MOST_SHOWN]}…"
