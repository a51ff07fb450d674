"""Attributions drawn three ways, beside the image and its box, and under the exemplars they are of."""

from __future__ import annotations

import io
import math
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from torchlurk.records import Attribution, Exemplar, MethodCheck
from torchlurk.rendering import labels
from torchlurk.rendering.attributions import Attributed, attribution_rows
from torchlurk.rendering.colour import signed
from torchlurk.rendering.contact_sheet import CONTENT, contact_sheet
from torchlurk.rendering.levels import levels

BOX = (10, 20, 42, 44)
SCALE = 0.5


def made(rank=0, method="guided", ranking="max", kept=0.4, check=None, whole=True, values=None, levelled=False):
    numbers = np.linspace(-SCALE, SCALE, 24 * 32 * 3).reshape(24, 32, 3) if values is None else values
    pixels, scale = levels(numbers) if levelled else (signed(numbers, scale=SCALE), SCALE)
    picture = Image.fromarray(pixels)
    image = Image.new("RGB", (64, 64), (200, 30, 40)) if whole else None
    exemplar = Exemplar(rank, rank, "c/a.png", "class", 3.0, (1, 2), BOX, 1.0)
    record = Attribution(ranking, rank, method, BOX, "", scale, kept)
    return Attributed(record, exemplar, picture, image, (64, 64), check, levelled)


def test_shares_of_an_activation_next_to_nothing_are_not_told():
    one = made(kept=46.13)
    faint = replace(one, exemplar=replace(one.exemplar, faint=True))
    assert one.evidence()[-1] == "top tenth keeps 4613 %"
    assert faint.evidence()[-1] == labels.FAINT


def test_the_stored_levels_are_numbers_again_and_are_drawn_up_to_their_scale():
    values = np.random.default_rng(0).standard_normal((24, 32, 3)).astype(np.float32)
    values[3, 4] = 20.0
    one = made(values=values, levelled=True)
    assert np.linalg.norm(one.values - values) < 0.02 * np.linalg.norm(values)
    drawn = np.asarray(one.image()).astype(float)
    assert np.abs(drawn - (np.clip(values / one.record.scale, -1, 1) * 127 + 127.5)).max() <= 2


def test_even_steps_of_earlier_studies_are_numbers_again():
    one = made()
    assert one.values.shape == (24, 32, 3)
    assert np.allclose(one.values, np.linspace(-SCALE, SCALE, 24 * 32 * 3).reshape(24, 32, 3), atol=SCALE / 100)
    assert one.image() is one.stored


def test_a_magnitude_is_dark_where_the_attribution_is_nothing_whatever_its_sign():
    values = np.zeros((24, 32, 3))
    values[3, 4], values[9, 8] = -SCALE, SCALE
    drawn = np.asarray(made(values=values).image("magnitude")).astype(int)
    assert drawn[3, 4] == drawn[9, 8] == 255
    assert drawn[0, 0] == 0


def test_an_overlay_shows_the_image_where_the_attribution_is_and_fades_it_elsewhere():
    values = np.zeros((24, 32, 3))
    values[:12] = SCALE
    drawn = np.asarray(made(values=values).image("overlay")).astype(int)
    assert np.abs(drawn[4, 16] - (200, 30, 40)).max() <= 2
    assert (drawn[22, 16] > (220, 180, 180)).all()


def test_without_the_image_an_overlay_is_a_magnitude():
    one = made(whole=False)
    assert np.array_equal(np.asarray(one.image("overlay")), np.asarray(one.image("magnitude")))
    assert one.picture().size == made().picture().size


def test_the_evidence_is_said_and_what_is_not_known_left_out():
    marked = made(check=MethodCheck("guided", 0.31, True))
    assert marked.evidence() == [
        "activation 3.000",
        "recall 100 %",
        "top tenth keeps 40 %",
        "shows the image, not the unit: similarity 0.3100 with random weights below",
    ]
    assert len(made(kept=math.nan).evidence()) == 2


def test_a_notebook_draws_it():
    assert Image.open(io.BytesIO(made()._repr_png_())).size == made().picture().size


def test_rows_are_by_ranking_and_method_and_make_the_sheet_higher(make_record, make_classes, make_picture):
    found = [made(rank, method, ranking) for ranking in ("max", "mean") for method in ("deconv", "guided") for rank in (0, 1)]
    rows = attribution_rows(found)
    assert {ranking: len(own) for ranking, own in rows.items()} == {"max": 2, "mean": 2}
    assert all(one.width == CONTENT for own in rows.values() for one in own)
    bare = contact_sheet(make_record(), make_classes(12), make_picture(), (64, 64))
    full = contact_sheet(make_record(), make_classes(12), make_picture(), (64, 64), beneath=rows)
    assert full.height > bare.height + sum(one.height for own in rows.values() for one in own)


@pytest.mark.parametrize("ranks", [[0], [0, 5], [12]])
def test_ranks_that_are_missing_leave_their_column_empty(ranks):
    rows = attribution_rows([made(rank) for rank in ranks])
    assert len(rows.get("max", [])) == (1 if min(ranks) < 9 else 0)
