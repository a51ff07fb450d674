"""The notebooks run as they are, in the order in which they lead to each other; one of them in a kernel of its own."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat", reason="needs nbformat")
capture = pytest.importorskip("IPython.utils.capture", reason="needs IPython")

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
NOTEBOOKS = ROOT / "docs" / "notebooks"
NAMES = ("first-look", "your-own-model", "one-image", "synthesis", "text-and-series")
SHOWN = {"image/png", "image/svg+xml", "text/html"}
"""What a page shows as a picture or as a document of its own."""


def read(name):
    return nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where all of them run: a study that several use is made once."""
    return tmp_path_factory.mktemp("notebooks")


@pytest.fixture
def shell(folder, monkeypatch):
    """An IPython in this process that takes itself for a notebook's."""
    from IPython.core.interactiveshell import InteractiveShell

    monkeypatch.chdir(folder)
    shell = InteractiveShell.instance()
    shell.kernel = None
    shell.display_formatter.active_types = shell.display_formatter.format_types
    yield shell
    for value in list(shell.user_ns.values()):
        if type(value).__name__ == "App":
            value.close()
    InteractiveShell.clear_instance()


@pytest.mark.parametrize("name", NAMES)
def test_each_cell_runs_and_what_a_cell_ends_in_is_shown(shell, name):
    for cell in (one for one in read(name).cells if one.cell_type == "code"):
        with capture.capture_output():
            result = shell.run_cell(cell.source)
        result.raise_error()
        if not isinstance(result.result, (tuple, list, type(None))):  # numbers are shown as they are written
            assert set(shell.display_formatter.format(result.result)[0]) & SHOWN, cell.source


def test_there_are_no_others_and_they_are_clean_and_found():
    assert sorted(one.stem for one in NOTEBOOKS.glob("*.ipynb")) == sorted(NAMES)
    pages = "".join(page.read_text() for page in [ROOT / "README.md", *NOTEBOOKS.glob("*.md")])
    for name in NAMES:
        notebook = read(name)
        nbformat.validate(notebook)
        assert all(not one.get("outputs") and one.get("execution_count") is None for one in notebook.cells)
        assert f"{name}.ipynb" in pages
        for target in re.findall(r"\]\(([^)#]+)", "".join(one.source for one in notebook.cells if one.cell_type == "markdown")):
            assert (NOTEBOOKS / target).exists(), f"{name}: {target}"


def test_in_a_kernel_of_its_own_the_first_shows_a_bar_pictures_and_the_app(folder):
    nbclient = pytest.importorskip("nbclient", reason="needs nbclient")
    pytest.importorskip("ipykernel", reason="needs ipykernel")
    notebook = read("first-look")
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": folder}}).execute()
    outputs = [one for cell in notebook.cells if cell.cell_type == "code" for one in cell.outputs]
    shown = [one.data for one in outputs if one.output_type in ("display_data", "execute_result")]
    assert not any(one.output_type == "error" or one.get("name") == "stderr" for one in outputs), json.dumps(outputs)[:2000]
    assert sum("image/png" in one for one in shown) == 3
    assert "<iframe" in shown[-1]["text/html"] or "iframe" in shown[-1]["text/html"]
