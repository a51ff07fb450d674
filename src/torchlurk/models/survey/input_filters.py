"""The weights of convolutions that read the input directly: they can be looked at as what they are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32
from torch import nn

from torchlurk.models.survey.layers import Survey
from torchlurk.records import Layer

SHOWN_CHANNELS = (1, 3)
"""Channels of an input that has a colour."""


def input_kernels(
    network: nn.Module, found: Survey, layers: Sequence[Layer]
) -> dict[str, Float32[np.ndarray, "unit channel height width"]]:
    """By layer, the kernels of each two-dimensional convolution whose only input is the network's own, grey or RGB."""
    nodes = {node.id: node for node in found.graph.nodes}
    before: dict[int, set[str]] = {}
    for source, target in found.graph.edges:
        before.setdefault(target, set()).add(nodes[source].kind)
    modules = dict(network.named_modules())
    kernels = {}
    for layer in layers:
        module = modules.get(layer.name.partition("#")[0])
        reads_input = before.get(found.nodes[layer.name]) == {"input"}
        if reads_input and isinstance(module, nn.Conv2d) and module.weight.shape[1] in SHOWN_CHANNELS and module.groups == 1:
            kernels[layer.name] = module.weight.detach().float().cpu().numpy().copy()
    return kernels
