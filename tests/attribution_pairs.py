"""Attributions of many units of one layer, each on an input of its own, as the stage makes them."""

from torchlurk.attribution.methods import method as method_named
from torchlurk.models.taps.readout import Readout


def attribute_pairs(module, layer, inputs, channels, positions, method="guided"):
    """The attributions (pair, …) and the activations (pair) that they are of, in one pass forward and one back.

    `positions` (pair) are row-major indices into the map of `layer`, which `survey` found; None means the mean over positions.
    """
    readout = Readout(module, layer)
    with readout.ready():
        return method_named(method)(readout, inputs, channels, positions)
