"""Files of the user's choosing: written whole or not at all, and nothing else is written over."""

import os
import threading
from pathlib import Path

import pytest

from torchlurk.cli import main
from torchlurk.errors import OptionError, StorageError
from torchlurk.files import read_given, write_whole

PNG = (".png",)


def names(folder: Path) -> set[str]:
    return {one.name for one in folder.iterdir()}


def test_a_file_takes_the_place_of_an_earlier_one_with_its_permissions(tmp_path):
    (tmp_path / "a.png").write_bytes(b"earlier")
    (tmp_path / "a.png").chmod(0o640)
    write_whole(tmp_path / "a.png", b"later", PNG)
    assert (tmp_path / "a.png").read_bytes() == b"later"
    assert (tmp_path / "a.png").stat().st_mode & 0o777 == 0o640
    assert names(tmp_path) == {"a.png"}


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")], ids=["Ctrl-C", "full"])
def test_what_fails_leaves_the_earlier_file_and_nothing_beside(tmp_path, monkeypatch, error):
    def failing(source: Path, _: Path) -> None:
        assert source.read_bytes() == b"later"
        raise error

    (tmp_path / "a.png").write_bytes(b"earlier")
    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises((KeyboardInterrupt, StorageError)):
        write_whole(tmp_path / "a.png", b"later", PNG)
    assert (tmp_path / "a.png").read_bytes() == b"earlier"
    assert names(tmp_path) == {"a.png"}


def test_a_link_stays_and_its_file_is_replaced(tmp_path):
    (tmp_path / "archive").mkdir()
    (tmp_path / "latest.png").symlink_to("archive/a.png")
    for body in (b"a dangling link", b"a link to a file"):
        write_whole(tmp_path / "latest.png", body, PNG)
        assert (tmp_path / "latest.png").is_symlink()
        assert (tmp_path / "archive" / "a.png").read_bytes() == body
    assert names(tmp_path / "archive") == {"a.png"}


def test_another_kind_of_file_is_not_written_over_not_even_by_a_link(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    (tmp_path / "link.png").symlink_to("thesis.tex")
    with pytest.raises(OptionError, match=r"thesis.tex' does not end in .png"):
        write_whole(tmp_path / "thesis.tex", b"", PNG)
    with pytest.raises(OptionError, match=r"link.png' leads to '.*thesis.tex', which does not end in .png"):
        write_whole(tmp_path / "link.png", b"", PNG)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_a_folder_or_a_link_to_one_is_no_file(tmp_path):
    (tmp_path / "a.png").mkdir()
    (tmp_path / "link.png").symlink_to("a.png")
    for name in ("a.png", "link.png"):
        with pytest.raises(OptionError, match="is a folder"):
            write_whole(tmp_path / name, b"", PNG)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=write_whole, args=(pipe, b"body", PNG))
    writer.start()
    assert pipe.read_bytes() == b"body"
    writer.join()
    assert pipe.is_fifo()


@pytest.mark.parametrize("out", ["thesis.tex", "folder.png", "link.png", "nowhere/a.png"])
def test_show_and_explain_refuse_in_one_line_and_touch_nothing(demo, tmp_path, capsys, out):
    (tmp_path / "thesis.tex").write_text("years of work")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "link.png").symlink_to("thesis.tex")
    before = names(tmp_path)
    given = {"show": [str(demo), "block1:0"], "explain": [str(demo), "--class", "dog", "--model", "demo"]}
    for command in ["show"] if out.startswith("nowhere") else given:
        with pytest.raises(SystemExit) as ended:
            main([command, *given[command], "--out", str(tmp_path / out)])
        said = capsys.readouterr().err
        assert (ended.value.code, said.count("\n")) == (2, 1), said
        assert out in said
    assert names(tmp_path) == before
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize("out", ["thesis.tex", "folder.lurk", "link.lurk", "pipe.lurk"])
def test_analyze_refuses_in_one_line_and_touches_nothing(tmp_path, capsys, out):
    (tmp_path / "thesis.tex").write_text("years of work")
    (tmp_path / "folder.lurk").mkdir()
    (tmp_path / "link.lurk").symlink_to("thesis.tex")
    os.mkfifo(tmp_path / "pipe.lurk")
    before = names(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["analyze", "demo", "demo", "--limit", "4", "--out", str(tmp_path / out)])
    said = capsys.readouterr().err
    assert (ended.value.code, said.count("\n")) == (2, 1), said
    assert out in said
    assert names(tmp_path) == before
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_what_never_ends_is_not_read_for_ever(tmp_path, capsys):
    with pytest.raises(OSError, match="it is larger than 64 MiB"):
        read_given(Path("/dev/zero"))
    with pytest.raises(SystemExit) as ended:
        main(["note", str(tmp_path / "a.lurk"), "--import", "/dev/zero"])
    assert ended.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_pipe_is_read_to_its_end():
    into, out = os.pipe()
    os.write(out, b"a,b")
    os.close(out)
    assert read_given(Path(f"/dev/fd/{into}")) == b"a,b"
    os.close(into)
