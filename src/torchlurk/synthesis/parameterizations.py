"""What is optimized, and how it is seen as a picture in the 0..1 range.

Every parameterization draws the start of each unit from that unit's own generator, and goes from pictures back to
parameters, so that an ascent may start from a given picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from torchlurk.inputs.pictures.preprocessing import HIGHEST
from torchlurk.synthesis.canvas import Canvas, frequencies

Pictures = Float[Tensor, "unit channel height width"]

FOURIER_DIVISOR = 4.0
"""Keeps the first picture's contrast low (tensorflow/lucid, `param/spatial.py`)."""

FARTHEST = 0.005
"""How near to 0 or 1 a given picture's values may be where a sigmoid is to give them back."""

STANDARD_EPSILON = 1e-4
"""Added to a standard deviation before dividing by it (serre-lab/Horama)."""


@runtime_checkable
class Parameterization(Protocol):
    """A way to write a picture as numbers."""

    def start(self, canvas: Canvas, generators: Sequence[Generator]) -> Float[Tensor, "unit ..."]:
        """First parameters, one row a generator."""

    def pictures(self, parameters: Float[Tensor, "unit ..."], canvas: Canvas) -> Pictures:
        """What the parameters show."""

    def parameters(self, pictures: Pictures, canvas: Canvas) -> Float[Tensor, "unit ..."]:
        """Parameters that show the pictures, as nearly as they can."""


@dataclass(frozen=True, slots=True)
class Pixels:
    """Pixels from 0 to 255 less the data's mean colour, as the toolbox has them; the start is N(0, `spread`)."""

    spread: float = 10.0

    def start(self, canvas: Canvas, generators: Sequence[Generator]) -> Pictures:
        """Noise around the mean colour."""
        return _normal((canvas.channels, canvas.height, canvas.width), generators, canvas) * self.spread

    def pictures(self, parameters: Pictures, canvas: Canvas) -> Pictures:
        """Not clipped: regularizers do that."""
        return parameters / HIGHEST + canvas.mean[:, None, None]

    def parameters(self, pictures: Pictures, canvas: Canvas) -> Pictures:
        """Exactly these."""
        return (pictures - canvas.mean[:, None, None]) * HIGHEST


@dataclass(frozen=True, slots=True)
class Fourier:
    """Frequencies scaled to fall as in natural images, in decorrelated colours, through a sigmoid.

    Olah, Mordvintsev and Schubert 2017, Feature Visualization, "Preconditioning and Parameterization"; constants from
    tensorflow/lucid. The start is N(0, `spread`) for real and imaginary parts, `decay` the power of one over the frequency.
    """

    spread: float = 0.01
    decay: float = 1.0

    def start(self, canvas: Canvas, generators: Sequence[Generator]) -> Float[Tensor, "unit channel height frequency 2"]:
        """White noise, which the scale makes natural."""
        return _normal((canvas.channels, canvas.height, canvas.width // 2 + 1, 2), generators, canvas) * self.spread

    def pictures(self, parameters: Float[Tensor, "unit channel height frequency 2"], canvas: Canvas) -> Pictures:
        """Strictly within 0..1."""
        return torch.sigmoid(correlated(self.plain(parameters, canvas), canvas))

    def parameters(self, pictures: Pictures, canvas: Canvas) -> Float[Tensor, "unit channel height frequency 2"]:
        """Exactly these, but for values very near 0 and 1."""
        return self.unfolded(decorrelated(pictures.clamp(FARTHEST, 1 - FARTHEST).logit(), canvas), canvas)

    def plain(self, parameters: Float[Tensor, "unit channel height frequency 2"], canvas: Canvas) -> Pictures:
        """Decorrelated colours, without bounds."""
        spectrum = torch.view_as_complex(parameters) * self._scale(canvas)
        plain: Tensor = torch.fft.irfft2(spectrum, s=(canvas.height, canvas.width), norm="ortho")
        return plain / FOURIER_DIVISOR

    def unfolded(self, plain: Pictures, canvas: Canvas) -> Float[Tensor, "unit channel height frequency 2"]:
        """The parameters of decorrelated colours."""
        spectrum = torch.fft.rfft2(plain * FOURIER_DIVISOR, norm="ortho") / self._scale(canvas)
        return torch.view_as_real(spectrum)

    def _scale(self, canvas: Canvas) -> Float[Tensor, "height frequency"]:
        lowest = 1 / max(canvas.height, canvas.width)
        scale = frequencies(canvas.height, canvas.width).clamp(min=lowest) ** -self.decay
        return scale.to(canvas.device)


@dataclass(frozen=True, slots=True)
class Phase:
    """Only the phases are free: the magnitude of every frequency is the data's mean (Fel et al. 2023, arXiv 2306.06805).

    Phases and picture are standardized at every step, as the authors do.
    """

    spread: float = 1.0

    def start(self, canvas: Canvas, generators: Sequence[Generator]) -> Float[Tensor, "unit channel height frequency"]:
        """Random phases."""
        return _normal((canvas.channels, canvas.height, canvas.width // 2 + 1), generators, canvas) * self.spread

    def pictures(self, parameters: Float[Tensor, "unit channel height frequency"], canvas: Canvas) -> Pictures:
        """Strictly within 0..1."""
        spectrum = torch.polar(canvas.spectrum.expand_as(parameters), _standardized(parameters))
        plain = torch.fft.irfft2(spectrum, s=(canvas.height, canvas.width), norm="ortho")
        return torch.sigmoid(correlated(_standardized(plain), canvas))

    def parameters(self, pictures: Pictures, canvas: Canvas) -> Float[Tensor, "unit channel height frequency"]:
        """The phases of the pictures, in units of their standard deviation: the magnitudes are lost."""
        plain = decorrelated(pictures.clamp(FARTHEST, 1 - FARTHEST).logit(), canvas)
        phases: Tensor = torch.fft.rfft2(plain, norm="ortho").angle()
        return phases


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """What is added to a given picture, in natural frequencies and colours; its root mean square is at most `distance`.

    What leaves the 0..1 range is cut off, which makes it smaller still.
    """

    picture: Float[Tensor, "channel height width"]
    distance: float
    spread: float = 0.01

    def start(self, canvas: Canvas, generators: Sequence[Generator]) -> Float[Tensor, "unit channel height frequency 2"]:
        """Hardly any change."""
        return Fourier(self.spread).start(canvas, generators)

    def pictures(self, parameters: Float[Tensor, "unit channel height frequency 2"], canvas: Canvas) -> Pictures:
        """The picture with the change."""
        free = correlated(Fourier(self.spread).plain(parameters, canvas), canvas)
        sizes = torch.stack([row.square().mean().sqrt() for row in free]).clamp(min=STANDARD_EPSILON)
        within = free * (self.distance / sizes).clamp(max=1).view(-1, 1, 1, 1)
        return (self.picture.to(free.device) + within).clamp(0, 1)

    def parameters(self, pictures: Pictures, canvas: Canvas) -> Float[Tensor, "unit channel height frequency 2"]:
        """Those of the difference from the picture, which is within the distance."""
        plain = decorrelated(pictures - self.picture.to(pictures.device), canvas)
        return Fourier(self.spread).unfolded(plain, canvas)


def correlated(plain: Pictures, canvas: Canvas) -> Pictures:
    """Decorrelated colours as the data's."""
    return _mixed(canvas.correlation, plain)


def decorrelated(coloured: Pictures, canvas: Canvas) -> Pictures:
    """The data's colours as decorrelated ones; directions in which the data do not vary are zero."""
    return _mixed(torch.linalg.pinv(canvas.correlation), coloured)


def _mixed(matrix: Float[Tensor, "channel channel2"], pictures: Pictures) -> Pictures:
    """Every pixel's channels times a matrix: sums of whole pictures, so that a batch never changes the rounding."""
    planes = pictures.unbind(1)  # once: what comes back from each is put together once
    rows = [sum(weight * plane for weight, plane in zip(row, planes, strict=True)) for row in matrix]
    return torch.stack([row for row in rows if isinstance(row, Tensor)], dim=1)


def _standardized(values: Float[Tensor, "unit ..."]) -> Float[Tensor, "unit ..."]:
    """Each unit's numbers with mean 0 and standard deviation 1."""
    rows = [row - row.mean() for row in values]
    return torch.stack([row / (row.std() + STANDARD_EPSILON) for row in rows])


def _normal(shape: Sequence[int], generators: Sequence[Generator], canvas: Canvas) -> Float[Tensor, "unit ..."]:
    return torch.stack([torch.randn(*shape, generator=one) for one in generators]).to(canvas.device)
