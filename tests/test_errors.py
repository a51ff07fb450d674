"""The words of errors: the tree that the module draws, and options as the interface that was used calls them."""

from __future__ import annotations

import re

import pytest
import torch

import torchlurk as tl
from torchlurk import errors
from torchlurk.errors import OptionError, TorchlurkError, in_keywords, is_out_of_memory


def drawn() -> list[tuple[str, str]]:
    """Each error of the drawing with the one that it is below."""
    found, above = [], {0: "Exception"}
    for line in (errors.__doc__ or "").splitlines():
        if name := re.match(r"    ([│├└─ ]*)(\w+Error)\b", line):
            level = len(name[1]) // 4
            above[level + 1] = name[2]
            found.append((name[2], above[level]))
    return found


def test_the_tree_that_is_drawn_is_that_of_the_classes() -> None:
    classes = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, TorchlurkError)]
    assert sorted(drawn()) == sorted((one.__name__, one.__base__.__name__) for one in classes if one.__base__)


@pytest.mark.parametrize(
    ("flags", "keywords"),
    [
        ("--batch-size is 0", "batch_size is 0"),
        ("give --resize and --crop, as --resize 256 --crop 224", "give resize and crop, as resize=256 crop=224"),
        ("--from is given without --part", "merged is given without part"),
        ("--part is 3/2", "part is 3/2"),
        ("--top 9 is kept; see a--b, x --", "top=9 is kept; see a--b, x --"),
        ("torchlurk analyze --part K/N makes one; give --out", "torchlurk analyze --part K/N makes one; give out"),
        ("pip install --upgrade 'torchlurk[captum]'", "pip install --upgrade 'torchlurk[captum]'"),
    ],
)
def test_python_users_are_told_keywords_and_commands_stay_commands(flags: str, keywords: str) -> None:
    assert in_keywords(flags) == keywords


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"top": 0}, "top is 0   (use a number from 1 to 1000)"),
        ({"mean": (0.5,), "std": (1.0, 1.0)}, "std is (1.0, 1.0)   (use as many numbers as mean has (1))"),
        ({"stages": ["scna"]}, "stages names 'scna'; nearest: scan   (available: scan, attribute, synthesize)"),
        ({"methods": ["lpr"], "stages": ["attribute"]}, "no method 'lpr'; nearest: lrp"),
        ({"part": "3/2"}, "part is '3/2'"),
        ({"device": "teapot"}, "teapot"),
    ],
)
def test_analyze_speaks_of_its_keywords(given: dict, words: str, tmp_path) -> None:
    with pytest.raises(TorchlurkError) as told:
        tl.analyze("demo", "demo", tmp_path / "s.lurk", **{"limit": 2} | given)
    assert words in str(told.value)
    assert "--" not in str(told.value)
    assert told.value.args == (told.value.message,)


@errors.telling_keywords()
def failing() -> None:
    try:
        raise ValueError("why")
    except ValueError as error:
        raise OptionError("--top is 0", "use --top 1") from error


def test_an_error_that_is_told_in_keywords_keeps_its_cause_and_its_kind() -> None:
    with pytest.raises(OptionError) as told:
        failing()
    assert (str(told.value), str(told.value.__cause__)) == ("top is 0   (use top=1)", "why")


def test_a_name_that_is_known_twice_is_named_once() -> None:
    assert errors.nearest("bicicle", ["bicycle", "bicycle", "car"]) == "; nearest: bicycle"


@pytest.mark.parametrize(
    ("error", "says_so"),
    [
        (torch.OutOfMemoryError("Tried to allocate 20.00 MiB"), True),
        (RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 5.07 GB, max allowed: 5.10 GB)"), True),
        (RuntimeError("Invalid buffer size: 24.00 GiB"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED"), False),
        (RuntimeError("CUDA error: device-side assert triggered"), False),
        (ValueError("the list is out of memory slots"), False),
    ],
    ids=lambda value: " ".join(str(value).split())[:60],
)
def test_torch_says_in_many_words_that_memory_ran_out(error: Exception, says_so: bool) -> None:
    assert is_out_of_memory(error) is says_so


def test_a_host_that_refuses_memory_says_so_too() -> None:
    with pytest.raises(RuntimeError) as told:
        torch.empty(2**50, dtype=torch.uint8)
    assert is_out_of_memory(told.value)
