"""What stands in for Ray's executor in a process of its own, which imports this module anew."""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Iterator

from mnist_arch.errors import ClusterFailed, DeviceUnavailable, FailureKind
from mnist_arch.runs.events import Started
from mnist_arch.sweeps.execution.executor import Stopped, Task, TrialEvent
from mnist_arch.sweeps.ledger import Failure
from mnist_arch.sweeps.planning import Trial
from mnist_arch.training.engine import Engine

FAILURE = Failure(kind=FailureKind.NODE, reason="it was lost", time="2026-01-01T00:00:00+00:00")


class StandIn:
    """An executor, in the place of Ray's, to which one thing happens once a trial has begun."""

    size = 2
    engine = Engine(device="cpu", threads=2, step="native", vectors="avx2")
    note = "said of it"

    def __init__(self, happens: str) -> None:
        self.happens = happens
        self.coming: deque[TrialEvent] = deque()
        self.running = 0

    def __enter__(self) -> StandIn:
        if self.happens == "no cluster":
            raise DeviceUnavailable("no Ray cluster at a:1: refused", hint="start one")
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is kept."""

    @property
    def free(self) -> int:
        return self.size - self.running

    def submit(self, task: Task) -> None:
        self.running += 1
        self.coming += [TrialEvent(task, Started(task.run, 0)), TrialEvent(task, FAILURE)]

    def stop(self, trial: Trial) -> None:
        ours = [event.task for event in self.coming if event.task.trial.key == trial.key]
        self.coming = deque(it for it in self.coming if it.task.trial.key != trial.key)
        self.coming += [TrialEvent(task, Stopped()) for task in ours[:1]]

    def events(self) -> Iterator[TrialEvent]:
        event = self.coming.popleft()
        if isinstance(event.what, Started) and self.happens == "wait":
            self.coming.appendleft(event)  # until it is stopped
            return
        self.running -= event.is_last
        yield event
        match self.happens:
            case "exit":  # as Ray ends its driver
                os.write(2, b"The program will terminate.\n")
                os._exit(1)
            case "kill" | "abort":
                number = {"kill": signal.SIGKILL, "abort": signal.SIGABRT}[self.happens]
                os.kill(os.getpid(), number)
            case "raise":
                raise ClusterFailed("the object store is full", hint="a larger one")
            case "bug":
                raise ZeroDivisionError("by zero")
