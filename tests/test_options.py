import dataclasses

import pytest

from torchlurk.errors import OptionError
from torchlurk.options import ComputeOptions, InputOptions, ScanOptions, stored


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
        (InputOptions, {"limit": 0}, "--limit is 0"),
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
        assert one.metadata["help"].endswith(".")


def test_options_are_stored_as_plain_json_values():
    assert stored(ScanOptions(layers=("a*",)))["layers"] == ["a*"]
