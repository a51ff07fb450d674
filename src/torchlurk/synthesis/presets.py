"""The ways of making pictures by name: each is a parameterization, an objective, transforms, a climb and regularizers.

A preset of one's own is a `Preset` with other parts: wherever a name goes, a `Preset` goes too, and in
`torchlurk.tables.PRESETS` it is known by its name.
"""

from __future__ import annotations

from dataclasses import dataclass

from torchlurk.errors import OptionError, nearest
from torchlurk.option_values import shown
from torchlurk.synthesis.objectives import Channel, Neuron, Objective
from torchlurk.synthesis.optimizers import Adam, Climb, GradientStep, NAdam, TargetStep
from torchlurk.synthesis.parameterizations import Fourier, Parameterization, Phase, Pixels
from torchlurk.synthesis.regularizers import Blur, Clip, Correction, Decay, Penalty, SmallContribution, SmallNorm
from torchlurk.synthesis.transforms import Crop, Jitter, Pad, Rotate, Scale, Views
from torchlurk.tables import PRESETS


@dataclass(frozen=True, slots=True)
class Preset:
    """A way of making pictures.

    `steps` are those of its authors, `bulk_steps` what is enough where thousands of units are done. `made_for` is the shorter
    side, in pixels, of the pictures that its transforms were chosen for: on smaller ones they are smaller in proportion.
    `redirected` is for how many steps a rectification whose whole gradient is zero lets it through. `patience` is after how
    many steps without improvement a unit is done; None: never before the end. With `transparency` a picture is opaque only
    where changes mattered. A `stretched` one is shown at full contrast about the mean colour.
    """

    name: str
    parameterization: Parameterization
    objective: Objective
    climb: Climb
    steps: int
    bulk_steps: int
    views: Views = Views()
    corrections: tuple[Correction, ...] = ()
    penalties: tuple[Penalty, ...] = ()
    made_for: int = 128
    redirected: int = 16
    patience: int | None = None
    transparency: bool = False
    stretched: bool = False


GENTLE, STEEP = 3.6e-4, 0.025
"""Root mean squares of the gradient, in activation per grey level, with which the toolbox's rates move a picture by what can
be seen: with the first a rate of 100 by about 18 grey levels in 500 steps, with the second by 2.5 at a step.
"""

LUCID = Preset(
    "lucid",
    Fourier(),
    Channel(),
    Adam(0.05),
    steps=512,
    bulk_steps=128,
    views=Views((Pad(12), Jitter(8), Scale(0.9, 1.1), Rotate(10), Jitter(4))),
    patience=128,
)
"""Olah, Mordvintsev and Schubert 2017, Feature Visualization; constants from tensorflow/lucid."""

MACO = Preset(
    "maco",
    Phase(),
    Channel(),
    NAdam(1.0),
    steps=256,
    bulk_steps=256,
    views=Views((Crop(0.5, 0.05, 0.15),), count=32, noise=0.08),
    transparency=True,
)
"""Fel et al. 2023, arXiv 2306.06805; constants from the authors' own code."""


def _yosinski(
    number: int, climb: Climb, steps: int, *, decay: float = 0, blur: float = 0, norm: float = 0, contribution: float = 0
) -> Preset:
    """One of the four sets of Yosinski et al. 2015 (arXiv 1506.06579, table 1)."""
    corrections: list[Correction] = [Decay(decay)] if decay else []
    corrections.append(Clip())
    corrections += [Blur(blur, every=4)] if blur else []
    corrections += [SmallNorm(norm)] if norm else []
    corrections += [SmallContribution(contribution)] if contribution else []
    return Preset(
        f"yosinski-{number}",
        Pixels(),
        Neuron(),
        climb,
        steps=steps,
        bulk_steps=steps,
        corrections=tuple(corrections),
        stretched=True,
    )


YOSINSKI_1 = _yosinski(1, TargetStep(100, 2.0, GENTLE), 500, blur=0.5, norm=50)
YOSINSKI_2 = _yosinski(2, GradientStep(100, STEEP), 750, decay=0.3, norm=20)
YOSINSKI_3 = _yosinski(3, GradientStep(100, STEEP), 1000, decay=0.0001, blur=1.0)
YOSINSKI_4 = _yosinski(4, TargetStep(1e8, 2.0, GENTLE), 1000, blur=0.5, contribution=90)


def preset(name: str | Preset) -> Preset:
    """The preset of that name, or the one given; raises `OptionError` where there is none."""
    if isinstance(name, Preset):
        return name
    if not isinstance(name, str) or name not in PRESETS:
        raise OptionError(f"there is no preset {shown(name)}{nearest(str(name), PRESETS)}", f"available: {', '.join(PRESETS)}")
    found: Preset = PRESETS[name]
    return found
