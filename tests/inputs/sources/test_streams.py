"""A stream is read as the same data with [index] would be: counted once, then any example, any number of times."""

from __future__ import annotations

import io
import itertools
import pickle
import random

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import IterableDataset

from torchlurk.errors import DataError
from torchlurk.inputs.feeding import feed
from torchlurk.inputs.items import same
from torchlurk.inputs.sources import item_content, stream_counting, streams
from torchlurk.inputs.sources.dataset_opening import open_dataset, told_of_stream
from torchlurk.inputs.sources.streams import Stream
from torchlurk.jobs import Silence
from torchlurk.options import InputOptions

datasets = pytest.importorskip("datasets")

COUNT = 60
PICTURES = [(torch.full((3, 4, 5), index / COUNT), index % 3) for index in range(COUNT)]


class Given(IterableDataset):
    """Examples that are given, an exception where its turn comes; `read` counts how many were asked for."""

    def __init__(self, items):
        self.items, self.read = items, 0

    def __iter__(self):
        return map(self._one, self.items)

    def _one(self, item):
        self.read += 1
        if isinstance(item, Exception):
            raise item
        return item


class Made(IterableDataset):
    """What a function makes anew each time."""

    def __init__(self, make):
        self.make = make

    def __iter__(self):
        return iter(self.make())


def png(index):
    to = io.BytesIO()
    pixels = np.random.default_rng(index).integers(0, 256, (6, 7, 3), np.uint8)
    Image.fromarray(pixels).save(to, "png")
    return to.getvalue()


def table(count=COUNT, **changed):
    columns = {"image": [{"bytes": png(one), "path": None} for one in range(count)], "label": [one % 3 for one in range(count)]}
    kinds = datasets.Features(image=datasets.Image(), label=datasets.ClassLabel(names=["ant", "bee", "cow"]))
    return datasets.Dataset.from_dict(columns | changed, features=kinds)


@pytest.fixture(autouse=True)
def quiet():
    datasets.disable_progress_bars()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Three Parquet files of 20 pictures, in row groups of 8."""
    datasets.disable_progress_bars()
    folder, rows = tmp_path_factory.mktemp("parquet"), table()
    names = [str(folder / f"{number}.parquet") for number in range(3)]
    for number, name in enumerate(names):
        rows.shard(3, number, contiguous=True).to_parquet(name, batch_size=8)
    return names


def streamed(files, **options):
    return datasets.load_dataset("parquet", data_files=files, split="train", streaming=True, **options)


ORDERS = [range(COUNT), [*range(COUNT - 1, -1, -1)], random.Random(0).choices(range(COUNT), k=90)]


def equal(source, other):
    assert len(source.examples) == len(other.examples)
    return all(
        same(source.read(index), other.read(index)) for order in ORDERS for index in order if index < len(other.examples)
    )


def test_any_example_of_a_torch_stream_can_be_read():
    source = open_dataset(Given(PICTURES), InputOptions())
    assert source.name == "Given"
    assert [one.class_index for one in source.examples] == [label for _, label in PICTURES]
    assert equal(source, open_dataset(PICTURES, InputOptions()))


def test_any_example_of_a_stream_from_files_can_be_read(files):
    source, other = open_dataset(streamed(files), InputOptions()), open_dataset(table(), InputOptions())
    assert [one.label for one in source.classes] == ["ant", "bee", "cow"]
    assert [one.class_index for one in source.examples] == [index % 3 for index in range(COUNT)]
    assert equal(source, other)
    parts = source.dataset._counted.parts
    assert len(parts) == (9 if hasattr(datasets.IterableDataset, "reshard") else 3)


@pytest.mark.parametrize("way", ["decode", "select_columns"])
def test_what_leaves_examples_in_their_places_is_still_read_by_shards(files, way):
    made = streamed(files)
    made = made.decode(num_threads=2) if way == "decode" else made.select_columns(["label", "image"])
    source = open_dataset(made, InputOptions())
    assert len(source.dataset._counted.parts) >= 3
    assert equal(source, open_dataset(table(), InputOptions()))


WAYS = {
    "skipped": lambda given: given.skip(5).take(40),
    "filtered": lambda given: given.filter(lambda item: item["label"] != 1),
    "mapped": lambda given: given.map(lambda item: {"label": (item["label"] + 1) % 3}),
    "shuffled": lambda given: given.shuffle(seed=3, buffer_size=10),
    "repeated": lambda given: given.repeat(2),
    "in tensors": lambda given: given.with_format("torch"),
    "joined": lambda given: datasets.concatenate_datasets([given.take(30), given]),
    "in turns": lambda given: datasets.interleave_datasets([given, given.skip(20)]),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_stream_gives_what_it_gives_when_it_is_read_through(way, monkeypatch):
    monkeypatch.setattr(streams, "BYTES_ASKED", 2000)
    monkeypatch.setattr(streams, "BYTES_PASSED", 2000)
    made = WAYS[way](table().to_iterable_dataset(num_shards=4))
    source, other = open_dataset(made, InputOptions()), open_dataset(list(made), InputOptions())
    assert equal(source, other)
    assert source.dataset.classes_in(1).tolist() == [int(item["label"]) for item in made]


def test_reading_on_asks_for_each_example_once(monkeypatch):
    monkeypatch.setattr(streams, "BYTES_PASSED", 0)
    given = Given(PICTURES)
    source = Stream(given)
    given.read = 0
    for index in range(COUNT):
        source[index]
    assert given.read == COUNT


def test_an_example_that_was_read_out_of_order_is_kept(monkeypatch):
    monkeypatch.setattr(streams, "BYTES_PASSED", 0)
    given = Given(PICTURES)
    source = Stream(given)
    first = source[40]
    given.read = 0
    assert source[40] is first
    assert given.read == 0
    monkeypatch.setattr(streams, "BYTES_ASKED", 0)
    source = Stream(given)
    assert source[40] is source[40]  # the same object of this list, read twice
    assert given.read > 2 * 40


def test_several_threads_read_what_one_reads(monkeypatch):
    monkeypatch.setattr(streams, "BYTES_PASSED", 2000)
    sources = [open_dataset(one, InputOptions()) for one in (Given(PICTURES), table().to_iterable_dataset(num_shards=5))]
    for source in sources:
        order = ORDERS[2]
        batches = list(feed(source, order, 4, workers=4))
        assert np.concatenate([batch.examples for batch in batches]).tolist() == order
        expected = [torch.as_tensor(source.read(index).values) for index in order]
        assert torch.equal(torch.cat([batch.values for batch in batches]), torch.stack(expected))


def test_pictures_that_are_passed_keep_no_file_open():
    pictures = [png(index)[: 60 if index == 7 else None] for index in range(40)]
    source = Stream(Made(lambda: (Image.open(io.BytesIO(one)) for one in pictures)))
    assert list(source._counted.failed) == [7]
    assert np.array_equal(np.asarray(source[39]), np.asarray(Image.open(io.BytesIO(png(39)))))
    passed = [item for item, _ in source._passed._items.values()]
    assert len(passed) == 38
    assert all(item.fp is None for item in passed)


def test_a_limit_takes_the_first_examples_and_reads_no_further():
    given = Given(PICTURES)
    source = open_dataset(given, InputOptions(limit=7))
    assert len(source.examples) == 7
    assert given.read <= 2 * 7 + 1  # compared, counted, and the kind found out
    assert "the first 7 examples of the stream Given are used" in told_of_stream(source)
    assert told_of_stream(open_dataset(given, InputOptions())) == ""
    assert told_of_stream(open_dataset(PICTURES, InputOptions(limit=7))) == ""


def test_a_stream_that_does_not_end_needs_a_limit(monkeypatch):
    monkeypatch.setattr(stream_counting, "REPEATED_FROM", 256)
    monkeypatch.setattr(stream_counting, "MOST_EXAMPLES", 1024)
    again = Made(lambda: itertools.cycle(PICTURES))
    with pytest.raises(DataError, match=r"does not seem to end: its first 60 examples come again.*--limit 60"):
        Stream(again)
    assert len(Stream(again, limit=60)) == 60
    with pytest.raises(DataError, match=r"has not ended after 1,024 examples .*--limit"):
        Stream(Made(itertools.count))
    assert len(Stream(Made(lambda: itertools.islice(itertools.count(), 1000)))) == 1000
    assert len(Stream(Made(lambda: PICTURES * 2))) == 2 * COUNT


class Once(IterableDataset):
    """A stream that goes on where it was left."""

    def __init__(self):
        self.items = iter(PICTURES)

    def __iter__(self):
        return self.items


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: Made(lambda: random.sample(PICTURES, COUNT)),
            r"of the first 32 examples changed when the stream Made was",
        ),
        (lambda: Made(lambda: (torch.rand(3, 4, 5) for _ in range(5))), r"5 of the first 5 examples changed"),
        (Once, r"32 of the first 32 examples changed when .* a second time.*begin anew with each iter"),
        (lambda: Made(list), "the stream Made is empty"),
    ],
)
def test_a_stream_that_is_another_when_read_again_is_refused(make, words):
    with pytest.raises(DataError, match=words):
        Stream(make())


def test_an_example_that_changes_later_is_told_and_not_used():
    items = list(PICTURES)
    source = open_dataset(Given(items), InputOptions())
    items[50] = items[51]
    assert source.read(49).class_index == 49 % 3
    with pytest.raises(DataError, match="is another example than when the stream Given was read first"):
        source.read(50)
    del items[55:]
    source.dataset._passed._items.clear()
    with pytest.raises(DataError, match="is no longer in the stream Given"):
        source.read(58)
    assert source.read(20).class_index == 20 % 3


def test_damaged_examples_are_skipped_with_their_reasons():
    items = [*PICTURES[:5], ValueError("bad"), ValueError("worse"), *PICTURES[7:]]
    source = open_dataset(Given(items), InputOptions())
    assert len(source.examples) == COUNT
    batches = list(feed(source, range(COUNT), 8))
    assert [skip for batch in batches for skip in batch.skipped] == [(5, "ValueError: bad"), (6, "ValueError: worse")]
    assert torch.equal(source.read(7).values, PICTURES[7][0])
    assert source.read(30).class_index == 0


def test_a_stream_that_ends_in_an_error_is_refused():
    def failing():
        yield from PICTURES[:9]
        raise ValueError("cut off")

    with pytest.raises(DataError, match=r"cannot be read beyond example 9 \(ValueError: cut off\).*or give --limit 9"):
        Stream(Made(failing))
    assert len(Stream(Made(failing), limit=9)) == 9
    always = type("Always", (IterableDataset,), {"__iter__": lambda self: self, "__next__": lambda self: 1 / 0})
    with pytest.raises(DataError, match=r"cannot be read beyond example 0 \(ZeroDivisionError"):
        Stream(always())


def test_a_damaged_picture_of_a_file_is_skipped_and_what_follows_is_read():
    rows = table(image=[{"bytes": png(one)[: 40 if one == 30 else None], "path": None} for one in range(COUNT)])
    source = open_dataset(rows.to_iterable_dataset(num_shards=2), InputOptions())
    assert len(source.examples) == COUNT
    with pytest.raises(DataError, match="Error"):
        source.read(30)
    assert same(source.read(31), open_dataset(table(), InputOptions()).read(31))
    tensors = open_dataset(rows.to_iterable_dataset(num_shards=2).with_format("torch"), InputOptions())
    assert len(tensors.examples) == COUNT
    assert list(tensors.dataset._counted.failed) == [30]
    assert same(tensors.read(35), source.read(35))


def test_a_damaged_file_is_named_and_the_others_are_read(files, tmp_path):
    damaged = tmp_path / "damaged.parquet"
    damaged.write_bytes(b"PAR1 and no more")
    given = streamed([files[0], str(damaged), files[2]])
    source = open_dataset(given, InputOptions())
    assert len(source.examples) == 40
    (lost,) = source.skipped
    assert lost.path == str(damaged)
    assert lost.reason.startswith("cannot be read: ")
    assert source.read(20).class_index == 40 % 3
    with pytest.raises(DataError, match=r"the stream IterableDataset is empty \(.*damaged.parquet cannot be read"):
        Stream(streamed([str(damaged)], features=given.features))


def test_a_pickled_source_reads_the_same(files):
    for given in (streamed(files), table().to_iterable_dataset().map(dict), Given(PICTURES)):
        source = open_dataset(given, InputOptions())
        before = source.read(3)
        other = pickle.loads(pickle.dumps(source))
        assert same(other.read(3), before)
        assert same(other.read(41), source.read(41))
        assert other.fingerprint() == source.fingerprint()


def test_the_fingerprint_knows_every_example_of_a_stream():
    first = open_dataset(Given(PICTURES), InputOptions()).fingerprint()
    assert open_dataset(Given(list(PICTURES)), InputOptions()).fingerprint() == first
    for index in (0, 17, COUNT - 1):
        changed = list(PICTURES)
        changed[index] = changed[index][0] + 1e-6, changed[index][1]
        assert open_dataset(Given(changed), InputOptions()).fingerprint() != first


@pytest.mark.parametrize(
    "item",
    [
        torch.rand(3, 4, 5).bfloat16(),
        (torch.rand(3, 4, 5).transpose(1, 2), torch.tensor(1)),
        {
            "image": np.zeros((4, 5, 3), np.uint8),
            "when": slice(3),
            "words": ["a", None, 2.5, True],
            "none": np.array(["x", None]),
        },
        [[1.5, 2], [3, 4]],
        torch.empty(0),
    ],
)
def test_an_item_of_any_kind_is_told_from_others(item):
    source = Stream(Given([item] * 3))
    assert not source._counted.failed
    assert len({item_content.check_sum(one) for one in (item, (item, 0), [item, item], None)}) == 4
    assert item_content.memory(item) >= 0


def test_token_ids_and_several_inputs_come_from_streams():
    texts = [{"input_ids": [1 + index % 5] * (1 + index % 4), "label": index % 2} for index in range(30)]
    kinds = datasets.Features(input_ids=datasets.Sequence(datasets.Value("int64")), label=datasets.Value("int64"))
    rows = datasets.Dataset.from_list(texts, features=kinds)
    source, other = (open_dataset(one, InputOptions()) for one in (rows.to_iterable_dataset(num_shards=3), rows))
    assert source.kind.name == "text"
    assert source.lengths.tolist() == other.lengths.tolist()
    assert equal(source, other)


def test_counting_tells_how_far_it_is():
    told, seconds = [], itertools.count(step=0.5)
    progress = type("Told", (Silence,), {"say": lambda self, text: told.append(text)})()
    Stream(Given(PICTURES), progress=progress, clock=lambda: next(seconds))
    assert told[0] == "counting the examples of the stream Given: 20 so far"


def test_splits_are_told_from_a_stream():
    splits = datasets.IterableDatasetDict(train=table().to_iterable_dataset(), test=table().to_iterable_dataset())
    with pytest.raises(DataError, match=r"holds the data sets train, test.*data\['train'\]"):
        open_dataset(splits, InputOptions())
