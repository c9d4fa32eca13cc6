"""A model on a split: what it says, and how good that is."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mnist_arch.data.catalog import Normalization
from mnist_arch.data.pixels import normalize, to_unit
from mnist_arch.data.split import Split
from mnist_arch.errors import WeightsError
from mnist_arch.evaluation.judgement import Judgement

if TYPE_CHECKING:
    from numpy.typing import NDArray

BATCH: Final = 100
"""Images of a forward pass on a CPU, where more are hardly faster and take more memory."""

BATCH_ON_A_GPU: Final = 1000
"""Elsewhere, where each pass costs its launches however few its images are."""

CALIBRATION_BINS: Final = 15
"""Bins of equal width over the probability of the prediction, as in Guo et al. 2017."""

MOST_MISTAKES: Final = 100
"""Mistakes that an evaluation keeps, the most confident ones."""

Shift = tuple[int, int]
"""Whole pixels to the right and down; negative to the left and up."""

SHIFTS: Final[tuple[Shift, ...]] = ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1))
"""The shifts of test-time augmentation: as it is, and by one pixel along each axis."""


@dataclass(frozen=True)
class ClassScore:
    """How one class fares."""

    images: int
    """Images of this class."""
    precision: float | None
    """Share of the predictions of this class that are right; None where there is none."""
    recall: float | None
    """Share of the images of this class that are found; None where there is none."""


@dataclass(frozen=True)
class CalibrationBin:
    """The images whose prediction has a probability in (low, high]; the first bin includes 0."""

    low: float
    high: float
    images: int
    confidence: float | None
    """Mean probability of the prediction; None without images."""
    accuracy: float | None
    """Share of right predictions; None without images."""


@dataclass(frozen=True)
class Mistake:
    """An image whose prediction is wrong."""

    index: int
    """Place in the split, from 0."""
    label: int
    predicted: int
    probability: float
    """What the network gave its prediction, in [0, 1]."""


@dataclass(frozen=True, repr=False)
class Evaluation(Judgement):
    """A judgement with all that is behind it: classes, calibration, mistakes, and speed."""

    confusion: tuple[tuple[int, ...], ...]
    """Counts: a row for each label, a column for each prediction."""
    classes: tuple[ClassScore, ...]
    """By label."""
    bins: tuple[CalibrationBin, ...]
    """From the lowest probability to the highest."""
    mistakes: tuple[Mistake, ...]
    """The most confident ones first, at most MOST_MISTAKES; equals in the order of the split."""
    images_per_second: float
    """Throughput of the forward passes, normalisation included, after one batch to warm up."""

    @property
    def calibration_error(self) -> float:
        """Expected calibration error in [0, 1] (Guo et al. 2017, eq. 3)."""
        gaps = [
            b.images * abs(b.accuracy - b.confidence)
            for b in self.bins
            if b.accuracy is not None and b.confidence is not None
        ]
        return sum(gaps) / self.images


@dataclass(frozen=True, repr=False)
class ShiftedJudgement(Judgement):
    """Test-time augmentation: the mean of the probabilities over shifted copies of each image.

    Its loss is the mean negative logarithm of the label's mean probability, in nats.
    """

    shifts: tuple[Shift, ...]
    """Whole pixels to the right and down, of each copy."""


def evaluate(model: nn.Module, split: Split, by: Normalization) -> Evaluation:
    """Judges `model` on `split`, both on one device.

    `by` is the normalisation that the model was trained with. Raises WeightsError where an output
    is not finite.
    """
    logits_NK, images_per_second = _timed(model, split.images, by)
    correct = count_correct(logits_NK, split.labels)
    scores_NK, labels_N = logits_NK.cpu().double(), split.labels.cpu()
    # The largest logit of the model's own precision, so that this counts as `count_correct` does.
    predicted_N = logits_NK.argmax(1).cpu()
    confidence_N = scores_NK.softmax(1).gather(1, predicted_N[:, None])[:, 0]
    confusion, classes = _by_class(labels_N, predicted_N, classes=scores_NK.shape[1])
    return Evaluation(
        images=len(split),
        correct=correct,
        loss=mean_loss(logits_NK, split.labels),
        split=split.name,
        confusion=confusion,
        classes=classes,
        bins=calibration_bins(confidence_N.numpy(), (predicted_N == labels_N).numpy()),
        mistakes=_mistakes(labels_N, predicted_N, confidence_N),
        images_per_second=images_per_second,
    )


def evaluate_shifted(
    model: nn.Module, split: Split, by: Normalization, *, shifts: Sequence[Shift] = SHIFTS
) -> ShiftedJudgement:
    """Judges the mean softmax over shifted copies of each image, filled with background."""
    logs = [
        predict(model, shift(split.images, right=right, down=down), by)
        .cpu()
        .double()
        .log_softmax(1)
        for right, down in shifts
    ]
    mean_NK = torch.stack(logs).logsumexp(0) - math.log(len(shifts))
    labels_N = split.labels.cpu()
    correct = count_correct(mean_NK, labels_N)
    return ShiftedJudgement(
        images=len(split),
        correct=correct,
        loss=float(F.nll_loss(mean_NK, labels_N)),
        split=split.name,
        shifts=tuple(shifts),
    )


@torch.no_grad()
def predict(model: nn.Module, images_NCHW: Tensor, by: Normalization) -> Tensor:
    """Logits of every image. (N, 1, 28, 28) uint8 → (N, classes) float32.

    The model is left in eval mode.
    """
    model.eval()
    batches = torch.split(images_NCHW, _batch_of(images_NCHW))
    return torch.cat([model(normalize(to_unit(batch), by)) for batch in batches])


def _batch_of(images_NCHW: Tensor) -> int:
    """Images of a forward pass where these are."""
    return BATCH if images_NCHW.is_cpu else BATCH_ON_A_GPU


def count_correct(logits_NK: Tensor, labels_N: Tensor) -> int:
    """Images whose largest logit is the label's."""
    return int((logits_NK.argmax(1) == labels_N).sum())


def mistaken(logits_NK: Tensor, labels_N: Tensor) -> list[int]:
    """Places, from 0, of the images that `count_correct` does not count."""
    wrong: list[int] = (logits_NK.argmax(1) != labels_N).nonzero()[:, 0].tolist()
    return wrong


def mean_loss(logits_NK: Tensor, labels_N: Tensor) -> float:
    """Mean cross-entropy in nats, without label smoothing."""
    return float(F.cross_entropy(logits_NK, labels_N))


def shift(images_NCHW: Tensor, *, right: int, down: int) -> Tensor:
    """Moves images by whole pixels, filling with background. (N, C, H, W) → same."""
    return F.pad(images_NCHW, (right, -right, down, -down))


def calibration_bins(
    confidence_N: NDArray[Any], right_N: NDArray[Any], *, bins: int = CALIBRATION_BINS
) -> tuple[CalibrationBin, ...]:
    """Bins of equal width over [0, 1]. `confidence_N` in [0, 1], `right_N` bool; both (N,)."""
    import numpy as np

    edges = np.linspace(0, 1, bins + 1)
    # Open to the left and closed to the right, as in the paper: the number of inner edges below.
    place_N = np.digitize(confidence_N, edges[1:-1], right=True)
    found = []
    for index in range(bins):
        inside_N = place_N == index
        images = int(inside_N.sum())
        confidence = float(confidence_N[inside_N].mean()) if images else None
        accuracy = float(right_N[inside_N].mean()) if images else None
        found.append(
            CalibrationBin(
                float(edges[index]), float(edges[index + 1]), images, confidence, accuracy
            )
        )
    return tuple(found)


def _timed(model: nn.Module, images_NCHW: Tensor, by: Normalization) -> tuple[Tensor, float]:
    """Logits, and images a second."""
    predict(model, images_NCHW[: _batch_of(images_NCHW)], by).cpu()
    start = time.perf_counter()
    logits_NK = predict(model, images_NCHW, by)
    finite = bool(torch.isfinite(logits_NK).all())  # reading a value waits for the device
    seconds = time.perf_counter() - start
    if not finite:
        hint = "its weights are damaged, or its training diverged"
        raise WeightsError("the network gives values that are not finite", hint=hint)
    return logits_NK, len(images_NCHW) / seconds


def _by_class(
    labels_N: Tensor, predicted_N: Tensor, *, classes: int
) -> tuple[tuple[tuple[int, ...], ...], tuple[ClassScore, ...]]:
    """The confusion matrix, and precision and recall of every class."""
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    truth, said, names = labels_N.numpy(), predicted_N.numpy(), range(classes)
    confusion = confusion_matrix(truth, said, labels=names)
    table = precision_recall_fscore_support(truth, said, labels=names, zero_division=math.nan)
    scores = [
        ClassScore(int(images), _or_none(precision), _or_none(recall))
        for precision, recall, _, images in zip(*table, strict=True)
    ]
    return tuple(tuple(map(int, row)) for row in confusion), tuple(scores)


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _mistakes(labels_N: Tensor, predicted_N: Tensor, confidence_N: Tensor) -> tuple[Mistake, ...]:
    wrong = (predicted_N != labels_N).nonzero()[:, 0]
    order = confidence_N[wrong].argsort(descending=True, stable=True)[:MOST_MISTAKES]
    return tuple(
        Mistake(index, int(labels_N[index]), int(predicted_N[index]), float(confidence_N[index]))
        for index in wrong[order].tolist()
    )
