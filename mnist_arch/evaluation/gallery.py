"""The gallery of a network: its most confident mistakes and its confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Final

from mnist_arch.drawing import (
    GREEN,
    GRID,
    INK,
    RED,
    SOFT,
    Format,
    drawing,
    file_bytes,
    frame_only,
    new_figure,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure
    from matplotlib.patches import Rectangle
    from torch import Tensor

    from mnist_arch.evaluation.metrics import Evaluation

_WRONG: Final = "#fb6a4a"
"""In the middle of the reds of a confusion matrix."""

FEW_CLASSES: Final = 26
"""Up to this many, the diagonal of a confusion matrix has its numbers."""

ROWS: Final = 5
COLUMNS: Final = 6
"""Mistakes in a gallery, down and across."""


def draw_gallery(
    evaluation: Evaluation,
    images_NCHW: Tensor,
    *,
    class_names: Sequence[str],
    title: str,
    kind: Format = "png",
) -> bytes:
    """The most confident mistakes beside the confusion matrix, as a file of that kind.

    `images_NCHW` is the split that was judged, (N, 1, 28, 28) uint8 on any device. Raises
    PictureError.
    """
    with drawing():
        figure = new_figure(17, 9.8, title)
        halves = figure.subfigures(1, 2, squeeze=False, width_ratios=(8.6, 8.4), wspace=0.03)
        _draw_mistakes(halves[0][0], evaluation, images_NCHW, class_names)
        _draw_confusion(halves[0][1], evaluation, class_names)
        return file_bytes(figure, kind)


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
    what = "truth → said, probability, number of the image"
    _heading(figure, f"The most confident mistakes, {len(shown):,} of {mistakes:,}: {what}")
    for axes, mistake in zip_longest(figure.subplots(ROWS, COLUMNS).flat, shown):
        if mistake is None:
            axes.set_axis_off()
            continue
        pixels = images_NCHW[mistake.index, 0].cpu().numpy()
        axes.imshow(pixels, cmap="gray_r", vmin=0, vmax=255, interpolation="nearest")
        frame_only(axes)
        caption = f"{class_names[mistake.label]} → {class_names[mistake.predicted]}"
        size = 15 if len(caption) < 8 else 8.5
        axes.set_title(caption, fontsize=size, color=RED, pad=13)
        note = f"{100 * mistake.probability:.1f} % · no. {mistake.index}"
        axes.text(0.5, 1.03, note, transform=axes.transAxes, ha="center", fontsize=8.5, color=SOFT)


def _draw_confusion(figure: SubFigure, evaluation: Evaluation, class_names: Sequence[str]) -> None:
    """Mistakes in red, by the logarithm of their count; the diagonal, larger by far, in grey."""
    import numpy as np
    from matplotlib.patches import Patch

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
    meaning = [Patch(color=GRID, label="right")]
    if wrong.any():
        meaning.append(Patch(color=_WRONG, label="wrong; darker is more"))
    figure.legend(
        handles=meaning,
        loc="outside lower right",
        ncols=2,
        frameon=False,
        fontsize=10,
        labelcolor=SOFT,
    )


def _cell(index: int) -> Rectangle:
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


def _heading(figure: SubFigure, text: str) -> None:
    # The empty line is the room below, which the layout leaves none of.
    figure.suptitle(f"{text}\n", x=0.01, ha="left", fontsize=12, color=INK)
