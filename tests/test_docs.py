"""Words are tested like code: every command and flag is documented as it is, and every link leads somewhere.

With TORCHLURK_WRITE_DOCS=1 the reference of the command line is written instead of compared.
"""

import os
import re
from pathlib import Path

import click
import pytest

from torchlurk.cli import COMMANDS, torchlurk_command

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
