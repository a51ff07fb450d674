"""Each wrong use is one plain line, exit status 2, no traceback, and nothing that was finished is lost."""

import json
import os
import shutil
import sqlite3
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import torchlurk as tl

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def finished(model, pictures, tmp_path_factory):
    study = tmp_path_factory.mktemp("study") / "finished.lurk"
    tl.analyze(model, pictures, study).close()
    return study


def refused(outcome, *words):
    assert outcome.status == 2, outcome.err
    assert "Traceback" not in outcome.err
    lines = [line for line in outcome.err.splitlines() if not line.startswith("this torchvision")]
    assert len(lines) == 1, outcome.err
    for word in words:
        assert word in lines[0]


def test_an_unknown_model_names_the_nearest(torchlurk, pictures, tmp_path):
    outcome = torchlurk("analyze", "torchvision:squeezenet1_2", pictures, "--out", tmp_path / "s.lurk")
    refused(outcome, "squeezenet1_2", "squeezenet1_1")
    assert not (tmp_path / "s.lurk").exists()


@pytest.mark.parametrize("spec", ["nonsense", "nowhere.py:net", "torch.nn:Nothing", "timm:resnet5", ":x", "torchvision:"])
def test_what_is_not_a_model_is_refused(spec, here, pictures, tmp_path):
    refused(here("analyze", spec, pictures, "--out", tmp_path / "s.lurk"))


def test_weights_that_are_not_there(here, model, pictures, tmp_path):
    refused(here("analyze", model, pictures, "--weights", tmp_path / "none.pt", "--out", tmp_path / "s.lurk"), "none.pt")


def test_weights_of_another_network(here, model, pictures, tmp_path):
    save_file({"conv1.weight": torch.zeros(1), "head.bias": torch.zeros(3)}, tmp_path / "w.safetensors")
    outcome = here("analyze", model, pictures, "--weights", tmp_path / "w.safetensors", "--out", tmp_path / "s.lurk")
    refused(outcome, "head.bias", "missing", "wrong shape")


def test_pickled_weights(here, model, pictures, tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "w.pt")
    outcome = here("analyze", model, pictures, "--weights", tmp_path / "w.pt", "--out", tmp_path / "s.lurk")
    refused(outcome, "w.pt", "state_dict")


def test_a_folder_without_images(here, model, tmp_path):
    (tmp_path / "empty").mkdir()
    refused(here("analyze", model, tmp_path / "empty", "--out", tmp_path / "s.lurk"), "empty")


def test_a_folder_that_is_not_there(here, model, tmp_path):
    refused(here("analyze", model, tmp_path / "nowhere", "--out", tmp_path / "s.lurk"), "nowhere")


@pytest.mark.skipif(os.geteuid() == 0 and shutil.which("setpriv") is None, reason="needs a user without rights")
def test_a_folder_that_may_not_be_read(model, tmp_path):
    """As another user, since the superuser may read everything."""
    import sys

    folder = tmp_path / "locked"
    folder.mkdir()
    Image.new("RGB", (8, 8)).save(folder / "a.png")
    folder.chmod(0)
    prefix = ["setpriv", "--reuid=65534", "--clear-groups"] if os.geteuid() == 0 else []
    code = (
        "import torchlurk.inputs.sources.folder as images; from pathlib import Path\n"
        "from torchlurk.records import Preprocessing\n"
        "from torchlurk.errors import DataError\n"
        f"try: images.ImageFolder(Path({str(folder)!r}), Preprocessing())\n"
        "except DataError as error: print(error)\n"
    )
    package = Path(__file__).parents[2] / "src"
    if prefix and not all(parent.stat().st_mode & 0o001 for parent in package.resolve().parents):
        pytest.skip("the clone itself may not be read by another user")
    for parent in [tmp_path, *tmp_path.parents]:
        if parent.stat().st_uid == os.geteuid() and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o055)
    done = subprocess.run(
        [*prefix, sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        env={"PYTHONPATH": str(package)},
    )
    if "ermission denied" in done.stderr and "locked" not in done.stderr:
        pytest.skip("the interpreter itself may not be read by another user")
    assert "locked" in done.stdout, done.stderr


def test_a_full_disk_keeps_what_was_finished(torchlurk, model, pictures, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=700k", "tmpfs", disk], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        arguments = ("analyze", model, pictures, "--out", disk / "s.lurk", "--top", 50)
        refused(torchlurk(*arguments), "s.lurk", "no space left")
        subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
        done = torchlurk(*arguments)
        assert done.status == 0, done.err
        assert torchlurk("check", disk / "s.lurk").status == 0
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_study_of_other_weights_data_or_settings_says_which(here, model, pictures, finished, tmp_path):
    weights = torch.manual_seed(1) and {
        "conv1.weight": torch.randn(8, 3, 3, 3),
        "conv1.bias": torch.randn(8),
        "bn1.weight": torch.ones(8),
        "bn1.bias": torch.zeros(8),
        "bn1.running_mean": torch.zeros(8),
        "bn1.running_var": torch.ones(8),
        "bn1.num_batches_tracked": torch.tensor(0),
        "conv2.weight": torch.randn(12, 8, 3, 3),
        "conv2.bias": torch.randn(12),
        "fc.weight": torch.randn(4, 12),
        "fc.bias": torch.randn(4),
    }
    save_file(weights, tmp_path / "w.safetensors")
    before = finished.read_bytes()
    refused(here("analyze", model, pictures, "--out", finished, "--weights", tmp_path / "w.safetensors"), "weights", "--out")
    refused(here("analyze", model, pictures / "grid", "--out", finished), "data")
    refused(here("analyze", model, pictures, "--out", finished, "--top", 5, "--tap", "output"), "--top", "--tap")
    assert finished.read_bytes() == before


def test_a_study_from_a_newer_version(here, finished, tmp_path):
    newer = tmp_path / "newer.lurk"
    shutil.copy(finished, newer)
    db = sqlite3.connect(newer)
    db.execute("PRAGMA user_version = 99")
    db.commit()
    db.close()
    refused(here("show", newer, "conv1:0"), "newer")


@pytest.mark.parametrize("content", [b"", b"hello, I am a text file", b"SQLite format 3\0" + b"\0" * 4000])
def test_what_is_not_a_study(content, here, tmp_path):
    file = tmp_path / "other.lurk"
    file.write_bytes(content)
    refused(here("show", file, "conv1:0"), "other.lurk")
    refused(here("check", file), "other.lurk")


def test_what_is_not_a_study_is_not_overwritten(here, model, pictures, tmp_path):
    file = tmp_path / "thesis.txt"
    file.write_text("years of work")
    refused(here("analyze", model, pictures, "--out", file), "thesis.txt")
    assert file.read_text() == "years of work"


def test_a_layer_glob_that_matches_nothing(torchlurk, model, pictures, tmp_path):
    refused(torchlurk("analyze", model, pictures, "--out", tmp_path / "s.lurk", "--layers", "conv3"), "conv3", "nearest")
    assert not (tmp_path / "s.lurk").exists()


@pytest.mark.parametrize(
    ("name", "flags", "words"),
    [
        ("a.txt", [], ["needs the vocabulary", "--vocabulary FILE.json"]),
        ("a.txt", ["--lines", "--lowercase", "--crop", "8"], ["--crop is for pictures; DATA is text"]),
        ("a.csv", ["--kind", "text"], ["--kind is 'text'", "a.csv is series"]),
        ("a.ts", [], ["a.ts ends before @data"]),
    ],
)
def test_text_and_series_that_cannot_be_read(name, flags, words, here, model, tmp_path):
    (tmp_path / name).write_text("1,2\n" if name == "a.csv" else "@dimensions 2\n")
    refused(here("analyze", model, tmp_path / name, "--out", tmp_path / "s.lurk", *flags), *words)


SEQUENCES = """
import torch
from torch import nn

class Reader(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.rnn, self.head = nn.Embedding(6, 4), nn.GRU(4, 3, batch_first=True), nn.Linear(3, 2)

    def forward(self, x):
        return self.head(self.rnn(self.embedding(x))[0])

class Listener(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn, self.head = nn.LSTM(2, 3, batch_first=True, bidirectional=True), nn.Linear(6, 2)

    def forward(self, x, lengths):
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True)
        found, _ = nn.utils.rnn.pad_packed_sequence(self.rnn(packed)[0], batch_first=True)
        return self.head(found.mean(1))

class Demanding(Reader):
    def forward(self, x, weights, other):
        return super().forward(x) * weights + other

class Strict(Reader):
    def forward(self, x):
        if x.shape[1] > 4:
            raise ValueError("at most 4 steps")
        return super().forward(x)
"""
LETTERS = '{"<pad>": 0, "a": 1, "b": 2, "c": 3, "d": 4, " ": 5}'


@pytest.fixture(scope="module")
def sequences(tmp_path_factory):
    """Networks of text and of series, data for them, and what does not fit them."""
    folder = tmp_path_factory.mktemp("sequences")
    (folder / "nets.py").write_text(SEQUENCES)
    (folder / "letters.json").write_text(LETTERS)
    (folder / "large.json").write_text(LETTERS.replace('" ": 5', '" ": 9'))
    (folder / "text.txt").write_text("abcd\nab cd\nd c b a\n")
    (folder / "empty.txt").write_text("")
    (folder / "labels.csv").write_text("0,one\n1,two\n")
    (folder / "nothing.json").write_text("{}")
    (folder / "short.tsv").write_text("noun\n1\n0\n1\n")
    (folder / "same.tsv").write_text("noun\n" + "1\n" * 16)
    np.save(folder / "two.npy", np.random.default_rng(0).random((6, 5, 2)).astype(np.float32))
    np.save(folder / "three.npy", np.random.default_rng(0).random((6, 5, 3)).astype(np.float32))
    cut = "@problemName x\n@univariate true\n@classLabel true a b\n@data\n1,2,3:a\n1,2"
    (folder / "cut.ts").write_text(cut)
    return folder


TEXT = ["text.txt", "--vocabulary", "letters.json", "--lines"]


@pytest.mark.parametrize(
    ("net", "given", "words"),
    [
        ("demo", TEXT, ["the inputs are text, and stem.0 (Conv2d) takes pictures of 3 channels", "give pictures as data"]),
        ("Listener", TEXT, ["the inputs are text, and rnn (LSTM) takes series of 2 channels"]),
        (
            "Reader",
            ["demo", "--limit", "4"],
            ["the inputs are pictures, and embedding (Embedding) takes token ids from 0 to 5"],
        ),
        ("Reader", ["two.npy"], ["the inputs are series, and embedding (Embedding) takes token ids", "give text as data"]),
        ("Listener", ["three.npy"], ["the series have 3 channels, and rnn (LSTM) takes 2", "give series of 2 channels"]),
        ("Listener", ["three.npy", "--input-axes", "btc"], ["the series have 3 channels, and rnn (LSTM) takes 2"]),
        ("Reader", ["text.txt"], ["needs the vocabulary", "--vocabulary FILE.json"]),
        ("Reader", [*TEXT, "--tokenizer", "bpe"], ["--tokenizer is 'bpe'", "char, word"]),
        ("Reader", ["text.txt", "--tokenizer", "nowhere.json"], ["nowhere.json"]),
        ("Reader", ["text.txt", "--vocabulary", "nothing.json"], ["nothing.json"]),
        (
            "Reader",
            ["text.txt", "--vocabulary", "large.json"],
            ["the token id 9", "embedding (Embedding) takes token ids from 0 to 5"],
        ),
        ("Reader", ["empty.txt", "--vocabulary", "letters.json"], ["empty.txt is empty"]),
        ("Reader", [*TEXT, "--classes", "labels.csv"], ["labels.csv", "3"]),
        ("Strict", [*TEXT, "--input-axes", "bt"], ["ValueError: at most 4 steps"]),
        ("Reader", ["cut.ts"], ["cut.ts"]),
        ("Reader", [*TEXT, "--streams", "attention"], ["--streams names 'attention'", "available: all, output"]),
        ("Reader", [*TEXT, "--streams", "f"], ["--streams names 'f'"]),
        ("Reader", [*TEXT, "--input-axes", "btc"], ["--input-axes is 'btc'", "bt, tb"]),
        ("Listener", ["two.npy", "--input-axes", "bt"], ["--input-axes is 'bt'", "btc, tbc, bct"]),
        ("Listener", ["two.npy", "--input-axes", "bct"], ["cannot run", "--input-axes"]),
        ("Demanding", TEXT, ["the forward of Demanding needs weights, other"]),
        (
            "Reader",
            [*TEXT, "--stages", "scan,synthesize"],
            ["--stages synthesize is for pictures; DATA is text", "scan, attribute"],
        ),
        ("Listener", ["two.npy", "--stages", "synthesize"], ["--stages synthesize is for pictures; DATA is series"]),
        ("Reader", ["text.txt", "--vocabulary", "letters.json", "--window", "8", "--burn-in", "8"], ["--burn-in"]),
        (
            "Reader",
            [*TEXT, "--tracks", "short.tsv"],
            ["short.tsv has 3 rows in 'noun', the data 16 tokens", "one row for each"],
        ),
        ("Reader", [*TEXT, "--tracks", "same.tsv"], ["same.tsv: the track 'noun' never changes, it is 1 at every token"]),
        ("Reader", [*TEXT, "--tracks", "letters.json"], ["--tracks letters.json is neither .tsv nor .npz"]),
        ("Listener", ["two.npy", "--tracks", "short.tsv"], ["--tracks is for text; DATA is series"]),
    ],
)
def test_sequences_that_do_not_fit(net, given, words, here, sequences, tmp_path, monkeypatch):
    monkeypatch.chdir(sequences)
    model = net if net == "demo" else f"nets.py:{net}"
    refused(here("analyze", model, *given, "--out", tmp_path / "s.lurk"), *words)
    assert not (tmp_path / "s.lurk").exists()


def test_a_study_of_text_or_series_says_what_there_is_for_it(torchlurk, here, sequences, tmp_path, monkeypatch):
    monkeypatch.chdir(sequences)
    study = tmp_path / "s.lurk"
    done = torchlurk("analyze", "nets.py:Reader", *TEXT, "--out", study, cwd=sequences)
    assert done.status == 0, done.err
    assert "--stages attribute adds what in the texts excited each unit" in done.out
    assert "images" not in done.out
    before = study.read_bytes()
    available = "available for text and series: the stages scan and attribute, and show, serve and export of their study"
    (sequences / "a.png").write_bytes(b"")
    refused(here("explain", study, "a.png", "--model", "nets.py:Reader"), "is a study of text", available)
    refused(here("analyze", "nets.py:Reader", *TEXT, "--out", study, "--stages", "synthesize"), "is for pictures", "attribute")
    refused(here("analyze", "nets.py:Reader", *TEXT, "--out", study, "--streams", "output"), "--streams")
    assert study.read_bytes() == before


def test_a_device_that_is_not_there(here, model, pictures, tmp_path):
    refused(here("analyze", model, pictures, "--out", tmp_path / "s.lurk", "--device", "cuda:7"), "cuda:7")
    refused(here("analyze", model, pictures, "--out", tmp_path / "s.lurk", "--device", "cuda:all"), "no device 'cuda'")
    refused(here("analyze", model, pictures, "--out", tmp_path / "s.lurk", "--device", "teapot"), "teapot")


@pytest.mark.parametrize(
    "flags",
    [
        ["--top", "0"],
        ["--top", "x"],
        ["--mean", "a,b"],
        ["--crop", "big"],
        ["--stages", "dream"],
        ["--nonsense"],
        ["--tap", "middle"],
    ],
)
def test_flags_that_cannot_be(flags, here, model, pictures, tmp_path):
    refused(here("analyze", model, pictures, "--out", tmp_path / "s.lurk", *flags), flags[0])


@pytest.mark.parametrize("arguments", [["frobnicate"], ["analyze"], ["show"], ["show", "a.lurk"], ["check", "nowhere.lurk"]])
def test_commands_that_cannot_be(arguments, here):
    refused(here(*arguments))


@pytest.mark.parametrize("unit", ["conv1", "conv1:99", "conv9:1", "conv1:-1"])
def test_units_that_a_study_does_not_have(unit, here, finished):
    refused(here("show", finished, unit), unit.partition(":")[0])


def test_a_layer_where_a_unit_is_asked_for(here, finished):
    refused(here("show", finished, "conv1"), "'conv1' is a layer", "conv1:0", "--out")


def test_a_picture_that_cannot_be_written(here, finished):
    refused(here("show", finished, "conv1:0", "--out", "/nowhere/at/all.png"), "all.png")


def test_damaged_files_and_an_empty_class_are_passed_over_and_listed(torchlurk, model, pictures, tmp_path):
    folder = tmp_path / "pictures"
    shutil.copytree(pictures, folder)
    (folder / "nothing").mkdir()
    for index in range(5):
        file = folder / "noise" / f"{index:03}.png"
        file.write_bytes(file.read_bytes()[: 40 * index])
    (folder / "grid" / "notes.txt").write_text("not a picture")
    study = tmp_path / "s.lurk"
    done = torchlurk("analyze", model, folder, "--out", study)
    assert done.status == 0, done.err
    assert "skipped 7" in done.out
    assert "nothing/: is a class without images" in done.out
    assert "noise/000.png" in done.out
    shown = json.loads(torchlurk("show", study, "conv2:3", "--json").out)
    assert [row["class"] for row in shown["classes"]["max"]] != []
    assert "nothing" not in [row["class"] for row in shown["classes"]["max"]]
    assert torchlurk("check", study).status == 0


STOPPED = """
from torch import nn

class Stopped(nn.Module):
    def forward(self, x):
        raise KeyboardInterrupt

net = Stopped
"""


def test_ctrl_c_says_that_what_was_computed_is_kept(here, pictures, tmp_path):
    (tmp_path / "stopped.py").write_text(STOPPED)
    outcome = here("analyze", f"{tmp_path / 'stopped.py'}:net", pictures, "--out", tmp_path / "s.lurk")
    assert outcome.status == 130
    assert outcome.err.strip() == "torchlurk: interrupted: what was computed is kept; rerun the same command to continue"
