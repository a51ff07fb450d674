"""What the units of a network's last layer stand for, where they are its outputs: classes, or the tokens that may come next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torchlurk.records import Layer
from torchlurk.store.reading import Reader


def named_outputs(reader: Reader, layers: Sequence[Layer], index: int) -> dict[str, Any] | None:
    """Of the layer with that number, `of` what its units are outputs, and their `names`; None where that is not known."""
    if index != len(layers) - 1:
        return None
    channels = layers[index].channels
    if (labels := reader.output_labels(channels)) is not None:
        return {"of": "classes", "names": labels}
    tokens = reader.inputs().vocabulary
    if tokens is not None and len(tokens) == channels:
        return {"of": "tokens", "names": list(tokens)}
    return None


def named_output(reader: Reader, layers: Sequence[Layer], index: int, channel: int) -> dict[str, Any] | None:
    """The same of one unit: `of` and `name`."""
    found = named_outputs(reader, layers, index)
    return None if found is None else {"of": found["of"], "name": found["names"][channel]}
