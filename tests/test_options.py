import dataclasses
import inspect
import json

import numpy as np
import pytest
import torch

import torchlurk
from torchlurk.errors import OptionError, StudyError
from torchlurk.option_values import as_position
from torchlurk.options import AttributeOptions, ComputeOptions, InputOptions, ScanOptions, UnitOptions, fitting, help_of, stored
from torchlurk.units import Unit


@pytest.mark.parametrize(
    ("options", "values", "words"),
    [
        (ScanOptions, {"top": 0}, "--top is 0"),
        (ScanOptions, {"sample": 0}, "--sample is 0"),
        (ScanOptions, {"seed": -1}, "--seed is -1"),
        (InputOptions, {"crop": 0}, "--crop is 0"),
        (InputOptions, {"resize": (32, 0)}, "--resize is"),
        (InputOptions, {"std": (1.0, 0.0, 1.0)}, "--std is"),
        (InputOptions, {"mean": (0.5,), "std": (1.0, 1.0)}, "--std is"),
        (InputOptions, {"mean": (1e31,), "std": (1.0,)}, r"--mean is \(1e\+31,\).*up to 1e\+30 times --std"),
        (InputOptions, {"mean": (1e20,), "std": (1e-20,)}, "--mean is"),
        (InputOptions, {"std": (1e-31,)}, "--std is.*numbers from 1e-30"),
        (InputOptions, {"limit": 0}, "--limit is 0"),
        (InputOptions, {"tokenizer": "syllable"}, "--tokenizer is 'syllable'.*char, word, or"),
        (InputOptions, {"window": 0}, "--window is 0"),
        (InputOptions, {"window": 40, "burn_in": 40}, "--burn-in is 40.*from 0 to 39, less than --window"),
        (InputOptions, {"burn_in": 256}, "--burn-in is 256"),
        (InputOptions, {"burn_in": -1}, "--burn-in is -1"),
        (ComputeOptions, {"batch_size": 0}, "--batch-size is 0"),
        (ComputeOptions, {"workers": -2}, "--workers is -2"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_its_flag(options, values, words):
    with pytest.raises(OptionError, match=words):
        options(**values)


@pytest.mark.parametrize("options", [ScanOptions, InputOptions, ComputeOptions])
def test_every_option_has_its_help(options):
    for one in dataclasses.fields(options):
        assert help_of(one.metadata).endswith(".")


@pytest.mark.parametrize("options", [ScanOptions, InputOptions, ComputeOptions])
def test_every_option_is_a_keyword_of_analyze_with_the_same_default(options):
    keywords = inspect.signature(torchlurk.analyze).parameters
    assert {one.name: keywords[one.name].default for one in dataclasses.fields(options)} == {
        one.name: one.default for one in dataclasses.fields(options)
    }


def test_keywords_of_analyze_reach_their_options(monkeypatch, tmp_path):
    reached = []
    monkeypatch.setattr("torchlurk.analysis.analyze_model", lambda *given, **others: reached.append((given[-2], others)))
    chosen = {"kind": "text", "classes": "c.csv", "input_axes": "tb", "tokenizer": "word", "lowercase": True, "lines": True}
    numbers = {"window": 40, "burn_in": 4, "limit": 3}
    with pytest.raises(StudyError):
        torchlurk.analyze("demo", "a.txt", tmp_path / "s.lurk", **chosen, **numbers, vocabulary={"a": 0})
    ((settings, others),) = reached
    assert settings.inputs == InputOptions(**chosen, **numbers)
    assert (others["class_names"], others["vocabulary"]) == (None, {"a": 0})


def test_keywords_of_analyze_are_taken_as_python_writes_them(monkeypatch, tmp_path):
    reached = []
    monkeypatch.setattr("torchlurk.analysis.analyze_model", lambda *given, **others: reached.append((given, others)))
    numbers = {"mean": [0.5, 0.5], "std": (1.0, 1.0), "crop": [4, 5]}
    words = {"layers": "conv*", "methods": "lrp, guided", "stages": "scan,attribute", "classes": tmp_path, "class_names": ["a"]}
    with pytest.raises(StudyError):
        torchlurk.analyze("demo", "a.txt", tmp_path / "s.lurk", **numbers, **words)
    ((given, others),) = reached
    settings = given[5]
    assert (settings.inputs.mean, settings.inputs.crop, settings.inputs.classes) == ((0.5, 0.5), (4, 5), str(tmp_path))
    assert (settings.scan.layers, settings.attribute.methods) == (("conv*",), ("lrp", "guided"))
    assert (given[4], others["class_names"]) == (["scan", "attribute"], ("a",))


def test_a_keyword_that_is_no_option_is_refused_with_the_nearest(tmp_path):
    with pytest.raises(OptionError, match="no option 'tpo'; nearest: top"):
        torchlurk.analyze("demo", "demo", tmp_path / "s.lurk", tpo=3)


@pytest.mark.parametrize(
    ("options", "name", "value", "fitted"),
    [
        (InputOptions, "mean", 0.5, (0.5,)),
        (InputOptions, "mean", torch.tensor([0.5, 0.25]), (0.5, 0.25)),
        (InputOptions, "mean", torch.full((1, 2, 1, 1), 0.5, requires_grad=True), (0.5, 0.5)),
        (InputOptions, "std", np.array([0.5, 0.25]), (0.5, 0.25)),
        (InputOptions, "std", [torch.tensor(0.5), np.float32(0.25)], (0.5, 0.25)),
        (InputOptions, "resize", 64.0, 64),
        (InputOptions, "crop", torch.Size([4, 5]), (4, 5)),
        (InputOptions, "limit", np.int64(5), 5),
        (InputOptions, "lowercase", np.True_, True),
        (ComputeOptions, "device", torch.device("cuda", 1), "cuda:1"),
        (ComputeOptions, "gpus_per_actor", 1, 1),
        (ScanOptions, "layers", np.array(["a", "b"]), ("a", "b")),
        (UnitOptions, "units", Unit("a", 3), ("a:3",)),
        (AttributeOptions, "methods", "lrp, guided", ("lrp", "guided")),
    ],
)
def test_a_value_that_is_clearly_meant_becomes_of_the_option_s_type(options, name, value, fitted):
    found = fitting(options, name, value)
    assert (found, type(found)) == (fitted, type(fitted))
    assert json.loads(json.dumps(stored(options(**{name: found}))))


@pytest.mark.parametrize(
    ("options", "name", "value", "words"),
    [
        (InputOptions, "mean", "0.5", "--mean is '0.5' .*use a tuple of numbers"),
        (InputOptions, "mean", torch.rand(3, 2), "--mean is tensor.*use a tuple of numbers"),
        (InputOptions, "resize", 64.5, "--resize is 64.5 .*use a whole number or 2 whole numbers"),
        (InputOptions, "resize", (1, 2, 3), "--resize is "),
        (InputOptions, "limit", "5", "--limit is '5' .*use a whole number"),
        (InputOptions, "limit", float("inf"), "--limit is inf"),
        (InputOptions, "limit", True, "--limit is True"),
        (InputOptions, "lines", "no", "--lines is 'no' .*use True or False"),
        (InputOptions, "interpolation", "area", "--interpolation is 'area' .*use nearest, bilinear"),
        (ScanOptions, "top", None, "--top is None .*use a whole number"),
        (ScanOptions, "layers", 3, "--layers is 3 .*use a tuple of texts"),
        (ComputeOptions, "batch_size", {"a": 1}, "--batch-size is"),
    ],
)
def test_a_value_of_another_type_is_refused_by_its_flag_in_one_line(options, name, value, words):
    with pytest.raises(OptionError, match=words) as refused:
        fitting(options, name, value)
    assert "\n" not in str(refused.value)


def test_a_position_may_be_one_number_and_is_refused_where_it_is_none():
    assert [as_position(one) for one in (2, (2,), torch.tensor(2), np.array([1, 2]), None)] == [(2,), (2,), (2,), (1, 2), None]
    with pytest.raises(OptionError, match="--position is '2'"):
        as_position("2")


def test_options_are_stored_as_plain_json_values():
    assert stored(ScanOptions(layers=("a*",)))["layers"] == ["a*"]


def test_inputs_that_are_no_tensor_are_refused_with_how_to_make_one():
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3))
    with pytest.raises(OptionError, match=r"inputs are an ndarray .*give a tensor"):
        inspect.unwrap(torchlurk.attribute)(net, np.zeros((1, 3, 8, 8)), "0:1")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"part": 3}, "part is 3"),
        ({"merged": 3}, "merged is 3"),
        ({"out": 3}, "out is 3"),
        ({"constants": 3}, "constants is 3"),
    ],
)
def test_other_keywords_of_analyze_are_refused_by_their_names(given, words):
    with pytest.raises(OptionError, match=words):
        inspect.unwrap(torchlurk.analyze)("demo", "demo", **{"out": "s.lurk"} | given)
