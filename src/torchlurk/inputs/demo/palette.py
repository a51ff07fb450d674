"""The colours of the drawn world: a few hues that go together, shaded towards indigo and lit towards cream."""

from __future__ import annotations

from collections.abc import Sequence

from torchlurk.inputs.demo.rng import Dice

Colour = tuple[int, int, int]

INK: Colour = (43, 41, 66)
SLATE: Colour = (92, 99, 122)
SILVER: Colour = (196, 203, 212)
CREAM: Colour = (253, 243, 225)
WHITE: Colour = (255, 255, 252)
SAND: Colour = (236, 207, 154)
BROWN: Colour = (142, 94, 72)
COCOA: Colour = (96, 66, 62)
RED: Colour = (222, 73, 68)
CORAL: Colour = (243, 122, 104)
ORANGE: Colour = (246, 150, 64)
AMBER: Colour = (250, 187, 66)
LEMON: Colour = (255, 222, 118)
OLIVE: Colour = (158, 176, 74)
GREEN: Colour = (96, 170, 98)
PINE: Colour = (47, 112, 94)
TEAL: Colour = (38, 148, 144)
AQUA: Colour = (122, 205, 200)
SKY: Colour = (141, 203, 234)
BLUE: Colour = (62, 130, 200)
NAVY: Colour = (42, 62, 112)
LILAC: Colour = (188, 168, 224)
PLUM: Colour = (124, 80, 156)
PINK: Colour = (246, 176, 190)
ROSE: Colour = (228, 98, 140)

PAINTS: tuple[Colour, ...] = (
    RED,
    CORAL,
    ORANGE,
    AMBER,
    LEMON,
    OLIVE,
    GREEN,
    TEAL,
    AQUA,
    SKY,
    BLUE,
    LILAC,
    PLUM,
    PINK,
    ROSE,
    CREAM,
)
"""What cars, boats and walls are painted with."""
FURS: tuple[Colour, ...] = (ORANGE, SAND, BROWN, SLATE, SILVER, CREAM, COCOA, (214, 160, 112), (120, 112, 128))
PLUMES: tuple[Colour, ...] = (BROWN, COCOA, SLATE, PLUM, TEAL, (176, 124, 84), NAVY, CORAL, OLIVE)
LEAVES: tuple[Colour, ...] = (GREEN, OLIVE, PINE, TEAL, (126, 190, 92))
BLOSSOMS: tuple[Colour, ...] = (RED, CORAL, ORANGE, AMBER, LILAC, PLUM, PINK, ROSE, WHITE, SKY)

SHADE: Colour = (46, 32, 88)
LIGHT: Colour = (255, 246, 214)


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """The first colour with `share` (0..1) of the second."""
    return (
        round(first[0] + (second[0] - first[0]) * share),
        round(first[1] + (second[1] - first[1]) * share),
        round(first[2] + (second[2] - first[2]) * share),
    )


def shaded(colour: Colour, share: float = 0.25) -> Colour:
    """The colour as it looks away from the light."""
    return mix(colour, SHADE, share)


def lit(colour: Colour, share: float = 0.3) -> Colour:
    """The colour as it looks in the light."""
    return mix(colour, LIGHT, share)


def distance(first: Colour, second: Colour) -> float:
    """How different two colours look, 0..765: the 'redmean' approximation of perceived distance."""
    red = (first[0] + second[0]) / 2
    d_red, d_green, d_blue = (a - b for a, b in zip(first, second, strict=True))
    return float(((2 + red / 256) * d_red**2 + 4 * d_green**2 + (2 + (255 - red) / 256) * d_blue**2) ** 0.5)


def varied(dice: Dice, colour: Colour, amount: float = 12) -> Colour:
    """The colour, a little off, as paint from another tin."""
    tone = dice.between(-amount, amount)
    red, green, blue = (min(255, max(0, round(value + tone + dice.between(-amount, amount) / 2))) for value in colour)
    return red, green, blue


def contrasting(dice: Dice, colours: Sequence[Colour], *others: Colour, least: float = 150) -> Colour:
    """One of the colours that differ from all of `others` by `least`, varied; where none does, the one that differs most."""

    def apart(colour: Colour) -> float:
        return min((distance(colour, other) for other in others), default=least)

    clear = [colour for colour in colours if apart(colour) >= least]
    return varied(dice, dice.pick(clear) if clear else max(colours, key=apart))
