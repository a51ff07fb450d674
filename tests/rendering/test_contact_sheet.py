"""The contact sheet shows what the record holds, at the right place, for any record."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from torchlurk.records import Class, Exemplar, Layer, UnitRecord
from torchlurk.rendering import boxes
from torchlurk.rendering import contact_sheet as contact_sheet_module
from torchlurk.rendering.colour import DARK, LIGHT, Theme
from torchlurk.rendering.contact_sheet import CONTENT, GAP, MARGIN, TILE, contact_sheet, heading

Make = Callable[..., Any]


def found_at(sheet: Image.Image, part: Image.Image, left: int) -> list[int]:
    """The rows at which `part` lies on the sheet with its left edge at `left`."""
    pixels, wanted = np.asarray(sheet), np.asarray(part)
    height, across = wanted.shape[:2]
    strip = pixels[:, left : left + across]
    starts = np.flatnonzero((strip[:, :] == wanted[0]).all(axis=(1, 2)))
    return [int(y) for y in starts if y + height <= len(strip) and (strip[y : y + height] == wanted).all()]


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_every_exemplar_is_in_its_column_with_its_box_outlined(make_record: Make, make_classes: Make, theme: Theme) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (9, 64, 64, 3), dtype=np.uint8)
    record = make_record()
    sheet = contact_sheet(record, make_classes(12), lambda i: Image.fromarray(noise[i]), (64, 64), theme=theme)
    scale = TILE / 64
    for column, exemplar in enumerate(record.exemplars["max"]):
        whole = boxes.resized(Image.fromarray(noise[exemplar.example]), (TILE, TILE))
        drawn = boxes.outline(whole, boxes.scaled(exemplar.box, (scale, scale)))
        assert len(found_at(sheet, drawn, MARGIN + column * (TILE + GAP))) == 1
        enlarged = boxes.resized(boxes.crop(Image.fromarray(noise[exemplar.example]), exemplar.box), (TILE, TILE))
        assert len(found_at(sheet, enlarged, MARGIN + column * (TILE + GAP))) == 1


def test_the_same_record_gives_the_same_bytes(make_record: Make, make_classes: Make, make_picture: Make) -> None:
    first, again = (contact_sheet(make_record(), make_classes(12), make_picture(), (64, 64)).tobytes() for _ in range(2))
    assert first == again


def test_a_box_over_the_whole_input_is_not_shown_twice(make_record: Make, make_classes: Make, make_picture: Make) -> None:
    with_boxes = contact_sheet(make_record(), make_classes(12), make_picture(), (64, 64))
    without = contact_sheet(make_record(whole=True), make_classes(12), make_picture(), (64, 64))
    assert with_boxes.height - without.height == TILE + GAP


@pytest.mark.parametrize("k", [0, 1, 3, 9, 25])
@pytest.mark.parametrize(("side", "mode"), [(28, "L"), (32, "RGB"), (224, "RGB")])
def test_any_number_of_exemplars_of_any_size_fits(
    make_record: Make, make_classes: Make, make_picture: Make, k: int, side: int, mode: str
) -> None:
    sheet = contact_sheet(make_record(k=k, side=side), make_classes(12), make_picture(side, mode), (side, side))
    assert sheet.width == CONTENT + 2 * MARGIN


@pytest.mark.parametrize("classes", [0, 1, 1000])
def test_any_number_of_classes_fits(make_record: Make, make_classes: Make, make_picture: Make, classes: int) -> None:
    record = make_record(classes=classes)
    long = [replace(one, label=one.label + " with, a very, long description " * 4) for one in make_classes(classes)]
    assert contact_sheet(record, long, make_picture(), (64, 64)).width == CONTENT + 2 * MARGIN


@pytest.mark.parametrize("size", [(32, 512), (512, 32), (1, 100), (224, 224)])
def test_inputs_that_are_not_square_fit(make_record: Make, size: tuple[int, int]) -> None:
    record = make_record(classes=0, side=32)
    sheet = contact_sheet(record, [], lambda i: Image.new("RGB", (size[1], size[0]), (9, 9, 9)), size)
    assert sheet.width == CONTENT + 2 * MARGIN


def test_pictures_that_are_missing_or_of_another_size_do_no_harm(make_record: Make, make_classes: Make) -> None:
    contact_sheet(make_record(), make_classes(12), lambda i: None, (64, 64))
    contact_sheet(make_record(), make_classes(12), lambda i: Image.new("P", (i + 1, 3)), (64, 64))


def test_a_dead_vector_unit_without_classes_or_responses_is_shown() -> None:
    layer = Layer("a" * 300, "Linear", "vector", 10, ())
    values = {"mean": 0.0, "std": 0.0, "max": 0.0, "min": 0.0, "fraction_active": 0.0, "selectivity": math.nan}
    exemplars = {"max": (Exemplar(0, 0, "", None, 0.0),), "mean": ()}
    dead = UnitRecord(layer, 3, values, exemplars, {})
    alive = replace(dead, statistics={**values, "fraction_active": 0.5})

    def pixels(record: UnitRecord) -> np.ndarray:
        return np.asarray(contact_sheet(record, (), lambda i: None, (8, 8)))[: MARGIN + 40]

    assert not np.array_equal(pixels(dead), pixels(alive)), "the badge is on the sheet"


def test_responses_and_class_means_that_are_undefined_are_left_out(make_record: Make, make_classes: Make) -> None:
    record = make_record(responses=3)
    nothing = {kind: np.full(12, np.nan, np.float32) for kind in ("max", "mean")}
    undefined = replace(record, classes=nothing, sample=np.full(3, np.nan, np.float32))
    full = contact_sheet(record, make_classes(12), lambda i: None, (64, 64))
    assert contact_sheet(undefined, make_classes(12), lambda i: None, (64, 64)).height < full.height


def test_names_in_any_writing_are_drawn(make_record: Make) -> None:
    names = ["キツネ 赤狐", "ثعلب", "Ελληνικός", "Сибирский", "e\u0301cole", "\ud800", "a\nb", "🦊", "", "$x^2$", "<b>", "%s"]
    classes = [Class(i, name, name) for i, name in enumerate(names)]
    contact_sheet(make_record(), classes, lambda i: None, (64, 64))


def test_statistics_beyond_the_first_six_are_on_the_sheet_too(make_record: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    record = make_record()
    gate = replace(record, statistics={**record.statistics, "shut": 0.377, "open": 0.191, "half_life": 0.3004})
    written: dict[str, tuple[float, float]] = {}
    monkeypatch.setattr(contact_sheet_module, "write", lambda draw, place, words, *_, **__: written.update({words: place}))
    plain, found = heading(record, LIGHT), heading(gate, LIGHT)
    assert found.height > plain.height
    for words in ("shut", "37.7 %", "open", "19.1 %", "half-life", "0.3004 steps"):
        left, line = written[words]
        assert 0 <= left < CONTENT, words
        assert line < found.height, words
