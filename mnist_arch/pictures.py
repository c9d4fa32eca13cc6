"""Pictures as PNG bytes. Drawn through matplotlib's objects, so that no global state is touched."""

from __future__ import annotations

import contextlib
import io
import logging
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mnist_arch.training import EpochRecord

DPI: Final = 120

INK: Final = "#1f2933"
SOFT: Final = "#7b8794"
GRID: Final = "#e4e7eb"
BLUE: Final = "#1f6fb2"
ORANGE: Final = "#e07b26"
GREEN: Final = "#2b8a5b"


def draw_curves(records: Sequence[EpochRecord], *, split: str, title: str) -> bytes:
    """Loss, accuracy and learning rate by epoch, side by side, as PNG.

    `split` names the images that the records were judged on. Raises ValueError without records.
    """
    if not records:
        raise ValueError("curves need at least one epoch")
    figure = _figure(13.5, 4.2)
    loss, accuracy, rate = figure.subplots(1, 3)
    figure.suptitle(
        title, x=0.012, ha="left", fontsize=14, fontweight="bold", color=INK, parse_math=False
    )
    _draw_loss(loss, records, split)
    _draw_accuracy(accuracy, records, split)
    _draw_rate(rate, records)
    return _png(figure)


def _draw_loss(axes: Axes, records: Sequence[EpochRecord], split: str) -> None:
    train = [record.train_loss for record in records]
    held = [record.loss for record in records]
    _line(axes, records, train, color=ORANGE, label=f"train, augmented: {train[-1]:.4f}")
    _line(axes, records, held, color=BLUE, label=f"{split}: {held[-1]:.4f}")
    low, high = min(*train, *held), max(*train, *held)
    if low > 0 and high > 5 * low:
        _log_axis(axes)
    _dress(axes, "Loss (cross-entropy, nats)", records)
    axes.legend(frameon=False, fontsize=9.5, labelcolor=INK, loc="best")


def _draw_accuracy(axes: Axes, records: Sequence[EpochRecord], split: str) -> None:
    percents = [record.accuracy_percent for record in records]
    final = percents[-1]
    low, high = _zoom(percents)
    axes.set_ylim(low, high)
    axes.axhline(final, color=BLUE, linewidth=0.9, linestyle=(0, (2, 3)), zorder=1)
    _line(axes, records, percents, color=BLUE)
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
        note = f"from {percents[0]:.2f} % after epoch {records[0].epoch}"
        axes.text(0.98, 0.03, note, transform=axes.transAxes, ha="right", fontsize=9, color=SOFT)


def _draw_rate(axes: Axes, records: Sequence[EpochRecord]) -> None:
    rates = [record.rate for record in records]
    _line(axes, records, rates, color=GREEN)
    axes.set_ylim(0, max(rates) * 1.08 or 1)
    _dress(axes, "Learning rate (last step of the epoch)", records)


def _zoom(percents: Sequence[float]) -> tuple[float, float]:
    """Limits that show the second half of the training; what came earlier may lie below."""
    later = percents[len(percents) // 2 :]
    low, high = min(later), max(percents)
    margin = max(0.12 * (high - low), 0.05)
    return max(0.0, low - 3 * margin), min(100.0, high + margin)


def _line(
    axes: Axes,
    records: Sequence[EpochRecord],
    values: Sequence[float],
    *,
    color: str,
    label: str | None = None,
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


# ------------------------------------------------------------------------------- common to pictures


def _figure(width: float, height: float) -> Figure:
    """An empty figure of inches, on the Agg canvas."""
    with _quiet_import():
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


@contextlib.contextmanager
def _quiet_import() -> Iterator[None]:
    """Holds back what matplotlib logs on its first import, such as that it caches fonts."""
    logger = logging.getLogger("matplotlib")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    # Without the version of matplotlib in it, the same picture is the same bytes.
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _dress(axes: Axes, title: str, records: Sequence[EpochRecord]) -> None:
    """Title, frame, grid and whole epochs on the horizontal axis."""
    axes.set_title(title, loc="left", fontsize=10.5, color=INK, parse_math=False)
    axes.set_xlabel("epoch", fontsize=9, color=SOFT)
    first, last = records[0].epoch, records[-1].epoch
    axes.set_xticks(range(last, first - 1, -max(1, math.ceil((last - first) / 7))))
    margin = max(0.5, (last - first) / 40)
    axes.set_xlim(first - margin, last + margin)
    axes.grid(True, which="major", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", length=0, labelsize=9, labelcolor=INK)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(GRID)


def _log_axis(axes: Axes) -> None:
    """A logarithmic axis with plain numbers at 1, 2 and 5 times the powers of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(base=10, subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())
