"""Trials in processes of this machine."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Final

from mnist_arch.sweeps.executors import Event, Failed, Finished, Stopped, Task
from mnist_arch.sweeps.ledger import Failure, log_tail, now
from mnist_arch.sweeps.planning import Trial
from mnist_arch.sweeps.worker import Setting, work

_WAIT_SECONDS: Final = 1.0


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    task: Task | None = None


@contextlib.contextmanager
def _uninterruptible() -> Iterator[None]:
    """Ctrl-C goes to the driver alone, also while a worker is still being started."""
    if threading.current_thread() is not threading.main_thread():
        yield  # where signals are not received, and may not be set
        return
    kept = signal.signal(signal.SIGINT, signal.SIG_IGN)  # which a new process takes over
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, kept)


class LocalExecutor:
    """Processes, started when they are first needed, each training one trial at a time."""

    def __init__(self, *, workers: int, setting: Setting) -> None:
        self.size = workers
        self.setting = setting
        self.workers: list[_Worker] = []

    def __enter__(self) -> LocalExecutor:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers:
            worker.pipe.close()  # at which the process ends
        for worker in self.workers:
            worker.process.join()
        self.workers = []

    @property
    def free(self) -> int:
        return self.size - sum(worker.task is not None for worker in self.workers)

    def submit(self, task: Task) -> None:
        idle = [worker for worker in self.workers if worker.task is None]
        worker = idle[0] if idle else self._start()
        worker.task = task
        try:
            worker.pipe.send(task)
        except OSError:  # it has died while it was idle
            self._bury(worker)
            self.submit(task)

    def stop(self, trial: Trial) -> None:
        for worker in self.workers:
            if worker.task is not None and worker.task.trial.key == trial.key:
                with contextlib.suppress(OSError):  # it has died, and that will be an event
                    worker.pipe.send(trial)

    def events(self) -> Iterator[Event]:
        ready = wait([worker.pipe for worker in self.workers], timeout=_WAIT_SECONDS)
        for worker in [worker for worker in self.workers if worker.pipe in ready]:
            try:
                event: Event = worker.pipe.recv()
            except (EOFError, OSError):
                yield from self._died(worker)
                continue
            if isinstance(event, Finished | Failed | Stopped):
                worker.task = None
            yield event

    def _start(self) -> _Worker:
        # A fresh interpreter, since a fork would take over torch's threads in an unknown state.
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=work, args=(theirs, self.setting), daemon=True)
        with _uninterruptible():
            process.start()
        theirs.close()  # else the worker's death would not close the pipe
        worker = _Worker(process, ours)
        self.workers.append(worker)
        return worker

    def _bury(self, worker: _Worker) -> None:
        self.workers.remove(worker)
        worker.pipe.close()
        worker.process.join()

    def _died(self, worker: _Worker) -> Iterator[Event]:
        self._bury(worker)
        if worker.task is None:
            return
        code = worker.process.exitcode or 0
        reason, hint = f"its process ended with exit code {code}", ""
        if code < 0:
            reason = f"its process was killed by {signal.Signals(-code).name}"
        if code == -signal.SIGKILL:
            hint = "if that was for memory, use fewer --workers"
        failure = Failure(
            kind="WorkerDied",
            reason=reason,
            hint=hint,
            log_tail=log_tail(worker.task.run),
            time=now(),
        )
        yield Failed(worker.task, failure)
