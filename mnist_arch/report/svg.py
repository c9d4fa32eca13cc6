"""Pictures as inline SVG, in the colours of the page that they stand in. All text is escaped."""

from __future__ import annotations

import base64
import math
import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

WIDTH, HEIGHT = 640, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 14, 12, 42


def picture(
    body: Iterable[object], *, title: str, width: float, height: float, kind: str = "diagram"
) -> Markup:
    """An SVG with a name for those who do not see it; as wide as there is room."""
    return Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w:.0f} {h:.0f}" role="img" '
        'class="{kind}" aria-label="{title}" style="max-width:{w:.0f}px"><title>{title}</title>'
        "{body}</svg>"
    ).format(w=width, h=height, kind=kind, title=title, body=Markup("").join(map(escape, body)))


def text(x: float, y: float, content: object, *, anchor: str = "start", kind: str = "") -> Markup:
    """A line of text."""
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}" class="{}">{}</text>').format(
        x, y, anchor, kind, content
    )


def rect(x: float, y: float, width: float, height: float, *, kind: str, tip: str = "") -> Markup:
    """A rectangle; `tip` is what it says when it is pointed at."""
    return Markup(
        '<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" class="{}">{}</rect>'
    ).format(x, y, max(0.0, width), max(0.0, height), kind, _tip(tip))


def _tip(tip: str) -> Markup:
    return Markup("<title>{}</title>").format(tip) if tip else Markup("")


@dataclass(frozen=True)
class Series:
    """A line of a chart, or its points."""

    points: Sequence[tuple[float, float]]
    kind: str
    """Class of its style."""
    tip: str = ""
    low_high: Sequence[tuple[float, float]] = ()
    """With it a band, or error bars: one for each point."""
    as_points: bool = False


def chart(
    series: Sequence[Series],
    *,
    title: str,
    x_label: str,
    line: float | None = None,
    line_label: str = "",
    vertical: float | None = None,
) -> Markup:
    """Lines or points over two axes; `line` is a horizontal one, `vertical` another."""
    xs = [x for it in series for x, _ in it.points]
    ys = [y for it in series for _, y in it.points]
    ys += [y for it in series for pair in it.low_high for y in pair]
    if not xs:
        return Markup("")
    if line is not None:
        ys.append(line)
    if vertical is not None:
        xs.append(vertical)
    x_low, x_high = _room(xs)
    y_low, y_high = _room(ys)

    def at_x(x: float) -> float:
        return _LEFT + (x - x_low) / (x_high - x_low) * (WIDTH - _LEFT - _RIGHT)

    def at_y(y: float) -> float:
        return _TOP + (y_high - y) / (y_high - y_low) * (HEIGHT - _TOP - _BOTTOM)

    body: list[object] = []
    for y in _ticks(y_low, y_high):
        body.append(_line(_LEFT, at_y(y), WIDTH - _RIGHT, at_y(y), "grid"))
        body.append(text(_LEFT - 6, at_y(y) + 4, f"{y:.6g}", anchor="end", kind="soft"))
    of_whole = all(x.is_integer() for x in map(float, xs))
    for x in _ticks(x_low, x_high):
        if of_whole and not round(x, 9).is_integer():
            continue  # there is no epoch 1.5
        body.append(text(at_x(x), HEIGHT - 24, f"{x:,.6g}", anchor="middle", kind="soft"))
    body.append(text(WIDTH - _RIGHT, HEIGHT - 4, x_label, anchor="end", kind="soft"))
    if line is not None:
        body.append(_line(_LEFT, at_y(line), WIDTH - _RIGHT, at_y(line), "budget"))
        body.append(text(_LEFT + 4, at_y(line) - 4, line_label, kind="budget-text"))
    if vertical is not None:
        body.append(_line(at_x(vertical), _TOP, at_x(vertical), HEIGHT - _BOTTOM, "budget"))
    for it in series:
        body += _drawn(it, [(at_x(x), at_y(y)) for x, y in it.points], at_y)
    return picture(body, title=title, width=WIDTH, height=HEIGHT, kind="chart")


@dataclass(frozen=True)
class Across:
    """What goes through all axes of a picture of parallel coordinates."""

    values: Sequence[str | float]
    """One for each axis: a number, also as text, or a word."""
    kind: str
    tip: str = ""


def parallel(axes: Sequence[str], lines: Sequence[Across], *, title: str) -> Markup:
    """Each of `lines` as a line through upright axes, from the least value up to the largest.

    An axis of positive numbers that differ by more than a factor of 50 is logarithmic; one with
    words, or one value alone, has its values in equal steps.
    """
    if len(axes) < 2 or not lines:
        return Markup("")
    body: list[object] = []
    gap = (WIDTH - 2 * _LEFT) / (len(axes) - 1)
    columns = [[it.values[number] for it in lines] for number in range(len(axes))]
    heights: list[list[float]] = []
    for number, (name, values) in enumerate(zip(axes, columns, strict=True)):
        x = _LEFT + number * gap
        at, marks = _along(values)
        heights.append([_height(it) for it in at])
        body.append(_line(x, _height(0), x, _height(1), "grid"))
        for share, mark in marks:
            body.append(text(x + 4, _height(share) + 4, mark, kind="soft"))
        anchor = "end" if number == len(axes) - 1 else "middle" if number else "start"
        row = HEIGHT - 14 if number % 2 else HEIGHT - 1
        body.append(text(x, row, name, anchor=anchor, kind="soft"))
    for it, ys in zip(lines, zip(*heights, strict=True), strict=True):
        points = [(_LEFT + number * gap, y) for number, y in enumerate(ys)]
        body.append(
            Markup('<polyline points="{}" class="{} line">{}</polyline>').format(
                _path(points), it.kind, _tip(it.tip)
            )
        )
    return picture(body, title=title, width=WIDTH, height=HEIGHT)


def _height(share: float) -> float:
    return _TOP + (1 - share) * (HEIGHT - _TOP - _BOTTOM)


def _along(values: Sequence[str | float]) -> tuple[list[float], list[tuple[float, str]]]:
    """Where each value stands on an axis, in shares of it, and what is written beside it."""
    numbers = _numbers(values)
    if not numbers or min(numbers) == max(numbers):
        words = sorted({str(it) for it in values})
        share = {word: (at + 0.5) / len(words) for at, word in enumerate(words)}
        return [share[str(it)] for it in values], [(at, word) for word, at in share.items()]
    low, high = min(numbers), max(numbers)
    if low > 0 and high / low > 50:
        at = [math.log(it / low) / math.log(high / low) for it in numbers]
        middle = math.sqrt(low * high)
    else:
        at = [(it - low) / (high - low) for it in numbers]
        middle = (low + high) / 2
    marks = [(share, f"{it:.4g}") for share, it in ((0, low), (0.5, middle), (1, high))]
    return at, marks


def _numbers(values: Sequence[str | float]) -> list[float]:
    """The values as numbers; empty where one is a word."""
    try:
        found = list(map(float, values))
    except ValueError:
        return []
    return found if all(map(math.isfinite, found)) else []


def _drawn(series: Series, points: list[tuple[float, float]], at_y: object) -> Iterable[Markup]:
    assert callable(at_y)
    pairs = [(at_y(low), at_y(high)) for low, high in series.low_high]
    if series.as_points:
        for (x, y), (low, high) in zip(points, pairs or [(y, y) for _, y in points], strict=True):
            yield _line(x, low, x, high, series.kind)
            yield Markup('<circle cx="{:.1f}" cy="{:.1f}" r="4" class="{}">{}</circle>').format(
                x, y, f"{series.kind} dot", _tip(series.tip)
            )
        return
    if pairs:
        xs = [x for x, _ in points]
        around = [*zip(xs, (low for low, _ in pairs), strict=True)]
        around += [*zip(xs, (high for _, high in pairs), strict=True)][::-1]
        yield Markup('<polygon points="{}" class="{} band"/>').format(_path(around), series.kind)
    if len(points) == 1:  # a line of one epoch cannot be seen
        yield Markup('<circle cx="{:.1f}" cy="{:.1f}" r="4" class="{} dot">{}</circle>').format(
            *points[0], series.kind, _tip(series.tip)
        )
        return
    yield Markup('<polyline points="{}" class="{} line">{}</polyline>').format(
        _path(points), series.kind, _tip(series.tip)
    )


def _path(points: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _line(x: float, y: float, to_x: float, to_y: float, kind: str) -> Markup:
    return Markup('<line x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}" class="{}"/>').format(
        x, y, to_x, to_y, kind
    )


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers within the range: four to nine multiples of 1, 2 or 5 and a power of ten."""
    power = 10.0 ** math.floor(math.log10((high - low) / 4))
    step = max(it * power for it in (1, 2, 5) if it * power <= (high - low) / 4)
    return [number * step for number in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _room(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    margin = (high - low) * 0.05 or abs(high) * 0.05 or 1.0
    return low - margin, high + margin


def png(rows: Sequence[bytes]) -> str:
    """Grey pixels, a row each, as the address of a PNG inside the page."""
    width, height = len(rows[0]), len(rows)

    def chunk(kind: bytes, data: bytes) -> bytes:
        sum_ = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + sum_

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows), 9)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    signature = b"\x89PNG\r\n\x1a\n"
    return "data:image/png;base64," + base64.b64encode(signature + content).decode()
