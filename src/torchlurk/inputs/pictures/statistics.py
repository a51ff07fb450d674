"""Statistics of the network's inputs: mean and covariance of their colours, and their mean magnitude spectrum.

Synthesis starts from them: pictures with the colours and frequencies of the data look like the data (Olah, Mordvintsev
and Schubert 2017, Feature Visualization, "Preconditioning and Parameterization").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Float64, Shaped, UInt8
from torch import Tensor

from torchlurk.errors import DataError
from torchlurk.input_records import InputStatistics
from torchlurk.inputs.pictures.preprocessing import HIGHEST, denormalize
from torchlurk.records import Preprocessing


@dataclass(slots=True)
class InputSums:
    """Sums over pictures, from which their statistics follow; they merge in any order.

    Values count from 0 to 255, so that the sums of colours and of their products over 8-bit pictures are whole
    numbers, and exact. Before the first picture all arrays are empty; it decides the shape.
    """

    count: int
    pixels: int
    colours: Float64[np.ndarray, " channel"]
    products: Float64[np.ndarray, "channel channel2"]
    magnitudes: Float64[np.ndarray, "channel height frequency"]

    @classmethod
    def empty(cls) -> InputSums:
        """The sums over no picture."""
        return cls(0, 0, np.zeros(0), np.zeros((0, 0)), np.zeros((0, 0, 0)))

    def add(
        self,
        pixels: UInt8[Tensor, "batch height width channel"] | Float32[Tensor, "batch channel height width"],
        preprocessing: Preprocessing | None = None,
    ) -> None:
        """Adds pictures: uint8, or float32 in the 0..1 range once the normalization of `preprocessing` is undone.

        Raises `DataError` where they are not of the same size as those before.
        """
        for picture in pixels.cpu():
            self._take(_one(_values(picture, preprocessing)))

    def merge(self, other: InputSums) -> InputSums:
        """The sums over the pictures of both."""
        merged = InputSums(self.count, self.pixels, self.colours, self.products, self.magnitudes)
        merged._take(other)
        return merged

    def _take(self, other: InputSums) -> None:
        if not other.count:
            return
        if not self.count:
            self.colours, self.products, self.magnitudes = other.colours, other.products, other.magnitudes
        elif self.magnitudes.shape != other.magnitudes.shape:
            raise DataError(
                f"inputs differ in size: {_extent(self.magnitudes)} and {_extent(other.magnitudes)}",
                "give --resize and --crop",
            )
        else:
            self.colours = self.colours + other.colours
            self.products = self.products + other.products
            self.magnitudes = self.magnitudes + other.magnitudes
        self.count += other.count
        self.pixels += other.pixels

    def arrays(self) -> dict[str, Shaped[np.ndarray, ...]]:
        """The sums as plain arrays, for saving."""
        return {
            "counts": np.array([self.count, self.pixels]),
            "colours": self.colours,
            "products": self.products,
            "magnitudes": self.magnitudes,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Shaped[np.ndarray, ...]]) -> InputSums:
        """The sums that `arrays()` came from."""
        count, pixels = (int(one) for one in arrays["counts"])
        return cls(count, pixels, arrays["colours"], arrays["products"], arrays["magnitudes"])

    def finish(self) -> InputStatistics:
        """The statistics, in the 0..1 range; covariance divides by the number of pixels; arrays are empty over nothing."""
        mean = self.colours / max(self.pixels, 1)
        covariance = self.products / max(self.pixels, 1) - np.outer(mean, mean)
        return InputStatistics(
            count=self.count,
            mean=mean / HIGHEST,
            covariance=covariance / HIGHEST**2,
            spectrum=self.magnitudes / max(self.count, 1) / HIGHEST,
        )


def _values(picture: Tensor, preprocessing: Preprocessing | None) -> Float64[Tensor, "channel height width"]:
    if picture.dtype == torch.uint8:
        return picture.permute(2, 0, 1).to(torch.float64)
    if preprocessing is not None:
        picture = denormalize(picture[None], preprocessing)[0]
    return picture.to(torch.float64) * HIGHEST


def _one(values: Float64[Tensor, "channel height width"]) -> InputSums:
    flat = values.flatten(1)
    return InputSums(
        count=1,
        pixels=flat.shape[1],
        colours=flat.sum(1).numpy(),
        products=(flat @ flat.T).numpy(),
        magnitudes=torch.fft.rfft2(values, norm="ortho").abs().numpy(),
    )


def _extent(magnitudes: Float64[np.ndarray, "channel height frequency"]) -> str:
    channels, height, frequencies = magnitudes.shape
    return f"{channels} channels of {height} rows and {frequencies} frequencies"
