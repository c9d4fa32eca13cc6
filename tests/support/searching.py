"""Searches that cost nothing: what a trial would learn is made up, epoch by epoch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import tiny_sweeps
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from mnist_arch.errors import FailureKind
from mnist_arch.runs.events import Started
from mnist_arch.sweeps.execution.driver import run_trials
from mnist_arch.sweeps.execution.executor import Stopped, Task, TrialEvent
from mnist_arch.sweeps.ledger import Failure, Ledger
from mnist_arch.sweeps.planning import SweepPlan, Trial
from mnist_arch.sweeps.search.source import search_source
from mnist_arch.training.events import EpochRecord

Curve = Callable[[Trial, int], int | str]
"""Correct images of a trial after an epoch, or why it fails there."""

WIDTH, RATE = "blocks[0].channels[0]", "recipe.schedule.peak"
SPACE = {
    "blocks.0.channels.0": {"kind": "int", "low": 2, "high": 40},
    RATE: {"kind": "float", "low": 0.01, "high": 0.5, "log": True},
}


def planned(folder: Path, *arms: dict[str, Any], top: Any = None, **search: Any) -> SweepPlan:
    """The plan of a search over width and rate, of 8 trials unless it says otherwise."""
    folder.mkdir(exist_ok=True)
    values = {"space": SPACE, "trials": 8, **search}
    return tiny_sweeps.planned(folder, *arms, search=values, **(top or {}))


def value(trial: Trial, path: str) -> float:
    """What the search gave a trial at a path."""
    (text,) = (it.value for it in trial.arm.differs if it.place == path)
    return float(text)


def wide_and_slow(trial: Trial, epoch: int) -> int:
    """Wider is better, and so is a smaller rate; at most 99 of 100 correct."""
    return int(98 - 40 * value(trial, RATE) - 20 / value(trial, WIDTH)) + min(epoch, 1)


class Learners:
    """Workers, each of which does one epoch of its trial at a time. Epochs that were done stay."""

    def __init__(self, plan: SweepPlan, folder: Path, curve: Curve, *, workers: int = 1) -> None:
        self.bench = tiny_sweeps.Bench(folder, plan)
        self.curve = curve
        self.free = workers
        self.epochs_done: dict[tuple[str, int], int] = {}
        self.submitted: list[Trial] = []
        self.tasks: dict[tuple[str, int], Task] = {}
        self.to_stop: set[tuple[str, int]] = set()

    def __enter__(self) -> Learners:
        return self

    def __exit__(self, *_: object) -> None: ...

    def submit(self, task: Task) -> None:
        assert task.trial.key not in self.tasks
        task.run.folder.mkdir(parents=True, exist_ok=True)
        self.free -= 1
        self.submitted.append(task.trial)
        self.tasks[task.trial.key] = task

    def stop(self, trial: Trial) -> None:
        self.to_stop.add(trial.key)

    def events(self) -> Iterator[TrialEvent]:
        for key, task in list(self.tasks.items()):
            for event in self._epoch(key, task):
                if event.is_last:
                    del self.tasks[key]
                    self.free += 1
                yield event

    def _epoch(self, key: tuple[str, int], task: Task) -> Iterator[TrialEvent]:
        epoch = min(self.epochs_done.get(key, 0) + 1, task.trial.arm.epochs)
        if key in self.to_stop:
            yield TrialEvent(task, Stopped())
            return
        if epoch == 1:
            yield TrialEvent(task, Started(task.run, 0))
        correct = self.curve(task.trial, epoch)
        if isinstance(correct, str):
            kind = FailureKind.DATA if correct == "no data" else FailureKind.LOSS
            yield TrialEvent(task, Failure(kind=kind, reason=correct, time=tiny_sweeps.TIME))
            return
        self.epochs_done[key] = epoch
        task.run.append_metrics(dataclasses.asdict(record(epoch, correct)))
        yield TrialEvent(task, record(epoch, correct))
        if epoch == task.trial.arm.epochs:
            self.bench.finish(task.trial, correct, seconds=1.0)
            result = tiny_sweeps.made_up(task.trial, self.bench.plan, correct, seconds=1.0)
            yield TrialEvent(task, result)


def record(epoch: int, correct: int) -> EpochRecord:
    return EpochRecord(epoch, 0.5, 0.5, correct, tiny_sweeps.HOLDOUT, 0.1, 1.0, 1.0)


class Process:
    """What one run of the command has: a ledger as the files are, a search, workers."""

    def __init__(
        self,
        folder: Path,
        plan: SweepPlan,
        *,
        curve: Curve = wide_and_slow,
        workers: int = 1,
        before: Process | None = None,
    ) -> None:
        self.plan = plan
        self.learners = Learners(plan, folder, curve, workers=workers)
        if before is not None:  # the checkpoints are on disk
            self.learners.epochs_done = before.learners.epochs_done
        self.ledger = Ledger(self.learners.bench.folder)
        self.search = search_source(plan, self.ledger)
        self.events = run_trials(plan, self.ledger, self.search, self.learners)

    def curve_is(self, curve: Curve) -> Process:
        self.learners.curve = curve
        return self

    def finish(self) -> list[TrialEvent]:
        return list(self.events)

    def die_after(self, kind: type[Any], count: int) -> Process:
        """Is killed as soon as it has yielded so many events of a kind."""
        for event in self.events:
            count -= isinstance(event.what, kind)
            if count == 0:
                break
        else:
            raise AssertionError("it had ended before")
        return self

    @property
    def trained(self) -> list[int | None]:
        """Numbers of the proposals that it began or took up, in this order."""
        return [trial.arm.proposal for trial in self.learners.submitted]

    @property
    def proposed(self) -> list[tuple[str, str]]:
        """Names and digests of all that was proposed within the budget."""
        return [(arm.name, arm.digest) for arm in self.search.arms]


def studies(folder: Path) -> list[list[FrozenTrial]]:
    """The trials of all studies, as a program that knows nothing but Optuna reads them."""
    storage = JournalStorage(JournalFileBackend(str(folder / "runs/tiny/study.jsonl")))
    names = optuna.get_all_study_names(storage)
    return [optuna.load_study(study_name=name, storage=storage).trials for name in names]


def states(folder: Path) -> list[TrialState]:
    """What Optuna has of the trials of the first study."""
    return [trial.state for trial in studies(folder)[0]]
