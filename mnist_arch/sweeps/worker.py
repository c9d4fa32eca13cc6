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

from mnist_arch.errors import MnistArchError, RunLocked
from mnist_arch.records import Engine, Result
from mnist_arch.running import Material, Started, read_material, run_experiment
from mnist_arch.runs import Run
from mnist_arch.specs import Experiment
from mnist_arch.storage import make_folder
from mnist_arch.sweeps.executors import Began, Epoch, Event, Failed, Finished, Stopped, Task
from mnist_arch.sweeps.ledger import Failure, log_path, log_tail, now
from mnist_arch.sweeps.planning import Trial
from mnist_arch.training import EpochRecord

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
    torch.set_num_threads(setting.engine.threads)
    worker = _Worker(pipe, setting)
    threading.Thread(target=worker.listen, daemon=True).start()
    while True:
        worker.train(worker.tasks.get())


class _Worker:
    def __init__(self, pipe: Connection, setting: Setting) -> None:
        self.pipe = pipe
        self.setting = setting
        self.tasks: queue.Queue[Task] = queue.Queue()
        self.to_stop: set[tuple[str, int]] = set()
        self.images: dict[tuple[str, int], Material] = {}

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

    def events(self, task: Task) -> Iterator[Event]:
        """What comes of a task; an error is an event like others."""
        with _log(task.run):
            try:
                yield from self.run(task)
            except MnistArchError as error:
                print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
                yield Failed(task, _failure(task, error, hint=error.hint))
            except Exception as error:
                traceback.print_exc()
                sys.stderr.flush()
                yield Failed(task, _failure(task, error))

    def run(self, task: Task) -> Iterator[Event]:
        _wait_for_lock(task.run)
        start = time.perf_counter()
        records = run_experiment(
            task.loaded,
            self.material(task.loaded.experiment),
            run=task.run,
            seed=task.trial.seed,
            engine=self.setting.engine,
            command=self.setting.command,
            command_seconds=lambda: time.perf_counter() - start,
            judged="each-epoch" if task.trial.stage == "ranking" else "last-epoch",
        )
        with contextlib.closing(records):
            for record in records:
                match record:
                    case Started():
                        yield Began(task, record.epochs_done)
                    case EpochRecord():
                        yield Epoch(task, record)
                    case Result():
                        yield Finished(task, record)
                if task.trial.key in self.to_stop and not isinstance(record, Result):
                    self.to_stop.discard(task.trial.key)
                    records.close()
                    yield Stopped(task)
                    return

    def material(self, experiment: Experiment) -> Material:
        """Images are read once for all trials with the same hold-out."""
        key = (experiment.dataset, experiment.holdout)
        if key in self.images:
            return self.images[key]
        self.images.clear()  # final trials, which have no hold-out, come after all others
        material = read_material(
            experiment, data_dir=self.setting.data_dir, device=self.setting.engine.device
        )
        self.images[key] = replace(material, seconds=0.0)  # the first trial alone took that time
        return material


def _wait_for_lock(run: Run) -> None:
    """Raises RunLocked where another process keeps the folder."""
    end = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            with run.lock():
                return
        except RunLocked:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def _failure(task: Task, error: Exception, *, hint: str = "") -> Failure:
    kind, reason = type(error).__name__, str(error).strip() or type(error).__name__
    return Failure(kind=kind, reason=reason, hint=hint, log_tail=log_tail(task.run), time=now())


@contextlib.contextmanager
def _log(run: Run) -> Iterator[None]:
    """Sends what this process prints to the trial's log, also from outside Python."""
    make_folder(run.folder)
    kept = [os.dup(number) for number in (1, 2)]
    with log_path(run).open("ab", buffering=0) as file:
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
