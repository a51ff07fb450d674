import pytest

from torchlurk.errors import UnitError
from torchlurk.units import Unit, matching, whole_number

NAMES = ["features.0", "features.3", "layer1.0.conv1", "layer1.0.conv2", "fc"]


def test_a_unit_is_written_as_it_is_read():
    assert str(Unit.parse("layer3.1.conv2:42")) == "layer3.1.conv2:42"
    assert Unit.parse("act#1:0") == Unit("act#1", 0)
    assert Unit.parse("odd:name:7") == Unit("odd:name", 7)


@pytest.mark.parametrize(
    "text",
    [
        "features.3",
        "features.3:",
        ":3",
        "features.3:-1",
        "features.3:x",
        "features.3:²",
        "",
        "a:" + "9" * 19,
        "a:" + "9" * 5000,
    ],
)
def test_what_is_not_a_unit_is_refused(text):
    with pytest.raises(UnitError, match="write layer:channel"):
        Unit.parse(text)


def test_an_address_that_is_no_text_is_refused_in_words_that_can_be_sent():
    with pytest.raises(UnitError) as told:
        Unit.parse("\ud800:1")
    assert str(told.value).encode()


@pytest.mark.parametrize("address", [3, None, ("fc", 3)])
def test_what_is_no_text_is_no_unit(address):
    with pytest.raises(UnitError, match=r"is not a unit .*write layer:channel"):
        Unit.parse(address)


def test_globs_choose_layers_in_the_order_of_the_model():
    assert matching(["fc", "layer*.conv*"], NAMES) == ["layer1.0.conv1", "layer1.0.conv2", "fc"]


def test_a_glob_that_matches_nothing_names_the_nearest():
    with pytest.raises(UnitError, match=r"featurs\.3.*nearest: features\.3"):
        matching(["fc", "featurs.3"], NAMES)


@pytest.mark.parametrize(
    ("text", "number"),
    [("0", 0), ("007", 7), ("9" * 18, 10**18 - 1), ("9" * 19, None), ("9" * 5000, None), ("", None), ("²", None), ("٣", None)]
    + [(text, None) for text in ("-1", "+1", " 1", "1_0", "1.0", "1e3", "1\n")],
)
def test_only_digits_write_a_whole_number(text, number):
    assert whole_number(text) == number
