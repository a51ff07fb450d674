"""Opening a Python data set: which kind its items are, which inputs they hold, and whether any can be read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, IterableDataset, RandomSampler, SequentialSampler, Subset, SubsetRandomSampler

from torchlurk.errors import DataError, OptionError, a_type
from torchlurk.input_records import ForwardParameters, KindName
from torchlurk.input_words import CHANNELS_FIRST, like
from torchlurk.inputs.pictures.preprocessing import resolve
from torchlurk.inputs.source import Source, spread
from torchlurk.inputs.sources.class_files import read_classes
from torchlurk.inputs.sources.class_names import read_labels
from torchlurk.inputs.sources.dataset_items import UnknownTokenError, check_no_number, check_no_text, kind_of
from torchlurk.inputs.sources.datasets import PROBED_EXAMPLES, DatasetSource, length_of
from torchlurk.inputs.sources.item_layout import Layout, layout_of
from torchlurk.inputs.sources.labels import item_paths
from torchlurk.inputs.sources.recognition import check_options
from torchlurk.inputs.sources.streams import Stream, is_stream
from torchlurk.inputs.text.source import chosen_vocabulary
from torchlurk.jobs import Progress
from torchlurk.options import InputOptions
from torchlurk.records import Preprocessing


def open_dataset(
    dataset: Any,
    options: InputOptions,
    default: Preprocessing | None = None,
    class_names: Sequence[str] | None = None,
    vocabulary: Mapping[str, int] | Sequence[str] | None = None,
    takes: ForwardParameters | None = None,
    progress: Progress | None = None,
    name: str | None = None,
) -> DatasetSource:
    """The data set as a source, as `open_source` is for a folder; `default` is the model's own preprocessing.

    What the first readable item is decides the kind, unless the options do, and which inputs it holds, given what the model's
    forward `takes`. Pictures with other numbers of channels than
    usual count as being in the 0..1 range unless mean and std are given. A stream is read once to count its examples, which
    `progress` is told of; of a `DataLoader` the data set is read, without its batches and `collate_fn`. `name` is what the user
    calls the data set. Raises `DataError` where the data set is no data set, empty, or unreadable throughout, `OptionError` for
    options that do not fit.
    """
    dataset = _inside(dataset) if isinstance(dataset, DataLoader) else dataset
    _check_no_pair(dataset)
    dataset = Stream(dataset, options.limit, progress, name) if is_stream(dataset) else dataset
    size = length_of(dataset)
    takes = takes or ForwardParameters()
    layout, kind = _told(DatasetSource(dataset, Preprocessing(), limit=options.limit, name=name), takes, like(options.kind))
    _check_options(options, kind, vocabulary)
    preprocessing = resolve(options, default) if kind == "pictures" else Preprocessing()
    labels = read_classes(Path(options.classes), item_paths(dataset) or [""] * size) if options.classes else None
    if options.class_names is not None:
        known = [one.name for one in DatasetSource(dataset, preprocessing, labels=labels, layout=layout).classes]
        class_names = _names_in(options.class_names, known)
    source = DatasetSource(
        dataset,
        preprocessing,
        class_names,
        name,
        options.limit,
        kind,
        vocabulary=chosen_vocabulary(options, vocabulary),
        axes=options.input_axes,
        labels=labels,
        layout=layout,
        ends=takes.masks | takes.lengths,
        padding=takes.padding,
    )
    _check_probed(source)
    if class_names is not None and options.class_names is None:
        _check_names(source, len(class_names))
    if options.tracks:
        source.track_by(Path(options.tracks))
    return _with_channels(source, options) if kind == "pictures" else source


def told_of_stream(source: Source) -> str:
    """What to tell the user of which examples of a stream are used; '' of other data, and where it is all of them."""
    dataset = source.dataset if isinstance(source, DatasetSource) else None
    return dataset.told if isinstance(dataset, Stream) else ""


def _names_in(file: str, known: Sequence[str]) -> list[str]:
    """The names that a file has for the classes; raises `OptionError` where the data set does not say which there are."""
    if not known:
        raise OptionError(f"--class-names is {file}, and the data set does not list its classes", "give the names as a list")
    return read_labels(Path(file), known)


def _check_names(source: DatasetSource, names: int) -> None:
    """Raises `OptionError` where the classes that are listed, or those of a few examples, are more than the names."""
    known = source.lists_classes or isinstance(source.dataset, Stream)  # a stream is read from its beginning
    for index in () if known else spread(len(source.examples), PROBED_EXAMPLES):
        with suppress(DataError):  # it will be skipped, with this reason, when its turn comes
            source.read(index)
    if (found := len(source.classes)) > names:
        told = f"--class-names has {names:,} names, and the data set the class index {found - 1}"
        raise OptionError(told, "give a name for each class index from 0")


def _check_options(options: InputOptions, kind: KindName, vocabulary: Mapping[str, int] | Sequence[str] | None) -> None:
    check_options(options, kind, "the data set")
    if vocabulary is not None and kind != "text":
        raise OptionError(f"--vocabulary is for text; the data set is {kind}", "leave it out")
    usual = InputOptions()
    for name in ("tokenizer", "lowercase", "lines", "window", "burn_in"):
        if getattr(options, name) != getattr(usual, name):
            raise OptionError(
                f"--{name.replace('_', '-')} is for text files; the data set has token ids already", "leave it out"
            )


def _with_channels(source: DatasetSource, options: InputOptions) -> DatasetSource:
    """The source of pictures with a preprocessing for as many channels as they have."""
    shape, known = _shape(source), source.preprocessing
    if shape is None or shape[0] == known.channels:
        return source
    channels = shape[0]
    if (options.mean or options.std) and shape[2] == known.channels:
        raise DataError(f"the data set's pictures are {'×'.join(map(str, shape))}, with their channels last", CHANNELS_FIRST)
    if options.mean or options.std:
        raise DataError(
            f"the data set's inputs have {channels} channel(s), and --mean and --std have {known.channels} value(s)",
            f"give {channels} value(s) each",
        )
    source.preprocessing = resolve(InputOptions(mean=(0.0,) * channels, std=(1.0,) * channels), known)
    return source


def _told(source: DatasetSource, takes: ForwardParameters, wanted: KindName | None) -> tuple[Layout, KindName]:
    """The layout of the items and the kind of the input shown, by the first item that can be read."""

    def told(index: int) -> tuple[Layout, KindName]:
        item = source.raw(index)
        layout = layout_of(item, takes, wanted)
        value = layout.parts(item)[0]
        check_no_text(value)
        check_no_number(value)
        return layout, wanted or kind_of(value)

    found: tuple[Layout, KindName] = _first_readable(source, told)
    return found


def _check_no_pair(dataset: Any) -> None:
    """Raises `DataError` for all inputs and all classes in one pair of arrays, which would be two examples."""
    if not isinstance(dataset, (tuple, list)) or len(dataset) != 2:
        return
    inputs, classes = (tuple(getattr(one, "shape", ())) for one in dataset)
    if len(inputs) > 1 and inputs[:1] == classes:
        raise DataError(
            f"the data is a pair of arrays, of shapes {inputs} and {classes}, and not a data set",
            "give list(zip(inputs, classes)), or a TensorDataset of the two",
        )


def _first_readable(source: DatasetSource, read: Callable[[int], Any]) -> Any:
    """What `read` gives for the first example that it can, of a few spread ones and then of all.

    Raises `DataError` with the reason for the first where it can none.
    """
    first = ""
    for index in (*spread(len(source.examples), PROBED_EXAMPLES), *range(len(source.examples))):
        try:
            return read(index)
        except DataError as error:
            first = first or f"example {index}: {error.message}"
    raise DataError(f"none of the {len(source.examples)} examples in {source.name} can be read ({first})")


def _check_probed(source: DatasetSource) -> None:
    """Raises `DataError` where no example is fit for the kind, or a probed one has a token that the vocabulary has not."""
    _first_readable(source, source.read)
    for index in spread(len(source.examples), PROBED_EXAMPLES) if source.kind.name == "text" else ():
        try:
            source.read(index)
        except UnknownTokenError as error:
            raise DataError(f"example {index} of {source.name} {error.message}", "ids count from 0") from error
        except DataError:
            continue  # it will be skipped, with this reason, when its turn comes


def _shape(source: DatasetSource) -> tuple[int, int, int] | None:
    """(channel, height, width) of the first readable of a few examples; None where none can be read."""
    for index in spread(len(source.examples), PROBED_EXAMPLES):
        try:
            pixels = source.read(index).values
        except DataError:
            continue
        first, second, third = (int(extent) for extent in pixels.shape)
        return (third, first, second) if isinstance(pixels, np.ndarray) else (first, second, third)
    return None


def _inside(loader: DataLoader[Any]) -> Any:
    """The data set that a loader makes batches of, or what it takes of it, in the order of the data set.

    Raises `DataError` where what it takes cannot be told.
    """
    sampler = loader.sampler
    if isinstance(loader.dataset, IterableDataset) or isinstance(sampler, (SequentialSampler, RandomSampler)):
        return loader.dataset
    if isinstance(sampler, SubsetRandomSampler):
        return Subset(loader.dataset, sorted(int(one) for one in sampler.indices))
    raise DataError(
        f"a DataLoader takes examples by {a_type(sampler)}",
        "give its .dataset, or a Subset of it",
    )
