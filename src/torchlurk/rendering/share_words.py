"""What the percentages beside exemplars and attributions are shares of, in words; each is explained where it is shown."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence

from torchlurk.records import Attribution, Exemplar, StepAttribution

EITHER = "pixels or steps"
"""Of what a top tenth is, before it is known of which."""

SHARES: Mapping[str, str] = {
    "recall": "what the unit's activation at the exemplar still is when it sees the box alone",
    "nearest steps alone keep": "what is left of it when only the steps less than 1, 4, 16 or 64 from its own stay, before it"
    " and, where the unit sees these, after it, and the others say nothing",
    "top tenth keeps": "what is left of it when only the tenth of the " + EITHER + " with the largest numbers stays",
    "at the input, elsewhere": "what lrp's numbers add up to, and what is at biases or at what the network gives itself, such"
    " as a decoder's guesses; of lrp far from 100 %, what is for and against the unit mostly cancels: see lrp_plus",
}
"""By how they are called. All are shares of the activation."""

TITLE = "Percentages are shares of the activation"


def shares_explained(
    exemplars: Sequence[Exemplar], attributions: Sequence[Attribution | StepAttribution], columns: int
) -> list[str]:
    """Lines that explain the percentages that a description of these has, none where it has none."""
    by_step = [one for one in attributions if isinstance(one, StepAttribution)]
    tenth_of = "steps" if by_step else "pixels"
    there = {
        "recall": any(one.recall is not None for one in exemplars),
        "nearest steps alone keep": any(one.last_steps for one in exemplars),
        "top tenth keeps": any(not math.isnan(one.kept) for one in attributions),
        "at the input, elsewhere": any(not math.isnan(one.conserved) for one in by_step),
    }
    lines = [
        line
        for name, meaning in SHARES.items()
        if there[name]
        for line in textwrap.wrap(
            f"{name}: {meaning.replace(EITHER, tenth_of)}", columns, initial_indent="  ", subsequent_indent="    "
        )
    ]
    return [TITLE, *lines] if lines else []
