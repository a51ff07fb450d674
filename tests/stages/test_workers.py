"""Workers: each has a network of its own with the same parameters, results keep their order, and what they set is put back."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from torchlurk.stages.workers import Workers

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def two_cores():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def net() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())


def test_each_has_modules_and_buffers_of_its_own_and_the_same_parameters(net):
    with Workers(net, CPU) as workers:
        first, second = workers.networks
        assert first is net
        assert all(one is other for one, other in zip(first.parameters(), second.parameters(), strict=True))
        assert not {id(one) for one in first.modules()} & {id(one) for one in second.modules()}
        assert not {id(one) for one in first.buffers()} & {id(one) for one in second.buffers()}


def test_results_keep_the_order_of_the_work_whoever_did_it(net):
    together = threading.Barrier(2)

    def maker(_: nn.Module):
        own = threading.Lock()

        def make(piece: int) -> tuple[int, int]:
            assert own.acquire(blocking=False), "one maker in two threads at once"
            if piece < 2:
                together.wait(timeout=20)  # the first two run side by side or not at all
            time.sleep(0.02 * (piece % 3))
            own.release()
            return piece, torch.get_num_threads()

        return make

    with Workers(net, CPU) as workers:
        makers = [maker(one) for one in workers.networks]
        assert list(workers.each(makers, range(12))) == [(piece, 1) for piece in range(12)]
    with ThreadPoolExecutor(1) as fresh:
        assert fresh.submit(torch.get_num_threads).result() == 2


def test_an_error_comes_out_and_the_random_state_is_as_before(net):
    state = torch.get_rng_state()

    def make(piece: int) -> None:
        torch.rand(3)
        if piece == 3:
            raise ValueError("piece 3")

    with pytest.raises(ValueError, match="piece 3"), Workers(net, CPU) as workers:
        list(workers.each([make, make], range(50)))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == 2


class Unyielding(nn.Module):
    """Cannot be copied."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()


def hooked() -> nn.Module:
    module = nn.ReLU()
    module.register_forward_hook(lambda *_: None)
    return module


def replaced() -> nn.Module:
    module = nn.ReLU()
    module.forward = module.forward
    return module


ALONE = {"cannot be copied": Unyielding, "hooked": hooked, "replaced": replaced, "recurrent": lambda: nn.LSTM(2, 2)}


@pytest.mark.parametrize("kind", ALONE)
def test_a_network_that_copies_would_share_something_with_has_one_worker_and_no_thread(kind):
    with Workers(nn.Sequential(ALONE[kind]()), CPU) as workers:
        assert len(workers.networks) == 1
        assert list(workers.each([lambda piece: (piece, threading.current_thread())], [1, 2])) == [
            (piece, threading.current_thread()) for piece in (1, 2)
        ]


def test_with_one_core_there_is_no_thread(net):
    torch.set_num_threads(1)
    with Workers(net, CPU) as workers:
        assert len(workers.networks) == 1
