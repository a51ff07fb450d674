"""Units of one layer as a function of the inputs: the forward pass, ended where the units are read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn
from torch.autograd.graph import get_gradient_edge

from torchlurk.errors import ModelError, is_out_of_memory, told
from torchlurk.models.taps.arguments import of_rows
from torchlurk.models.taps.as_found import backward, differentiable
from torchlurk.models.taps.backward_rules import Rule, exempt
from torchlurk.models.taps.reading import maps, reading, rows_of
from torchlurk.records import Layer


class UnreachedError(ModelError):
    """A pass did not reach the layer."""

    def __init__(self, layer: Layer) -> None:
        super().__init__(f"layer '{layer.name}' was not reached when the model ran", "give an input that reaches it")


class Readout(nn.Module):
    """Gives, for each example of a batch, the activation of one unit of `layer` at one position.

    What follows the layer does not run. Open `ready` around its use.
    """

    def __init__(self, module: nn.Module, layer: Layer, averaged: tuple[int, int] | None = None) -> None:
        """`averaged` are the positions that count in a mean over positions, half-open; all of them for None."""
        super().__init__()
        self.module = module
        self.layer = layer
        self.averaged = slice(*averaged) if averaged is not None else slice(None)
        self._together = layer.together
        """Whether the layer sees all inputs of a pass at once, as far as known."""

    def ready(self) -> AbstractContextManager[None]:
        """See `models.taps.differentiable`."""
        return differentiable(self.module)

    def neutral(self, inputs: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."] | None:
        """Inputs of the same shape that say nothing; None where they are not known."""
        return None

    def maps(
        self, inputs: Shaped[Tensor, "batch ..."], rule_at_unit: Callable[[Tensor], Rule] | None = None
    ) -> Float[Tensor, "batch channel position"]:
        """The maps of all units, positions in row-major order; one position where a layer has none.

        `rule_at_unit` gives, for an activation, the rule of the layer's own nonlinearity, where a signal begins rather than
        comes from above. Where the layer does not see all inputs of a pass at once, each has a pass of its own, and one that
        does not reach the layer is NaN. Raises `ModelError` where the pass fails, or no input reaches the layer.
        """
        if len(inputs) > 1 and not self._together:
            return self._one_by_one(inputs, rule_at_unit)
        activation = self.activation(inputs)
        found = rows_of(self.layer, activation, len(inputs))
        if len(inputs) > 1 and found is not None and found < len(inputs):
            self._together = False
            return self._one_by_one(inputs, rule_at_unit)
        if rule_at_unit is not None:
            exempt(activation, rule_at_unit(activation))
        return self.arranged(activation, len(inputs))

    def _one_by_one(
        self, inputs: Shaped[Tensor, "batch ..."], rule_at_unit: Callable[[Tensor], Rule] | None
    ) -> Float[Tensor, "batch channel position"]:
        found: list[Tensor | None] = []
        for row in (slice(number, number + 1) for number in range(len(inputs))):
            try:
                with of_rows(self.module, row):
                    found.append(self.maps(inputs[row], rule_at_unit))
            except UnreachedError:
                found.append(None)
        there = next((one for one in found if one is not None), None)
        if there is None:
            raise UnreachedError(self.layer)
        return torch.cat([torch.full_like(there, torch.nan) if one is None else one for one in found])

    def arranged(self, activation: Shaped[Tensor, ...], count: int) -> Float[Tensor, "batch channel position"]:
        """What `activation` gave for so many inputs, as `maps` has it."""
        found = maps(self.layer, activation, count)
        if found.shape[:2] != (count, self.layer.channels):
            raise ModelError(
                f"layer '{self.layer.name}' returned {tuple(found.shape)} for {count} inputs",
                "give inputs of the size that the layers were surveyed with",
            )
        return found.flatten(2) if found.ndim > 2 else found.unsqueeze(2)

    def activation(self, inputs: Shaped[Tensor, "batch ..."]) -> Shaped[Tensor, ...]:
        """The tensor that holds the layer's units, as the model has it."""
        found: list[Tensor] = []
        with reading(self.module, [self.layer], lambda _, tensor: found.append(tensor), stop_after_last=True):
            self.run(inputs)
        if not found:
            raise UnreachedError(self.layer)
        return found[0]

    def forward(
        self,
        inputs: Float[Tensor, "input ..."],
        channels: Int[Tensor, " pair"],
        positions: Int[Tensor, " pair"] | None = None,
        rule_at_unit: Rule | None = None,
        rows: Int[Tensor, " pair"] | None = None,
    ) -> Float[Tensor, " pair"]:
        """The activations; of the mean over positions without `positions`, which are row-major indices.

        `rows` says of which input each pair is; without, each is of its own.
        """
        if rows is None:
            rows = torch.arange(len(inputs), device=channels.device)
        own = self.maps(inputs, None if rule_at_unit is None else lambda _: rule_at_unit)[rows, channels]
        return own[:, self.averaged].mean(1) if positions is None else own.gather(1, positions[:, None])[:, 0]

    def strongest(self, inputs: Float[Tensor, "batch ..."], channels: Int[Tensor, " batch"]) -> Int[Tensor, " batch"]:
        """Where each unit is strongest, the first of equals, without gradients."""
        with torch.no_grad():
            own = self.maps(inputs)[torch.arange(len(inputs), device=channels.device), channels]
            places = torch.arange(own.shape[1], device=own.device)
            # argmax may give any of several equals.
            return places.where(own == own.amax(1, keepdim=True), own.shape[1] - 1).amin(1)

    def back(
        self,
        activations: Float[Tensor, " pair"],
        seed: Float[Tensor, " pair"],
        leaf: Float[Tensor, "input ..."],
        *,
        again: bool = False,
    ) -> Float[Tensor, "input ..."]:
        """What arrives at `leaf`, from which `activations` were computed, when `seed` goes back from them.

        With `again` the way back stays for another time. Raises `ModelError` where the model cuts the way off.
        """
        found: tuple[Tensor | None, ...] = (None,)
        if activations.requires_grad:
            # Given tensors, `grad` would run outside the open function modes, which checkpoints need once more.
            edges = get_gradient_edge(activations), get_gradient_edge(leaf)
            with backward(self.module):
                found = torch.autograd.grad(*edges, seed, retain_graph=again, allow_unused=True)
        if found[0] is None:
            raise ModelError(
                f"no gradient flows from layer '{self.layer.name}' back to the input",
                "the model's forward detaches it, runs under torch.no_grad(), or does not use its input for this layer",
            )
        return found[0]

    def run(self, inputs: Shaped[Tensor, "batch ..."]) -> None:
        """One pass of the model; whatever goes wrong in it becomes a `ModelError`."""
        try:
            # A copy, for the first thing that a model does may be to overwrite its input.
            self.module(inputs.clone())
        except ModelError:
            raise
        except Exception as error:
            if is_out_of_memory(error):
                raise
            shape: Sequence[int] = inputs.shape[1:]
            raise ModelError(
                f"{type(self.module).__name__} failed on inputs of {'×'.join(map(str, shape))} with gradients on: "
                f"{told(error)}",
                "it must run in evaluation mode on such inputs outside torch.no_grad()",
            ) from error
