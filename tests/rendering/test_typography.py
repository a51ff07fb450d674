"""Text fits where it is put, and covers the writing of Europe without any font of the machine."""

# Tolerances are of whole pixels.

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from torchlurk.rendering import typography
from torchlurk.rendering.typography import ELLIPSIS, SHIPPED, Style, clean, fitted, width, write

STYLE = Style("text", 13)


@pytest.mark.slow
@given(text=st.text(max_size=30), most=st.floats(20, 300), lose=st.sampled_from(["end", "middle"]))
@settings(max_examples=25, deadline=None)
def test_fitted_text_fits(text: str, most: float, lose: str) -> None:
    shown = fitted(text, STYLE, most, lose=lose)  # type: ignore[arg-type]
    assert width(shown, STYLE) <= most
    assert shown == clean(text) or ELLIPSIS in shown


def test_text_that_fits_is_left_alone_and_as_much_as_possible_is_kept() -> None:
    assert fitted("golf ball", STYLE, 1000) == "golf ball"
    shown = fitted("a" * 200, STYLE, 100)
    assert shown.endswith(ELLIPSIS)
    assert width("a" * len(shown) + ELLIPSIS, STYLE) > 100


def test_an_address_loses_its_middle_and_keeps_its_ends() -> None:
    shown = fitted("a" * 100 + ":17", Style("address", 13), 120, lose="middle")
    assert shown.startswith("aa")
    assert shown.endswith(":17")


@pytest.mark.parametrize("text", ["Žluťoučký kůň", "Ελληνικός", "Сибирский хаски", "São Tomé ñandú ß ø œ", "× − – … ≥ → ·"])
@pytest.mark.parametrize("face", ["text", "strong", "address"])
def test_european_writing_comes_from_the_shipped_typefaces(text: str, face: typography.Face) -> None:
    for character in text:
        source = typography._source(character, face)
        assert source in SHIPPED.values()
        assert typography._has(source, character)


def test_a_decomposed_name_is_drawn_composed() -> None:
    assert clean(unicodedata.normalize("NFD", "école")) == "école"
    assert clean("one\ntwo\tthree\x00\ud800") == "one two three  "


@pytest.mark.parametrize("text", ["", "キツネ", "ثعلب", "🦊", "\u0301", "\uffff", "\ud800", "\u200d"])
def test_any_text_can_be_drawn_whatever_fonts_there_are(text: str) -> None:
    image = Image.new("RGB", (100, 40))
    write(ImageDraw.Draw(image), (5, 30), text, STYLE, (255, 255, 255), align="centre")


@pytest.mark.parametrize(("align", "before"), [("left", 0.0), ("right", 1.0), ("centre", 0.5)])
def test_text_begins_ends_or_is_centred_where_asked(align: str, before: float) -> None:
    image, style = Image.new("RGB", (140, 40)), Style("text", 15)
    write(ImageDraw.Draw(image), (70, 30), "H" * 4, style, (255, 255, 255), align=align)  # type: ignore[arg-type]
    left, _, right, bottom = image.getbbox() or (0, 0, 0, 0)
    across = width("H" * 4, style)
    assert bottom == 30, "the letters stand on the base line"
    assert left == pytest.approx(70 - before * across, abs=2.5)
    assert right == pytest.approx(70 + (1 - before) * across, abs=2.5)
