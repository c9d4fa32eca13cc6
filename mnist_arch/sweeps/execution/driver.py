"""The sweep itself: one visible loop that hands out trials and yields what happened."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Protocol, assert_never

from mnist_arch.files import now
from mnist_arch.runs.events import NotDrawn, Started
from mnist_arch.runs.result import Result
from mnist_arch.sweeps.execution.executor import Executor, Stopped, Task, TrialEvent
from mnist_arch.sweeps.ledger import Failure, Ledger, Pruned, TrialStatus
from mnist_arch.sweeps.planning import SweepPlan, Trial
from mnist_arch.training.events import EpochRecord, Slow


class TrialSource(Protocol):
    """Where trials come from: a list that is known, or a search that proposes."""

    @property
    def name(self) -> str:
        """The name by which what it ends early is marked."""
        ...

    def next(self) -> Trial | None:
        """The next trial to train; None while there is none."""
        ...

    def judge(self, trial: Trial, record: EpochRecord) -> bool:
        """Whether a trial is worth continuing after this epoch."""
        ...

    def tell(self, trial: Trial, status: TrialStatus) -> None:
        """What became of a trial that came from here."""
        ...


class Queue:
    """Trials that are known beforehand, without those that have ended by the ledger."""

    name = "list"

    def __init__(self, trials: Iterable[Trial], ledger: Ledger) -> None:
        self.waiting = deque(
            trial for trial in trials if ledger.status(trial) is TrialStatus.WAITING
        )

    def next(self) -> Trial | None:
        return self.waiting.popleft() if self.waiting else None

    def judge(self, trial: Trial, record: EpochRecord) -> bool:
        return True

    def tell(self, trial: Trial, status: TrialStatus) -> None:
        """A list does not change by what comes of it."""


def run_trials(
    plan: SweepPlan, ledger: Ledger, source: TrialSource, executor: Executor
) -> Iterator[TrialEvent]:
    """Trains all that `source` gives, as many at a time as `executor` takes.

    The ledger has a trial's outcome before its event is yielded. Raises StorageError.
    """
    running: set[tuple[str, int]] = set()
    ended: set[tuple[str, int]] = set()
    while True:
        while executor.free and (trial := source.next()) is not None:
            counted = plan.trained_by(trial)
            taken = ledger.take(trial)
            ledger.started(trial)
            task = Task(trial, counted, ledger.run(trial))
            if taken is not None:
                source.tell(trial, TrialStatus.DONE)
                yield TrialEvent(task, taken)
                continue
            executor.submit(task)
            running.add(trial.key)
        if not running:
            return
        for event in executor.events():
            trial = event.task.trial
            if trial.key in ended:  # what it still did is of no interest
                if not event.is_last:
                    continue
                event = TrialEvent(event.task, Stopped())
            match event.what:
                case EpochRecord() as record if not source.judge(trial, record):
                    ledger.prune(trial, _pruned(record, source.name))
                    source.tell(trial, TrialStatus.PRUNED)
                    executor.stop(trial)
                    ended.add(trial.key)
                case Started() | EpochRecord() | Slow() | NotDrawn() | Stopped():
                    pass
                case Result():
                    source.tell(trial, TrialStatus.DONE)
                case Failure() as failure:
                    if failure.kind.is_of_the_trial:  # else the same command tries again
                        ledger.fail(trial, failure)
                    source.tell(trial, TrialStatus.FAILED)
                case never:
                    assert_never(never)
            if event.is_last:
                running.discard(trial.key)
            yield event


def _pruned(record: EpochRecord, by: str) -> Pruned:
    assert record.correct is not None
    return Pruned(
        epoch=record.epoch, correct=record.correct, images=record.images, by=by, time=now()
    )
