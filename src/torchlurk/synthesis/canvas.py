"""What a picture is drawn on: its size, and the colours and frequencies that pictures of the data have."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from torchlurk.input_records import InputStatistics

IMAGENET_COLOURS = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))
"""The square root of the colour covariance of ImageNet's pictures, one column a decorrelated colour (tensorflow/lucid)."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)

GREY = 0.5

LEAST_VARIANCE = 1e-12
"""Colour directions in which the data vary less than this count as not varying at all."""


@dataclass(frozen=True, slots=True, eq=False)
class Canvas:
    """Size and statistics of the pictures that are to be made, on one device.

    `correlation` turns decorrelated colours into the data's (its longest column has length 1), `mean` is the data's mean
    colour in the 0..1 range, and `spectrum` the mean magnitude of its orthonormal rfft2, up to a factor.
    """

    height: int
    width: int
    correlation: Float[Tensor, "channel channel2"]
    mean: Float[Tensor, " channel"]
    spectrum: Float[Tensor, "height frequency"]

    @property
    def channels(self) -> int:
        """How many channels pictures have."""
        return len(self.mean)

    @property
    def device(self) -> torch.device:
        """Where pictures are made."""
        return self.mean.device

    def to(self, device: torch.device) -> Canvas:
        """The same on another device."""
        moved = (one.to(device) for one in (self.correlation, self.mean, self.spectrum))
        return Canvas(self.height, self.width, *moved)


def canvas(
    channels: int, height: int, width: int, statistics: InputStatistics | None = None, device: torch.device | str = "cpu"
) -> Canvas:
    """A canvas with the data's own statistics; without them, with ImageNet's known colours for three channels, independent
    ones else, and magnitudes that fall as one over the frequency, as those of natural images do.
    """
    if statistics is not None and len(statistics.mean) == channels and statistics.count:
        correlation = _root(torch.from_numpy(statistics.covariance.copy()))
        mean = torch.from_numpy(statistics.mean.copy())
        spectrum = _resampled(torch.from_numpy(statistics.spectrum.copy()), height, width)
    else:
        known = channels == len(IMAGENET_MEAN)
        correlation = torch.tensor(IMAGENET_COLOURS) if known else torch.eye(channels)
        mean = torch.tensor(IMAGENET_MEAN) if known else torch.full((channels,), GREY)
        spectrum = 1 / frequencies(height, width).clamp(min=1 / max(height, width))
    longest = correlation.norm(dim=0).max().clamp(min=LEAST_VARIANCE)
    return Canvas(
        height,
        width,
        (correlation / longest).to(device, torch.float32),
        mean.to(device, torch.float32),
        spectrum.to(device, torch.float32),
    )


def frequencies(height: int, width: int) -> Float[Tensor, "height frequency"]:
    """How far from zero each frequency of an rfft2 is, in cycles per pixel."""
    return torch.hypot(torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)[None])


def _root(covariance: Float[Tensor, "channel channel2"]) -> Float[Tensor, "channel channel2"]:
    """The columns of U·√S: decorrelated colours by falling variance, each pointing where its largest component is positive."""
    vectors, variances, _ = torch.linalg.svd(covariance)
    largest = vectors.gather(0, vectors.abs().argmax(0, keepdim=True))
    kept: Tensor = vectors * largest.sign() * variances.where(variances > LEAST_VARIANCE, 0).sqrt()
    return kept if kept.any() else torch.eye(len(covariance))


def _resampled(spectrum: Float[Tensor, "channel rows columns"], height: int, width: int) -> Float[Tensor, "height frequency"]:
    """The channels' mean spectrum at another size: the same magnitude at the same number of cycles per pixel.

    Each channel counts by its shape alone, for how much each colour varies is in the correlation. Interpolated between
    logarithms, because magnitudes fall by orders; the constant part, which pictures do not take from here, is its neighbour's.
    """
    shape = spectrum.clone()
    shape[:, 0, 0] = shape[:, 0, min(1, shape.shape[2] - 1)]
    energy = shape.square().mean((1, 2), keepdim=True).sqrt()
    mean = (shape / energy.clamp(min=LEAST_VARIANCE)).mean(0)
    if mean.shape == (height, width // 2 + 1):
        return mean
    logs = torch.fft.fftshift(mean.clamp(min=mean.max() * LEAST_VARIANCE + LEAST_VARIANCE).log(), dim=0)
    rows = torch.fft.fftshift(torch.fft.fftfreq(height)) * len(mean) + len(mean) // 2
    columns = torch.fft.rfftfreq(width) * 2 * (mean.shape[1] - 1)
    down, across = torch.meshgrid(_unit(rows, len(mean)), _unit(columns, mean.shape[1]), indexing="ij")
    grid = torch.stack([across, down], dim=-1)[None].to(logs.dtype)
    found: Tensor = F.grid_sample(logs[None, None], grid, padding_mode="border", align_corners=True)
    magnitudes: Tensor = torch.fft.ifftshift(found[0, 0].exp(), dim=0)
    return magnitudes


def _unit(places: Float[Tensor, " place"], count: int) -> Float[Tensor, " place"]:
    """Places from 0 to count - 1 as -1 to 1."""
    return places * (2 / max(count - 1, 1)) - 1


def side_of(height: int, width: int, shorter: int) -> tuple[int, int]:
    """Height and width in the same proportion, with the shorter side `shorter` pixels long."""
    scale = shorter / min(height, width)
    return math.floor(height * scale + 0.5), math.floor(width * scale + 0.5)
