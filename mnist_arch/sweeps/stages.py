"""A whole sweep: the ranking of list and grid, the search, the finalists on the test split."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from mnist_arch.runs.result import Result
from mnist_arch.sweeps.execution.driver import Queue, run_trials
from mnist_arch.sweeps.execution.executor import Executor, TrialEvent
from mnist_arch.sweeps.leaderboard import finalists, ranked_arms, ranking_trials
from mnist_arch.sweeps.ledger import Ledger, TrialStatus
from mnist_arch.sweeps.planning import Arm, SweepPlan, Trial
from mnist_arch.sweeps.search.source import search_source, searched_arms

StageName = Literal["ranking", "search", "final"]


@dataclass(frozen=True)
class StageBegan:
    """The first thing that a stage yields."""

    name: StageName
    trials: tuple[Trial, ...]
    """What it will train; of a search this is not known."""
    earlier: tuple[tuple[Trial, Result | None], ...] = ()
    """Its trials that ended in an earlier command, with the results of those that are done."""


@dataclass(frozen=True)
class SearchEnded:
    """A search has ended with fewer trials than the file asks for."""

    why: str


def run_sweep(
    plan: SweepPlan, ledger: Ledger, executor: Executor, *, retry_failed: bool = False
) -> Iterator[StageBegan | TrialEvent | SearchEnded]:
    """Trains all that the ledger does not have yet; the ledger's lock is held.

    With `retry_failed`, trials that failed resume from their checkpoints. Raises StorageError, and
    BudgetExceeded where a search finds nothing within the budget.
    """
    trials = plan.trials()
    for trial in trials:
        if (
            ledger.status(trial) is TrialStatus.PRUNED
        ):  # by a search, which alone has a use for that
            ledger.take_up(trial)
    if retry_failed:
        _forgive(ledger, [*trials, *_trials_of(plan, searched_arms(plan, ledger))])
    yield from _known("ranking", trials, plan, ledger, executor)
    searched: list[Arm] = []
    if plan.definition.sweep.search is not None:
        search = search_source(plan, ledger)
        yield StageBegan("search", (), _ended(ledger, _trials_of(plan, search.arms)))
        yield from run_trials(plan, ledger, search, executor)
        searched = search.arms
        if shortfall := search.proposals.shortfall:
            yield SearchEnded(shortfall)
    arms = finalists(plan, ranked_arms(plan, ledger, searched))
    final = [trial for arm in arms for trial in plan.final_trials(arm)]
    if retry_failed:
        _forgive(ledger, final)
    yield from _known("final", final, plan, ledger, executor)


def _known(
    name: StageName, trials: list[Trial], plan: SweepPlan, ledger: Ledger, executor: Executor
) -> Iterator[StageBegan | TrialEvent]:
    queue = Queue(trials, ledger)
    if queue.waiting:
        yield StageBegan(name, tuple(queue.waiting), _ended(ledger, trials))
        yield from run_trials(plan, ledger, queue, executor)


def _trials_of(plan: SweepPlan, arms: Sequence[Arm]) -> list[Trial]:
    return [trial for arm in arms for trial in ranking_trials(plan, arm)]


def _ended(ledger: Ledger, trials: Sequence[Trial]) -> tuple[tuple[Trial, Result | None], ...]:
    return tuple(
        (trial, ledger.result(trial))
        for trial in trials
        if ledger.status(trial) is not TrialStatus.WAITING
    )


def _forgive(ledger: Ledger, trials: list[Trial]) -> None:
    for trial in trials:
        if ledger.status(trial) is TrialStatus.FAILED:
            ledger.take_up(trial)
