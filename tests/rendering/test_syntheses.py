"""The row of syntheses: every picture is there, on the sheet's ground, with what speaks against it first."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from torchlurk.records import Synthesis
from torchlurk.rendering.colour import LIGHT
from torchlurk.rendering.syntheses import LARGE, Synthesized, synthesis_row, told


def made(colour: tuple[int, ...], **known: object) -> Synthesized:
    mode = "RGBA" if len(colour) == 4 else "RGB"
    return Synthesized(Synthesis("lucid", "00", 3.0, **known), Image.new(mode, (8, 8), colour))  # type: ignore[arg-type]


def test_each_picture_is_in_the_row_enlarged() -> None:
    row = np.asarray(synthesis_row([made((200, 0, 0)), made((0, 200, 0))]))
    for colour in ((200, 0, 0), (0, 200, 0)):
        assert (row == colour).all(-1).sum() >= 0.9 * LARGE**2


def test_what_is_clear_shows_the_ground() -> None:
    one = made((200, 0, 0, 0))
    assert one.on((1, 2, 3)).getpixel((4, 4)) == (1, 2, 3)
    assert not (np.asarray(synthesis_row([one], LIGHT)) == (200, 0, 0)).all(-1).any()


def test_what_speaks_against_it_is_told_before_all_else() -> None:
    known = Synthesis("lucid", "00", 3.0, ratio=1.5, robustness=0.9)
    assert told(known) == "1.500× the best example, 90 % when moved"
    assert told(Synthesis("lucid", "00", 3.0, ratio=1.5, marked="dead")) == "dead"
    assert told(Synthesis("lucid", "00", 3.0, ratio=math.nan)) == ""
