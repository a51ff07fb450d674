"""The stage `attribute`: what it stores is what `attribute` gives, it continues, adds, and notices data that has changed."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn

import torchlurk as tl
from torchlurk.attribution.batches import Attributor
from torchlurk.attribution.captum_methods import CaptumMethod
from torchlurk.errors import ModelError, OptionError, StudyError, UnitError
from torchlurk.jobs import Silence
from torchlurk.models.survey.layers import survey
from torchlurk.stages.attribute import AttributeStage
from torchlurk.units import Unit

SIDE = 20


class Pictures:
    """Random pictures, the same each time; `changed` ones are others."""

    def __init__(self, changed: bool = False) -> None:
        self.changed = changed

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        generator = torch.Generator().manual_seed(index + 100 * self.changed)
        return torch.rand(3, SIDE, SIDE, generator=generator), index % 3


@pytest.fixture
def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 4, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(3)
    )


@pytest.fixture
def made(net, tmp_path):
    """A function that analyzes into one study."""
    net(torch.zeros(1, 3, SIDE, SIDE))

    def run(data=None, **given):
        given = {"mean": (0, 0, 0), "std": (1, 1, 1), "top": 4, "exemplars": 2, "batch_size": 4} | given
        return tl.analyze(net, data or Pictures(), tmp_path / "a.lurk", **given)

    return run


@pytest.mark.slow
def test_a_stored_picture_is_the_attribution_on_its_box(made, net):
    study = made(stages=("scan", "attribute"))
    for address in ("0:1", "3:2"):
        unit = study.unit(address)
        found = [one for one in study.reader.attributions(Unit.parse(address)) if one.ranking == "max"]
        assert {(one.method, one.rank) for one in found} == {(m, r) for m in ("deconv", "gradient", "guided") for r in (0, 1)}
        for one in found:
            exemplar = unit.exemplars("max")[one.rank]
            inputs = Pictures()[exemplar.example][0][None]
            whole = tl.attribute(net, inputs, address, one.method, position=exemplar.position)[0]
            x0, y0, x1, y1 = one.box
            assert one.box == exemplar.box
            outside = whole.clone()
            outside[:, y0:y1, x0:x1] = 0
            assert not outside.any()
            values = whole[:, y0:y1, x0:x1].permute(1, 2, 0).numpy()
            (shown,) = (other for other in unit.attributions("max", one.method) if other.record == one)
            assert np.linalg.norm(shown.values - values) <= 0.03 * np.linalg.norm(values)
            assert np.abs(shown.values - values)[np.abs(values) <= one.scale].max() <= one.scale / 190


@pytest.mark.slow
def test_what_the_box_alone_excites_is_the_whole_where_the_box_is_all_that_counts(made):
    """The receptive field is exact, so a convolution's unit loses nothing when it sees only its box."""
    study = made(stages=("scan", "attribute"))
    recalls = [one.recall for channel in range(4) for one in study.unit(f"3:{channel}").exemplars("max") if one.score > 0]
    assert recalls
    assert recalls == pytest.approx([1.0] * len(recalls), rel=1e-5)


@pytest.mark.slow
def test_methods_and_units_are_added_to_what_is_there(made):
    made(stages=("scan",))
    study = made(stages=("attribute",), units=["3:1"], methods=["gradient"])
    assert {one.method for one in study.reader.attributions(Unit("3", 1))} == {"gradient"}
    assert study.reader.attributions(Unit("3", 0)) == ()
    before = study.reader.attributions(Unit("3", 1))
    study = made(stages=("attribute",), layers=["3"], methods=["gradient", "guided"])
    assert {one.method for one in study.reader.attributions(Unit("3", 0))} == {"gradient", "guided"}
    assert [one for one in study.reader.attributions(Unit("3", 1)) if one.method == "gradient"] == list(before)
    assert study.reader.attributions(Unit("0", 0)) == ()


@pytest.mark.slow
def test_what_earlier_runs_made_counts_as_done(made):
    class Told(Silence):
        begun: ClassVar[list[tuple[str, int, int]]] = []

        def begin(self, task, total, done=0):
            self.begun.append((task, total, done))

    made(stages=("scan",)).close()
    made(stages=("attribute",), units=["3:1", "0:2"], methods=["gradient"]).close()
    made(stages=("attribute",), methods=["gradient"], progress=Told()).close()
    assert Told.begun == [("attribute", 6 + 4 + 3, 2)]


@pytest.mark.slow
def test_exemplars_are_added_to_what_is_there_and_none_are_lost(made):
    def ranks(exemplars: int) -> set[tuple[str, int]]:
        with made(stages=("attribute",), exemplars=exemplars, methods=["guided"]) as study:
            return {(one.ranking, one.rank) for one in study.reader.attributions(Unit("3", 1))}

    made(stages=("scan",)).close()
    two = {(ranking, rank) for ranking in ("max", "mean") for rank in range(2)}
    assert ranks(2) == two
    assert ranks(3) == two | {("max", 2), ("mean", 2)}
    assert ranks(1) == two | {("max", 2), ("mean", 2)}


@pytest.mark.slow
def test_what_has_all_its_pictures_is_not_done_again(made, monkeypatch):
    made(stages=("scan", "attribute"), exemplars=9).close()  # more than the four that are kept
    monkeypatch.setattr(Attributor, "__call__", lambda *_: pytest.fail("made again"))
    made(stages=("attribute",), exemplars=9).close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "times"), [("write_attributions", 3), ("write_recall", 8), ("replace_check", 0), ("count", 9)]
)
def test_interrupted_it_ends_with_the_same(made, tmp_path, monkeypatch, interrupted, method, times):
    """Before the first conclusion, with it, half-way through a layer and after the last pictures of one."""
    from torchlurk.stages import attribute

    monkeypatch.setattr(attribute, "UNITS", (1, 1))
    with made(stages=("scan", "attribute")) as undisturbed:
        expected = found_in(undisturbed)
    (tmp_path / "a.lurk").unlink()
    made(stages=("scan",)).close()
    with interrupted(method, times):
        made(stages=("attribute",))
    with made(stages=("attribute",)) as study:
        assert found_in(study) == expected


def found_in(study) -> dict[str, object]:
    """Everything that the stage says."""
    layers = {layer.name: (study.reader.checks(layer.name), study.reader.effective_field(layer.name)) for layer in study.layers}
    return {
        "pictures": {unit: study.reader.attributions(unit) for unit in every_unit(study)},
        "layers": layers,
        "notes": study.notes,
    }


@pytest.mark.slow
def test_what_is_said_of_a_layer_follows_from_the_pictures_there_are_not_from_how_they_came(made, tmp_path):
    def concluded(*requests):
        made(stages=("scan",)).close()
        for request in requests:
            made(stages=("attribute",), **request).close()
        with made(stages=("scan",)) as study:
            found = {
                layer.name: (study.reader.checks(layer.name), study.reader.effective_field(layer.name))
                for layer in study.layers
            }
        (tmp_path / "a.lurk").unlink()
        return found

    at_once = concluded({"exemplars": 3})
    assert at_once["3"][1] is not None
    assert {one.method for one in at_once["3"][0]} == {"deconv", "gradient", "guided"}
    some = {"units": ["0:5", "3:2"], "methods": ["gradient"], "exemplars": 2}
    assert concluded(some, {"exemplars": 3, "methods": ["guided", "deconv"]}, {"exemplars": 3}) == at_once


def test_the_units_that_stand_for_a_layer_are_drawn_by_the_seed_whatever_others_there_are():
    from torchlurk.stages.conclusions import CHECKED_UNITS, standing_for

    of_all = standing_for(0, "conv", range(100))
    assert len(of_all) == CHECKED_UNITS
    assert standing_for(0, "conv", [*of_all, *range(50)]) == of_all
    assert standing_for(0, "conv", of_all[2:]) == of_all[2:]
    assert standing_for(1, "conv", range(100)) != of_all != standing_for(0, "other", range(100))


@pytest.mark.slow
def test_two_workers_make_what_one_makes(made, tmp_path):
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            with made(stages=("scan", "attribute")) as study:
                found.append({unit: study.reader.attributions(unit) for unit in every_unit(study)})
                found[-1] |= {
                    "checks": study.reader.checks("3"),
                    "recalls": [one.recall for one in study.unit("3:1").exemplars("max")],
                }
            (tmp_path / "a.lurk").unlink()
    finally:
        torch.set_num_threads(before)
    assert found[0] == found[1]


def every_unit(study):
    return [Unit(layer.name, channel) for layer in study.layers for channel in range(len(layer))]


def test_data_that_has_changed_is_noticed_and_not_shown(made, monkeypatch):
    from torchlurk.inputs.sources.datasets import DatasetSource

    known = made(stages=("scan",)).runs["scan"].data_fingerprint
    monkeypatch.setattr(DatasetSource, "fingerprint", lambda self: known)
    study = made(Pictures(changed=True), stages=("attribute",))
    assert all(study.reader.attributions(unit) == () for unit in every_unit(study))
    assert any("differently than during the scan" in note for note in study.notes)


def test_without_a_scan_it_says_so(made):
    with pytest.raises(StudyError, match="is not finished"):
        made(stages=("attribute",))


def test_an_unknown_method_costs_nothing(made):
    with pytest.raises(OptionError, match="no method 'guidet'; nearest: guided"):
        made(stages=("scan", "attribute"), methods=["guidet"])


@pytest.mark.slow
def test_each_layer_above_the_first_has_its_checks(made, net):
    study = made(stages=("scan", "attribute"))
    assert study.reader.checks("0") == ()
    assert {one.method for one in study.reader.checks("3")} == {"deconv", "gradient", "guided"}
    assert survey(net, torch.zeros(1, 3, SIDE, SIDE)).layer("3").channels == 4
    height, width = study.reader.effective_field("3")
    assert 1 <= height <= 8
    assert 1 <= width <= 8


@pytest.mark.slow
def test_a_study_gives_attributions_with_their_image_and_evidence(made):
    study = made(stages=("scan", "attribute"))
    unit = study.unit("3:1")
    found = unit.attributions()
    assert {(one.record.rank, one.method) for one in found} == {
        (r, m) for m in ("deconv", "gradient", "guided") for r in (0, 1)
    }
    (strongest, second) = unit.attributions("mean", "guided")
    assert (strongest.record.rank, second.record.rank) == (0, 1)
    with pytest.raises(UnitError, match="by 'lrp'") as raised:
        unit.attributions(method="lrp")
    assert raised.value.hint == "available: deconv, gradient, guided"
    assert strongest.values.shape == (SIDE, SIDE, 3)
    assert found[0].exemplar == unit.exemplars("max")[found[0].record.rank]
    assert found[0].whole is not None
    sheets = {rendering: unit.picture(rendering).tobytes() for rendering in ("signed", "magnitude", "overlay")}
    assert len(set(sheets.values())) == 3


class Chance(nn.Module):
    """Dropout that is on in evaluation mode too."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.dropout(x, 0.5, training=True)


@pytest.mark.parametrize(
    ("between", "said"),
    [(Chance(), "differ from pass to pass"), (nn.BatchNorm2d(6, track_running_stats=False), "depend on the other examples")],
)
def test_a_network_whose_values_depend_on_more_than_the_example_is_not_taken_for_changed_data(tmp_path, between, said):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), between, nn.Conv2d(6, 4, 3)).eval()
    given = {"mean": (0, 0, 0), "std": (1, 1, 1), "top": 4, "exemplars": 2, "batch_size": 12}
    study = tl.analyze(net, Pictures(), tmp_path / "a.lurk", stages=("scan", "attribute"), **given)
    kept = [note for note in study.notes if "differently than during the scan" in note]
    assert kept
    assert all(said in note for note in kept)
    assert not any("data changed" in note for note in study.notes)


@pytest.mark.slow
def test_what_a_method_of_captum_is_not_defined_for_is_not_tried_again(made, monkeypatch):
    def refuse(self, *args):
        raise ModelError("not defined for this network")

    monkeypatch.setattr(CaptumMethod, "__call__", refuse)
    given = {"stages": ("scan", "attribute"), "methods": ("captum:Saliency",)}
    assert made(**given).notes == ("each of 3 layers (0, 3, 6), captum:Saliency: not defined for this network",)
    monkeypatch.setattr(AttributeStage, "work", None)
    made(**given)
