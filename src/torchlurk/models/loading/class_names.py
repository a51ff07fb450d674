"""What the outputs of published networks are called, by those who publish them."""

from __future__ import annotations

from torchlurk.errors import TorchlurkError
from torchlurk.models.loading.extras import import_timm, import_torchvision


def published_names(spec: str, outputs: int) -> list[str] | None:
    """The names of the classes that the network of that name was published with; None where it has others, or nobody says."""
    library, _, name = spec.partition(":")
    try:
        found = {"torchvision": _torchvision, "timm": _timm}[library](name)
    except (KeyError, ValueError, LookupError, TorchlurkError):
        return None
    return found if len(found) == outputs else None


def _torchvision(name: str) -> list[str]:
    return list(import_torchvision().models.get_model_weights(name).DEFAULT.meta["categories"])


def _timm(name: str) -> list[str]:
    data = import_timm().data
    subset = data.infer_imagenet_subset(import_timm().get_pretrained_cfg(name).to_dict())
    names = data.ImageNetInfo(subset) if subset else None
    described = [] if names is None else [names.index_to_description(index) for index in range(names.num_classes())]
    return [synonyms.split(",")[0] for synonyms in described]
