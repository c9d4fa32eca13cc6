"""How long a sweep will take: a guess from what networks cost, corrected by what has been run."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from mnist_arch.datasets import INFO
from mnist_arch.sweeps.ledger import Ledger, State
from mnist_arch.sweeps.planning import Planned, Trial

SECONDS_PER_IMAGE: Final = 9e-5
SECONDS_PER_MAC: Final = 1.1e-10
"""Of training, on one thread: fitted to 3,700 and 1,300 images a second at 1.6 and 6.0 million
MACs, on two busy cores of a virtual machine."""


@dataclass(frozen=True)
class Estimate:
    """Time that is left."""

    seconds: float
    measured: bool
    """Whether trials of this sweep have been timed here; else it is a guess."""


class Pace:
    """Learns from finished trials how this machine compares with the one of the constants."""

    def __init__(self, planned: Planned, *, workers: int) -> None:
        self.planned = planned
        self.workers = workers
        self.ratios: list[float] = []

    def learn(self, trial: Trial, seconds: float) -> None:
        """Takes note of what a trial took."""
        self.ratios.append(seconds / self._guess(trial))

    def left(self, trials: Iterable[Trial], *, final: Sequence[Trial] = ()) -> Estimate:
        """Of trials that have not been run."""
        guess = sum(map(self._guess, trials)) + sum(map(self._guess, final))
        ratio = statistics.median(self.ratios) if self.ratios else 1.0
        return Estimate(guess * ratio / self.workers, bool(self.ratios))

    def _guess(self, trial: Trial) -> float:
        images = INFO[self.planned.dataset].train_images
        if trial.stage == "ranking":
            images -= self.planned.holdout
        per_image = SECONDS_PER_IMAGE + SECONDS_PER_MAC * trial.arm.macs
        return trial.arm.epochs * images * per_image


def whole_sweep(planned: Planned, ledger: Ledger, *, workers: int) -> Estimate:
    """All that has not been run of list and grid, with finalists as large as the average arm.

    What a search will propose is not known, and left out.
    """
    pace = Pace(planned, workers=workers)
    trials = planned.trials()
    for trial in trials:
        if (result := ledger.result(trial)) is not None:
            pace.learn(trial, result.seconds)
    waiting = [trial for trial in trials if ledger.state(trial) is State.WAITING]
    estimate = pace.left(waiting)
    wanted = planned.definition.sweep.finalists
    if not (wanted and trials):
        return estimate
    share = INFO[planned.dataset].train_images / (
        INFO[planned.dataset].train_images - planned.holdout
    )
    mean = pace.left(trials).seconds / len(trials)
    count = min(wanted.top, len({trial.digest for trial in trials})) * wanted.seeds
    return Estimate(estimate.seconds + mean * share * count, estimate.measured)
