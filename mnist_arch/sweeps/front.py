"""The picture of a leaderboard: accuracy against parameters, each arm by the number of its rank."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from mnist_arch.data.catalog import in_words
from mnist_arch.drawing import (
    BLUE,
    DASHES,
    DPI,
    INK,
    ORANGE,
    RED,
    SOFT,
    Format,
    drawing,
    file_bytes,
    frame_and_grid,
    new_figure,
)
from mnist_arch.sweeps.spec import UNITS
from mnist_arch.sweeps.standings import ArmScore, Leaderboard, Standing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

NAMED: Final = 16
"""Arms that have a number and a line in the key; further ones are dots."""
_NAME: Final = 30
"""Letters of a name in the key."""
_ROW: Final = 0.04
"""Height of a line of the key, as a share of it."""
_DOTS: Final = (0, (2, 2))
_BESIDE: Final = [
    (distance * math.cos(math.radians(angle)), distance * math.sin(math.radians(angle)))
    for distance in (13, 19, 27, 36, 46, 58, 72)
    for angle in (0, 180, 35, -35, 145, -145, 65, -65, 115, -115)
]
"""Where the number of an arm may stand beside its mark, in points, the best first."""
_APART: Final = (16.0, 12.0)
"""Distance of numbers from each other and from marks, across and down, in points."""


def draw_front(board: Leaderboard, *, kind: Format = "png") -> bytes:
    """Hold-out accuracy of every ranked arm against its cost, as a file of that kind.

    With standard deviations, the Pareto front, the budget, and the finalists' test accuracy. Raises
    ValueError where no arm is ranked, and PictureError.
    """
    arms = [
        it.model_copy(update={"parameters": board.cost_of(it)})  # what is drawn across
        for it in board.standings
        if it.holdout is not None
    ]
    if not arms:
        raise ValueError("the picture needs an arm that is ranked")
    runs = max(len(_holdout(it).seeds) for it in arms)
    split = f"{board.held_out}, {runs} seed{'s' if runs > 1 else ''}"
    with drawing():
        figure = new_figure(13.5, 6.2, f"{board.name} · {in_words(board.dataset)} · {split}")
        axes, key = figure.subplots(1, 2, width_ratios=(9.3, 4.2))
        _zoom(axes, arms)
        marks = [*_draw_arms(axes, arms), *_draw_lines(axes, arms, board)]
        _dress(axes, UNITS[board.cost])
        _draw_key(key, arms, board, marks)
        figure.draw_without_rendering()  # from here on the axes stay where they are
        figure.set_layout_engine("none")
        _number(axes, arms[:NAMED])
        return file_bytes(figure, kind)


def _holdout(it: Standing) -> ArmScore:
    assert it.holdout is not None
    return it.holdout


def _draw_arms(axes: Axes, arms: Sequence[Standing]) -> Iterator[Line2D]:
    """A mark an arm; yields one of each sort, with what it means."""
    for it in arms[:NAMED]:
        color = BLUE if it.tied else SOFT
        if it.test is not None:
            _draw_score(axes, it, it.test, "D", ORANGE)
        if not _is_below(axes, it):
            _draw_score(axes, it, _holdout(it), "o", color)
        else:
            axes.plot(*_place(axes, it), "v", color=color, markersize=8, clip_on=False, zorder=4)
    further = [_place(axes, it) for it in arms[NAMED:]]
    axes.plot([x for x, _ in further], [y for _, y in further], ".", color=SOFT, markersize=3)
    named = arms[:NAMED]
    if any(it.tied for it in named):
        yield _mark("not significantly different from the first", marker="o", color=BLUE)
    if not all(it.tied for it in named):
        yield _mark("significantly different from it", marker="o", color=SOFT)
    if any(_is_below(axes, it) for it in named):
        yield _mark("lower than the picture", marker="v", color=SOFT)
    if any(it.test is not None for it in named):
        label = "test, finalists with other seeds"
        yield _mark(label, marker="D", color=ORANGE, markerfacecolor="white")
    if any(_holdout(it).spread_percent is not None for it in named):
        yield _mark("standard deviation over seeds", marker="|", color=SOFT, markersize=11)
    if further:
        yield _mark(f"{len(further):,} further arms", marker=".", color=SOFT, markersize=3)


def _is_below(axes: Axes, it: Standing) -> bool:
    return _holdout(it).mean_percent < axes.get_ylim()[0]


def _place(axes: Axes, it: Standing) -> tuple[float, float]:
    """Where an arm stands; what is lower than the picture stands on its edge."""
    return it.parameters, max(_holdout(it).mean_percent, axes.get_ylim()[0])


def _draw_score(axes: Axes, it: Standing, scored: ArmScore, marker: str, color: str) -> None:
    """Mean and standard deviation; test is an open mark."""
    axes.errorbar(
        it.parameters,
        scored.mean_percent,
        yerr=scored.spread_percent,
        fmt=marker,
        color=color,
        markerfacecolor="white" if scored.split == "test" else color,
        markersize=6.5,
        capsize=3,
        linewidth=1.1,
        zorder=3 if scored.split == "test" else 4,
    )


def _draw_lines(axes: Axes, arms: Sequence[Standing], board: Leaderboard) -> Iterator[Line2D]:
    """The front, which is the accuracy reached with so many parameters; and the budget."""
    points = sorted((it.parameters, _holdout(it).mean_percent) for it in arms if it.front)
    steps, heights = [x for x, _ in points], [y for _, y in points]
    (line,) = axes.step(
        steps, heights, where="post", color=BLUE, linewidth=1.2, linestyle=DASHES, zorder=1
    )
    if len(points) > 1:
        line.set_label("Pareto front")
        yield line
    unit = UNITS[board.cost]
    if (below := board.budget.limits().get(unit)) is not None:
        line = axes.axvline(below, color=RED, linewidth=1.2, linestyle=_DOTS, zorder=1)
        line.set_label(f"budget: fewer than {below:,} {unit}")
        yield line


def _mark(label: str, **style: Any) -> Line2D:
    """A sort of mark, as the key shows it."""
    from matplotlib.lines import Line2D

    return Line2D([], [], linestyle="none", label=label, **{"markersize": 6.5, **style})


def _number(axes: Axes, arms: Sequence[Standing]) -> None:
    """Writes the rank of each arm beside its mark, where nothing else is; the first come first."""
    from matplotlib.patheffects import withStroke

    points = 72 / DPI
    places = [axes.transData.transform(_place(axes, it)) * points for it in arms]
    taken = [(float(x), float(y)) for x, y in places]
    for it, (x, y) in zip(arms, list(taken), strict=True):
        free = (by for by in _BESIDE if _is_free(x + by[0], y + by[1], taken))
        dx, dy = next(free, _BESIDE[0])
        taken.append((x + dx, y + dy))
        line = {"arrowstyle": "-", "color": SOFT, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 3}
        axes.annotate(
            str(it.rank),
            _place(axes, it),
            xytext=(dx, dy),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=9,
            fontweight="bold",
            color=BLUE if it.tied else SOFT,
            arrowprops=line if math.hypot(dx, dy) > 20 else None,
            annotation_clip=False,
            path_effects=[withStroke(linewidth=3, foreground="white")],
            zorder=5,
        )


def _is_free(x: float, y: float, taken: Sequence[tuple[float, float]]) -> bool:
    across, down = _APART
    return not any(abs(x - left) < across and abs(y - low) < down for left, low in taken)


def _zoom(axes: Axes, arms: Sequence[Standing]) -> None:
    """Limits by the better half: arms that did not learn would press all others together."""
    scores = [_holdout(it) for it in arms]
    means = sorted(it.mean_percent for it in scores)
    best, middle = means[-1], means[len(means) // 2]
    lowest = best - max(8 * (best - middle), 1.0)
    inside = [it for it in scores if it.mean_percent >= lowest]
    shown = [*inside, *(it.test for it in arms if it.test is not None)]
    ends = [(it.mean_percent, it.spread_percent or 0.0) for it in shown]
    low, high = min(mean - by for mean, by in ends), max(mean + by for mean, by in ends)
    margin = 0.06 * (high - low) or 0.1
    axes.set_ylim(low - margin, high + margin)


def _dress(axes: Axes, unit: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel(unit, fontsize=9.5, color=SOFT)
    axes.set_title("accuracy (%)", loc="left", fontsize=10.5, color=INK)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 2.5, 5, 10], integer=True))
    axes.margins(x=0.08)
    frame_and_grid(axes)


def _draw_key(
    axes: Axes, arms: Sequence[Standing], board: Leaderboard, marks: Sequence[Line2D]
) -> None:
    """Rank, name and score, a line each; below them what the marks say."""
    axes.set_axis_off()
    for row, it in enumerate(arms[:NAMED]):
        y = 1 - row * _ROW
        color = BLUE if it.tied else SOFT
        axes.text(0.05, y, str(it.rank), ha="right", fontsize=9, color=color, fontweight="bold")
        name = it.name if len(it.name) <= _NAME else f"{it.name[: _NAME - 1]}…"
        axes.text(0.08, y, name, fontsize=9, color=INK)
        axes.text(0.99, y, _text(_holdout(it)), ha="right", fontsize=9, color=INK)
    rejected = sum(bool(it.rejected) for it in board.standings) + _rejected_by(board)
    notes = [_mark(f"{rejected:,} over the budget are not drawn")] if rejected else []
    axes.legend(
        handles=[*marks, *notes],
        loc="lower left",
        borderpad=0,
        labelspacing=0.35,
        frameon=False,
        fontsize=8.5,
        labelcolor=SOFT,
    )


def _rejected_by(board: Leaderboard) -> int:
    return 0 if board.search is None else board.search.rejected


def _text(scored: ArmScore) -> str:
    spread = "" if scored.spread_percent is None else f" ± {scored.spread_percent:.3f}"
    return f"{scored.mean_percent:.3f}{spread}"
