"""A model ready to be asked about images, beside the study that was made with it, if there is one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor, nn

from torchlurk.errors import DataError, MismatchError, OptionError, StudyError, TorchlurkError, UnknownImageError, nearest
from torchlurk.hierarchy.inspector import Inspector
from torchlurk.input_words import check_one_model
from torchlurk.inputs.pictures.decoding import decode
from torchlurk.inputs.pictures.preprocessing import GREY, display, normalize, prepare, resolve
from torchlurk.inputs.sources.class_names import read_labels
from torchlurk.inputs.sources.dataset_items import to_pixels
from torchlurk.models.loading.class_names import published_names
from torchlurk.models.loading.identity import fingerprint, unwrap
from torchlurk.models.loading.load import load
from torchlurk.models.loading.placement import choose_device, place
from torchlurk.models.survey.endings import Ending
from torchlurk.models.survey.expected_input import COLOUR, takes_grey_alone
from torchlurk.models.taps.invocation import HOW, FurtherInputs, Invocation
from torchlurk.models.taps.modules import device_of
from torchlurk.options import InputOptions
from torchlurk.records import Box, Layer, MethodCheck, Preprocessing, Tap
from torchlurk.rendering.boxes import crop
from torchlurk.rendering.encoding import decode as decode_stored
from torchlurk.stages.stage import described
from torchlurk.store.queries import pictured_examples
from torchlurk.store.reading import Reader
from torchlurk.units import Unit

CLASS_EXAMPLES = 8
"""Of how many examples a class's mean is, if nothing else is said."""

Picture = UInt8[np.ndarray, "height width channel"]

ASKING = "asking a model about one input"


class ModelSession:
    """A model with the preprocessing, layers and class names that its images are looked at with.

    With a study they are the study's: its layers, read where it read them; `layers` are globs among them. `constants` and
    `further_inputs` are what the model's forward is given beside the images. Raises `MismatchError` where the study was made
    with another model or other constants, or the model was given further inputs that are not given now.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        study: Reader | None = None,
        preprocessing: Preprocessing | None = None,
        class_names: str | Path | None = None,
        layers: tuple[str, ...] = (),
        device: str = "auto",
        called: str = "",
        constants: Mapping[str, Any] | None = None,
        further_inputs: FurtherInputs | None = None,
    ) -> None:
        self.name = called or type(unwrap(model)).__name__
        self.study = study
        if study is not None:
            check_one_model(ASKING, str(study.path), study.inputs().kind)
            check_model(model, study, self.name)
            _check_given(study, constants or {}, further_inputs or {})
        self.module = place(unwrap(model), choose_device(device), "fp32")
        self.invocation = Invocation.of(self.module, constants, further_inputs)
        self.preprocessing = study.preprocessing() if study is not None else preprocessing or Preprocessing()
        self._told = study is not None or preprocessing is not None
        self._class_names = class_names
        if class_names is not None:
            read_labels(Path(class_names), [])  # what cannot be read is told now, and not with the first image
        self._tap, self._layers = _read_as(study, layers)
        self._first: Inspector | None = None
        # Whether the model takes inputs in any order of memory, as far as is known: one that calls `view` may not.
        self.any_order = True

    @classmethod
    def load(
        cls,
        spec: str,
        weights: str | Path | None = None,
        *,
        study: Reader | None = None,
        class_names: str | Path | None = None,
        layers: tuple[str, ...] = (),
        device: str = "auto",
        constants: Mapping[str, Any] | None = None,
        further_inputs: FurtherInputs | None = None,
        normalized: InputOptions | None = None,
    ) -> ModelSession:
        """The same for a MODEL as on the command line; raises what loading it raises. `normalized` goes before what it says of
        its preprocessing.
        """
        loaded = load(spec, weights, preprocessing=study is None)
        return cls(
            loaded.module,
            study=study,
            preprocessing=told_preprocessing(normalized or InputOptions(), loaded.preprocessing),
            class_names=class_names,
            layers=layers,
            device=device,
            called=spec,
            constants=constants,
            further_inputs=further_inputs,
        )

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return device_of(self.module)

    def pixels(self, image: Image.Image | str | Path) -> Picture:
        """A picture, or the one in a file, as the network sees it before normalization; raises `DataError`."""
        if isinstance(image, Image.Image):
            return self._grey_or_not(image)
        try:
            return self._grey_or_not(decode(Path(image)))
        except DataError as error:
            raise DataError(f"'{image}' {error.message}", "name an image file") from error

    def prepared(self, image: Tensor | np.ndarray) -> Float[Tensor, "1 channel height width"]:
        """The network's input for a picture that a program has as numbers, which are read as those of data sets are: floats as
        the network takes them, bytes prepared as a file is. Raises `DataError` for what is no picture.
        """
        try:
            found = self._numbers(image)
        except DataError as error:
            raise DataError(
                f"the image {error.message}", "give channel height width: floats as the model takes them, or uint8"
            ) from error
        return self.inputs(found) if isinstance(found, np.ndarray) else found[None].to(self.device)

    def suit(self, channels: int) -> None:
        """Pictures of so many channels can be shown, also where nothing says how they were normalized."""
        if not self._told and channels != self.preprocessing.channels:
            self.preprocessing = Preprocessing(mean=(0.0,) * channels, std=(1.0,) * channels)

    def _grey_or_not(self, image: Image.Image) -> Picture:
        found = prepare(image, self.preprocessing)
        return prepare(image, self.preprocessing) if self._makes_grey(found) else found

    def _numbers(self, image: Tensor | np.ndarray) -> Float[Tensor, "channel height width"] | Picture:
        found = to_pixels(image, self.preprocessing)
        if isinstance(found, Tensor):
            self.suit(len(found))
            return found
        return to_pixels(image, self.preprocessing) if self._makes_grey(found) else found

    def _makes_grey(self, pixels: Picture) -> bool:
        """Whether pictures are to be made grey from now on: the network takes one channel, and nothing says how it is given."""
        if self._told or pixels.shape[2] != COLOUR or not takes_grey_alone(self.module, self.inputs(pixels)):
            return False
        self.preprocessing = GREY
        return True

    def inputs(self, pixels: Picture) -> Float[Tensor, "1 channel height width"]:
        """The network's input for it, on the model's device."""
        return normalize(torch.from_numpy(pixels)[None].to(self.device), self.preprocessing)

    def shown(self, inputs: Float[Tensor, "image ..."]) -> Picture:
        """Inputs as a picture, several as their mean."""
        shown: Picture = display(inputs.mean(0, keepdim=True), self.preprocessing)[0]
        return shown

    def example(self, index: int) -> Picture:
        """An example as the network saw it; raises `UnknownImageError` where the study does not hold its picture."""
        stored = None if self.study is None else self.study.picture(index)
        if stored is None:
            raise UnknownImageError(f"the study has no picture of example {index}", "choose another example")
        pixels = np.array(decode_stored(stored[1]))
        return pixels if pixels.ndim == 3 else pixels[:, :, None]

    def examples_of(self, named: str | int, most: int = CLASS_EXAMPLES) -> tuple[Picture, ...]:
        """Examples of a class, given by its index, name or label, whose pictures the study holds; the first `most` of them.

        Raises `OptionError` where there is no such class, `UnknownImageError` where no picture of it is held.
        """
        classes = () if self.study is None else self.study.classes()
        found = [one for one in classes if named in (one.index, one.name, one.label)]
        if self.study is None or not found:
            known = nearest(str(named), [name for one in classes for name in (one.name, one.label)])
            raise OptionError(f"the study has no class '{named}'{known}", "torchlurk serve STUDY lists them")
        held = pictured_examples(self.study, found[0].index, most)
        if not held:
            raise UnknownImageError(f"the study has no picture of class '{found[0].label}'", "choose another")
        return tuple(self.example(index) for index, _ in held)

    def inspect(self, inputs: Float[Tensor, "image ..."]) -> Inspector:
        """The images, open to questions; what is known of the model from the last ones of that size is used again."""
        if self.study is not None and tuple(inputs.shape[1:]) != tuple(self.study.input_shape()):
            shape, wanted = ("×".join(map(str, one)) for one in (inputs.shape[1:], self.study.input_shape()))
            raise DataError(f"the image is {shape}, and the study was made with {wanted}", "give an image of that size")
        inputs = inputs.to(self.device)
        if self._first is None or self._first.inputs.shape[1:] != inputs.shape[1:]:
            self._first = Inspector(
                self.module, inputs, layers=self._layers, tap=self._tap, samples=self.study, invocation=self.invocation
            )
            self._first.labels = self._labels(self._first.outputs)
        return self._first.on(inputs)

    def ready(self, inputs: Float[Tensor, "image ..."]) -> tuple[Layer, ...]:
        """The layers for inputs of that size, found in one pass of the model when it is first asked."""
        if self._first is None or self._first.inputs.shape[1:] != inputs.shape[1:]:
            self.inspect(inputs)
        assert self._first is not None
        return tuple(self._first.layers.values())

    def layer(self, name: str) -> Layer:
        """The layer of that name, once a pass has been made."""
        assert self._first is not None
        return self._first.layers[name]

    def box(self, unit: Unit, position: tuple[int, ...]) -> Box | None:
        """What the unit sees of an input from that position; once a pass has been made. None for what is no picture."""
        assert self._first is not None
        return self._first.box(unit, position)

    @property
    def labels(self) -> list[str] | None:
        """Names of the model's classes, as far as they are known; once a pass has been made."""
        return None if self._first is None or self._first.labels is None else list(self._first.labels)

    @property
    def ending(self) -> Ending:
        """What the model's outputs are; once a pass has been made."""
        return "unknown" if self._first is None else self._first.ending

    def checks(self, layer: str) -> dict[str, MethodCheck]:
        """How methods did on a layer when weights were random, by name; nothing without a study, or where it was not tried."""
        known = () if self.study is None else self.study.layers()
        found = self.study.checks(layer) if self.study is not None and layer in {one.name for one in known} else ()
        return {one.method: one for one in found}

    def exemplars(self, unit: Unit, most: int = 4) -> list[Image.Image]:
        """What of its exemplars the study's unit sees, strongest first; none without a study, or where it has none."""
        if self.study is None:
            return []
        try:
            found = self.study.unit(unit).exemplars.get("max", ())[:most]
        except (StudyError, TorchlurkError):
            return []
        pictures = []
        for one in found:
            stored = self.study.picture(one.example)
            if stored is not None:
                picture = decode_stored(stored[1])
                pictures.append(picture if one.box is None or one.box[2] <= one.box[0] else crop(picture, one.box))
        return pictures

    def _labels(self, outputs: int) -> list[str] | None:
        if self._class_names is not None:
            return read_labels(Path(self._class_names), [str(index) for index in range(outputs)])
        known = None if self.study is None else self.study.output_labels(outputs)
        return known or published_names(self.name, outputs)


def check_model(model: nn.Module, study: Reader, called: str) -> None:
    """Raises `MismatchError` where the study was made with another model, `StudyError` where nothing was run for it."""
    run = study.runs().get("scan")
    if run is None:
        raise StudyError(f"'{study.path}' contains no scan", "run torchlurk analyze first")
    if fingerprint(model) != run.model_fingerprint:
        raise MismatchError(
            f"{called} is not the model that '{study.path}' was made with ({run.model}): its modules or weights differ",
            "give the same --model and --weights",
        )


def _check_given(study: Reader, constants: Mapping[str, Any], further_inputs: Mapping[str, Any]) -> None:
    """Raises `MismatchError` where the study's model was given something beside its images that is not given now."""
    beside = [node.name for node in study.graph().nodes if node.kind == "input"][1:]
    if lacking := [name for name in beside if name not in constants and name not in further_inputs]:
        raise MismatchError(f"in '{study.path}' the model is given {', '.join(lacking)} beside its image", HOW)
    before = study.runs()["scan"].options.get("constants") or {}
    now = described({name: value for name, value in constants.items() if name not in beside})
    if other := sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name)):
        raise MismatchError(f"'{study.path}' was made with other constants: {', '.join(other)}", "give the same constants={…}")


def _read_as(study: Reader | None, layers: tuple[str, ...]) -> tuple[Tap, tuple[str, ...]]:
    """Where units are read, and the names or globs of the layers."""
    if study is None:
        return "activation", layers
    run = study.runs()["scan"]
    tap: Tap = "output" if run.options.get("tap") == "output" else "activation"
    known = tuple(layer.name for layer in study.layers())
    if not known:
        raise OptionError(f"'{study.path}' has no layers", "run torchlurk analyze first")
    return tap, layers or known


def told_preprocessing(given: InputOptions, default: Preprocessing | None) -> Preprocessing | None:
    """How pictures are prepared, as somebody gives it or the model has it by `default`; None where neither says."""
    said = default is not None or given.mean is not None or given.std is not None
    return resolve(given, default) if said else None
