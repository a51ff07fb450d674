"""What the units of a network's last layer stand for, where they are its outputs: classes, or the tokens that may come next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torchlurk.records import Layer, UnitRecord
from torchlurk.rendering.tokens import shown
from torchlurk.store.reading import Reader


def named_outputs(reader: Reader, layers: Sequence[Layer], index: int) -> dict[str, Any] | None:
    """Of the layer with that number, `of` what its units are outputs, and their `names`; None where that is not known.

    It is the last layer, or an earlier call of the same module: a decoder calls its head once a step.
    """
    if not layers or layers[index].name.partition("#")[0] != layers[-1].name.partition("#")[0]:
        return None
    channels = layers[index].channels
    if (labels := reader.output_labels(channels)) is not None:
        return {"of": "classes", "names": labels}
    tokens = reader.inputs().vocabulary
    if tokens is not None and len(tokens) == channels:
        return {"of": "tokens", "names": list(tokens)}
    return None


def with_output(reader: Reader, record: UnitRecord) -> UnitRecord:
    """The record with what the unit stands for, where it is an output of the network and that is known."""
    layers = reader.layers()
    index = next(number for number, one in enumerate(layers) if one.name == record.layer.name)
    found = named_output(reader, layers, index, record.channel)
    if found is None or not found["name"]:
        return record
    quoted = f"‘{shown(found['name'])}’" if found["of"] == "tokens" else found["name"]
    return replace(record, output=quoted)


def named_output(reader: Reader, layers: Sequence[Layer], index: int, channel: int) -> dict[str, Any] | None:
    """The same of one unit: `of` and `name`."""
    found = named_outputs(reader, layers, index)
    return None if found is None else {"of": found["of"], "name": found["names"][channel]}
