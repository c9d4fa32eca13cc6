"""A display that shows nothing, but a warning that the result is not about MNIST."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from mnist_arch.runs.result import Result
from mnist_arch.spec.experiment import Experiment
from mnist_arch.verbs.display import Note

if TYPE_CHECKING:
    from mnist_arch.runs.events import RunEvent
    from mnist_arch.sweeps.estimate import Pace
    from mnist_arch.verbs.display import SweepEvent

_NAME_A_FOLDER = "name a folder that has MNIST with data_dir= or MNIST_ARCH_DATA"


class Silent:
    """What every verb shows."""

    def note(self, note: Note, /) -> None:
        """Nothing."""

    def fell_back(self, reason: str, *, way_out: str = "") -> None:
        """Warns, at the line of whoever has called the library."""
        level, frame = 1, sys._getframe()
        while frame.f_back is not None and _is_ours(frame.f_globals.get("__name__", "")):
            level, frame = level + 1, frame.f_back
        warnings.warn(
            "this is mnist-5k, the embedded sample, in the place of MNIST, and the result has no "
            f"verdict: {reason}; {way_out or _NAME_A_FOLDER}",
            stacklevel=level,
        )

    def loading(self) -> AbstractContextManager[None]:
        return nullcontext()

    def end(self) -> None:
        """Takes down what there is to see: nothing."""

    def choosing(self) -> AbstractContextManager[None]:
        return nullcontext()

    def judging(self, images: int) -> AbstractContextManager[None]:
        return nullcontext()


class SilentTraining(Silent):
    """What training shows."""

    def follow(
        self,
        events: Iterator[RunEvent],
        experiment: Experiment,
        *,
        seed: int,
        split: str,
        turn: tuple[int, int],
    ) -> Result:
        result: Result | None = None
        try:
            for event in events:
                self.show(event, experiment, seed=seed)
                if isinstance(event, Result):
                    result = event
        finally:
            self.end()
        assert result is not None, "a run ends with its result"
        return result

    def show(self, event: RunEvent, experiment: Experiment, *, seed: int) -> None:
        """Shows one event: nothing."""


class SilentSweep(Silent):
    """What a sweep shows."""

    def follow(self, events: Iterator[SweepEvent], pace: Pace) -> None:
        try:
            for event in events:
                self.show(event)
        finally:
            self.end()

    def show(self, event: SweepEvent) -> None:
        """Shows one event: nothing."""


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] == "mnist_arch" or module == "functools"
