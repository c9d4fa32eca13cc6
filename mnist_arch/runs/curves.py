"""The curves of a run: loss, accuracy and learning rate by epoch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mnist_arch.drawing import (
    BLUE,
    DASHES,
    GREEN,
    INK,
    ORANGE,
    RED,
    SOFT,
    Format,
    drawing,
    file_bytes,
    frame_and_grid,
    log_axis,
    new_figure,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mnist_arch.training.events import EpochRecord

WIDTH: Final = 13.5
HEIGHT: Final = 4.8
PLACES: Final = {
    "left": 0.7 / WIDTH,
    "right": 1 - 0.25 / WIDTH,
    "bottom": 0.65 / HEIGHT,
    "top": 1 - 1.15 / HEIGHT,
    "wspace": 0.45,
}
"""Of the three axes, in inches by those of the figure. Beside them is room for numbers of seven
digits, and for the final accuracy."""


@dataclass(frozen=True)
class AccuracyRule:
    """What a budget asks of the accuracy."""

    percent: float
    of: str
    """The images that it is asked of, such as `mnist test`."""


def draw_curves(
    records: Sequence[EpochRecord],
    *,
    split: str,
    title: str,
    facts: str = "",
    asked: AccuracyRule | None = None,
    kind: Format = "png",
) -> bytes:
    """Loss, accuracy and learning rate by epoch, side by side, as a file of that kind.

    `split` names the images that the records were judged on, `facts` is a line below the title, and
    `asked` is what the budget asks of the accuracy. Raises ValueError unless the last epoch was
    judged, and PictureError.
    """
    if not records or records[-1].correct is None:
        raise ValueError("curves need a last epoch that was judged")
    with drawing():
        figure = new_figure(WIDTH, HEIGHT, title, facts)
        figure.set_layout_engine(None)  # to look where everything fits takes longer than to draw
        loss, accuracy, rate = figure.subplots(1, 3, gridspec_kw=PLACES)
        _draw_loss(loss, records, split)
        _draw_accuracy(accuracy, records, split, asked)
        _draw_rate(rate, records)
        return file_bytes(figure, kind)


def _draw_loss(axes: Axes, records: Sequence[EpochRecord], split: str) -> None:
    train = [record.train_loss for record in records]
    judged = [record for record in records if record.loss is not None]
    losses = [record.loss for record in judged if record.loss is not None]
    _line(axes, records, train, color=ORANGE, label=f"train: {train[-1]:.4f}")
    _line(axes, judged, losses, color=BLUE, label=f"{split}: {losses[-1]:.4f}")
    low, high = min(*train, *losses), max(*train, *losses)
    if low > 0 and high > 5 * low:
        log_axis(axes)
    _dress(axes, "Loss (cross-entropy, nats)", records)


def _draw_accuracy(
    axes: Axes, records: Sequence[EpochRecord], split: str, asked: AccuracyRule | None
) -> None:
    judged = [record for record in records if record.accuracy_percent is not None]
    percents = [it.accuracy_percent for it in judged if it.accuracy_percent is not None]
    final = percents[-1]
    low, high = _zoom(percents, asked)
    axes.set_ylim(low, high)
    _line(axes, judged, percents, color=BLUE, label=split)
    label = f"after the last epoch: {final:.2f} %"
    axes.axhline(final, color=BLUE, linewidth=0.9, linestyle=(0, (2, 3)), zorder=1, label=label)
    if asked is not None:
        label = f"asked of {asked.of}: {asked.percent:g} %"
        axes.axhline(asked.percent, color=RED, linewidth=1.2, linestyle=DASHES, label=label)
    _dress(axes, f"Accuracy ({split}, %)", records)
    # Beside the frame nothing can lie under it.
    axes.annotate(
        f"{final:.2f} %",
        (1, final),
        xycoords=axes.get_yaxis_transform(),
        xytext=(4, 0),
        textcoords="offset points",
        va="center",
        fontsize=12,
        fontweight="bold",
        color=BLUE,
    )
    if percents[0] < low:
        note = f"from {percents[0]:.2f} % after epoch {judged[0].epoch}"
        axes.set_xlabel(f"epoch ({note})", fontsize=9, color=SOFT)


def _draw_rate(axes: Axes, records: Sequence[EpochRecord]) -> None:
    rates = [record.rate for record in records]
    _line(axes, records, rates, color=GREEN, label="last step of the epoch")
    axes.set_ylim(0, max(rates) * 1.08 or 1)
    _dress(axes, "Learning rate", records)


def _zoom(percents: Sequence[float], asked: AccuracyRule | None) -> tuple[float, float]:
    """Limits that show what is asked and the last two thirds; what came earlier may lie below."""
    line = [] if asked is None else [asked.percent]
    later = percents[len(percents) // 3 :]
    low, high = min([*later, *line]), max([*percents, *line])
    margin = max(0.12 * (high - low), 0.05)
    return max(0.0, low - 3 * margin), min(100.0, high + margin)


def _line(
    axes: Axes,
    records: Sequence[EpochRecord],
    values: Sequence[float],
    *,
    color: str,
    label: str,
) -> None:
    """One curve, its last point larger."""
    epochs = [record.epoch for record in records]
    axes.plot(
        epochs,
        values,
        color=color,
        linewidth=1.8,
        marker="o",
        markersize=3.5,
        label=label,
        zorder=3,
    )
    axes.plot(
        epochs[-1:], values[-1:], color=color, marker="o", markersize=7, zorder=4, clip_on=False
    )


def _dress(axes: Axes, title: str, records: Sequence[EpochRecord]) -> None:
    """Title, frame, grid, legend, and whole epochs on the horizontal axis."""
    axes.set_title(title, loc="left", fontsize=10.5, color=INK)
    axes.set_xlabel("epoch", fontsize=9, color=SOFT)
    first, last = records[0].epoch, records[-1].epoch
    axes.set_xticks(range(last, first - 1, -max(1, math.ceil((last - first) / 7))))
    margin = max(0.5, (last - first) / 40)
    axes.set_xlim(first - margin, last + margin)
    frame_and_grid(axes)
    axes.legend(frameon=False, fontsize=9, labelcolor=INK, loc="best")
