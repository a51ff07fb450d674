"""The tensors in what modules are given and give back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor


def tensors_in(structure: Any) -> list[Tensor]:
    """The tensors in nested lists, tuples, mappings, dataclasses and plain objects, in order."""
    if isinstance(structure, Tensor):
        return [structure]
    if isinstance(structure, (str, bytes, int, float, type(None), torch.Size)):
        return []
    if isinstance(structure, (list, tuple)):
        return [tensor for item in structure for tensor in tensors_in(item)]
    if isinstance(structure, Mapping):
        return [tensor for item in structure.values() for tensor in tensors_in(item)]
    if is_dataclass(structure):
        return [tensor for one in fields(structure) for tensor in tensors_in(getattr(structure, one.name))]
    return []


def output_tensor(output: Any) -> Tensor | None:
    """The tensor that counts as a module's output: itself, or the first of a tuple; None for any other structure."""
    if isinstance(output, tuple) and output:
        output = output[0]
    return output if isinstance(output, Tensor) else None
