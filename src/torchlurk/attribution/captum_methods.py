"""Captum's attribution methods by class name, for units and for classes, which are units of the last layer."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from torchlurk.errors import MissingExtraError, ModelError, OptionError, is_out_of_memory, nearest, told
from torchlurk.models.taps.arguments import of_rows
from torchlurk.models.taps.readout import Readout, UnreachedError
from torchlurk.models.taps.tensors import output_tensor

OF_HIDDEN_LAYERS = ("LayerAttribution", "NeuronAttribution", "DataLoaderAttribution")
"""Captum's kinds of methods that do not attribute a function to its input."""


@dataclass(frozen=True, slots=True)
class CaptumMethod:
    """One of Captum's methods with its default settings."""

    kind: Callable[[Readout], Any]
    name: str

    @classmethod
    def named(cls, name: str) -> CaptumMethod:
        """The method of that class name; raises `OptionError` where Captum has none that works without more arguments."""
        captum = _captum()
        known = {one: kind for one, kind in vars(captum).items() if _attributes_to_input(captum, kind)}
        usable = [one for one, kind in known.items() if not _needed(kind)]
        if name not in known:
            raise OptionError(f"no method '{name}' in Captum{nearest(name, usable)}", f"use {', '.join(sorted(usable))}")
        if name not in usable:
            needed = ", ".join(_needed(known[name]))
            raise OptionError(f"Captum's {name} needs more than a model and an input: {needed}", "call Captum directly for it")
        return cls(known[name], name)

    def __call__(
        self,
        readout: Readout,
        inputs: Float[Tensor, "pair ..."],
        channels: Int[Tensor, " pair"],
        positions: Int[Tensor, " pair"] | None,
    ) -> tuple[Float[Tensor, "pair ..."], Float[Tensor, " pair"]]:
        """The attributions and the activations that they are of."""
        with torch.no_grad():
            activations = readout(inputs, channels, positions)
            with of_rows(readout.module, slice(0, 1)):
                readout = _Pinned.at(readout, inputs[:1])
        given = (channels,) if positions is None else (channels, positions)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"captum\.")  # that it sets hooks, which it also removes
            try:
                method = self.kind(readout)
                found = method.attribute(
                    inputs.detach().clone(), additional_forward_args=given, **_baseline(method, readout, inputs)
                )
            except ModelError:
                raise
            except Exception as error:
                if is_out_of_memory(error):
                    raise
                raise ModelError(
                    f"Captum's {self.name} is not defined for this network: {told(error)}", "choose another method"
                ) from error
        return found.detach(), activations


def _baseline(method: Any, readout: Readout, inputs: Tensor) -> dict[str, Tensor]:
    """What a method compares with, where it takes that and an input is known that says nothing; else Captum's own: zeros."""
    neutral = readout.neutral(inputs) if "baselines" in inspect.signature(method.attribute).parameters else None
    return {} if neutral is None else {"baselines": neutral}


class _Pinned(Readout):
    """Reads the units from the n-th call of a module, whatever that call was given.

    Captum's hooks hand modules copies of their inputs, through which a layer's output cannot be followed.
    """

    def __init__(self, readout: Readout, number: int) -> None:
        super().__init__(readout.module, readout.layer)
        self._readout, self.number, self.averaged = readout, number, readout.averaged

    @classmethod
    def at(cls, readout: Readout, inputs: Float[Tensor, "pair ..."]) -> Readout:
        """The same readout, pinned where a module's output is what is read after following."""
        path = readout.layer.read_at[-1] if readout.layer.read_at else ""
        if not path or path.endswith("()"):
            return readout
        calls: list[None] = []
        handle = readout.module.get_submodule(path).register_forward_hook(lambda *_: calls.append(None), prepend=True)
        try:
            readout.activation(inputs)
        finally:
            handle.remove()
        return cls(readout, len(calls))

    def neutral(self, inputs: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."] | None:
        return self._readout.neutral(inputs)

    def run(self, inputs: Tensor) -> None:
        self._readout.run(inputs)

    def activation(self, inputs: Float[Tensor, "batch ..."]) -> Tensor:
        calls: list[Tensor] = []

        def arrived(module: nn.Module, args: Any, output: Any) -> None:
            tensor = output_tensor(output)
            assert tensor is not None
            calls.append(tensor)
            if len(calls) == self.number:
                raise _Reached

        handle = self.module.get_submodule(self.layer.read_at[-1]).register_forward_hook(arrived)
        try:
            with contextlib.suppress(_Reached):
                self.run(inputs)
        finally:
            handle.remove()
        if len(calls) < self.number:
            raise UnreachedError(self.layer)
        return calls[-1]


class _Reached(BaseException):
    """Ends a pass where it was to go. Not an `Exception`: models may catch those."""


def _captum() -> Any:
    try:
        return importlib.import_module("captum.attr")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "captum":
            raise MissingExtraError(
                f"Captum cannot be imported: {error}", "pip install --upgrade 'torchlurk[captum]'"
            ) from error
        raise MissingExtraError("Captum is not installed", "pip install 'torchlurk[captum]'") from error
    except (ImportError, RuntimeError) as error:
        raise MissingExtraError(f"Captum cannot be imported: {error}", "pip install --upgrade 'torchlurk[captum]'") from error


def _attributes_to_input(captum: Any, kind: Any) -> bool:
    if not (inspect.isclass(kind) and issubclass(kind, captum.Attribution)) or inspect.isabstract(kind):
        return False
    hidden = tuple(getattr(captum, name) for name in OF_HIDDEN_LAYERS if hasattr(captum, name))
    return not issubclass(kind, hidden) and kind.__name__ not in ABSTRACT


ABSTRACT = frozenset({"Attribution", "GradientAttribution", "PerturbationAttribution"})
"""Captum's base classes, which it does not mark as such."""


def _needed(kind: Any) -> list[str]:
    """What it cannot do without, besides the function and its input."""
    makes, attributes = (inspect.signature(one).parameters.values() for one in (kind.__init__, kind.attribute))
    made = [one for one in makes if one.default is one.empty and one.kind is one.POSITIONAL_OR_KEYWORD][2:]
    run = [one for one in attributes if one.default is one.empty and one.kind is one.POSITIONAL_OR_KEYWORD][2:]
    return [one.name for one in (*made, *run)]
