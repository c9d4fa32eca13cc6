"""How long a sweep will take: a guess from what networks cost, corrected by what has been run."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from mnist_arch.data.catalog import INFO
from mnist_arch.sweeps.leaderboard import finalists, ranked_arms, ranking_trials
from mnist_arch.sweeps.ledger import Ledger, TrialStatus
from mnist_arch.sweeps.planning import Arm, SweepPlan, Trial
from mnist_arch.sweeps.search.proposals import size_of
from mnist_arch.sweeps.search.source import searched_arms
from mnist_arch.training.pace import SECONDS_PER_IMAGE, SECONDS_PER_MAC


@dataclass(frozen=True)
class Estimate:
    """Time that is left."""

    seconds: float
    measured: bool
    """Whether trials of this sweep have been timed here; else it is a guess."""
    most_seconds: float = 0.0
    """Where every proposal of a search takes all of its seeds; else the same."""


class Pace:
    """Learns from finished trials how this machine compares with the one of the constants."""

    def __init__(self, plan: SweepPlan, *, workers: int) -> None:
        self.plan = plan
        self.workers = workers
        self.ratios: list[float] = []

    def learn(self, trial: Trial, seconds: float) -> None:
        """Takes note of what a trial took."""
        self.ratios.append(seconds / self.guess(trial))

    def left(self, trials: Iterable[Trial]) -> Estimate:
        """Of trials that have not been run, each of which takes one worker."""
        guesses = [self.guess(trial) for trial in trials]
        ratio = statistics.median(self.ratios) if self.ratios else 1.0
        seconds = max(sum(guesses) / self.workers, max(guesses, default=0.0))
        return Estimate(seconds * ratio, bool(self.ratios))

    def guess(self, trial: Trial) -> float:
        """Seconds of a whole trial on the machine of the constants."""
        images = INFO[self.plan.dataset].train_images
        if trial.stage == "ranking":
            images -= self.plan.holdout_images
        per_image = SECONDS_PER_IMAGE + SECONDS_PER_MAC * trial.arm.macs
        return trial.arm.epochs * images * per_image


def pace_so_far(plan: SweepPlan, ledger: Ledger, *, workers: int) -> Pace:
    """What the trials of the ranking have taken. Raises what `searched_arms` does."""
    pace = Pace(plan, workers=workers)
    for trial in _ranking(plan, searched_arms(plan, ledger)):
        if (result := ledger.result(trial)) is not None:
            pace.learn(trial, result.seconds)
    return pace


def whole_sweep(plan: SweepPlan, ledger: Ledger, *, workers: int) -> Estimate:
    """All of list, grid, search and finalists that has not been run.

    What a search has yet to propose is taken to cost as its proposals so far, or else as its base:
    with one seed each, and of the one that is found all seeds. Raises what `searched_arms` does.
    """
    pace = pace_so_far(plan, ledger, workers=workers)
    searched = searched_arms(plan, ledger)
    ranking = _ranking(plan, searched)
    left, fewest, most = _proposals_left(plan, searched)
    proposal = _proposal(plan, searched, pace)
    if left or any(ledger.status(trial) is TrialStatus.WAITING for trial in ranking):
        arms = len({trial.digest for trial in ranking}) + left
        final = _likely_finals(plan, ranking or [proposal], pace, arms=arms)
    else:
        first = finalists(plan, ranked_arms(plan, ledger, searched))
        final = [trial for arm in first for trial in plan.final_trials(arm)]
    seconds = sum(
        pace.left(trial for trial in stage if ledger.status(trial) is TrialStatus.WAITING).seconds
        for stage in (ranking, final)
    )
    each = pace.left([proposal]).seconds / workers
    measured = bool(pace.ratios)
    return Estimate(seconds + fewest * each, measured, most_seconds=seconds + most * each)


def _proposals_left(plan: SweepPlan, searched: Sequence[Arm]) -> tuple[int, int, int]:
    """What a search has yet to propose, and the fewest and the most trials of that."""
    if (search := plan.definition.sweep.search) is None:
        return 0, 0, 0
    most = min(search.trials, size_of(search) or search.trials)
    left = max(0, most - len(searched))
    return left, left + (search.seeds - 1 if left else 0), left * search.seeds


def _proposal(plan: SweepPlan, searched: Sequence[Arm], pace: Pace) -> Trial:
    """One that costs as the proposals so far, or as the base while there are none."""
    known = [arm for arm in searched if not arm.rejected] or [plan.base]
    trials = [Trial(arm, 0, "ranking", arm.digest) for arm in known]
    return sorted(trials, key=pace.guess)[len(trials) // 2]


def plain_seconds(plan: SweepPlan, ledger: Ledger, *, workers: int) -> float:
    """A guess of what is left of a sweep with plain steps."""
    return whole_sweep(plan, ledger, workers=workers).seconds


def _ranking(plan: SweepPlan, searched: Sequence[Arm]) -> list[Trial]:
    return [
        trial
        for arm in (*plan.arms, *searched)
        if not arm.same_as
        for trial in ranking_trials(plan, arm)
    ]


def _likely_finals(
    plan: SweepPlan, ranking: Sequence[Trial], pace: Pace, *, arms: int
) -> list[Trial]:
    """While the finalists are not known: as many of an arm of median cost."""
    if (wanted := plan.definition.sweep.finalists) is None:
        return []
    median = sorted(ranking, key=pace.guess)[len(ranking) // 2]
    top = math.isqrt(arms) if wanted.front else wanted.top  # a guess of how long it is
    count = min(top, arms) * wanted.seeds
    return [replace(median, stage="final", digest="")] * count
