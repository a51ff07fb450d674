"""The engine that spreads a job over several devices of this machine: on each a copy of the network, in a thread of its own."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Event
from typing import Any, Generic, Protocol, runtime_checkable

import torch
from torch import nn

from torchlurk.engines.description import Describable, Recipe, as_given
from torchlurk.engines.threads import spread, threads
from torchlurk.errors import OptionError
from torchlurk.jobs import SECONDS_BETWEEN_PARTS, Each, Fold, Hands, Kept, Part, Piece, Result, Shard
from torchlurk.models.loading.placement import place
from torchlurk.models.taps.arguments import accompanied, called_with


@runtime_checkable
class Movable(Describable, Protocol):
    """A job that can be done on several devices at one time."""

    def on(self, device: torch.device, networks: Sequence[nn.Module]) -> Movable:
        """The same job with these networks, which are on that device and stand for its own, in their order."""


class DevicesEngine:
    """A worker for each of these devices, the first of which is the job's own; see `torchlurk.jobs.Engine`.

    A device takes the next piece when it is done with one. Of a `Fold` each has a part of its own, which is merged here every
    half minute.
    """

    def __init__(self, devices: Sequence[torch.device]) -> None:
        self.devices = tuple(devices)

    def fold(self, job: Fold[Part], shards: Sequence[Shard], onto: Part, kept: Kept[Part]) -> Part:
        """See `torchlurk.jobs.Engine`."""
        part = onto
        done: SimpleQueue[Shard | _HandedOver[Part] | BaseException | None] = SimpleQueue()
        with ExitStack() as opened:
            jobs = self._replicas(job, opened)
            stop, waiting = Event(), deque(shards)
            pool = opened.enter_context(threads(len(jobs), alone=False))
            opened.callback(stop.set)  # before the pool waits for its threads
            for one in jobs:
                pool.submit(_fold, one, waiting, done, stop)
            left = len(jobs)
            while left:
                match done.get():
                    case Shard() as shard:
                        job.progress.advance(len(shard))
                    case _HandedOver(value, shards):
                        with torch.inference_mode():  # in which parts grow
                            part = job.merge(part, value)
                        kept(part, shards)
                    case None:
                        left -= 1
                    case failed:
                        raise failed
        return part

    @contextmanager
    def each(self, job: Each[Piece, Result]) -> Iterator[Hands[Piece, Result]]:
        """See `torchlurk.jobs.Engine`. Results come in the order of the pieces."""
        with ExitStack() as opened:
            jobs = self._replicas(job, opened)
            opened.enter_context(_recurrent_without_cudnn(jobs[0]))
            workers = [opened.enter_context(one.open(None)) for one in jobs]
            yield spread(workers, opened.enter_context(threads(len(workers), alone=False)))

    def _replicas(self, job: Any, opened: ExitStack) -> list[Any]:
        """The job on each device, for as long as the stack is open; the random state is put back after it."""
        if not isinstance(job, Movable):
            raise OptionError("this work cannot be done on several devices", "use one of them: --device cuda")
        opened.enter_context(torch.random.fork_rng(devices=()))  # threads put the random state back in any order
        first, *others = self.devices
        own = job.on(first, [network for network, _ in job.networks])
        return [own, *(opened.enter_context(replica(job, device)) for device in others)]


@contextmanager
def replica(job: Movable, device: torch.device) -> Iterator[Movable]:
    """Within it, the job on another device, with networks made as its own were."""
    placed: dict[int, nn.Module] = {}
    with ExitStack() as opened:
        for network, recipe in job.networks:
            if id(network) not in placed:
                placed[id(network)] = opened.enter_context(_placed(recipe, device))
        yield job.on(device, [placed[id(network)] for network, _ in job.networks])


@contextmanager
def _placed(recipe: Recipe, device: torch.device) -> Iterator[nn.Module]:
    with as_given(recipe):
        network = place(recipe.module, device, recipe.precision)
    with called_with(network, recipe.arguments), accompanied(network, recipe.companions):
        yield network


@dataclass(frozen=True, slots=True)
class _HandedOver(Generic[Part]):
    """A worker's part, and the shards that are in it."""

    part: Part
    shards: Sequence[Shard]


def _fold(job: Any, waiting: deque[Shard], done: SimpleQueue[Any], stop: Event) -> None:
    """One worker's share of a fold; tells of each shard, hands its part over now and then, and puts None or what
    went wrong at its end.
    """
    try:
        with job.open(None) as take:
            part, held, since = None, list[Shard](), time.monotonic()
            while not stop.is_set() and (shard := _next(waiting)):
                part = take(shard, job.begin() if part is None else part)
                held.append(shard)
                done.put(shard)
                if time.monotonic() - since > SECONDS_BETWEEN_PARTS:
                    begun = job.begin(beside=part)
                    done.put(_HandedOver(part, held))
                    part, held, since = begun, [], time.monotonic()
            if held:
                done.put(_HandedOver(part, held))
    except BaseException as error:  # raised where the engine was called
        done.put(error)
    else:
        done.put(None)


def _next(waiting: deque[Shard]) -> Shard | None:
    try:
        return waiting.popleft()
    except IndexError:
        return None


@contextmanager
def _recurrent_without_cudnn(job: Describable) -> Iterator[None]:
    """Within it, cuDNN is off for a job with recurrent layers, whose backward pass it lacks in evaluation mode.

    A backward pass sees to that itself, but by a setting of the process: of several threads one would turn on what another
    still needs off.
    """
    recurrent = any(isinstance(one, nn.RNNBase) for network, _ in job.networks for one in network.modules())
    with torch.backends.cudnn.flags(enabled=torch.backends.cudnn.enabled and not recurrent):
        yield
