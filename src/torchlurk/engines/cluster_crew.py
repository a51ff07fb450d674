"""The actors of a cluster, seen from the program that hands out the pieces and takes their results in.

Actors may be lost: killed, out of memory, gone with their machine. What a lost one had not delivered is done again by others;
a new one takes its place. Nothing is left to Ray's own retries, which cannot know what an actor holds.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import ray
from ray.exceptions import RayError, RayTaskError

from torchlurk.engines.cluster_actor import Greeting, Hand, versions
from torchlurk.engines.description import Description
from torchlurk.errors import DeviceError, MismatchError

Work = TypeVar("Work")

IN_FLIGHT = 2
"""So many calls an actor has at a time: it finds the next one there when it is done with one."""

MOST_LOSSES = 4
"""So many actors may be lost one after the other while no work is done: then there is none left but what they die of."""

PATIENCE = 30.0
"""Seconds without any sign of an actor after which it is said that the cluster is waited for; and seconds that actors have to
start before work is begun without those that take longer.
"""

MOST_PATIENCE = 3600.0
"""Seconds after which the wait ends: a cluster that is full for so long, or starts no process, may never have room."""


@dataclass(frozen=True, slots=True)
class Need:
    """What one actor is given: cores, and GPUs or a part of one."""

    cores: int
    gpus: float


@dataclass(frozen=True, slots=True)
class Call(Generic[Work]):
    """A method that an actor was asked to run, and the work that depends on it."""

    method: str
    work: Sequence[Work]


@dataclass(eq=False, slots=True)
class Member(Generic[Work]):
    """One actor: what it was asked for and has not answered, and what it has done that only it knows of."""

    hand: Any
    node: str = ""
    ready: bool = False
    flights: dict[Any, Call[Work]] = field(default_factory=dict)
    held: list[Work] = field(default_factory=list)
    since: float = 0.0

    @property
    def free(self) -> bool:
        """Whether it can be given more to do."""
        return self.ready and len(self.flights) < IN_FLIGHT

    def ask(self, method: str, *args: Any, work: Sequence[Work] = ()) -> None:
        """Calls a method of the `Hand`; the work is done again by another if this one is lost."""
        self.flights[getattr(self.hand, method).remote(*args)] = Call(method, work)


@dataclass(frozen=True, slots=True)
class Answer(Generic[Work]):
    """What an actor gave."""

    member: Member[Work]
    call: Call[Work]
    value: Any


@dataclass(frozen=True, slots=True)
class Loss(Generic[Work]):
    """What is to be done again."""

    work: Sequence[Work]


class Crew:
    """So many actors, which do one job after the other; `say` is told what a person should know."""

    def __init__(self, count: int, need: Need, say: Callable[[str], None]) -> None:
        self.need, self._say = need, say
        self.members: list[Member[Any]] = []
        """All of them, also those that are not ready yet."""
        self._description: Any = None
        self._losses = 0
        self._done: Counter[str] = Counter()
        self._heard = time.monotonic()
        for _ in range(count):
            self._hire()

    def meet(self) -> None:
        """Waits until the actors have said what they compute with, before anything rests on them; raises `MismatchError` where
        one has other versions. Who takes long, or is lost, is waited for by `next`.
        """
        new = {flight: member for member in self.members for flight, call in member.flights.items() if call.method == "where"}
        for flight in ray.wait(list(new), num_returns=len(new), timeout=PATIENCE)[0] if new else ():
            with suppress(RayError):
                greeting = ray.get(flight)
                del new[flight].flights[flight]
                self._greeted(new[flight], greeting)

    @contextmanager
    def on(self, description: Description) -> Iterator[None]:
        """Within it the actors have this job open, or are about to."""
        self._description, self._heard = ray.put(description), time.monotonic()
        self._losses = 0
        self._done.clear()
        for member in self.members:
            member.held, member.since = [], 0.0
            if member.node:
                member.ask("open", self._description)
        try:
            yield
        finally:
            self._description = None
            for member in [one for one in self.members if any(call.method != "where" for call in one.flights.values())]:
                self._dismiss(member)  # it is at something that nobody waits for any more
                self._hire()
            for member in self.members:
                member.ready = False
        if len(self._done) > 1:
            self._say("done by: " + ", ".join(f"{node} {count:,}" for node, count in sorted(self._done.items())))

    def close(self) -> None:
        """Sends all away."""
        for member in list(self.members):
            self._dismiss(member)

    def _dismiss(self, member: Member[Any]) -> None:
        self.members.remove(member)
        ray.kill(member.hand)

    def next(self) -> Answer[Any] | Loss[Any]:
        """The next that comes from any actor; raises what went wrong in it."""
        while True:
            owners = {flight: member for member in self.members for flight in member.flights}
            landed, _ = ray.wait(list(owners), num_returns=1, timeout=PATIENCE)
            if not landed:
                self._wait()
                continue
            self._heard = time.monotonic()
            member = owners[landed[0]]
            try:
                value = ray.get(landed[0])
            except RayTaskError as error:
                if isinstance(error.cause, ModuleNotFoundError):
                    raise DeviceError(
                        f"an actor has no module '{error.cause.name}', from which the model or the data comes",
                        "install it on every machine of the cluster, or put its folder into PYTHONPATH there",
                    ) from None
                if isinstance(error.cause, Exception) and not isinstance(error.cause, RayError):
                    raise error.cause from None
                return self._lost(member, error)
            except RayError as error:
                return self._lost(member, error)
            call = member.flights.pop(landed[0])
            if isinstance(value, Greeting):
                self._greeted(member, value)
            elif call.method == "open":
                member.ready = True
            elif call.method != "hand_over":
                self._losses = 0
                self._done[member.node] += len(call.work)
            return Answer(member, call, value)

    def _hire(self) -> None:
        kind = ray.remote(num_cpus=self.need.cores, num_gpus=self.need.gpus, max_restarts=0, max_task_retries=0)(Hand)
        member: Member[Any] = Member(kind.options(scheduling_strategy="SPREAD").remote(self.need.cores))
        member.ask("where")
        self.members.append(member)

    def _greeted(self, member: Member[Any], greeting: Greeting) -> None:
        here = versions()
        other = [f"{name} {has}, here {here[name]}" for name, has in greeting.versions.items() if has != here.get(name, has)]
        if other:
            self._dismiss(member)
            self._hire()
            raise MismatchError(f"{greeting.node} has other versions: {'; '.join(other)}", "install the same on all machines")
        member.node = greeting.node
        if self._description is not None:
            member.ask("open", self._description)

    def _lost(self, member: Member[Any], error: RayError) -> Loss[Any]:
        self.members.remove(member)
        self._hire()
        in_flight = [one for call in member.flights.values() for one in call.work]
        reason = " ".join(str(error).split())[:200]
        where = f"on {member.node}" if member.node else "before it was ready"
        self._losses += 1
        if self._losses >= MOST_LOSSES:
            raise DeviceError(
                f"{self._losses} actors were lost one after the other while nothing got done, the last {where}: {reason}",
                "give each more memory: fewer --actors, or a smaller --batch-size",
            )
        again = [*member.held, *in_flight]
        self._say(f"an actor was lost {where}; others do its work again ({reason})" if again else f"an actor was lost {where}")
        return Loss(again)

    def _wait(self) -> None:
        """Says that nothing comes, where no actor is at work; raises `DeviceError` where that has been so for long."""
        if any(member.ready and member.flights for member in self.members):
            return
        free = ray.available_resources()  # type: ignore[no-untyped-call]
        waited = time.monotonic() - self._heard
        told = (
            f"no actor for {waited:.0f} s: each needs {asked(self.need)}, free in the cluster: "
            f"{free.get('CPU', 0):g} cores, {free.get('GPU', 0):g} GPUs"
        )
        if waited > MOST_PATIENCE:
            raise DeviceError(told, "rerun the command when the cluster has room; if it has, its logs say why none starts")
        self._say(told)


def asked(need: Need) -> str:
    """What an actor is given, in words."""
    gpus = f" and {need.gpus:g} GPU{'s' * (need.gpus > 1)}" if need.gpus else ""
    return f"{need.cores} core{'s' * (need.cores != 1)}{gpus}"
