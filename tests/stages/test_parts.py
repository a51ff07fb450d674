"""Parts of an analysis that were made apart are merged to the study that one process makes."""

# Tolerances: sums of parts are added in another order, in float64 (1e-12) or kept as float32 (2e-7); traces are stored in
# steps.

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import nn

import torchlurk as tl
from torchlurk.cli import torchlurk_command
from torchlurk.errors import MismatchError, OptionError, StudyError
from torchlurk.jobs import Share
from torchlurk.stages.shares import units_of
from torchlurk.store.checking import check
from torchlurk.store.remarks import Change, write_remarks
from torchlurk.study import Study
from torchlurk.units import Unit

PARTS = 3
OPTIONS = {"mean": (0, 0, 0), "std": (1, 1, 1), "batch_size": 4, "sample": 32, "top": 4}


class Pictures:
    """Random pictures, two of which cannot be read; their classes are known only when they are read."""

    def __init__(self, count: int = 45, unreadable: tuple[int, ...] = (2, 17)) -> None:
        self._count, self._unreadable = count, unreadable

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        if index in self._unreadable:
            raise ValueError("torn")
        generator = torch.Generator().manual_seed(index)
        return torch.rand(3, 14, 14, generator=generator) + index % 3 / 2, index % 7


def network(seed: int = 0) -> nn.Sequential:
    """One of its layers is far from zero, so that deviations are summed from where its first activations lie."""
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)
    )
    nn.init.constant_(net[0].bias, 30.0)
    return net


def part(folder: Path, number: int, of: int = PARTS, **given) -> Path:
    tl.analyze(network(), Pictures(), folder / f"{number}.lurk", part=f"{number}/{of}", **OPTIONS | given).close()
    return folder / f"{number}.lurk"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The study that one process made, `whole.lurk`, and its parts, `1.lurk` to `3.lurk`."""
    torch.set_num_threads(1)
    made = tmp_path_factory.mktemp("parts")
    tl.analyze(network(), Pictures(), made / "whole.lurk", **OPTIONS).close()
    for number in range(1, PARTS + 1):
        part(made, number)
    return made


@pytest.fixture
def parts(folder) -> list[Path]:
    return [folder / f"{number}.lurk" for number in range(1, PARTS + 1)]


def test_the_merged_study_is_that_of_one_process(folder, parts, tmp_path, same_scan):
    with (
        tl.merge([parts[1], parts[2], parts[0]], out=tmp_path / "merged.lurk") as merged,
        Study(folder / "whole.lurk") as whole,
    ):
        same_scan(whole, merged)
        statistics = [(one.input_statistics.mean, one.input_statistics.spectrum) for one in (whole, merged)]
        np.testing.assert_allclose(statistics[0][1], statistics[1][1], rtol=1e-12)
        assert whole.runs["scan"].options == merged.runs["scan"].options
        assert merged.runs["scan"].finished
    assert check(tmp_path / "merged.lurk").problems == ()
    assert os.listdir(tmp_path) == ["merged.lurk"]


def test_merging_takes_no_notes_of_people_from_parts(parts, tmp_path):
    noted = [Path(shutil.copy(one, tmp_path)) for one in parts]
    for one in noted:
        write_remarks(one, {Unit("0", 0): Change(name="wheels")})
    with tl.merge(noted, out=tmp_path / "merged.lurk") as merged:
        assert merged.remarks == {}


@pytest.mark.slow
def test_a_part_that_was_interrupted_goes_on_to_the_same_study(folder, parts, tmp_path, interrupted, monkeypatch, same_scan):
    monkeypatch.setattr("torchlurk.stages.scan.SHARD_EXAMPLES", 4)
    monkeypatch.setattr("torchlurk.stages.scan.SECONDS_BETWEEN_SAVES", 0.0)
    monkeypatch.setattr("torchlurk.stages.scan.SAVE_SHARE", 1e9)
    for method, times in (("save_progress", 2), ("write_scan", 2), ("write_pictures", 0)):
        with interrupted(method, times):
            part(tmp_path, 2)
        with pytest.raises(StudyError, match=r"part 2/3 in .* is not finished"):
            tl.merge([parts[0], tmp_path / "2.lurk", parts[2]], out=tmp_path / "merged.lurk")
    part(tmp_path, 2)
    with (
        tl.merge([parts[0], tmp_path / "2.lurk", parts[2]], out=tmp_path / "m.lurk") as merged,
        Study(folder / "whole.lurk") as whole,
    ):
        same_scan(whole, merged)


def test_check_tells_which_part_a_study_is(parts):
    said = CliRunner().invoke(torchlurk_command, ["check", str(parts[0])]).output
    assert "part 1/3 of scan: done; merge puts all parts together\n" in said
    assert "stage scan: 16 of 45 examples, those of the part, done\n" in said
    assert "no problems found" in said


def test_a_finished_part_is_left_as_it_is(parts):
    before = parts[0].read_bytes()
    part(parts[0].parent, 1)
    assert parts[0].read_bytes() == before


def test_the_batch_size_of_a_part_follows_from_the_model_and_no_trial_decides(tmp_path, monkeypatch):
    monkeypatch.delattr("torchlurk.stages.batch_size.choose_batch_size")
    first, second = (part(tmp_path, number, 2, batch_size=None) for number in (1, 2))
    with Study(first) as one, Study(second) as other:
        assert one.reader.batch_size() == other.reader.batch_size() == 32


def test_a_run_that_is_continued_keeps_its_batch_size(tmp_path, interrupted, monkeypatch):
    with interrupted("write_scan", 0):
        tl.analyze(network(), Pictures(), tmp_path / "a.lurk", **OPTIONS)
    monkeypatch.delattr("torchlurk.stages.batch_size.choose_batch_size")
    with tl.analyze(network(), Pictures(), tmp_path / "a.lurk", **OPTIONS | {"batch_size": None}) as study:
        assert study.reader.batch_size() == 4


def test_parts_that_do_not_fit_together_are_refused(folder, parts, tmp_path):
    def refused(why, *given):
        with pytest.raises(StudyError, match=why) as caught:
            tl.merge(given, out=tmp_path / "merged.lurk")
        assert not list(tmp_path.glob("*merged*"))
        assert "\n" not in str(caught.value)

    one, two, three = parts
    refused("part 2/3 missing", one, three)
    refused("parts 1/3, 2/3 missing", three)
    refused("part 2/3 is given twice", one, two, three, two)
    refused("not a part", one, two, folder / "whole.lurk")
    for name, given in {"top": 5, "batch_size": 8}.items():
        (tmp_path / name).mkdir()
        refused(
            rf"parts differ in {name} \('.*1.lurk': \d+, '.*3.lurk': {given}\)",
            one,
            two,
            part(tmp_path / name, 3, **{name: given}),
        )
    other = tmp_path / "other"
    other.mkdir()
    tl.analyze(network(1), Pictures(), other / "3.lurk", part="3/3", **OPTIONS).close()
    refused("parts differ in the model's weights", one, two, other / "3.lurk")
    tl.analyze(network(), Pictures(unreadable=(0, 17)), other / "data.lurk", part="3/3", **OPTIONS).close()
    refused("parts differ in the data", one, two, other / "data.lurk")
    (tmp_path / "of").mkdir()
    refused("part 3/4 of scan", one, two, part(tmp_path / "of", 3, 4))


def test_nothing_is_merged_over_a_study(folder, parts):
    before = (folder / "whole.lurk").read_bytes()
    with pytest.raises(StudyError, match="is there already"):
        tl.merge(parts, out=folder / "whole.lurk")
    assert (folder / "whole.lurk").read_bytes() == before


def test_a_part_and_a_whole_study_do_not_continue_each_other(folder, tmp_path):
    shutil.copy(folder / "whole.lurk", tmp_path / "2.lurk")
    with pytest.raises(MismatchError, match="is a whole study, not part 2/3 of scan"):
        part(tmp_path, 2)
    with pytest.raises(MismatchError, match="is part 1/3 of scan, not a whole study"):
        tl.analyze(network(), Pictures(), folder / "1.lurk", **OPTIONS)
    with pytest.raises(MismatchError, match="is part 1/3 of scan, not part 1/4 of scan"):
        part(folder, 1, 4)


def test_more_parts_than_batches_and_parts_that_need_the_whole_scan_are_refused(tmp_path):
    with pytest.raises(OptionError, match=r"enough for 12 part\(s\) +\(make at most 12, or give a smaller batch_size\)"):
        part(tmp_path, 2, 13)
    with pytest.raises(OptionError, match="need the whole scan"):
        part(tmp_path, 1, stages=["scan", "attribute"])
    with pytest.raises(OptionError, match="starts from scratch"):
        part(tmp_path, 1, merged=tmp_path / "a.lurk")
    assert os.listdir(tmp_path) == []


class Series:
    """Series of two lengths."""

    def __len__(self) -> int:
        return 300

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.rand(6 - index % 2, 2, generator=torch.Generator().manual_seed(index))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.rnn, self.out = nn.GRU(2, 3, batch_first=True), nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.rnn(x)[0][:, -1])


@pytest.mark.slow
def test_parts_of_series_are_merged_with_what_units_did_at_each_step(tmp_path, same_scan):
    options = {"kind": "series", "batch_size": 16, "top": 2, "sample": 32}
    paths = [tmp_path / f"{number}.lurk" for number in (1, 2)]
    for number, path in enumerate(paths, 1):
        tl.analyze(Recurrent(), Series(), path, part=f"{number}/2", **options).close()
    with (
        tl.merge(paths, out=tmp_path / "m.lurk") as merged,
        tl.analyze(Recurrent(), Series(), tmp_path / "w.lurk", **options) as whole,
    ):
        same_scan(whole, merged)
        units = [unit for layer in whole.layers if layer.record.layout == "sequence" for unit in layer]
        assert units
        for unit in units:
            steps = [one.unit(unit.address).steps() for one in (whole, merged)]
            assert steps[0].traces.keys() == steps[1].traces.keys() == steps[0].examples.keys() == steps[1].examples.keys()
            for example, values in steps[0].traces.items():
                np.testing.assert_allclose(values, steps[1].traces[example], atol=0.02)
    assert check(tmp_path / "m.lurk").problems == ()


def test_an_example_that_only_the_whole_shows_is_in_its_part(tmp_path):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU())
    pictures = [torch.rand(3, 5, 5, generator=torch.Generator().manual_seed(index)) for index in range(200)]
    options = OPTIONS | {"top": 1, "sample": 200, "batch_size": 20}
    paths = [tmp_path / f"{number}.lurk" for number in (1, 2)]
    for number, path in enumerate(paths, 1):
        tl.analyze(net, pictures, path, part=f"{number}/2", **options).close()
    with tl.merge(paths, out=tmp_path / "merged.lurk") as merged:
        shown = {one.example for unit in merged["0"] for ranked in unit.record.exemplars.values() for one in ranked}
        assert len(shown) > 15
        assert all(merged.picture(example) is not None for example in shown)


LATER = {"stages": ["attribute", "synthesize"], "steps": 3, "exemplars": 2, "methods": ["gradient", "guided"]}


def later_part(folder: Path, number: int, of: int = 2, **given) -> Path:
    path = folder / f"later-{number}.lurk"
    options = OPTIONS | LATER | {"merged": folder / "merged.lurk"} | given
    tl.analyze(network(), Pictures(), path, part=f"{number}/{of}", **options).close()
    return path


@pytest.fixture(scope="module")
def later(folder, tmp_path_factory) -> Path:
    """`merged.lurk`, `later-1.lurk` and `later-2.lurk` made from it, and `whole.lurk` with the same stages."""
    torch.set_num_threads(1)
    made = tmp_path_factory.mktemp("later")
    tl.merge([folder / f"{number}.lurk" for number in range(1, PARTS + 1)], out=made / "merged.lurk").close()
    shutil.copy(made / "merged.lurk", made / "whole.lurk")
    tl.analyze(network(), Pictures(), made / "whole.lurk", **OPTIONS | LATER).close()
    for number in (1, 2):
        later_part(made, number)
    return made


@pytest.mark.slow
def test_parts_of_the_later_stages_are_added_to_the_study_that_they_went_on_from(later, tmp_path, same_pictures):
    made = [0, 0]
    for index in (0, 1):
        with Study(later / f"later-{index + 1}.lurk") as one:
            made[index] = sum(bool(one.reader.syntheses(Unit.parse(unit.address))) for layer in one.layers for unit in layer)
    assert sum(made) == 13
    assert max(made) == 7
    shutil.copy(later / "merged.lurk", tmp_path / "m.lurk")
    paths = [later / "later-2.lurk", later / "later-1.lurk"]
    for out in (tmp_path / "m.lurk", tmp_path / "new.lurk"):
        with tl.merge(paths, out=out) as merged, Study(later / "whole.lurk") as whole:
            same_pictures(whole, merged)
            assert {stage: run.options for stage, run in whole.runs.items()} == {
                stage: run.options for stage, run in merged.runs.items()
            }
            assert all(run.finished for run in merged.runs.values())
        assert check(out).problems == ()
    assert sorted(os.listdir(tmp_path)) == ["m.lurk", "new.lurk"]


@pytest.mark.slow
def test_a_merge_of_later_parts_that_was_interrupted_goes_on(later, tmp_path, interrupted, same_pictures):
    shutil.copy(later / "merged.lurk", tmp_path / "m.lurk")
    paths = [later / "later-1.lurk", later / "later-2.lurk"]
    with interrupted("replace_check", 1):
        tl.merge(paths, out=tmp_path / "m.lurk")
    with tl.merge(paths, out=tmp_path / "m.lurk") as merged, Study(later / "whole.lurk") as whole:
        same_pictures(whole, merged)


@pytest.mark.slow
def test_parts_of_later_stages_that_do_not_fit_are_refused(later, folder, tmp_path):
    shutil.copy(later / "merged.lurk", tmp_path / "merged.lurk")
    first = later / "later-1.lurk"
    with pytest.raises(MismatchError, match="parts differ in methods"):
        tl.merge([first, later_part(tmp_path, 2, methods=["gradient"])], out=tmp_path / "m.lurk")
    with pytest.raises(MismatchError, match=r"was made with different settings: methods \(made with \[.gradient.\], now"):
        later_part(tmp_path, 2)
    with pytest.raises(MismatchError, match="is not the scan that"):
        tl.merge([first, later / "later-2.lurk"], out=folder / "whole.lurk")
    with pytest.raises(StudyError, match="does not hold a complete scan"):
        later_part(tmp_path, 1, merged=folder / "1.lurk")
    with pytest.raises(OptionError, match="needs the whole scan"):
        later_part(tmp_path, 1, merged=None)
    with pytest.raises(OptionError, match="merged is given without part"):
        tl.analyze(network(), Pictures(), tmp_path / "a.lurk", merged=first, **OPTIONS)
    options = OPTIONS | LATER | {"merged": later / "merged.lurk"}
    with pytest.raises(MismatchError, match="was made with different settings: the model's weights"):
        tl.analyze(network(1), Pictures(), tmp_path / "a.lurk", part="1/2", **options)
    assert sorted(os.listdir(tmp_path)) == ["later-2.lurk", "merged.lurk"]


def test_shares_keep_the_units_that_stand_for_a_layer_together():
    layers = {"a": list(range(20)), "b": [3, 1, 2], "c": list(range(30))}
    for of in (1, 2, 3, 4, 7, 60):
        shares = [units_of(Share(number, of), layers, 6) for number in range(1, of + 1)]
        for layer, channels in layers.items():
            assert sorted(one for share in shares for one in share[layer]) == sorted(channels)
            assert sum(not share[layer].isdisjoint(channels[:6]) for share in shares) == 1
    assert units_of(None, layers) == {layer: frozenset(channels) for layer, channels in layers.items()}
