"""Text on pictures: two shipped typefaces, the machine's own for scripts beyond them, and shortening to a width.

With the shipped typefaces the same text gives the same pixels on every machine. A character that they lack comes from
the first of `SYSTEM_FONTS` that is installed and has it, and is an empty box where none has.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from io import BytesIO
from itertools import groupby
from typing import Literal

from PIL import ImageDraw, ImageFont

from torchlurk.rendering.colour import Colour

Face = Literal["text", "strong", "address"]
Pixels = int | float

SHIPPED: dict[Face, str] = {
    "text": "NotoSans-Regular.ttf",
    "strong": "NotoSans-SemiBold.ttf",
    "address": "DejaVuSansMono.ttf",
}
SYSTEM_FONTS = (
    "NotoSansCJK-Regular.ttc",
    "NotoSansCJKsc-Regular.otf",
    "PingFang.ttc",
    "Hiragino Sans GB.ttc",
    "AppleSDGothicNeo.ttc",
    "msyh.ttc",
    "YuGothR.ttc",
    "malgun.ttf",
    "wqy-microhei.ttc",
    "DroidSansFallbackFull.ttf",
    "NotoSansArabic-Regular.ttf",
    "NotoSansHebrew-Regular.ttf",
    "NotoSansDevanagari-Regular.ttf",
    "NotoSansThai-Regular.ttf",
    "Arial Unicode.ttf",
    "segoeui.ttf",
    "DejaVuSans.ttf",
    "FreeSans.ttf",
)
ELLIPSIS = "…"
_NO_CHARACTER = "\uffff"  # Unicode promises that it never is one, so what a font draws for it is its "missing" sign
_PROBE_SIZE = 24


@dataclass(frozen=True, slots=True)
class Style:
    """A face and its size in pixels."""

    face: Face = "text"
    size: int = 13


def width(text: str, style: Style) -> float:
    """How many pixels the text advances."""
    return sum((font.getlength(part) for font, part in _runs(clean(text), style)), 0.0)


def write(
    draw: ImageDraw.ImageDraw,
    at: tuple[Pixels, Pixels],
    text: str,
    style: Style,
    colour: Colour,
    *,
    align: Literal["left", "right", "centre"] = "left",
) -> None:
    """Draws the text on the base line through `at`, beginning, ending or centred there."""
    x, y = at
    if align != "left":
        x -= width(text, style) / (1 if align == "right" else 2)
    x = round(x)
    for font, part in _runs(clean(text), style):
        draw.text((x, y), part, fill=colour, font=font, anchor="ls")
        x += font.getlength(part)


def fitted(text: str, style: Style, most: Pixels, *, lose: Literal["end", "middle"] = "end") -> str:
    """The text, shortened by an ellipsis at its end or in its middle until at most `most` pixels wide."""
    text = clean(text)
    if width(text, style) <= most:
        return text
    fits, fails = 0, len(text)
    while fails - fits > 1:
        kept = (fits + fails) // 2
        if width(_shortened(text, kept, lose), style) <= most:
            fits = kept
        else:
            fails = kept
    return _shortened(text, fits, lose)


def clean(text: str) -> str:
    """The text in one line, composed (a folder's name may come decomposed), with no character that cannot be drawn."""
    composed = unicodedata.normalize("NFC", text)
    return "".join(character if character.isprintable() else " " for character in composed)


def _shortened(text: str, kept: int, lose: Literal["end", "middle"]) -> str:
    if lose == "end":
        return text[:kept].rstrip() + ELLIPSIS
    tail = kept // 2
    return text[: kept - tail] + ELLIPSIS + text[len(text) - tail :]


def _runs(text: str, style: Style) -> Iterator[tuple[ImageFont.FreeTypeFont, str]]:
    """The text cut where the font changes: each part with the font that has its characters."""
    for source, characters in groupby(text, key=lambda character: _source(character, style.face)):
        yield _font(source, style.size), "".join(characters)


@lru_cache(maxsize=8192)
def _source(character: str, face: Face) -> str:
    """The font that has the character: the face's own, another shipped one, one of the machine's; else the face's own."""
    shipped = (SHIPPED[face], SHIPPED["text"], SHIPPED["address"])
    for source in shipped:
        if _has(source, character):
            return source
    return next((source for source in _installed() if _has(source, character)), shipped[0])


def _has(source: str, character: str) -> bool:
    font = _font(source, _PROBE_SIZE)
    return character.isspace() or bytes(font.getmask(character)) != bytes(font.getmask(_NO_CHARACTER))


@lru_cache(maxsize=1)
def _installed() -> tuple[str, ...]:
    return tuple(name for name in SYSTEM_FONTS if _loads(name))


def _loads(name: str) -> bool:
    try:
        ImageFont.truetype(name, _PROBE_SIZE)
    except OSError:
        return False
    return True


@lru_cache(maxsize=128)
def _font(source: str, size: int) -> ImageFont.FreeTypeFont:
    if source in SHIPPED.values():
        data = files("torchlurk.rendering").joinpath("fonts", source).read_bytes()
        # The complex layout engine is there on some machines only and kerns otherwise: it would move pixels.
        return ImageFont.truetype(BytesIO(data), size, layout_engine=ImageFont.Layout.BASIC)
    return ImageFont.truetype(source, size)
