"""Units on texts and series: readouts whose inputs are floats (step, channel), so that every method works as on pictures.

A series is such an input itself. Of a text it is what the model looks up for its tokens, the embeddings: a gradient cannot go
back to whole numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from torchlurk.attribution.lookups import NO_TOKEN, Lookup, Lookups
from torchlurk.attribution.methods import ByRule
from torchlurk.attribution.methods import method as method_named
from torchlurk.errors import ModelError
from torchlurk.models.taps.arguments import ALL, of_rows
from torchlurk.models.taps.readout import Readout
from torchlurk.records import Layer

Steps = Float[Tensor, "pair time channel"]


class SeriesReadout(Readout):
    """A `Readout` on series. `silence` are series of one step, or of as many, that say nothing."""

    def __init__(
        self,
        module: nn.Module,
        layer: Layer,
        silence: Float[Tensor, "#pair #time channel"],
        averaged: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(module, layer, averaged)
        self._silence = silence

    def neutral(self, inputs: Steps) -> Steps:
        """See `Readout`."""
        return self._silence.to(inputs).expand_as(inputs).clone()


@dataclass(frozen=True, slots=True)
class Tables:
    """What a model looks up: for each lookup of a pass, in order, the channels that hold its values; `width` of all."""

    places: tuple[tuple[int, int], ...]
    width: int


class TextReadout(Readout):
    """A `Readout` on texts whose tokens are replaced by their embeddings; `embedded` makes those inputs.

    The last channel of an input holds the ids themselves, which masks and lengths may be made of.
    """

    def __init__(
        self,
        module: nn.Module,
        layer: Layer,
        ids: Int64[Tensor, "batch time"],
        silent: int = 0,
        averaged: tuple[int, int] | None = None,
    ) -> None:
        """`silent` is the token that says nothing. Raises `ModelError` where the model looks nothing up for its tokens."""
        super().__init__(module, layer, averaged)
        self._dtype = ids.dtype
        self._plain = Readout(module, layer)
        rows = [ids] if layer.together else [ids[row : row + 1] for row in range(len(ids))]
        recorded = []
        with self.ready(), torch.no_grad():
            for row, one in enumerate(rows):
                with of_rows(module, ALL if layer.together else slice(row, row + 1)):
                    recorded.append(self._lookups(one))
        self._tables = _tables(recorded[0], rows[0])
        self.embedded: Steps = torch.cat([self._filled(one, own) for one, own in zip(recorded, rows, strict=True)])
        """The texts as inputs."""
        self._silence = self._filled(recorded[0], rows[0], silent)

    def neutral(self, inputs: Steps) -> Steps:
        """The embedding of the token that says nothing, everywhere; ids stay."""
        silence = self._silence[:1].expand_as(inputs).to(inputs)
        return torch.cat([silence[..., :-1], inputs.detach()[..., -1:]], -1)

    def run(self, inputs: Steps) -> None:
        """See `Readout`."""
        ids = inputs.detach()[..., -1].round().to(self._dtype)
        places = iter(self._tables.places)

        def looked_up(one: Lookup) -> Tensor:
            place = next(places, None)
            if place is None or place[1] - place[0] != one.values.shape[-1]:
                raise ModelError(
                    f"{type(self.module).__name__} embeds its tokens differently on every pass",
                    "attributions need a model that embeds every text in the same way",
                )
            return _picked(inputs[..., slice(*place)].flatten(0, 1), one)

        with Lookups(ids, looked_up):
            self._plain.run(ids)

    def _lookups(self, ids: Int64[Tensor, "batch time"]) -> list[Lookup]:
        found: list[Lookup] = []

        def note(one: Lookup) -> Tensor:
            found.append(one)
            return one.values

        with Lookups(ids, note):
            self._plain.activation(ids)
        if not found:
            raise ModelError(
                f"{type(self.module).__name__} does not embed its tokens on the way to layer '{self.layer.name}'",
                "attributions need an embedding, such as nn.Embedding, to go back to",
            )
        return found

    def _filled(self, lookups: Sequence[Lookup], ids: Tensor, silent: int | None = None) -> Steps:
        """All values that are looked up for these ids, or for as many of the token `silent`."""
        dtype = torch.promote_types(lookups[0].values.dtype, torch.float32)
        found = torch.zeros(ids.numel(), self._tables.width + 1, dtype=dtype, device=ids.device)
        found[:, -1] = ids.flatten().to(dtype)
        with self.ready(), torch.no_grad():
            for one, place in zip(lookups, self._tables.places, strict=False):
                known = one.tokens != NO_TOKEN
                values = one.values if silent is None else one.again(torch.full_like(one.tokens, silent, dtype=ids.dtype))
                found[one.tokens[known], slice(*place)] = values[known].to(dtype)
        return found.view(*ids.shape, -1)


def _tables(lookups: Sequence[Lookup], ids: Tensor) -> Tables:
    """Channels for all lookups: those of other tokens, as in a loop over the steps, share theirs."""
    taken: list[tuple[int, int, Tensor]] = []
    places, width = [], 0
    for one in lookups:
        own = torch.zeros(ids.numel(), dtype=torch.bool, device=ids.device)
        own[one.tokens[one.tokens != NO_TOKEN]] = True
        channels = one.values.shape[-1]
        shared = next((slot for slot in taken if slot[1] - slot[0] == channels and not bool((slot[2] & own).any())), None)
        if shared is None:
            shared = (width, width + channels, torch.zeros_like(own))
            taken.append(shared)
            width += channels
        shared[2].logical_or_(own)
        places.append(shared[:2])
    return Tables(tuple(places), width)


def _picked(values: Float[Tensor, "token channel"], one: Lookup) -> Tensor:
    """The values of a lookup's tokens; where it has none, what the model looked up itself."""
    known = one.tokens != NO_TOKEN
    if bool(known.all()):
        return values[one.tokens].to(one.values.dtype)
    own = torch.cat([values, one.values.detach().flatten(0, -2).to(values.dtype)])
    places = torch.arange(one.tokens.numel(), device=values.device).view_as(one.tokens) + len(values)
    return own[torch.where(known, one.tokens, places)].to(one.values.dtype)


def of_tokens(method: str, attributions: Steps) -> Float[Tensor, "pair time"]:
    """One number a token from those of its embedding: the sum of what adds up, the length of a gradient (Li et al. 2016,
    arXiv 1506.01066, sec. 5).
    """
    way, own = method_named(method), attributions[..., :-1]
    lengths = isinstance(way, ByRule) and not way.times_input
    return own.square().sum(-1).sqrt() if lengths else own.sum(-1)
