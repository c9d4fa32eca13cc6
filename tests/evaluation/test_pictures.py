"""The pictures are PNG files of a sane size with something in them, whatever there is to show."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.colors import same_color
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from mnist_arch.data.catalog import INFO, DatasetName, in_words
from mnist_arch.drawing import RED, Format, file_bytes
from mnist_arch.evaluation import gallery as gallery_of
from mnist_arch.evaluation.gallery import COLUMNS, ROWS, draw_gallery
from mnist_arch.evaluation.metrics import Evaluation, Mistake, calibration_bins
from mnist_arch.runs import curves
from mnist_arch.runs.curves import AccuracyRule, draw_curves
from mnist_arch.training.events import EpochRecord


def pixels_of(png: bytes) -> NDArray[np.uint8]:
    """(H, W, 3), decoded whole."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("RGB"))


def ink(pixels: NDArray[np.uint8]) -> float:
    """The share of pixels that are not white."""
    return float((pixels < 250).any(axis=2).mean())


def records(accuracies: Sequence[int], *, loss: float = 0.5) -> list[EpochRecord]:
    return [
        EpochRecord(
            epoch, loss / epoch, loss / epoch / 2, correct, 1000, 0.1 / epoch, 1e3, 10.0 * epoch
        )
        for epoch, correct in enumerate(accuracies, start=1)
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    "accuracies",
    [[995], [0, 1000], [1000] * 3, [0] * 4, [700, 900, 985, 990, 991, 989, 992], [100] * 400],
    ids=["one epoch", "0 to 100", "all right", "all wrong", "usual", "many epochs"],
)
def test_curves(accuracies: list[int]) -> None:
    pixels = pixels_of(draw_curves(records(accuracies), split="test", title="tiny, seed 0"))
    height, width, _ = pixels.shape
    assert 1200 < width < 2400
    assert 400 < height < 800
    assert 0.01 < ink(pixels) < 0.5


@pytest.mark.slow
def test_curves_of_a_loss_of_zero_and_a_title_with_signs() -> None:
    png = draw_curves(records([1000, 1000], loss=0.0), split="validation", title=r"$x_ [b] \frac")
    assert ink(pixels_of(png)) > 0.01


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that were drawn."""
    found: list[Figure] = []

    def keep(figure: Figure, kind: Format) -> bytes:
        found.append(figure)
        return file_bytes(figure, kind)

    for module in (curves, gallery_of):
        monkeypatch.setattr(module, "file_bytes", keep)
    return found


def meanings(axes: Axes) -> dict[str, Any]:
    """Label and artist of all that the legend of the axes explains."""
    handles, labels = axes.get_legend_handles_labels()
    assert [text.get_text() for text in axes.get_legend().get_texts()] == labels
    return dict(zip(labels, handles, strict=True))


@pytest.mark.slow
def test_the_curves_say_what_they_are_of(figures: list[Figure]) -> None:
    facts = "mnist, judged on 1,000 training images held out"
    draw_curves(records([900, 950]), split="validation", title="tiny, seed 0", facts=facts)
    assert [text.get_text() for text in figures[0].texts] == ["tiny, seed 0", facts]


@pytest.mark.slow
@pytest.mark.parametrize("accuracies", [[900, 950], [999, 1000], [100, 100]])
def test_what_is_asked_is_a_line(accuracies: list[int], figures: list[Figure]) -> None:
    draw_curves(records(accuracies), split="test", title="", asked=AccuracyRule(99.4, "mnist test"))
    _, axes, _ = figures[0].axes
    (line,) = (it for it in axes.lines if same_color(it.get_color(), RED))
    assert list(line.get_ydata()) == [99.4, 99.4]
    assert axes.get_ylim()[0] < 99.4 < axes.get_ylim()[1]
    assert meanings(axes)["asked of mnist test: 99.4 %"] is line


@pytest.mark.slow
def test_everything_that_is_drawn_is_in_a_legend(figures: list[Figure]) -> None:
    draw_curves(records([900, 950]), split="test", title="", asked=AccuracyRule(99.4, "mnist test"))
    for axes in figures[0].axes:
        explained = {(it.get_color(), it.get_linestyle()) for it in meanings(axes).values()}
        assert {(it.get_color(), it.get_linestyle()) for it in axes.lines} == explained
    images = torch.zeros((300, 1, 28, 28), dtype=torch.uint8)
    draw_gallery(fake("mnist", images=300, mistakes=7), images, class_names="0123456789", title="")
    _, confusion = figures[1].subfigs
    assert [it.get_text() for it in confusion.legends[0].get_texts()] == [
        "right",
        "wrong; darker is more",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("accuracies", [[995], [700, 900, 985, 990, 991, 992], [0] * 4])
@pytest.mark.parametrize("scale", [1.0, 1e-4, 2e5])
def test_curves_do_not_lie_on_each_other(
    accuracies: list[int], scale: float, figures: list[Figure]
) -> None:
    found = [
        replace(it, rate=1e-3 * scale * it.rate, train_loss=scale * it.train_loss)
        for it in records(accuracies)
    ]
    draw_curves(found, split="test", title="tiny", facts="seed 0")
    title, facts = (text.get_window_extent() for text in figures[0].texts)
    places = [axes.get_tightbbox() for axes in figures[0].axes]
    for place in places:
        assert figures[0].bbox.x0 <= place.x0
        assert place.x1 <= figures[0].bbox.x1
        assert figures[0].bbox.y0 <= place.y0
        assert place.y1 < facts.y0 < title.y0
    for left, right in pairwise(places):
        assert left.x1 < right.x0


def test_curves_need_an_epoch() -> None:
    with pytest.raises(ValueError, match="a last epoch that was judged"):
        draw_curves([], split="test", title="")


@pytest.mark.slow
def test_the_same_records_are_the_same_bytes() -> None:
    first, second = (draw_curves(records([900, 950]), split="test", title="a") for _ in range(2))
    assert first == second
    other = draw_curves(records([900, 951]), split="test", title="a")
    assert other != first


def fake(dataset: DatasetName, *, images: int, mistakes: int) -> Evaluation:
    """An evaluation whose first images are wrong, each by one class."""
    classes = INFO[dataset].classes
    confusion = np.zeros((classes, classes), dtype=int)
    for index in range(images):
        label = index % classes
        confusion[label, (label + (index < mistakes)) % classes] += 1
    confidence, right = np.full(images, 0.9), np.arange(images) >= mistakes
    wrong = [Mistake(i, i % classes, (i + 1) % classes, 0.999) for i in range(mistakes)]
    return Evaluation(
        images=images,
        correct=images - mistakes,
        loss=0.1,
        split="test",
        confusion=tuple(tuple(map(int, row)) for row in confusion),
        classes=(),
        bins=calibration_bins(confidence, right),
        mistakes=tuple(wrong),
        images_per_second=1.0,
    )


def gallery(dataset: DatasetName, *, images: int = 300, mistakes: int) -> NDArray[np.uint8]:
    pixels = torch.full((images, 1, 28, 28), 128, dtype=torch.uint8)
    png = draw_gallery(
        fake(dataset, images=images, mistakes=mistakes),
        pixels,
        class_names=INFO[dataset].class_names,
        title="tiny · seed 0 · [/red] $x$",
    )
    return pixels_of(png)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dataset", "mistakes"),
    [("fashion-mnist", 7), ("emnist-balanced", 31)],
)
def test_gallery(dataset: DatasetName, mistakes: int) -> None:
    pixels = gallery(dataset, mistakes=mistakes)
    height, width, _ = pixels.shape
    assert 1600 < width < 2600
    assert 900 < height < 1400
    assert ink(pixels) > 0.01
    # The images are of one grey, so its share counts them.
    grey = float((np.abs(pixels.astype(int) - 127).max(axis=2) < 3).mean())
    shown = min(mistakes, ROWS * COLUMNS)
    assert 0.007 * shown < grey < 0.02 * shown


@pytest.mark.slow
def test_gallery_without_mistakes() -> None:
    pixels = gallery("mnist", mistakes=0)
    red = (pixels[..., 0].astype(int) - pixels[..., 1] > 60).mean()
    assert red == 0
    assert ink(pixels) > 0.01


@pytest.mark.slow
def test_the_diagonal_does_not_drown_the_mistakes() -> None:
    # One mistake among many images is a red cell, and no cell of the diagonal is.
    cell = gallery("mnist", images=300, mistakes=1)
    red = (cell[..., 0].astype(int) - cell[..., 1] > 60).mean()
    assert 0.001 < red < 0.01


def test_the_sample_is_not_taken_for_mnist() -> None:
    assert in_words("mnist") == "mnist"
    assert in_words("mnist-5k") == "mnist-5k (embedded sample)"
