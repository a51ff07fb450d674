"""What is no file of the kind that an option takes: a folder, an empty file, a link to nothing, no name at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from torchlurk.cli import torchlurk_command
from torchlurk.errors import TorchlurkError
from torchlurk.model_session import ModelSession
from torchlurk.models.loading.demo import demo_network

NET = """
from torch import nn
def pictures(): return nn.Sequential(nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
def text(): return nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 2))
"""
PICTURES, TEXT = ("analyze", "net.py:pictures", "pictures"), ("analyze", "net.py:text", "a.txt")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "a.txt").write_text("abba\ncab\n")
    (tmp_path / "v.json").write_text('["a", "b", "c", "\\n", " "]')
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "null.json").write_text("null")
    (tmp_path / "names.txt").write_text("cat\n")
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "pictures").mkdir()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "pictures" / "0.png")
    return tmp_path


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((*PICTURES, "--class-names", ""), "--class-names is ''"),
        ((*PICTURES, "--classes", ""), "--classes is ''"),
        ((*PICTURES, "--weights", ""), "--weights is an empty text"),
        ((*PICTURES, "--class-names", "names.txt"), "--class-names is names.txt, and the data has no classes"),
        ((*TEXT, "--vocabulary", ""), "--vocabulary is ''"),
        ((*TEXT, "--vocabulary", "v.json", "--tracks", ""), "--tracks is ''"),
        ((*TEXT, "--vocabulary", "null.json"), "holds a NoneType"),
        (("analyze", ".:net", "pictures"), "'.:net' is not a model"),
        (("analyze", "net.py:pictures", "link"), "no file or folder link; it is a link to nowhere"),
    ],
)
def test_what_is_no_such_file_is_refused(folder: Path, given: tuple[str, ...], words: str) -> None:
    done = CliRunner().invoke(torchlurk_command, [*given, "--out", "s.lurk"])
    assert isinstance(done.exception, TorchlurkError)
    assert words in str(done.exception)
    assert not (folder / "s.lurk").exists()


def test_a_tokenizer_that_is_a_folder_is_said_to_be_one(folder: Path) -> None:
    pytest.importorskip("tokenizers")
    done = CliRunner().invoke(torchlurk_command, [*TEXT, "--tokenizer", "folder.json", "--out", "s.lurk"])
    assert "--tokenizer folder.json: it is a folder" in str(done.exception)


def test_a_short_file_of_something_else_is_not_written_over(folder: Path) -> None:
    (folder / "s.lurk").write_text("3")
    done = CliRunner().invoke(torchlurk_command, [*PICTURES, "--out", "s.lurk"])
    assert "'s.lurk' is not a study" in str(done.exception)
    assert (folder / "s.lurk").read_text() == "3"


def test_class_names_that_cannot_be_read_are_told_of_before_an_image_is_asked_about(folder: Path) -> None:
    with pytest.raises(TorchlurkError, match=r"--class-names folder\.json: Is a directory"):
        ModelSession(demo_network(), class_names="folder.json")
