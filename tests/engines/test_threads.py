"""The engine of threads: results keep their pieces, each worker is one thread's at a time, and what it sets is put back."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import torch

from torchlurk.engines.naming import engine_of
from torchlurk.engines.threads import ThreadsEngine
from torchlurk.errors import OptionError
from torchlurk.jobs import Shard, Silence, once


@pytest.fixture(autouse=True)
def two_cores():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


class Independent:
    """A job whose workers do what they are told with a piece, and note who they are."""

    def __init__(self, do, most_workers: int = 8) -> None:
        self.most_workers, self._do, self.opened, self.closed = most_workers, do, 0, 0
        self.cores = []

    @contextmanager
    def open(self, cores):
        self.opened += 1
        self.cores.append(cores)
        own = threading.Lock()

        def work(piece):
            assert own.acquire(blocking=False), "one worker in two threads at once"
            try:
                return self._do(piece)
            finally:
                own.release()

        yield work
        self.closed += 1


def test_results_come_with_their_pieces_whoever_did_them():
    together = threading.Barrier(2)

    def do(piece):
        if piece < 2:
            together.wait(timeout=20)  # the first two run side by side or not at all
        time.sleep(0.02 * (piece % 3))
        return piece, torch.get_num_threads()

    job = Independent(do)
    with ThreadsEngine().each(job) as hands:
        assert list(hands(range(12))) == [(piece, (piece, 1)) for piece in range(12)]
        assert list(hands([5])) == [(0, (5, 1))]
        assert (job.opened, job.closed) == (2, 0)
    assert job.closed == 2
    with ThreadPoolExecutor(1) as fresh:
        assert fresh.submit(torch.get_num_threads).result() == 2


def test_an_error_comes_out_and_the_random_state_is_as_before():
    state = torch.get_rng_state()

    def do(piece):
        torch.rand(3)
        if piece == 3:
            raise ValueError("piece 3")

    with pytest.raises(ValueError, match="piece 3"), ThreadsEngine().each(Independent(do)) as hands:
        list(hands(range(50)))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == 2


def test_a_job_that_uses_all_cores_by_itself_has_one_worker_in_the_thread_that_asks():
    job = Independent(lambda piece: (piece, threading.current_thread(), torch.get_num_threads()), most_workers=1)
    with ThreadsEngine(3).each(job) as hands:
        assert list(hands([7])) == [(0, (7, threading.current_thread(), 3))]
        assert len(set(job.cores[0].map(lambda _: threading.current_thread().name, range(9)))) <= 3
    assert job.opened == 1
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize(
    ("name", "workers"), [("local", 1), ("threads", 2), ("threads:1", 1), ("threads:5", 5), ("threads:99", 8)]
)
def test_an_engine_has_as_many_workers_as_its_name_says_and_the_job_allows(name, workers):
    job = Independent(lambda piece: piece)
    with engine_of(name).each(job) as hands:
        assert list(hands("abc")) == [(0, "a"), (1, "b"), (2, "c")]
    assert job.opened == job.closed == workers


class Sums:
    """A job whose part is the list of what was taken in."""

    progress = Silence()

    def begin(self, beside=None):
        return []

    @contextmanager
    def open(self, cores):
        yield lambda shard, part: [*part, shard]

    def merge(self, left, right):
        return [*left, *right]


@pytest.mark.parametrize("name", ["local", "threads", "threads:3"])
def test_shards_are_taken_in_one_after_the_other_and_each_can_be_saved(name):
    kept = []
    shards = [Shard(0, 2), Shard(2, 4)]
    assert engine_of(name).fold(Sums(), shards, [Shard(9, 10)], lambda *now: kept.append(now)) == [Shard(9, 10), *shards]
    assert kept == [([Shard(9, 10), Shard(0, 2)], [Shard(0, 2)]), ([Shard(9, 10), *shards], [Shard(2, 4)])]
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("name", ["thread", "threads:", "threads:0", "threads:two", "local:2", ""])
def test_an_engine_that_there_is_not_is_refused_with_those_there_are(name):
    with pytest.raises(OptionError, match=rf"--engine is '{name}'   \(available: local, threads, threads:N"):
        engine_of(name)


TWO = torch.device("cuda", 0), torch.device("cuda", 1)


@pytest.mark.parametrize("engine", ["local", "ray", "ray:auto", ThreadsEngine()])
def test_several_devices_are_for_threads_alone(engine):
    with pytest.raises(OptionError, match=r"--device is 'cuda:all', and --engine is '?(local|ray|ray:auto|ThreadsEngine)'?   "):
        engine_of(engine, devices=TWO)
    assert engine_of("threads", devices=TWO).devices == TWO
    assert isinstance(engine_of("threads", devices=TWO[:1]), ThreadsEngine)


def test_a_result_that_comes_again_is_passed_over():
    assert list(once([(1, "a"), (0, "b"), (1, "a"), (2, "c"), (0, "b")])) == [(1, "a"), (0, "b"), (2, "c")]
