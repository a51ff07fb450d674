"""The overview of a study: a few units of its layers, a row a layer."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from torchlurk.records import Layer
from torchlurk.rendering import labels
from torchlurk.rendering.colour import LIGHT, Theme
from torchlurk.rendering.contact_sheet import GAP, MARGIN, framed, header, stacked, titled
from torchlurk.rendering.sprites import HEADER_GAP


def study_sheet(
    name: str, facts: Sequence[str], rows: Sequence[tuple[Layer, Image.Image]], *, theme: Theme = LIGHT
) -> Image.Image:
    """The study's name and facts above the pictures of layers, each under what the layer is."""
    parts = [
        titled(layer.name, "  ·  ".join([f"{layer.channels:,} units", *labels.layer_facts(layer)]), image, theme)
        for layer, image in rows
    ]
    return framed(stacked([header(name, facts, theme), stacked(parts, GAP, theme)], HEADER_GAP, theme), MARGIN, theme)
