"""Weights files: every nesting and prefix that training programs use, and every way in which a file can be wrong."""

from __future__ import annotations

import argparse
import contextlib
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from torchlurk.errors import WeightsError
from torchlurk.models.loading.weights import build_to_fit, load_state, read_state


def network(classes: int = 5) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4, classes))


@pytest.fixture
def trained() -> nn.Sequential:
    torch.manual_seed(7)
    module = network()
    for tensor in module.state_dict().values():
        if tensor.is_floating_point():
            tensor.normal_()
    return module


def equal(one: nn.Module, other: nn.Module) -> bool:
    left, right = one.state_dict(), other.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def load_into_new(file: Path) -> nn.Sequential:
    module = network()
    load_state(module, read_state(file), f"'{file.name}'")
    return module


def prefixed(prefix: str) -> Callable[[dict[str, Tensor]], object]:
    return lambda state: {prefix + name: tensor for name, tensor in state.items()}


WRAPPINGS: dict[str, Callable[[dict[str, Tensor]], object]] = {
    "bare": dict,
    "state_dict": lambda state: {"state_dict": state, "epoch": 3, "optimizer": {"state": {0: {"step": torch.ones(1)}}}},
    "model": lambda state: {"model": state, "best": 0.5},
    "model_state_dict": lambda state: {"model_state_dict": state, "loss": torch.ones(())},
    "net": lambda state: {"net": state},
    "weights": lambda state: {"weights": state},
    "ema": lambda state: {"ema": state},
    "model in state": lambda state: {"model": {"state_dict": state}},
    "a name of its own": lambda state: {"classifier_v2": state, "epoch": 1},
    "module.": prefixed("module."),
    "module.module.": prefixed("module.module."),
    "_orig_mod.": prefixed("_orig_mod."),
    "module._orig_mod.": prefixed("module._orig_mod."),
    "_orig_mod.module.": prefixed("_orig_mod.module."),
    "model.": prefixed("model."),
    "model._orig_mod.": prefixed("model._orig_mod."),
    "net.module.": prefixed("net.module."),
    "compiled inside": lambda state: {name.replace("1.", "1._orig_mod.", 1): tensor for name, tensor in state.items()},
    "options beside it": lambda state: {
        "model": state,
        "args": argparse.Namespace(lr=1, out=Path("a"), more=argparse.Namespace()),
    },
    "NumPy's numbers beside it": lambda state: {
        "state_dict": state,
        "best": np.float64(91.2),
        "curve": np.zeros(3, np.float32),
        "done": np.bool_(True),
    },
    "averaged": lambda state: {"n_averaged": torch.tensor(4), **{f"module.{name}": one for name, one in state.items()}},
    "without counters": lambda state: {name: one for name, one in state.items() if "num_batches" not in name},
}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_a_state_is_found_in_whatever_it_was_wrapped_in(wrapping: str, trained: nn.Sequential, tmp_path: Path) -> None:
    trained[1].num_batches_tracked.zero_()
    torch.save(WRAPPINGS[wrapping](trained.state_dict()), tmp_path / "weights.pt")
    assert equal(load_into_new(tmp_path / "weights.pt"), trained)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin", ".ckpt", ".th", ""])
@pytest.mark.parametrize("zipped", [True, False])
def test_the_content_decides_the_format_not_the_name(suffix: str, zipped: bool, trained: nn.Sequential, tmp_path: Path) -> None:
    torch.save(trained.state_dict(), tmp_path / f"w{suffix}", _use_new_zipfile_serialization=zipped)
    save_file(trained.state_dict(), tmp_path / f"s{suffix}")
    assert equal(load_into_new(tmp_path / f"w{suffix}"), trained)
    assert equal(load_into_new(tmp_path / f"s{suffix}"), trained)


def test_safetensors_load_with_prefixes_too(trained: nn.Sequential, tmp_path: Path) -> None:
    save_file({f"module.{name}": one for name, one in trained.state_dict().items()}, tmp_path / "w.safetensors")
    assert equal(load_into_new(tmp_path / "w.safetensors"), trained)


def test_which_of_two_states_is_taken_is_told(trained: nn.Sequential, tmp_path: Path) -> None:
    old = {name: torch.zeros_like(tensor) for name, tensor in trained.state_dict().items()}
    torch.save({"state_dict": trained.state_dict(), "state_dict_ema": old}, tmp_path / "both.pt")
    state = read_state(tmp_path / "both.pt")
    assert len(state.told) == 1
    assert "last step, 'state_dict', which were taken, and their average, 'state_dict_ema'" in state.told[0]
    assert equal(load_into_new(tmp_path / "both.pt"), trained)


def test_a_network_within_a_larger_module_is_found_and_the_rest_named(trained: nn.Sequential, tmp_path: Path) -> None:
    whole = {**{f"net.{name}": one for name, one in trained.state_dict().items()}, "criterion.weight": torch.ones(2)}
    torch.save({"state_dict": whole}, tmp_path / "lightning.ckpt")
    state, module = read_state(tmp_path / "lightning.ckpt"), network()
    load_state(module, state, "'lightning.ckpt'")
    assert equal(module, trained)
    assert state.told == ["'lightning.ckpt' also holds what is not part of the network, and is left out: criterion.weight"]


def test_a_network_whose_own_names_begin_with_module_keeps_them(tmp_path: Path) -> None:
    class Wrapping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = nn.Linear(2, 3)

    saved, module = Wrapping(), Wrapping()
    torch.save(saved.state_dict(), tmp_path / "w.pt")
    load_state(module, read_state(tmp_path / "w.pt"), "w.pt")
    assert equal(saved, module)


class Whole(nn.Module):
    """A module saved as a whole, which only unpickling could read."""


class Trap:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path("unpickled"),)  # type: ignore[return-value]


def write_whole(file: Path) -> None:
    torch.save(Whole(), file)


def write_trap(file: Path) -> None:
    file.write_bytes(pickle.dumps({"state_dict": Trap()}))


def write_truncated(file: Path) -> None:
    torch.save(network().state_dict(), file)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def write_truncated_old(file: Path) -> None:
    torch.save(network().state_dict(), file, _use_new_zipfile_serialization=False)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def write_truncated_safetensors(file: Path) -> None:
    save_file(network().state_dict(), file)
    file.write_bytes(file.read_bytes()[:-40])


def write_script(file: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.ones(1, 2)), str(file))


WRONG: dict[str, tuple[Callable[[Path], object], str]] = {
    "a whole model": (write_whole, r"pickled objects \(.*Whole\).*torch\.save\(model\.state_dict\(\)"),
    "ONNX": (lambda file: file.write_bytes(b"\x08\x07\x12\x07pytorch" + b"x" * 80), "is an ONNX file"),
    "Keras": (lambda file: file.write_bytes(b"\x89HDF\r\n\x1a\n" + b"0" * 99), "is an HDF5 file, such as Keras writes"),
    "a page": (lambda file: file.write_text("<!doctype html><title>not found</title>"), "page of markup"),
    "a trap": (write_trap, r"pickled objects|damaged"),
    "truncated": (write_truncated, "damaged"),
    "truncated, old format": (write_truncated_old, "damaged"),
    "truncated safetensors": (write_truncated_safetensors, "damaged or is not a safetensors file"),
    "a bad header": (lambda file: file.write_bytes(b"\x20\0\0\0\0\0\0\0{not json" + b"x" * 40), "not a safetensors file"),
    "a huge header": (lambda file: file.write_bytes(b"\xff" * 8 + b"{}"), "not a safetensors file"),
    "a program": (
        lambda file: file.write_text("\nimport torch\nfrom torch import nn\n"),
        "is damaged, or is not a weights file",
    ),
    "a text": (lambda file: file.write_text("hello, these are no weights"), "not a weights file"),
    "empty": (lambda file: file.write_bytes(b""), "is empty"),
    "a folder": (lambda file: file.mkdir(), "is a folder"),
    "absent": (lambda file: None, "there is no weights file"),
    "a tensor": (lambda file: torch.save(torch.ones(3), file), "holds a Tensor, not a state dict"),
    "a list": (lambda file: torch.save([torch.ones(3)], file), "holds a list"),
    "no tensors": (lambda file: torch.save({"epoch": 1, "lr": 0.1}, file), "only epoch, lr"),
    "an empty state": (lambda file: torch.save({}, file), "but nothing"),
    "two states": (
        lambda file: torch.save({"generator": network().state_dict(), "critic": network().state_dict()}, file),
        "several: generator, critic",
    ),
    "TorchScript": (write_script, "TorchScript program"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_file_is_refused_in_one_line(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write, says = WRONG[kind]
    write(tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=says) as caught:
        read_state(tmp_path / "w.pt")
    assert "\n" not in str(caught.value)
    assert "w.pt" in str(caught.value)
    assert not (tmp_path / "unpickled").exists()


def test_a_file_named_safetensors_that_is_none_is_refused(tmp_path: Path) -> None:
    torch.save(network().state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match="not a safetensors file"):
        read_state(tmp_path / "w.safetensors")


@pytest.mark.parametrize("zipped", [True, False])
def test_a_damaged_file_never_ends_in_anything_but_an_error_of_ours(zipped: bool, tmp_path: Path) -> None:
    torch.save(network().state_dict(), tmp_path / "whole.pt", _use_new_zipfile_serialization=zipped)
    whole = (tmp_path / "whole.pt").read_bytes()
    generator = torch.Generator().manual_seed(0)
    for _ in range(60):
        damaged = bytearray(whole)
        for place in torch.randint(len(whole), (8,), generator=generator):
            damaged[place] = 255 - damaged[place]
        (tmp_path / "w.pt").write_bytes(damaged)
        with contextlib.suppress(WeightsError):
            read_state(tmp_path / "w.pt")


def test_a_mismatch_names_what_is_missing_unexpected_and_of_another_shape() -> None:
    state = network().state_dict()
    del state["0.weight"]
    state |= {f"head.{index}": torch.ones(1) for index in range(5)}
    state["4.weight"] = torch.ones(5, 9)
    state["4.bias"] = torch.ones(())
    module = network()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    with pytest.raises(WeightsError) as caught:
        load_state(module, state, "'w.pt'")
    said = caught.value.message
    assert "'w.pt' does not fit Sequential: missing 0.weight; " in said
    assert "unexpected head.0, head.1, head.2 and 2 more; " in said
    assert "wrong shape 4.weight is 5×9, should be 5×4, 4.bias is a scalar, should be 5" in said
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())


def test_another_number_of_classes_builds_the_network_again(trained: nn.Sequential) -> None:
    asked: list[int | None] = []

    def build(classes: int | None) -> nn.Module:
        asked.append(classes)
        return network(9 if classes is None else classes)

    assert equal(build_to_fit(build, trained.state_dict(), "w.pt"), trained)
    assert asked == [None, 5]


def test_any_other_difference_of_shape_does_not(trained: nn.Sequential) -> None:
    asked: list[int | None] = []

    def build(classes: int | None) -> nn.Module:
        asked.append(classes)
        return network()

    state = trained.state_dict()
    state["0.weight"] = torch.ones(4, 1, 3, 3)
    with pytest.raises(WeightsError, match=r"0\.weight is 4×1×3×3, should be 4×3×3×3"):
        build_to_fit(build, state, "w.pt")
    assert asked == [None]
