"""How units go with one another, from their responses to the same sample of examples."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Float32

from torchlurk.records import Graph, Layer

MOST_BETWEEN = 1000
"""Nodes that are looked at on the ways from one layer to the next."""

Standardized = Float32[np.ndarray, "unit example"]


def standardized(responses: Float32[np.ndarray, "unit example"]) -> Standardized:
    """Each unit's responses less their mean, at length one; zero for a unit that does not vary, or is never finite."""
    finite = np.nan_to_num(responses, nan=0.0, posinf=0.0, neginf=0.0)
    centred = finite - finite.mean(axis=1, keepdims=True) if finite.shape[1] else finite
    length = np.sqrt(np.square(centred, dtype=np.float64).sum(axis=1, keepdims=True)).astype(np.float32)
    found: Standardized = np.divide(centred, length, out=np.zeros_like(centred), where=length > 0)
    return found


def most_alike(
    unit: Float32[np.ndarray, " example"], others: Standardized, most: int, *, without: int | None = None
) -> list[tuple[int, float]]:
    """The channels whose responses correlate most with those of a unit, and the correlation; highest first, equal ones by
    channel. Only positive ones count.
    """
    # A product of BLAS brings threads of its own: of many requests at once they fight for the cores.
    correlation = np.einsum("ue,e->u", others, unit).astype(np.float64)
    if without is not None:
        correlation[without] = 0
    order = np.lexsort((np.arange(len(correlation)), -correlation))[:most]
    return [(int(channel), float(correlation[channel])) for channel in order if correlation[channel] > 0]


def layer_nodes(graph: Graph, layers: Sequence[Layer]) -> dict[str, int]:
    """The node of each layer: its own call, or, for a module made of others, the last operation in it.

    Layers that are streams of one recurrent module have that module's node in common.
    """
    calls = {node.name: node.id for node in graph.nodes if node.kind == "module"}
    owners = {layer.name: layer.module or layer.name for layer in layers}
    wanted = frozenset(owners.values())
    last: dict[str, int] = {}
    for node in graph.nodes:
        inside = node.module.split(".") if node.module else []
        around = (".".join(inside[:depth]) for depth in range(1, len(inside) + 1))
        last.update((module, node.id) for module in around if module in wanted)
    found = {name: calls.get(owner, last.get(owner)) for name, owner in owners.items()}
    return {name: node for name, node in found.items() if node is not None}


def neighbours(graph: Graph, layers: Sequence[Layer]) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    """For each layer, the layers that feed it and those that it feeds, with nothing but operations between."""
    layers_of: dict[int, list[str]] = {}
    for name, node in layer_nodes(graph, layers).items():
        layers_of.setdefault(node, []).append(name)
    before: dict[int, list[int]] = {}
    after: dict[int, list[int]] = {}
    for source, target in graph.edges:
        before.setdefault(target, []).append(source)
        after.setdefault(source, []).append(target)
    found = {}
    for node, names in layers_of.items():
        around = _reached(node, before, layers_of), _reached(node, after, layers_of)
        found.update(dict.fromkeys(names, around))
    return {layer.name: found.get(layer.name, ((), ())) for layer in layers}


def _reached(start: int, edges: dict[int, list[int]], layers_of: dict[int, list[str]]) -> tuple[str, ...]:
    """The first layers on every way from a node, in the order in which they are met, as far as the ways are looked at."""
    seen: set[int] = {start}
    names: list[str] = []
    waiting = deque(_next(start, edges))
    while waiting and len(seen) < MOST_BETWEEN:
        node = waiting.popleft()
        if node in seen:
            continue
        seen.add(node)
        if node in layers_of:
            names += layers_of[node]
        else:
            waiting += _next(node, edges)
    return tuple(names)


def _next(node: int, edges: dict[int, list[int]]) -> Iterable[int]:
    return edges.get(node, ())
