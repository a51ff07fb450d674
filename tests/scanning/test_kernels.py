"""The kernels agree with plain torch, also in threads, and plain torch serves where they cannot be had."""

# Tolerances are of float32: a response is right to 6e-8, a mean over a map to 1e-5; sums over examples are in float64.

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from torchlurk import compiled
from torchlurk.scanning import part as parts_module
from torchlurk.scanning.arrivals import Arrivals
from torchlurk.scanning.memory import Running
from torchlurk.scanning.part import LayerPart

LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "positions side by side": lambda maps: maps,
    "units side by side": lambda maps: maps.to(memory_format=torch.channels_last),
}


def scanned(batches: list[Tensor], pool: ThreadPoolExecutor | None = None) -> LayerPart:
    units, positions = batches[0].shape[1], batches[0].shape[2:].numel()
    part, start = LayerPart.empty(units, positions, 9, np.arange(0, 60, 7)), 0
    for batch in batches:
        examples = np.arange(start, start + len(batch))
        part.add(batch, Arrivals(examples, examples // 10), pool)
        start += len(batch)
    return part


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("relu", [True, False])
def test_kernels_and_torch_agree(layout: str, kind: torch.dtype, relu: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba")
    random = torch.Generator().manual_seed(0)
    batches = [torch.randn(6, 21, 13, 11, generator=random).to(kind) for _ in range(10)]
    batches = [LAYOUTS[layout](batch.relu() if relu else batch) for batch in batches]
    fused = scanned(batches).arrays()
    monkeypatch.setattr(parts_module, "fused", lambda: None)
    plain = scanned(batches).arrays()
    assert fused.keys() == plain.keys()
    for name in fused:
        if name == "by_mean.strengths":  # the last bits of a mean are in it
            fused_part, plain_part = LayerPart.from_arrays(fused), LayerPart.from_arrays(plain)
            one, other = fused_part.by_mean.ranking(), plain_part.by_mean.ranking()
            np.testing.assert_array_equal(one.examples, other.examples)
            np.testing.assert_allclose(one.scores, other.scores, rtol=1e-6)
        elif fused[name].dtype.kind == "i":
            np.testing.assert_array_equal(fused[name], plain[name], err_msg=name)
        else:
            np.testing.assert_allclose(fused[name], plain[name], rtol=2e-6, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("ceiling", [6.0, float("inf")])
@pytest.mark.parametrize("shape", [(6, 21, 13, 11), (3, 40, 2, 3), (5, 33), (2, 3, 112, 112)], ids=str)
@pytest.mark.parametrize("fused", [True, False])
def test_clamped_on_the_way_they_are_as_clamped_before(
    shape: tuple[int, ...], ceiling: float, fused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not fused:
        monkeypatch.setattr(parts_module, "fused", lambda: None)
    random = torch.Generator().manual_seed(0)
    units, positions = shape[1], torch.Size(shape[2:]).numel()
    expected, found = (LayerPart.empty(units, positions, 3, np.arange(0, 60, 7)) for _ in range(2))
    with ThreadPoolExecutor(2) as pool:
        for start in range(0, 30, shape[0]):
            maps = 5 * torch.randn(shape, generator=random)
            maps[0, 0] = maps[0, 0] if start else torch.nan
            maps[-1, -1] = torch.inf
            clamped, examples = maps.clamp(0, ceiling), np.arange(start, start + shape[0])
            expected.add(clamped, Arrivals(examples, examples // 10), pool)
            found.add(maps, Arrivals(examples, examples // 10), pool, ceiling)
            torch.testing.assert_close(maps, clamped, rtol=0, atol=0, equal_nan=True)
    for name, array in expected.arrays().items():
        np.testing.assert_array_equal(found.arrays()[name], array, err_msg=name)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_threads_change_not_one_bit(layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kernels = pytest.importorskip("torchlurk.scanning.kernels")
    monkeypatch.setattr(kernels, "WORTH_THREADS", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    batches = [LAYOUTS[layout](torch.randn(8, 70, 9, 9, generator=torch.Generator().manual_seed(i))) for i in range(6)]
    batches[2][3, 40, 5, 5] = torch.nan
    alone = scanned(batches).arrays()
    with ThreadPoolExecutor(3) as pool:
        together = scanned(batches, pool).arrays()
    for name in alone:
        np.testing.assert_array_equal(alone[name], together[name], err_msg=name)


def test_without_numba_plain_torch_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = builtins.__import__

    def refusing(name: str, *rest: Any, **named: Any) -> Any:
        if name.split(".")[0] == "numba":
            raise ImportError(name)
        return usual(name, *rest, **named)

    for name in [name for name in sys.modules if name.split(".")[0] == "numba" or name == "torchlurk.scanning.kernels"]:
        monkeypatch.delitem(sys.modules, name)
    compiled.module.cache_clear()
    monkeypatch.setattr(builtins, "__import__", refusing)
    try:
        assert parts_module.fused() is None
        assert scanned([torch.ones(3, 2, 4)]).by_max.ranking().examples[0, :3].tolist() == [0, 1, 2]
    finally:
        compiled.module.cache_clear()


@pytest.mark.parametrize("rows", [3, 6], ids=["fewer", "more"])
def test_maps_of_another_number_of_examples_are_refused(rows: int) -> None:
    part = LayerPart.empty(4, 9, 2, np.arange(3))
    with pytest.raises((ValueError, TypeError)):  # the second from the annotations, which tests check
        part.add(torch.rand(rows, 4, 3, 3), Arrivals(np.arange(5), np.zeros(5, np.int64)))
    assert part.examples == 0


@pytest.mark.parametrize("wrong", ["examples", "classes", "units", "running"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_compiled_code_refuses_what_lies_outside_of_its_memory(layout: str, wrong: str) -> None:
    kernels = pytest.importorskip("torchlurk.scanning.kernels")
    part, maps = LayerPart.empty(4, 9, 2, np.arange(3)), LAYOUTS[layout](torch.rand(5, 4, 3, 3))
    part.add(maps, Arrivals(np.arange(5), np.full(5, 2)))
    before = part.arrays()["by_max.strengths"].copy()
    running, ready = part._running.copy(), kernels.ready_for(maps.dtype, maps.shape, maps.stride(), None)
    many = 6 if wrong == "examples" else 5
    classes = np.full(4 if wrong == "classes" else many, 2)
    if wrong == "running":
        running[Running._fields.index("units")] = 3
    kernel, fields = ready.kernel, kernels.Layout._fields
    layout = ready.layout.copy()
    if wrong == "units":
        layout[fields.index("units")] = 5
    given = maps.data_ptr(), layout, 0, 4, running, np.arange(many), classes, ready.most
    assert kernel(*given) == kernels.REFUSED
    np.testing.assert_array_equal(part.arrays()["by_max.strengths"], before)


def test_a_place_beyond_the_classes_is_never_written_to() -> None:
    kernels = pytest.importorskip("torchlurk.scanning.kernels")
    part, maps = LayerPart.empty(4, 9, 2, np.arange(3)), torch.rand(5, 4, 3, 3)
    part.add(maps, Arrivals(np.arange(5), np.full(5, 2)))
    part.classes.places[2] = 10**6
    ready = kernels.ready_for(maps.dtype, maps.shape, maps.stride(), None)
    assert kernels.add_maps(maps, np.arange(5), np.full(5, 2), part._running, None, ready) == kernels.NEW_CLASS


def test_a_state_of_other_sizes_is_not_handed_to_kernels() -> None:
    pytest.importorskip("numba")
    part = LayerPart.empty(4, 9, 2, np.arange(3))
    part.moments.sum = torch.zeros(3, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"\(3,\) is where kernels expect \(4,\)"):
        part.add(torch.rand(5, 4, 3, 3), Arrivals(np.arange(5), np.full(5, -1)))
