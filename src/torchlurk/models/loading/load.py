"""From a MODEL spec to a module in eval mode and its preprocessing."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from torchlurk.errors import ModelError, OptionError
from torchlurk.files import expanded
from torchlurk.input_records import ReadsText
from torchlurk.models.loading import callables
from torchlurk.models.loading.files import named_file
from torchlurk.models.loading.identity import unwrap
from torchlurk.models.loading.preprocessing import translate
from torchlurk.models.loading.sources import Network, Weights, hf_network, timm_network, torchvision_network
from torchlurk.models.loading.weights import State, load_state, read_state
from torchlurk.records import Preprocessing

_SOURCES: dict[str, Callable[[str, Weights, object], Network]] = {
    "torchvision": torchvision_network,
    "timm": timm_network,
    "hf": hf_network,
}
_DEMO, _DEMO_TEXT = "demo", "demo-text"
_RANDOM = "random"
_SEED = 0
_KINDS = "torchvision:NAME, timm:NAME, hf:NAME, FILE.py:CALLABLE, package.module:CALLABLE, demo or demo-text"


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A network as it runs: `module` in eval mode and out of its wrappers, on the CPU unless its own code moved it.

    `preprocessing` is None where nothing is known of it, `text` where the model's library does not say that it takes text.
    `told` is what a user should know of where its weights came from.
    """

    module: nn.Module
    preprocessing: Preprocessing | None
    spec: str
    text: ReadsText | None = None
    told: tuple[str, ...] = ()


def load(spec: str, weights: str | Path | None = None, *, preprocessing: bool = True) -> LoadedModel:
    """The model that `spec` names, with its published weights, those of a file, or "random" ones.

    Random weights are the same every time, and the random generators are left as they were. With `preprocessing` off, as
    when the user gives all of it, one that cannot be read is passed over. Raises `ModelError`, `WeightsError`,
    `OptionError` or `MissingExtraError`, each in one line.
    """
    kind, _, name = spec.partition(":")
    with _seeded():
        if kind in _SOURCES and name:
            state = _given(weights)
            module, described = _SOURCES[kind](name, state, _called(weights))
        else:
            module, described = _built(spec)
            module = unwrap(module)
            state = _load_into(module, spec, weights)
        told = tuple(state.told) if isinstance(state, State) else ()
        if isinstance(described, ReadsText):
            return LoadedModel(unwrap(module).eval(), None, spec, described, told)
        return LoadedModel(unwrap(module).eval(), _read(described, required=preprocessing), spec, told=told)


def check_no_weights(weights: str | Path | None) -> None:
    """Raises `OptionError` where weights are given beside a module, which would be left as it is."""
    if weights is not None:
        raise OptionError(
            f"--weights is '{weights}', and the model is a module, which has its own", "load them into it, or name the model"
        )


def _built(spec: str) -> Network:
    if spec == _DEMO:
        from torchlurk.models.loading.demo import PREPROCESSING, demo_network

        return demo_network(), PREPROCESSING
    if spec == _DEMO_TEXT:
        from torchlurk.models.loading.demo_text import TOKENS, demo_text_network

        return demo_text_network(), ReadsText(vocabulary=TOKENS)
    named_file(spec)
    place, _, name = spec.rpartition(":")
    if not place or place.startswith(".") or not name.isidentifier():
        raise ModelError(f"'{spec}' is not a model", f"write {_KINDS}")
    return callables.build(spec)


def _given(weights: str | Path | None) -> Weights:
    if weights is None or weights == _RANDOM:
        return None if weights is None else "random"
    return read_state(expanded(weights))


def _called(weights: str | Path | None) -> str:
    """What messages call the source of the weights."""
    return "the published state" if weights is None else f"'{weights}'"


def _load_into(module: nn.Module, spec: str, weights: str | Path | None) -> State | None:
    if weights == _RANDOM:
        raise OptionError(
            f"--weights random has no effect for '{spec}'", "it applies to torchvision:, timm: and hf:; leave it out"
        )
    if weights is None:
        return None
    state = read_state(expanded(weights))
    load_state(module, state, _called(weights))
    return state


def _read(described: object, *, required: bool) -> Preprocessing | None:
    try:
        return translate(described)
    except ModelError:
        if required:
            raise
        return None


@contextmanager
def _seeded() -> Iterator[None]:
    """The random generators start from the same seed, and are afterwards as they were.

    Only torch's generator of the CPU, on which networks are built: seeding all would start CUDA.
    """
    plain, arrays = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(_SEED)
        random.seed(_SEED)
        np.random.seed(_SEED)
        try:
            yield
        finally:
            random.setstate(plain)
            np.random.set_state(arrays)
