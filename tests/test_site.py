"""Exports into folders that hold other things: nothing else is touched, and what fails or is interrupted leaves the earlier
export as it was.
"""

import errno
import os
import signal
import stat
import subprocess
import sys
import textwrap
from hashlib import sha256
from pathlib import Path

import pytest

from torchlurk.cli import main
from torchlurk.errors import StorageError, StudyError, TorchlurkError
from torchlurk.export import export
from torchlurk.resources.tree import Resource
from torchlurk.site import LIST
from torchlurk.store.locking import Lock

EARLIER = {"index.html": b"earlier", "assets/app-1.js": b"1", "assets/fonts/a.woff": b"a"}
LATER = {"index.html": b"later", "assets/app-2.js": b"2"}


@pytest.fixture
def app(monkeypatch):
    """Says which files the app consists of."""

    def set_to(files: dict[str, bytes]) -> None:
        found = {path: Resource("text/plain", body) for path, body in files.items()}
        monkeypatch.setattr("torchlurk.export.app_files", lambda: found)

    set_to(EARLIER)
    return set_to


@pytest.fixture
def site(app, tmp_path) -> Path:
    """The folder of an earlier export; the next one is of a later app."""
    export([], tmp_path / "site")
    app(LATER)
    return tmp_path / "site"


def everything(folder: Path) -> dict[str, object]:
    """All that is below a folder, with hidden things, where links lead, and what files hold."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        kind = stat.S_IFMT(path.lstat().st_mode)
        held = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        found[path.relative_to(folder).as_posix()] = (kind, held)
    return found


def files(folder: Path) -> set[str]:
    """The files of an export that lie in a folder, but for the list."""
    return {path for path, (kind, _) in everything(folder).items() if kind == stat.S_IFREG} - {LIST}


def refused(folder: Path, words: str) -> None:
    """Nothing at all changes, in the folder or beside it, and the error says so in one line."""
    before = everything(folder.parent)
    with pytest.raises(TorchlurkError, match=words) as raised:
        export([], folder)
    assert raised.value.exit_status == 2
    assert "\n" not in str(raised.value)
    assert everything(folder.parent) == before


def test_the_list_names_what_was_written_with_its_hashes(site):
    listed = dict(line.split("  ")[::-1] for line in (site / LIST).read_text().splitlines())
    assert listed == {path: sha256((site / path).read_bytes()).hexdigest() for path in files(site)}


def test_what_the_user_put_into_an_earlier_export_stays(site):
    (site / ".git" / "objects").mkdir(parents=True)
    (site / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    (site / "CNAME").write_text("lurk.example.org")
    (site / "assets" / "mine.css").write_text("body {}")
    (site / "data" / "empty").mkdir()
    own = {path: found for path, found in everything(site).items() if path.split("/")[0] in (".git", "CNAME") or "mine" in path}
    export([], site)
    after = everything(site)
    assert own.items() <= after.items()
    assert "data/empty" in after
    assert files(site) == {*LATER, "data/studies.json", ".git/HEAD", "CNAME", "assets/mine.css"}


def test_folders_that_an_earlier_export_made_go_with_their_last_file(site):
    export([], site)
    assert not (site / "assets" / "fonts").exists()


def test_links_that_lead_elsewhere_are_left_alone_with_what_they_lead_to(site, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "app-1.js").write_text("years of work")
    (site / "link").symlink_to(tmp_path / "thesis")
    (site / "assets" / "link.js").symlink_to(tmp_path / "thesis" / "app-1.js")
    (site / "dangling").symlink_to("nowhere")
    own = {path: found for path, found in everything(tmp_path).items() if "link" in path or "dang" in path or "thesis" in path}
    export([], site)
    assert own.items() <= everything(tmp_path).items()


@pytest.mark.parametrize("place", ["index.html", "data/studies.json", "assets/app-2.js", LIST])
@pytest.mark.parametrize("target", ["thesis.tex", "nowhere", "site/assets/app-1.js"])
def test_a_link_in_place_of_a_file_is_not_written_through(site, tmp_path, place, target):
    (tmp_path / "thesis.tex").write_text("years of work")
    (site / place).unlink(missing_ok=True)
    (site / place).symlink_to(tmp_path / target)
    refused(site, "symbolic link|not a file")


@pytest.mark.parametrize("place", ["assets", "data"])
@pytest.mark.parametrize("target", ["elsewhere", "nowhere"])
def test_a_link_in_place_of_a_folder_is_not_followed(site, tmp_path, place, target):
    (site / place).rename(tmp_path / "elsewhere")
    (site / place).symlink_to(tmp_path / target)
    refused(site, f"'{place}' is a symbolic link")


def test_a_folder_that_is_gone_for_a_link_is_not_emptied(site, tmp_path):
    (site / "assets" / "fonts").rename(tmp_path / "fonts")
    (site / "assets" / "fonts").symlink_to(tmp_path / "fonts")
    export([], site)
    assert (tmp_path / "fonts" / "a.woff").read_bytes() == b"a"


def test_what_the_user_changed_is_neither_replaced_nor_removed(site):
    (site / "index.html").write_text("my own page")
    refused(site, "'index.html' was changed since it was exported")
    (site / "index.html").unlink()
    (site / "assets" / "app-1.js").write_text("my own script")
    export([], site)
    assert (site / "assets" / "app-1.js").read_text() == "my own script"


def test_the_user_s_files_of_names_that_the_export_wants_are_in_the_way(site):
    (site / "assets" / "app-2.js").write_text("mine")
    refused(site, "in '.*site', 'assets/app-2.js' was not written by an export")


def test_a_folder_where_a_file_should_be_is_in_the_way_and_the_other_way_about(site):
    (site / "assets" / "app-2.js").mkdir()
    refused(site, "'assets/app-2.js' is a folder")
    (site / "assets" / "app-2.js").rmdir()
    (site / "data" / "studies.json").unlink()
    (site / "data").rmdir()
    (site / "data").write_text("mine")
    refused(site, "'data' is a file and not a folder")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_in_the_way_and_is_not_waited_for(site):
    (site / "index.html").unlink()
    os.mkfifo(site / "index.html")
    refused(site, "'index.html' is not a plain file")


def test_a_git_checkout_is_not_an_export(app, tmp_path):
    folder = tmp_path / "site"
    (folder / ".git").mkdir(parents=True)
    (folder / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    (folder / "README.md").write_text("mine")
    refused(folder, "contains other files: .git, README.md")


def test_an_export_without_a_list_is_left_alone(app, tmp_path):
    folder = tmp_path / "site"
    (folder / "data").mkdir(parents=True)
    for path in ("index.html", "data/studies.json", LIST):
        (folder / path).write_text("")
    refused(folder, "earlier version")


@pytest.mark.parametrize(
    "line", [f"{'0' * 64}  ../thesis.tex", f"{'0' * 64}  /etc/passwd", "thesis.tex", f"{'0' * 64}  a/../../b"]
)
def test_a_list_that_names_things_outside_is_refused(site, line):
    with (site / LIST).open("a") as file:
        file.write(f"{line}\n")
    refused(site, "damaged at line 5")


def test_what_a_planted_list_names_is_not_deleted_unless_it_is_what_was_written(app, tmp_path):
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "thesis.tex").write_text("years of work")
    (folder / LIST).write_text(f"{'0' * 64}  thesis.tex\n")
    export([], folder)
    assert (folder / "thesis.tex").read_text() == "years of work"


def test_a_folder_named_by_a_link_is_written_to_and_the_link_stays(app, tmp_path):
    (tmp_path / "deep" / "site").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "deep")
    (tmp_path / "own").symlink_to(tmp_path / "deep" / "site")
    export([], tmp_path / "link" / "site")
    app(LATER)
    export([], tmp_path / "own")
    assert (tmp_path / "own").is_symlink()
    assert files(tmp_path / "deep" / "site") == {*LATER, "data/studies.json"}


def test_a_file_or_what_is_below_a_file_is_no_folder(app, tmp_path):
    (tmp_path / "mine").write_text("mine")
    refused(tmp_path / "mine", "is a file")
    before = everything(tmp_path)
    with pytest.raises(StorageError, match="mine"):
        export([], tmp_path / "mine" / "site")
    assert everything(tmp_path) == before


def test_a_folder_named_like_what_is_made_ready_is_not_deleted(site, tmp_path):
    (tmp_path / ".site.torchlurk-new").mkdir()
    (tmp_path / ".site.torchlurk-new" / "thesis.tex").write_text("years of work")
    refused(site, "is in the way")


def test_two_exports_into_one_folder_do_not_mix(site, tmp_path):
    lock = Lock(tmp_path / ".site.torchlurk-new")
    before = everything(site)
    try:
        with pytest.raises(StudyError, match="site' is being written by another process"):
            export([], site)
    finally:
        lock.release()
    assert everything(site) == before


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.EIO, "Input/output error")], ids=["Ctrl-C", "error"])
def test_interrupted_at_any_move_it_leaves_the_earlier_export(site, tmp_path, monkeypatch, error):
    usual, before = os.replace, everything(tmp_path)
    moves = 0
    while True:
        left = iter(range(moves))

        def failing(source, target, left=left):
            if next(left, None) is None and ".old" not in Path(source).parts:
                raise error
            usual(source, target)

        with monkeypatch.context() as patched:
            patched.setattr(os, "replace", failing)
            try:
                export([], site)
                break
            except (KeyboardInterrupt, StorageError):
                assert everything(tmp_path) == before
        moves += 1
    assert moves > 6
    assert files(site) == {*LATER, "data/studies.json"}


SLOW = """
    import sys, time
    from pathlib import Path
    from torchlurk.site import Site
    with Site(Path(sys.argv[1]), ["index.html", "new.html"]) as site:
        site.write("index.html", b"later")
        site.write("new.html", b"new")
        print("half", flush=True)
        time.sleep(60)
"""


def test_a_killed_export_leaves_the_earlier_one_and_the_next_takes_its_remains_away(site, tmp_path):
    before = everything(site)
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(SLOW), str(site)], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"half\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert everything(site) == before
    assert (tmp_path / ".site.torchlurk-new").is_dir()
    export([], site)
    assert [one.name for one in tmp_path.iterdir()] == ["site"]


def test_killed_between_moves_all_files_are_still_known_as_the_export_s(site, monkeypatch):
    monkeypatch.setattr("torchlurk.site._Moves.undo", lambda _: None)
    usual, left = os.replace, iter(range(5))

    def failing(source, target):
        if next(left, None) is None:
            raise KeyboardInterrupt
        usual(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", failing)
        with pytest.raises(KeyboardInterrupt):
            export([], site)
    export([], site)
    assert files(site) == {*LATER, "data/studies.json"}


def test_what_is_the_same_is_not_written_again(site):
    (site / "data" / "studies.json").chmod(0o444)
    before = (site / "data" / "studies.json").stat()
    export([], site)
    assert (site / "data" / "studies.json").stat() == before


@pytest.fixture
def disk(tmp_path):
    """A small disk, at a folder; the test is skipped where none can be mounted."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = (
        sys.platform == "linux"
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(place)], capture_output=True, check=False
        ).returncode
    )
    if not mounted:
        pytest.skip("needs the permission to mount a disk")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("below", ["", "site"], ids=["the disk itself", "a folder on it"])
def test_a_full_disk_leaves_the_earlier_export(app, disk, below):
    folder = disk / below
    export([], folder)
    (folder / "CNAME").write_text("lurk.example.org")
    app({**LATER, "assets/large.js": b"x" * 2**18})
    before = everything(disk)
    with pytest.raises(StorageError, match=r"No space left on device.*free some space"):
        export([], folder)
    assert everything(disk) == before
    app(LATER)
    export([], folder)
    assert files(folder) == {*LATER, "data/studies.json", "CNAME"}


def test_a_folder_on_another_disk_inside_is_not_half_written(site, disk):
    """What cannot be moved into it comes after other things that could."""
    (disk / "app-1.js").write_bytes(b"1")
    (disk / "fonts").mkdir()
    (disk / "fonts" / "a.woff").write_bytes(b"a")
    subprocess.run(["mount", "--bind", str(disk), str(site / "assets")], check=True)
    try:
        before = everything(site)
        with pytest.raises(StorageError, match="existing files are unchanged"):
            export([], site)
        assert everything(site) == before
    finally:
        subprocess.run(["umount", str(site / "assets")], check=True)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is read-only for root")
@pytest.mark.parametrize("part", ["", "data", "assets"])
def test_read_only_parts_are_named_before_anything_is_written(site, part):
    (site / part).chmod(0o555)
    try:
        refused(site, "cannot be written")
    finally:
        (site / part).chmod(0o755)


def test_a_refusal_is_one_line_and_exit_status_2(demo, tmp_path, capsys):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(SystemExit) as ended:
        main(["export", str(demo), str(tmp_path)])
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert said.count("\n") == 1
    assert "thesis.tex" in said
