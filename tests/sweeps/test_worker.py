"""A worker whose device is broken tells it, and ends; any other error ends its trial alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from small_sweep import COMMAND, ENGINE, planned_sweep, tasks

from mnist_arch.errors import FailureKind
from mnist_arch.sweeps.execution import worker as module
from mnist_arch.sweeps.execution.executor import TrialEvent
from mnist_arch.sweeps.execution.worker import Setting, TrialWorker
from mnist_arch.sweeps.ledger import Failure, Ledger
from mnist_arch.training.events import Slow


class Pipe:
    def __init__(self) -> None:
        self.sent: list[Any] = []

    def send(self, event: Any) -> None:
        self.sent.append(event)


class Ended(BaseException):
    """Instead of the end of this process."""


@pytest.mark.slow
def test_a_trial_that_is_too_slow_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow(1.0, 100.0, threads=1, usable_cpus=2.0, free_cpus=2.0)

    def slowly(*_: object, **__: object) -> Iterator[Slow]:
        yield slow

    monkeypatch.setattr(module, "run_experiment", slowly)
    pipe = Pipe()
    task = tasks(planned_sweep(tmp_path), Ledger(tmp_path / "sweep"))[0]
    TrialWorker(cast(Any, pipe), Setting(ENGINE, None, COMMAND)).train(task)
    assert pipe.sent == [TrialEvent(task, slow)]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (torch.AcceleratorError("an illegal memory access"), FailureKind.ACCELERATOR),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), FailureKind.ACCELERATOR),
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB"),
            FailureKind.MEMORY,
        ),
        (ZeroDivisionError("modulo by zero"), FailureKind.BUG),
    ],
)
def test_a_worker_ends_where_its_device_is_broken(
    error: Exception, kind: FailureKind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    def end(code: int) -> None:
        raise Ended(code)

    monkeypatch.setattr(module, "run_experiment", fail)
    monkeypatch.setattr(os, "_exit", end)
    pipe = Pipe()
    worker = TrialWorker(cast(Any, pipe), Setting(ENGINE, None, COMMAND))
    task = tasks(planned_sweep(tmp_path), Ledger(tmp_path / "sweep"))[0]
    if kind is FailureKind.ACCELERATOR:
        with pytest.raises(Ended, match="1"):
            worker.train(task)
    else:
        worker.train(task)
    (failed,) = pipe.sent
    assert isinstance(failed.what, Failure)
    assert failed.what.kind is kind
    assert failed.what.reason.endswith(str(error))
