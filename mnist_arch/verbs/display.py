"""What a verb shows while it works, to whoever implements it: a terminal, a notebook, nobody.

Notes are values, since each of these has other ways out: a flag, or an argument.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from mnist_arch.runs.result import Result
from mnist_arch.spec.experiment import Experiment

if TYPE_CHECKING:
    from mnist_arch.runs.events import RunEvent
    from mnist_arch.sweeps.estimate import Pace
    from mnist_arch.sweeps.execution.executor import TrialEvent
    from mnist_arch.sweeps.execution.worker_count import WorkerCount
    from mnist_arch.sweeps.stages import SearchEnded, StageBegan

    SweepEvent = StageBegan | TrialEvent | SearchEnded


@dataclass(frozen=True)
class Caller:
    """Who asks, for the files that say so."""

    command: list[str]
    """The command line, or the call in Python."""
    seconds: Callable[[], float]
    """How long ago it was asked."""


@dataclass(frozen=True)
class FewerThreads:
    """Other programs are at work, so that a run has fewer threads than it would have alone."""

    threads: int
    alone: int


@dataclass(frozen=True)
class KeepsItsEngine:
    """A run that is resumed keeps what it was started with, whatever is asked for now."""

    folder: Path
    steps: str = ""
    """Such as `plain steps in float32`; empty where threads are what it keeps."""
    threads: int = 0


@dataclass(frozen=True)
class FewerWorkers:
    """A sweep has fewer workers than CPUs."""

    count: WorkerCount


@dataclass(frozen=True)
class BoardPutAside:
    """The leaderboard in the folder of a sweep answers something else."""

    folder: Path
    aside: Path
    """Where it is kept now."""
    source: str
    """The file of the sweep that is asked for."""
    before: str
    """The file that was asked for before; empty where that is not known."""


Note = str | FewerThreads | KeepsItsEngine | FewerWorkers | BoardPutAside


class Display(Protocol):
    """What every verb shows."""

    def note(self, note: Note, /) -> None:
        """Something worth knowing, which changes no result."""
        ...

    def fell_back(self, reason: str, *, way_out: str = "") -> None:
        """A warning: `auto` is the embedded sample. Without a way out, it is to name a folder
        that has MNIST."""
        ...

    def loading(self) -> AbstractContextManager[None]:
        """Within it torch and the images are loaded."""
        ...


class TrainDisplay(Display, Protocol):
    """What training shows."""

    def choosing(self) -> AbstractContextManager[None]:
        """Within it is chosen how steps run, for which native ones may be built."""
        ...

    def follow(
        self,
        events: Iterator[RunEvent],
        experiment: Experiment,
        *,
        seed: int,
        split: str,
        turn: tuple[int, int],
    ) -> Result:
        """Shows a run, one of `turn[1]` and by that the number `turn[0]`, to its end; the result
        is its last event."""
        ...


class EvaluateDisplay(Display, Protocol):
    """What judging shows."""

    def judging(self, images: int) -> AbstractContextManager[None]:
        """Within it so many images are judged."""
        ...


class SweepDisplay(Display, Protocol):
    """What a sweep shows."""

    def follow(self, events: Iterator[SweepEvent], pace: Pace) -> None:
        """Shows a sweep to its end."""
        ...
