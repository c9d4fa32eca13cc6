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

from mnist_arch.errors import FailureKind
from mnist_arch.failures import says_no_memory
from mnist_arch.files import now
from mnist_arch.sweeps.execution.executor import Task, TrialEvent
from mnist_arch.sweeps.execution.worker import Setting, work
from mnist_arch.sweeps.ledger import Failure, log_tail
from mnist_arch.sweeps.planning import Trial

_WAIT_SECONDS: Final = 1.0
_FEWER: Final = "use fewer workers="
_OWN_MISTAKES: Final = (signal.SIGSEGV, signal.SIGABRT, signal.SIGFPE, signal.SIGTRAP)


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    task: Task | None = None
    has_begun: bool = False
    """Whether it has ever come as far as to tell of a trial."""


@contextlib.contextmanager
def uninterruptible() -> Iterator[None]:
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

    def __init__(self, *, workers: int, setting: Setting, note: str | None = None) -> None:
        self.size = workers
        self.setting = setting
        self.engine, self.note = setting.engine, note
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

    def events(self) -> Iterator[TrialEvent]:
        ready = wait([worker.pipe for worker in self.workers], timeout=_WAIT_SECONDS)
        for worker in [worker for worker in self.workers if worker.pipe in ready]:
            try:
                event: TrialEvent = worker.pipe.recv()
            except (EOFError, OSError):
                yield from self._died(worker)
                continue
            worker.has_begun = True
            if event.is_last:
                worker.task = None
            yield event

    def _start(self) -> _Worker:
        # A fresh interpreter, since a fork would take over torch's threads in an unknown state.
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=work, args=(theirs, self.setting), daemon=True)
        with uninterruptible():
            process.start()
        theirs.close()  # else the worker's death would not close the pipe
        worker = _Worker(process, ours)
        self.workers.append(worker)
        return worker

    def _bury(self, worker: _Worker) -> None:
        self.workers.remove(worker)
        worker.pipe.close()
        worker.process.join()

    def _died(self, worker: _Worker) -> Iterator[TrialEvent]:
        self._bury(worker)
        if worker.task is not None:
            tail = log_tail(worker.task.run)
            code = worker.process.exitcode or 0
            failure = failure_of_death(code, tail, has_begun=worker.has_begun)
            yield TrialEvent(worker.task, failure)


def failure_of_death(code: int, tail: list[str], *, has_begun: bool) -> Failure:
    """What a worker that ended in the middle of a trial has died of, by its exit code.

    A signal comes from the system or from a person, but for those that follow a mistake of the
    process itself. A process that never began found something amiss with the machine.
    """
    kind, hint = FailureKind.WORKER, ""
    if code < 0:
        reason = f"its process was killed by {named(-code)}"
    else:
        reason = f"its process ended with exit code {code}"
    if says_no_memory("\n".join(tail)):
        kind, hint = FailureKind.MEMORY, _FEWER
    elif code == -signal.SIGKILL:
        hint = f"if that was for memory, {_FEWER}"
    elif -code in _OWN_MISTAKES or (code >= 0 and has_begun):
        kind, hint = FailureKind.CRASH, "please report it, with the trial's log"
    return Failure(kind=kind, reason=reason, hint=hint, log_tail=tail, time=now())


def named(number: int) -> str:
    """A signal by its name."""
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"
