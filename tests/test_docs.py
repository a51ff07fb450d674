"""Words are tested like code: every command and flag is documented as it is, and every link leads somewhere.

With TORCHLURK_WRITE_DOCS=1 the reference of the command line is written instead of compared.
"""

import ast
import importlib
import inspect
import os
import re
import shlex
from pathlib import Path

import click
import pytest

import torchlurk
from torchlurk.cli import COMMANDS, torchlurk_command
from torchlurk.study import Study
from torchlurk.views import UnitView

ROOT = Path(__file__).parents[1]
FOLDERS = ("docs/**", "benchmarks", "campaigns", "examples")
PAGES = sorted([*ROOT.glob("*.md"), *(page for folder in FOLDERS for page in ROOT.glob(f"{folder}/*.md"))])
CLI = ROOT / "docs" / "reference" / "cli.md"
WIDTH = 110


def commands() -> list[tuple[str, click.Command]]:
    """Every command by its name."""
    context = click.Context(torchlurk_command)
    return [(name, torchlurk_command.get_command(context, name)) for name in COMMANDS]


def cli_page() -> str:
    """The page as the commands describe themselves."""
    parts = ["# Command line\n", "Generated from the commands; `torchlurk COMMAND --help` prints the same.\n", STATUS]
    settings = {**torchlurk_command.context_settings, "max_content_width": WIDTH}
    root = click.Context(torchlurk_command, info_name="torchlurk", terminal_width=WIDTH, **settings)
    for name, command in commands():
        context = click.Context(command, info_name=name, parent=root, max_content_width=WIDTH, terminal_width=WIDTH)
        parts.append(f"## torchlurk {name}\n\n```\n{command.get_help(context)}\n```\n")
    return "\n".join(parts)


STATUS = """Exit status: 0 done; 2 bad usage or input, with one line that says what is wrong and how to fix it; 1 anything else;
130 interrupted, with what was computed kept.
"""


def test_the_command_line_is_documented_as_it_is():
    if os.environ.get("TORCHLURK_WRITE_DOCS"):
        CLI.write_text(cli_page())
    assert CLI.read_text() == cli_page(), "regenerate it with TORCHLURK_WRITE_DOCS=1"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_flag_that_is_named_exists(page):
    known = {flag for _, command in commands() for one in command.params for flag in one.opts}
    named = set(re.findall(r"torchlurk [a-z]+ [^\n`]*?(--[a-z-]+)", page.read_text()))
    assert named <= known | {"--help", "--version"}


def test_the_changelog_has_a_place_for_what_comes():
    assert "## Unreleased" in (ROOT / "CHANGELOG.md").read_text()


BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OURS = {"tl": torchlurk, "torchlurk": torchlurk, "study": Study, "unit": UnitView}
"""What these names are wherever a page uses them."""


def blocks(language):
    """The blocks of code of all pages."""
    for page in PAGES:
        for number, (written, text) in enumerate(BLOCK.findall(page.read_text())):
            if written == language:
                yield pytest.param(text, id=f"{page.relative_to(ROOT).as_posix()}-{number}")


@pytest.mark.parametrize("text", list(blocks("python")))
def test_python_on_the_pages_can_be_read_and_names_what_there_is(text):
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("torchlurk"):
            module = importlib.import_module(node.module)
            assert all(hasattr(module, one.name) for one in node.names), ast.unparse(node)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in OURS:
            assert hasattr(OURS[node.value.id], node.attr), ast.unparse(node)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            holder = node.func.value
            called = getattr(OURS.get(holder.id), node.func.attr, None) if isinstance(holder, ast.Name) else None
            if called is not None:
                known = inspect.signature(called).parameters
                assert {one.arg for one in node.keywords} - {None} <= set(known), ast.unparse(node)


def command_lines():
    """Every command that a block of a page shows, without its comment; none of the reference, which commands write."""
    for page in PAGES:
        shown = "\n".join(text for _, text in BLOCK.findall(page.read_text())) if page != CLI else ""
        for line in re.findall(r"^torchlurk .*", shown.replace("\\\n", " "), re.MULTILINE):
            yield pytest.param(line, id=f"{page.name}: {line[:60]}")


@pytest.mark.parametrize("line", list(command_lines()))
def test_commands_on_the_pages_are_ones_that_would_be_taken(line):
    words = shlex.split(line.replace("…", ""), comments=True)
    name, *given = [one for one in words[1:] if one not in ("&", ">")]
    command = torchlurk_command.get_command(click.Context(torchlurk_command), name)
    assert command is not None, line
    if "…" in line:  # what is left out may be what must be there
        known = {flag for one in command.params for flag in one.opts}
        assert {one for one in given if one.startswith("--")} <= known
        return
    try:
        command.make_context(name, given)
    except click.UsageError as error:
        pytest.fail(f"{line}: {error.format_message()}")
