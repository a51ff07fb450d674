"""Units and layers as matplotlib figures, without pyplot and without anything global changed."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import Rectangle
from PIL import Image

import torchlurk as tl
from torchlurk.frames import Column, Table, texts
from torchlurk.input_records import SeriesExample, TextExample
from torchlurk.plotting import LayerFacts, plot_layer, plot_layer_in_steps, plot_steps, plot_study, plot_unit
from torchlurk.plotting.figures import PictureFigure
from torchlurk.plotting.layers import outstanding
from torchlurk.records import Class, Exemplar, Layer, UnitRecord
from torchlurk.rendering import labels
from torchlurk.rendering.colour import LIGHT
from torchlurk.rendering.low_end import LOWEST
from torchlurk.rendering.text import Steps
from torchlurk.track_records import Known, Track, TrackScores, strength, strengths

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


def test_a_figure_tells_of_ties_and_shows_where_a_unit_is_lowest() -> None:
    unit, steps = in_steps(TextExample(tuple("abcde"), (), (0, 5)), [1, -1, 0.5, 1, 1])
    low = replace(unit, statistics=unit.statistics | {"min": -1.0, "max": 1.0})
    same = tuple(Exemplar(rank, 4, "a.txt", None, 1.0, (2,)) for rank in range(2))
    written = [one.get_text() for one in plot_steps(replace(low, exemplars={"max": same}), CLASSES, steps, "texts").texts]
    assert f"Strongest by maximum ({labels.TIED})" in written
    assert any(one.startswith(LOWEST) for one in written)
    assert "1   −1.000   step 1   a.txt" in written
    others = [one.get_text() for one in plot_steps(unit, CLASSES, steps, "texts").texts]
    assert not any(one.startswith(LOWEST) or labels.TIED in one for one in others)


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


KNOWN = (
    Known(Track("quotes", "auc", False, 90), 0.9, 0.6),
    Known(Track("digit", "auc", True, 90), 0.3, 0.8),
    Known(Track("column", "r", False, 90), -0.75, 0.25),
)


def test_what_a_unit_knows_is_drawn_from_chance_to_perfect_beside_an_untrained_one() -> None:
    unit, steps = in_steps(TextExample(("a", "b"), (), (0, 2)), [1, -1])
    figure = plot_steps(replace(unit, knows=KNOWN), CLASSES, steps, "texts")
    (axes,) = (one for one in figure.axes if one.get_title(loc="left") == "What it knows")
    assert [label.get_text() for label in axes.get_yticklabels()] == ["column", "quotes", "digit*"], "the clearest first"
    np.testing.assert_allclose([bar.get_width() for bar in axes.patches], [0.75, 0.8, 0.4])
    lines = [line.get_segments()[0][0, 0] for line in axes.collections]
    np.testing.assert_allclose(lines, [0.25, 0.2, 0.6])
    assert [one.get_text() for one in axes.texts] == ["|r| 0.75, falls", "AUC 0.90", "AUC 0.70, lower"]


def written_places(figure: PictureFigure) -> list[tuple[str, tuple[float, float, float, float]]]:
    """Everything that is written, with its place in dots; slanted names, whose corners reach into each other, are left out."""
    FigureCanvasAgg(figure).draw()
    framed = [axes for axes in figure.axes if axes.axison]
    axes_of = [axis for axes in framed for axis in (axes.xaxis, axes.yaxis)]
    shown = [(tick, sorted(axis.get_view_interval())) for axis in axes_of for tick in axis.get_major_ticks()]
    inside = [tick for tick, (low, high) in shown if low <= tick.get_loc() <= high]
    ticks = [one for tick in inside for one in (tick.label1, tick.label2) if one.get_visible()]
    ticks += [axis.label for axis in axes_of]
    own = [one for axes in framed for one in [*axes.texts, axes._left_title]]
    found = [one for one in [*figure.texts, *own, *ticks] if one.get_text().strip() and one.get_rotation() in (0, 90)]
    return [(one.get_text(), tuple(one.get_window_extent().extents)) for one in found]


def overlaps(figure: PictureFigure) -> list[tuple[str, str]]:
    places = written_places(figure)
    return [
        (one, other)
        for index, (one, (x0, y0, x1, y1)) in enumerate(places)
        for other, (u0, v0, u1, v1) in places[index + 1 :]
        if min(x1, u1) - max(x0, u0) > 1 and min(y1, v1) - max(y0, v0) > 1
    ]


def test_nothing_that_is_written_of_a_unit_overlaps() -> None:
    recalled = tuple(replace(one, recall=0.9999, score=-1.234e-9) for one in record(9).exemplars["max"])
    more = STATISTICS | {"shut": 0.123, "open": 0.456, "half_life": 1234.5}
    wide = replace(record(9), exemplars={"max": recalled}, statistics=more, knows=KNOWN)
    assert overlaps(plot_unit(wide, CLASSES, picture)) == []


def facts(channels: int = 12, **columns: Column) -> LayerFacts:
    """A layer whose last unit is dead."""
    numbers = np.linspace(0, 1, channels)
    given = {
        "max": Column("float", 10 * numbers),
        "fraction_active": Column("float", numbers[::-1].copy()),
        "dead": Column("bool", np.arange(channels) == channels - 1),
        "starred": Column("bool", np.arange(channels) == 0),
        "name": texts(["wheels", *[None] * (channels - 1)]),
        **columns,
    }
    return LayerFacts(replace(LAYER, channels=channels), Table(given, channels))


def selective(channels: int = 12) -> LayerFacts:
    values = np.sin(np.arange(channels)) / 2 + 0.5
    classes = texts(f"class {channel % 3}" for channel in range(channels))
    found = facts(channels, selectivity=Column("float", values), best_class=classes)
    return replace(found, telling=np.where(found.units["dead"], np.nan, values))


def scores(channels: int = 12) -> tuple[TrackScores, ...]:
    rng = np.random.default_rng(0)
    return tuple(
        TrackScores(one.track, *rng.random((2, channels)).astype(np.float32) * np.float32([[1], [0.5]])) for one in KNOWN
    )


def test_units_stand_out_by_what_they_know_or_how_selective_or_strong_they_are() -> None:
    by_class = selective()
    values = np.where(by_class.units["dead"], -1, by_class.units["selectivity"])
    assert outstanding(by_class).channels == np.argsort(-values)[:9].tolist()
    assert outstanding(facts()).channels == [10, 9, 8, 7, 6, 5, 4, 3, 2], "the dead unit is none of them"
    knowing = replace(by_class, scores=scores())
    found = outstanding(knowing)
    first = {one.track.name: strength(one.track.measure, float(one.trained[found.channels[0]])) for one in knowing.scores}
    name, value = found.words[0].split(" (")
    assert float(value[:-1].split()[1]) == round(first[name], 2)


def test_a_layer_is_drawn_with_the_units_that_stand_out_and_how_all_are_spread() -> None:
    asked: list[int] = []
    figure = plot_layer(selective(), lambda channel: asked.append(channel) or picture(channel))
    assert asked == outstanding(selective()).channels
    titles = {axes.get_title(loc="left"): axes for axes in figure.axes if axes.axison}
    assert list(titles) == ["Selectivity", "Active positions", "Classes that units prefer"]
    assert sum(bar.get_height() for bar in titles["Selectivity"].patches) == 11, "the dead unit is not counted"
    assert [bar.get_width() for bar in titles["Classes that units prefer"].patches] == [4, 4, 3]
    assert all(axes.get_xlabel() for axes in titles.values())
    assert any("12 units     1 dead     1 starred" in one.get_text() for one in figure.texts)
    assert overlaps(figure) == []


def test_a_layer_of_texts_is_drawn_with_what_its_units_know_and_gates_as_they_saturate() -> None:
    share = np.linspace(0, 0.5, 12)
    gates = replace(
        selective(),
        scores=scores(),
        units=Table(
            selective().units._columns
            | {name: Column("float", share) for name in ("shut", "open")}
            | {"half_life": Column("float", np.geomspace(1, 5000, 12))},
            12,
        ),
    )
    text = TextExample(tuple("some words of a text"), (), (0, 20))
    exemplar = Exemplar(0, 4, "a.txt", None, 1.0, (2,), reach=(0, 3))
    trace = np.linspace(-1, 1, 20).astype(np.float32)
    figure = plot_layer_in_steps(gates, lambda channel: (exemplar, Steps({4: text}, {4: trace})))
    titles = {axes.get_title(loc="left"): axes for axes in figure.axes if axes.axison}
    assert list(titles) == [
        "What its units know",
        "Selectivity",
        "Gates: how often shut and open",
        "Memory",
        "Classes that units prefer",
    ]
    (dots,) = (line for line in titles["Gates: how often shut and open"].lines if line.get_marker() == ".")
    assert dots.get_xdata()[:11].tolist() == share[:11].tolist()
    assert sum(bar.get_height() for bar in titles["Memory"].patches) == 11
    best = int(np.argmax(strengths("auc", scores()[0].trained)))
    assert titles["What its units know"].texts[0].get_text().startswith(f"unit {best}: AUC")
    assert overlaps(figure) == []


def test_a_study_is_drawn_with_a_row_a_layer() -> None:
    layers = [
        replace(selective(channels), layer=replace(LAYER, name=f"layer{index}"), scores=scores(channels) if index else ())
        for index, channels in enumerate((12, 30, 8))
    ]
    figure = plot_study("a.lurk", "model", layers)
    titles = {axes.get_title(loc="left"): axes for axes in figure.axes}
    assert list(titles) == ["Selectivity", "Active positions", "Dead units", "What the best unit knows"]
    first = titles["Selectivity"]
    assert [label.get_text() for label in first.get_yticklabels()] == ["layer0", "layer1", "layer2"]
    assert [axes.get_ylim() for axes in titles.values()] == [(2.5, -0.5)] * 4, "the first layer is at the top"
    medians = [float(line.get_xdata()[0]) for line in first.lines]
    np.testing.assert_allclose(medians, [np.nanmedian(one.alive("selectivity")) for one in layers])
    assert [one.get_text() for one in titles["Dead units"].texts] == ["1 of 12", "1 of 30", "1 of 8"]
    known = [one.get_text() for one in titles["What the best unit knows"].texts]
    best = [max(strengths(one.track.measure, one.trained)) for layer in layers for one in layer.scores]
    assert known == [f"{value:.2f}" for value in best]
    assert overlaps(figure) == []


@pytest.mark.slow
@pytest.mark.parametrize("layers", [0, 1, 161])
def test_studies_of_few_and_many_layers_are_drawn(layers: int) -> None:
    figure = plot_study("a.lurk", "model", [facts(2)] * layers)
    assert figure.get_figheight() < 26
    assert figure._repr_png_().startswith(b"\x89PNG")


@pytest.mark.slow
def test_studies_draw_themselves_and_their_layers(demo, sequences) -> None:
    for path in (demo, *sequences.values()):
        with tl.open(path) as study:
            names = [axes.get_yticklabels()[0].get_text() for axes in study.plot().axes[:1]]
            assert names == [study.layers[0].name]
            for layer in (study.layers[0], study.layers[-1]):
                assert layer.plot()._repr_png_().startswith(b"\x89PNG")


@pytest.mark.slow
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
