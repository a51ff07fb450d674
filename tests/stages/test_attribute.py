"""The stage `attribute`: what it stores is what `attribute` gives, it continues, adds, and notices data that has changed."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import torchlurk as tl
from torchlurk.attribution.batches import Attributor
from torchlurk.errors import OptionError, StudyError
from torchlurk.models.survey.layers import survey
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
            stored = study.reader.stored_picture(one.picture)
            assert stored is not None
            shown = np.asarray(Image.open(io.BytesIO(stored[1]))).astype(float)
            values = whole[:, y0:y1, x0:x1].permute(1, 2, 0).numpy()
            expected = np.clip(values / one.scale, -1, 1) * 127 + 127.5
            assert np.abs(shown - expected).max() <= 1.5


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
def test_interrupted_it_ends_with_the_same(made, tmp_path, monkeypatch, interrupted):
    from torchlurk.stages import attribute

    monkeypatch.setattr(attribute, "UNITS", (1, 1))
    undisturbed = made(stages=("scan", "attribute"))
    expected = {unit: undisturbed.reader.attributions(unit) for unit in every_unit(undisturbed)}
    undisturbed.close()
    (tmp_path / "a.lurk").unlink()
    made(stages=("scan",)).close()
    with interrupted("write_attributions", 3):
        made(stages=("attribute",))
    study = made(stages=("attribute",))
    assert {unit: study.reader.attributions(unit) for unit in every_unit(study)} == expected


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
    assert any("do not excite their units as they did" in note for note in study.notes)


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
    assert strongest.values.shape == (SIDE, SIDE, 3)
    assert found[0].exemplar == unit.exemplars("max")[found[0].record.rank]
    assert found[0].whole is not None
    sheets = {rendering: unit.picture(rendering).tobytes() for rendering in ("signed", "magnitude", "overlay")}
    assert len(set(sheets.values())) == 3
