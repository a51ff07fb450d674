"""Weights files: read without unpickling, found inside whatever a training program wrapped them in, and loaded strictly."""

from __future__ import annotations

import argparse
import pickle
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PosixPath, PurePosixPath
from types import SimpleNamespace
from typing import Any

import numpy as np
import safetensors.torch
import torch
from jaxtyping import Shaped
from safetensors import SafetensorError
from torch import Tensor, nn

from torchlurk.errors import WeightsError, a_type, in_one_line


class State(dict[str, Tensor]):
    """Tensors by their names in a file; `told` is what a user should know of how they were found and loaded."""

    def __init__(self, tensors: Mapping[str, Tensor], told: Iterable[str] = ()) -> None:
        super().__init__(tensors)
        self.told = list(told)


_NESTS = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "module", "weights", "params")
"""Under what training programs keep a model's state, looked for in this order."""
_AVERAGES = ("state_dict_ema", "model_ema", "ema_state_dict", "ema")
"""Under what they keep the average of its last steps: taken where there is nothing else."""
_PARALLEL = "module."
_COMPILED = "_orig_mod."
_AVERAGED = "n_averaged"
"""The buffer in which torch's AveragedModel counts its updates."""
_COUNTER = ".num_batches_tracked"
_SHOWN = 3
_SNIFFED = 64
_OTHER_FORMATS = {
    b"\x89HDF": "an HDF5 file, such as Keras writes",
    b"GGUF": "a GGUF file",
    b"\x93NUMPY": "a NumPy array",
    b"%PDF": "a PDF",
    b"<": "a page of markup, such as a download that failed",
}
"""What files that are taken for weights begin with, and what they are."""
_ONNX = b"\x08", (b"pytorch", b"onnx", b"tf2onnx", b"keras2onnx", b"skl2onnx")
"""What an ONNX file begins with, and one of the producers that it names soon after."""
_PICKLED = b"\x80", b"PK"
"""What pickles begin with, alone and in a file that torch wrote."""
_SAVE = (
    "torch.save(model.state_dict(), 'weights.pt') in the program that made it; pickles are not loaded, they can run any code"
)


def read_state(file: Path) -> State:
    """The tensors of a safetensors file or of a state dict saved by torch, under the names that the file gives them.

    The content decides which of the two it is, not the name. Raises `WeightsError` for anything else, for damaged files
    and for files that would have to be unpickled.
    """
    try:
        with file.open("rb") as stream:
            start = stream.read(_SNIFFED)
    except IsADirectoryError as error:
        raise WeightsError(f"'{file}' is a folder, not a weights file", "give the file in it") from error
    except FileNotFoundError as error:
        raise WeightsError(f"there is no weights file '{file}'", "check the path given to --weights") from error
    except OSError as error:
        raise WeightsError(f"'{file}' cannot be read: {error.strerror or error}", "check its permissions") from error
    if not start:
        raise WeightsError(f"'{file}' is empty", "save or download it again")
    if start[8:9] == b"{":
        return State(_read_safetensors(file))
    if other := _other_format(start):
        raise WeightsError(f"'{file}' is {other}, not weights of a PyTorch network", f"save a state dict with {_SAVE}")
    if file.suffix == ".safetensors":
        return State(_read_safetensors(file))
    return _state_in(_read_torch(file), file)


def _other_format(start: bytes) -> str | None:
    """What a file of another program is by its first bytes."""
    if start.startswith(_ONNX[0]) and any(producer in start for producer in _ONNX[1]):
        return "an ONNX file"
    return next((what for beginning, what in _OTHER_FORMATS.items() if start.startswith(beginning)), None)


def load_state(module: nn.Module, state: Mapping[str, Shaped[Tensor, ...]], source: object) -> None:
    """Copies the state into the module, all of it and nothing missing, under whichever prefix makes it fit.

    Raises `WeightsError` that names, shortened, what is missing, unexpected or of another shape; `source` is where the
    state comes from.
    """
    fitting, others = _named_like(module, state)
    problems = _differences(module.state_dict(), fitting)
    if problems:
        raise WeightsError(
            f"{source} does not fit {type(module).__name__}: {'; '.join(problems)}",
            "check that MODEL names the network that the weights were saved from",
        )
    # The version numbers that torch keeps beside a state are lost with its names; the tensors are known to fit by now.
    versioned = module.state_dict()
    versioned.update(fitting)
    try:
        module.load_state_dict(versioned, strict=True)
    except (RuntimeError, ValueError, TypeError) as error:
        raise WeightsError(f"{source} does not fit {type(module).__name__}: {in_one_line(error)}") from error
    if others and isinstance(state, State):
        state.told.append(f"{source} also holds what is not part of the network, and is left out: {_shortened(others)}")


def build_to_fit(build: Callable[[int | None], nn.Module], state: Mapping[str, Tensor] | None, source: object) -> nn.Module:
    """What `build` makes of a number of classes (None: its own), with `state` loaded into it.

    The state decides the number of classes: where it differs from the network only there, the network is built again.
    """
    module = build(None)
    if state is None:
        return module
    classes = _class_count(module, state)
    if classes is not None:
        module = build(classes)
    load_state(module, state, source)
    return module


def _read_safetensors(file: Path) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load_file(file)
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise WeightsError(
            f"'{file}' is damaged or is not a safetensors file: {in_one_line(error)}", "save or download it again"
        ) from error


def _read_torch(file: Path) -> object:
    try:
        with torch.serialization.safe_globals(_plain()):
            return torch.load(file, map_location="cpu", weights_only=True)
    except MemoryError as error:
        raise WeightsError(f"'{file}' does not fit into memory") from error
    # A damaged legacy file makes the unpickler raise almost anything.
    except Exception as error:
        raise _refusal(file, error) from error


def _plain() -> list[Any]:
    """What training programs keep beside a state that is nothing but data: their options, and numbers of NumPy's."""
    kinds = [type(np.dtype(name)) for name in ("float64", "float32", "int64", "int32", "uint32", "bool")]
    read_back = [np.float64(0).__reduce__()[0], np.zeros(0).__reduce__()[0]]
    return [argparse.Namespace, SimpleNamespace, PosixPath, PurePosixPath, np.dtype, np.ndarray, *kinds, *read_back]


def _refusal(file: Path, error: Exception) -> WeightsError:
    text = str(error)
    wanted = re.search(r"GLOBAL (\S+)", text) or re.search(r"Unsupported (?:operand|class)\S* (\S+)", text)
    if "TorchScript" in text:
        return WeightsError(f"'{file}' is a TorchScript program, not a state dict", f"save one with {_SAVE}")
    with file.open("rb") as stream:
        pickled = stream.read(2).startswith(_PICKLED)
    if isinstance(error, pickle.UnpicklingError) and wanted and pickled:
        return WeightsError(
            f"'{file}' holds pickled objects ({wanted[1].strip('`,.')}), not only tensors", f"save a state dict with {_SAVE}"
        )
    return WeightsError(
        f"'{file}' is damaged, or is not a weights file",
        "save or download it again; use a .safetensors file or a state dict saved by torch",
    )


def _state_in(content: object, file: Path) -> State:
    """The state dict in what torch loaded: itself, under one of the usual names, or the only one that there is."""
    if not isinstance(content, Mapping):
        raise WeightsError(f"'{file}' holds {a_type(content)}, not a state dict", f"save one with {_SAVE}")
    for name in (*_NESTS, *_AVERAGES):
        if _holds_tensors(content.get(name)):
            found = _state_in(content[name], file)
            averages = [one for one in _AVERAGES if one != name and _holds_tensors(content.get(one))]
            if averages:
                found.told.append(
                    f"'{file}' holds the weights of the last step, '{name}', which were taken, and their average,"
                    f" '{averages[0]}': to look at that, save it alone"
                )
            return found
    tensors = _tensors(content)
    if tensors:
        return State(tensors)
    nested = [name for name, value in content.items() if isinstance(name, str) and _holds_tensors(value)]
    if len(nested) == 1:
        return _state_in(content[nested[0]], file)
    holds = f"several: {', '.join(nested)}" if nested else f"only {_shortened(map(str, content))}" if content else "nothing"
    raise WeightsError(f"'{file}' does not hold one state dict but {holds}", f"save one with {_SAVE}")


def _holds_tensors(value: object) -> bool:
    """Whether a value is a state dict, or a dictionary with one inside."""
    if not isinstance(value, Mapping):
        return False
    return bool(_tensors(value)) or any(_holds_tensors(value.get(name)) for name in (*_NESTS, *_AVERAGES))


def _tensors(value: Mapping[object, object]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in value.items() if isinstance(name, str) and isinstance(tensor, Tensor)}


def _named_like(module: nn.Module, state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """The state under the names that share most with the module's own: as it is, out of wrappers, less its prefix.

    Where the network is one part of what was saved, as in a module that also holds its loss, it is that part; the names of
    the others come second.
    """
    own = module.state_dict()
    candidates = [dict(state), _out_of_wrappers(state)]
    others: list[str] = []
    while head := _shared_head(candidates[-1]):
        shorter = {name.removeprefix(head): tensor for name, tensor in candidates[-1].items()}
        candidates.append(_out_of_wrappers(shorter))
    best = max(candidates, key=lambda candidate: len(own.keys() & candidate.keys()) - len(candidate.keys() - own.keys()))
    if not own.keys() <= best.keys():
        for head in dict.fromkeys(name.partition(".")[0] + "." for name in candidates[1]):
            part = {name.removeprefix(head): one for name, one in candidates[1].items() if name.startswith(head)}
            if own.keys() == part.keys():
                best, others = part, [name for name in candidates[1] if not name.startswith(head)]
    # Files from before torch 0.4.1 lack these counters, which nothing computes with.
    counters = {name: own[name] for name in own if name.endswith(_COUNTER) and name not in best}
    return {**best, **counters}, others


def _shared_head(state: Mapping[str, Tensor]) -> str:
    """The first component of the names, with its dot, if all have the same; empty if not."""
    heads = {name.partition(".")[0] + "." if "." in name else "" for name in state}
    return heads.pop() if len(heads) == 1 else ""


def _out_of_wrappers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Without the names that torch.compile puts anywhere, and data parallelism and averaging around everything."""
    renamed = {name.replace(_COMPILED, ""): tensor for name, tensor in state.items()}
    while renamed.keys() - {_AVERAGED} and all(name.startswith(_PARALLEL) for name in renamed.keys() - {_AVERAGED}):
        renamed = {name.removeprefix(_PARALLEL): tensor for name, tensor in renamed.items() if name != _AVERAGED}
    return renamed


def _class_count(module: nn.Module, state: Mapping[str, Tensor]) -> int | None:
    """The number of classes of the state, where it alone differs from the module's; None where more or nothing does."""
    own, given = module.state_dict(), _named_like(module, state)[0]
    if own.keys() != given.keys():
        return None
    pairs = [(own[name].shape, given[name].shape) for name in own if own[name].shape != given[name].shape]
    if not pairs or any(a[1:] != b[1:] or not a for a, b in pairs):
        return None
    counts = {(a[0], b[0]) for a, b in pairs}
    return counts.pop()[1] if len(counts) == 1 else None


def _differences(own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> list[str]:
    missing = [name for name in own if name not in given]
    unexpected = [name for name in given if name not in own]
    # Only tensors have a shape; what a module keeps as extra state is its own to check.
    shapes = [
        f"{name} is {_shape(given[name])}, should be {_shape(own[name])}"
        for name in own
        if name in given and isinstance(own[name], Tensor) and own[name].shape != given[name].shape
    ]
    named = (("missing", missing), ("unexpected", unexpected), ("wrong shape", shapes))
    return [f"{what} {_shortened(names)}" for what, names in named if names]


def _shortened(names: Iterable[str]) -> str:
    listed = list(names)
    rest = len(listed) - _SHOWN
    return ", ".join(listed[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def _shape(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "a scalar"
