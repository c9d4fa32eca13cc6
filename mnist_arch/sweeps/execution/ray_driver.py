"""The driver of a Ray cluster, in a process of its own.

Where a cluster is lost, Ray ends the process that talks to it, from below Python, with exit code 1.
So that is none in which anything else is done, and its end is an error like others.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

from mnist_arch.errors import ClusterFailed, MnistArchError
from mnist_arch.sweeps.execution.executor import Executor, Task, TrialEvent
from mnist_arch.sweeps.execution.local import named, uninterruptible
from mnist_arch.sweeps.execution.ray_cluster import THE_SAME_COMMAND, RayExecutor
from mnist_arch.sweeps.execution.worker import printing_to
from mnist_arch.sweeps.planning import Trial
from mnist_arch.sweeps.spec import Resources
from mnist_arch.training.engine import Engine

_WAIT_SECONDS: Final = 1.0
_END_SECONDS: Final = 10.0
"""For taking leave of a cluster, which may not answer any more."""


@dataclass(frozen=True)
class Cluster:
    """What a RayExecutor is made of."""

    address: str | None
    resources: Resources
    data_dir: Path | None
    command: list[str]
    kept: Engine | None = None
    """The engine of the trials so far."""
    plain_seconds: float = 0.0
    """What is left of the sweep would take one worker with plain steps: a guess."""

    def executor(self) -> Executor:
        """Raises ExtraMissing."""
        return RayExecutor(
            address=self.address,
            resources=self.resources,
            data_dir=self.data_dir,
            command=self.command,
            kept=self.kept,
            plain_seconds=self.plain_seconds,
        )


@dataclass(frozen=True)
class _Report:
    """What has happened there, and for how many more tasks there was room after it."""

    events: list[TrialEvent]
    free: int
    submitted: int
    """Tasks that were taken until then."""
    engine: Engine
    note: str | None


class RayDriver:
    """An Executor whose tasks are handed out by another process. Raises ClusterFailed, at its loss
    as for what the executor there raises."""

    def __init__(self, cluster: Cluster, *, make: Callable[[], Executor] | None = None) -> None:
        self.where = cluster.address or "this machine"
        self.make = make or cluster.executor
        self.submitted = 0
        self.kept = contextlib.ExitStack()

    def __enter__(self) -> RayDriver:
        """Raises DeviceUnavailable where there is no cluster, and ExtraMissing."""
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            context = multiprocessing.get_context("spawn")
            self.pipe, theirs = context.Pipe()
            self.process = context.Process(
                target=drive, args=(theirs, self.make, Path(folder) / "log")
            )
            with uninterruptible():
                self.process.start()
            theirs.close()  # else its death would not close the pipe
            stack.callback(self._end)
            self.report = self._receive()
            self.kept = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.kept.close()

    @property
    def engine(self) -> Engine:
        """As the executor there has it."""
        return self.report.engine

    @property
    def note(self) -> str | None:
        """As the executor there has it."""
        return self.report.note

    @property
    def free(self) -> int:
        return self.report.free - (self.submitted - self.report.submitted)

    def submit(self, task: Task) -> None:
        self.submitted += 1
        self._send(task)

    def stop(self, trial: Trial) -> None:
        self._send(trial)

    def events(self) -> Iterator[TrialEvent]:
        with self._connected():
            has_said = self.pipe.poll(_WAIT_SECONDS)
        if has_said:
            self.report = self._receive()
            yield from self.report.events

    def _send(self, what: Task | Trial) -> None:
        with self._connected():
            self.pipe.send(what)

    def _receive(self) -> _Report:
        with self._connected():
            said: _Report | Exception = self.pipe.recv()
        if isinstance(said, Exception):
            raise said
        return said

    @contextlib.contextmanager
    def _connected(self) -> Iterator[None]:
        """Raises ClusterFailed where the other process has ended."""
        try:
            yield
        except (EOFError, OSError):
            raise self._lost() from None

    def _lost(self) -> ClusterFailed:
        self.process.join()
        code = self.process.exitcode or 0
        how = f"was killed by {named(-code)}" if code < 0 else f"ended with exit code {code}"
        message = (
            f"the Ray cluster at {self.where} is lost: its head, or the node of this command, does "
            f"not answer any more, and the process that talks to it {how}"
        )
        return ClusterFailed(message, hint=THE_SAME_COMMAND)

    def _end(self) -> None:
        self.pipe.close()  # at which it takes leave of the cluster
        self.process.join(_END_SECONDS)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


def drive(pipe: Connection, make: Callable[[], Executor], log: Path) -> None:
    """Hands every Task that comes through the pipe to an executor; a Trial that comes is stopped.

    Ends when the other end is closed. Ray prints much about what is lost, which goes to `log`.
    """
    # Ctrl-C is for the other process. To ignore it would be passed on to Ray's processes, which
    # could not be told to end a task any more.
    signal.signal(signal.SIGINT, lambda *_: None)
    with printing_to(log):
        try:
            with make() as executor:
                _serve(pipe, executor)
        except (EOFError, BrokenPipeError, ConnectionResetError):
            return  # the other process has what it wants, or has died
        except Exception as error:  # which is raised there
            with contextlib.suppress(OSError):
                pipe.send(_sendable(error))


def _serve(pipe: Connection, executor: Executor) -> None:
    engine, note = executor.engine, executor.note
    running, report = 0, _Report([], executor.free, 0, engine, note)
    pipe.send(report)
    while True:
        submitted = report.submitted
        while pipe.poll(0 if running else _WAIT_SECONDS):
            message: Task | Trial = pipe.recv()
            if isinstance(message, Trial):
                executor.stop(message)
            else:
                executor.submit(message)
                submitted += 1
                running += 1
        events = list(executor.events()) if running else []
        running -= sum(event.is_last for event in events)
        before, report = report, _Report(events, executor.free, submitted, engine, note)
        if events or report != before:
            pipe.send(report)


def _sendable(error: Exception) -> Exception:
    """As it is, or in words: not every error of another library can be passed on."""
    if isinstance(error, MnistArchError):
        return error
    return RuntimeError(f"{type(error).__name__}: {error}")
