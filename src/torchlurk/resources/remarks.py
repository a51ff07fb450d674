"""What people noted of units, as documents; and the document of all of it, read back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import datetime
from pathlib import Path
from typing import Any

from torchlurk.errors import OptionError, TorchlurkError
from torchlurk.files import read_given
from torchlurk.records import Remark
from torchlurk.store.reading import Reader
from torchlurk.store.remarks import Change
from torchlurk.units import Unit

WRITES_ONE = "torchlurk note STUDY --export FILE writes one"

KEYS = frozenset({"unit", *(one.name for one in fields(Remark))})
"""Of one remark in the document of all."""


def remark_document(remark: Remark | None) -> dict[str, Any] | None:
    """One in full; None where nothing is noted."""
    return None if remark is None or remark == Remark() else asdict(remark)


def remarks_document(remarks: Mapping[Unit, Remark]) -> dict[str, Any]:
    """All of a study in full: what `torchlurk note STUDY --export FILE` writes."""
    return {"remarks": [{"unit": str(unit)} | asdict(remark) for unit, remark in remarks.items()]}


def layer_marks(reader: Reader, layer: str) -> dict[str, Any]:
    """By channel, the names and stars of a layer's units."""
    return {str(unit.channel): _mark(one) for unit, one in reader.remarks(layer).items()}


def study_marks(reader: Reader) -> dict[str, Any]:
    """By address, the names and stars of all units that the study has."""
    channels = {layer.name: layer.channels for layer in reader.layers()}
    found = reader.remarks()
    return {str(unit): _mark(one) for unit, one in found.items() if unit.channel < channels.get(unit.layer, 0)}


def _mark(remark: Remark) -> dict[str, Any]:
    return {"name": remark.name, "starred": remark.starred}


def read_remarks(path: Path) -> dict[Unit, Change]:
    """The remarks in a file as `remarks_document` has them; `written` may be missing, and what else a remark does not say.

    Raises `OptionError` that says where something is wrong.
    """
    try:
        given = json.loads(read_given(path))
    except OSError as error:
        raise OptionError(
            f"'{path}' cannot be read: {error.strerror}", "torchlurk note STUDY --export FILE writes one"
        ) from error
    except (ValueError, RecursionError) as error:
        raise OptionError(f"'{path}' is not JSON: {error}", WRITES_ONE) from error
    entries = given.get("remarks") if isinstance(given, dict) else None
    if not isinstance(entries, list):
        raise OptionError(f"'{path}' has no list of 'remarks'", WRITES_ONE)
    found: dict[Unit, Change] = {}
    for number, entry in enumerate(entries):
        try:
            unit, change = _read(entry)
        except TorchlurkError as error:
            raise OptionError(f"'{path}', remark {number}: {error.message}", error.hint) from error
        if unit in found:
            raise OptionError(f"'{path}', remark {number}: {unit} has one already", "leave one of them out")
        found[unit] = change
    return found


def _read(entry: object) -> tuple[Unit, Change]:
    kinds = {"unit": str, "name": str, "text": str, "starred": bool, "written": str}
    if not isinstance(entry, dict) or "unit" not in entry:
        raise OptionError("it names no 'unit'", 'a remark is {"unit": "layer:channel", "name": …, "text": …, "starred": …}')
    for key, value in entry.items():
        if key not in KEYS or not isinstance(value, kinds[key]):
            raise OptionError(f"'{key[:40]}' is not one of its keys, or of another type", f"use {', '.join(kinds)}")
    written = entry.get("written") or None
    if written is not None:
        try:
            datetime.fromisoformat(written)
        except ValueError:
            raise OptionError(
                f"'written' is '{written[:40]}', which is no time", "write it as 2030-01-31T12:00:00+00:00"
            ) from None
    return Unit.parse(entry["unit"]), Change(entry.get("name", ""), entry.get("text", ""), entry.get("starred", False), written)
