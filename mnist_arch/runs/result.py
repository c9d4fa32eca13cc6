"""The result of a run, and later readings of the test split."""

from __future__ import annotations

from mnist_arch.data.catalog import DatasetName, SplitName, in_words
from mnist_arch.data.folds import Folds
from mnist_arch.evaluation.judgement import Fold, Judgement
from mnist_arch.html import table
from mnist_arch.spec.experiment import Budget, Counts, Verdicts
from mnist_arch.values import FORMAT, Record


class Result(Record):
    """What a finished run reached: its final epoch. `best_…` is an extra, chosen after the fact."""

    format: int = FORMAT
    name: str
    digest: str
    seed: int
    dataset: DatasetName
    split: SplitName
    """What the run was judged on: test, or validation with a hold-out."""
    folds: Folds | None = None
    """The fold that it was judged on, where the hold-out is one."""
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
    inference_bytes: int | None = None
    """To classify one image, in float32; null in results of before it was kept."""
    epochs: int
    seconds: float
    """Data, training and evaluation, over all processes of the run."""
    command_seconds: float
    """The whole command that finished the run, imports included."""
    verdicts: Verdicts

    @property
    def judgement(self) -> Judgement:
        """The final epoch."""
        return Judgement(self.correct, self.images, self.loss, self.split)

    @property
    def on(self) -> Fold | None:
        """The fold that it was judged on; None where it is judged on other images."""
        if self.folds is None or self.folds.fold is None:
            return None
        return Fold(self.folds.folds, self.folds.fold, self.images)

    @property
    def counts(self) -> Counts:
        """What a budget limits."""
        return Counts(self.parameters, self.epochs, self.macs, self.inference_bytes)

    def under(self, budget: Budget) -> Result:
        """The same with the verdicts of `budget`, which may not be that of when it was stored."""
        accuracy = budget.accuracy_verdict(
            correct=self.correct, images=self.images, dataset=self.dataset, split=self.split
        )
        verdicts = budget.verdicts(self.counts, accuracy=accuracy)
        return self.model_copy(update={"verdicts": verdicts})

    def __repr__(self) -> str:
        correct = f"{self.correct:,} of {self.images:,} correct"
        accuracy = f"{self.accuracy_percent:.2f} % ({self.split}, {correct})"
        return f"Result({self.name}, seed {self.seed}: {accuracy})"

    __str__ = __repr__

    def _repr_html_(self) -> str:
        low, high = self.interval_percent
        rules = ", ".join(f"{rule} {it}" for rule, it in self.verdicts.model_dump().items())
        rows = [
            ("final epoch", f"{self.accuracy_percent:.2f} %"),
            ("Wilson 95 %", f"{low:.2f}–{high:.2f}"),
            ("correct", f"{self.correct:,} of {self.images:,} ({self.split})"),
            ("parameters", self.parameters),
            ("rules", rules),
        ]
        return table(f"{self.name} on {in_words(self.dataset)}, seed {self.seed}", ("", ""), rows)


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
