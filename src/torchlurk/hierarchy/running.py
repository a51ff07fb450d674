"""One pass of a model whose layers' activations are replaced on the way."""

from __future__ import annotations

from jaxtyping import Shaped
from torch import Tensor, nn

from torchlurk.errors import DeviceError, ModelError, OptionError, is_out_of_memory, told
from torchlurk.models.taps.interventions import Replacements
from torchlurk.models.taps.tensors import tensors_in


def run(module: nn.Module, inputs: Shaped[Tensor, "image ..."], replaced: Replacements) -> Shaped[Tensor, ...] | None:
    """The model's output, the first tensor of several, None where it gives none; what goes wrong is a `ModelError`, and
    too little memory a `DeviceError`.
    """
    try:
        # A copy, for the first thing that a model does may be to overwrite its input.
        output = module(inputs.clone())
    except ModelError:
        raise
    except Exception as error:
        shape = "×".join(map(str, inputs.shape[1:]))
        if is_out_of_memory(error):
            raise DeviceError(
                f"an input of {shape} does not fit into the memory of {inputs.device}", "use another device, or smaller inputs"
            ) from error
        raise ModelError(
            f"{type(module).__name__} failed on inputs of {shape}: {told(error)}",
            "it must run in evaluation mode on such inputs, with gradients if they are needed",
        ) from error
    found = [replaced.latest(one) for one in tensors_in(output)]
    return found[0].detach() if found else None


def check_finite(inputs: Shaped[Tensor, "image ..."]) -> None:
    """Raises `OptionError` for inputs that are not finite numbers throughout."""
    if not bool(inputs.isfinite().all()):
        raise OptionError("the image contains NaN or infinite values", "give an image without them")
