"""Pictures as PNG bytes. Drawn through matplotlib's objects, so that no global state is touched."""

from __future__ import annotations

import contextlib
import io
import logging
import math
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.patches import Patch
    from torch import Tensor

    from mnist_arch.evaluation import Evaluation
    from mnist_arch.training import EpochRecord

DPI: Final = 120

INK: Final = "#1f2933"
SOFT: Final = "#7b8794"
GRID: Final = "#e4e7eb"
BLUE: Final = "#1f6fb2"
ORANGE: Final = "#e07b26"
GREEN: Final = "#2b8a5b"
RED: Final = "#b42318"

FEW_CLASSES: Final = 26
"""Up to this many, the diagonal of a confusion matrix has its numbers."""

ROWS: Final = 5
COLUMNS: Final = 6
"""Mistakes in a gallery, down and across."""


def draw_curves(records: Sequence[EpochRecord], *, split: str, title: str) -> bytes:
    """Loss, accuracy and learning rate by epoch, side by side, as PNG.

    `split` names the images that the records were judged on. Raises ValueError unless the last
    epoch was judged.
    """
    if not records or records[-1].correct is None:
        raise ValueError("curves need a last epoch that was judged")
    figure = new_figure(13.5, 4.5, title)
    loss, accuracy, rate = figure.subplots(1, 3)
    _draw_loss(loss, records, split)
    _draw_accuracy(accuracy, records, split)
    _draw_rate(rate, records)
    return png_bytes(figure)


def _draw_loss(axes: Axes, records: Sequence[EpochRecord], split: str) -> None:
    train = [record.train_loss for record in records]
    judged = [record for record in records if record.loss is not None]
    held = [record.loss for record in judged if record.loss is not None]
    _line(axes, records, train, color=ORANGE, label=f"train: {train[-1]:.4f}")
    _line(axes, judged, held, color=BLUE, label=f"{split}: {held[-1]:.4f}")
    low, high = min(*train, *held), max(*train, *held)
    if low > 0 and high > 5 * low:
        _log_axis(axes)
    _dress(axes, "Loss (cross-entropy, nats)", records)
    axes.legend(frameon=False, fontsize=9.5, labelcolor=INK, loc="best")


def _draw_accuracy(axes: Axes, records: Sequence[EpochRecord], split: str) -> None:
    judged = [record for record in records if record.accuracy_percent is not None]
    percents = [it.accuracy_percent for it in judged if it.accuracy_percent is not None]
    final = percents[-1]
    low, high = _zoom(percents)
    axes.set_ylim(low, high)
    axes.axhline(final, color=BLUE, linewidth=0.9, linestyle=(0, (2, 3)), zorder=1)
    _line(axes, judged, percents, color=BLUE)
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
        axes.text(0.98, 0.03, note, transform=axes.transAxes, ha="right", fontsize=9, color=SOFT)


def _draw_rate(axes: Axes, records: Sequence[EpochRecord]) -> None:
    rates = [record.rate for record in records]
    _line(axes, records, rates, color=GREEN)
    axes.set_ylim(0, max(rates) * 1.08 or 1)
    _dress(axes, "Learning rate (last step of the epoch)", records)


def _zoom(percents: Sequence[float]) -> tuple[float, float]:
    """Limits that show the last two thirds of the training; what came earlier may lie below."""
    later = percents[len(percents) // 3 :]
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


def draw_gallery(
    evaluation: Evaluation, images_NCHW: Tensor, *, class_names: Sequence[str], title: str
) -> bytes:
    """The most confident mistakes beside the confusion matrix, as PNG.

    `images_NCHW` is the split that was judged, (N, 1, 28, 28) uint8 on any device.
    """
    figure = new_figure(17, 9.8, title)
    left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=(8.6, 8.4), wspace=0.03)[0]
    _draw_mistakes(left, evaluation, images_NCHW, class_names)
    _draw_confusion(right, evaluation, class_names)
    return png_bytes(figure)


def _draw_mistakes(
    figure: SubFigure, evaluation: Evaluation, images_NCHW: Tensor, class_names: Sequence[str]
) -> None:
    shown = evaluation.mistakes[: ROWS * COLUMNS]
    mistakes = evaluation.images - evaluation.correct
    if not mistakes:
        _heading(figure, "The mistakes")
        note = f"none in {evaluation.images:,} images"
        figure.text(0.5, 0.5, note, ha="center", fontsize=20, color=GREEN)
        return
    _heading(figure, f"The most confident mistakes: {len(shown):,} of {mistakes:,}")
    for axes, mistake in zip_longest(figure.subplots(ROWS, COLUMNS).flat, shown):
        if mistake is None:
            axes.set_axis_off()
            continue
        pixels = images_NCHW[mistake.index, 0].cpu().numpy()
        axes.imshow(pixels, cmap="gray_r", vmin=0, vmax=255, interpolation="nearest")
        _frame_only(axes)
        caption = f"{class_names[mistake.label]} → {class_names[mistake.predicted]}"
        size = 15 if len(caption) < 8 else 8.5
        axes.set_title(caption, fontsize=size, color=RED, pad=13, parse_math=False)
        note = f"{100 * mistake.probability:.1f} % · no. {mistake.index}"
        axes.text(0.5, 1.03, note, transform=axes.transAxes, ha="center", fontsize=8.5, color=SOFT)


def _draw_confusion(figure: SubFigure, evaluation: Evaluation, class_names: Sequence[str]) -> None:
    """Mistakes in red, by the logarithm of their count; the diagonal, larger by far, in grey."""
    import numpy as np

    _heading(figure, "Confusion: a row for the truth, a column for what the network said")
    counts = np.array(evaluation.confusion)
    classes = len(counts)
    wrong = counts * (1 - np.eye(classes, dtype=counts.dtype))
    axes = figure.subplots()
    shade = np.log1p(wrong) / np.log1p(max(wrong.max(), 4))
    axes.imshow(np.ma.masked_equal(shade, 0), cmap="Reds", vmin=-0.35, vmax=1.15)
    for index in range(classes):
        axes.add_patch(_cell(index))
    for row, column in zip(*np.nonzero(counts), strict=True):
        right = row == column
        if right and classes > FEW_CLASSES:
            continue  # no room for numbers this large
        color = SOFT if right else "white" if shade[row, column] > 0.6 else INK
        size = min(11, 230 / classes)
        text = str(counts[row, column])
        cell = axes.text(column, row, text, ha="center", va="center", fontsize=size, color=color)
        cell.set_in_layout(False)  # it is inside: measuring thousands of them takes seconds
    _dress_confusion(axes, class_names)


def _cell(index: int) -> Patch:
    """The grey square of one class on the diagonal."""
    from matplotlib.patches import Rectangle

    return Rectangle((index - 0.5, index - 0.5), 1, 1, color=GRID, zorder=0.5)


def _dress_confusion(axes: Axes, class_names: Sequence[str]) -> None:
    """Class names along both axes, and lines between the cells."""
    classes = len(class_names)
    long = max(map(len, class_names)) > 3
    size = min(11, 330 / classes)
    slanted: dict[str, Any] = (
        {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if long else {}
    )
    axes.set_xticks(range(classes), class_names, fontsize=size, **slanted)
    axes.set_yticks(range(classes), class_names, fontsize=size)
    axes.set_anchor("N")
    axes.set_xlabel("said", fontsize=10, color=SOFT)
    axes.set_ylabel("truth", fontsize=10, color=SOFT)
    between = [index + 0.5 for index in range(classes - 1)]
    axes.set_xticks(between, minor=True)
    axes.set_yticks(between, minor=True)
    axes.grid(True, which="minor", color=GRID, linewidth=0.6)
    axes.tick_params(which="both", length=0, labelcolor=INK)
    for spine in axes.spines.values():
        spine.set_color(GRID)


# ------------------------------------------------------------------------------- common to pictures


def _heading(figure: SubFigure, text: str) -> None:
    # The empty line is the room below, which the layout leaves none of.
    figure.suptitle(f"{text}\n", x=0.01, ha="left", fontsize=12, color=INK, parse_math=False)


def _frame_only(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color(GRID)


def new_figure(width: float, height: float, title: str) -> Figure:
    """A figure of inches with its title on top, on the Agg canvas."""
    with _quiet_import():
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine

    margin, top = 0.1, 0.5
    inside = (margin / width, margin / height, 1 - 2 * margin / width, 1 - (top + margin) / height)
    layout = ConstrainedLayoutEngine(rect=inside)
    figure = Figure(figsize=(width, height), dpi=DPI, layout=layout, facecolor="white")
    FigureCanvasAgg(figure)
    figure.text(
        1.5 * margin / width,
        1 - 1.2 * margin / height,
        title,
        va="top",
        fontsize=15,
        fontweight="bold",
        color=INK,
        parse_math=False,
    )
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


def png_bytes(figure: Figure) -> bytes:
    """The figure as a PNG file."""
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
    frame_and_grid(axes)


def frame_and_grid(axes: Axes) -> None:
    """Lines on the left and below, a grid behind what is drawn, numbers without ticks."""
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
