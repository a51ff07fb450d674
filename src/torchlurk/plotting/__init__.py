"""Units, layers and studies as matplotlib figures, for notebooks and papers; the only package that knows matplotlib.

Figures are made without pyplot: nothing global changes, nothing has to be closed, and a notebook draws a figure once.
"""

from __future__ import annotations

from torchlurk.errors import MissingExtraError

try:
    import matplotlib.figure as _figure
except ImportError as error:
    raise MissingExtraError(f"plotting needs matplotlib ({error})", "pip install 'torchlurk[plot]'") from error

from torchlurk.plotting.layers import LayerFacts, plot_layer, plot_layer_in_steps
from torchlurk.plotting.studies import plot_study
from torchlurk.plotting.units import plot_steps, plot_unit

__all__ = ["LayerFacts", "plot_layer", "plot_layer_in_steps", "plot_steps", "plot_study", "plot_unit"]
assert _figure
