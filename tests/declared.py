"""Whether a document is as it is declared: what tests of documents and answers share."""

from __future__ import annotations

import types
from typing import Any, Literal, NotRequired, Union, get_args, get_origin, get_type_hints, is_typeddict

ORDINARY = {str: str, bool: bool, int: int, float: (int, float), type(None): type(None), None: type(None)}


def faults(value, of, at):
    """Where a value is not of its declared type."""
    origin, inner = get_origin(of), get_args(of)
    if of is Any:
        return []
    if is_typeddict(of):
        return _keys(value, of, at)
    if origin is Literal:
        return [] if value in inner else [f"{at}: {value!r} is not of {inner}"]
    if origin in (Union, types.UnionType):
        found = [faults(value, one, at) for one in inner]
        return [] if [] in found else [one for some in found for one in some][:1]
    if origin in (list, tuple, dict):
        parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
        if parts is None or (origin is dict) != isinstance(value, dict):
            return [f"{at}: {value!r} is no {origin.__name__}"]
        if origin is tuple and len(value) != len(inner):
            return [f"{at}: {len(value)} values, not {len(inner)}"]
        kinds = inner if origin is tuple else [inner[-1]] * len(value)
        return [one for (key, part), kind in zip(parts, kinds, strict=True) for one in faults(part, kind, f"{at}.{key}")]
    right = isinstance(value, ORDINARY[of]) and (of is bool or not isinstance(value, bool))
    return [] if right else [f"{at}: {value!r} is not of {of}"]


def _keys(value, of, at):
    if not isinstance(value, dict):
        return [f"{at}: {value!r} has no keys"]
    hints = get_type_hints(of, include_extras=True)
    declared = {key: get_args(one)[0] if get_origin(one) is NotRequired else one for key, one in hints.items()}
    missing = [key for key, one in hints.items() if key not in value and get_origin(one) is not NotRequired]
    if "__extra_items__" in declared:
        declared = dict.fromkeys(value, declared["__extra_items__"]) | declared
    told = [f"{at}: no {key}" for key in missing] + [f"{at}: {key} is not declared" for key in value if key not in declared]
    return told + [one for key in value if key in declared for one in faults(value[key], declared[key], f"{at}.{key}")]
