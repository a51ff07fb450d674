"""Networks that others publish: torchvision, timm and Hugging Face, each with its preprocessing.

`weights` is a state already read from a file, "random", or None for what the library publishes.
"""

from __future__ import annotations

import logging
import math
import pickle
import re
import sys
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from torchlurk.errors import ModelError, WeightsError, first_line, nearest
from torchlurk.files import expanded
from torchlurk.input_records import ReadsText
from torchlurk.models.loading.extras import import_timm, import_torchvision, import_transformers
from torchlurk.models.loading.preprocessing import translate
from torchlurk.models.loading.weights import State, build_to_fit
from torchlurk.records import Preprocessing

Result = TypeVar("Result")
Weights = State | Literal["random"] | None
Network = tuple[nn.Module, object]
"""A module, and its preprocessing as its library describes it."""

_TEXT_MODELS = {
    "ForSequenceClassification": "AutoModelForSequenceClassification",
    "ForMaskedLM": "AutoModelForMaskedLM",
    "ForCausalLM": "AutoModelForCausalLM",
    "LMHeadModel": "AutoModelForCausalLM",
}
"""By how the name of a transformers class ends, the class that builds it, of models that take token ids."""

_TOKENIZER = "tokenizer.json"

_AUXILIARY = {"googlenet": ("aux1.", "aux2."), "inception_v3": ("AuxLogits.",)}
"""torchvision's networks with classifiers for training only, which are there or not, and under which names."""
_DENSENET_OLD = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.((?:[12])\.(?:weight|bias|running_mean|running_var))$")
"""Names in torchvision's published densenets, from when a module's name could hold a dot."""
_VIT_POSITIONS, _VIT_PATCHES = "encoder.pos_embedding", "conv_proj.weight"
_TIMM_HUB = ("hf-hub", "hf_hub")
"""What names of timm's models begin with, before a colon, that are repositories on the hub."""
_TIMM_FILES = ("model.safetensors", "pytorch_model.bin")
_FOLDER = "it must hold config.json and model.safetensors, as save_pretrained writes them"
_REACH_SECONDS = 10.0
"""How long a server may take to answer at all before it counts as out of reach."""
_BROKEN = (OSError, RuntimeError, ValueError, EOFError, KeyError, pickle.UnpicklingError, SafetensorError)
"""What libraries raise on downloads that fail and on files that are damaged."""

_LOGGER = logging.getLogger("torchlurk")


def torchvision_network(name: str, weights: Weights, source: object) -> Network:
    """A classification model of torchvision, with its default weights' preset.

    A state decides the number of classes, the picture size of a vision transformer, and whether there are auxiliary
    classifiers.
    """
    models = import_torchvision().models
    known = models.list_models(module=models)
    if name not in known:
        elsewhere = name in models.list_models()
        what = "is not a classification model" if elsewhere else f"is not in torchvision{nearest(name, known)}"
        raise ModelError(f"'{name}' {what}", "for any other model, write a function that builds it: FILE.py:CALLABLE")
    published = models.get_model_weights(name).DEFAULT
    state: Mapping[str, Tensor] | None
    state = _torchvision_published(name, published) if weights is None else None if weights == "random" else weights
    if state is not None and name.startswith("densenet"):
        state = {_DENSENET_OLD.sub(r"\1\2", key): tensor for key, tensor in state.items()}
    options = _torchvision_options(name, state)

    def build(classes: int | None) -> nn.Module:
        own = options if classes is None else {**options, "num_classes": classes}
        module: nn.Module = models.get_model(name, weights=None, **own)
        return module

    preset = translate(published.transforms())
    assert preset is not None  # every published weight has its preset
    if "image_size" in options:
        preset = _at_size(preset, options["image_size"])
    return build_to_fit(build, state, source), preset


def timm_network(name: str, weights: Weights, source: object) -> Network:
    """A model of timm, with its data configuration; a state decides the number of classes."""
    timm = import_timm()
    scheme, _, repository = name.rpartition(":")
    if scheme in _TIMM_HUB and not _cached(repository, ["config.json"]):
        _check_hub(repository, f"timm:{name}")
    if not timm.is_model(name) and not scheme:
        raise ModelError(f"'{name}' is not in timm{nearest(name, timm.list_models())}", "timm.list_models() lists all")

    def build(classes: int | None) -> nn.Module:
        module: nn.Module = timm.create_model(name) if classes is None else timm.create_model(name, num_classes=classes)
        return module

    try:
        if weights is None:
            module = _timm_published(timm, name)
        else:
            module = build_to_fit(build, None if weights == "random" else weights, source)
    except _BROKEN as error:
        raise _not_built("timm", name, error) from error
    return module, timm.data.resolve_model_data_config(module)


def hf_network(name: str, weights: Weights, source: object) -> Network:
    """A model of transformers, from a folder or the hub: for text as its configuration says, else one of image classification.

    One for text comes with how it reads text, one for images with its image processor if it has one. A state decides the
    number of classes. What is in the local cache is used without asking the hub.
    """
    transformers = import_transformers()
    folder = expanded(name)
    if not folder.is_dir() and (folder.exists() or name.startswith((".", "/", "~")) or name.count("/") > 1):
        raise ModelError(f"there is no folder '{name}' with a model", "hf:NAME is a name on the hub, or a local folder")
    where = str(folder) if folder.is_dir() else name
    config = _from_hub(name, lambda local: transformers.AutoConfig.from_pretrained(where, local_files_only=local))

    auto = _auto_class(transformers, config)

    def build(classes: int | None) -> nn.Module:
        if classes is not None:
            config.num_labels = classes
        module: nn.Module = auto.from_config(config, dtype=torch.float32)
        return module

    try:
        if weights is None:
            module = _hf_published(auto, name, where)
        else:
            module = build_to_fit(build, None if weights == "random" else weights, source)
    except ValueError as error:
        raise _not_built("transformers", name, error) from error
    if auto is not transformers.AutoModelForImageClassification:
        return module, _reads_text(config, folder if folder.is_dir() else None, name)
    try:
        load = transformers.AutoImageProcessor.from_pretrained
        return module, _from_hub(name, lambda local: load(where, local_files_only=local))
    except WeightsError:  # a model without one: the user says how pictures come in
        return module, None


def _auto_class(transformers: Any, config: Any) -> Any:
    """The class that builds a model as its configuration says it was saved; with a vocabulary and no head it is for text."""
    saved = next(iter(getattr(config, "architectures", None) or ()), "")
    found = next((auto for ending, auto in _TEXT_MODELS.items() if saved.endswith(ending)), None)
    if found is None and saved.endswith("Model") and hasattr(config, "vocab_size") and not config.is_encoder_decoder:
        found = "AutoModel"  # as models of sentence embeddings are saved
    return getattr(transformers, found or "AutoModelForImageClassification")


def _reads_text(config: Any, folder: Path | None, name: str) -> ReadsText:
    file = str(folder / _TOKENIZER) if folder else _cached(name, [_TOKENIZER])
    longest = getattr(config, "max_position_embeddings", None)
    return ReadsText(file if file and Path(file).is_file() else None, longest if isinstance(longest, int) else None)


def _torchvision_options(name: str, state: Mapping[str, Tensor] | None) -> dict[str, Any]:
    """What torchvision's builder must know so that its network has the tensors of the state."""
    if name in _AUXILIARY:
        options: dict[str, Any] = {"init_weights": False}
        if state is not None:
            options["aux_logits"] = any(part in key for key in state for part in _AUXILIARY[name])
            # As torchvision does for the weights that it publishes, which nearly all others were trained from.
            options["transform_input"] = True
            _LOGGER.info("%s changes its inputs' colours as its published weights need it", name)
        return options
    positions = [tensor for key, tensor in (state or {}).items() if key.endswith(_VIT_POSITIONS)]
    patches = [tensor for key, tensor in (state or {}).items() if key.endswith(_VIT_PATCHES)]
    if name.startswith("vit_") and positions and patches:
        return {"image_size": math.isqrt(positions[0].shape[1] - 1) * patches[0].shape[-1]}
    return {}


def _at_size(preset: Preprocessing, size: int) -> Preprocessing:
    """The preset for another picture size; torchvision's own for larger ones do not crop."""
    return preset if preset.crop == (size, size) else replace(preset, resize=(size,), crop=(size, size))


def _torchvision_published(name: str, published: Any) -> dict[str, Tensor]:
    cached = Path(torch.hub.get_dir()) / "checkpoints" / Path(published.url).name
    try:
        if not cached.exists():
            request = urllib.request.Request(published.url, method="HEAD")
            with urllib.request.urlopen(request, timeout=_REACH_SECONDS):
                pass
        state: dict[str, Tensor] = published.get_state_dict(
            progress=sys.stderr.isatty(), check_hash=True, map_location="cpu", weights_only=True
        )
    except _BROKEN as error:
        where = f"; the copy in {cached} is damaged, delete it" if cached.exists() else ""
        raise _unpublished(f"torchvision:{name}", error, where) from error
    return state


def _timm_published(timm: Any, name: str) -> nn.Module:
    """With the weights that timm publishes: from the local cache if they are there, else from the hub if it answers."""
    config = timm.models.get_pretrained_cfg(name) if ":" not in name else None
    overlay: dict[str, str] = {}
    if config is not None and config.hf_hub_id and not config.custom_load:
        file = _cached(config.hf_hub_id, [config.hf_hub_filename] if config.hf_hub_filename else _TIMM_FILES)
        overlay = {"file": file} if file else {}
    if config is not None and config.hf_hub_id and not overlay:
        _check_hub(config.hf_hub_id, f"timm:{name}")
    try:
        module: nn.Module = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay or None)
    except _BROKEN as error:
        raise _unpublished(f"timm:{name}", error) from error
    return module


def _hf_published(auto: Any, name: str, where: str) -> nn.Module:
    def load(local: bool) -> tuple[nn.Module, Mapping[str, Any]]:
        loaded: tuple[nn.Module, Mapping[str, Any]] = auto.from_pretrained(
            where, local_files_only=local, dtype=torch.float32, output_loading_info=True
        )
        return loaded

    module, report = _from_hub(name, load)
    missing = sorted(report.get("missing_keys", ()))
    if missing:
        _LOGGER.warning("hf:%s has no weights for %s: they are random", name, ", ".join(missing))
    return module


def _from_hub(name: str, load: Callable[[bool], Result]) -> Result:
    """What `load(local_only)` returns: from the folder or the local cache, else from the hub if it answers at all.

    The library alone would ask a hub that is out of reach for minutes.
    """
    try:
        return load(True)
    except _BROKEN as error:
        if expanded(name).is_dir():
            raise WeightsError(f"the folder '{name}' holds no model of transformers: {first_line(error)}", _FOLDER) from error
        if not isinstance(error, OSError):
            raise _unpublished(f"hf:{name}", error) from error
    _check_hub(name, f"hf:{name}")
    try:
        return load(False)
    except _BROKEN as error:
        raise _unpublished(f"hf:{name}", error) from error


def _cached(repository: str, files: Iterable[str]) -> str | None:
    """The path of the first of a hub repository's files that was downloaded before."""
    from huggingface_hub import try_to_load_from_cache

    paths = (try_to_load_from_cache(repository, file) for file in files)
    # A file known to be absent is an object of the hub's, not None.
    return next((path for path in paths if isinstance(path, str)), None)


def _check_hub(repository: str, spec: str) -> None:
    """Raises `WeightsError` where the hub does not answer, or has no such model."""
    from huggingface_hub import HfApi

    try:
        HfApi().model_info(repository, timeout=_REACH_SECONDS)
    # The hub's client raises its HTTP library's errors, and which library that is depends on its version.
    except Exception as error:
        raise _unpublished(spec, error) from error


def _unpublished(spec: str, error: Exception, where: str = "") -> WeightsError:
    hub = "try with a network, or give a folder with hf:FOLDER, or another MODEL with --weights FILE"
    return WeightsError(
        f"the published weights of {spec} cannot be loaded: {first_line(error).rstrip('.')}{where}",
        hub if spec.startswith("hf:") else "give weights with --weights FILE (or --weights random)",
    )


def _not_built(library: str, name: str, error: Exception) -> ModelError:
    return ModelError(f"{library} cannot build '{name}': {first_line(error)}", "check the name, or write a FILE.py:CALLABLE")
