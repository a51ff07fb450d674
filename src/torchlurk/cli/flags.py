"""Command-line flags made from the options classes: same names, same help, same checks."""

from __future__ import annotations

import typing
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin

import click

from torchlurk.options import HIGHEST_PORT, help_of
from torchlurk.units import whole_number

Options = TypeVar("Options")
Decorated = TypeVar("Decorated", bound=Callable[..., Any])


PORT = click.IntRange(0, HIGHEST_PORT)


class Numbers(click.ParamType):  # type: ignore[type-arg]  # generic only in newer versions of click
    """Comma-separated numbers, such as 0.485,0.456,0.406."""

    name = "numbers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        """The numbers as a tuple."""
        if isinstance(value, tuple):
            return value
        try:
            return tuple(float(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"'{value}' is not a comma-separated list of numbers, such as 0.485,0.456,0.406", param, ctx)


class Words(click.ParamType):  # type: ignore[type-arg]
    """Comma-separated words."""

    name = "words"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """The words as a tuple."""
        if isinstance(value, tuple):
            return value
        return tuple(word.strip() for word in str(value).split(",") if word.strip())


class Extent(click.ParamType):  # type: ignore[type-arg]
    """One number of pixels, or height and width, comma-separated."""

    name = "extent"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | tuple[int, int]:
        """An int, or (height, width)."""
        if isinstance(value, (int, tuple)):
            return value
        sides = [whole_number(part.strip()) for part in str(value).split(",")]
        known = [side for side in sides if side is not None]
        if len(sides) not in (1, 2) or len(known) < len(sides):
            self.fail(f"'{value}' is neither a number of pixels nor HEIGHT,WIDTH", param, ctx)
        return known[0] if len(known) == 1 else (known[0], known[1])


class Flag(click.Option):
    """A flag whose help names what is there when it is printed: a program may add to tables."""

    def __init__(self, *declarations: Any, told: Callable[[], str], **attributes: Any) -> None:
        super().__init__(*declarations, **attributes)
        self._told = told

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Its line in the help."""
        self.help = self._told()
        return super().get_help_record(ctx)


def flags(*classes: type) -> Callable[[Decorated], Decorated]:
    """A decorator that adds a flag for every field of the options classes, in their order."""

    def decorate(command: Decorated) -> Decorated:
        for options_class in reversed(classes):
            for declarations, attributes in reversed(_flags(options_class)):
                command = click.option(*declarations, cls=Flag, **attributes)(command)
        return command

    return decorate


def added_flags(options_class: type) -> list[click.Option]:
    """The flags of an options class that a program has added after the command was made."""
    return [Flag(declarations, **attributes) for declarations, attributes in _flags(options_class)]


def collect(options_class: type[Options], given: dict[str, Any]) -> Options:
    """The options object made of those of the given values that are its fields."""
    return options_class(**{one.name: given[one.name] for one in fields(options_class)})  # type: ignore[arg-type]


def _flags(options_class: type) -> list[tuple[list[str], dict[str, Any]]]:
    """How each flag is declared: its name, and what click is told of it."""
    hints = typing.get_type_hints(options_class)
    return [_flag(one.name, hints[one.name], one.default, one.metadata) for one in fields(options_class)]


def _flag(name: str, hint: Any, default: Any, metadata: Any) -> tuple[list[str], dict[str, Any]]:
    declared = [f"--{name.replace('_', '-')}"]
    told: dict[str, Any] = {"told": partial(help_of, metadata)}
    if hint is bool:
        return declared, told | {"is_flag": True, "default": default}
    kind = _kind(hint)
    commas = bool(metadata.get("commas"))
    repeated = hint == tuple[str, ...] and not commas
    return declared, told | {
        "type": Words() if commas else kind,
        "default": ",".join(default) if commas else default,
        "multiple": repeated,
        "metavar": metadata["metavar"],
        "show_default": default not in (None, ()) and not repeated,
    }


def _kind(hint: Any) -> Any:
    alternatives = [one for one in get_args(hint) if one is not NoneType] if _is_union(hint) else [hint]
    if get_origin(alternatives[0]) is Literal:
        return click.Choice(get_args(alternatives[0]))
    if tuple[float, ...] in alternatives:
        return Numbers()
    if tuple[int, int] in alternatives:
        return Extent()
    return str if hint == tuple[str, ...] else alternatives[0]


def _is_union(hint: Any) -> bool:
    return get_origin(hint) in (typing.Union, UnionType)
