"""Where the items of a Python data set have their inputs and their class, and which input is shown.

It follows from one item and from the parameters of the network's forward, and is the same for all items
(docs/decisions/several-inputs.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from torchlurk.errors import DataError, a_type
from torchlurk.input_records import ForwardParameters, KindName
from torchlurk.inputs.sources.dataset_items import INPUT_KEYS, are_ids, parts, tensor_of, to_class
from torchlurk.inputs.sources.labels import CLASS_KEYS

BESIDE = frozenset({"attention_mask", "token_type_ids", "position_ids"})
"""Keys of what only goes with a text."""

Key = str | int


@dataclass(frozen=True, slots=True)
class Layout:
    """Where each input stands in an item, the parameter of the forward that it goes to ('' for the first), which of them is
    shown, and where the class is, None where there is none; `nested` says that an item's first part holds the inputs.

    Without `places` the item is an input alone, (input, class) or a mapping that holds them.
    """

    places: tuple[Key, ...] = ()
    parameters: tuple[str, ...] = ("",)
    shown: int = 0
    label: Key | None = 1
    nested: bool = False

    @property
    def parameter(self) -> str:
        """The parameter that the shown input goes to."""
        return self.parameters[self.shown]

    @property
    def companions(self) -> tuple[str, ...]:
        """The parameters that the other inputs go to, in their order."""
        return tuple(name for number, name in enumerate(self.parameters) if number != self.shown)

    def parts(self, item: Any) -> tuple[Any, dict[str, Any], Any]:
        """The shown input, the others by their parameters, and the class as the item has it; raises `DataError`."""
        if not self.places:
            value, label = parts(item)
            return value, {}, label
        held, label = item, None
        if self.nested:
            if not isinstance(item, (tuple, list)) or not item:
                raise DataError("is not a pair of inputs and class, as other items are")
            held, label = item[0], item[1] if len(item) > 1 else None
        values = [_at(held, place) for place in self.places]
        if not self.nested and self.label is not None:
            label = _label(held, self.label)
        named = enumerate(zip(self.parameters, values, strict=True))
        others = {name: one for number, (name, one) in named if number != self.shown}
        return values[self.shown], others, label


ALONE = Layout()
"""Of items with one input."""


def layout_of(item: Any, takes: ForwardParameters, wanted: KindName | None = None) -> Layout:
    """The layout of items such as this one, for a forward with these parameters; `wanted` is the kind of the input shown.

    Raises `DataError` where inputs are there that the forward does not take, or the other way round.
    """
    if isinstance(item, Mapping):
        return _of_mapping(item, takes, wanted, nested=False)
    if not isinstance(item, (tuple, list)) or not item or are_ids(item):
        return ALONE
    first = item[0]
    if isinstance(first, Mapping):
        return _of_mapping(first, takes, wanted, nested=True)
    if isinstance(first, (tuple, list)) and any(isinstance(one, (Tensor, np.ndarray, Image.Image)) for one in first):
        return _of_tuple(first, _named(len(first), first, takes), 1, wanted, nested=True)
    if len(takes.ordered) < 2:
        return ALONE
    names, label = _split(item, takes)
    return ALONE if len(names) < 2 and label in (None, 1) else _of_tuple(item, names, label, wanted, nested=False)


def told_kind(value: Any) -> KindName | None:
    """What kind of input a value is by its shape; None where it is none that is shown, such as a vector or a number."""
    if isinstance(value, Image.Image):
        return "pictures"
    found = tensor_of(value)
    if found is None:
        return None
    if found.ndim == 3 or (found.ndim == 2 and str(found.dtype).endswith("uint8")):
        return "pictures"
    if found.ndim == 2:
        return "series" if found.is_floating_point() else None
    return "text" if found.ndim == 1 and len(found) and _whole(found) else None


def _is_input(value: Any) -> bool:
    return isinstance(value, Image.Image) or tensor_of(value) is not None


def _whole(tensor: Tensor) -> bool:
    return not tensor.is_floating_point() and not tensor.is_complex() and str(tensor.dtype) != "torch.bool"


def _split(item: Sequence[Any], takes: ForwardParameters) -> tuple[tuple[str, ...], int | None]:
    """The parameters that the first parts of a tuple go to, and where its class is.

    The class is the first whole number after the inputs that the forward cannot do without; where nothing is left after them,
    a whole number at the end is the class as well. Parameters whose default is None are filled only by what stands before a
    class.
    """
    needed, required = _needed(item, takes), [name for name in takes.ordered if name in takes.required]
    start = len(required) if len(item) > len(required) else len(needed)
    label = next((at for at in range(max(1, start), len(item)) if to_class(item[at]) is not None), None)
    if label is not None:
        count = min(label, len(takes.ordered))
        return (needed if count == len(needed) else takes.ordered[:count]), label
    names = list(takes.ordered[:1])
    for name, part in zip(takes.ordered[1:], item[1:], strict=False):
        hidden = name in takes.states and name not in needed
        if name not in takes.required or hidden or (name in takes.lengths and name not in needed and not _scalar(part)):
            break
        names.append(name)
    if len(item) > len(names):
        return tuple(names), len(names)
    return tuple(names), len(item) - 1 if to_class(item[-1]) is not None else None


def _needed(values: Sequence[Any], takes: ForwardParameters) -> tuple[str, ...]:
    """The parameters that only data can fill: of sequences not lengths, masks and first states. At least the first."""
    pictures = any(told_kind(one) == "pictures" for one in values)
    by_itself = frozenset() if pictures else takes.lengths | takes.masks | takes.states
    return tuple(one for one in takes.ordered if one in takes.required - by_itself) or takes.ordered[:1]


def _named(count: int, values: Sequence[Any], takes: ForwardParameters) -> tuple[str, ...]:
    """The parameters that so many inputs go to."""
    needed = _needed(values, takes)
    if count > len(takes.ordered):
        taken = ", ".join(filter(None, takes.ordered)) or "one"
        raise DataError(f"holds {count} inputs, and the model's forward takes {taken}")
    return needed if count == len(needed) else takes.ordered[:count]


def _of_tuple(
    values: Sequence[Any], names: tuple[str, ...], label: int | None, wanted: KindName | None, *, nested: bool
) -> Layout:
    shown = _shown(list(zip(names, values, strict=False)), wanted)
    return Layout(tuple(range(len(names))), names, shown, label, nested)


def _of_mapping(item: Mapping[Any, Any], takes: ForwardParameters, wanted: KindName | None, *, nested: bool) -> Layout:
    """Keys go to the parameters of the same name; the shown one, whatever its key, to the first that is left otherwise."""
    taken = [key for key in item if key in takes.named or (takes.any_name and _is_input(item[key]))]
    taken = [key for key in taken if key not in CLASS_KEYS or key in takes.required]
    keys = list(dict.fromkeys([*(key for key in INPUT_KEYS if key in item), *taken]))
    if not keys:
        named = sorted(takes.named)
        more = f", nor one of the model's parameters {', '.join(named)}" if named else ""
        raise DataError(f"has none of the keys {', '.join(INPUT_KEYS)}{more}")
    shown = keys[_shown([(key, item[key]) for key in keys], wanted)]
    label = next((key for key in CLASS_KEYS if key in item), None)
    places = [shown, *(key for key in taken if key != shown)]
    free = [name for name in takes.ordered if name not in taken]
    parameter = shown if shown in taken else next(iter(free), "")
    lacking = [one for one in _needed([item[key] for key in places], takes) if one not in taken and one not in (parameter, "")]
    if lacking and len(lacking) < len(takes.ordered):
        raise DataError(
            f"has the keys {', '.join(map(str, item))}, and the model's forward also takes {', '.join(lacking)}: keys go to the"
            " parameters of the same name"
        )
    if len(places) == 1 and not nested and parameter in ("", *takes.ordered[:1]):
        return ALONE if shown == next((key for key in INPUT_KEYS if key in item), None) else Layout((shown,), ("",), 0, label)
    return Layout(tuple(places), (parameter, *places[1:]), 0, label, nested)


def _shown(inputs: Sequence[tuple[Key, Any]], wanted: KindName | None) -> int:
    """The first picture, or else the first sequence, or else the first; the first of the `wanted` kind where that is given."""
    kinds = [None if name in BESIDE else told_kind(value) for name, value in inputs]
    if wanted is not None and wanted in kinds:
        return kinds.index(wanted)
    if wanted == "pictures" and "series" in kinds:  # of one channel, (height, width)
        return kinds.index("series")
    if "pictures" in kinds:
        return kinds.index("pictures")
    return next((number for number, kind in enumerate(kinds) if kind is not None), 0)


def _at(held: Any, place: Key) -> Any:
    if isinstance(place, str):
        if not isinstance(held, Mapping) or place not in held:
            raise DataError(f"has no '{place}', as other items have")
        return held[place]
    if not isinstance(held, (tuple, list)):
        raise DataError(f"is {a_type(held)}, not several inputs as other items are")
    if place >= len(held):
        raise DataError(f"has {len(held)} parts, and others have an input in part {place + 1}")
    return held[place]


def _label(held: Any, place: Key) -> Any:
    if isinstance(place, str):
        return held.get(place)
    return held[place] if place < len(held) else None


def _scalar(value: Any) -> bool:
    found = tensor_of(value)
    return found is not None and found.ndim == 0
