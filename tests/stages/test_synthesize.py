"""The stage `synthesize`: what it stores is what `synthesize` gives, it continues, adds, and goes on past what cannot be."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import torchlurk as tl
from torchlurk.errors import MismatchError, ModelError, OptionError, StudyError, UnitError
from torchlurk.jobs import Silence
from torchlurk.models.loading.placement import place
from torchlurk.models.survey.layers import survey
from torchlurk.records import Preprocessing
from torchlurk.rendering.encoding import encode
from torchlurk.store.checking import check
from torchlurk.store.writing import Writer
from torchlurk.synthesis import presets
from torchlurk.synthesis.canvas import canvas
from torchlurk.synthesis.results import ascent_of
from torchlurk.synthesis.synthesize import Synthesizer
from torchlurk.units import Unit

SIDE = 20


class Pictures:
    """Random pictures, the same each time."""

    def __init__(self, channels: int = 3) -> None:
        self.channels = channels

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        generator = torch.Generator().manual_seed(index)
        return torch.rand(self.channels, SIDE, SIDE, generator=generator), index % 3


def network(channels: int = 3) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(channels, 6, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 20, 3), nn.ReLU(), nn.Flatten(), nn.Linear(980, 3)
    )


@pytest.fixture
def net() -> nn.Module:
    return network()


@pytest.fixture(scope="module")
def scanned(tmp_path_factory):
    """A study with nothing but a scan; copied by `made`."""
    path = tmp_path_factory.mktemp("scanned") / "a.lurk"
    tl.analyze(network(), Pictures(), path, mean=(0, 0, 0), std=(1, 1, 1), top=4, batch_size=4).close()
    return path.read_bytes()


@pytest.fixture
def made(net, tmp_path, scanned):
    """A function that makes syntheses in one scanned study."""
    path = tmp_path / "a.lurk"
    path.write_bytes(scanned)

    def run(**given):
        usual = {"mean": (0, 0, 0), "std": (1, 1, 1), "top": 4, "batch_size": 4, "stages": ("synthesize",), "steps": 3}
        return tl.analyze(net, Pictures(), path, **usual | given)

    return run


def stored(study) -> dict[tuple[str, str], object]:
    """Everything there is, by unit and preset, with the picture's bytes."""
    return {
        (str(unit), one.preset): (one, study.reader.stored_picture(one.picture))
        for layer in study.layers
        for unit in (Unit(layer.name, channel) for channel in range(len(layer)))
        for one in study.reader.syntheses(unit)
    }


@pytest.mark.slow
def test_what_is_stored_is_the_synthesis_of_the_same_unit_seed_size_and_steps(made, net) -> None:
    with made(seed=0) as study:
        found = stored(study)
        assert len(found) == 6 + 20 + 3
        for address in ("0:1", "3:2", "3:17", "6:0"):
            expected = tl.synthesize(net, address, steps=3, seed=0, study=study)
            record, picture = found[address, "lucid"]
            assert picture == encode(expected.pixels())
            assert (record.activation, record.steps, record.seed) == (expected.activation, 3, 0)
            assert (record.percentile, record.marked) == (expected.percentile, expected.marked)
            np.testing.assert_equal(record.ratio, expected.ratio_to_best_exemplar)
            np.testing.assert_equal(record.robustness, expected.robustness)
            best = study.unit(address).exemplars("max")[0].score
            assert record.ratio == pytest.approx(record.activation / best) if best > 0 else math.isnan(record.ratio)


def test_the_steps_are_the_preset_s_number_for_many_units_if_not_given(made, monkeypatch) -> None:
    short = replace(presets.LUCID, steps=9, bulk_steps=2)
    monkeypatch.setattr(presets, "PRESETS", {"lucid": short})
    with made(steps=None, units=["3:1"]) as study:
        assert [one.steps for one in study.reader.syntheses(Unit("3", 1))] == [2]


def test_what_earlier_runs_made_counts_as_done(made) -> None:
    class Told(Silence):
        begun: ClassVar[list[tuple[str, int, int]]] = []

        def begin(self, task: str, total: int, done: int = 0) -> None:
            self.begun.append((task, total, done))

    made(units=["3:1", "0:2"]).close()
    made(layers=["3", "0"], progress=Told()).close()
    assert Told.begun == [("synthesize", 6 + 20, 2)]


def test_a_size_is_that_of_the_shorter_side(made) -> None:
    with made(size=16, layers=["0"]) as study:
        _, picture = stored(study)["0:1", "lucid"]
        assert Image.open(io.BytesIO(picture[1])).size == (16, 16)


@pytest.mark.parametrize("size", [12, 17, 28])
@pytest.mark.parametrize("preset", ["lucid", "yosinski-1"])
def test_of_any_size_it_is_the_synthesis_that_the_function_makes(made, net, size, preset) -> None:
    """Of a neuron it is the centre of these pictures' map, not of the study's; the classifier takes no other size."""
    with made(size=size, units=["0:1", "3:2"], presets=[preset]) as study:
        found = stored(study)
        for address in ("0:1", "3:2"):
            expected = tl.synthesize(net, address, preset, size=size, steps=3, study=study)
            record, picture = found[address, preset]
            assert picture == encode(expected.pixels())
            assert record.activation == expected.activation


def test_a_neuron_is_the_centre_of_the_map_that_pictures_of_the_size_have(net) -> None:
    layer = survey(net, torch.zeros(1, 3, SIDE, SIDE), "activation").layer("3")
    ascents = [
        ascent_of(net, layer, presets.preset("yosinski-1"), canvas(3, side, side), Preprocessing(std=(1.0,) * 3), 1)
        for side in (12, SIDE, 28)
    ]
    assert [one.readout.layer.shape for one in ascents] == [(3, 3), (7, 7), (11, 11)]


def test_the_shorter_side_of_pictures_that_are_not_square_is_the_size_in_both(tmp_path) -> None:
    class Wide(Pictures):
        def __getitem__(self, index: int) -> tuple[Tensor, int]:
            picture, label = super().__getitem__(index)
            return torch.cat([picture, picture[:, :, :10]], 2), label

    net = network()[:5]
    given = {"mean": (0, 0, 0), "std": (1, 1, 1), "batch_size": 4, "stages": ("scan", "synthesize"), "steps": 2}
    with tl.analyze(net, Wide(), tmp_path / "wide.lurk", **given, size=16, units=["3:1"]) as study:
        expected = tl.synthesize(net, "3:1", size=16, steps=2, study=study)
        assert expected.image.shape == (3, 16, 24)
        assert stored(study)["3:1", "lucid"][1] == encode(expected.pixels())


@pytest.mark.slow
def test_presets_and_units_are_added_to_what_is_there(made) -> None:
    with made(units=["3:1"]) as study:
        first = stored(study)
        assert list(first) == [("3:1", "lucid")]
    with made(units=["3:1", "0:2"], presets=["yosinski-1"]) as study:
        second = stored(study)
        assert sorted(second) == [("0:2", "yosinski-1"), ("3:1", "lucid"), ("3:1", "yosinski-1")]
    with made(layers=["3"], presets=["lucid"]) as study:
        third = stored(study)
        assert len(third) == 20 + 2
    for before, after in ((first, second), (second, third)):
        assert all(after[key] == one for key, one in before.items())


@pytest.mark.slow
def test_units_added_later_are_as_those_made_at_once(made, tmp_path) -> None:
    with made(layers=["3"]) as study:
        at_once = stored(study)
    (tmp_path / "a.lurk").write_bytes(b"")
    (tmp_path / "a.lurk").unlink()
    tl.analyze(network(), Pictures(), tmp_path / "a.lurk", mean=(0, 0, 0), std=(1, 1, 1), top=4, batch_size=4).close()
    for units in (["3:7"], ["3:19", "3:0", "3:3"]):
        made(units=units).close()
    with made(layers=["3"]) as study:
        assert stored(study) == at_once


def test_what_is_complete_is_not_made_again(made, monkeypatch) -> None:
    made(layers=["0"]).close()
    monkeypatch.setattr(Writer, "write_synthesis", lambda *_: pytest.fail("it is there already"))
    made(layers=["0"]).close()
    made(units=["0:3"]).close()


@pytest.mark.slow
def test_interrupted_it_ends_with_the_same(made, tmp_path, scanned, interrupted) -> None:
    with made(presets=["lucid", "yosinski-1"]) as study:
        expected = stored(study)
    (tmp_path / "a.lurk").write_bytes(scanned)
    with interrupted("write_synthesis", 6 + 18):
        made(presets=["lucid", "yosinski-1"])
    with tl.open(tmp_path / "a.lurk") as study:
        kept = stored(study)
        assert study.runs["synthesize"].finished is None
    assert all(expected[key] == one for key, one in kept.items())
    with made(presets=["lucid", "yosinski-1"]) as study:
        assert stored(study) == expected
        assert study.runs["synthesize"].finished is not None


def test_a_batch_of_units_is_stored_as_a_whole_or_not_at_all(made, tmp_path, interrupted) -> None:
    """Sixteen units of these pictures run at once: of the twenty of layer 3 the first sixteen are one piece."""
    with interrupted("write_synthesis", 18):
        made(layers=["3"])
    with tl.open(tmp_path / "a.lurk") as study:
        assert sorted(stored(study)) == sorted((f"3:{channel}", "lucid") for channel in range(16))
        assert study.reader.counts()["synthesize"].done == 16
        assert study.reader.counts()["synthesize"].total == 20


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "named"),
    [({"steps": 4}, "steps"), ({"size": 18}, "size"), ({"seed": 1}, "seed"), ({"precision": "bf16"}, "precision")],
)
def test_other_settings_are_refused_by_name(made, given, named) -> None:
    made(units=["3:1"]).close()
    with pytest.raises(MismatchError, match=rf"{named} \(made with"):
        made(units=["3:2"], **given)


def test_other_weights_are_refused(made, net) -> None:
    made(units=["3:1"]).close()
    with torch.no_grad():
        net[0].weight[0] += 1
    with pytest.raises(MismatchError, match="weights"):
        made(units=["3:2"])


def test_maco_keeps_how_opaque_each_pixel_is(made, net, monkeypatch) -> None:
    fewer = replace(presets.MACO, views=replace(presets.MACO.views, count=4))
    monkeypatch.setattr(presets, "PRESETS", {"maco": fewer})
    with made(presets=["maco"], units=["3:1"]) as study:
        expected = tl.synthesize(net, "3:1", fewer, steps=3, study=study)
        _, (media_type, data) = stored(study)["3:1", "maco"]
    shown = Image.open(io.BytesIO(data))
    assert media_type == "image/png"
    assert shown.mode == "RGBA"
    opaque = expected.pixels()[..., 3]
    assert np.array_equal(np.asarray(shown)[..., 3], opaque)
    assert opaque.min() < opaque.max() == 255
    assert np.array_equal(np.asarray(shown)[opaque > 0], expected.pixels()[opaque > 0])


def test_in_half_precision_pictures_are_made_and_the_evidence_is_exact(net, tmp_path) -> None:
    usual = {"mean": (0,) * 3, "std": (1,) * 3, "top": 4, "batch_size": 4, "steps": 1, "layers": ["3"]}
    with tl.analyze(
        net, Pictures(), tmp_path / "b.lurk", stages=("scan", "synthesize"), precision="bf16", units=["3:17", "3:2"], **usual
    ) as study:
        half = Synthesizer(place(net, torch.device("cpu"), "bf16"), study=study)
        for channel, made_half in zip((17, 2), half.units("3", [17, 2], steps=1), strict=True):
            record, picture = stored(study)[f"3:{channel}", "lucid"]
            assert picture == encode(made_half.pixels())
            with torch.no_grad():
                exact = net[:5](made_half.image[None])[0, channel].max().item()
            assert record.activation == pytest.approx(exact, rel=1e-5)
            assert exact == 0 or record.activation != made_half.activation


class Restless(nn.Module):
    """Goes another way on its bright side, so that some of its layers cannot be reached with grey pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.bright, self.last = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 5, 3)

    def forward(self, x: Tensor) -> Tensor:
        bright = bool((x == 1).any())
        x = self.first(x)
        return self.last(self.bright(x) if bright else x.relu())


class White(Pictures):
    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        picture, label = super().__getitem__(index)
        picture[:, 0, 0] = 1
        return picture, label


def test_a_layer_that_cannot_be_reached_is_noted_and_the_rest_goes_on(tmp_path, monkeypatch) -> None:
    torch.manual_seed(0)
    net = Restless()
    usual = {"mean": (0, 0, 0), "std": (1, 1, 1), "top": 4, "batch_size": 4, "steps": 2}
    with tl.analyze(net, White(), tmp_path / "a.lurk", stages=("scan", "synthesize"), **usual) as study:
        found = stored(study)
        assert {address.partition(":")[0] for address, _ in found} == {"first", "last"}
        (note,) = [text for kind, text in study.reader.notes() if kind == "synthesize"]
        assert note.startswith("layer bright, lucid: ")
        assert "not reached" in note
        assert study.runs["synthesize"].finished is not None
    monkeypatch.setattr(Writer, "reopen", lambda *_: pytest.fail("it is known that there is no more to be made"))
    with tl.analyze(net, White(), tmp_path / "a.lurk", stages=("scan", "synthesize"), **usual) as study:
        assert stored(study) == found


@pytest.mark.slow
def test_a_dead_unit_is_stored_with_its_mark_and_the_others_without(tmp_path) -> None:
    net = network()
    with torch.no_grad():
        net[3].weight[2], net[3].bias[2] = 0, 0
        net[3].bias[5] = math.nan
    usual = {"mean": (0, 0, 0), "std": (1, 1, 1), "top": 4, "batch_size": 4, "steps": 3, "layers": ["3"]}
    with tl.analyze(net, Pictures(), tmp_path / "a.lurk", stages=("scan", "synthesize"), **usual) as study:
        found = {address: one for (address, _), (one, _) in stored(study).items()}
    assert "no gradient" in found["3:2"].marked
    assert "not finite" in found["3:5"].marked
    assert len(found) == 20
    assert all(math.isfinite(one.activation) for address, one in found.items() if address != "3:5")


def test_without_a_scan_it_says_so(net, tmp_path) -> None:
    with pytest.raises(StudyError, match="is not finished"):
        tl.analyze(net, Pictures(), tmp_path / "b.lurk", mean=(0, 0, 0), std=(1, 1, 1), stages=("synthesize",))


def test_an_unknown_preset_costs_nothing(net, tmp_path) -> None:
    with pytest.raises(OptionError, match="no preset 'lucit'; nearest: lucid"):
        tl.analyze(
            net,
            Pictures(),
            tmp_path / "b.lurk",
            mean=(0, 0, 0),
            std=(1, 1, 1),
            stages=("scan", "synthesize"),
            presets=["lucit"],
        )
    assert not (tmp_path / "b.lurk").exists()


@pytest.mark.parametrize("stage", ["synthesize", "attribute"])
@pytest.mark.parametrize(("unit", "said"), [("3:20", "layer '3' has no channel 20"), ("3x:0", "no layer '3x'; nearest: 3")])
def test_a_unit_that_is_not_there_is_said_before_anything_is_made(made, tmp_path, unit, said, stage) -> None:
    with pytest.raises(UnitError, match=said):
        made(stages=(stage,), units=["0:1", unit])
    with tl.open(tmp_path / "a.lurk") as study:
        assert not stored(study)


def test_grey_data_give_grey_pictures(tmp_path) -> None:
    usual = {"mean": (0.5,), "std": (0.5,), "top": 4, "batch_size": 4, "steps": 2, "layers": ["0"]}
    with tl.analyze(network(1), Pictures(1), tmp_path / "a.lurk", stages=("scan", "synthesize"), **usual) as study:
        _, picture = stored(study)["0:1", "lucid"]
    assert Image.open(io.BytesIO(picture[1])).mode == "L"


def test_inputs_that_are_no_pictures_are_refused(tmp_path) -> None:
    class Rows:
        def __len__(self) -> int:
            return 6

        def __getitem__(self, index: int) -> tuple[Tensor, int]:
            return torch.rand(7, generator=torch.Generator().manual_seed(index)), 0

    net = nn.Sequential(nn.Linear(7, 3), nn.ReLU())
    with pytest.raises((ModelError, StudyError, tl.errors.DataError)):
        tl.analyze(net, Rows(), tmp_path / "a.lurk", stages=("scan", "synthesize"), batch_size=2)


def test_the_stage_leaves_the_model_as_found(made, net) -> None:
    net.train()
    before = {name: one.clone() for name, one in net.state_dict().items()}
    random = torch.get_rng_state()
    made(units=["3:1"]).close()
    assert all(torch.equal(one, before[name]) for name, one in net.state_dict().items())
    assert all(one.training and not one._forward_hooks and not one._forward_pre_hooks for one in net.modules())
    assert torch.equal(torch.get_rng_state(), random)


def test_the_file_is_whole_afterwards(made, tmp_path) -> None:
    made(presets=["lucid", "maco"], layers=["0"], steps=1).close()
    assert not check(tmp_path / "a.lurk").problems


def test_a_unit_gives_its_syntheses_and_draws_them(made) -> None:
    with made(units=("3:2",), presets=("lucid", "yosinski-1")) as study:
        unit = study.unit("3:2")
        assert [one.preset for one in unit.syntheses()] == ["lucid", "yosinski-1"]
        (one,) = unit.syntheses("lucid")
        assert one.image.size == (SIDE, SIDE)
        assert unit.picture().height > study.unit("3:3").picture().height
        assert study.unit("3:3").syntheses() == ()
