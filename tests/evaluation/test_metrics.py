"""The numbers of an evaluation, against cases computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mnist_arch.data.catalog import DatasetInfo
from mnist_arch.data.split import Split
from mnist_arch.errors import WeightsError
from mnist_arch.evaluation import metrics as evaluation
from mnist_arch.evaluation.judgement import wilson_interval_percent
from mnist_arch.evaluation.metrics import (
    SHIFTS,
    ClassScore,
    Mistake,
    calibration_bins,
    count_correct,
    evaluate,
    evaluate_shifted,
    mean_loss,
    predict,
    shift,
)

PLAIN = DatasetInfo(0, 0, ("a", "b", "c"), mean=0.0, std=1.0)
"""Pixels reach the model as they are, from 0 to 1."""

# Label and probabilities of each image. Right, wrong, right, wrong, wrong, right.
CASE = [
    (0, (0.90, 0.05, 0.05)),
    (0, (0.20, 0.70, 0.10)),
    (1, (0.08, 0.82, 0.10)),
    (1, (0.62, 0.28, 0.10)),
    (2, (0.05, 0.90, 0.05)),
    (2, (0.25, 0.25, 0.50)),
]


class Table(nn.Module):
    """Gives the logits of a row, whose number is the first pixel of the image."""

    def __init__(self, logits_NK: Tensor) -> None:
        super().__init__()
        self.logits_NK = logits_NK

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return self.logits_NK[(x_NCHW[:, 0, 0, 0] * 255).round().long()]


def numbered(labels: list[int]) -> Split:
    """Images whose first pixel is their number."""
    pixels = torch.zeros(len(labels), 1, 28, 28, dtype=torch.uint8)
    pixels[:, 0, 0, 0] = torch.arange(len(labels))
    return Split(pixels, torch.tensor(labels), "test")


def case() -> tuple[Table, Split]:
    labels, probabilities = zip(*CASE, strict=True)
    return Table(torch.tensor(probabilities).log()), numbered(list(labels))


def test_counts_and_loss_by_hand() -> None:
    found = evaluate(*case(), PLAIN)
    assert (found.images, found.correct) == (6, 3)
    assert found.accuracy_percent == 50.0
    of_labels = [probabilities[label] for label, probabilities in CASE]
    assert found.loss == pytest.approx(-sum(map(math.log, of_labels)) / 6, rel=1e-6)
    assert found.interval_percent == wilson_interval_percent(3, 6)


def test_confusion_precision_and_recall_by_hand() -> None:
    found = evaluate(*case(), PLAIN)
    assert found.confusion == ((1, 1, 0), (1, 1, 0), (0, 1, 1))
    assert [score.images for score in found.classes] == [2, 2, 2]
    assert [score.recall for score in found.classes] == [1 / 2, 1 / 2, 1 / 2]
    assert [score.precision for score in found.classes] == [1 / 2, 1 / 3, 1 / 1]


def test_calibration_error_by_hand() -> None:
    found = evaluate(*case(), PLAIN)
    filled = {index: place for index, place in enumerate(found.bins) if place.images}
    assert len(found.bins) == 15
    assert {index: place.images for index, place in filled.items()} == {
        7: 1,
        9: 1,
        10: 1,
        12: 1,
        13: 2,
    }
    assert (filled[13].low, filled[13].high) == pytest.approx((13 / 15, 14 / 15))
    assert (filled[13].confidence, filled[13].accuracy) == pytest.approx((0.9, 0.5))
    # Gaps: two images by 0.4, then 0.7 and 0.62 of wrong ones, 0.18 and 0.5 of right ones.
    by_hand = (2 * 0.4 + 0.7 + 0.62 + 0.18 + 0.5) / 6
    assert found.calibration_error == pytest.approx(by_hand, rel=1e-6)


def test_a_bin_is_open_below_and_closed_above() -> None:
    low, high = calibration_bins(
        np.array([0.0, 0.5, 0.500001, 1.0]), np.array([True, False, True, True]), bins=2
    )
    assert (low.images, low.confidence, low.accuracy) == (2, 0.25, 0.5)
    assert (high.images, high.accuracy) == (2, 1.0)
    empty = calibration_bins(np.array([1.0]), np.array([True]), bins=2)[0]
    assert (empty.images, empty.confidence, empty.accuracy) == (0, None, None)


def test_the_most_confident_mistakes_come_first() -> None:
    found = evaluate(*case(), PLAIN)
    order = [(m.index, m.label, m.predicted) for m in found.mistakes]
    assert order == [(4, 2, 1), (1, 0, 1), (3, 1, 0)]
    assert [m.probability for m in found.mistakes] == pytest.approx([0.9, 0.7, 0.62])


def test_equal_mistakes_keep_the_order_of_the_split_and_few_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(evaluation, "MOST_MISTAKES", 3)
    model = Table(torch.tensor([[2.0, 0.0, 0.0]] * 5))
    found = evaluate(model, numbered([1, 0, 2, 1, 1]), PLAIN)
    assert [mistake.index for mistake in found.mistakes] == [0, 2, 3]
    assert isinstance(found.mistakes[0], Mistake)
    assert found.images - found.correct == 4


def test_what_cannot_be_said_of_a_class_is_none() -> None:
    found = evaluate(Table(torch.tensor([[1.0, 0.0, 0.0]] * 2)), numbered([0, 1]), PLAIN)
    assert found.classes == (
        ClassScore(images=1, precision=0.5, recall=1.0),
        ClassScore(images=1, precision=None, recall=0.0),
        ClassScore(images=0, precision=None, recall=None),
    )


def test_no_mistakes() -> None:
    found = evaluate(Table(torch.eye(3) * 50), numbered([0, 1, 2]), PLAIN)
    assert found.mistakes == ()
    assert found.accuracy_percent == 100.0
    assert found.calibration_error == pytest.approx(0, abs=1e-12)


def test_batches_change_nothing_but_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = evaluate(*case(), PLAIN)
    monkeypatch.setattr(evaluation, "BATCH", 4)
    in_parts = evaluate(*case(), PLAIN)
    assert whole.images_per_second > 0
    assert (whole.loss, whole.bins, whole.mistakes) == (
        in_parts.loss,
        in_parts.bins,
        in_parts.mistakes,
    )


def test_the_count_is_that_of_the_training_loop() -> None:
    model, split = case()
    logits_NK = predict(model, split.images, PLAIN)
    found = evaluate(model, split, PLAIN)
    assert found.correct == count_correct(logits_NK, split.labels)
    assert found.loss == mean_loss(logits_NK, split.labels)


def test_the_model_is_left_in_eval_mode_and_needs_no_gradient() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 3), nn.Dropout(0.5)).train()
    logits_NK = predict(model, numbered([0, 1]).images, PLAIN)
    assert not model.training
    assert not logits_NK.requires_grad


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_outputs_that_are_not_finite_are_refused(bad: float) -> None:
    model = Table(torch.tensor([[0.0, 0.0, 0.0], [0.0, bad, 0.0]]))
    with pytest.raises(WeightsError, match="not finite"):
        evaluate(model, numbered([0, 1]), PLAIN)


# -------------------------------------------------------------------------- test-time augmentation


class Halves(nn.Module):
    """One logit for the light in the left half, one for that in the right half."""

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return torch.stack(
            (x_NCHW[..., :14].sum((1, 2, 3)), x_NCHW[..., 14:].sum((1, 2, 3))), dim=1
        )


def bright_at(column: int) -> Split:
    pixels = torch.zeros(1, 1, 28, 28, dtype=torch.uint8)
    pixels[0, 0, 5, column] = 255
    return Split(pixels, torch.tensor([0]), "test")


@pytest.mark.parametrize(("right", "down"), SHIFTS)
def test_a_shift_moves_whole_pixels_and_fills_with_background(right: int, down: int) -> None:
    pixels = torch.arange(1, 785).remainder(251).add(1).to(torch.uint8).view(1, 1, 28, 28)
    moved = shift(pixels, right=right, down=down)
    rows, columns = range(28), range(28)
    expected = torch.zeros_like(pixels)
    for row in rows:
        for column in columns:
            if row - down in rows and column - right in columns:
                expected[0, 0, row, column] = pixels[0, 0, row - down, column - right]
    assert moved.dtype == torch.uint8
    assert torch.equal(moved, expected)


def test_the_mean_is_of_probabilities() -> None:
    # Where it is, the light is in the left half; shifted by one, in the right: 0.731 and 0.269.
    found = evaluate_shifted(Halves(), bright_at(13), PLAIN, shifts=((0, 0), (1, 0)))
    assert found.loss == pytest.approx(math.log(2))
    right = math.e / (1 + math.e)
    twice = evaluate_shifted(Halves(), bright_at(13), PLAIN, shifts=((0, 0), (0, 1), (1, 0)))
    assert twice.loss == pytest.approx(-math.log((2 * right + 1 - right) / 3))
    assert (twice.images, twice.correct, twice.accuracy_percent) == (1, 1, 100.0)
    assert twice.shifts == ((0, 0), (0, 1), (1, 0))


def test_the_shifts_that_are_declared() -> None:
    assert SHIFTS[0] == (0, 0)
    assert sorted(map(sorted, (map(abs, pair) for pair in SHIFTS))) == [[0, 0]] + [[0, 1]] * 4
