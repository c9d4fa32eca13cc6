"""Curves for TensorBoard, read back as TensorBoard itself does."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from searching import record
from tiny_runs import make_run, tiny

from mnist_arch.runs.events import RunEvent, Started
from mnist_arch.runs.folder import Run
from mnist_arch.runs.tensorboard import with_tensorboard

pytestmark = pytest.mark.slow


def curves(folder: Path) -> dict[str, list[tuple[int, float, float]]]:
    """Step, value and time of each curve in the files of a folder."""
    module = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    found: Any = module.EventAccumulator(str(folder)).Reload()
    return {
        name: [(it.step, round(it.value, 6), it.wall_time) for it in found.Scalars(name)]
        for name in found.Tags()["scalars"]
    }


def training(run: Run, *epochs: int) -> Iterator[RunEvent]:
    """A training of these epochs, whose last may be lost in a kill."""
    done = run.curve()
    yield Started(run, len(done))
    for epoch in epochs:
        one = dataclasses.replace(record(epoch, 50 + epoch), seconds=float(epoch))
        run.append_metrics(dataclasses.asdict(one))
        yield one


def test_a_run_that_is_killed_has_each_epoch_once(tmp_path: Path) -> None:
    run = make_run(tmp_path, tiny(), finished=False)
    killed = with_tensorboard(training(run, 1, 2, 3), split="validation")
    assert len(list(itertools.islice(killed, 4))) == 4
    run.keep_metrics(epochs=2)  # the checkpoint of the third was not written
    resumed = with_tensorboard(training(run, 3, 4), split="validation")
    assert len(list(resumed)) == 3
    found = curves(run.folder)
    began = 1767225600.0  # the manifest's 2026-01-01
    assert found["accuracy_percent/validation"] == [
        (epoch, 50.0 + epoch, began + epoch) for epoch in (1, 2, 3, 4)
    ]
    assert found.keys() == {"loss/train", "loss/validation", "accuracy_percent/validation", "rate"}
    assert all([step for step, _, _ in it] == [1, 2, 3, 4] for it in found.values())
    killed.close()


def test_a_run_that_is_finished_gets_its_curve(tmp_path: Path) -> None:
    run = make_run(tmp_path, tiny())
    list(training(run, 1, 2))
    list(with_tensorboard(training(run), split="test"))
    list(with_tensorboard(training(run), split="test"))
    assert [step for step, _, _ in curves(run.folder)["loss/test"]] == [1, 2]
