"""The command line: one file per command, loaded when it is called, so that `torchlurk show` needs no torch."""

from __future__ import annotations

import atexit
import errno
import gc
import importlib
import io
import os
import re
import select
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

import click

import torchlurk
from torchlurk.cli.interrupting import insisting
from torchlurk.errors import TorchlurkError

COMMANDS = {
    "demo": "Analyze the demo model on its drawn world.",
    "layers": "List the layers of a model whose units can be analyzed.",
    "analyze": "Find out what every unit of a model responds to, and write a study.",
    "merge": "Put the parts of an analysis together into one study.",
    "serve": "Explore studies in a browser.",
    "show": "Show what a study knows about one unit.",
    "units": "List all units of a study in one table, or write it to a file.",
    "note": "Name a unit, leave a note on it, or star it.",
    "explain": "Show which units drove a unit in one image.",
    "export": "Write a study with the app as static files.",
    "check": "Verify a study file and report which stages are complete.",
}

EXIT_INPUT, EXIT_OTHER, EXIT_INTERRUPTED = 2, 1, 130

NOT_A_PLACE = (errno.ENAMETOOLONG, errno.ELOOP)
"""Of paths that no file can have."""

SHOWN = 60
LONG = re.compile(r"\S{300,}")
"""Words that no one reads to their end, of which so many characters are shown: an option's value, or what a model raised."""

CONTINUED = (["analyze"], ["demo"])
"""The commands that continue where they were interrupted."""


class UnreadError(Exception):
    """Who read what is printed went away. Not a `BrokenPipeError`, of which click makes a `SystemExit`."""


class Commands(click.Group):
    """The commands by name; a command's module is imported when it is called."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """As that of click, which prints the help here; raises `UnreadError` where no one reads it."""
        with _read():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command; raises `UnreadError` where no one reads any longer what it prints."""
        with _read():
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which a new user meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"torchlurk.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in `torchlurk --help`, without importing the commands."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(torchlurk.__version__, prog_name="torchlurk")
def torchlurk_command() -> None:
    """See what every unit of a trained PyTorch network has learned."""


def main(arguments: list[str] | None = None) -> None:
    """Runs one command and exits: 0 done, 2 bad usage or input, 1 anything else, 130 interrupted."""
    # Read by OpenMP when torch is loaded: threads that wait sleep. Spinning, they take the cores from the threads that
    # read the data, and from whatever else the machine does (docs/decisions/waiting-threads.md).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # At the end of the process everything goes at once: to look for garbage in torch's modules first takes most of a second.
    atexit.unregister(gc.freeze)
    atexit.register(gc.freeze)
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character shows another in its place, rather than nothing at all.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        with insisting():
            torchlurk_command.main(args=arguments, prog_name="torchlurk", standalone_mode=False)
    except (click.exceptions.Abort, KeyboardInterrupt):
        named = sys.argv[1:] if arguments is None else arguments
        kept = ": what was computed is kept; rerun the same command to continue" if named[:1] in CONTINUED else ""
        sys.exit(_fail(f"interrupted{kept}", EXIT_INTERRUPTED))
    except click.UsageError as error:
        name = error.ctx.command_path if error.ctx else "torchlurk"
        sys.exit(_fail(f"{error.format_message().rstrip('.')}   ({name} --help lists the options)", EXIT_INPUT))
    except click.ClickException as error:
        sys.exit(_fail(error.format_message(), EXIT_INPUT))
    except TorchlurkError as error:
        sys.exit(_fail(str(error), error.exit_status))
    except UnreadError:
        # The reader went away (`torchlurk show … | head`): not an error of ours, and nothing more can be written.
        for stream in (sys.stdout, sys.stderr):
            if _unread(stream):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        sys.exit(0)
    except SystemExit as error:
        # Not of a command, which returns: a model or a data set that expects to be run as a program.
        sys.exit(_fail(f"the model or the data ended the program: {_where(error)}", EXIT_INPUT))
    except OSError as error:
        if error.errno in NOT_A_PLACE and error.filename is not None:
            name = str(error.filename)
            sys.exit(_fail(f"{name[:60]}{'…' * (len(name) > 60)}: {error.strerror}   (give another path)", EXIT_INPUT))
        if error.errno != errno.ENOSPC:
            raise
        sys.exit(_fail("no space left on the disk   (free some space and rerun the same command to continue)", EXIT_INPUT))
    except BaseException as error:
        if isinstance(error, Exception):
            raise
        # Not of ours either: what a model or a data set raises that means to get past every `except Exception`.
        sys.exit(_fail(f"the model or the data raised {_where(error)}", EXIT_INPUT))


@contextmanager
def _read() -> Iterator[None]:
    """Raises `UnreadError` in place of a `BrokenPipeError` of what is printed, and of no other pipe."""
    try:
        yield
    except BrokenPipeError as error:
        if _unread(sys.stdout) or _unread(sys.stderr):
            raise UnreadError from error
        raise
    except SystemExit as error:  # what rich makes of it, when stdout already leads nowhere
        if isinstance(error.__context__, BrokenPipeError):
            raise UnreadError from error
        raise


def _unread(stream: TextIO) -> bool:
    """Whether the stream is a pipe of which no one holds the other end; False where the system does not tell."""
    if not hasattr(select, "poll") or not isinstance(stream, io.TextIOWrapper):
        return False
    asked = select.poll()
    asked.register(stream.fileno(), 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in asked.poll(0))


def _where(error: BaseException) -> str:
    *_, (frame, line) = traceback.walk_tb(error.__traceback__)
    said = f"SystemExit({error.code!r})" if isinstance(error, SystemExit) else f"{type(error).__name__}: {error}"
    return f"{said} in {frame.f_code.co_filename} line {line}"


def _fail(message: str, status: int) -> int:
    told = LONG.sub(lambda word: f"{word[0][:SHOWN]}…", " ".join(message.split("\n")))
    print(f"torchlurk: {told}", file=sys.stderr)
    return status
