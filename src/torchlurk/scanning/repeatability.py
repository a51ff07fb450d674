"""Whether what a network says of an example depends on that example alone: a few short passes before a scan.

Batch statistics in evaluation mode, sampling, dropout that is always on, and state kept from pass to pass make scores depend on
company or chance. No scan can mend that; it can be said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from torchlurk.models.taps.arguments import ALL, of_rows
from torchlurk.models.taps.as_found import as_found
from torchlurk.models.taps.buffers import Buffers
from torchlurk.models.taps.reading import maps, reading
from torchlurk.records import Layer

COMPANY = 4
"""How many examples share a batch in the pass that is compared with that of one alone."""

LINE = 8
"""How many examples are told apart where their order is looked at: by chance they stay in order once in 8! times."""

BUFFERS_NAMED = 3

FIRST = slice(0, 1)


@dataclass(frozen=True, slots=True)
class Dependence:
    """Something else than the example that values depend on, from `layer` on, the first in which it shows."""

    layer: str
    told: str


@dataclass(frozen=True, slots=True)
class _Scores:
    """Max and mean over positions of each unit of a layer, as the scan keeps them, and the coarsest rounding so far."""

    values: Float[Tensor, "2 unit"]
    rounding: float


def dependences(network: nn.Module, layers: Sequence[Layer], inputs: Shaped[Tensor, "batch ..."]) -> tuple[Dependence, ...]:
    """How the values of the first of `inputs` depend on more than itself; the network is on their device and left as found.

    It runs alone, beside the other inputs, and alone again, each time from the buffers as they were found. A state that is kept
    elsewhere shows, too: the two passes alone come after different ones. Open `accompanied` around it for further inputs.
    """
    buffers = Buffers(network)
    exact = torch.backends.cudnn.flags(enabled=torch.backends.cudnn.enabled, allow_tf32=False)
    with torch.inference_mode(), exact, as_found(network):
        alone = _scores(network, layers, inputs, FIRST)
        beside = _scores(network, layers, inputs) if len(inputs) > 1 else {}
        again = _scores(network, layers, inputs, FIRST)
        written = buffers.changed()
    by_chance = _differing(alone, again)
    by_company = [name for name in _differing(alone, beside) if name not in by_chance]
    by_state = [name for name in _after_a_pass(network, layers, inputs, alone) if name not in by_chance] if written else []
    found = []
    if by_company:
        found.append(Dependence(by_company[0], _of_company(by_company[0])))
    if by_chance:
        found.append(Dependence(by_chance[0], _of_chance(by_chance[0])))
    if by_state:
        found.append(Dependence(by_state[0], _of_state(by_state[0], written)))
    return tuple(found)


def mixed(network: nn.Module, layers: Sequence[Layer], inputs: Shaped[Tensor, "batch ..."]) -> str | None:
    """The name of the first layer that is given the examples of a batch in another order than the network; None without one.

    A network that sorts its batch and sorts it back is one. Which row is whose is told by the values that each example has
    alone: rows that are nobody's (batch statistics) or as well another's (equal inputs) say nothing. The network is on the
    device of `inputs` and left as found.
    """
    exact = torch.backends.cudnn.flags(enabled=torch.backends.cudnn.enabled, allow_tf32=False)
    with torch.inference_mode(), exact, as_found(network):
        alone = [_rows(network, layers, inputs, slice(row, row + 1)) for row in range(len(inputs))]
        together = _rows(network, layers, inputs)
    for name, rows in together.items():
        own = [one[name] for one in alone if len(one.get(name, ())) == 1]
        if _disordered(rows, [rows_alone[0] for rows_alone in own]):
            return name
    return None


def _disordered(rows: Sequence[_Scores], alone: Sequence[_Scores]) -> bool:
    """Whether rows that are some example's cannot be those of examples in ascending order."""
    last = -1
    for row in rows:
        whose = [index for index, one in enumerate(alone) if _alike(one, row)]
        after = [index for index in whose if index > last]
        if whose and not after:
            return True
        last = after[0] if after else last
    return False


def _rows(
    network: nn.Module, layers: Sequence[Layer], inputs: Shaped[Tensor, "batch ..."], rows: slice = ALL
) -> dict[str, list[_Scores]]:
    """Of each row that a layer was given in a pass of these `rows` of the inputs, in the order in which they came; by layer, in
    the order in which they ran.
    """
    inputs = inputs[rows]
    found: dict[str, list[_Scores]] = {}
    coarsest = 0.0

    def deliver(layer: Layer, tensor: Tensor) -> None:
        nonlocal coarsest
        if tensor.is_floating_point():
            coarsest = max(coarsest, torch.finfo(tensor.dtype).eps)
        own = maps(layer, tensor, len(inputs))
        flat = own.reshape(*own.shape[:2], -1).float()
        if flat.shape[2]:
            scores = torch.stack([flat.amax(2), flat.mean(2)], 1).cpu()  # compared here: a device would wait at each look
            found.setdefault(layer.name, []).extend(_Scores(one, coarsest) for one in scores)

    with reading(network, layers, deliver), of_rows(network, rows):
        network(inputs.clone())  # a model may overwrite what it is given
    return found


def reaching(found: Sequence[Dependence], layers: Sequence[Layer], layer: str) -> Dependence | None:
    """The first of these that shows in the layer or before it, in the order of `layers`; None where none does."""
    order = [one.name for one in layers]
    return next((one for one in found if order.index(one.layer) <= order.index(layer)), None)


def _scores(
    network: nn.Module, layers: Sequence[Layer], inputs: Shaped[Tensor, "batch ..."], rows: slice = ALL
) -> dict[str, _Scores]:
    """Of the first of the inputs, by layer in the order in which they ran, in a pass of these `rows` of them."""
    return {name: found[0] for name, found in _rows(network, layers, inputs, rows).items()}


def _after_a_pass(
    network: nn.Module, layers: Sequence[Layer], inputs: Shaped[Tensor, "batch ..."], fresh: dict[str, _Scores]
) -> list[str]:
    """The layers in which a pass differs from a fresh one where buffers stay as another pass has left them."""
    with torch.inference_mode(), as_found(network, each_pass=False):
        network(inputs.clone())
        return _differing(fresh, _scores(network, layers, inputs, FIRST))


def _differing(one: dict[str, _Scores], other: dict[str, _Scores]) -> list[str]:
    """The layers in which they differ by more than rounding.

    How a batch is summed up, and so how it is rounded, depends on its size: by up to 1e-5 of a layer's largest value in
    float32, a hundred times the format's precision. The bound is the root of that precision, 3e-4: half the digits. What batch
    statistics or sampling change is some percent.
    """
    return [name for name, found in one.items() if name in other and not _alike(found, other[name])]


def _alike(one: _Scores, other: _Scores) -> bool:
    same = (one.values == other.values) | (one.values.isnan() & other.values.isnan())
    finite = one.values[one.values.isfinite()].abs()
    largest = float(finite.max()) if len(finite) else 0.0
    apart = (one.values - other.values).abs()
    return bool((same | (apart <= one.rounding**0.5 * largest)).all())


def _of_company(layer: str) -> str:
    return (
        f"from layer {layer} on, the values for an example depend on the other examples of the batch (batch statistics?):"
        " scores change with batch size and order"
    )


def _of_chance(layer: str) -> str:
    return (
        f"from layer {layer} on, the values for an example differ from pass to pass"
        " (sampling, dropout, state kept outside buffers?): every scan gives different scores"
    )


def _of_state(layer: str, buffers: Sequence[str]) -> str:
    more = f" and {len(buffers) - BUFFERS_NAMED} more" if len(buffers) > BUFFERS_NAMED else ""
    return (
        f"from layer {layer} on, values depend on state that each pass changes"
        f" ({', '.join(buffers[:BUFFERS_NAMED])}{more}): it is restored before each batch"
    )
