"""All stages on a device that is not the CPU: the same study, and the host hardly ever waits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch.utils.backend_registration

import torchlurk as tl
from tests.pretended_device import BROUGHT, NAME, SENT
from tests.stages.on_another_device import BLURRED, FAMILIES, explained, gates, halved, read, scanned, whole
from torchlurk.models.loading.extras import import_torchvision

CLOSE = 1e-5
"""Sums are added in another order on another device, in float32."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not hasattr(torch.utils.backend_registration, "_setup_privateuseone_for_python_backend"),
        reason="this torch takes no device that is written in Python",
    ),
    pytest.mark.skipif(not import_torchvision(), reason="needs torchvision"),
]


@pytest.fixture(scope="module")
def there(tmp_path_factory):
    """The folder of the studies that were made on the device, and what was found out besides."""
    folder = tmp_path_factory.mktemp("there")
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(root), *sys.path]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.stages.on_another_device", str(folder)]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder, json.loads((folder / "found.json").read_text("utf-8"))


def numbers(study):
    table = study.units()
    return {name: table[name] for name in table.columns if not name.startswith("synthesis")}


def assert_alike(one, other, tolerance):
    """Names and whole numbers are the same; others differ by no more than `tolerance` of the largest, or of 1."""
    for name, values in one.items():
        if any(isinstance(value, float) for value in values):
            first, second = (np.array([np.nan if value is None else value for value in some]) for some in (values, other[name]))
            most = tolerance * np.nanmax(np.abs(first), initial=1)
            assert np.allclose(first, second, rtol=0, atol=most, equal_nan=True), name
        elif tolerance <= CLOSE:
            assert list(values) == list(other[name]), name


@pytest.mark.parametrize("family", FAMILIES)
def test_scan_attributions_and_syntheses_are_those_of_the_cpu(there, tmp_path, family):
    assert_the_same(whole(tmp_path / "cpu.lurk", family, "cpu"), tl.open(there[0] / f"{family}.lurk"))


@pytest.mark.parametrize("family", FAMILIES)
def test_so_are_those_of_two_devices_at_once(there, tmp_path, family):
    cpu = whole(tmp_path / "cpu.lurk", family, "cpu", count=300)
    assert_the_same(cpu, tl.open(there[0] / f"{family}-on-two.lurk"))


def test_a_scan_uses_all_devices_of_a_kind(there, tmp_path):
    assert there[1]["used"] == [0, 1]
    assert_alike(numbers(scanned(tmp_path / "cpu.lurk", "cpu", 300)), numbers(tl.open(there[0] / "on-all.lurk")), CLOSE)


def assert_the_same(*studies):
    assert_alike(*map(numbers, studies), CLOSE)
    units = [f"{layer.name}:3" for layer in studies[0].layers]
    for unit in units:
        here, elsewhere = (study.unit(unit) for study in studies)
        pairs = list(zip(here.attributions(), elsewhere.attributions(), strict=True))
        assert pairs or here.statistics["min"] == here.statistics["max"]
        for one, other in pairs:
            assert (one.method, one.exemplar.example) == (other.method, other.exemplar.example)
            # One level of the 255 that are stored.
            assert np.abs(one.values - other.values).max() <= np.abs(one.values).max() / 127 + 1e-12
            assert one.exemplar.recall == pytest.approx(other.exemplar.recall, abs=1e-3, nan_ok=True)
        for one, other in zip(here.syntheses(), elsewhere.syntheses(), strict=True):
            # A convolution is computed in another order on the CPU, and each of the three steps starts where the last ended.
            assert one.record.activation == pytest.approx(other.record.activation, rel=1e-2, abs=1e-4)


@pytest.mark.parametrize(("precision", "rounding"), [("bf16", 4e-3), ("fp16", 5e-4)])
def test_in_half_precision_too(there, tmp_path, precision, rounding):
    studies = scanned(tmp_path / "cpu.lurk", "cpu", precision=precision), tl.open(there[0] / f"{precision}.lurk")
    found = map(numbers, studies)
    # One unit in the last place is `rounding` of a number; what is strongest, and a ratio of two such, may change by it.
    names = ("mean", "std", "max", "min", "best_score")
    assert_alike(*({name: one[name] for name in names} for one in found), rounding)


def test_a_batch_is_sent_in_two_copies_and_nothing_is_waited_for(there):
    few, more = (Counter(there[1]["counts"][count]) for count in ("8", "24"))
    # The pictures, and which examples they are of; the four batches more are of the same shard.
    assert more - few == {SENT: 2 * 4}


def test_texts_give_what_they_give_on_the_cpu_with_tokens_and_kept_steps(there, tmp_path):
    cpu = read(tmp_path / "cpu.lurk", "cpu")
    for name in ("read", "read-host"):
        study = tl.open(there[0] / f"{name}.lurk")
        assert_alike(numbers(cpu), numbers(study), CLOSE)
        for example in (0, 23):
            kept, expected = (one["rnn"].steps(example) for one in (study, cpu))
            assert kept.meaning.zero == expected.meaning.zero
            assert np.abs(kept.levels.astype(int) - expected.levels).max() <= 1
        for unit in ("rnn:0", "rnn:5", "head:3"):
            found, expected = (one.unit(unit).tokens() for one in (study, cpu))
            for way in ("state", "change"):
                pairs = list(zip(found[way].highest, expected[way].highest, strict=True))
                assert [(one.token, one.count) for one, _ in pairs] == [(one.token, one.count) for _, one in pairs]
                assert max(abs(one.value - other.value) for one, other in pairs) < CLOSE


def test_of_a_batch_of_texts_only_the_kept_steps_come_back(there):
    few, more = (Counter(there[1]["texts"][count]) for count in ("24", "40"))
    # The token ids, which examples they are of, and the place of each token among the frequent ones; a layer's kept steps.
    assert more - few == {SENT: 3 * 4, BROUGHT: 4}


@pytest.mark.parametrize(("layer", "most"), [("first", 20), ("head", 12)])
def test_passes_are_of_hundreds_of_units(there, layer, most):
    passes = there[1]["passes"][layer]
    # 256 units with two exemplars by each ranking, 64 units at first, then 128: those of a ranking are in one pass, and others
    # measure the evidence.
    assert len(passes["attribute"]) <= most
    # A step of all units, and what they reach under five changes and without.
    assert [width for width in passes["synthesize"] if width > 4] == [256] * 7


def test_gates_are_counted_there_without_a_wait(there):
    counts, copies = there[1]["gates"]
    expected, _ = gates("cpu")
    assert copies == {}
    assert counts.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(counts[name], values, rtol=1e-12)


def test_batches_that_do_not_fit_are_halved_and_the_study_has_their_size(there, tmp_path):
    assert there[1]["batch size"] == 2
    assert_alike(numbers(halved(tmp_path / "cpu.lurk", "cpu")), numbers(tl.open(there[0] / "halved.lurk")), CLOSE)


def test_what_is_computed_in_float64_is_with_the_host_where_a_device_has_none(there, tmp_path):
    assert_the_same(whole(tmp_path / "cpu.lurk", "mobilenet", "cpu", **BLURRED), tl.open(there[0] / "host.lurk"))


@pytest.mark.parametrize("way", ["explained", "explained without float64"])
@pytest.mark.parametrize("family", FAMILIES)
def test_pictures_are_explained_as_on_the_cpu(there, family, way):
    said, here = leaves(there[1][way][family]), leaves(explained(there[0] / f"{family}.lurk", family, "cpu"))
    assert said.keys() == here.keys()
    measured = {at for at, value in here.items() if isinstance(value, float)}
    assert {at: said[at] for at in measured} == pytest.approx(
        {at: here[at] for at in measured}, rel=1e-4, abs=1e-5, nan_ok=True
    )
    assert {at: said[at] for at in here.keys() - measured} == {at: here[at] for at in here.keys() - measured}


def leaves(document, path=""):
    """What a document says, by where."""
    if not isinstance(document, (dict, list, tuple)):
        return {path: document}
    members = document.items() if isinstance(document, dict) else enumerate(document)
    return {at: value for name, one in members for at, value in leaves(one, f"{path}/{name}").items()}


def test_a_device_of_another_backend_is_taken_by_its_name(there):
    assert there[1]["chosen"] == NAME
