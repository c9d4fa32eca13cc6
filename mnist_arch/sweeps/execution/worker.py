"""A process that trains trials one after the other, for a driver at the other end of a pipe."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

import torch

from mnist_arch.data.folds import AnyHoldOut
from mnist_arch.errors import FailureKind, MnistArchError, RunLocked
from mnist_arch.failures import explain
from mnist_arch.files import make_folder, now, storage_errors
from mnist_arch.machine.memory import be_ended_first
from mnist_arch.runs.events import NotDrawn, Started
from mnist_arch.runs.execute import run_experiment
from mnist_arch.runs.folder import Run
from mnist_arch.runs.images import RunImages, read_images
from mnist_arch.runs.result import Result
from mnist_arch.spec.experiment import Experiment
from mnist_arch.sweeps.execution.executor import Stopped, Task, TrialEvent
from mnist_arch.sweeps.ledger import Failure, log_path, log_tail
from mnist_arch.sweeps.planning import Trial
from mnist_arch.training.engine import Engine
from mnist_arch.training.events import EpochRecord, JudgeAfter, Slow

LOCK_SECONDS: Final = 30.0
"""How long a trial waits for the process of an earlier driver, which ends when it notices."""


@dataclass(frozen=True)
class Setting:
    """What all trials of a worker have in common."""

    engine: Engine
    data_dir: Path | None
    command: list[str]
    """The driver's command line."""


def work(pipe: Connection, setting: Setting) -> None:
    """Trains every Task that comes through the pipe; a Trial that comes is to be stopped.

    The process ends, in the middle of whatever it does, as soon as the driver's end is closed.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the driver, which closes the pipe
    be_ended_first()
    torch.set_num_threads(setting.engine.threads)
    worker = TrialWorker(pipe, setting)
    threading.Thread(target=worker.listen, daemon=True).start()
    while True:
        worker.train(worker.tasks.get())


class TrialWorker:
    """Trains what comes through a pipe, one trial after the other, and answers with events."""

    def __init__(self, pipe: Connection, setting: Setting) -> None:
        self.pipe = pipe
        self.setting = setting
        self.tasks: queue.Queue[Task] = queue.Queue()
        self.to_stop: set[tuple[str, int]] = set()
        self.images: dict[tuple[str, AnyHoldOut], RunImages] = {}

    def listen(self) -> None:
        try:
            while True:
                message = self.pipe.recv()
                if isinstance(message, Trial):
                    self.to_stop.add(message.key)
                else:
                    self.tasks.put(message)
        except (EOFError, OSError):
            os._exit(1)  # files are written whole or not at all, so that any moment will do

    def train(self, task: Task) -> None:
        for event in self.events(task):
            try:
                self.pipe.send(event)
            except OSError:
                os._exit(1)

    def events(self, task: Task) -> Iterator[TrialEvent]:
        """What comes of a task; an error is an event like others."""
        with contextlib.ExitStack() as stack:
            try:
                make_folder(task.run.folder)
                stack.enter_context(printing_to(log_path(task.run)))
                yield from self.run(task)
            except Exception as error:
                print_error(error)
                failure = failure_of(error, tail=log_tail(task.run))
                yield TrialEvent(task, failure)
                if failure.kind is FailureKind.ACCELERATOR:
                    os._exit(1)  # the device answers this process with errors from now on

    def run(self, task: Task) -> Iterator[TrialEvent]:
        wait_for_lock(task.run)
        start = time.perf_counter()
        records = run_experiment(
            task.counted,
            self._images_of(task.counted.experiment),
            run=task.run,
            seed=task.trial.seed,
            engine=self.setting.engine,
            command=self.setting.command,
            command_seconds=lambda: time.perf_counter() - start,
            judge_after=judge_after(task.trial),
        )
        with contextlib.closing(records):
            for record in records:
                if isinstance(record, Started | EpochRecord | Slow | NotDrawn | Result):
                    yield TrialEvent(task, record)
                if task.trial.key in self.to_stop and not isinstance(record, Result | NotDrawn):
                    self.to_stop.discard(task.trial.key)
                    records.close()
                    yield TrialEvent(task, Stopped())
                    return

    def _images_of(self, experiment: Experiment) -> RunImages:
        """Images are read once for all trials in a row with the same hold-out, or fold."""
        key = (experiment.dataset, experiment.holdout)
        if key in self.images:
            return self.images[key]
        self.images.clear()  # a ranking goes fold by fold, and finals come last
        images = read_images(
            experiment, data_dir=self.setting.data_dir, device=self.setting.engine.device
        )
        self.images[key] = replace(images, seconds=0.0)  # the first trial alone took that time
        return images


def judge_after(trial: Trial) -> JudgeAfter:
    """A finalist reads its test split once."""
    return "each-epoch" if trial.stage == "ranking" else "last-epoch"


def wait_for_lock(run: Run) -> None:
    """Waits until the folder is free, for LOCK_SECONDS at most.

    Raises RunLocked where another process keeps it.
    """
    end = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            with run.lock():
                return
        except RunLocked:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def print_error(error: Exception) -> None:
    """An error that is being handled, as a trial's log is to have it."""
    if isinstance(error, MnistArchError):
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
    else:
        traceback.print_exc()
    sys.stderr.flush()


def failure_of(error: Exception, *, tail: list[str]) -> Failure:
    """What is said of an error, with the last lines of the trial's log."""
    it = explain(error)
    return Failure(kind=it.kind, reason=it.message, hint=it.hint, log_tail=tail, time=now())


@contextlib.contextmanager
def printing_to(path: Path) -> Iterator[None]:
    """Appends what this process prints to a file, also from outside Python. Raises StorageError."""
    with storage_errors(path):
        file = path.open("ab", buffering=0)
    kept = [os.dup(number) for number in (1, 2)]
    with file:
        for number in (1, 2):
            os.dup2(file.fileno(), number)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, old in zip((1, 2), kept, strict=True):
            os.dup2(old, number)
            os.close(old)
