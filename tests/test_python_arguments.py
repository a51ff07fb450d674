"""What a program gives to the public functions and methods, and what they refuse: in one line, by its keyword."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import torchlurk as tl
from torchlurk.errors import ChannelError, TorchlurkError, UnitError
from torchlurk.option_values import as_declared
from torchlurk.records import Remark
from torchlurk.study import Study
from torchlurk.views import UnitView


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))


IMAGE = torch.rand(3, 8, 8)


@pytest.fixture
def study(demo: Path):
    with tl.open(demo) as opened:
        yield opened


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: tl.open(3), "path is 3 .*use text or a path"),
        (lambda: tl.open("a\0b"), r"path is 'a\\x00b' .*leave out its character '\\x00'"),
        (lambda: tl.merge(3, out="s.lurk"), "parts is 3 .*use a tuple of texts"),
        (lambda: tl.merge([3], out="s.lurk"), r"parts is \[3\]"),
        (lambda: tl.merge(["a.lurk"], out=None), "out is None"),
        (lambda: tl.drawn("10"), "images is '10' .*use a whole number"),
        (lambda: tl.drawn(10**30), "drawn pictures with seed 0 .*from 1 to 10,000,000 images"),
        (lambda: tl.explain(network(), IMAGE, study=3), "study is 3 .*torchlurk.open returned, or its path"),
        (lambda: tl.explain(network(), IMAGE, weights="w.pt"), "weights is 'w.pt', and the model is a module"),
        (lambda: tl.explain(network(), IMAGE, position=(0, 0)), "position is .*no unit is given"),
        (lambda: tl.explain(network(), IMAGE, std=(1, -1, 1)), "std is .*use positive numbers"),
        (lambda: tl.explain(network(), IMAGE, constants=3), "constants is 3 .*use a dict"),
        (lambda: tl.attribute(network(), IMAGE[None], "0:1", reduce="sum"), "reduce is 'sum' .*use max, mean"),
        (lambda: tl.attribute(network(), IMAGE[None], "0:1", tap="input"), "tap is 'input' .*use activation, output"),
        (lambda: tl.attribute(network(), IMAGE[None], "0:1", method=3), "method is 3 .*use text"),
        (lambda: tl.synthesize(network(), "0:1", size=-1), "size is -1 .*pixels from 1 to 4,096"),
        (lambda: tl.synthesize(network(), "0:1", study=3), "study is 3"),
        (lambda: tl.synthesize(network(), "0:1", steps="5"), "steps is '5' .*use a whole number"),
        (lambda: tl.synthesize(network(), "0:1", seed="a"), "seed is 'a'"),
        (lambda: tl.dream(network(), IMAGE, "0:1", scales="2"), "scales is '2'"),
        (lambda: tl.dream(network(), IMAGE, "0:1", scales=10**30), "scales is 10+ .*from 1 to 64"),
        (lambda: tl.toward(network(), IMAGE, "0:1", distance="far"), "distance is 'far' .*use a number"),
        (lambda: tl.analyze(network(), [], "s.lurk", weights="w.pt"), "weights is 'w.pt', and the model is a module"),
        (lambda: tl.analyze(network(), [], "s.lurk", class_names=[1, "a"]), r"class_names is \[1, 'a'\]"),
        (lambda: tl.analyze(network(), [], "s.lurk", class_names={"a": 1}), "class_names is .*use text or a path or a tuple"),
    ],
)
def test_a_function_refuses_what_is_of_another_type(call: Callable[[], Any], words: str) -> None:
    refused(call, words)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda study: study["blok1"], "no layer 'blok1'.*nearest: block1"),
        (lambda study: study["block1"]["a"], "layer 'block1' has no channel 'a' .*it has 32, counted from 0"),
        (lambda study: study["block1"][32], "layer 'block1' has no channel 32"),
        (lambda study: study["block1"][1.5], "layer 'block1' has no channel 1.5"),
        (lambda study: study["block1"].steps("a"), "example is 'a' .*use a whole number"),
        (lambda study: study.unit("blok1:3"), "blok1.*nearest: block1"),
        (lambda study: study.note("block1:3", name=3), "name is 3 .*use text"),
        (lambda study: study.note("block1:3", starred=3), "starred is 3 .*use True or False"),
        (lambda study: study.units(3), "layers is 3 .*use text or a tuple of texts"),
        (lambda study: study.picture([]), r"example is \[\] .*use a whole number"),
        (lambda study: study.export(3), "folder is 3"),
        (lambda study: study.export("\ud800"), "folder is .*leave out its character"),
        (lambda study: study.export("folder", notes=np.zeros(2)), "notes is array"),
        (lambda study: study.serve("a"), "port is 'a' .*use a whole number"),
        (lambda study: study.serve(host=""), "host is empty"),
        (lambda study: study.serve(weights="w.pt"), "weights is given without model"),
        (lambda study: study.app("a"), "height is 'a'"),
        (lambda study: study.unit("block1:3").exemplars([]), r"by is \[\] .*use text"),
        (lambda study: study.unit("block1:3").exemplars("most"), "no exemplars by 'most' .*available: max"),
        (lambda study: study.unit("block1:3").classes("most"), "no class means by 'most'"),
        (lambda study: study.unit("block1:3").classes(top="a"), "top is 'a'"),
        (lambda study: study.unit("block1:3").classes(top=-1), "top is -1"),
        (lambda study: study.unit("block1:3").attributions("max", []), "method is"),
        (lambda study: study.unit("block1:3").syntheses("lucit"), "no syntheses of block1:3 by 'lucit' .*available: lucid"),
        (lambda study: study.unit("stem.0:3").syntheses("lucid"), "no syntheses of stem.0:3 .*run the stage synthesize"),
        (lambda study: study.unit("block1:3").picture("bright"), "rendering is 'bright' .*use signed, magnitude, overlay"),
        (lambda study: study.unit("block1:3").attributions()[0].picture(3), "rendering is 3"),
        (lambda study: study.reader.statistics(5), "layer is 5 .*use text"),
        (lambda study: study.reader.statistics("blok1"), "no layer 'blok1'.*nearest: block1"),
        (lambda study: study.reader.examples(["x"]), r"indices is \['x'\] .*use a tuple of whole numbers"),
        (lambda study: study.reader.examples([10**6]), "has no example 1000000"),
        (lambda study: study.reader.tokens("3"), "example is '3' .*use a whole number"),
        (lambda study: study.reader.unit(("block1", 3)), "is not a unit .*write layer:channel"),
        (lambda study: study.reader.stored_picture(4), "name is 4 .*use text"),
        (lambda study: study.units().write(3), "path is 3"),
        (lambda study: study.units().to_frame(""), "library is ''"),
    ],
)
def test_a_study_refuses_what_is_of_another_type(study: Study, call: Callable[[Study], Any], words: str) -> None:
    refused(lambda: call(study), words)


def refused(call: Callable[[], Any], words: str) -> None:
    with pytest.raises(TorchlurkError, match=words) as error:
        call()
    assert "\n" not in str(error.value)
    assert "--" not in str(error.value)


def test_a_layer_without_such_a_channel_is_an_index_error_as_of_every_sequence(study: Study) -> None:
    layer = study["block1"]
    with pytest.raises(IndexError):
        layer[32]
    assert issubclass(ChannelError, UnitError)
    assert (layer[-1].address, layer[np.int64(3)].address) == ("block1:31", "block1:3")
    with pytest.raises(ValueError):  # noqa: PT011  what list.index raises
        layer.index("block1:3")


def test_a_unit_is_named_by_itself_too(study: Study) -> None:
    unit = study["block1"][3]
    assert isinstance(unit, UnitView)
    assert study.unit(unit).address == "block1:3"
    assert study.unit(unit).remark == Remark()
    assert str(study.reader.unit_named(unit)) == "block1:3"


def test_an_example_that_no_study_can_hold_has_no_picture(study: Study) -> None:
    assert [study.picture(one) for one in (-1, 10**6, 10**30)] == [None] * 3
    assert study["block1"].steps(10**30) is None


def test_what_is_declared_is_converted_and_the_rest_left_as_it_is() -> None:
    given = []

    class Taking:
        @as_declared
        def numbers(self, count: int, names: list[int], *, weight: float | None = None) -> None:
            given.append((count, names, weight))

    Taking().numbers(torch.tensor(3), names := [1], weight=np.float32(0.5))
    assert given == [(3, [1], 0.5)]
    assert given[0][1] is names
    with pytest.raises(TypeError, match="unexpected keyword argument 'wait'"):
        Taking().numbers(3, [1], wait=3)


WRONG = """
import sys
import numpy as np, torch, torchlurk as tl
from torch import nn
study = tl.open(sys.argv[1])
net = nn.Sequential(nn.Conv2d(3, 4, 3))
image = torch.rand(3, 8, 8)
for call in (
    lambda: tl.explain(3, image),
    lambda: tl.explain(net, 3),
    lambda: tl.explain(net, image, 3),
    lambda: tl.explain(net, [image, None]),
    lambda: tl.dream(net, 3, "0:1"),
    lambda: tl.toward(net, image, 3),
    lambda: tl.toward(net, image, "0:1", objective=3),
    lambda: tl.synthesize(net, "0:1", statistics=3),
    lambda: tl.synthesize(net, "0:1", np.zeros((2, 2))),
    lambda: tl.attribute(net, 3, "0:1"),
    lambda: tl.analyze(3, [image], "s.lurk"),
    lambda: tl.analyze(net, 3, "s.lurk"),
    lambda: tl.analyze(net, [image], "s.lurk", progress=np.zeros(2)),
    lambda: tl.analyze(net, [image], "s.lurk", constants=np.zeros((2, 2))),
    lambda: tl.analyze(net, [image], "s.lurk", engine=3),
    lambda: tl.analyze(net, [image], "s.lurk", stages=[]),
    lambda: study[3],
    lambda: study[np.zeros((2, 2))],
    lambda: study.unit(3),
    lambda: study.note(3, name="x"),
    lambda: study.units()[[]],
    lambda: study.units().to_frame([]),
):
    try:
        call()
    except tl.errors.TorchlurkError as error:
        print(error)
"""


@pytest.mark.slow
def test_what_no_type_is_declared_for_is_refused_in_one_line_too(demo: Path, tmp_path: Path) -> None:
    given = [sys.executable, "-c", WRONG, str(demo)]
    done = subprocess.run(given, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert [line.partition("   (")[0] for line in done.stdout.splitlines()] == [
        "the model is of the type int, not a torch.nn.Module",
        "the image is 3",
        "3 is not a unit",
        "the image is None",
        "the image is 3",
        "3 is not a unit",
        "objective is 3",
        "statistics is 3",
        "there is no preset array([[0., 0.], [0., 0.]])",
        "inputs are an int",
        "the model is of the type int, not a torch.nn.Module",
        "int is not a map-style data set: it has no [index]",
        "progress is array([0., 0.]), which has no method begin, advance, end, say",
        "constants is array([[0., 0.], [0., 0.]])",
        "engine is 3",
        "stages names no stage",
        "3 is not the name of a layer",
        "array([[0., 0.], [0., 0.]]) is not the name of a layer",
        "3 is not a unit",
        "3 is not a unit",
        "no column []",
        "library is []",
    ]
