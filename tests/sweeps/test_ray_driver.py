"""The process that talks to a Ray cluster: what it passes on, and what its end comes to."""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from small_sweep import COMMAND, drive, planned_sweep, tasks

from mnist_arch.errors import ClusterFailed, DeviceUnavailable, FailureKind
from mnist_arch.runs.events import Started
from mnist_arch.sweeps.execution.driver import Queue, run_trials
from mnist_arch.sweeps.execution.executor import Stopped, Task, TrialEvent
from mnist_arch.sweeps.execution.ray_driver import Cluster, RayDriver
from mnist_arch.sweeps.ledger import Failure, Ledger, TrialStatus
from mnist_arch.sweeps.planning import Trial
from mnist_arch.sweeps.spec import Resources
from mnist_arch.training.engine import Engine

pytestmark = [pytest.mark.slow, pytest.mark.gate]

CLUSTER = Cluster("a:1", Resources(), None, COMMAND)
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
            self.coming.append(event)
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


@pytest.fixture
def todo(tmp_path: Path) -> list[Task]:
    return tasks(planned_sweep(tmp_path), Ledger(tmp_path / "sweep"))


def stand_in(happens: str) -> RayDriver:
    return RayDriver(CLUSTER, make=partial(StandIn, happens))


def test_events_and_room_are_passed_on(todo: list[Task]) -> None:
    """Four tasks on two places, and one that is stopped."""
    with stand_in("nothing") as executor:
        assert executor.free == 2
        events = list(drive(executor, todo))
        assert executor.free == 2
    ends = [event for event in events if event.is_last]
    assert {it.task.trial.key for it in ends} == {task.trial.key for task in todo}
    assert all(it.what == FAILURE for it in ends)
    with stand_in("wait") as executor:
        executor.submit(todo[0])
        assert executor.free == 1
        executor.stop(todo[0].trial)
        found: list[TrialEvent] = []
        while not found:
            found += executor.events()
    assert [event.what for event in found] == [Stopped()]


@pytest.mark.parametrize(
    ("happens", "how"),
    [
        ("exit", "ended with exit code 1"),
        ("kill", "was killed by SIGKILL"),
        ("abort", "was killed by SIGABRT"),
    ],
)
def test_a_cluster_that_is_lost_ends_the_sweep_and_leaves_its_trials_open(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], happens: str, how: str
) -> None:
    plan, ledger = planned_sweep(tmp_path), Ledger(tmp_path / "sweep")
    with pytest.raises(ClusterFailed) as caught, stand_in(happens) as executor:
        list(run_trials(plan, ledger, Queue(plan.trials(), ledger), executor))
    assert str(caught.value) == (
        "the Ray cluster at a:1 is lost: its head, or the node of this command, does not answer "
        f"any more, and the process that talks to it {how}"
    )
    assert caught.value.hint.endswith("the same command resumes")
    assert caught.value.kind.exit_code == 3
    later = Ledger(ledger.folder)
    assert {later.status(trial) for trial in plan.trials()} == {TrialStatus.WAITING}
    assert capfd.readouterr() == ("", "")  # what Ray has to say of it is long


@pytest.mark.parametrize(
    ("happens", "error", "said"),
    [
        ("raise", ClusterFailed, "the object store is full"),
        ("bug", RuntimeError, "ZeroDivisionError: by zero"),
        ("no cluster", DeviceUnavailable, "no Ray cluster at a:1: refused"),
    ],
)
def test_what_is_raised_there_is_raised_here(
    todo: list[Task], happens: str, error: Any, said: str
) -> None:
    with pytest.raises(error, match=f"^{said}$") as caught, stand_in(happens) as executor:
        list(drive(executor, todo))
    assert bool(getattr(caught.value, "hint", "")) == (error is not RuntimeError)


def test_the_engine_that_was_chosen_there_is_known_here() -> None:
    with stand_in("nothing") as executor:
        assert (executor.engine, executor.note) == (StandIn.engine, StandIn.note)
