"""Models of your own: a function that returns (module, preprocessing) is all that Torchlurk asks for.

torchlurk analyze examples/models.py:mobilenet_v1 IMAGES --weights mobilenet.safetensors --out mobilenet.lurk
"""

import torch.nn.functional as F
from torch import Tensor, nn

from torchlurk.records import Preprocessing

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class StridedConv(nn.Conv2d):
    """Padded one row below and one column on the right: TensorFlow's SAME for a 3×3 kernel, stride 2, even sizes."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, (0, 1, 0, 1)))


def convolution(inputs: int, outputs: int, *, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """3×3, without bias; padded evenly for stride 1 and on one side only for stride 2."""
    if stride == 1:
        return nn.Conv2d(inputs, outputs, 3, padding=1, groups=groups, bias=False)
    return StridedConv(inputs, outputs, 3, stride=stride, groups=groups, bias=False)


class MobileNetV1(nn.Module):
    """MobileNet (Howard et al. 2017, table 1) of width 0.75: depthwise separable convolutions, each with ReLU6."""

    WIDTHS = (24, 48, 96, 96, 192, 192, 384, 384, 384, 384, 384, 384, 768, 768)
    STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        first = nn.Sequential(convolution(3, self.WIDTHS[0], stride=2), nn.BatchNorm2d(self.WIDTHS[0]), nn.ReLU6())
        widths = zip(self.WIDTHS, self.WIDTHS[1:], self.STRIDES, strict=False)
        self.model = nn.Sequential(first, *(self.separable(*width) for width in widths), nn.AdaptiveAvgPool2d(1))
        self.fc = nn.Linear(self.WIDTHS[-1], classes)

    @staticmethod
    def separable(inputs: int, outputs: int, stride: int) -> nn.Sequential:
        depthwise = convolution(inputs, inputs, stride=stride, groups=inputs)
        pointwise = nn.Conv2d(inputs, outputs, 1, bias=False)
        return nn.Sequential(depthwise, nn.BatchNorm2d(inputs), nn.ReLU6(), pointwise, nn.BatchNorm2d(outputs), nn.ReLU6())

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.model(x).flatten(1))


class CifarBlock(nn.Module):
    """Two 3×3 convolutions and a shortcut without parameters (He et al. 2015, sec. 4.2, option A)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.stride, self.added = stride, outputs - inputs

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(out)) + self.shortcut(x))

    def shortcut(self, x: Tensor) -> Tensor:
        if not self.added:
            return x
        half = self.added // 2
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, half, half))


class CifarResNet(nn.Module):
    """ResNet for 32×32 pictures: three stages of equal depth, of 16, 32 and 64 channels."""

    def __init__(self, depth: int = 20, classes: int = 10) -> None:
        super().__init__()
        blocks = (depth - 2) // 6
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = self.stage(16, 16, blocks, stride=1)
        self.layer2 = self.stage(16, 32, blocks, stride=2)
        self.layer3 = self.stage(32, 64, blocks, stride=2)
        self.linear = nn.Linear(64, classes)

    @staticmethod
    def stage(inputs: int, outputs: int, blocks: int, stride: int) -> nn.Sequential:
        first = CifarBlock(inputs, outputs, stride)
        return nn.Sequential(first, *(CifarBlock(outputs, outputs, 1) for _ in range(blocks - 1)))

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.layer3(self.layer2(self.layer1(out)))
        return self.linear(out.mean((2, 3)))


class TinyVGG(nn.Module):
    """Four unpadded convolutions of ten channels for 64×64 pictures, small enough to look at whole."""

    def __init__(self, classes: int = 10, channels: int = 10) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs in (3, channels):
            layers += [nn.Conv2d(inputs, channels, 3), nn.ReLU(), nn.Conv2d(channels, channels, 3), nn.ReLU()]
            layers += [nn.MaxPool2d(2)]
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(channels * 13 * 13, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).flatten(1))


def mobilenet_v1() -> tuple[nn.Module, Preprocessing]:
    """MobileNet v1, width 0.75, for ImageNet."""
    return MobileNetV1(), Preprocessing(resize=(256,), crop=(224, 224), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


def resnet20_cifar() -> tuple[nn.Module, Preprocessing]:
    """ResNet-20 for CIFAR-10."""
    return CifarResNet(20), Preprocessing(resize=(32,), crop=(32, 32), mean=IMAGENET_MEAN, std=IMAGENET_STD)


def tinyvgg() -> tuple[nn.Module, Preprocessing]:
    """Tiny VGG for ten classes of 64×64 pictures."""
    return TinyVGG(), Preprocessing(resize=(64,), crop=(64, 64))
