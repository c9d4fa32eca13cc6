"""What happens in a run, besides what happens in its training. Nothing here imports torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mnist_arch.runs.folder import Run
from mnist_arch.runs.result import Result
from mnist_arch.training.events import (
    Compiling,
    EpochRecord,
    NotCaptured,
    NotCompiled,
    Progress,
    Slow,
)


@dataclass(frozen=True)
class Started:
    """The first thing a run yields."""

    run: Run
    epochs_done: int
    """More than 0 for a run that is resumed; all of them for one that is finished."""
    earlier: tuple[EpochRecord, ...] = ()
    """The epochs that are done, of a run that is resumed."""


@dataclass(frozen=True)
class NotDrawn:
    """The result is there, its picture is not; the same call tries again."""

    path: Path
    """Where the picture would be."""
    trouble: str


RunEvent = (
    Started
    | Progress
    | EpochRecord
    | Compiling
    | NotCompiled
    | NotCaptured
    | Slow
    | NotDrawn
    | Result
)
"""What a run yields: first how it starts, last its result, and between them what `train` does, and
that it is slow."""
