"""The engine that runs a job on the actors of a Ray cluster, on this machine or on many.

Each actor opens the job from its description and keeps a running part of its own, which comes here rarely; this program alone
merges parts, each shard's once, and writes the study. So an actor may be killed at any time, and so may this program: the same
command continues from the study.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import ray
import ray.cloudpickle
import torch
from ray._private import services

from torchlurk.engines.cluster_crew import Answer, Call, Crew, Loss, Member, Need, asked
from torchlurk.engines.description import Describable, Description
from torchlurk.errors import DeviceError, OptionError
from torchlurk.jobs import SECONDS_BETWEEN_PARTS, Each, Fold, Hands, Kept, Part, Piece, Result, Shard
from torchlurk.models.loading.callables import modules_of_files
from torchlurk.units import whole_number

SECONDS_TO_ANSWER = 5.0


class RayEngine:
    """Actors in the cluster at an address: 'auto' for the one that this machine belongs to, 'local' for one that is started
    here. `actors` of None are one for each GPU that the work can use, or one for each machine. See `torchlurk.jobs.Engine`.
    """

    def __init__(self, address: str, actors: int | None, gpus: float | None, say: Callable[[str], None]) -> None:
        self._address, self._actors, self._gpus, self._say = address, actors, gpus, say
        self._hired: Crew | None = None
        self._described: tuple[Any, Description] | None = None

    def join(self, device: torch.device) -> None:
        """See `torchlurk.engines.naming.Outside`."""
        if self._hired is None:
            self._connect()
            self._shared_out(self._gpus_each(cuda=device.type == "cuda"))

    def check(self, job: Fold[Any] | Each[Any, Any]) -> None:
        """See `torchlurk.engines.naming.Outside`. What the job is sent as is kept until it is done, and so are the actors."""
        self._described = job, _description(job)
        self._hire(job).meet()

    def close(self) -> None:
        """Sends the actors away; they are hired again when there is more to do."""
        if self._hired:
            self._hired.close()
        self._hired = None

    def fold(self, job: Fold[Part], shards: Sequence[Shard], onto: Part, kept: Kept[Part]) -> Part:
        """See `torchlurk.jobs.Engine`."""
        part, waiting, left, told = onto, deque(shards), set(shards), set[Shard]()
        with self._crew(job) as crew:
            while left:
                _give(crew.members, waiting)
                match crew.next():
                    case Answer(member, Call("take", work)):
                        member.held += work
                        for shard in set(work) - told:
                            told.add(shard)
                            job.progress.advance(len(shard))
                    case Answer(_, Call("hand_over", work), value):
                        part = job.merge(part, value)
                        left.difference_update(work)
                        kept(part, work)
                    case Loss(work):
                        waiting.extendleft(reversed(work))
        return part

    @contextmanager
    def each(self, job: Each[Piece, Result]) -> Iterator[Hands[Piece, Result]]:
        """See `torchlurk.jobs.Engine`."""
        with self._crew(job) as crew:
            at_once = min(job.most_workers, crew.need.cores)

            def hands(pieces: Iterable[Piece]) -> Iterator[tuple[int, Result]]:
                waiting = deque(enumerate(pieces))
                left = len(waiting)
                while left:
                    while waiting and (free := [one for one in crew.members if one.free]):
                        some = [waiting.popleft() for _ in range(min(len(waiting), at_once))]
                        member = min(free, key=lambda one: len(one.flights))
                        member.ask("make", [piece for _, piece in some], work=some)
                    match crew.next():
                        case Answer(_, Call("make", work), values):
                            left -= len(work)
                            yield from zip((number for number, _ in work), values, strict=True)
                        case Loss(work):
                            waiting.extendleft(reversed(work))

            yield hands

    @contextmanager
    def _crew(self, job: Fold[Any] | Each[Any, Any]) -> Iterator[Crew]:
        """The actors, with the job open."""
        known, self._described = self._described, None
        description = known[1] if known is not None and known[0] is job else _description(job)
        crew = self._hire(job)
        with crew.on(description):
            del known, description  # the cluster has it now
            yield crew

    def _hire(self, job: Fold[Any] | Each[Any, Any]) -> Crew:
        """The actors that there are, or as many as the job can use."""
        if self._hired is None:
            self._connect()
            cuda = isinstance(job, Describable) and any(recipe.device.type == "cuda" for _, recipe in job.networks)
            self._hired = Crew(*self._shared_out(self._gpus_each(cuda=cuda)), self._say)
        return self._hired

    def _gpus_each(self, *, cuda: bool) -> float:
        """How many GPUs an actor is given, for work on one or on none."""
        return float(cuda) if self._gpus is None else self._gpus

    def _shared_out(self, gpus: float) -> tuple[int, Need]:
        """How many actors, and what each is given; raises `OptionError` where the cluster has not so much."""
        machines = [node["Resources"] for node in _nodes() if node["Alive"] and node["Resources"].get("CPU")]
        cores = [int(machine["CPU"]) for machine in machines]
        has = [machine.get("GPU", 0.0) for machine in machines]
        count = self._actors or max(1, int(sum(has) / gpus) if gpus else len(machines))
        share = max(1, min(cores, default=1) // -(-count // max(1, len(machines))))
        need = Need(share, gpus)
        fit = sum(min(core // share, int(gpu / gpus) if gpus else core) for core, gpu in zip(cores, has, strict=True))
        if count > fit:
            whole = f"{sum(cores)} core{'s' * (sum(cores) != 1)} and {sum(has):g} GPU{'s' * (sum(has) != 1)}"
            others = ", or give --gpus-per-actor 0" if gpus else ""
            raise OptionError(
                f"--actors is {count}, and the cluster has room for {fit}: each needs {asked(need)}, and there are {whole}"
                if self._actors or fit
                else f"the cluster has no room for an actor, which needs {asked(need)}: there are {whole}",
                f"give --actors {fit} or fewer" if fit else f"start Ray on machines that have them{others}",
            )
        return count, need

    def _connect(self) -> None:
        """Joins the cluster, once a process; raises `DeviceError` where none answers."""
        if ray.is_initialized():
            return
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        logging.getLogger("ray").setLevel(logging.ERROR)
        if self._address == "local":
            ray.init("local", include_dashboard=False, **options)
            return
        _knock(_of_this_machine() if self._address == "auto" else self._address)
        try:
            ray.init(self._address, **options)
        except Exception as error:  # Ray raises many kinds
            reason = " ".join(str(error).split())[:300]
            token = "" if os.environ.get("RAY_AUTH_MODE") else "; where it asks for a token, set RAY_AUTH_MODE=token"
            raise DeviceError(
                f"no Ray cluster answers at {self._address}: {reason}", f"start one: ray start --head{token}"
            ) from error


def _description(job: Fold[Any] | Each[Any, Any]) -> Description:
    """The job as it is sent; raises `OptionError` for one that cannot be."""
    if not isinstance(job, Describable):
        raise OptionError("this work cannot be sent to another process", "use an engine of this process: --engine threads")
    modules = modules_of_files()
    for one in modules:
        ray.cloudpickle.register_pickle_by_value(one)  # type: ignore[no-untyped-call]
    try:
        return Description.of(job, ray.cloudpickle.CloudPickler)
    finally:
        for one in modules:
            ray.cloudpickle.unregister_pickle_by_value(one)  # type: ignore[no-untyped-call]


def _nodes() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return found


def _give(members: Sequence[Member[Shard]], waiting: deque[Shard]) -> None:
    """Asks actors for the parts that are due, and gives shards to those that are free, in turn."""
    now = time.monotonic()
    due = [one for one in members if one.held and (not waiting or now - one.since > SECONDS_BETWEEN_PARTS)]
    for member in due:
        if not member.flights:
            work, member.held, member.since = member.held, [], now
            member.ask("hand_over", work=work)
    able = [one for one in members if one not in due or not one.held]
    while waiting and (free := [one for one in able if one.free]):
        member = min(free, key=lambda one: len(one.flights))
        member.since = member.since or now
        shard = waiting.popleft()
        member.ask("take", shard, work=[shard])


def _of_this_machine() -> str:
    """Where Ray takes the cluster of this machine to be, which may be gone; 'auto' where it says that there is none."""
    try:
        return services.canonicalize_bootstrap_address("auto") or "auto"
    except Exception:  # told by Ray itself when it connects
        return "auto"


def _knock(address: str) -> None:
    """Raises `DeviceError` where nothing listens at HOST:PORT, or something else than Ray: Ray itself would try for minutes."""
    host, colon, written = address.removeprefix("ray://").rpartition(":")
    port = whole_number(written)
    if not colon or port is None or host.startswith("/"):
        if address != "auto":
            raise OptionError(f"--engine is 'ray:{address}'", "write ray, ray:auto or ray:HOST:PORT")
        return
    try:
        with socket.create_connection((host, port), SECONDS_TO_ANSWER) as connection:
            known = os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true") or _speaks_as_ray(connection)
    except (OSError, OverflowError) as error:
        raise DeviceError(f"no Ray cluster answers at {address}: {error}", "start one: ray start --head") from error
    if not known:
        raise DeviceError(f"what listens at {address} is not a Ray cluster", "give the address that ray start --head told")


_NO_SETTINGS = b"\0\0\0\4\0\0\0\0\0"
"""A frame of HTTP/2: length, kind (4, settings), flags and stream (RFC 9113, sec. 4.1)."""


def _speaks_as_ray(connection: socket.socket) -> bool:
    """Whether the other side answers as a gRPC server does, over HTTP/2: with its settings."""
    connection.settimeout(SECONDS_TO_ANSWER)
    connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _NO_SETTINGS)
    return connection.recv(4)[3:4] == _NO_SETTINGS[3:4]
