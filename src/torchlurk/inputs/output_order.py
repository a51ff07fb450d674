"""Which output of a network is which class, where the names of the classes leave that open.

Folders 0, 1, 2, 10 are listed as 0, 1, 10, 2. Networks trained with torchvision's `ImageFolder` have their outputs in that
order, others in that of the numbers: their predictions tell. They also tell whether a network was trained on the pictures to
start with, or only has as many outputs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from torchlurk.units import whole_number

Order = tuple[int | None, ...]
"""For each output the index of its class; None where the data have no such class."""

TEXT, NUMBER = "in alphabetical order", "in numerical order"

DEVIATIONS = 2
"""An order fits where the share of predictions that agree with it is this many standard deviations above chance."""


NOT_ITS_CLASSES = (
    "the network has as many outputs as the data has classes, but its predictions do not fit them: it was trained on other"
    " classes or needs other preprocessing, and its outputs are not named"
)


@dataclass(frozen=True, slots=True)
class Choice:
    """The order that was chosen, None where the classes as listed are the outputs; and what to tell of it, as a note
    or, where nothing is the matter, in passing.
    """

    order: Order | None = None
    note: str | None = None
    agreement: str | None = None


def called_by_numbers(names: Sequence[str]) -> bool:
    """Whether all names are whole numbers, no two the same."""
    numbers = [number for name in names if (number := whole_number(name)) is not None]
    return bool(names) and len(set(numbers)) == len(names)


def orders(names: Sequence[str], outputs: int) -> dict[str, Order]:
    """The orders that these classes may have among the outputs, by what they are called; equal ones once."""
    if not called_by_numbers(names):
        return {}
    numbers = [int(name) for name in names]
    whole, fitting = len(names) == outputs, max(numbers) < outputs
    found: dict[str, Order] = {}
    if whole:
        found[TEXT] = tuple(range(outputs))
    elif fitting and all(str(number) == name for number, name in zip(numbers, names, strict=True)):
        listed = {int(name): place for place, name in enumerate(sorted(map(str, range(outputs))))}
        found[TEXT] = _placed([listed[number] for number in numbers], outputs)
    if fitting:
        found[NUMBER] = _placed(numbers, outputs)
    elif whole:
        found[NUMBER] = tuple(int(index) for index in np.argsort(numbers))
    if found.get(TEXT) == found.get(NUMBER):
        found.pop(TEXT, None)
    return found


def choose_order(
    names: Sequence[str], outputs: int, answers: Int[np.ndarray, " example"], classes: Int[np.ndarray, " example"]
) -> Choice:
    """The order with which most predictions agree; the alphabetical one if several agree equally.

    `answers` are the highest outputs of the examples and `classes` their classes, -1 where not known.
    """
    found = orders(names, outputs)
    known = (answers >= 0) & (classes >= 0)
    if not found or not known.any() or found == {NUMBER: tuple(range(len(names)))}:
        return Choice()
    shares = {name: _agreement(order, answers[known], classes[known]) for name, order in found.items()}
    best = max(shares, key=shares.__getitem__)
    if _above_chance(shares[best], outputs, int(known.sum())):
        others = {name: share for name, share in shares.items() if name != best}
        note = f"; {_told(others)}" if others else ""
        told = (
            f"classes are named by numbers; outputs are named {best}: {_percent(shares[best])} of the predictions agree{note}"
        )
        return Choice(None if found[best] == tuple(range(len(names))) else found[best], told)
    whole = len(names) == outputs
    done = "outputs are named in alphabetical order, which may be wrong" if whole else "outputs are not named"
    return Choice(
        note=f"classes are named by numbers, and the predictions agree with no order of them ({_told(shares)}): {done};"
        " --class-names of `torchlurk explain` and `serve` names them"
    )


def check_trained(
    names: Sequence[str], outputs: int, answers: Int[np.ndarray, " example"], classes: Int[np.ndarray, " example"]
) -> Choice:
    """As `choose_order`, of data that a network need not have been trained on: with as many outputs as there are classes, they
    are named where more predictions agree than by chance.
    """
    known = (answers >= 0) & (classes >= 0)
    if len(names) != outputs or not known.any():
        return Choice()
    share = _agreement(tuple(range(outputs)), answers[known], classes[known])
    if _above_chance(share, outputs, int(known.sum())):
        return Choice(agreement=f"{_percent(share)} of the network's predictions are the examples' classes")
    return Choice((None,) * outputs, f"{NOT_ITS_CLASSES} ({_percent(share)} of the predictions agree)")


def _above_chance(share: float, outputs: int, examples: int) -> bool:
    chance = 1 / outputs
    return share > chance + DEVIATIONS * math.sqrt(chance * (1 - chance) / examples)


def _placed(places: Sequence[int], outputs: int) -> Order:
    """The order in which the class with index i is the output `places[i]`."""
    at = {place: index for index, place in enumerate(places)}
    return tuple(at.get(output) for output in range(outputs))


def _agreement(order: Order, answers: Int[np.ndarray, " example"], classes: Int[np.ndarray, " example"]) -> float:
    meant = np.array([-1 if index is None else index for index in order])
    return float((meant[answers] == classes).mean())


def _told(shares: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {_percent(share)}" for name, share in shares.items())


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
