"""Sweeps that cost nothing: a tiny network, a ledger of made-up results, trials in this process."""

from __future__ import annotations

import contextlib
import json
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

from mnist_arch.data.catalog import INFO, DatasetName
from mnist_arch.data.folds import Folds
from mnist_arch.errors import FailureKind
from mnist_arch.files import write_whole
from mnist_arch.runs.events import Started
from mnist_arch.runs.result import Result
from mnist_arch.spec.experiment import Verdicts
from mnist_arch.sweeps.execution.executor import Task, TrialEvent
from mnist_arch.sweeps.ledger import Failure, Ledger, Pruned, log_path
from mnist_arch.sweeps.loading import load_sweep
from mnist_arch.sweeps.planning import Arm, SweepPlan, Trial, plan_sweep
from mnist_arch.training.engine import Engine

HOLDOUT = 100
"""Images that are held out."""
TIME = "2026-01-01T00:00:00+00:00"


def blocks(channels: int) -> dict[str, Any]:
    """A network of 22 · `channels` + 10 parameters."""
    pool = {"kind": "max", "size": 4}
    return {
        "blocks": [{"channels": [channels], "pool": pool, "reduce": 10}],
        "head": {"pool": "global-average"},
    }


def write_sweep(path: Path, *arms: dict[str, Any], **top: Any) -> Path:
    """A sweep's file; JSON is YAML. A list of arms unless `grid` or `search` stand in its place."""
    values: dict[str, Any] = {
        "name": "tiny",
        "base": {"extends": "s6", **blocks(4), "recipe": {"epochs": 2}},
        "dataset": "mnist-5k",
        "holdout": HOLDOUT,
        **top,
    }
    if arms:
        values["experiments"] = list(arms)
    path.write_text(json.dumps(values, indent=1))
    return path


def planned(
    folder: Path, *arms: dict[str, Any], dataset: DatasetName = "mnist-5k", **top: Any
) -> SweepPlan:
    """The plan of such a file."""
    path = write_sweep(folder / "tiny.yaml", *arms, **{"dataset": dataset, **top})
    return plan_sweep(load_sweep(path), dataset=dataset)


class Bench:
    """A plan with its ledger, in which trials are done at once."""

    def __init__(self, folder: Path, plan: SweepPlan) -> None:
        self.plan = plan
        self.folder = folder / "runs" / plan.definition.sweep.name

    @property
    def ledger(self) -> Ledger:
        """As a new process reads it."""
        return Ledger(self.folder)

    def arm(self, name: str) -> Arm:
        (found,) = (arm for arm in self.plan.arms if arm.name == name)
        return found

    def trial(self, name: str, seed: int) -> Trial:
        arm = self.arm(name)
        return Trial(arm, seed, "ranking", arm.digest)

    def rank(
        self,
        name: str,
        *correct: int,
        seconds: float = 10.0,
        mistakes: Sequence[Sequence[int]] = (),
    ) -> None:
        """An arm's trials are done, with so many correct images for the seeds from 0 on."""
        for seed, count in enumerate(correct):
            wrong = list(mistakes[seed]) if mistakes else None
            self.finish(self.trial(name, seed), count, seconds=seconds, mistakes=wrong)

    def judge(self, name: str, *correct: int, seconds: float = 20.0) -> None:
        """A finalist's trials are done."""
        trials = self.plan.final_trials(self.arm(name))
        for trial, count in zip(trials, correct, strict=False):
            self.finish(trial, count, seconds=seconds)

    def finish(
        self, trial: Trial, correct: int, *, seconds: float, mistakes: list[int] | None = None
    ) -> None:
        run = self._begun(trial)
        result = made_up(trial, self.plan, correct, seconds=seconds, mistakes=mistakes)
        write_whole(run / "result.json", result.json_text().encode())

    def begin(self, name: str, seed: int) -> None:
        """A trial has been begun, by whomever."""
        self._begun(self.trial(name, seed))

    def fail(self, trial: Trial, reason: str) -> None:
        self._begun(trial)
        self.ledger.fail(trial, Failure(kind=FailureKind.LOSS, reason=reason, time=TIME))

    def prune(self, name: str, seed: int) -> None:
        trial = self.trial(name, seed)
        self._begun(trial)
        self.ledger.prune(trial, Pruned(epoch=1, correct=1, images=HOLDOUT, by="it", time=TIME))

    def _begun(self, trial: Trial) -> Path:
        folder = self.ledger.run(trial).folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "manifest.json").touch()
        return folder


def made_up(
    trial: Trial,
    plan: SweepPlan,
    correct: int,
    *,
    seconds: float,
    mistakes: list[int] | None = None,
) -> Result:
    """A result of a trial, on the hold-out or on test."""
    final = trial.stage == "final"
    images = INFO[plan.dataset].test_images if final else plan.holdout_images
    folds = None if final else plan.trained_by(trial).experiment.holdout
    return Result(
        name=trial.arm.name,
        digest=trial.digest,
        seed=trial.seed,
        dataset=plan.dataset,
        split="test" if final else "validation",
        folds=folds if isinstance(folds, Folds) else None,
        correct=correct,
        images=images,
        accuracy_percent=100 * correct / images,
        interval_percent=(0.0, 100.0),
        loss=1.0,
        best_epoch=1,
        best_accuracy_percent=100 * correct / images,
        mistakes=mistakes,
        parameters=trial.arm.parameters,
        macs=trial.arm.macs,
        epochs=trial.arm.epochs,
        seconds=seconds,
        command_seconds=seconds,
        verdicts=Verdicts(parameters="kept", epochs="kept", accuracy="none"),
    )


class MadeUpExecutor:
    """Has every trial done, or failed, at once: with so many correct images, or for a reason."""

    engine = Engine(device="cpu", threads=1)
    note = None

    def __init__(self, bench: Bench, outcome: Callable[[Trial], int | str]) -> None:
        self.bench = bench
        self.outcome = outcome
        self.tasks: list[Task] = []

    def __enter__(self) -> MadeUpExecutor:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is running."""

    @property
    def free(self) -> int:
        return 1 - len(self.tasks)

    def submit(self, task: Task) -> None:
        self.tasks.append(task)

    def stop(self, trial: Trial) -> None:
        raise AssertionError(f"{trial} has ended")

    def events(self) -> Iterator[TrialEvent]:
        task = self.tasks.pop()
        outcome = self.outcome(task.trial)
        if isinstance(outcome, str):
            yield TrialEvent(task, Failure(kind=FailureKind.LOSS, reason=outcome, time=TIME))
            return
        yield TrialEvent(task, Started(task.run, 0))
        self.bench.finish(task.trial, outcome, seconds=10.0)
        yield TrialEvent(task, made_up(task.trial, self.bench.plan, outcome, seconds=10.0))


class HereExecutor:
    """Trains in this process, one trial after the other."""

    def __init__(self, *, workers: int, setting: Any, note: str | None = None) -> None:
        from mnist_arch.sweeps.execution import worker

        self.engine, self.note = setting.engine, note
        self.size = workers
        self.worker = worker.TrialWorker(cast("Any", None), setting)
        self.tasks: deque[Task] = deque()

    def __enter__(self) -> HereExecutor:
        return self

    def __exit__(self, *_: object) -> None:
        self.tasks.clear()

    @property
    def free(self) -> int:
        return self.size - len(self.tasks)

    def submit(self, task: Task) -> None:
        self.tasks.append(task)

    def stop(self, trial: Trial) -> None:
        self.worker.to_stop.add(trial.key)

    def events(self) -> Iterator[TrialEvent]:
        task = self.tasks[0]
        task.run.folder.mkdir(parents=True, exist_ok=True)
        events = self.worker.events(task)
        while True:
            # What a test has put in the place of stderr has no number to redirect.
            with log_path(task.run).open("a") as log, contextlib.redirect_stderr(log):
                event = next(events, None)
            if event is None:
                return
            if event.is_last:
                self.tasks.popleft()
            yield event
