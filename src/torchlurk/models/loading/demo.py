"""The demo network: it tells the things of the drawn world apart, and is small enough to come with the package."""

from __future__ import annotations

from importlib.resources import as_file, files

from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor, nn

from torchlurk.records import Preprocessing

SIDE = 96
"""Height and width of its input."""
CLASSES = 20
PREPROCESSING = Preprocessing(resize=(SIDE, SIDE), crop=(SIDE, SIDE), mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
WEIGHTS = "demo.safetensors"
"""The file beside this module, written by training/train_demo.py; half precision, which costs no accuracy."""


class Residual(nn.Module):
    """Two convolutions beside a short cut, which is a 1×1 convolution where stride or channels need one."""

    def __init__(self, channels_in: int, channels_out: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels_out)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels_out)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels_out:
            self.shortcut = nn.Conv2d(channels_in, channels_out, 1, stride, bias=False)

    def forward(self, maps: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch channel2 height2 width2"]:
        """The short cut plus what the convolutions add to it, rectified; `relu` is called twice."""
        inner = self.relu(self.norm1(self.conv1(maps)))
        outer: Tensor = self.relu(self.norm2(self.conv2(inner)) + self.shortcut(maps))
        return outer


class DemoNetwork(nn.Module):
    """A residual network on 96×96 pictures; its last maps are 12×12, so that they can point at a part."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 5, 2, padding=2, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.block1 = Residual(16, 32, stride=2)
        self.block2 = Residual(32, 64, stride=2)
        self.block3 = Residual(64, 64)
        self.block4 = Residual(64, 96)
        self.head = nn.Linear(96, CLASSES)

    def forward(self, inputs: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch class"]:
        """The logit of each class."""
        maps = self.block4(self.block3(self.block2(self.block1(self.stem(inputs)))))
        logits: Tensor = self.head(maps.mean((2, 3)))
        return logits


def demo_network() -> DemoNetwork:
    """The trained network in eval mode, in single precision."""
    network = DemoNetwork()
    with as_file(files("torchlurk.models.loading") / WEIGHTS) as path:
        network.load_state_dict(load_file(path))
    return network.eval()
