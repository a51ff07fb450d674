"""What Python programs give as options, in the types that the options have: lists, arrays and tensors become tuples."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, partial, wraps
from math import isfinite, prod
from pathlib import Path, PurePath
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin

from torchlurk.errors import OptionError, UnitError, telling_keywords
from torchlurk.units import Unit

MOST_SHOWN = 80
"""Characters of a value in a message."""

WORDS = {
    int: "a whole number",
    float: "a number",
    bool: "True or False",
    str: "text",
    Path: "a path",
    Mapping: "a dict",
    Unit: "layer:channel",
}
SEVERAL = {int: "whole numbers", float: "numbers", str: "texts"}
LISTS = (Sequence, Iterable)
"""What a function declares where it takes any list: what it is given is a tuple."""

UNWRITABLE = re.compile("[\0\ud800-\udc7f\udd00-\udfff]")
"""Characters of no file's name, and of no text that is written to one."""

Function = TypeVar("Function", bound=Callable[..., Any])
Kind = TypeVar("Kind")


class _UnfitError(Exception):
    """A value is not of a type."""


def fitted(name: str, value: Any, hint: Any, *, commas: bool = False) -> Any:
    """The value of an option as the type in `hint` has it.

    A list, array or tensor becomes a tuple, one value a tuple of one, a float without a fraction a whole number, a path, unit
    or device its text and, with `commas`, a text the words between them. Raises `OptionError` for what is not of that type.
    """
    if isinstance(value, str) and (strange := UNWRITABLE.search(value)):
        raise OptionError(f"--{name.replace('_', '-')} is {shown(value)}", f"leave out its character {strange[0]!r}")
    try:
        return _as(hint, _plain(value), commas)
    except _UnfitError:
        told = " or ".join(dict.fromkeys(filter(None, map(_told, _kinds(hint)))))
        raise OptionError(f"--{name.replace('_', '-')} is {shown(value)}", f"use {told}") from None


def as_declared(function: Function) -> Function:
    """The function as programs call it: its arguments become of their declared types (`fitted`), or are refused by their
    keywords; all errors from within name keywords.

    Arguments declared as anything but numbers, texts, paths, truth values, choices, units, dicts, and lists of these stay as
    they are.
    """
    plain = inspect.unwrap(function)
    signature = inspect.signature(plain)
    hints_of = cache(partial(_declared, plain))  # at the first call: by then what it names is imported

    @wraps(function)
    def call(*given: Any, **named: Any) -> Any:
        with telling_keywords():
            hints = hints_of()
            try:
                bound = signature.bind(*given, **named)
            except TypeError:
                return function(*given, **named)  # which says what is missing, or too much, as Python does
            for name in bound.arguments.keys() & hints.keys():
                bound.arguments[name] = fitted(name, bound.arguments[name], hints[name])
            return function(*bound.args, **bound.kwargs)

    return typing.cast("Function", call)


def all_as_declared(kind: type[Kind]) -> type[Kind]:
    """A class, all of whose public methods are called `as_declared`, also those that it has from others."""
    for name, method in inspect.getmembers(kind, inspect.isfunction):
        if not name.startswith("_"):
            setattr(kind, name, as_declared(method))
    return kind


def _declared(function: Callable[..., Any]) -> dict[str, Any]:
    """The types of those arguments that `fitted` knows; some modules import others for the type checker alone."""
    found = {}
    for name, written in function.__annotations__.items():
        try:
            hint = eval(written, function.__globals__) if isinstance(written, str) else written
        except (NameError, AttributeError):
            continue
        if name != "return" and _is_known(hint):
            found[name] = hint
    return found


def _is_known(hint: Any) -> bool:
    origin = get_origin(hint) or hint
    if origin in (typing.Union, UnionType, tuple, *LISTS):
        return all(one is Ellipsis or _is_known(one) for one in get_args(hint))
    return origin in (Literal, None, NoneType, *WORDS)


def _kinds(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (typing.Union, UnionType) else (hint,)


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
    if len(kinds := _kinds(kind)) > 1:
        return _as_any(kinds, value, commas)
    if get_origin(kind) in (tuple, *LISTS):
        inner = get_args(kind)
        return _as_tuple(inner if get_origin(kind) is tuple else (*inner, ...), value, commas)
    if (get_origin(kind) or kind) is Mapping:
        return _when(isinstance(value, Mapping), value)
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
    if kind is Unit:
        return Unit.of(value)
    if kind is Path:
        return Path(_when(isinstance(value, (str, PurePath)), value))
    return value  # an option of a stage from outside, of a type that is its own


def _as_any(kinds: Sequence[Any], value: Any, commas: bool) -> Any:
    """The value as the first of the kinds that it fits."""
    refused: Exception = _UnfitError()
    for kind in kinds:
        try:
            return _as(kind, value, commas)
        except _UnfitError:
            continue
        except UnitError as error:  # it says how units are written
            refused = error
    raise refused


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
    if get_origin(kind) in (tuple, *LISTS):
        first, *others = get_args(kind)
        many = SEVERAL.get(_kinds(first)[0], "values")
        return f"a tuple of {many}" if others in ([], [...]) else f"{1 + len(others)} {many}"
    return "" if kind is NoneType else WORDS.get(get_origin(kind) or kind, str(kind))


def shown(value: Any) -> str:
    """A value in a message, in one line, its beginning where it is long."""
    written = " ".join(repr(value).split())
    return written if len(written) <= MOST_SHOWN else f"{written[:MOST_SHOWN]}…"
