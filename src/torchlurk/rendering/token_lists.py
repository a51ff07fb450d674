"""A unit's tokens by each measure, as a part of its contact sheet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw

from torchlurk.rendering import labels
from torchlurk.rendering.colour import Theme
from torchlurk.rendering.contact_sheet import CAPTION, CAPTION_LINE, CHART_GAP, CHART_WIDTH, CONTENT, GAP, SCORE, titled
from torchlurk.rendering.tokens import ENDS, TITLES, note_of, shown
from torchlurk.rendering.typography import Style, fitted, width, write
from torchlurk.time_records import NamedRanking, NamedToken, TokenMeasure

TOKEN = Style("address", 12)
LIST = (CHART_WIDTH - GAP) // 2
VALUE, COUNT = 60, 56


def token_lists(tokens: Mapping[TokenMeasure, NamedRanking], theme: Theme) -> list[Image.Image]:
    """The measures beside each other, each with two lists, as one picture; none where there are no tokens."""
    found = [
        titled(TITLES[measure], note_of(ranking), _ends(measure, ranking, theme), theme) for measure, ranking in tokens.items()
    ]
    if not found:
        return []
    image = Image.new("RGB", (CONTENT, max(one.height for one in found)), theme.ground)
    for column, one in enumerate(found):
        image.paste(one, (column * (CHART_WIDTH + CHART_GAP), 0))
    return [image]


def _ends(measure: TokenMeasure, ranking: NamedRanking, theme: Theme) -> Image.Image:
    lists = [_list(name, tokens, theme) for name, tokens in zip(ENDS[measure], (ranking.highest, ranking.lowest), strict=True)]
    image = Image.new("RGB", (CHART_WIDTH, max(one.height for one in lists)), theme.ground)
    for column, one in enumerate(lists):
        image.paste(one, (column * (LIST + GAP), 0))
    return image


def _list(name: str, tokens: Sequence[NamedToken], theme: Theme) -> Image.Image:
    """A token a line, with its value and how often it stands in the data."""
    image = Image.new("RGB", (LIST, (len(tokens) + 1) * CAPTION_LINE), theme.ground)
    draw, line = ImageDraw.Draw(image), CAPTION_LINE - 5
    write(draw, (0, line), name, CAPTION, theme.muted)
    counted = any(one.count is not None for one in tokens)
    right = LIST - (COUNT if counted else 0)
    for one in tokens:
        line += CAPTION_LINE
        write(draw, (0, line), fitted(shown(one.token), TOKEN, right - VALUE), TOKEN, theme.ink)
        _write_right(draw, right, line, labels.number(one.value), SCORE, theme)
        if one.count is not None:
            _write_right(draw, LIST, line, f"×{one.count:,}", CAPTION, theme, muted=True)
    return image


def _write_right(
    draw: ImageDraw.ImageDraw, right: int, line: int, words: str, style: Style, theme: Theme, *, muted: bool = False
) -> None:
    write(draw, (right - width(words, style), line), words, style, theme.muted if muted else theme.ink)
