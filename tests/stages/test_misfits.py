"""Pictures that do not fit a model are refused, or told of, with what would."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import torchlurk as tl
from torchlurk.errors import ModelError


@pytest.fixture
def pictures(tmp_path):
    for number in range(2):
        pixels = np.random.default_rng(number).integers(0, 255, (40, 40, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    return tmp_path


def net() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 2, 3, padding=1), nn.MaxPool2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(2 * 8 * 8, 3))


def test_a_size_that_a_model_runs_at_is_named(pictures):
    with pytest.raises(ModelError, match="cannot run on an input of 3×40×40") as raised:
        tl.analyze(net(), pictures, pictures / "s.lurk")
    assert raised.value.hint == "it runs at 32×32: resize=32 crop=32"
    assert not (pictures / "s.lurk").exists()


def test_a_single_mean_for_a_model_of_colours_is_refused_for_that(pictures):
    with pytest.raises(ModelError, match=r"the pictures have 1 channel\(s\), and 0 \(Conv2d\) takes 3") as raised:
        tl.analyze(net(), pictures, pictures / "s.lurk", mean=(0.5,), std=(0.5,), resize=32, crop=32)
    assert "one value each make pictures grey; give three values each" in raised.value.hint


class Weighing(nn.Module):
    """Makes a tensor of its own, which is of 32 bits in any format of the network."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(channels, 4, 3), nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.conv(x).mean((2, 3)) * torch.ones(4))


class Remembering(nn.Module):
    """Makes its first state itself."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(2, 3, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.rnn(x, torch.zeros(1, len(x), 3))[0]


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_network_that_makes_tensors_of_32_bits_is_told_to_stay_there(pictures, precision):
    options = {"mean": (0,) * 3, "std": (1,) * 3, "precision": precision}
    told = rf"^with precision {precision}, Weighing cannot run on an input of 3×40×40: RuntimeError: mat1 .* dtype"
    with pytest.raises(ModelError, match=told) as raised:
        tl.analyze(Weighing(3), pictures, pictures / "s.lurk", **options)
    assert raised.value.hint.startswith("in fp32 it can: leave precision out, or let its forward make tensors")
    assert not (pictures / "s.lurk").exists()
    with pytest.raises(ModelError, match=r"^with precision .*, Remembering cannot run on these inputs"):
        tl.analyze(Remembering(), [torch.rand(6, 2) for _ in range(3)], pictures / "s.lurk", precision=precision)


def test_one_that_does_not_run_in_32_bits_either_is_told_of_that_alone(pictures):
    with pytest.raises(ModelError, match=r"^Weighing cannot run on an input of 3×40×40"):
        tl.analyze(Weighing(5), pictures, pictures / "s.lurk", mean=(0,) * 3, std=(1,) * 3, precision="bf16")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mean", "std", "told"), [(127.5, 127.5, True), (0.5, 58.0, True), (0.5, 0.5, False), (0.0, 1.0, False)]
)
def test_a_mean_of_pixels_up_to_255_is_told(pictures, mean, std, told):
    with tl.analyze(net(), pictures, pictures / "s.lurk", mean=(mean,) * 3, std=(std,) * 3, resize=32, crop=32) as study:
        assert any("pixels are numbers from 0 to 1, and the mean is" in note for note in study.notes) == told
