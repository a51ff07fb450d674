"""What a unit knows, as a part of its contact sheet: the lines that a terminal has."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw

from torchlurk.rendering.colour import Theme
from torchlurk.rendering.contact_sheet import CAPTION_LINE, CONTENT, titled
from torchlurk.rendering.known_tracks import known_lines
from torchlurk.rendering.token_lists import TOKEN
from torchlurk.rendering.typography import fitted, write
from torchlurk.track_records import Known


def known_list(knows: Sequence[Known], theme: Theme) -> list[Image.Image]:
    """A line a track under a title, as one picture; none where nothing was measured."""
    if not knows:
        return []
    title, *lines = known_lines(knows)
    image = Image.new("RGB", (CONTENT, len(lines) * CAPTION_LINE), theme.ground)
    draw = ImageDraw.Draw(image)
    for row, line in enumerate(lines, 1):
        write(draw, (0, row * CAPTION_LINE - 5), fitted(line.removeprefix("  "), TOKEN, CONTENT), TOKEN, theme.ink)
    return [titled(title, "", image, theme)]
