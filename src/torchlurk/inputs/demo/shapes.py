"""Outlines as arrays of points, x to the right and y down. Pure geometry: nothing is painted here."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64

Points = Float64[np.ndarray, "_ 2"]
"""Some points, one a row; several outlines in one call may differ in number."""

CURVE_STEPS = 7
"""Points between two knots of a smooth curve; at 96 pixels more cannot be seen."""
CIRCLE_STEPS = 40
SPAN = (np.arange(CURVE_STEPS) / CURVE_STEPS)[None, :, None]


def polygon(*corners: tuple[float, float]) -> Points:
    """Straight lines from corner to corner."""
    return np.array(corners, np.float64)


def ellipse(
    x: float, y: float, rx: float, ry: float | None = None, *, angle: float = 0, start: float = 0, stop: float = 360
) -> Points:
    """An ellipse around (x, y), turned by `angle`, or its part from `start` to `stop`; degrees, clockwise from the right."""
    arc = _arc(start, stop) * (rx, rx if ry is None else ry)
    return (turned(arc, angle) if angle else arc) + (x, y)


def box(x0: float, y0: float, x1: float, y1: float, round_by: float = 0) -> Points:
    """An upright rectangle with corners rounded by that radius."""
    radius = min(round_by, abs(x1 - x0) / 2, abs(y1 - y0) / 2)
    if radius <= 0:
        return polygon((x0, y0), (x1, y0), (x1, y1), (x0, y1))
    left, top, right, bottom = x0 + radius, y0 + radius, x1 - radius, y1 - radius
    corners = ((right, bottom, 0), (left, bottom, 90), (left, top, 180), (right, top, 270))
    return np.concatenate([_arc(turn, turn + 90) * radius + (x, y) for x, y, turn in corners])


def arch(x0: float, y0: float, x1: float, y1: float) -> Points:
    """A rectangle whose top is half a circle, as of a church door."""
    radius = (x1 - x0) / 2
    return np.concatenate([ellipse((x0 + x1) / 2, y0 + radius, radius, start=180, stop=360), polygon((x1, y1), (x0, y1))])


def smooth(*knots: tuple[float, float], closed: bool = True) -> Points:
    """A curve through the knots (Catmull-Rom), closed or from the first to the last."""
    points = np.array(knots, np.float64)
    ring = np.concatenate([points[-1:], points, points[:2]]) if closed else np.concatenate([points[:1], points, points[-1:]])
    a, b, c, d = (ring[shift : len(ring) - 3 + shift, None] for shift in range(4))
    t = SPAN
    spans = b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))
    curve = spans.reshape(-1, 2)
    return curve if closed else np.concatenate([curve, points[-1:]])


def curve(*knots: tuple[float, float]) -> Points:
    """An open curve through the knots."""
    return smooth(*knots, closed=False)


def ribbon(path: Points, widths: float | Sequence[float]) -> Points:
    """A band along the path, with round ends; several widths are spread along it and blended."""
    half = _spread(widths, len(path)) / 2
    along = np.concatenate([path[1:2] - path[:1], path[2:] - path[:-2], path[-1:] - path[-2:-1]])
    along /= np.maximum(np.sqrt((along**2).sum(1, keepdims=True)), 1e-9)
    aside = along[:, ::-1] * (-1, 1) * half
    cap = _arc(-90, 90)[::-1]
    front, back = (
        np.stack([cap[:, 0] * ahead[0] - cap[:, 1] * ahead[1], cap[:, 0] * ahead[1] + cap[:, 1] * ahead[0]], axis=1) * size
        + end
        for ahead, size, end in ((along[-1], half[-1, 0], path[-1]), (-along[0], half[0, 0], path[0]))
    )
    return np.concatenate([path + aside, front, (path - aside)[::-1], back])


def line(x0: float, y0: float, x1: float, y1: float, width: float) -> Points:
    """A straight band with round ends."""
    return ribbon(polygon((x0, y0), (x1, y1)), width)


def drop(x: float, y: float, length: float, width: float, angle: float, *, blunt: float = 0.62) -> Points:
    """A leaf or petal with its stem at (x, y), `angle` degrees clockwise from the right, widest at `blunt`, 0..1."""
    half = width / 2
    outline = smooth(
        (0, 0), (blunt * length * 0.45, half * 0.72), (blunt * length, half), (length * 0.93, half * 0.42),
        (length, 0), (length * 0.93, -half * 0.42), (blunt * length, -half), (blunt * length * 0.45, -half * 0.72),
    )  # fmt: skip
    placed: Points = turned(outline, angle) + np.array([x, y])
    return placed


def turned(points: Points, angle: float) -> Points:
    """The points turned around the origin by `angle` degrees, clockwise as seen."""
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    result: Points = points @ np.array([[cosine, sine], [-sine, cosine]])
    return result


def mirrored(points: Points, x: float = 0) -> Points:
    """The points seen in a mirror that stands at `x`."""
    return points * (-1, 1) + (2 * x, 0)


@functools.cache
def _arc(start: float, stop: float) -> Points:
    """Part of the unit circle, degrees clockwise from the right; a whole turn does not repeat its first point."""
    steps = max(8, math.ceil(CIRCLE_STEPS * (stop - start) / 360))
    theta = np.radians(np.linspace(start, stop, steps, endpoint=stop - start < 360))
    arc = np.stack([np.cos(theta), np.sin(theta)], axis=1)
    arc.flags.writeable = False
    return arc


def _spread(widths: float | Sequence[float], count: int) -> Float64[np.ndarray, "_ 1"]:
    """The widths blended over `count` points, as a column."""
    if isinstance(widths, Sequence):
        return np.interp(np.linspace(0, 1, count), np.linspace(0, 1, len(widths)), widths)[:, None]
    return np.full((count, 1), float(widths))
