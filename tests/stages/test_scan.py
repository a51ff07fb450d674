"""The stage `scan`: what it tells of units that nothing tells apart."""

# Tolerances: 1e-5 in float32, for batches of another size; traces are stored in 255 steps of a unit's range.

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from PIL import Image
from torch import nn

import torchlurk as tl
from torchlurk.cli.summary import most_selective, summary
from torchlurk.errors import DataError, ModelError
from torchlurk.jobs import Silence
from torchlurk.stages import previews
from torchlurk.stages.scan_results import GATES_TIE
from torchlurk.store.checking import check
from torchlurk.store.folding import left_open
from torchlurk.store.reading import Reader
from torchlurk.units import Unit

LEAVE_OPEN = """
import os, sys
from pathlib import Path
from torchlurk.store.writing import Writer

writer = Writer(Path(sys.argv[1]))
writer.add_note("data", "written by one who never closed")
os._exit(0)
"""


class Bright(torch.utils.data.Dataset[torch.Tensor]):
    """Pictures that are brighter and brighter."""

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.full((1, 4, 4), 1 + index / 10)


class Never(nn.Module):
    """What must not be run."""

    def forward(self, x):
        raise AssertionError("the network was run")


def scanned(activation: nn.Module, path):
    net = nn.Sequential(nn.Conv2d(1, 4, 1, bias=False), activation)
    nn.init.constant_(net[0].weight, 10.0)
    with torch.no_grad():
        net[0].weight[3] = -1.0
    return tl.analyze(net, Bright(), path / "a.lurk", mean=(0,), std=(1,), top=3)


@pytest.mark.slow
def test_a_note_says_where_the_strongest_examples_tie_at_a_ceiling(tmp_path):
    study = scanned(nn.ReLU6(), tmp_path)
    assert study.unit("0:0").exemplars("max") == ()  # it is at the ceiling at every position of every example
    (note,) = study.notes
    assert "at the ceiling of relu6: 0 (75%)" in note
    assert "--tap output" in note


class Saturated(nn.Module):
    """A GRU whose reset and update gates are fully open in most examples, and its states at one."""

    def __init__(self, states: bool) -> None:
        super().__init__()
        self.rnn = nn.GRU(1, 3, batch_first=True)
        for one in self.rnn.parameters():
            nn.init.zeros_(one)
        with torch.no_grad():
            self.rnn.bias_ih_l0[:6] = -200.0 if states else 200.0
            self.rnn.weight_ih_l0[6:] = 200.0 if states else 1.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.rnn(x)[0]
        return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("states", "notes"),
    [
        (False, [GATES_TIE]),
        (True, ["units whose strongest examples all reach the same value, as at the ceiling of a recurrent state: rnn.l0"]),
    ],
)
def test_a_note_on_ties_says_what_saturates(states, notes, tmp_path):
    examples = [torch.full((4, 1), 1 + index / 10) for index in range(8)]
    with tl.analyze(Saturated(states), examples, tmp_path / "s.lurk", top=3, input_axes="btc") as study:
        found = [note.partition(" (")[0] for note in study.notes]
    assert found[: len(notes)] == notes


@pytest.mark.slow
def test_units_that_are_told_apart_or_never_active_need_no_note(tmp_path):
    study = scanned(nn.ReLU(), tmp_path)
    assert [one.example for one in study.unit("0:0").exemplars("max")] == [11, 10, 9]
    assert study.notes == ()


class Turned(nn.Module):
    """Two convolutions, and a function of the map between them."""

    def __init__(self, function):
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.function = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1), function

    def forward(self, x):
        return self.b(self.function(self.a(x).relu())).relu()


def noise(count=8, side=16):
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(3, side, side, generator=generator) for _ in range(count)]


TURNS = {
    "flip": (lambda x: x.flip(3), (1, -1)),
    "half a turn": (lambda x: x.rot90(2, (2, 3)), (-1, -1)),
    "a quarter": (lambda x: x.rot90(1, (2, 3)), None),
    "transposed": (lambda x: x.transpose(2, 3), None),
    "rolled": (lambda x: x.roll(5, 3), (1, 1)),
    "flipped and pooled": (lambda x: nn.functional.avg_pool2d(x.flip(2), 2), (-2, 2)),
    "flipped and enlarged": (lambda x: nn.functional.interpolate(x.flip(2), size=(8, 8), mode="bilinear"), (-2, 2)),
    "all the same": (lambda x: x[..., :1].expand_as(x), None),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TURNS)
def test_a_study_of_maps_that_are_turned_can_be_read(name, tmp_path):
    function, stride = TURNS[name]
    study = tl.analyze(Turned(function), noise(), tmp_path / "a.lurk", mean=(0, 0, 0), std=(1, 1, 1))
    assert [(layer.name, len(layer)) for layer in study.layers] == [("a", 6), ("b", 6)]
    assert study["b"].record.stride == stride
    assert check(study.path).problems == ()


def test_a_note_names_layers_whose_boxes_hold_what_numbers_came_from(tmp_path):
    study = tl.analyze(Turned(lambda x: x / x.max().item()), noise(), tmp_path / "a.lurk", mean=(0, 0, 0), std=(1, 1, 1))
    (note,) = study.notes
    assert note.endswith("often the whole input: b")
    assert {one.box for one in study.unit("b:0").exemplars("max")} == {(0, 0, 16, 16)}


class Chunked(nn.Module):
    """Runs its backbone on a few examples at a time."""

    def __init__(self, many, inplace=True):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(inplace))
        self.fc, self.many = nn.Linear(8, 4), many

    def forward(self, x):
        return self.fc(torch.cat([self.net(part).mean((2, 3)) for part in x.split(self.many)]))


class Experts(nn.Module):
    """Leads dark pictures to one expert and bright ones to another."""

    def __init__(self, inplace):
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.experts = nn.ModuleList(nn.Sequential(nn.Conv2d(4, 8, 3, padding=1), nn.ReLU(inplace)) for _ in range(2))
        self.fc = nn.Linear(8, 3)

    def forward(self, x):
        a = self.stem(x).relu()
        bright = x.mean((1, 2, 3)) > 0.5
        out = a.new_zeros(len(x), 8, *a.shape[2:])
        for expert, here in zip(self.experts, (~bright, bright), strict=True):
            if here.any():
                out[here] = expert(a[here])
        return self.fc(out.mean((2, 3)))


def lit(count=14):
    """Every third picture is bright, the first among them."""
    return [one / 2 + (0.5 if index % 3 == 0 else 0) for index, one in enumerate(noise(count, 8))]


def analyzed(model, data, path, **given):
    return tl.analyze(model.eval(), data, path, mean=(0, 0, 0), std=(1, 1, 1), top=3, **given)


def strongest(study, layer):
    ranked = [study.unit(f"{layer}:{unit}").exemplars("max") for unit in range(len(study[layer]))]
    return [[(one.example, round(one.score, 4)) for one in exemplars] for exemplars in ranked]


def expected(layer, data, examples, k=3):
    """The same, found one example after the other."""
    with torch.no_grad():
        peaks = torch.stack([layer(data[index][None])[0].flatten(1).amax(1) for index in examples]).T
    best = [sorted(zip(-row, examples, strict=True))[:k] for row in peaks.double().numpy()]
    return [[(example, round(-float(score), 4)) for score, example in row] for row in best]


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [None, 4, 9])
@pytest.mark.parametrize("many", [1, 4])
def test_a_forward_that_splits_its_batch_gives_the_exemplars_of_one_that_does_not(many, batch_size, tmp_path):
    model, data = Chunked(many), lit()
    study = analyzed(model, data, tmp_path / "a.lurk", batch_size=batch_size)
    assert [layer.name for layer in study.layers] == ["net.0", "fc"]
    whole = Chunked(len(data)).eval()
    assert strongest(study, "net.0") == expected(whole.net, data, range(len(data)))
    assert study.notes == ()


@pytest.mark.parametrize("batch_size", [None, 1, 8])
@pytest.mark.parametrize("inplace", [True, False])
def test_an_expert_is_scanned_on_the_examples_that_are_led_to_it(inplace, batch_size, tmp_path):
    model, data = Experts(inplace), lit()
    study = analyzed(model, data, tmp_path / "a.lurk", batch_size=batch_size)
    assert [layer.name for layer in study.layers] == ["stem", "experts.1.0", "fc"]
    bright = range(0, len(data), 3)
    found = expected(lambda x: model.experts[1](model.stem(x).relu()), data, bright)
    # Of a unit that is zero everywhere no example is the strongest.
    assert strongest(study, "experts.1.0") == [rows if rows[0][1] > 0 else [] for rows in found]
    notes = " / ".join(study.notes)
    assert "layer experts.0 is left out: the first example does not reach it" in notes
    assert "layer experts.1.0: 5 of 14 examples reach it" in notes
    assert check(study.path).problems == ()


def test_pictures_of_an_expert_are_made_one_input_at_a_time(tmp_path):
    model, data = Experts(True), lit()
    stages = ["scan", "attribute", "synthesize"]
    study = analyzed(model, data, tmp_path / "a.lurk", stages=stages, steps=2, units=["experts.1.0:0", "fc:0"])
    assert check(study.path).problems == ()
    assert [one.exemplar.example for one in study.unit("experts.1.0:0").attributions() if one.method == "gradient"][:1]


def test_attributions_of_a_chunked_network_are_those_of_one_that_is_not():
    inputs = torch.stack(lit(6))
    found = [tl.attribute(Chunked(many).eval(), inputs, "net.0:3", method="guided") for many in (1, 4, 6)]
    for other in found[:2]:
        torch.testing.assert_close(other, found[2])


def test_explaining_several_images_at_once_is_refused_where_each_may_go_a_way_of_its_own():
    model, images = Experts(False).eval(), torch.stack(lit(2))
    with pytest.raises(ModelError, match="give one input at a time"):
        tl.explain(model, images)
    assert tl.explain(model, images[:1]) is not None


class Centred(nn.Module):
    """Takes off the running mean of the examples before, a buffer that it keeps up to date in evaluation mode too."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(1, 2, 1)
        self.b = nn.Conv2d(2, 2, 1)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        before = self.seen.clone()
        self.seen.add_(x.detach().mean())
        return self.b(self.a(x) - before)


@pytest.mark.parametrize("training", [False, True])
def test_a_network_that_keeps_state_is_left_as_found_and_scores_do_not_depend_on_the_batch_size(training, tmp_path):
    torch.manual_seed(0)
    net = Centred().train(training)
    found = []
    for size in (2, 12):
        random = torch.get_rng_state()
        study = tl.analyze(net, Bright(), tmp_path / f"{size}.lurk", mean=(0,), std=(1,), top=3, batch_size=size)
        assert net.seen == 0
        assert torch.equal(torch.get_rng_state(), random)
        (note,) = study.notes
        assert "state that each pass changes (seen)" in note
        found.append([(one.example, one.score) for one in study.unit("b:0").exemplars("max")])
    assert [one for one, _ in found[0]] == [one for one, _ in found[1]]
    assert [one for _, one in found[0]] == pytest.approx([one for _, one in found[1]], rel=1e-5)


def test_what_scores_depend_on_beside_the_example_is_said_at_once_and_kept(tmp_path):
    class Heard(Silence):
        def say(self, text: str) -> None:
            heard.append(text)

    heard: list[str] = []
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2, track_running_stats=False), nn.Conv2d(2, 2, 1)).eval()
    (note,) = tl.analyze(net, Bright(), tmp_path / "a.lurk", mean=(0,), std=(1,), top=3, batch_size=4, progress=Heard()).notes
    assert "depend on the other examples of the batch" in note
    assert heard == [f"note: {note}"]


def test_of_a_data_set_of_series_the_longest_decides_how_many_steps_a_layer_has(tmp_path):
    rnn = nn.RNN(1, 2, batch_first=True)
    series = [torch.linspace(0, 1, steps)[:, None] for steps in (3, 7, 5)]
    with tl.analyze(rnn, series, tmp_path / "a.lurk", batch_size=1) as study:
        states = [rnn(one)[0][:, 1].max().detach() for one in series]
        (layer,) = study.layers
        assert layer.record.shape == (7,)
        scores = {one.example: one.score for one in layer[1].exemplars("max")}
        assert [scores[example] for example in range(3)] == pytest.approx([float(one) for one in states], abs=1e-5)


@pytest.mark.slow
def test_the_summary_names_the_most_selective_unit_of_those_that_more_than_a_few_pictures_excite(tmp_path):
    """Pictures 0 to 39 have values of 0 to 3.9 and the classes 0 and 1: unit 0 sees the last one alone, unit 1 class 1."""
    pictures = [(torch.full((1, 2, 2), index / 10), index // 20) for index in range(40)]
    net = nn.Sequential(nn.Conv2d(1, 3, 1), nn.ReLU())
    with torch.no_grad():
        net[0].weight[:], net[0].bias[:] = 1, torch.tensor([-3.85, -1.95, 0])
    path = tmp_path / "a.lurk"
    with tl.analyze(net, pictures, path, mean=(0,), std=(1,)) as study:
        assert study.units()["selectivity"].tolist()[:2] == pytest.approx([1, 1])
        assert most_selective(study) == ["0:1"]
    with torch.no_grad():
        net[0].bias[1:] = -100
    with tl.analyze(net, pictures, tmp_path / "b.lurk", mean=(0,), std=(1,)):
        assert "Look at a unit" not in summary(tmp_path / "b.lurk")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("steps", "channels", "said"),
    [(1 << 24, 1, "a series of 16,777,216 steps has 67,108,864 bytes"), (2, 65537, "a series has 65,537 channels")],
)
def test_a_series_that_a_study_could_not_give_back_is_refused_before_the_network_runs(tmp_path, steps, channels, said):
    with pytest.raises(DataError, match=said):
        tl.analyze(Never(), [torch.zeros(3, channels), torch.zeros(1).expand(steps, channels)], tmp_path / "a.lurk")
    assert not list(tmp_path.iterdir())


def test_a_layer_of_more_positions_than_a_study_could_give_back_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(previews, "LONGEST", 16)
    net = nn.Sequential(nn.ConvTranspose1d(4, 4, 3, 2))
    with pytest.raises(DataError, match="layer 0 has 17 positions on the longest example"):
        tl.analyze(net, [torch.zeros(8, 4), torch.zeros(6, 4)], tmp_path / "a.lurk", input_axes="bct", kind="series")


@pytest.mark.slow
def test_an_order_of_axes_that_leaves_no_layer_names_the_option(tmp_path):
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn, self.head = nn.GRU(4, 3, batch_first=True), nn.Linear(3, 2)

        def forward(self, x):
            return self.head(self.rnn(x)[0][:, -1])

    with pytest.raises(ModelError, match=r"no layer whose output has channels \(rnn: .*and input_axes if it was given"):
        tl.analyze(Recurrent(), [torch.rand(8, 4), torch.rand(6, 4)], tmp_path / "a.lurk", input_axes="tbc", kind="series")


@pytest.mark.slow
def test_a_complete_study_that_was_left_open_becomes_one_file_by_the_same_command(tmp_path):
    path = tmp_path / "a.lurk"
    scanned(nn.ReLU(), tmp_path).close()
    subprocess.run([sys.executable, "-c", LEAVE_OPEN, path], check=True)
    assert left_open(path)
    with scanned(nn.ReLU(), tmp_path) as study:
        assert study.notes == ("written by one who never closed",)
    assert list(tmp_path.iterdir()) == [path]


class SortedBatch(nn.Module):
    """Runs its convolution on the examples of a batch by their brightness, and puts the answers back."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        order = x.mean((1, 2, 3)).argsort()
        return self.fc(self.conv(x[order]).relu().mean((2, 3)))[order.argsort()]


def test_a_forward_that_sorts_its_batch_is_run_on_one_example_at_a_time(tmp_path):
    pictures = torch.rand(20, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    net = SortedBatch().eval()
    study = analyzed(net, list(pictures), tmp_path / "s.lurk", batch_size=9)
    with torch.no_grad():
        alone = torch.cat([net.conv(one[None]).relu().amax((2, 3)) for one in pictures])
    for channel in range(4):
        best = alone[:, channel].topk(3).indices.tolist()
        assert [one.example for one in study.unit(f"conv:{channel}").exemplars("max")] == best
    assert [note for note in study.notes if "in a different order" in note and "conv" in note]


class OneByOne(nn.Module):
    """Runs an LSTM on one example of a batch after the other."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.rnn, self.fc = nn.LSTM(2, 3, batch_first=True), nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.fc(self.rnn(one[None])[0][:, -1]) for one in x])


def test_traces_of_a_forward_that_splits_its_batch_are_each_examples_own(tmp_path):
    series = list(torch.randn(8, 6, 2, generator=torch.Generator().manual_seed(1)))
    net = OneByOne().eval()
    study = tl.analyze(net, series, tmp_path / "s.lurk", batch_size=4)
    with torch.no_grad():
        own = torch.cat([net.rnn(one[None])[0] for one in series])
    with Reader(study.path) as reader:
        traces = reader.traces(Unit("rnn.l0", 1))
    assert sorted(traces) == list(range(8))
    for example, values in traces.items():  # kept at 255 levels
        assert torch.allclose(torch.from_numpy(values), own[example, :, 1], atol=0.005)


class EndsEarly(nn.Module):
    """Calls a cell step by step, and stops where the series says so."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.cell, self.fc = nn.GRUCell(2, 3), nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = x.new_zeros(len(x), 3)
        for step in range(x.shape[1]):
            h = self.cell(x[:, step], h)
            if (x[:, step, 0] > 0.9).all().item():
                break
        return self.fc(h)


def test_a_loop_that_ends_early_on_the_longest_series_leaves_a_whole_study(tmp_path):
    draw = torch.Generator().manual_seed(0)
    series = [torch.rand(length, 2, generator=draw) * 0.8 for length in (1, 3, 9, 5, 7, 2, 12, 8)]
    series[6][4, 0] = 1.0
    study = tl.analyze(EndsEarly().eval(), series, tmp_path / "s.lurk", input_axes="btc")
    assert check(study.path).problems == ()
    with Reader(study.path) as reader:
        traces = reader.traces(Unit("cell", 0))
        assert {example: len(values) for example, values in traces.items()} == {
            example: 5 if example == 6 else len(series[example]) for example in traces
        }
        assert any(len(values) > 5 for values in traces.values())


@pytest.mark.slow
@pytest.mark.parametrize(("given", "noted"), [({}, True), ({"mean": (0.5,) * 3, "std": (0.25,) * 3}, False)])
def test_pixels_taken_as_they_are_because_nothing_says_otherwise_are_a_note(given, noted, tmp_path):
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (8, 8), (200, 100, 0)).save(tmp_path / "pictures" / "one.png")
    with tl.analyze(nn.Conv2d(3, 2, 3), tmp_path / "pictures", tmp_path / "s.lurk", **given) as study:
        assert any("--mean and --std" in note for note in study.notes) == noted
    with tl.analyze(nn.Conv2d(3, 2, 3), [torch.rand(3, 8, 8)], tmp_path / "t.lurk") as study:
        assert study.notes == ()
