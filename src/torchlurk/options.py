"""One class of options per verb. Each field carries its help; flags, documents and the stored run are made from it.

Values are checked on creation; `OptionError` says which one is wrong and what to use.
"""

from __future__ import annotations

import typing
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from math import inf, isfinite, isqrt
from typing import Any, Literal

from torchlurk.allowance import PIXELS
from torchlurk.errors import OptionError, nearest
from torchlurk.input_records import InputAxes
from torchlurk.input_words import KINDS
from torchlurk.option_values import fitted
from torchlurk.records import Tap
from torchlurk.tables import METHODS, NAME, PRESETS, StreamNames
from torchlurk.units import Unit

Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos"]
Precision = Literal["fp32", "bf16", "fp16"]
Decoder = Literal["pillow", "gpu"]

MOST_PIXELS = 2**24
"""Of one picture, given or read from a study: larger ones are refused before memory is taken for them."""

PER_SHEET = 128
"""Tiles of one sheet of a layer's units: about a screenful."""

MOST_TIMES_INPUT = 4
"""How many times more pixels than the network's input the picture of an example may have; stored ones have as many."""

LARGEST = 1e30
"""Of what a network is given, far below what its numbers can hold: pixels from 0 to 1, less the mean, divided by std."""

HIGHEST_PORT = 65535

MOST_SEED = 2**63

WINDOW = 256
"""Tokens of one example where a text is longer and --window is not given."""


def is_picture(shape: tuple[int, ...]) -> bool:
    """Whether inputs of that shape (channels, height, width) are pictures that can be drawn."""
    return len(shape) == PICTURE_AXES and 0 < shape[1] * shape[2] <= MOST_PIXELS


PICTURE_AXES = 3


def shows_exemplars(shape: tuple[int, ...]) -> bool:
    """Whether the examples of inputs of that shape are small enough to be drawn on sheets."""
    return is_picture(shape) and shape[1] * shape[2] * PER_SHEET <= PIXELS


def option(default: Any, help: str, *, metavar: str | None = None, commas: bool = False, names: Collection[str] = ()) -> Any:
    """A dataclass field with its help, in which `{names}` stands for those of a table; `metavar` names the value in usage
    lines. Several texts are given by repeating the flag or, with `commas`, as one comma-separated value.
    """
    return field(default=default, metadata={"help": help, "metavar": metavar, "commas": commas, "names": names})


def help_of(metadata: Mapping[str, Any]) -> str:
    """The help of an option, with the names that there are now."""
    return str(metadata["help"]).replace("{names}", ", ".join(metadata["names"]))


def _check(condition: bool, name: str, value: object, use: str) -> None:
    if not condition:
        raise OptionError(f"--{name.replace('_', '-')} is {value!r}", f"use {use}")


def _check_names(name: str, given: Iterable[str]) -> None:
    for one in given:
        _check(bool(NAME.fullmatch(one)), name, one, "names of at most 64 letters, digits and _:.-")


@dataclass(frozen=True, slots=True)
class InputOptions:
    """How the data is read. What is not given comes from the model's own configuration."""

    class_names: str | None = option(
        None, "JSON or text file with readable names for class folders (and class indices).", metavar="FILE"
    )
    resize: int | tuple[int, int] | None = option(
        None, "Resize the shorter side to N pixels (or H,W), before the crop.", metavar="N|H,W"
    )
    crop: int | tuple[int, int] | None = option(None, "Crop the centre to N×N (or H,W) pixels.", metavar="N|H,W")
    interpolation: Interpolation | None = option(None, "How to interpolate when resizing.")
    decoder: Decoder = option(
        "pillow", "What decodes picture files: pillow, or a CUDA device (gpu), JPEGs alone, to slightly other pixels."
    )
    mean: tuple[float, ...] | None = option(
        None, "Mean of each input channel, in the 0..1 range; one value makes the input grey.", metavar="R,G,B"
    )
    std: tuple[float, ...] | None = option(None, "Standard deviation of each input channel.", metavar="R,G,B")
    limit: int | None = option(None, "Use only N examples, spread evenly over the data; of a stream the first N.", metavar="N")
    kind: str | None = option(None, "What DATA holds, if the files do not make it clear: {names}.", metavar="KIND", names=KINDS)
    classes: str | None = option(
        None, "CSV file with the class of each example: one line per example, path or number, then class.", metavar="FILE"
    )
    input_axes: InputAxes | None = option(
        None, "Order of a sequence network's input axes: batch, time, channel; found by a trial run by default."
    )
    tokenizer: str | None = option(
        None, "How to split text into tokens: char (the default), word, or a Hugging Face tokenizer.json.", metavar="NAME|FILE"
    )
    lowercase: bool = option(False, "Look up tokens in lower case.")
    vocabulary: str | None = option(
        None, "JSON file with the index of each token: an object, or a list in index order.", metavar="FILE"
    )
    lines: bool = option(False, "Treat each line of a text file as one example.")
    window: int | None = option(
        None, f"Most tokens per example: longer text is cut into windows; {WINDOW} by default.", metavar="N"
    )
    burn_in: int | None = option(
        None,
        "Tokens at the start of a window that only warm up the network's state and are not counted; by default a quarter"
        " of the window, at most 64.",
        metavar="N",
    )
    tracks: str | None = option(
        None,
        "Labels of tokens that units are measured against: a .tsv or .npz with one column per track, one row per token.",
        metavar="FILE",
    )

    def __post_init__(self) -> None:
        for name in ("resize", "crop"):
            value = getattr(self, name)
            sides = (value,) if isinstance(value, int) else value or (1,)
            _check(all(side > 0 for side in sides), name, value, "one or two positive numbers of pixels")
            _check(sides[0] * sides[-1] <= MOST_PIXELS, name, value, f"at most {MOST_PIXELS:,} pixels in all")
        _check(self.std is None or all(0 < value < inf for value in self.std), "std", self.std, "positive numbers")
        _check(self.mean is None or all(map(isfinite, self.mean)), "mean", self.mean, "finite numbers")
        largest, least = max(map(abs, self.mean or ()), default=0.0), min(self.std or (), default=1.0)
        _check(least >= 1 / LARGEST, "std", self.std, f"numbers from {1 / LARGEST:g}: pixels are divided by them")
        _check(largest / least <= LARGEST, "mean", self.mean, f"numbers up to {LARGEST:g} times --std, for pixels from 0 to 1")
        both = self.mean is None or self.std is None or len(self.mean) == len(self.std)
        _check(both, "std", self.std, f"as many numbers as --mean has ({len(self.mean or ())})")
        _check(self.limit is None or self.limit > 0, "limit", self.limit, "a positive number")
        for name in ("class_names", "classes", "vocabulary", "tracks"):
            _check(getattr(self, name) != "", name, "", "a file")
        if self.kind is not None and self.kind not in KINDS:
            raise OptionError(f"--kind is '{self.kind}'{nearest(self.kind, KINDS)}", f"available: {', '.join(KINDS)}")
        known = self.tokenizer in (None, "char", "word") or str(self.tokenizer).endswith(".json")
        _check(known, "tokenizer", self.tokenizer, "char, word, or a Hugging Face tokenizer.json")
        _check(self.window is None or self.window > 0, "window", self.window, "a positive number of tokens")
        window = self.window or WINDOW
        fits = self.burn_in is None or 0 <= self.burn_in < window
        _check(fits, "burn_in", self.burn_in, f"a number from 0 to {window - 1}, less than --window")


@dataclass(frozen=True, slots=True)
class ScanOptions:
    """What is recorded of each unit."""

    layers: tuple[str, ...] = option((), "Scan only layers whose name matches GLOB; may be repeated.", metavar="GLOB")
    tap: Tap = option(
        "activation", "Read units after the nonlinearity that directly follows the layer, or the layer's own output."
    )
    top: int = option(9, "How many exemplars to keep for each unit.", metavar="N")
    streams: tuple[str, ...] = option(
        ("all",),
        "What to read from recurrent layers, comma-separated: all, output (the states alone), cell, gates, or names: {names}.",
        metavar="STREAM,…",
        commas=True,
        names=StreamNames(),
    )
    keep_steps: tuple[str, ...] = option(
        (),
        "Keep every unit's value at every step of texts and series, one byte each, for layers matching GLOB; may be repeated.",
        metavar="GLOB",
    )
    precision: Precision = option("fp32", "Number format of the forward pass; sums are kept in fp32 and more.")
    seed: int = option(0, "Seed of the random sample of examples and of every other random choice.", metavar="N")
    sample: int = option(
        1024, "Number of randomly drawn examples for which every unit's response is kept (histograms, quantiles).", metavar="N"
    )

    def __post_init__(self) -> None:
        _check(bool(self.streams), "streams", self.streams, "one word or several, comma-separated")
        _check(0 < self.top <= 1000, "top", self.top, "a number from 1 to 1000")
        _check(0 <= self.seed < MOST_SEED, "seed", self.seed, f"a number from 0 to {MOST_SEED - 1}")
        _check(0 < self.sample <= 65536, "sample", self.sample, "a number from 1 to 65536")


@dataclass(frozen=True, slots=True)
class UnitOptions:
    """Which units the stages after the scan are for."""

    units: tuple[str, ...] = option(
        (), "Make attributions and syntheses only for UNIT (layer:channel); may be repeated.", metavar="UNIT"
    )

    def __post_init__(self) -> None:
        for unit in self.units:
            Unit.parse(unit)


@dataclass(frozen=True, slots=True)
class AttributeOptions:
    """Which attributions to compute. More can be added later; existing ones stay."""

    methods: tuple[str, ...] = option(
        (),
        "Attribution methods, comma-separated: {names} or captum:NAME; by default deconv,guided,gradient for pictures,"
        " gradient,input_x_gradient,lrp_plus for text and series.",
        metavar="METHOD,…",
        commas=True,
        names=METHODS,
    )
    exemplars: int = option(3, "How many of the strongest exemplars, by max and by mean, get attributions.", metavar="N")

    def __post_init__(self) -> None:
        _check_names("methods", self.methods)
        _check(self.exemplars > 0, "exemplars", self.exemplars, "a positive number")


@dataclass(frozen=True, slots=True)
class SynthesizeOptions:
    """Which syntheses to make. More presets can be added later; existing pictures stay."""

    presets: tuple[str, ...] = option(
        ("lucid",),
        "Presets, comma-separated: {names}.",
        metavar="PRESET,…",
        commas=True,
        names=PRESETS,
    )
    steps: int | None = option(None, "Steps of each synthesis; by default the preset's number for many units.", metavar="N")
    size: int | None = option(
        None, "Shorter side of the pictures, in pixels; the input's by default. Smaller is faster.", metavar="N"
    )

    def __post_init__(self) -> None:
        _check(bool(self.presets), "presets", self.presets, "one name or several, comma-separated")
        _check_names("presets", self.presets)
        _check(self.steps is None or self.steps > 0, "steps", self.steps, "a positive number")
        _check(self.size is None or self.size > 0, "size", self.size, "a positive number of pixels")
        _check(self.size is None or self.size**2 <= MOST_PIXELS, "size", self.size, f"at most {isqrt(MOST_PIXELS):,} pixels")


@dataclass(frozen=True, slots=True)
class ExplainOptions:
    """How one image is explained."""

    unit: str | None = option(
        None, "The unit whose tree is drawn, layer:channel; the predicted class by default.", metavar="UNIT"
    )
    method: str | None = option(
        None,
        "Method for the pictures along a path: guided, deconv, gradient, guided_neg or lrp; by default the first of guided, "
        "gradient, deconv and lrp that passes the study's check on the unit's layer.",
    )
    children: int = option(4, "Children of the unit; half as many at each further level, at least one.", metavar="N")
    depth: int = option(3, "Levels of the tree below the unit.", metavar="N")
    strongest: int = option(6, "How many of each layer's strongest units to list.", metavar="N")

    def __post_init__(self) -> None:
        _check(0 < self.children <= 64, "children", self.children, "a number from 1 to 64")
        _check(0 <= self.depth <= 64, "depth", self.depth, "a number from 0 to 64")
        _check(0 <= self.strongest <= 1000, "strongest", self.strongest, "a number from 0 to 1000")


@dataclass(frozen=True, slots=True)
class ComputeOptions:
    """Where and how fast to compute. Nothing here changes the results (except for rounding)."""

    device: str = option("auto", "auto, cpu, cuda, cuda:N, cuda:all (a copy of the model on each GPU) or mps.", metavar="NAME")
    batch_size: int | None = option(None, "Examples per forward pass; chosen by a short trial by default.", metavar="N")
    workers: int | None = option(None, "Threads that read and decode; one per core by default.", metavar="N")
    engine: str = option(
        "threads",
        "Where the work runs: threads (one per core), threads:N, local (one piece after the other), or a Ray cluster: ray "
        "(started here), ray:auto (the one this machine belongs to), ray:HOST:PORT.",
        metavar="NAME",
    )
    actors: int | None = option(
        None, "Actors of --engine ray; by default one per GPU, or one per machine without GPUs.", metavar="N"
    )
    gpus_per_actor: float | None = option(
        None, "GPUs per actor, or a fraction of one; by default 1 with --device cuda, otherwise 0.", metavar="F"
    )

    def __post_init__(self) -> None:
        _check(self.batch_size is None or self.batch_size > 0, "batch_size", self.batch_size, "a positive number")
        _check(self.workers is None or self.workers > 0, "workers", self.workers, "a positive number")
        _check(self.actors is None or self.actors > 0, "actors", self.actors, "a positive number")
        gpus = self.gpus_per_actor
        _check(gpus is None or 0 <= gpus < 1e6, "gpus_per_actor", gpus, "0, a part of a GPU or a number of GPUs")


def fitting(options: type, name: str, value: Any) -> Any:
    """The value of an option as its field has it (`fitted`); raises `OptionError` for a value of another type."""
    commas = next(one for one in fields(options) if one.name == name).metadata.get("commas", False)
    return fitted(name, value, typing.get_type_hints(options)[name], commas=commas)


def stored(options: Any) -> dict[str, Any]:
    """The options as plain JSON values, in the order of the fields."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(options).items()}


def names(options_class: type) -> list[str]:
    """The fields of an options class, in order."""
    return [one.name for one in fields(options_class)]
