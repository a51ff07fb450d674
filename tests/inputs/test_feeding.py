"""Batches come in order, whatever the number of threads, and the threads end with them."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from torchlurk.errors import DataError
from torchlurk.inputs import feeding
from torchlurk.inputs.feeding import BATCHES_AHEAD, PIECE, check_repeatable, default_workers, feed, inputs_of, read_twice
from torchlurk.inputs.items import Item
from torchlurk.inputs.pictures.kind import Pictures
from torchlurk.inputs.pictures.preprocessing import normalize
from torchlurk.inputs.source import ExampleList, PictureSource
from torchlurk.inputs.sources.datasets import DatasetSource
from torchlurk.records import Preprocessing

WAY = Preprocessing(mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))


class Numbered(PictureSource):
    """A source whose example i is a picture of the value i; some are slow, some damaged."""

    name, skipped, classes, preprocessing = "numbered", (), (), WAY

    def __init__(self, count: int, damaged: frozenset[int] = frozenset(), error: type[BaseException] = DataError) -> None:
        self.examples = ExampleList([f"{index}.png" for index in range(count)], np.full(count, -1))
        self.read_so_far: list[int] = []
        self._damaged, self._error = damaged, error

    def read(self, index: int) -> Item:
        self.read_so_far.append(index)
        time.sleep(0.002 if index % 5 == 0 else 0.0005)
        if index in self._damaged:
            raise self._error(f"is damaged {index}")
        return Item(np.full((2, 3, 3), index % 256, np.uint8), index % 4 if index % 7 else None)

    def fingerprint(self) -> str:
        return "0" * 64


@pytest.fixture(autouse=True)
def _no_threads_are_left():
    yield
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("torchlurk-read")]


def literal(count: int, damaged: frozenset[int], batch_size: int):
    """What the batches should be, by the plainest loop."""
    batches = []
    for start in range(0, count, batch_size):
        inside = range(start, min(start + batch_size, count))
        batches.append(([i for i in inside if i not in damaged], [i for i in inside if i in damaged]))
    return batches


@pytest.mark.parametrize("workers", [1, 2, 7])
@pytest.mark.parametrize("batch_size", [1, 3, 16, 64, 1000])
def test_batches_depend_on_the_indices_and_the_batch_size_alone(workers, batch_size):
    damaged = frozenset({0, 1, 2, 17, 99})
    batches = list(feed(Numbered(100, damaged), range(100), batch_size, workers))
    expected = literal(100, damaged, batch_size)
    assert [batch.examples.tolist() for batch in batches] == [readable for readable, _ in expected]
    assert [batch.skipped for batch in batches] == [tuple((i, f"is damaged {i}") for i in bad) for _, bad in expected]
    for batch in batches:
        assert batch.classes.tolist() == [i % 4 if i % 7 else -1 for i in batch.examples.tolist()]
        assert batch.values[:, 0, 0, 0].tolist() == batch.examples.tolist() if len(batch) else True
        assert batch.values.dtype == torch.uint8
        assert len(batch) == len(batch.values)


def test_indices_may_be_in_any_order_and_repeat():
    wanted = [5, 3, 3, 80, 0]
    assert [batch.examples.tolist() for batch in feed(Numbered(100), wanted, 2, 2)] == [[5, 3], [3, 80], [0]]
    assert list(feed(Numbered(100), [], 2, 2)) == []


def test_a_batch_of_nothing_but_damage_is_empty_and_can_be_made_inputs_of():
    first, second = feed(Numbered(4, frozenset({0, 1})), range(4), 2, 1)
    assert (len(first), len(second)) == (0, 2)
    for batch in (first, second):
        inputs = inputs_of(batch, WAY, torch.device("cpu"), torch.float32)
        assert inputs.shape[:2] == (len(batch), 3)


@pytest.mark.parametrize("batch_size", [1, 8])
def test_no_more_is_read_ahead_than_promised(batch_size):
    source = Numbered(1000)
    batches = feed(source, range(1000), batch_size, 2)
    for done in range(5):
        next(batches)
        time.sleep(0.05)
        ahead = max(BATCHES_AHEAD, 4 // batch_size)
        assert len(source.read_so_far) <= (done + 1 + ahead) * batch_size
    batches.close()


def test_closing_early_ends_the_threads_in_the_midst_of_their_pieces(monkeypatch):
    closing, workers = threading.Event(), 3
    first = workers * PIECE

    class Held(Numbered):
        """Whoever begins with what is after the first batch has not read it before the threads are told to end."""

        def read(self, index: int) -> Item:
            if index >= first:
                closing.wait(60)
            return super().read(index)

    class Pool(ThreadPoolExecutor):
        def shutdown(self, *given, **options):
            closing.set()
            super().shutdown(*given, **options)

    monkeypatch.setattr(feeding, "ThreadPoolExecutor", Pool)
    source = Held(100_000)
    batches = feed(source, range(100_000), first, workers)
    next(batches)
    batches.close()
    assert len(source.read_so_far) <= first + workers


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_unforeseen_error_ends_the_batches_and_the_threads(error):
    with pytest.raises(error):
        list(feed(Numbered(100, frozenset({30}), error), range(100), 8, 2))


def test_an_error_of_the_consumer_ends_the_threads():
    def consume():
        for _ in feed(Numbered(1000), range(1000), 8, 2):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        consume()


def test_examples_of_different_shapes_are_refused_in_one_line():
    tensors = [torch.zeros(3, 4, 4), torch.zeros(3, 4, 4), torch.zeros(3, 4, 5)]
    for batch_size in (1, 3):
        with pytest.raises(DataError, match=r"example 0 is 4x4 with 3 float.*example 2 5x4 .*--resize and --crop"):
            list(feed(DatasetSource(tensors, WAY), range(3), batch_size))


def test_pictures_and_tensors_do_not_mix():
    items = [torch.zeros(3, 4, 4), torch.zeros(3, 4, 4, dtype=torch.uint8)]
    with pytest.raises(DataError, match="differ in shape"):
        list(feed(DatasetSource(items, WAY), range(2), 2))


def test_pictures_become_normalized_inputs_and_tensors_stay():
    (batch,) = feed(Numbered(4), range(4), 4, 1)
    inputs = inputs_of(batch, WAY, torch.device("cpu"), torch.float32)
    assert torch.equal(inputs, normalize(batch.values, WAY))
    assert inputs_of(batch, WAY, torch.device("cpu"), torch.bfloat16).dtype == torch.bfloat16
    tensors = [torch.rand(3, 4, 4) for _ in range(4)]
    (batch,) = feed(DatasetSource(tensors, WAY), range(4), 4)
    assert torch.equal(inputs_of(batch, WAY, torch.device("cpu"), torch.float32), torch.stack(tensors))


def test_a_users_data_set_is_read_by_one_thread_unless_told_otherwise():
    threads: set[int] = set()

    class Watched(list):
        def __getitem__(self, index):
            threads.add(threading.get_ident())
            time.sleep(0.002)
            return super().__getitem__(index)

    source = DatasetSource(Watched([torch.zeros(1, 2, 2)] * 60), Preprocessing(mean=(0.0,), std=(1.0,)))
    list(feed(source, range(60), 8))
    assert len(threads) == 1
    assert threading.get_ident() not in threads
    list(feed(source, range(60), 8, 3))
    assert len(threads) > 2
    assert default_workers(Numbered(1)) >= 1


def test_a_source_that_reads_the_same_is_repeatable():
    assert check_repeatable(read_twice(Numbered(100, frozenset({0})))) == ""


class Runs:
    """A source of texts of the given lengths, example i full of i; of some, a first step does not count."""

    name, skipped, classes, preprocessing = "runs", (), (), Preprocessing()

    def __init__(self, lengths, late=frozenset(), damaged=frozenset(), known=True):
        self.examples = ExampleList([""] * len(lengths), np.full(len(lengths), -1))
        self.lengths = np.array(lengths) if known else None
        self._lengths, self._late, self._damaged = lengths, late, damaged

    @property
    def kind(self):
        return SimpleNamespace(name="text")

    def read(self, index):
        if index in self._damaged:
            raise DataError("is damaged")
        return Item(torch.full((self._lengths[index],), index), None)

    def counted(self, index):
        return int(index in self._late), self._lengths[index]

    def fingerprint(self):
        return "0" * 64


@pytest.mark.parametrize("known", [True, False])
def test_sequences_share_a_batch_only_with_their_like(known):
    source = Runs([3, 5, 3, 3, 5, 3, 3], late={2}, known=known)
    batches = list(feed(source, range(7), 2, 2))
    assert [batch.examples.tolist() for batch in batches] == [[0, 3], [5, 6], [1, 4], [2]]
    assert [batch.counted for batch in batches] == [(0, 3), (0, 3), (0, 5), (1, 3)]
    assert [tuple(batch.values.shape) for batch in batches] == [(2, 3), (2, 3), (2, 5), (1, 3)]
    assert all(batch.values.dtype == torch.int64 for batch in batches)


@pytest.mark.parametrize("known", [True, False])
def test_a_damaged_sequence_is_skipped_with_its_reason(known):
    batches = list(feed(Runs([3, 3, 4], damaged={1}, known=known), range(3), 8, 1))
    assert sorted(index for batch in batches for index in batch.examples.tolist()) == [0, 2]
    assert [skip for batch in batches for skip in batch.skipped] == [(1, "is damaged")]


def test_a_sequence_that_changes_its_length_is_skipped():
    class Shrinking(Runs):
        def read(self, index):
            return Item(torch.zeros(2 - index, dtype=torch.int64), None)

    (batch,) = feed(Shrinking([2, 2]), range(2), 2, 1)
    assert batch.examples.tolist() == [0]
    assert batch.skipped == ((1, "had 2 steps when first read, then 1"),)


def test_pictures_have_no_counted_range():
    (batch,) = feed(Numbered(2), range(2), 2, 1)
    assert batch.counted is None


def test_a_neutral_picture_has_the_mean_colour():
    like = torch.rand(2, 3, 4, 5)
    assert torch.equal(Pictures(WAY).neutral(like), torch.zeros(2, 3, 4, 5))
    neutral = Pictures(WAY, colour=(0.7, 0.4, 0.7)).neutral(like)
    assert torch.allclose(neutral[1, :, 2, 3], torch.tensor([1.0, 0.0, 1.0]))
    assert neutral.shape == like.shape
