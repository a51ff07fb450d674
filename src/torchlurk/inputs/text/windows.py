"""How a text longer than a window is cut into examples."""

from __future__ import annotations

from dataclasses import dataclass

from torchlurk.errors import OptionError
from torchlurk.options import WINDOW

MOST_BURN_IN = 64


@dataclass(frozen=True, slots=True)
class Windowing:
    """At most `size` tokens an example, of which `burn_in` do not count where the text goes on: on the left, right, or both."""

    size: int = WINDOW
    burn_in: int = MOST_BURN_IN
    left: bool = True
    right: bool = False

    def __post_init__(self) -> None:
        sides = self.left + self.right
        if sides * self.burn_in >= self.size:
            where = "both sides" if sides == 2 else "one side"
            raise OptionError(
                f"--burn-in {self.burn_in} on {where} leaves nothing to count of --window {self.size}",
                f"give a --burn-in of at most {(self.size - 1) // sides}, or a larger --window",
            )

    @classmethod
    def chosen(cls, window: int | None, burn_in: int | None) -> Windowing:
        """With what was asked for; a quarter of the window, at most `MOST_BURN_IN`, is the usual burn-in."""
        size = window or WINDOW
        return cls(size, min(size // 4, MOST_BURN_IN) if burn_in is None else burn_in)

    def cut(self, length: int) -> list[tuple[int, int, int, int]]:
        """(start, stop, first counted, end of counted) of each window over a text of that many tokens.

        Every token counts in exactly one window. There is no burn-in at either end of the text.
        """
        cuts: list[tuple[int, int, int, int]] = []
        counted = 0
        while counted < length:
            start = max(0, counted - self.left * self.burn_in)
            stop = min(length, start + self.size)
            end = stop if stop == length else stop - self.right * self.burn_in
            cuts.append((start, stop, counted, end))
            counted = end
        return cuts
