"""The sweep itself: one visible loop that hands out trials and yields what happened."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Protocol, assert_never

from mnist_arch.counting.counted import count
from mnist_arch.files import now
from mnist_arch.sweeps.execution.executor import (
    Began,
    Epoch,
    Event,
    Executor,
    Failed,
    Finished,
    Stopped,
    Task,
)
from mnist_arch.sweeps.ledger import Ledger, Pruned, TrialStatus
from mnist_arch.sweeps.planning import SweepPlan, Trial


class TrialSource(Protocol):
    """Where trials come from: a list that is known, or a search that proposes."""

    @property
    def name(self) -> str:
        """By which what it ends early is marked."""
        ...

    def next(self) -> Trial | None:
        """The next trial to train; None while there is none."""
        ...

    def judge(self, event: Epoch) -> bool:
        """Whether a trial is worth going on with after this epoch."""
        ...

    def tell(self, trial: Trial, state: TrialStatus) -> None:
        """What became of a trial that came from here."""
        ...


class Queue:
    """Trials that are known beforehand; what the ledger has as finished is left out."""

    name = "list"

    def __init__(self, trials: Iterable[Trial], ledger: Ledger) -> None:
        self.waiting = deque(
            trial for trial in trials if ledger.state(trial) is TrialStatus.WAITING
        )

    def next(self) -> Trial | None:
        return self.waiting.popleft() if self.waiting else None

    def judge(self, event: Epoch) -> bool:
        return True

    def tell(self, trial: Trial, state: TrialStatus) -> None:
        """A list does not change by what comes of it."""


def run_trials(
    plan: SweepPlan, ledger: Ledger, source: TrialSource, executor: Executor
) -> Iterator[Event]:
    """Trains all that `source` gives, as many at a time as `executor` takes.

    The ledger has a trial's outcome before its event is yielded. Raises StorageError.
    """
    running: set[tuple[str, int]] = set()
    ended: set[tuple[str, int]] = set()
    while True:
        while executor.free and (trial := source.next()) is not None:
            ledger.started(trial)
            counted = count(plan.loaded(trial.arm, trial.stage))
            executor.submit(Task(trial, counted, ledger.run(trial)))
            running.add(trial.key)
        if not running:
            return
        for event in executor.events():
            trial = event.task.trial
            if trial.key in ended:  # what it still did is of no interest
                if isinstance(event, Began | Epoch):
                    continue
                event = Stopped(event.task)
            match event:
                case Epoch() if not source.judge(event):
                    ledger.prune(trial, _pruned(event, source.name))
                    source.tell(trial, TrialStatus.PRUNED)
                    executor.stop(trial)
                    ended.add(trial.key)
                case Began() | Epoch() | Stopped():
                    pass
                case Finished():
                    source.tell(trial, TrialStatus.DONE)
                case Failed():
                    if event.failure.kind.is_of_the_trial:  # else the same command tries again
                        ledger.fail(trial, event.failure)
                    source.tell(trial, TrialStatus.FAILED)
                case never:
                    assert_never(never)
            if isinstance(event, Finished | Failed | Stopped):
                running.discard(trial.key)
            yield event


def _pruned(event: Epoch, by: str) -> Pruned:
    it = event.record
    assert it.correct is not None
    return Pruned(epoch=it.epoch, correct=it.correct, images=it.images, by=by, time=now())
