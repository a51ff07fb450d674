"""How a network is called: its own order of axes, further inputs, lengths, masks, first states, constants.

Everywhere else inputs are batch first and the network takes them alone. Within `called_with` its forward takes such inputs
and is given what it wants beside them; it is left as found. Further inputs that each example has of its own are those of the
innermost `accompanied`.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Shaped
from torch import Tensor, nn

from torchlurk.errors import ModelError
from torchlurk.input_records import ForwardParameters, InputAxes
from torchlurk.models.taps.forward_override import ForwardOverride

LENGTHS = frozenset(
    of + word
    for of in ("", "seq_", "sequence_", "input_", "x_", "text_", "src_", "source_", "sentence_")
    for word in ("lengths", "length", "lens", "len")
)
"""Parameters of a forward that are given the steps of each example, as an int64 tensor on the CPU."""

MASKS = frozenset({"attention_mask"})
"""Parameters that are given ones where an example has a step: int64 (batch, time)."""

STATES = frozenset({"hidden", "hx", "hidden_state", "state", "states", "h0", "h_0", "hc"})
"""Parameters that are given the states before the first step: the model's own `init_hidden(batch)`, or None."""

BATCH_FIRST: Mapping[InputAxes, tuple[int, ...]] = {
    "bt": (0, 1),
    "tb": (1, 0),
    "btc": (0, 1, 2),
    "tbc": (1, 0, 2),
    "bct": (0, 2, 1),
}
"""By the network's axes, how a batch-first input (batch, time[, channel]) is permuted for it."""


ALL = slice(None)

Companions = Mapping[str, Shaped[Tensor, "example ..."]]
"""Further inputs by the parameters of the forward that they go to; each has a row for each example, or one for all."""

NOTHING_BESIDE: Companions = {}

OF_SEQUENCES = "as networks of texts and series do, and the inputs are pictures"
"""What is said where a network that takes what only texts and series tell is given pictures."""

FROM_DATA = (
    "give a Python data set whose items hold them, pass values that all examples share as constants={…}, or wrap the model in a"
    " module with one input"
)
"""How the data gives what a forward needs."""


@dataclass(frozen=True, slots=True)
class Arguments:
    """What a network is called with: its `axes` (None: as pictures are), which parameters of its forward get lengths, a mask
    and first states, and `constants`, which are the same for every example.

    The inputs go to `parameter`, or where that is '' to the first; the parameters `companions` get further inputs.
    """

    axes: InputAxes | None = None
    lengths: tuple[str, ...] = ()
    masks: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    constants: Mapping[str, Any] = field(default_factory=dict)
    companions: tuple[str, ...] = ()
    parameter: str = ""

    @classmethod
    def of(
        cls,
        module: nn.Module,
        axes: InputAxes | None,
        constants: Mapping[str, Any],
        companions: Sequence[str] = (),
        parameter: str = "",
        hint: str = FROM_DATA,
    ) -> Arguments:
        """Those of a network, by the names of the parameters of its forward.

        Raises `ModelError` for a parameter that has no default and is none of those known here, with the hint how to give it,
        and for a constant or further input that the forward does not take.
        """
        every = _parameters(module)
        _check_names(module, every, {*constants, *companions})
        _check_no_offsets(module, every, constants)
        open_ones = [one for one in every if one.name not in constants and one.name not in companions and _named(one)]
        shown = next((one for one in open_ones if one.name == parameter), None) or next(iter(open_ones), None)
        others = [one for one in open_ones if one is not shown]
        required = {one.name for one in others if one.default is one.empty}
        known = (LENGTHS | MASKS | STATES) if axes is not None else frozenset()
        if lacking := [one.name for one in others if one.name in required - known]:
            if axes is None and set(lacking) <= LENGTHS | MASKS | STATES:
                told = f"the forward of {type(module).__name__} takes {', '.join(lacking)}, {OF_SEQUENCES}"
                raise ModelError(told, f"give the texts or series that it is for; if it is for pictures, {hint}")
            raise ModelError(
                f"the forward of {type(module).__name__} needs {', '.join(lacking)} in addition to its input", hint
            )
        given = {one.name for one in others} if axes is not None else set()
        return cls(
            axes,
            tuple(sorted(given & _lengths(every))),
            tuple(sorted(given & MASKS)),
            tuple(sorted(required & STATES)) if axes is not None else (),
            dict(constants),
            tuple(companions),
            parameter if shown is None else "" if shown is every[0] else shown.name,
        )

    @property
    def plain(self) -> bool:
        """Whether the network takes inputs alone and as they are."""
        beside = self.constants or self.lengths or self.masks or self.states or self.companions or self.parameter
        return not beside and self.axes in (None, "bt", "btc")

    def arranged(self, inputs: Shaped[Tensor, " batch *rest"]) -> Shaped[Tensor, ...]:
        """Inputs as the network has its axes."""
        return inputs if self.axes is None else inputs.permute(BATCH_FIRST[self.axes])

    def others(self, module: nn.Module, inputs: Shaped[Tensor, "batch ..."]) -> dict[str, Any]:
        """What goes with so many inputs, by the names of the parameters; all but further inputs."""
        batch = inputs.shape[0]
        found: dict[str, Any] = dict(self.constants)
        if self.axes is not None:
            steps = inputs.shape[1]
            found |= {name: torch.full((batch,), steps, dtype=torch.int64) for name in self.lengths}
            found |= {name: torch.ones(batch, steps, dtype=torch.int64, device=inputs.device) for name in self.masks}
        first = getattr(module, "init_hidden", None)
        return found | {name: first(batch) if callable(first) else None for name in self.states}

    def companion(
        self, name: str, given: Shaped[Tensor, "batch ..."], inputs: Shaped[Tensor, "batch ..."]
    ) -> Shaped[Tensor, ...]:
        """A further input as the network has it: another sequence of the same kind in the same order, lengths on the CPU."""
        if name in LENGTHS:
            return given.cpu()
        alike = given.ndim == inputs.ndim and given.is_floating_point() == inputs.is_floating_point()
        return self.arranged(given) if alike and name not in MASKS else given


class Called:
    """A module's forward that takes batch-first inputs alone and gives the module's own forward what it wants beside them."""

    def __init__(self, module: nn.Module, arguments: Arguments) -> None:
        self._module, self.arguments = module, arguments
        # A bound method, so that a copy of the module has one of its own.
        self._usual = module.forward
        self.companions: Companions = {}

    @property
    def own(self) -> bool:
        """Whether it is the module's own forward, and no other set from outside, that is called in the end."""
        return getattr(self._usual, "__func__", None) is type(self._module).forward

    def __call__(self, inputs: Shaped[Tensor, "batch ..."]) -> Any:
        """One pass."""
        arguments = self.arguments
        given = arguments.others(self._module, inputs)
        for name in arguments.companions:
            assert name in self.companions, f"a pass without the further input '{name}'"
            # A copy, for the first thing that a model does may be to overwrite its input.
            own = _for_each(self.companions[name], len(inputs)).clone()
            given[name] = arguments.companion(name, own, inputs)
        shown = arguments.arranged(inputs)
        return self._usual(**{arguments.parameter: shown}, **given) if arguments.parameter else self._usual(shown, **given)


@contextmanager
def called_with(module: nn.Module, arguments: Arguments) -> Iterator[None]:
    """Within it, `module(inputs)` takes batch-first inputs alone, whatever its forward is given beside them."""
    if arguments.plain:
        yield
        return
    override = ForwardOverride(module, Called(module, arguments))
    try:
        yield
    finally:
        override.remove()


@contextmanager
def accompanied(module: nn.Module, companions: Companions, rows: slice = ALL) -> Iterator[None]:
    """Within it, each pass of a module that is `called_with` arguments is given these rows of further inputs.

    They have as many rows as the inputs of a pass, or one for all of them. A pass of several times as many inputs holds the
    same examples again and again, as Captum's do.
    """
    called = _called(module)
    if called is None:
        yield
        return
    own = {name: one if rows == ALL or len(one) == 1 else one[rows] for name, one in companions.items()}
    before, called.companions = called.companions, own
    try:
        yield
    finally:
        called.companions = before


@contextmanager
def of_rows(module: nn.Module, rows: slice) -> Iterator[None]:
    """Within it, passes are of some of the examples alone: of these rows of what the further inputs were."""
    with accompanied(module, companions_of(module), rows):
        yield


def companions_of(module: nn.Module) -> Companions:
    """The further inputs that the next pass of a module is given."""
    called = _called(module)
    return {} if called is None else called.companions


def called_so(module: nn.Module, arguments: Arguments) -> bool:
    """Whether a module is `called_with` these arguments just now."""
    called = _called(module)
    return called is not None and called.arguments is arguments


def forward_parameters(module: nn.Module, constants: Mapping[str, Any]) -> ForwardParameters:
    """What of a network's forward data can fill."""
    every = _parameters(module)
    free = [one for one in every if _named(one) and one.name not in constants]
    names = frozenset(one.name for one in free)
    ordered = [one for one in free if one.kind is not one.KEYWORD_ONLY and one.default in (one.empty, None)]
    return ForwardParameters(
        ordered=tuple(one.name for one in ordered) or ("",),
        required=frozenset(one.name for one in free if one.default is one.empty),
        named=names,
        any_name=any(one.kind is one.VAR_KEYWORD for one in every),
        lengths=names & _lengths(every),
        masks=names & MASKS,
        states=names & STATES,
        padding=next(_paddings(module), None),
    )


def _lengths(every: Sequence[inspect.Parameter]) -> frozenset[str]:
    """The parameters that take the steps of each example; one with a number as default, as in `seq_len=100`, does not."""
    return frozenset(one.name for one in every if one.name in LENGTHS and one.default in (one.empty, None))


def _paddings(module: nn.Module) -> Iterator[int]:
    embeddings = (one for one in module.modules() if isinstance(one, nn.Embedding))
    return (one.padding_idx for one in embeddings if one.padding_idx is not None)


def _check_no_offsets(module: nn.Module, every: Sequence[inspect.Parameter], constants: Collection[str]) -> None:
    """Raises `ModelError` for a forward that takes texts as an `nn.EmbeddingBag` may: joined, and the offsets of each."""
    required = {one.name for one in every if one.default is one.empty}
    if "offsets" in required.difference(constants) and any(isinstance(one, nn.EmbeddingBag) for one in module.modules()):
        raise ModelError(
            f"the forward of {type(module).__name__} takes the texts of a batch end to end, and offsets where each begins",
            "wrap the model in a module whose forward takes token ids (batch, time), for which an EmbeddingBag needs none",
        )


def _for_each(companion: Tensor, count: int) -> Tensor:
    """A row for each of so many inputs."""
    rows = len(companion)
    assert count % rows == 0, f"{rows} rows of a further input for {count} inputs"
    return companion if rows == count else companion.repeat(count // rows, *(1 for _ in companion.shape[1:]))


def _called(module: nn.Module) -> Called | None:
    found = vars(module).get("forward")
    return found if isinstance(found, Called) else None


def _check_names(module: nn.Module, every: Sequence[inspect.Parameter], given: Collection[str]) -> None:
    names = {one.name for one in every if _named(one)}
    unknown = set(given) - names
    if unknown and not any(one.kind is one.VAR_KEYWORD for one in every):
        raise ModelError(
            f"the forward of {type(module).__name__} has no parameter '{min(unknown)}'",
            f"available: {', '.join(sorted(names - {every[0].name})) or 'none'}",
        )


def _named(parameter: inspect.Parameter) -> bool:
    return parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)


def _parameters(module: nn.Module) -> list[inspect.Parameter]:
    found = list(inspect.signature(module.forward).parameters.values())
    if not found:
        raise ModelError(f"the forward of {type(module).__name__} takes no input", "give a module whose forward takes an input")
    return found
