"""What runs trials: local processes, or a Ray cluster. The driver sees no difference."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from mnist_arch.counting.counted import CountedExperiment
from mnist_arch.runs.folder import Run
from mnist_arch.runs.result import Result
from mnist_arch.sweeps.ledger import Failure
from mnist_arch.sweeps.planning import Trial

if TYPE_CHECKING:
    from mnist_arch.runs.execute import NotDrawn
    from mnist_arch.training.events import EpochRecord


@dataclass(frozen=True)
class Task:
    """A trial that is to be trained, or to go on."""

    trial: Trial
    counted: CountedExperiment
    run: Run
    """Its folder."""


@dataclass(frozen=True)
class Began:
    """A trial has its images, and trains."""

    task: Task
    epochs_done: int
    """More than 0 for a trial that goes on."""


@dataclass(frozen=True)
class Epoch:
    """A trial has done an epoch, which is on disk."""

    task: Task
    record: EpochRecord


@dataclass(frozen=True)
class Finished:
    """A trial has its result, which is on disk."""

    task: Task
    result: Result
    not_drawn: NotDrawn | None = None
    """Why its curves are missing, if they are."""


@dataclass(frozen=True)
class Failed:
    """A trial cannot go on. The driver writes that down."""

    task: Task
    failure: Failure


@dataclass(frozen=True)
class Stopped:
    """A trial was ended because the driver asked for it; its folder is free."""

    task: Task


Event = Began | Epoch | Finished | Failed | Stopped


class Executor(Protocol):
    """Trains trials somewhere. Their folders are the same wherever that is.

    Every task that was submitted ends with one Finished, Failed or Stopped. A context manager: at
    its end whatever still runs is ended, and goes on when it is submitted again.
    """

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

    def events(self) -> Iterator[Event]:
        """What has happened, oldest first; waits for the first of it, for a second at most."""
        ...
