"""What makes no sense is refused in one line with status 2, before any work: no traceback, no memory taken for it."""

import os
from types import SimpleNamespace

import pytest

from torchlurk.cli import main
from torchlurk.options import InputOptions, ScanOptions, SynthesizeOptions

LONG = "x" * 300

ENDS = """
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        raise SystemExit(7)
"""


@pytest.fixture
def torchlurk(capsys):
    """Calls the command line in this process."""

    def call(*arguments):
        status = 0
        try:
            main([*map(str, arguments)])
        except SystemExit as ended:
            status = ended.code
        said = capsys.readouterr()
        return SimpleNamespace(status=status, out=said.out, err=said.err)

    return call


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--crop", "99999"], r"--crop is 99999   (use at most 16,777,216 pixels in all)"),
        (["--resize", "1,99999999"], "--resize is (1, 99999999)   (use at most 16,777,216 pixels in all)"),
        (["--seed", "9" * 20], f"--seed is {'9' * 20}   (use a number from 0 to 9223372036854775807)"),
        (["--mean", "nan,0,0"], "--mean is (nan, 0.0, 0.0)   (use finite numbers)"),
        (["--std", "1,1,inf"], "--std is (1.0, 1.0, inf)   (use positive numbers)"),
        (["--size", "100000"], "--size is 100000   (use at most 4,096 pixels)"),
        (["--port", "99999999"], "Invalid value for '--port': 99999999 is not in the range 0<=x<=65535"),
        (["--units", "nope:3"], "there is no layer 'nope'"),
    ],
)
def test_an_option_that_makes_no_sense(torchlurk, model, pictures, tmp_path, options, said):
    done = torchlurk("analyze", model, pictures, "--out", tmp_path / "s.lurk", "--stages", "scan,attribute", *options)
    assert done.status == 2
    assert done.err.startswith(f"torchlurk: {said}")
    assert done.err.count("\n") == 1
    assert not (tmp_path / "s.lurk").exists()


def test_a_path_that_no_file_can_have(torchlurk, model, pictures, tmp_path):
    os.symlink("loop", tmp_path / "loop")
    out = tmp_path / "s.lurk"
    for arguments in (
        ["analyze", model, pictures, "--out", tmp_path / f"{LONG}.lurk"],
        ["analyze", model, tmp_path / LONG, "--out", out],
        ["analyze", f"{LONG}.py:net", pictures, "--out", out],
        ["show", tmp_path / LONG, "conv:0"],
    ):
        done = torchlurk(*arguments)
        assert (done.status, done.err.count("\n")) == (2, 1)
        assert done.err.endswith("…: File name too long   (give another path)\n")
    for arguments in (["analyze", model, pictures, "--out", tmp_path / "loop"], ["check", tmp_path / "loop"]):
        done = torchlurk(*arguments)
        assert (done.status, done.err.count("\n")) == (2, 1)


def test_links_that_lead_in_a_circle_are_passed_over(torchlurk, model, pictures, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    for name, leads in (("a.png", "a.png"), ("folder", "../data"), ("one.png", next(pictures.rglob("*.png")))):
        os.symlink(leads, data / name)
    done = torchlurk("analyze", model, data, "--out", tmp_path / "s.lurk")
    assert done.status == 0, done.err
    assert "skipped 2:" in done.out


def test_a_model_that_ends_the_program_is_named(torchlurk, pictures, tmp_path):
    (tmp_path / "ends.py").write_text(ENDS)
    done = torchlurk("analyze", f"{tmp_path / 'ends.py'}:Net", pictures, "--out", tmp_path / "s.lurk")
    assert done.status == 2
    assert done.err == f"torchlurk: the model or the data ended the program: SystemExit(7) in {tmp_path / 'ends.py'} line 10\n"


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        ("BaseException('so')", "the model or the data raised BaseException: so in "),
        ("ValueError('x' * 10_000)", f"Ends cannot run on an input of 3×24×24: ValueError: {'x' * 60}…   ("),
    ],
)
def test_what_a_model_raises_is_told_in_a_line_that_ends(torchlurk, pictures, tmp_path, raised, said):
    (tmp_path / "ends.py").write_text(ENDS.replace("SystemExit(7)", raised).replace("Net", "Ends"))
    done = torchlurk("analyze", f"{tmp_path / 'ends.py'}:Ends", pictures, "--out", tmp_path / "s.lurk")
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert done.err.startswith(f"torchlurk: {said}")


def test_no_data_at_all_is_not_the_current_folder(torchlurk, model, tmp_path):
    done = torchlurk("analyze", model, "", "--out", tmp_path / "s.lurk")
    assert (done.status, done.err.startswith("torchlurk: DATA is an empty text")) == (2, True)


def test_an_input_to_look_at_a_network_with_may_be_too_large(torchlurk, model):
    done = torchlurk("layers", model, "--input", "3,100000,100000")
    assert (done.status, done.err) == (
        2,
        "torchlurk: --input has 30,000,000,000 numbers   (use at most 134,217,728: a small input is enough)\n",
    )


def test_the_largest_values_are_taken():
    assert InputOptions(crop=(4096, 4096)).crop == (4096, 4096)
    assert ScanOptions(seed=2**63 - 1).seed == 2**63 - 1
    assert SynthesizeOptions(size=4096).size == 4096
