"""The process that talks to a Ray cluster: what it passes on, and what its end comes to."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from small_sweep import COMMAND, drive, planned_sweep, tasks
from stand_in_cluster import FAILURE, StandIn

from mnist_arch.errors import ClusterFailed, DeviceUnavailable
from mnist_arch.sweeps.execution.driver import Queue, run_trials
from mnist_arch.sweeps.execution.executor import Stopped, Task, TrialEvent
from mnist_arch.sweeps.execution.ray_driver import Cluster, RayDriver
from mnist_arch.sweeps.ledger import Ledger, TrialStatus
from mnist_arch.sweeps.spec import Resources

pytestmark = [pytest.mark.slow, pytest.mark.gate]

CLUSTER = Cluster("a:1", Resources(), None, COMMAND)


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
