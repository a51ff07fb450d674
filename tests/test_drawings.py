"""What is drawn of a study depends on the kind of its data, and everything that is drawn of pictures is drawn of sequences."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import torchlurk
from torchlurk.cli import torchlurk_command
from torchlurk.drawings import BY_KIND
from torchlurk.errors import StudyError
from torchlurk.rendering.contact_sheet import CONTENT, MARGIN
from torchlurk.store.sequences import KINDS

PNG = b"\x89PNG"


@pytest.fixture(params=["text", "series"])
def study(request: pytest.FixtureRequest, sequences: Mapping[str, Path]) -> torchlurk.Study:
    with torchlurk.open(sequences[request.param]) as study:
        yield study


def test_every_kind_is_drawn() -> None:
    assert set(BY_KIND) == set(KINDS)


def test_a_notebook_shows_units_and_layers_of_sequences(study: torchlurk.Study) -> None:
    for shown in (study["rnn.l0"], study["head"], study.unit("rnn.l0:1"), study.unit("rnn.l0.f:2"), study.unit("head:0")):
        assert shown._repr_png_().startswith(PNG)


def test_a_unit_of_sequences_is_plotted(study: torchlurk.Study) -> None:
    assert study.unit("rnn.l0:1").plot()._repr_png_().startswith(PNG)


@pytest.mark.parametrize("what", ["rnn.l0:1", "rnn", "head"])
def test_show_draws_units_and_layers_of_sequences_into_a_file(study: torchlurk.Study, tmp_path: Path, what: str) -> None:
    out = tmp_path / "sheet.png"
    torchlurk_command(["show", str(study.path), what, "--out", str(out)], standalone_mode=False)
    with Image.open(out) as sheet:
        assert sheet.width == CONTENT + 2 * MARGIN


def test_the_strongest_example_of_every_unit_of_a_layer_comes_with_its_values(study: torchlurk.Study) -> None:
    best = study.reader.best_traces("rnn.l0")
    for channel in range(5):
        unit = study.unit(f"rnn.l0:{channel}")
        strongest = unit.exemplars("max")[0]
        example, trace = best[channel]
        assert example == strongest.example
        np.testing.assert_array_equal(trace, unit.steps().traces[example])
        np.testing.assert_allclose(trace[strongest.position[0]], strongest.score, atol=2 * np.ptp(trace) / 255)


def test_an_example_of_a_sequence_is_drawn_and_one_that_is_not_there_is_none(study: torchlurk.Study) -> None:
    assert isinstance(study.picture(3), Image.Image)
    assert study.picture(10**6) is None


def test_only_pictures_have_a_size(study: torchlurk.Study, demo: Path) -> None:
    with pytest.raises(StudyError, match=r"which have steps and no height and width   \(study\.reader\.inputs"):
        _ = study.input_size
    with torchlurk.open(demo) as pictures:
        assert pictures.input_size == tuple(pictures.reader.input_shape()[1:])
