"""Units and layers as matplotlib figures, without pyplot and without anything global changed."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.patches import Rectangle
from PIL import Image

from torchlurk.input_records import SeriesExample, TextExample
from torchlurk.plotting import plot_layer, plot_steps, plot_unit
from torchlurk.records import Class, Exemplar, Layer, Ranking, UnitRecord
from torchlurk.rendering.colour import LIGHT
from torchlurk.rendering.text import Steps

LAYER = Layer("features.3", "Conv2d", "spatial", 16, (8, 8), receptive_field=(11, 11), stride=(2, 2), read_after=("relu",))
CLASSES = [Class(i, f"n{i}", f"price in $ or $$, class {i}") for i in range(12)]
STATISTICS = {"mean": 0.5, "std": 1.0, "max": 10.0, "min": 0.0, "fraction_active": 0.3, "selectivity": 0.7}


def picture(example: int) -> Image.Image:
    return Image.new("RGB", (64, 48), (20 * example % 256, 90, 90))


def record(k: int = 4) -> UnitRecord:
    placed = tuple(Exemplar(i, i, f"{i}.png", f"class {i}", 9.0 - i, (1, 1), (i, 2, i + 11, 13), 0.8) for i in range(k))
    plain = tuple(Exemplar(i, i, f"{i}.png", f"class {i}", 9.0 - i) for i in range(k))
    values = np.linspace(5, -1, 12).astype(np.float32)
    sample = np.linspace(0, 9, 50).astype(np.float32)
    return UnitRecord(LAYER, 7, STATISTICS, {"max": placed, "mean": plain}, {"max": values, "mean": values}, sample)


def test_each_exemplar_is_drawn_with_its_box_in_input_pixels() -> None:
    figure = plot_unit(record(), CLASSES, picture)
    frames = [patch for axes in figure.axes for patch in axes.patches if isinstance(patch, Rectangle) and not patch.get_fill()]
    assert [frame.get_bbox().extents.tolist() for frame in frames] == [[i, 2, i + 11, 13] for i in range(4)]
    assert sum(bool(axes.images) for axes in figure.axes) == 8


def test_class_bars_have_the_lengths_of_their_values() -> None:
    figure = plot_unit(record(), CLASSES, picture)
    widths = [[bar.get_width() for bar in axes.patches] for axes in figure.axes if len(axes.get_yticklabels()) == 12]
    assert len(widths) == 2
    np.testing.assert_allclose(widths[0], np.linspace(5, -1, 12), rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("k", [0, 1, 20])
def test_records_that_hold_little_or_much_are_drawn(k: int) -> None:
    bare = replace(record(k), classes={}, sample=np.zeros(0, np.float32))
    for one in (record(k), bare):
        assert plot_unit(one, CLASSES, lambda i: None)._repr_png_().startswith(b"\x89PNG")


def test_a_layer_is_one_picture_with_a_tile_for_each_unit() -> None:
    examples = np.arange(40, dtype=np.int64)[:, None]
    ranking = Ranking(np.ones((40, 1), np.float32), examples, None, None)
    figure = plot_layer(LAYER, ranking, picture, (48, 64), columns=16)
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["0", "16", "32"]
    assert figure._repr_png_().startswith(b"\x89PNG")


def in_steps(example: TextExample | SeriesExample, trace: list[float]) -> tuple[UnitRecord, Steps]:
    exemplars = {
        "max": (Exemplar(0, 4, "a.txt", None, 1.0, (2,), reach=(0, 3)),),
        "mean": (Exemplar(0, 4, "a.txt", None, 0.2),),
    }
    unit = replace(record(), layer=Layer("rnn.l0", "LSTM", "sequence", 8, (5,)), exemplars=exemplars)
    return unit, Steps({4: example}, {4: np.array(trace, np.float32)})


def test_a_text_has_each_token_on_the_colour_of_its_value_in_its_own_cells() -> None:
    text = TextExample(("a", "b", "$", "d", "狐"), (), (0, 5))
    unit, steps = in_steps(text, [1, -1, 0.5, 1, 1])
    figure = plot_steps(unit, CLASSES, steps, "texts")
    first = figure.axes[0]
    (blocks,) = first.collections
    places = [path.get_extents().extents.round(2).tolist() for path in blocks.get_paths()]
    assert [place[0] for place in places] == [0, 1, 2, 2, 3, 4], "grounds, an outline at the strongest, lines after it"
    colours = (blocks.get_facecolor()[:, :3] * 255).round().astype(int).tolist()
    assert colours[:2] == [list(LIGHT.accent), list(LIGHT.opposite)]
    assert {(one.get_text(), one.get_position()[0]) for one in first.texts} >= {("$", 2), ("d", 3), ("狐", 4)}
    assert any("maximum on 50 texts" in axes.get_title(loc="left") for axes in figure.axes)


def test_a_series_has_a_line_a_channel_its_reach_and_a_band() -> None:
    series = SeriesExample(np.arange(10, dtype=np.float32).reshape(5, 2), ("", ""), (1, 5))
    unit, steps = in_steps(series, [1, -1, 0.5, 1, 1])
    figure = plot_steps(unit, CLASSES, steps, "series")
    first = figure.axes[0]
    channels = [line.get_ydata() for line in first.lines if len(line.get_ydata()) == 5]
    assert len(channels) == 2
    assert all((np.diff(heights) < 0).all() for heights in channels), "the axis points down"
    assert first.patches[0].get_bbox().extents.tolist() == [0, 0, 3, 2]
    assert np.asarray(first.images[0].get_array()).shape == (1, 5, 3)
    assert figure._repr_png_().startswith(b"\x89PNG")


@pytest.mark.parametrize("example", [TextExample((), (), (0, 0)), SeriesExample(np.zeros((0, 0), np.float32), (), (0, 0))])
def test_sequences_that_hold_nothing_are_drawn(example: TextExample | SeriesExample) -> None:
    unit, steps = in_steps(example, [])
    for one in (steps, Steps({}, {}), Steps(steps.examples, {})):
        assert plot_steps(unit, [], one, "texts")._repr_png_().startswith(b"\x89PNG")


def test_drawing_changes_no_setting_and_opens_no_window() -> None:
    before = dict(mpl.rcParams)
    plot_unit(record(), CLASSES, picture)._repr_png_()
    assert dict(mpl.rcParams) == before
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()


def test_without_matplotlib_it_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "from torchlurk.errors import MissingExtraError\n"
        "try:\n    import torchlurk.plotting\n"
        "except MissingExtraError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'torchlurk[plot]'" in done.stdout
