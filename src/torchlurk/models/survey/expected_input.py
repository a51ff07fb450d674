"""What a network takes, by its first module that tells: which kind of input, how many tokens or channels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from torchlurk.errors import ModelError
from torchlurk.input_records import KindName
from torchlurk.input_words import CHANNELS_FIRST
from torchlurk.models.taps.as_found import as_found

AXES = {"pictures": 3, "series": 2}
"""Of one example of floats."""

FOR_SEQUENCES = "torchlurk.analyze and torchlurk.attribute tell what units of texts and series respond to"

GREY, COLOUR = 1, 3
"""Channels of pictures."""


@dataclass(frozen=True, slots=True)
class Expected:
    """`module` is the path of the module that tells and its type; `extent` how many tokens or channels it has."""

    kind: KindName
    module: str
    extent: int

    @property
    def told(self) -> str:
        """In words."""
        if self.kind == "text":
            return f"{self.module} takes token ids from 0 to {self.extent - 1}"
        if self.kind == "series":
            return f"{self.module} takes series of {self.extent} channels"
        return f"{self.module} takes pictures of {self.extent} channels"


def expected_input(module: nn.Module) -> Expected | None:
    """What the first telling module of `module` takes, in the order in which modules were registered; None without one.

    Linear layers do not tell: they take series, vectors and pictures that were flattened.
    """
    for path, one in module.named_modules():
        called = f"{path or 'the network'} ({type(one).__name__})"
        if isinstance(one, (nn.Embedding, nn.EmbeddingBag)):
            return Expected("text", called, one.num_embeddings)
        if isinstance(one, (nn.RNNBase, nn.RNNCellBase)):
            return Expected("series", called, one.input_size)
        if isinstance(one, nn.Conv1d):
            return Expected("series", called, one.in_channels)
        if isinstance(one, (nn.Conv2d, nn.Conv3d)):
            return Expected("pictures", called, one.in_channels)
    return None


def misfit(module: nn.Module, inputs: Shaped[Tensor, "batch ..."]) -> tuple[str, str] | None:
    """Why batch-first inputs do not fit what the network takes, and what to do; None where that cannot be told.

    Ask only after the network has failed on them: a network may rearrange its inputs before its first module.
    """
    expected = expected_input(module)
    kind = _kind(inputs)
    if expected is None or kind is None:
        return None
    if kind != expected.kind:
        return f"the inputs are {kind}, and {expected.told}", f"give {expected.kind} as data, or a model for {kind}"
    if kind == "text" and int(inputs.max()) >= expected.extent:
        hint = "give the vocabulary and tokenizer that the model was trained with"
        return f"the text has the token id {int(inputs.max())}, and {expected.told}", hint
    if kind == "series" and inputs.shape[2] != expected.extent:
        hint = f"give series of {expected.extent} channels, or a model for {inputs.shape[2]}"
        return f"the series have {inputs.shape[2]} channels, and {expected.module} takes {expected.extent}", hint
    if kind == "pictures" and inputs.shape[3] == expected.extent != inputs.shape[1]:
        return f"the last axis is as long as there are channels, and {expected.told}, which are the first", CHANNELS_FIRST
    if kind == "pictures" and {expected.extent, inputs.shape[1]} == {GREY, COLOUR}:
        if inputs.shape[1] == GREY:
            hint = "--mean and --std with one value each make pictures grey; give three values each, or a model for grey ones"
        else:
            hint = "give --mean and --std with one value each, which make pictures grey, or a model for colours"
        return f"the pictures have {inputs.shape[1]} channel(s), and {expected.module} takes {expected.extent}", hint
    return None


def takes_grey_alone(module: nn.Module, colour: Float[Tensor, "1 3 height width"]) -> bool:
    """Whether a network that begins with one channel fails on a picture in colour: some make pictures grey by themselves."""
    expected = expected_input(module)
    if expected is None or expected.kind != "pictures" or expected.extent != GREY:
        return False
    with as_found(module), torch.inference_mode(False), torch.no_grad():
        try:
            module(colour)
        except Exception:  # the network is run once more where it counts
            return True
    return False


def check_takes_pictures(module: nn.Module, verb: str, error: Exception | None = None) -> None:
    """Raises `ModelError` from `error`, which the network raised on a picture, where it takes texts or series instead."""
    expected = expected_input(module)
    if expected is not None and expected.kind != "pictures":
        raise ModelError(f"{verb} is for pictures, and {expected.told}", FOR_SEQUENCES) from error


def without_batch(module: nn.Module, inputs: Shaped[Tensor, ...]) -> str:
    """Why inputs that the network failed on are one example without the axis of the batch; '' where they may be a batch."""
    expected = expected_input(module)
    if expected is None or not inputs.is_floating_point() or inputs.ndim != AXES.get(expected.kind):
        return ""
    return f"inputs have the shape {tuple(inputs.shape)}, without an axis of the batch, and {expected.told}"


def other_vocabulary(module: nn.Module, tokens: int) -> str:
    """What to tell the user where no embedding of the network has as many rows as the vocabulary has tokens; '' otherwise."""
    embeddings = {path: one for path, one in module.named_modules() if isinstance(one, (nn.Embedding, nn.EmbeddingBag))}
    if not embeddings or tokens in {one.num_embeddings for one in embeddings.values()}:
        return ""
    path, one = next(iter(embeddings.items()))
    return (
        f"the vocabulary has {tokens:,} tokens, and {path or 'the network'} ({type(one).__name__}) has rows for"
        f" {one.num_embeddings:,}: is it the one that the model was trained with?"
    )


def _kind(inputs: Tensor) -> KindName | None:
    if not inputs.is_floating_point():
        return "text" if inputs.ndim == 2 else None
    return {4: "pictures", 3: "series"}.get(inputs.ndim)  # type: ignore[return-value]
