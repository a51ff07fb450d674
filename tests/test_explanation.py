"""`torchlurk.explain` on the demo: the tree, its document, its drawing, and what it refuses."""

# Tolerances are of float32 through a network, summed in another order; 1e-3 where differences of activations are compared.

from __future__ import annotations

import json
import shutil
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from torch import nn

import torchlurk
from torchlurk.anatomy import INPUT
from torchlurk.cli import torchlurk_command
from torchlurk.errors import DataError, MismatchError, OptionError, UnitError
from torchlurk.hierarchy.inspector import Inspector
from torchlurk.hierarchy.tree_builder import most_children
from torchlurk.inputs.demo.world import PREPROCESSING, DemoWorld
from torchlurk.inputs.pictures.preprocessing import normalize
from torchlurk.model_session import ModelSession
from torchlurk.models.loading.demo import demo_network
from torchlurk.records import MethodCheck
from torchlurk.store.reading import Reader
from torchlurk.store.writing import Writer

IMAGES = 24


@pytest.fixture
def study(drawn: Path) -> Path:
    return drawn


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("image") / "thing.png"
    Image.fromarray(DemoWorld(IMAGES).read(3).values).save(file)
    return file


def tensor() -> torch.Tensor:
    return normalize(torch.from_numpy(DemoWorld(IMAGES).read(3).values)[None], PREPROCESSING)


@pytest.mark.slow
def test_a_tree_has_half_as_many_children_at_each_level_further_down() -> None:
    found = torchlurk.explain(demo_network(), tensor()[0], mean=PREPROCESSING.mean, std=PREPROCESSING.std, children=4, depth=3)
    assert found.root.branch.root == torchlurk.explain(demo_network(), tensor()).root.branch.root
    assert [most_children(4, level) for level in range(4)] == [4, 2, 1, 1]
    sizes = [sum(len(node.branch.units) == level + 1 for node in found.root.nodes()) for level in range(4)]
    assert sizes[0] == 1
    assert sizes[1] == 4
    assert sizes[2] <= 8
    shown = DemoWorld(IMAGES).read(3).values
    assert np.array_equal(found.image, shown)


@pytest.mark.slow
def test_the_tree_ends_at_the_first_layer() -> None:
    found = torchlurk.explain(demo_network(), tensor(), "block1:3", children=2, depth=9)
    leaves = [node for node in found.root.nodes() if not node.children]
    assert all(node.branch.last.layer == "stem.0" or not node.makeup.strongest for node in leaves)
    assert all(node.branch.last.layer != INPUT for node in found.root.nodes())


def test_without_a_unit_it_is_the_predicted_class() -> None:
    net = demo_network()
    found = torchlurk.explain(net, tensor(), depth=0)
    assert found.root.branch.root.layer == "head"
    assert found.root.branch.root.channel == net(tensor()).argmax().item() == found.predictions[0].index


def test_a_unit_that_is_off_is_explained_in_the_text_the_drawing_and_the_document() -> None:
    net = nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU(), nn.Conv2d(2, 2, 1, bias=False), nn.ReLU())
    nn.init.constant_(net[0].weight, 0.1)
    nn.init.zeros_(net[0].bias)
    nn.init.constant_(net[2].weight, -1.0)
    found = torchlurk.explain(net, torch.ones(3, 8, 8), "2:1")
    said = "0: off in this image; held down by 0:"
    assert found.to_text().splitlines()[0].startswith(f"2:1  {said}")
    assert said in found.svg()
    tree = found.to_json()["tree"]
    assert tree["activation"] == 0
    assert tree["makeup"]["value"] < 0
    assert [one["share"] < 0 for one in tree["makeup"]["children"]] == [True, True]
    mean = torchlurk.explain(net, torch.ones(2, 3, 8, 8), "2:1")
    assert "off in these images" in mean.to_text()


@pytest.mark.slow
def test_a_study_adds_exemplars_class_names_and_percentiles(study: Path, picture: Path) -> None:
    with torchlurk.open(study) as opened:
        found = torchlurk.explain("demo", picture, study=opened, depth=1)
    assert found.predictions[0].label in [one.label for one in DemoWorld(IMAGES).classes]
    assert len(found.exemplars[found.root.branch.root]) == 4
    assert all(0 <= one.percentile <= 100 for responses in found.strongest.values() for one in responses)


@pytest.mark.slow
def test_the_document_and_the_drawing_tell_the_same(study: Path, picture: Path) -> None:
    found = torchlurk.explain("demo", picture, "block3.conv2:5", study=study)
    document = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert document["tree"]["unit"] == "block3.conv2:5"
    assert len(document["layers"]) == len(found.strongest)
    words = {one.text for one in ElementTree.fromstring(found.svg()).iter("{http://www.w3.org/2000/svg}text")}
    assert {child["unit"] for child in document["tree"]["children"]} <= words
    assert found._repr_svg_() == found.svg()
    assert "block3.conv2:5" in repr(found)


@pytest.mark.slow
def test_the_command_prints_draws_and_documents(study: Path, picture: Path, tmp_path: Path) -> None:
    given = [str(study), str(picture), "--model", "demo", "--depth", "1", "--children", "2"]
    printed = CliRunner().invoke(torchlurk_command, ["explain", *given], catch_exceptions=False)
    assert printed.exit_code == 0
    assert "head:" in printed.output
    drawn = CliRunner().invoke(
        torchlurk_command, ["explain", *given, "--out", str(tmp_path / "tree.svg"), "--json"], catch_exceptions=False
    )
    assert json.loads(drawn.output)["tree"]["children"]
    assert (tmp_path / "tree.svg").read_text().startswith("<svg")
    said = CliRunner().invoke(torchlurk_command, ["explain", *given, "--out", str(tmp_path / "b.svg")], catch_exceptions=False)
    root = json.loads(drawn.output)["tree"]["unit"]
    assert f"b.svg: the tree beneath {root}, where the network says " in said.output


def test_another_model_than_the_studys_is_refused(study: Path) -> None:
    other = demo_network()
    with torch.no_grad():
        other.head.bias[0] += 1
    with pytest.raises(MismatchError, match="not the model"):
        torchlurk.explain(other, tensor(), study=study)


@pytest.mark.slow
def test_of_several_images_everything_is_the_mean(study: Path, picture: Path) -> None:
    net = demo_network()
    world = DemoWorld(IMAGES)
    both = [normalize(torch.from_numpy(world.read(index).values)[None], PREPROCESSING) for index in (3, 11)]
    found = torchlurk.explain(net, torch.cat(both), "head:2", children=8, depth=1)
    apart = [look.makeups([look.branch("head:2")], most=512)[0] for look in (Inspector(net, one) for one in both)]
    with torch.no_grad():
        probable = net(torch.cat(both)).softmax(1).mean(0)
    assert found.predictions[0].probability == pytest.approx(float(probable.max()), rel=1e-4)
    assert found.root.makeup.value == pytest.approx(np.mean([one.value for one in apart]), rel=1e-4)
    gives = [{one.unit: one.contribution for one in each.strongest} for each in apart]
    for child in found.root.makeup.strongest:
        assert child.contribution == pytest.approx(np.mean([each.get(child.unit, 0) for each in gives]), rel=1e-3, abs=1e-5)
    shown = torchlurk.explain("demo", [picture, Image.fromarray(world.read(11).values)], "head:2", study=study, depth=1)
    assert shown.root.makeup.value == pytest.approx(found.root.makeup.value, rel=1e-3)
    assert ElementTree.fromstring(shown.svg()).tag.endswith("svg")
    with pytest.raises(OptionError, match="no image"):
        torchlurk.explain(net, [])


@pytest.mark.slow
def test_the_command_explains_a_class(study: Path, picture: Path) -> None:
    def call(*arguments: object) -> object:
        return CliRunner().invoke(torchlurk_command, ["explain", str(study), *map(str, arguments), "--model", "demo", "--json"])

    name = DemoWorld(IMAGES).classes[2].name
    document = json.loads(call("--class", name, "--depth", 1).output)
    assert document["predictions"][0]["label"] == DemoWorld(IMAGES).classes[2].label
    assert document["tree"]["position"] is None
    assert "has no class 'nothing'" in str(call("--class", "nothing").exception)
    assert "give either an IMAGE or a --class" in str(call(picture, "--class", name).exception)
    assert "give either an IMAGE or a --class" in str(call().exception)


def test_what_cannot_be_explained_is_refused_in_words(study: Path, tmp_path: Path) -> None:
    with pytest.raises(UnitError, match="no layer 'block9'"):
        torchlurk.explain(demo_network(), tensor(), "block9:1")
    with pytest.raises(OptionError, match="depth is -1"):
        torchlurk.explain(demo_network(), tensor(), depth=-1)
    (tmp_path / "no.png").write_text("not a picture")
    with pytest.raises(DataError, match="is not an image"):
        torchlurk.explain("demo", tmp_path / "no.png", study=study)
    with Reader(study) as reader, pytest.raises(DataError, match="made with"):
        ModelSession.load("demo", study=reader).inspect(torch.zeros(1, 3, 40, 40))


@pytest.mark.parametrize("last", [False, True])
def test_an_array_is_read_as_the_items_of_data_sets_are(last: bool) -> None:
    net, floats = demo_network(), tensor()[0].numpy()
    given = floats.transpose(1, 2, 0) if last else floats
    found = torchlurk.explain(net, given, depth=0, mean=PREPROCESSING.mean, std=PREPROCESSING.std)
    assert found.to_json() == torchlurk.explain(net, tensor(), depth=0).to_json()
    assert np.array_equal(found.image, DemoWorld(IMAGES).read(3).values)


def test_bytes_are_prepared_as_a_file_is(picture: Path) -> None:
    pixels = np.asarray(Image.open(picture))
    expected = torchlurk.explain("demo", picture, depth=0).to_json()
    for one in (pixels, pixels.transpose(2, 0, 1), torch.from_numpy(pixels.copy()).permute(2, 0, 1)):
        assert torchlurk.explain("demo", one, depth=0).to_json() == expected
    both = np.stack([pixels, pixels])
    assert torchlurk.explain("demo", both, depth=0).images == 2


def test_an_array_that_is_no_picture_is_refused() -> None:
    with pytest.raises(DataError, match=r"the image has shape \(7,\).*give channel height width"):
        torchlurk.explain(demo_network(), np.zeros(7, np.float32))
    with pytest.raises(DataError, match="the image has values of type int64, not uint8 or float"):
        torchlurk.explain(demo_network(), np.zeros((3, 8, 8), np.int64))


def test_how_an_image_was_normalized_is_said_once(study: Path) -> None:
    with pytest.raises(OptionError, match="mean or std is given, and the study says"):
        torchlurk.explain(demo_network(), tensor(), study=study, mean=PREPROCESSING.mean)
    shown = torchlurk.explain("demo", tensor(), mean=(0, 0, 0), std=(1, 1, 1), depth=0).image
    assert not np.array_equal(shown, DemoWorld(IMAGES).read(3).values)


@pytest.mark.parametrize(
    ("checks", "asked", "method", "warning"),
    [
        ({}, None, "guided", ""),
        ({"guided": True, "gradient": False}, None, "gradient", ""),
        ({"guided": True, "gradient": False}, "guided", "guided", "guided shows the image, not the unit: similarity 0.75"),
        (dict.fromkeys(("guided", "gradient", "deconv", "lrp"), True), None, "guided", "guided shows the image, not the unit"),
    ],
)
def test_pictures_are_by_a_method_that_passes_the_study_s_check_or_it_is_said(
    drawn: Path, tmp_path: Path, checks: dict[str, bool], asked: str | None, method: str, warning: str
) -> None:
    copied = Path(shutil.copy(drawn, tmp_path / "s.lurk"))
    with Writer(copied) as writer:
        for name, marked in checks.items():
            writer.write_check("head", MethodCheck(name, 0.75, marked))
    found = torchlurk.explain(demo_network(), tensor(), "head:3", study=copied, depth=0, method=asked)
    assert found.root.picture.method == found.to_json()["method"] == method
    assert found.warning.startswith(warning)
    assert bool(found.warning) == bool(warning)
    assert (warning.partition(":")[0] in found.to_text()) == (warning.partition(":")[0] in found.svg())
    assert found.to_json()["check"] == ({"similarity": 0.75, "marked": checks[method]} if checks else None)
