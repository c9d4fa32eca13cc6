"""What runs trials: local processes, or a Ray cluster. The driver sees no difference."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from mnist_arch.counting.counted import CountedExperiment
from mnist_arch.runs.events import NotDrawn, Started
from mnist_arch.runs.folder import Run
from mnist_arch.runs.result import Result
from mnist_arch.sweeps.ledger import Failure
from mnist_arch.sweeps.planning import Trial
from mnist_arch.training.engine import Engine
from mnist_arch.training.events import EpochRecord, Slow


@dataclass(frozen=True)
class Task:
    """A trial that is to be trained, or resumed."""

    trial: Trial
    counted: CountedExperiment
    run: Run
    """Its folder."""


@dataclass(frozen=True)
class Stopped:
    """A trial was ended because the driver asked for it; its folder is free."""


@dataclass(frozen=True)
class TrialEvent:
    """Something that happened to a trial, as its run says it, or its end by other means."""

    task: Task
    what: Started | EpochRecord | Slow | NotDrawn | Result | Failure | Stopped
    """All of it is on disk, but a failure, which the driver writes down."""

    @property
    def is_last(self) -> bool:
        """Whether nothing more comes of the task."""
        return isinstance(self.what, Result | Failure | Stopped)


class Executor(Protocol):
    """Trains trials somewhere. Their folders are the same wherever that is.

    Every task that was submitted ends with one event that `is_last`. A context manager: from its
    start on the engine is known, and at its end whatever still runs is ended, and resumes when it
    is submitted again.
    """

    @property
    def engine(self) -> Engine:
        """With which trials are begun."""
        ...

    @property
    def note(self) -> str | None:
        """Why that is not the fastest, where it is not."""
        ...

    def __enter__(self) -> Executor: ...

    def __exit__(self, *_: object) -> None: ...

    @property
    def free(self) -> int:
        """How many more tasks can be submitted now."""
        ...

    def submit(self, task: Task) -> None:
        """Begins a task, of which there is room for one. Returns at once."""
        ...

    def stop(self, trial: Trial) -> None:
        """Asks for a trial to be ended soon; one that has ended meanwhile stays as it is."""
        ...

    def events(self) -> Iterator[TrialEvent]:
        """What has happened, oldest first; waits for the first of it, for a second at most."""
        ...
