"""The package as a Python program uses it: wrapped models, data sets of one's own, units, notebooks."""

import copy
import importlib.util
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import Dataset

import torchlurk as tl
from torchlurk.errors import ModelError, UnitError

pytestmark = pytest.mark.slow


class Tensors(Dataset):
    """Normalized tensors with classes, the same whenever they are read."""

    classes = ("dark", "light")

    def __init__(self, channels=3, changing=False):
        self.channels, self.changing = channels, changing

    def __len__(self):
        return 30

    def __getitem__(self, index):
        random = torch.Generator().manual_seed(torch.seed() % 2**31 if self.changing else index)
        return torch.randn(self.channels, 24, 24, generator=random) * 0.3 + index % 2, index % 2


@pytest.fixture(scope="module")
def net(model):
    """The small model as an object."""
    path, _, _ = model.rpartition(":")
    spec = importlib.util.spec_from_file_location("small", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.net()[0]


def state(module):
    """Everything of a model that must be left as found."""
    flags = [(name, one.training, len(one._forward_hooks), len(one._forward_pre_hooks)) for name, one in module.named_modules()]
    return flags, {name: value.clone() for name, value in module.state_dict().items()}


def same(before, after):
    return before[0] == after[0] and all(torch.equal(before[1][name], after[1][name]) for name in before[1])


def test_a_study_of_a_module_and_a_data_set(net, tmp_path):
    net.train()
    before, random = state(net), torch.get_rng_state()
    with tl.analyze(net, Tensors(), tmp_path / "s.lurk", mean=(0, 0, 0), std=(1, 1, 1), layers=["conv*"]) as study:
        assert [layer.name for layer in study.layers] == ["conv1", "conv2"]
        assert [one.label for one in study.classes] == ["dark", "light"]
        unit = study["conv2"][3]
        assert unit.address == study.unit("conv2:3").address == "conv2:3"
        assert len(unit.exemplars("max")) == 9
        assert unit.classes("mean", top=1)[0][0] in ("dark", "light")
        assert unit._repr_png_().startswith(b"\x89PNG")
        assert study["conv2"]._repr_png_().startswith(b"\x89PNG")
        assert isinstance(study.picture(unit.exemplars()[0].example), Image.Image)
        assert study["conv1"].statistics["max"].shape == (8,)
        assert [one.address for one in study["conv1"][2:4]] == ["conv1:2", "conv1:3"]
        with pytest.raises(UnitError, match="nearest: conv"):
            study["convx"]
        with pytest.raises(UnitError, match="available: max"):
            unit.exemplars("median")
    assert same(before, state(net))
    assert torch.equal(random, torch.get_rng_state())


def test_a_model_is_left_as_found_when_its_forward_fails(tmp_path):
    class Failing(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.calls = nn.Conv2d(3, 4, 3), 0

        def forward(self, x):
            self.calls += 1
            if self.calls > 4:
                raise ValueError("enough")
            return self.conv(x)

    module = Failing().train()
    before = state(module)
    with pytest.raises((ValueError, ModelError), match="enough"):
        tl.analyze(module, Tensors(), tmp_path / "s.lurk", batch_size=4)
    assert same(before, state(module))


@pytest.mark.filterwarnings("ignore:.*torch.jit.script_method:DeprecationWarning")  # torch.compile's own
@pytest.mark.parametrize("wrap", [nn.DataParallel, torch.compile, lambda net: nn.DataParallel(torch.compile(net))])
def test_wrapped_models_are_unwrapped(wrap, net, tmp_path):
    with (
        tl.analyze(net, Tensors(), tmp_path / "plain.lurk") as plain,
        tl.analyze(wrap(net), Tensors(), tmp_path / "s.lurk") as study,
    ):
        assert [layer.name for layer in study.layers] == [layer.name for layer in plain.layers]
        assert study.unit("conv2:1").to_json() == plain.unit("conv2:1").to_json()


class Outputs(nn.Module):
    """A model that gives back what `shape` makes of its logits, by a way that depends on the data."""

    def __init__(self, shape):
        super().__init__()
        self.conv, self.head, self.shape = nn.Conv2d(3, 4, 3), nn.Linear(4, 2), shape

    def forward(self, x):
        x = self.conv(x)
        x = torch.relu(x) if x.sum() > 0 else torch.relu(x) * 1.0
        return self.shape(self.head(x.mean((2, 3))))


@pytest.mark.parametrize("shape", [lambda y: [y, y], lambda y: {"logits": y}, lambda y: (y, None)])
def test_any_output_and_any_control_flow(shape, tmp_path):
    with tl.analyze(Outputs(shape), Tensors(), tmp_path / "s.lurk") as study:
        assert [layer.name for layer in study.layers] == ["conv", "head"]
        assert study["conv"].record.read_after == ("relu",)


@pytest.mark.parametrize("channels", [1, 5])
def test_inputs_of_any_number_of_channels(channels, tmp_path):
    module = nn.Sequential(nn.Conv2d(channels, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    with tl.analyze(module, Tensors(channels), tmp_path / "s.lurk") as study:
        assert study.unit("0:2").picture().size[0] > 500
        assert study.input_statistics.covariance.shape == (channels, channels)


def test_data_that_changes_when_read_again_is_said(net, tmp_path):
    with tl.analyze(net, Tensors(changing=True), tmp_path / "s.lurk") as study:
        assert "random augmentation" in study.notes[0]


@pytest.mark.parametrize(("precision", "close"), [("bf16", 0.05), ("fp16", 0.005)])
def test_16_bits_give_nearly_the_same_and_leave_the_model_in_fp32(net, tmp_path, precision, close):
    with (
        tl.analyze(net, Tensors(), tmp_path / "a.lurk") as exact,
        tl.analyze(net, Tensors(), tmp_path / "b.lurk", precision=precision) as rough,
    ):
        a, b = (study["conv2"].statistics["max"] for study in (exact, rough))
    assert np.allclose(a, b, rtol=close, atol=close)
    assert next(net.parameters()).dtype == torch.float32


def test_a_data_set_without_classes(net, tmp_path):
    class Bare(Tensors):
        classes = ()

        def __getitem__(self, index):
            return super().__getitem__(index)[0]

    with tl.analyze(net, Bare(), tmp_path / "s.lurk") as study:
        document = study.unit("conv1:0").to_json()
    assert document["classes"] == {"max": [], "mean": []}
    assert document["statistics"]["selectivity"] is None
    assert document["exemplars"]["max"][0]["class"] is None


def test_a_study_is_shown_where_torch_is_not_installed(net, tmp_path):
    tl.analyze(copy.deepcopy(net), Tensors(), tmp_path / "s.lurk").close()
    hidden = "import sys; sys.modules['torch'] = None; from torchlurk.cli import main; main(['show', *sys.argv[1:]])"
    study, picture = str(tmp_path / "s.lurk"), str(tmp_path / "picture.png")
    for arguments in (["conv1:0"], ["conv1:0", "--json"], ["conv1:0", "--out", picture], ["fc", "--out", picture]):
        command = [sys.executable, "-c", hidden, study, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
