"""The methods by name: how a picture of what excited a unit is made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from torchlurk.attribution import rules
from torchlurk.attribution.captum_methods import CaptumMethod
from torchlurk.errors import OptionError, nearest
from torchlurk.models.taps.backward_rules import Rule, Rules
from torchlurk.models.taps.readout import Readout
from torchlurk.tables import METHODS

Inputs = Float[Tensor, "pair ..."]
Method = Callable[[Readout, Inputs, Int[Tensor, " pair"], Int[Tensor, " pair"] | None], tuple[Inputs, Float[Tensor, " pair"]]]
"""From a readout, inputs, channels and positions (None: the mean over them) to attributions and activations.

It runs within `readout.ready()`, and leaves gradients of parameters alone.
"""

CAPTUM = "captum:"
"""How the names of Captum's methods begin."""


@dataclass(frozen=True, slots=True)
class ByRule:
    """A unit's gradient with respect to the input, with `rule` at rectifications.

    `at_unit` is for the nonlinearity that the unit itself is read after: there the signal is the unit's own, +1, and
    not what comes from above.
    """

    rule: Rule
    at_unit: Rule | None = None
    times_input: bool = False

    def __call__(
        self, readout: Readout, inputs: Inputs, channels: Int[Tensor, " pair"], positions: Int[Tensor, " pair"] | None
    ) -> tuple[Inputs, Float[Tensor, " pair"]]:
        """The attributions and the activations that they are of."""
        (found,), activations = by_rules([self], readout, inputs, channels, positions)
        return found, activations


def by_rules(
    methods: Sequence[ByRule],
    readout: Readout,
    inputs: Float[Tensor, "input ..."],
    channels: Int[Tensor, " pair"],
    positions: Int[Tensor, " pair"] | None,
    rows: Int[Tensor, " pair"] | None = None,
) -> tuple[list[Inputs], Float[Tensor, " pair"]]:
    """The attributions by each method and the activations that they are of: one pass forward, and back a method as many as
    there are pairs of one input.

    `rows` says of which input each pair is; without, each is of its own.
    """
    way = _Way()
    leaf = inputs.detach().clone().requires_grad_()
    turns = _turns(rows.tolist()) if rows is not None else [list(range(len(channels)))]
    made, left = [], len(methods) * len(turns)
    with Rules(way.rule):
        activations = readout(leaf, channels, positions, way.rule_at_unit, rows)
        for way.method in methods:
            pictures = []
            for turn in turns:
                left -= 1
                seed = torch.zeros_like(activations)
                seed[turn] = 1
                found = readout.back(activations, seed, leaf, again=left > 0)
                found = found * leaf.detach() if way.method.times_input else found
                pictures.append(found if rows is None else found[rows[turn]])
            made.append(pictures[0] if len(turns) == 1 else torch.cat(pictures)[_places(turns)])
    return made, activations.detach()


def _places(turns: Sequence[Sequence[int]]) -> list[int]:
    """Where each pair stands among the turns."""
    order = [pair for turn in turns for pair in turn]
    return sorted(range(len(order)), key=order.__getitem__)


def _turns(rows: Sequence[int]) -> list[list[int]]:
    """Pairs that go back together: of each input at most one."""
    turns: list[list[int]] = []
    seen: Counter[int] = Counter()
    for pair, row in enumerate(rows):
        if seen[row] == len(turns):
            turns.append([])
        turns[seen[row]].append(pair)
        seen[row] += 1
    return turns


class _Way:
    """The rules by which the present pass goes back, whichever they were when the pass went forward."""

    def __init__(self) -> None:
        self.method = ByRule(rules.gradient)

    def rule(self, signal: Tensor, slope: Tensor) -> Tensor:
        return self.method.rule(signal, slope)

    def rule_at_unit(self, signal: Tensor, slope: Tensor) -> Tensor:
        return (self.method.at_unit or self.method.rule)(signal, slope)


GRADIENT = ByRule(rules.gradient)
INPUT_X_GRADIENT = ByRule(rules.gradient, times_input=True)
DECONV = ByRule(rules.deconv)
GUIDED = ByRule(rules.guided)
GUIDED_NEG = ByRule(rules.guided_neg, at_unit=rules.gradient)


def method(name: str) -> Method:
    """The method of that name; raises `OptionError` for none, `MissingExtraError` where Captum is not there."""
    if name.startswith(CAPTUM):
        return CaptumMethod.named(name.removeprefix(CAPTUM))
    if name not in METHODS:
        raise OptionError(f"no method '{name}'{nearest(name, METHODS)}", f"use {', '.join(METHODS)} or captum:NAME")
    found: Method = METHODS[name]
    return found
