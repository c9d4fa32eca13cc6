"""The picture of a leaderboard: accuracy against parameters, each arm by the number of its rank."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from mnist_arch.drawing import BLUE, INK, ORANGE, RED, SOFT, frame_and_grid, new_figure, png_bytes
from mnist_arch.sweeps.standings import Leaderboard, Scored, Standing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAMED: Final = 16
"""Arms that have a number and a line in the key; further ones are dots."""
_NAME: Final = 30
"""Letters of a name in the key."""
_ASIDE: Final = 0.024
"""Distance of arms with equally many parameters, as a share of the horizontal axis."""


def draw_front(board: Leaderboard) -> bytes:
    """Hold-out accuracy of every ranked arm against its parameters, as PNG.

    With standard deviations, the Pareto front, the budget, and the finalists' test accuracy. Raises
    ValueError where no arm is ranked.
    """
    arms = [it for it in board.standings if it.holdout is not None]
    if not arms:
        raise ValueError("the picture needs an arm that is ranked")
    runs = max(len(_holdout(it).seeds) for it in arms)
    split = f"{board.holdout_images:,} images held out, {runs} seed{'s' if runs > 1 else ''}"
    figure = new_figure(13.5, 6.2, f"{board.name} · {board.dataset} · {split}")
    axes, key = figure.subplots(1, 2, width_ratios=(9.3, 4.2))
    places = _places(arms, board)
    _zoom(axes, arms)
    _draw_arms(axes, arms, places)
    _draw_front_line(axes, arms, places)
    _draw_budget(axes, board)
    _dress(axes)
    _draw_key(key, arms, board)
    return png_bytes(figure)


def _holdout(it: Standing) -> Scored:
    assert it.holdout is not None
    return it.holdout


def _places(arms: Sequence[Standing], board: Leaderboard) -> list[float]:
    """Where arms stand horizontally: those with equally many parameters beside each other."""
    counts = [it.parameters for it in arms]
    span = max(*counts, board.budget.parameters_below) - min(counts) or 1
    together: dict[int, list[int]] = defaultdict(list)
    for index, count in enumerate(counts[:NAMED]):
        together[count].append(index)
    places = [float(count) for count in counts]
    for count, members in together.items():
        for position, index in enumerate(members):
            places[index] = count + (position - (len(members) - 1) / 2) * _ASIDE * span
    return places


def _draw_arms(axes: Axes, arms: Sequence[Standing], places: Sequence[float]) -> None:
    floor = axes.get_ylim()[0]
    for it, x in zip(arms[:NAMED], places, strict=False):
        holdout, color = _holdout(it), BLUE if it.tied else SOFT
        if it.test is not None:
            _draw_score(axes, x, it.test, "D", ORANGE, size=7)
        if (y := holdout.mean_percent) < floor:
            axes.plot(x, floor, "v", color=color, markersize=15, clip_on=False, zorder=4)
            y = floor
        else:
            _draw_score(axes, x, holdout, "o", color, size=15)
        axes.annotate(
            str(it.rank),
            (x, y),
            ha="center",
            va="center",
            fontsize=8.5,
            fontweight="bold",
            color="white",
            zorder=5,
        )
    further = [(x, _holdout(it).mean_percent) for it, x in zip(arms, places, strict=True)][NAMED:]
    axes.plot([x for x, _ in further], [y for _, y in further], ".", color=SOFT, markersize=3)


def _draw_score(
    axes: Axes, x: float, scored: Scored, marker: str, color: str, *, size: float
) -> None:
    """Mean and standard deviation; test is an open mark."""
    axes.errorbar(
        x,
        scored.mean_percent,
        yerr=scored.spread_percent,
        fmt=marker,
        color=color,
        markerfacecolor="white" if scored.split == "test" else color,
        markersize=size,
        capsize=3,
        linewidth=1.2,
        zorder=3 if scored.split == "test" else 4,
    )


def _draw_front_line(axes: Axes, arms: Sequence[Standing], places: Sequence[float]) -> None:
    """What accuracy can be had with so many parameters: a staircase."""
    points = sorted(
        (x, _holdout(it).mean_percent) for it, x in zip(arms, places, strict=True) if it.front
    )
    axes.step(
        [x for x, _ in points],
        [y for _, y in points],
        where="post",
        color=BLUE,
        linewidth=1.2,
        linestyle=(0, (4, 2)),
        zorder=1,
    )


def _draw_budget(axes: Axes, board: Leaderboard) -> None:
    below = board.budget.parameters_below
    axes.axvline(below, color=RED, linewidth=1.2, linestyle=(0, (2, 2)), zorder=1)
    axes.annotate(
        f"fewer than {below:,}",
        (below, 0.02),
        xycoords=axes.get_xaxis_transform(),
        xytext=(-5, 0),
        textcoords="offset points",
        rotation=90,
        ha="right",
        fontsize=9,
        color=RED,
    )


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


def _dress(axes: Axes) -> None:
    axes.set_xlabel("parameters", fontsize=9.5, color=SOFT)
    axes.set_title("accuracy (%)", loc="left", fontsize=10.5, color=INK)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.margins(x=0.06)
    frame_and_grid(axes)


def _draw_key(axes: Axes, arms: Sequence[Standing], board: Leaderboard) -> None:
    """Rank, name and score, a line each; below them what the marks say."""
    axes.set_axis_off()
    for row, it in enumerate(arms[:NAMED]):
        y = 1 - row * 0.043
        color = BLUE if it.tied else SOFT
        axes.text(0.05, y, str(it.rank), ha="right", fontsize=9, color=color, fontweight="bold")
        name = it.name if len(it.name) <= _NAME else f"{it.name[: _NAME - 1]}…"
        axes.text(0.08, y, name, fontsize=9, color=INK, parse_math=False)
        axes.text(0.99, y, _text(_holdout(it)), ha="right", fontsize=9, color=INK)
    rejected = sum(bool(it.rejected) for it in board.standings) + board.proposals_rejected
    notes = [
        ("●", BLUE, "not told apart from the first"),
        ("●", SOFT, "told apart"),
        ("◇", ORANGE, "test, finalists with other seeds"),
        ("╌", BLUE, "Pareto front"),
    ]
    if not any(it.test for it in arms):
        del notes[2]
    if len({it.parameters for it in arms}) < len(arms):
        notes.append(("", SOFT, "with equally many parameters: side by side"))
    if len(arms) > NAMED:
        notes.append(("·", SOFT, f"{len(arms) - NAMED:,} further arms"))
    if rejected:
        notes.append(("", RED, f"{rejected:,} over the budget are not drawn"))
    for row, (mark, color, text) in enumerate(reversed(notes)):
        axes.text(0.05, row * 0.043, mark, ha="right", fontsize=9, color=color)
        axes.text(0.08, row * 0.043, text, fontsize=9, color=SOFT)


def _text(scored: Scored) -> str:
    spread = "" if scored.spread_percent is None else f" ± {scored.spread_percent:.3f}"
    return f"{scored.mean_percent:.3f}{spread}"
