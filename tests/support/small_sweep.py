"""A sweep that takes no time: small networks, and a hundred images of the embedded sample."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from mnist_arch.counting.counted import CountedExperiment
from mnist_arch.runs.execute import run_experiment
from mnist_arch.runs.folder import Run
from mnist_arch.runs.images import read_images
from mnist_arch.sweeps.execution.executor import Executor, Task, TrialEvent
from mnist_arch.sweeps.ledger import Ledger
from mnist_arch.sweeps.loading import load_sweep
from mnist_arch.sweeps.planning import SweepPlan, plan_sweep
from mnist_arch.training.engine import Engine

TEXT = """
base:
  blocks: [{channels: [4], stride: 4, dropout: 0.1}]
  head: {pool: flatten, linear: true}
  recipe: {epochs: 4, batch_size: 20, schedule: {peak: 0.05}, ema: 0.9}
grid: {recipe.schedule.peak: [0.05, 0.1]}
dataset: mnist-5k
holdout: 3900
seeds: 2
finalists: {top: 1, seeds: 1}
budget: {epochs_below: 10000}
"""
ENGINE = Engine(device="cpu", threads=1)
COMMAND = ["mnist-arch", "sweep", "small.yaml"]


def planned_sweep(folder: Path, *, epochs: int | None = None, text: str = TEXT) -> SweepPlan:
    """The sweep of `text`, whose file is written into `folder`."""
    file = folder / "small.yaml"
    file.write_text(text)
    return plan_sweep(load_sweep(file, epochs=epochs), dataset="mnist-5k")


def tasks(plan: SweepPlan, ledger: Ledger) -> list[Task]:
    """Of all trials of the ranking."""
    return [Task(trial, plan.trained_by(trial), ledger.run(trial)) for trial in plan.trials()]


def drive(executor: Executor, tasks: Iterable[Task]) -> Iterator[TrialEvent]:
    """Has all tasks trained, and yields what happens."""
    waiting, running = deque(tasks), 0
    while waiting or running:
        while waiting and executor.free:
            executor.submit(waiting.popleft())
            running += 1
        for event in executor.events():
            running -= event.is_last
            yield event


def train_here(counted: CountedExperiment, run: Run, *, seed: int) -> None:
    """What every executor has to come to: the same run in this process, undisturbed."""
    images = read_images(counted.experiment, data_dir=None, device="cpu")
    for _ in run_experiment(
        counted,
        images,
        run=run,
        seed=seed,
        engine=ENGINE,
        command=COMMAND,
        command_seconds=lambda: 0.0,
    ):
        pass


def without_clocks(run: Run) -> list[dict[str, Any]]:
    """The records and the result of a run, without what depends on the clock."""
    lines = run.metrics_path.read_text().splitlines()
    values = [json.loads(text) for text in [*lines, run.result_path.read_text()]]
    for value in values:
        for name in ("seconds", "images_per_second", "command_seconds"):
            value.pop(name, None)
    return values


def assert_same_run(run: Run, reference: Run) -> None:
    """Whether two finished runs came to the same bits."""
    assert run.weights_path.read_bytes() == reference.weights_path.read_bytes()
    assert without_clocks(run) == without_clocks(reference)
