"""What a worker in another process needs to know of a job: its networks by how they are made, all else by value, and what the
program has added to tables.

A network that was given as MODEL is described by its text, and loaded anew where the worker runs; one that is an object of a
program is pickled, as is the data: a source is a list of paths, or the program's own data set. A description is made and
opened by one run: nothing that comes from a file is ever unpickled.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from types import FunctionType
from typing import Any, Protocol, runtime_checkable

import torch
from torch import nn

from torchlurk.engines.additions import additions, take
from torchlurk.errors import MismatchError, OptionError, in_one_line
from torchlurk.files import expanded
from torchlurk.jobs import Silence
from torchlurk.models.loading.identity import fingerprint
from torchlurk.models.loading.load import load
from torchlurk.models.loading.placement import place
from torchlurk.models.taps.arguments import Arguments, Companions, accompanied, called_with
from torchlurk.options import Precision


@dataclass(frozen=True, slots=True)
class Named:
    """MODEL and --weights as they were written; files by their whole path, for the worker may run in another folder."""

    model: str
    weights: str | None

    @classmethod
    def of(cls, model: str, weights: str | Path | None) -> Named:
        """The same for any folder."""
        file, _, function = model.rpartition(":")
        if file.endswith(".py"):
            model = f"{expanded(file).absolute()}:{function}"
        if weights not in (None, "random"):
            weights = expanded(str(weights)).absolute()
        return cls(model, None if weights is None else str(weights))


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a network of a job is made: out of the module that was given, which may have a name, to run in this place, called
    with these arguments.
    """

    module: nn.Module
    named: Named | None
    device: torch.device
    precision: Precision
    arguments: Arguments
    companions: Companions
    """What the network is given beside inputs of which nothing else is said."""


@runtime_checkable
class Describable(Protocol):
    """A job that can be done in another process."""

    @property
    def networks(self) -> Sequence[tuple[nn.Module, Recipe]]:
        """Each network that the job holds, with how it is made."""


class ByModules(pickle.Pickler):
    """Pickles classes and functions by the module that defines them, which the other process must be able to import."""

    def reducer_override(self, obj: Any) -> Any:
        """Refuses what only this program has."""
        if isinstance(obj, (type, FunctionType)) and obj.__module__ == "__main__":
            raise pickle.PicklingError(f"{obj.__qualname__} is defined in the program itself, not in a module")
        return NotImplemented


@dataclass(frozen=True, slots=True)
class _Ingredients:
    """A recipe as it is sent: the module itself only where it has no name."""

    model: nn.Module | Named
    fingerprint: str
    device: torch.device
    precision: Precision
    arguments: Arguments
    companions: Companions


@dataclass(frozen=True, slots=True)
class Description:
    """A job as bytes, which this run pickled."""

    additions: bytes
    networks: bytes
    job: bytes

    @classmethod
    def of(cls, job: Describable, pickler: type[pickle.Pickler] = ByModules) -> Description:
        """The description of a job; `pickler` may be one that can pickle more.

        Raises `OptionError` that names what cannot be sent to another process.
        """
        recipes = [
            _Ingredients(
                one.named or one.module, fingerprint(one.module), one.device, one.precision, one.arguments, one.companions
            )
            for _, one in job.networks
        ]
        with ExitStack() as bare:
            for _, one in job.networks:
                bare.enter_context(as_given(one))
            packed = _pickled(tuple(recipes), {}, pickler, "the model", "give MODEL by name")
        known = {id(network): (NETWORK, number) for number, (network, _) in enumerate(job.networks)}
        if (progress := getattr(job, "progress", None)) is not None:
            known[id(progress)] = (PROGRESS, 0)
        added = _pickled(additions(), {}, pickler, "what the program has added", "define it in a module")
        return cls(added, packed, _pickled(job, known, pickler, "the data", "define what it is made of in a module"))

    @contextmanager
    def opened(self) -> Iterator[Any]:
        """The job, as it is in another process; its networks are made for it. Raises `MismatchError` for another model."""
        loaded: dict[Named, nn.Module] = {}
        take(pickle.loads(self.additions))
        with ExitStack() as stack:
            networks = []
            for one in pickle.loads(self.networks):
                placed = place(_found(one, loaded), one.device, one.precision)
                if placed not in networks:
                    stack.enter_context(called_with(placed, one.arguments))
                    stack.enter_context(accompanied(placed, one.companions))
                networks.append(placed)
            yield _Unpickler(self.job, networks).load()


@contextmanager
def as_given(recipe: Recipe) -> Iterator[None]:
    """Within it the module has its own forward, which takes more than inputs, where it was replaced by `called_with`."""
    replaced = None if recipe.arguments.plain else vars(recipe.module).pop("forward", None)
    try:
        yield
    finally:
        if replaced is not None:
            vars(recipe.module)["forward"] = replaced


def _found(one: _Ingredients, loaded: dict[Named, nn.Module]) -> nn.Module:
    if isinstance(one.model, nn.Module):
        return one.model
    if one.model not in loaded:
        module = load(one.model.model, one.model.weights, preprocessing=False).module
        if fingerprint(module) != one.fingerprint:
            raise MismatchError(f"{one.model.model} has other weights where a worker runs", "use the same files everywhere")
        loaded[one.model] = module
    return loaded[one.model]


NETWORK, PROGRESS = "network", "progress"
"""What is not pickled, but known by its number, or by nothing, where it is unpickled."""


class _Unpickler(pickle.Unpickler):
    def __init__(self, packed: bytes, networks: Sequence[nn.Module]) -> None:
        super().__init__(io.BytesIO(packed))
        self._networks = networks

    def persistent_load(self, pid: Any) -> Any:
        kind, number = pid
        return self._networks[number] if kind == NETWORK else Silence()


def _pickled(value: Any, known: Mapping[int, tuple[str, int]], pickler: type[pickle.Pickler], what: str, hint: str) -> bytes:
    """The value as bytes, but for what is `known` by its id; raises `OptionError` that says which part of it cannot be."""
    own = type("Own", (pickler,), {"persistent_id": lambda self, obj: known.get(id(obj))})

    def packed(part: Any) -> bytes:
        stream = io.BytesIO()
        own(stream, pickle.HIGHEST_PROTOCOL).dump(part)
        return stream.getvalue()

    try:
        return packed(value)
    except Exception as error:  # a user's object can fail in any way
        where, reason = _culprit(value, packed, error)
        called = ".".join(where[1:] if isinstance(value, tuple) else where)
        raise OptionError(
            f"{what} cannot be sent to another process: {f'{called}: ' if called else ''}{in_one_line(reason)}",
            f"{hint}, or use an engine of this process: --engine threads",
        ) from error


def _culprit(value: Any, packed: Any, error: Exception) -> tuple[list[str], Exception]:
    """The innermost part of a value that cannot be pickled, by the names that lead to it, and why."""
    names: list[str] = []
    seen: set[int] = set()
    while id(value) not in seen:
        seen.add(id(value))
        for name, part in _parts(value):
            try:
                packed(part)
            except Exception as deeper:
                error, value = deeper, part
                names += [name.strip("_")] if name else []
                break
    return names, error


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        yield from ((str(name), part) for name, part in value.items())
    elif isinstance(value, (list, tuple)):
        yield from ((str(number), part) for number, part in enumerate(value))
    elif is_dataclass(value) and not isinstance(value, type):
        yield from ((one.name, getattr(value, one.name)) for one in fields(value))
    elif hasattr(value, "__dict__") and not isinstance(value, (type, FunctionType)):
        for name, part in vars(value).items():
            inside = isinstance(value, nn.Module) and name in ("_modules", "_parameters", "_buffers")
            yield ("" if inside else name), part
