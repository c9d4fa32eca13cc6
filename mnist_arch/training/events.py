"""What happens in a training. Nothing here imports torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mnist_arch.data.catalog import SplitName
from mnist_arch.evaluation.judgement import Judgement

JudgeAfter = Literal["each-epoch", "last-epoch"]
"""After which epochs a training is judged: a test split that is to be read once, after the last."""

LogName = Literal["tensorboard"]
"""For what the curve of a training can be written, besides the files of its run."""


@dataclass(frozen=True)
class Progress:
    """How far an epoch is."""

    epoch: int
    """From 1."""
    step: int
    """Steps done in this epoch; on a GPU, handed over to it."""
    steps: int
    """Steps of an epoch."""
    images: int
    """Training images of an epoch."""
    rate: float
    """Learning rate of the last step."""
    images_per_second: float
    """Training images of those steps a second."""


@dataclass(frozen=True)
class EpochRecord:
    """What an epoch reached. The averaged weights are judged where the recipe averages.

    `loss` and `correct` are None for an epoch after which nothing was judged.
    """

    epoch: int
    """From 1."""
    train_loss: float
    """Mean loss over the epoch's images, with augmentation, dropout and label smoothing."""
    loss: float | None
    """Mean cross-entropy on the images it is judged on, in nats."""
    correct: int | None
    """Correct images of those it is judged on."""
    images: int
    """How many images it is judged on."""
    rate: float
    """Learning rate of the last step."""
    images_per_second: float
    """Training images a second."""
    seconds: float
    """Data, training and evaluation of the run so far, in all its processes."""

    def judgement(self, split: SplitName) -> Judgement | None:
        """How good the network is on the images it is judged on; None where it was not judged."""
        if self.correct is None or self.loss is None:
            return None
        return Judgement(self.correct, self.images, self.loss, split)

    @property
    def accuracy_percent(self) -> float | None:
        """Share of the correct images; None where it was not judged."""
        return None if self.correct is None else 100 * self.correct / self.images


@dataclass(frozen=True)
class Compiling:
    """The steps from here on are being compiled, which takes up to a minute."""


@dataclass(frozen=True)
class NotCompiled:
    """The steps cannot be compiled on this machine, so they stay plain to the end of the training.

    Whoever resumes it later gives it an engine with plain steps.
    """

    trouble: str
    """Why not, in a line."""


@dataclass(frozen=True)
class NotCaptured:
    """The steps cannot be captured on this device, or give something else than plain ones; so
    they are plain, in float32, to the end of the training."""

    trouble: str
    """Why not, in a line; or by how much they differ."""


@dataclass(frozen=True)
class Slow:
    """A training is far slower than its work leads one to expect. Said once."""

    images_per_second: float
    """Training images, so far in this epoch."""
    expected: float
    """The same, of a machine with nothing else to do."""
    threads: int
    usable_cpus: float
    """Of this process, by its affinity and by the quota of its control groups."""
    free_cpus: float
    """Of these, which others have left to it since the training began."""
