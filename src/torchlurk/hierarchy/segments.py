"""A forward pass cut where units are read: from each layer one can go back to the layers that feed it, and stop there.

What feeds a layer is read off the graph that the pass left behind: every layer from which something reaches it without
passing another one, through whatever joins, concatenations, pools and skips lie between.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, Node, get_gradient_edge

from torchlurk.anatomy import INPUT
from torchlurk.attribution.relevance import Propagation
from torchlurk.attribution.rules import gradient
from torchlurk.errors import ModelError
from torchlurk.hierarchy.running import run
from torchlurk.models.taps.as_found import backward, differentiable
from torchlurk.models.taps.backward_rules import Rule, Rules
from torchlurk.models.taps.interventions import Before, replacing
from torchlurk.models.taps.reading import maps
from torchlurk.records import Layer

Maps = Float[Tensor, "row channel *position"]
"""As `models.taps.maps` arranges a layer's activations. A signal has rows for several questions: for each, all inputs."""

NOWHERE = (0, 0)
"""The receptive field of a layer that does not depend on the input."""

Fed = dict[str, Tensor]
"""The same by layer: each has channels and positions of its own."""


@dataclass(frozen=True, slots=True)
class _Cut:
    """One layer in a pass: its activation as computed, and the copy that the model went on with."""

    value: Tensor
    leaf: Tensor
    before: Before | None


class Segments:
    """One forward pass of `module` on `inputs`, which are as the model takes them, cut at `layers`.

    `layers` are those that the pass reached, in the order in which it did. `relevance` says that what goes back is
    relevance (`attribution.relevance`), else gradients by the rule of each call. The model is left as found.
    Raises `ModelError` where the model fails, or where relevance is not defined for it.
    """

    def __init__(
        self, module: nn.Module, layers: Sequence[Layer], inputs: Float[Tensor, "batch ..."], *, relevance: bool = False
    ) -> None:
        apart = next((layer for layer in layers if not layer.together), None)
        if apart is not None and len(inputs) > 1:
            raise ModelError(
                f"layer '{apart.name}' comes after numbers that the model's forward reads out of tensors, and"
                f" {len(inputs)} inputs in one pass may not go the ways that each goes by itself",
                "give one input at a time",
            )
        self._module = module
        self._rule: Rule = gradient
        self._one_by_one = relevance  # its shares are computed by derivatives of their own
        self._mode = Propagation() if relevance else Rules(self._by_rule)
        self._cuts: dict[str, _Cut] = {}
        self.layers: dict[str, Layer] = {}
        self.leaf = inputs.detach().clone().requires_grad_()
        with differentiable(module), self._mode:
            with replacing(module, layers, self._cut) as replaced:
                self.output = run(module, self.leaf, replaced)
            self._feeders = {name: self._sources(cut.value) for name, cut in self._cuts.items()}

    @property
    def batch(self) -> int:
        """How many inputs there are."""
        return len(self.leaf)

    def nothing(self, layer: str, rows: int) -> Maps:
        """A signal of zeros at a layer's activations."""
        like = self.activations(layer)
        return like.new_zeros(rows, *like.shape[1:])

    def feeders(self, layer: str) -> tuple[str, ...]:
        """The layers that feed a layer, and `INPUT`, in the order in which they ran."""
        return self._feeders[layer]

    def bypassing(self, layer: str) -> frozenset[str]:
        """Those of its feeders that also reach it by way of another one: what comes from them directly bypasses that one."""
        feeders = self.feeders(layer)
        return frozenset(one for one in feeders if any(one in self._below(other) for other in feeders))

    def activations(self, layer: str) -> Maps:
        """The layer's activations; of `INPUT` the input itself."""
        return self._arranged(layer, self._leaf_of(layer)).detach()

    def sums(self, layer: str) -> Maps:
        """What the layer's nonlinearity was applied to; its activations where it does not end in a single one."""
        cut = self._cuts[layer]
        return self._arranged(layer, cut.value if cut.before is None else cut.before.value).detach()

    def to_sums(self, layer: str, signal: Maps, rule: Rule) -> Maps:
        """The signal at a layer's activations, taken back through its nonlinearity."""
        cut = self._cuts[layer]
        if cut.before is None or cut.before.edge is None:
            return signal
        with self._going_back(rule):
            # Edges, for given tensors `grad` would run outside the open function modes, which checkpoints need once more.
            value = get_gradient_edge(self._arranged(layer, cut.value))
            (found,) = self._back(value, [cut.before.edge], signal)
        return self._signal(layer, found, len(signal))

    def to_feeders(self, layer: str, signal: Maps, rule: Rule) -> Fed:
        """The signal at what a layer's nonlinearity was applied to, taken back to the layers that feed it; nowhere from a layer
        that depends on other inputs than the one that is open.
        """
        cut = self._cuts[layer]
        feeders = self.feeders(layer)
        if not feeders and self.layers[layer].receptive_field == NOWHERE:
            return {}
        if not feeders:
            raise ModelError(
                f"no gradient flows from layer '{layer}' back to any other, or to the input",
                "the model's forward detaches it, runs under torch.no_grad(), or does not use its input for this layer",
            )
        from_ = cut.value if cut.before is None else cut.before.value
        leaves = [GradientEdge(_accumulator(self._leaf_of(name)), 0) for name in feeders]
        with self._going_back(rule):
            start = get_gradient_edge(self._arranged(layer, from_))
            found = self._back(start, leaves, signal)
        return {name: self._signal(name, one, len(signal)) for name, one in zip(feeders, found, strict=True)}

    def _back(self, start: GradientEdge, ends: Sequence[GradientEdge], signal: Maps) -> list[Tensor | None]:
        """What arrives at the ends, with the questions along a first axis; None at an end at which nothing does."""
        questions = signal.reshape(-1, self.batch, *signal.shape[1:])
        if len(questions) > 1 and not self._one_by_one:
            try:
                found = torch.autograd.grad(start, ends, questions, retain_graph=True, allow_unused=True, is_grads_batched=True)
                # Copies: what arrives at both ends of a sum is one tensor, and who asks may change one of them.
                return [None if one is None else one.clone() for one in found]
            except RuntimeError:  # an operation whose way back cannot take several signals at once
                self._one_by_one = True
        with backward(self._module):
            every = [torch.autograd.grad(start, ends, one, retain_graph=True, allow_unused=True) for one in questions]
        return [None if ones[0] is None else torch.stack(ones) for ones in zip(*every, strict=True)]

    def _signal(self, name: str, found: Tensor | None, rows: int) -> Maps:
        """What arrived at a layer, arranged, the questions and the inputs of the pass along one axis."""
        if found is None:
            return self.nothing(name, rows)
        flat = found.flatten(0, 1)
        return flat if name == INPUT else maps(self.layers[name], flat)

    def _cut(self, layer: Layer, tensor: Tensor, before: Before | None) -> Tensor:
        leaf = tensor.detach().requires_grad_()
        self._cuts[layer.name] = _Cut(tensor, leaf, before)
        self.layers[layer.name] = layer
        return leaf.clone()  # what the model may overwrite

    def _by_rule(self, signal: Tensor, slope: Tensor) -> Tensor:
        return self._rule(signal, slope)

    @contextmanager
    def _going_back(self, rule: Rule) -> Iterator[None]:
        before, self._rule = self._rule, rule
        # Checkpointed models run parts of their forward again on the way back; shares of relevance are computed there.
        mode = nullcontext() if isinstance(self._mode, Propagation) else self._mode
        try:
            with differentiable(self._module), mode:
                yield
        finally:
            self._rule = before

    def _leaf_of(self, name: str) -> Tensor:
        return self.leaf if name == INPUT else self._cuts[name].leaf

    def _arranged(self, name: str, tensor: Tensor) -> Tensor:
        if name == INPUT:
            return tensor
        layer = self.layers[name]
        found = maps(layer, tensor)
        if found.shape[:2] != (self.batch, layer.channels):
            raise ModelError(
                f"layer '{name}' returned {tuple(found.shape)} for {self.batch} inputs",
                "give inputs of the size that the layers were surveyed with",
            )
        return found

    def _below(self, name: str) -> set[str]:
        """All layers from which something reaches this one, whatever they pass."""
        found: set[str] = set()
        todo = [name]
        while todo:
            new = set(self._feeders.get(todo.pop(), ())) - found
            found |= new
            todo += new
        return found

    def _sources(self, value: Tensor) -> tuple[str, ...]:
        """The layers whose leaves the graph of `value` ends in."""
        names = {id(self.leaf): INPUT} | {id(cut.leaf): name for name, cut in self._cuts.items()}
        found: set[str] = set()
        seen: set[Node] = set()
        todo = [value.grad_fn]
        while todo:
            node = todo.pop()
            if node is None or node in seen:
                continue
            seen.add(node)
            variable = getattr(node, "variable", None)
            if variable is not None and id(variable) in names:
                found.add(names[id(variable)])
            todo.extend(edge for edge, _ in node.next_functions)
        return tuple(name for name in names.values() if name in found)


def _accumulator(leaf: Tensor) -> Node:
    """The node of the graph at which a leaf's gradient arrives."""
    node = leaf.view_as(leaf).grad_fn.next_functions[0][0]  # type: ignore[union-attr]
    assert node is not None
    return node
