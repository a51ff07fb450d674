"""Engines by the names that users give them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import torch

from torchlurk.engines.devices import DevicesEngine
from torchlurk.engines.local import LocalEngine
from torchlurk.engines.threads import ThreadsEngine
from torchlurk.errors import MissingExtraError, OptionError
from torchlurk.jobs import Each, Engine, Fold
from torchlurk.option_values import shown
from torchlurk.options import ComputeOptions
from torchlurk.units import whole_number


def engine_of(
    engine: Engine | str,
    compute: ComputeOptions | None = None,
    say: Callable[[str], None] = lambda text: None,
    devices: Sequence[torch.device] = (),
) -> Engine:
    """The engine of that name, an engine itself; raises `OptionError` for a name that there is not.

    `compute` says how much of a cluster is used, and `say` is told what a person should know of it. Several `devices` are used
    by threads, one each.
    """
    if len(devices) > 1 and (not isinstance(engine, str) or engine.partition(":")[0] != "threads"):
        kind = devices[0].type
        raise OptionError(
            f"--device is '{kind}:all', and --engine is {repr(engine) if isinstance(engine, str) else type(engine).__name__}",
            f"several devices are used by --engine threads; with another engine use --device {kind}",
        )
    if not isinstance(engine, str):
        if not all(callable(getattr(engine, name, None)) for name in ("fold", "each")):
            raise OptionError(
                f"--engine is {shown(engine)}", "give an engine's name, or an object with the methods fold and each"
            )
        return engine
    compute = compute or ComputeOptions()
    name, colon, which = engine.partition(":")
    if name == "ray" and (not colon or which):
        return _ray(which if colon else "local", compute, say)
    for option, value in (("--actors", compute.actors), ("--gpus-per-actor", compute.gpus_per_actor)):
        if value is not None:
            raise OptionError(
                f"{option} is {value:g}, and --engine is '{engine}'", "only the actors of --engine ray can be counted"
            )
    if name == "local" and not colon:
        return LocalEngine()
    if name == "threads" and (not colon or whole_number(which)):
        return DevicesEngine(devices) if len(devices) > 1 else ThreadsEngine(whole_number(which))
    raise OptionError(
        f"--engine is '{engine}'", "available: local, threads, threads:N with N from 1, ray, ray:auto, ray:HOST:PORT"
    )


def join(engine: Engine, device: torch.device) -> None:
    """Reaches the place where the engine works, if that is outside this process: to be called before anything is written.

    Raises `DeviceError` where nobody answers there, `OptionError` where there is less room than asked for.
    """
    if isinstance(engine, Outside):
        engine.join(device)


def check_doable(engine: Engine, job: Fold[Any] | Each[Any, Any]) -> None:
    """Raises `OptionError` or `MismatchError` where the engine cannot do the job: to be called before any of it is written."""
    if isinstance(engine, Outside):
        engine.check(job)


def dismiss(engine: Engine) -> None:
    """Gives back what the engine holds outside this process, if anything."""
    if isinstance(engine, Closeable):
        engine.close()


@runtime_checkable
class Closeable(Protocol):
    """An engine that holds something outside this process, such as actors."""

    def close(self) -> None:
        """Gives it back; the engine can be used again."""


@runtime_checkable
class Outside(Protocol):
    """An engine that works outside this process."""

    def join(self, device: torch.device) -> None:
        """Reaches the place where it works, for work on such a device; does nothing where it has."""

    def check(self, job: Fold[Any] | Each[Any, Any]) -> None:
        """Raises `OptionError` for a job that cannot be sent there, `MismatchError` where there are other versions."""


def _ray(address: str, compute: ComputeOptions, say: Callable[[str], None]) -> Engine:
    try:
        from torchlurk.engines.cluster import RayEngine
    except ImportError as error:
        raise MissingExtraError(f"--engine ray needs Ray ({error})", "pip install 'torchlurk[ray]'") from error
    return RayEngine(address, compute.actors, compute.gpus_per_actor, say)
