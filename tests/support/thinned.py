"""Digits as a person's strokes: the centre lines of what is drawn, from end to end."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Point = tuple[float, float]
_ENLARGED = 4
_AROUND = [(-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1)]
"""Neighbours, clockwise from the north, as (row, column)."""


def strokes(image_HW: NDArray[Any]) -> list[list[Point]]:
    """Lines of (x, y), in shares of the side, of a digit as (28, 28) uint8, light on black."""
    from PIL import Image

    side = image_HW.shape[0] * _ENLARGED
    large = np.asarray(Image.fromarray(image_HW).resize((side, side), Image.Resampling.BICUBIC))
    found = [_smooth(line) for line in _lines(thinned(large > 110))]
    longest = max(map(len, found))
    kept = [line for line in found if len(line) >= min(longest, 6)]
    return [[((x + 0.5) / side, (y + 0.5) / side) for y, x in line] for line in kept]


def thinned(ink_HW: NDArray[Any]) -> NDArray[Any]:
    """The middle of what is drawn, one pixel wide (Zhang and Suen 1984)."""
    ink = np.pad(ink_HW.astype(bool), 1)
    while True:
        before = ink.copy()
        for half in (0, 1):
            near = [np.roll(ink, (-y, -x), (0, 1)) for y, x in _AROUND]
            count = sum(it.astype(int) for it in near)
            turns = sum(
                (~a & b).astype(int) for a, b in zip(near, near[1:] + near[:1], strict=True)
            )
            north, east, south, west = near[0], near[2], near[4], near[6]
            if half:
                kept = ~(north & east & west) & ~(north & south & west)
            else:
                kept = ~(north & east & south) & ~(east & south & west)
            ink &= ~((count >= 2) & (count <= 6) & (turns == 1) & kept)
        if (before == ink).all():
            return ink[1:-1, 1:-1]


def _lines(ink_HW: NDArray[Any]) -> list[list[tuple[int, int]]]:
    """Each pixel is on a line; a line begins at an end where there is one, and goes straight on."""
    left = {(int(y), int(x)) for y, x in np.argwhere(ink_HW)}
    all_of_it, found = set(left), []

    def near(at: tuple[int, int], among: set[tuple[int, int]]) -> list[tuple[int, int]]:
        return [p for y, x in _AROUND if (p := (at[0] + y, at[1] + x)) in among]

    while left:
        start = min(left, key=lambda at: (len(near(at, left)) != 1, len(near(at, all_of_it)), at))
        line = [*near(start, all_of_it - left)[:1], start]
        left.discard(start)
        while ahead := near(line[-1], left):
            y, x = line[-1]
            before = line[-5] if len(line) > 4 else line[0]
            way = (y - before[0], x - before[1])
            turn = max(ahead, key=lambda at: (at[0] - y) * way[0] + (at[1] - x) * way[1])
            line.append(turn)
            left.discard(turn)
        line += near(line[-1], all_of_it - {*line[-3:]})[:1]  # a ring is closed
        found.append(line)
    return found


def _smooth(line: list[tuple[int, int]]) -> list[tuple[float, float]]:
    """Means of neighbours on the line, its ends where they are; every third point is enough."""
    points = np.array(line, dtype=float)
    reach = 3
    rows = [points[max(0, at - reach) : at + reach + 1].mean(0) for at in range(len(points))]
    rows[0], rows[-1] = points[0], points[-1]
    kept = [*rows[:-1:3], rows[-1]]
    return [(float(y), float(x)) for y, x in kept]
