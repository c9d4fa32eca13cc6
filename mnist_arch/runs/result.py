"""The result of a run, and later readings of the test split."""

from __future__ import annotations

from typing import Literal

from mnist_arch.counting.budget import Verdict
from mnist_arch.data.catalog import DatasetName
from mnist_arch.values import FORMAT, Record

SplitName = Literal["train", "validation", "test"]


class Verdicts(Record):
    """The three rules of the budget."""

    parameters: Verdict
    epochs: Verdict
    accuracy: Verdict


class Result(Record):
    """What a finished run came to: its final epoch. `best_…` is an extra, chosen after the fact."""

    format: int = FORMAT
    name: str
    digest: str
    seed: int
    dataset: DatasetName
    split: SplitName
    """What the run was judged on: test, or validation with a hold-out."""
    correct: int
    images: int
    accuracy_percent: float
    """100 · correct / images."""
    interval_percent: tuple[float, float]
    """Wilson's 95 % interval over the images."""
    loss: float
    """Mean cross-entropy, in nats."""
    best_epoch: int
    """Epoch of the highest accuracy on this split; nothing depends on it."""
    best_accuracy_percent: float
    mistakes: list[int] | None = None
    """Places, from 0, of the images that are wrong in this split, by which two runs are compared;
    null in results of before they were kept."""
    parameters: int
    macs: int
    epochs: int
    seconds: float
    """Data, training and evaluation, over all segments of the run."""
    command_seconds: float
    """The whole command that finished the run, imports included."""
    verdicts: Verdicts


class Reading(Record):
    """A reading of the test split by a run that was trained with a hold-out."""

    format: int = FORMAT
    time: str
    """UTC, ISO 8601."""
    dataset: DatasetName
    split: SplitName
    correct: int
    images: int
    accuracy_percent: float
    """100 · correct / images."""
    command: list[str]
    """The command line."""
