"""Preprocessing as other libraries describe it, read into our own record."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from enum import Enum
from typing import Any

from torchlurk.errors import ModelError, a_type, first_line
from torchlurk.options import Interpolation
from torchlurk.records import Preprocessing

_INTERPOLATIONS: dict[object, Interpolation] = {
    "nearest": "nearest", "nearest-exact": "nearest", "bilinear": "bilinear", "bicubic": "bicubic", "lanczos": "lanczos",
    0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic",
}  # fmt: skip
"""By torchvision's and timm's names, and by Pillow's numbers."""
_WHITE = 255
_SINGLE_DIGITS = 7
_TO_UNIT_RANGE = {"ToTensor", "MaybeToTensor", "ConvertImageDtype"}
_HARMLESS = {"PILToTensor", "MaybePILToTensor", "ToImage", "ToPILImage", "ToPureTensor", "Identity"}
_LIBRARIES = ("torchvision.", "timm.")
_CONVNEXT_WARPS_FROM = 384
"""From this size on, the ConvNeXt image processor resizes to the exact square instead of cropping from it."""
_LEVIT_ENLARGES = 256 / 224


def translate(preprocess: object) -> Preprocessing | None:
    """What a model's author gives as its preprocessing, as our record; None stays None.

    It may be a `Preprocessing` or a dict of its fields, a torchvision preset or composition of resize, centre crop and
    normalization, a timm data configuration, or a transformers image processor. Raises `ModelError` for anything that
    the record cannot say exactly.
    """
    if preprocess is None or isinstance(preprocess, Preprocessing):
        return preprocess
    try:
        return _translated(preprocess)
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
        raise _refusal(first_line(error)) from error


def _translated(preprocess: object) -> Preprocessing:
    if isinstance(preprocess, Mapping):
        return _from_timm(preprocess) if "input_size" in preprocess else _from_fields(preprocess)
    if hasattr(preprocess, "data_config"):
        return _from_timm(preprocess.data_config)
    if hasattr(preprocess, "image_mean"):
        return _from_image_processor(preprocess)
    if hasattr(preprocess, "resize_size") and hasattr(preprocess, "crop_size"):
        return _from_preset(preprocess)
    steps = getattr(preprocess, "transforms", None)
    if steps is None and type(preprocess).__name__ == "Sequential" and isinstance(preprocess, Iterable):
        steps = list(preprocess)
    if isinstance(steps, Sequence):
        return _from_steps(steps)
    raise _refusal(f"{a_type(preprocess)} is not one of the supported kinds")


def _from_fields(given: Mapping[str, Any]) -> Preprocessing:
    known = [field.name for field in fields(Preprocessing)]
    if set(given) - set(known):
        raise _refusal(f"it has {', '.join(map(repr, sorted(set(given) - set(known))))}; its fields are {', '.join(known)}")
    filled = {name: value for name, value in given.items() if value is not None}
    return _record(
        resize=_sides(filled["resize"]) if "resize" in filled else None,
        crop=_square(filled["crop"]) if "crop" in filled else None,
        interpolation=filled.get("interpolation", "bilinear"),
        mean=filled.get("mean", Preprocessing().mean),
        std=filled.get("std", Preprocessing().std),
    )


def _from_preset(preset: Any) -> Preprocessing:
    """A torchvision `ImageClassification` preset."""
    return _record(_sides(preset.resize_size), _square(preset.crop_size), preset.interpolation, preset.mean, preset.std)


def _from_timm(config: Mapping[str, Any]) -> Preprocessing:
    """A timm data configuration, read as timm's own evaluation transform reads it."""
    size = tuple(int(side) for side in config["input_size"][-2:])
    enlarged = tuple(math.floor(side / (config.get("crop_pct") or 1)) for side in size)
    mode = config.get("crop_mode") or "center"
    if mode == "squash":
        resize = enlarged
    elif mode == "center" and enlarged[0] == enlarged[1]:
        resize = enlarged[:1]
    else:
        raise _refusal(f"its crop mode '{mode}' to {size[0]}×{size[1]} is not supported")
    return _record(resize, _square(size), config.get("interpolation", "bilinear"), config["mean"], config["std"])


def _from_steps(steps: Sequence[Any]) -> Preprocessing:
    """A composition, of torchvision or timm: resize, crop, to 0..1, normalize, each at most once and in this order."""
    resize: tuple[int, ...] | None = None
    crop: tuple[int, int] | None = None
    interpolation: object = "bilinear"
    mean, std = Preprocessing().mean, Preprocessing().std
    scaled = normalized = False
    for step in steps:
        name = type(step).__name__
        if not type(step).__module__.startswith(_LIBRARIES) or normalized:
            raise _refusal(f"its step {name} is not supported")
        if name == "Resize" and resize is crop is None and getattr(step, "max_size", None) is None and step.size:
            resize, interpolation = _sides(step.size), step.interpolation
        elif name == "CenterCrop" and crop is None:
            crop = _square(step.size)
        elif name in _TO_UNIT_RANGE or (name == "ToDtype" and getattr(step, "scale", False)):
            scaled = True
        elif name == "Normalize" and scaled:
            mean, std, normalized = _numbers(step.mean), _numbers(step.std), True
        elif name not in _HARMLESS:
            raise _refusal(f"its step {name} is not supported, or not in this place")
    if not scaled:
        raise _refusal("none of its steps scales pixels to 0..1")
    return _record(resize, crop, interpolation, mean, std)


def _from_image_processor(processor: Any) -> Preprocessing:
    """A transformers image processor; some classes resize in a way of their own."""
    for flag in ("do_flip_channel_order", "do_pad", "do_color_quantize", "do_reduce_labels", "do_thumbnail"):
        if getattr(processor, flag, None):
            raise _refusal(f"its {flag} is not supported")
    resize, crop = _sizes(processor)
    mean, std = _normalization(processor)
    return _record(resize, crop, getattr(processor, "resample", None) or 0, mean, std)


def _sizes(processor: Any) -> tuple[tuple[int, ...] | None, tuple[int, int] | None]:
    crop = _extent(processor.crop_size) if getattr(processor, "do_center_crop", False) else None
    size = getattr(processor, "size", None)
    if not getattr(processor, "do_resize", False) or not size:
        return None, _square(crop) if crop else None
    name, sides = type(processor).__name__, _extent(size)
    fraction = getattr(processor, "crop_pct", None) or 1.0
    if name.startswith("Perceiver"):
        raise _refusal(f"{name} crops before it resizes")
    if name.startswith("ConvNext") and len(sides) == 1:
        if sides[0] >= _CONVNEXT_WARPS_FROM:
            return sides * 2, _square(crop) if crop else None
        return (int(sides[0] / fraction),), _square(sides)
    if name.startswith("PoolFormer"):
        sides = tuple(int(side / fraction) for side in (sides[:1] if len(set(sides)) == 1 else sides))
    if name.startswith("Levit") and len(sides) == 1:
        sides = (int(_LEVIT_ENLARGES * sides[0]),)
    return sides, _square(crop) if crop else None


def _extent(size: Any) -> tuple[int, ...]:
    """(shorter side,) or (height, width) of a size as image processors keep it."""
    if isinstance(size, int):
        return (size,)
    if not isinstance(size, Mapping):
        # Newer image processors keep an object with these attributes, None where not given.
        size = {name: getattr(size, name, None) for name in ("height", "width", "shortest_edge", "longest_edge")}
    given = {name: int(value) for name, value in size.items() if value is not None}
    if given.keys() == {"height", "width"}:
        return given["height"], given["width"]
    if given.keys() == {"shortest_edge"}:
        return (given["shortest_edge"],)
    raise _refusal(f"its size {given} is not supported")


def _normalization(processor: Any) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and std that do in one step, from 0..1, what the processor does in up to three.

    It computes x·factor − offset from 0..255, then (· − mean) / std, and EfficientNet's divides by std once more.
    """
    if not getattr(processor, "do_rescale", False):
        raise _refusal("it does not scale pixels to 0..1")
    factor = _WHITE * processor.rescale_factor
    offset = 1.0 if getattr(processor, "rescale_offset", False) else 0.0
    plain = not getattr(processor, "do_normalize", False)
    mean = (0.0, 0.0, 0.0) if plain else _numbers(processor.image_mean)
    std = (1.0, 1.0, 1.0) if plain else _numbers(processor.image_std)
    if type(processor).__name__.startswith("EfficientNet") and getattr(processor, "include_top", False):
        again = _numbers(processor.image_std)
        return tuple((m + offset) / factor for m in mean), tuple(s * a / factor for s, a in zip(std, again, strict=True))
    return tuple((m + offset) / factor for m in mean), tuple(s / factor for s in std)


def _record(
    resize: tuple[int, ...] | None, crop: tuple[int, int] | None, interpolation: object, mean: object, std: object
) -> Preprocessing:
    key = interpolation.value if isinstance(interpolation, Enum) else interpolation
    if key not in _INTERPOLATIONS:
        raise _refusal(f"its interpolation {key!r} is not supported")
    means, deviations = _numbers(mean), _numbers(std)
    if len(means) != len(deviations) or not all(value > 0 for value in deviations):
        raise _refusal(f"mean {means} and std {deviations} do not go together")
    return Preprocessing(resize, crop, _INTERPOLATIONS[key], means, deviations)


def _numbers(values: Any) -> tuple[float, ...]:
    listed = tuple(float(value) for value in (values if isinstance(values, Iterable) else (values,)))
    # What a library keeps in single precision was written down with fewer digits.
    return tuple(float(f"{value:.{_SINGLE_DIGITS}g}") for value in listed) if hasattr(values, "dtype") else listed


def _sides(size: Any) -> tuple[int, ...]:
    """(shorter side,) or (height, width) of a size given as a number or as one or two numbers."""
    sides = tuple(int(side) for side in (size if isinstance(size, Iterable) else (size,)))
    if len(sides) not in (1, 2):
        raise _refusal(f"its size {size} is not supported")
    return sides


def _square(size: Any) -> tuple[int, int]:
    sides = _sides(size)
    return sides[0], sides[-1]


def _refusal(why: str) -> ModelError:
    return ModelError(
        f"the model's preprocessing cannot be read: {why}",
        "give --resize --crop --mean --std, or return a torchlurk.records.Preprocessing",
    )
