"""What every executor promises: the same class of tests for local processes and for Ray."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from processes import living
from small_cluster import add, cluster_of
from small_sweep import (
    COMMAND,
    ENGINE,
    TEXT,
    assert_same_run,
    drive,
    planned_sweep,
    tasks,
    train_here,
    without_clocks,
)
from waiting import wait_until

from mnist_arch.counting.counted import count
from mnist_arch.data.load import load_split
from mnist_arch.errors import FailureKind
from mnist_arch.runs.events import Started
from mnist_arch.runs.folder import Run
from mnist_arch.runs.result import Result
from mnist_arch.spec.loading import Loaded
from mnist_arch.sweeps.execution.driver import Queue, run_trials
from mnist_arch.sweeps.execution.executor import Executor, Task, TrialEvent
from mnist_arch.sweeps.execution.local import LocalExecutor
from mnist_arch.sweeps.execution.worker import Setting
from mnist_arch.sweeps.leaderboard import board_of
from mnist_arch.sweeps.ledger import Failure, Ledger, TrialStatus, log_path
from mnist_arch.sweeps.planning import SweepPlan
from mnist_arch.sweeps.spec import Resources
from mnist_arch.sweeps.stages import run_sweep
from mnist_arch.training.events import EpochRecord

pytestmark = [pytest.mark.slow, pytest.mark.gate]

WORKERS = 2
ENDLESS = 5_000
"""Epochs of a trial that is ended before it is done."""
LONG = [60, 61, 62, 10]
"""Epochs of trials: the first three run at the same time, long enough to lose a node on the way."""


class Local:
    """Processes of this machine."""

    def executor(self) -> LocalExecutor:
        return LocalExecutor(workers=WORKERS, setting=Setting(ENGINE, None, COMMAND))

    def training(self, executor: Any) -> list[psutil.Process]:
        """The processes of an executor that train; others wait for the next trial."""
        busy = [worker for worker in executor.workers if worker.task is not None]
        return [psutil.Process(worker.process.pid) for worker in busy]

    def trains(self, process: psutil.Process) -> bool:
        return process.is_running()


class OnRay:
    """A cluster of one node."""

    def __init__(self, cluster: Any) -> None:
        self.cluster = cluster

    def executor(self, address: str | None = None) -> Any:
        from mnist_arch.sweeps.execution.ray_cluster import RayExecutor

        return RayExecutor(
            address=address, resources=Resources(), data_dir=None, command=COMMAND, kept=ENGINE
        )

    def training(self, _: Any) -> list[psutil.Process]:
        return living(psutil.Process(), of="ray::train_on_node")

    def trains(self, process: psutil.Process) -> bool:
        return process in self.training(None)


Place = Local | OnRay


@pytest.fixture(scope="module")
def on_ray() -> Iterator[OnRay]:
    """One cluster for all tests, to which the first executor connects, for the others, too."""
    with cluster_of(WORKERS) as cluster:
        place = OnRay(cluster)
        with place.executor(address=cluster.address):
            yield place


@pytest.fixture(scope="module", params=["local", pytest.param("ray", marks=pytest.mark.ray)])
def place(request: pytest.FixtureRequest) -> Place:
    return Local() if request.param == "local" else request.getfixturevalue("on_ray")


@pytest.fixture(scope="module")
def executor(place: Place, session_cache: Path) -> Iterator[Executor]:
    """One for all tests that leave it as it was; each process takes seconds to import torch."""
    with pytest.MonkeyPatch.context() as patch, place.executor() as executor:
        patch.setenv("XDG_CACHE_HOME", str(session_cache))
        yield executor


@pytest.fixture
def planned(tmp_path: Path) -> SweepPlan:
    load_split("mnist-5k", "train")  # leaves the parsed sample in the cache, for all workers
    return planned_sweep(tmp_path)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "sweep")


def searching(folder: Path, objective: str, **top: str) -> SweepPlan:
    """A search of three widths, all of which it comes to."""
    text = TEXT.replace("grid: {recipe.schedule.peak: [0.05, 0.1]}", "").replace("20,", "100,")
    for key, value in top.items():
        text = re.sub(rf"^{key}: .*$", f"{key}: {value}", text, flags=re.MULTILINE)
    space = "{blocks.0.channels.0: [2, 4, 8]}"
    text += f"search: {{trials: 3, sampler: random, objective: {objective}, space: {space}}}\n"
    load_split("mnist-5k", "train")  # leaves the parsed sample in the cache, for all workers
    return planned_sweep(folder, epochs=2, text=text)


def kinds(events: list[TrialEvent], task: Task) -> list[str]:
    """What happened to a trial, in order."""
    return [type(event.what).__name__ for event in events if event.task.trial.key == task.trial.key]


def changed(task: Task, **recipe: Any) -> Task:
    """The task with another recipe, which nobody has looked at."""
    experiment = task.counted.experiment
    recipe_of_now = experiment.recipe.model_copy(update=recipe)
    loaded = Loaded(experiment.model_copy(update={"recipe": recipe_of_now}), {})
    return replace(task, counted=count(loaded), run=Run(Path(f"{task.run.folder}-changed")))


def until(
    executor: Executor, task: Task, stop: Callable[[TrialEvent], bool]
) -> tuple[list[TrialEvent], TrialEvent]:
    """All that happens until something happens to a task, which is submitted; others go on."""
    executor.submit(task)
    events: list[TrialEvent] = []
    while True:
        for event in executor.events():
            events.append(event)
            if event.task.trial.key == task.trial.key and stop(event):
                return events, event


def is_epoch(event: TrialEvent) -> bool:
    return isinstance(event.what, EpochRecord) and event.what.epoch >= 2


def is_end(event: TrialEvent) -> bool:
    return event.is_last


class TestExecutor:
    """Of any executor."""

    def test_trains_what_a_run_alone_would_come_to(
        self, executor: Executor, planned: SweepPlan, ledger: Ledger, tmp_path: Path
    ) -> None:
        assert executor.free == WORKERS
        todo = tasks(planned, ledger)
        events = list(drive(executor, todo))
        assert executor.free == WORKERS
        for number, task in enumerate(todo):
            assert kinds(events, task) == ["Started", *["EpochRecord"] * 4, "Result"]
            mine = [event for event in events if event.task.trial.key == task.trial.key]
            epochs = [event.what.epoch for event in mine if isinstance(event.what, EpochRecord)]
            assert epochs == [1, 2, 3, 4]
            assert isinstance(mine[0].what, Started)
            assert mine[0].what.epochs_done == 0
            assert isinstance(mine[-1].what, Result)
            assert mine[-1].what == task.run.result()
            assert (mine[-1].what.digest, mine[-1].what.seed) == task.trial.key
            alone = Run(tmp_path / f"alone-{number}")
            train_here(task.counted, alone, seed=task.trial.seed)
            assert_same_run(task.run, alone)
            assert task.run.manifest().data_sha256 == alone.manifest().data_sha256
            assert task.run.manifest().engine == ENGINE

    def test_a_front_is_found_and_judged_on_test(
        self, executor: Executor, tmp_path: Path, ledger: Ledger
    ) -> None:
        plan = searching(tmp_path, "front", finalists="{front: true, seeds: 1}")
        deque(run_sweep(plan, ledger, executor), maxlen=0)
        board = board_of(plan, ledger)
        points = {
            it.name: (it.parameters, -it.holdout.mean_percent)
            for it in board.standings
            if it.holdout is not None
        }
        assert len(points) == 3
        for it in board.standings:
            own = points[it.name]
            beaten = any(
                all(x <= y for x, y in zip(other, own, strict=True)) and other != own
                for other in points.values()
            )
            assert (it.front, it.test is not None) == (not beaten, not beaten)

    def test_a_finalist_is_judged_once(
        self, executor: Executor, planned: SweepPlan, ledger: Ledger
    ) -> None:
        (trial,) = planned.final_trials(planned.arms[0])
        task = Task(trial, planned.counted(trial.arm, "final"), ledger.run(trial))
        events, end = until(executor, task, is_end)
        correct = [event.what.correct for event in events if isinstance(event.what, EpochRecord)]
        assert correct[:-1] == [None] * 3
        assert correct[-1] is not None
        assert isinstance(end.what, Result)
        assert (end.what.split, end.what.images) == ("test", 1000)

    def test_leaving_ends_all_and_the_same_trial_goes_on(
        self, place: Place, executor: Executor, tmp_path: Path, ledger: Ledger
    ) -> None:
        other = tasks(planned_sweep(tmp_path, epochs=ENDLESS), ledger)[0]
        task = tasks(planned_sweep(tmp_path, epochs=80), ledger)[0]
        with place.executor() as first:
            first.submit(other)
            until(first, task, is_epoch)
            left = place.training(first)
            assert len(left) == WORKERS
        wait_until(lambda: not any(place.trains(process) for process in left))
        assert task.run.result() is None
        with task.run.lock(), other.run.lock():  # which are free
            pass
        assert executor.free == WORKERS
        events, end = until(executor, task, is_end)
        assert isinstance(events[0].what, Started)
        assert events[0].what.epochs_done >= 2
        assert isinstance(end.what, Result)
        alone = Run(tmp_path / "alone")
        train_here(task.counted, alone, seed=task.trial.seed)
        assert_same_run(task.run, alone)

    def test_a_finished_trial_is_not_trained_again(
        self, executor: Executor, planned: SweepPlan, ledger: Ledger
    ) -> None:
        task = tasks(planned, ledger)[0]
        train_here(task.counted, task.run, seed=task.trial.seed)
        written = task.run.result_path.stat()
        _, end = until(executor, task, is_end)
        assert isinstance(end.what, Result)
        assert end.what == task.run.result()
        now = task.run.result_path.stat()
        assert (now.st_ino, now.st_mtime_ns) == (written.st_ino, written.st_mtime_ns)

    def test_a_trial_that_fails_says_why(
        self, executor: Executor, planned: SweepPlan, ledger: Ledger
    ) -> None:
        task, other, *_ = tasks(planned, ledger)
        diverging = changed(
            task, schedule=task.counted.experiment.recipe.schedule.model_copy(update={"peak": 1e30})
        )
        _, end = until(executor, diverging, is_end)
        assert isinstance(end.what, Failure)
        assert end.what.kind is FailureKind.LOSS
        assert end.what.reason.startswith("the loss is not finite at epoch 1, step 2")
        assert end.what.hint.startswith("lower recipe.schedule.peak")
        assert end.what.log_tail == [f"NonFiniteLoss: {end.what.reason}"]
        assert log_path(diverging.run).read_text().splitlines() == end.what.log_tail

        _, end = until(executor, changed(other, batch_size=0), is_end)
        assert isinstance(end.what, Failure)
        assert end.what.kind is FailureKind.BUG
        before, said = end.what.reason.split(": ", 1)
        assert before == "this is a bug in mnist-arch"
        assert re.match(r"\w+Error: ", said)  # another one by each engine
        assert end.what.hint == "please report it"
        assert "Traceback (most recent call last):" in end.what.log_tail
        assert end.what.log_tail[-1] == said

        assert executor.free == WORKERS
        _, end = until(executor, other, is_end)
        assert isinstance(end.what, Result)

    def test_a_folder_that_cannot_be_used_keeps_no_other_trial_waiting(
        self, executor: Executor, planned: SweepPlan, ledger: Ledger
    ) -> None:
        task, other, *_ = tasks(planned, ledger)
        other.run.folder.parent.mkdir()
        other.run.folder.write_text("a file")
        events = list(drive(executor, [other, task]))
        assert kinds(events, other) == ["Failure"]
        (end,) = (event for event in events if isinstance(event.what, Failure))
        assert end.what.kind is FailureKind.PATH
        assert str(other.run.folder) in end.what.reason
        assert kinds(events, task)[-1] == "Result"

    def test_a_worker_that_is_killed_is_a_failure_of_the_machine(
        self, place: Place, executor: Executor, tmp_path: Path, ledger: Ledger
    ) -> None:
        """And another one takes its place."""
        task, other, *_ = tasks(planned_sweep(tmp_path, epochs=ENDLESS), ledger)
        until(executor, task, is_epoch)
        for process in place.training(executor):
            process.kill()
        events: list[TrialEvent] = []
        while not events or not is_end(events[-1]):
            events += executor.events()
        end = events[-1]
        assert isinstance(end.what, Failure)
        assert end.what.kind is FailureKind.WORKER
        assert "its process " in end.what.reason
        assert executor.free == WORKERS
        shorter = replace(
            other,
            counted=planned_sweep(tmp_path).counted(other.trial.arm, "ranking"),
            run=Run(tmp_path / "shorter-s0"),
        )
        _, end = until(executor, shorter, is_end)
        assert isinstance(end.what, Result)

    def test_a_trial_that_is_stopped_leaves_its_place(
        self, executor: Executor, tmp_path: Path, ledger: Ledger
    ) -> None:
        (tmp_path / "short").mkdir()
        task, other, *_ = tasks(planned_sweep(tmp_path, epochs=ENDLESS), ledger)
        shorts = tasks(planned_sweep(tmp_path / "short"), Ledger(tmp_path / "short/sweep"))
        executor.submit(other)
        until(executor, task, is_epoch)
        assert executor.free == 0
        executor.stop(task.trial)
        executor.stop(other.trial)
        executor.stop(shorts[0].trial)  # which has not begun
        events: list[TrialEvent] = []
        while sum(map(is_end, events)) < 2:
            events += executor.events()
        assert kinds(events, task)[-1] == kinds(events, other)[-1] == "Stopped"
        with task.run.lock():
            assert task.run.result() is None
        assert executor.free == WORKERS
        events = list(drive(executor, shorts))
        assert sum(isinstance(event.what, Result) for event in events) == len(shorts)


@pytest.mark.ray
@pytest.mark.by_hand
def test_a_lost_node_loses_no_trial(
    on_ray: OnRay, tmp_path: Path, ledger: Ledger, capfd: pytest.CaptureFixture[str]
) -> None:
    """A sweep on two nodes, one of which is killed in the middle, with all that runs on it."""
    load_split("mnist-5k", "train")
    text = TEXT.replace("recipe.schedule.peak: [0.05, 0.1]", f"recipe.epochs: {LONG}")
    plan = planned_sweep(tmp_path, text=text.replace("seeds: 2", "seeds: 1"))
    began: dict[tuple[str, int], list[int]] = {trial.key: [] for trial in plan.trials()}
    lost = None
    node = add(on_ray.cluster, num_cpus=1)
    capfd.readouterr()
    with on_ray.executor() as executor:
        wait_until(lambda: executor.free == WORKERS + 1)
        for event in run_trials(plan, ledger, Queue(plan.trials(), ledger), executor):
            key = event.task.trial.key
            if isinstance(event.what, Started):
                began[key].append(event.what.epochs_done)
            if lost is None and isinstance(event.what, EpochRecord):
                on = {it.task.trial.key: it.node for it in executor.running.values()}
                if on[key] == node.node_id:
                    lost = key
                    on_ray.cluster.remove_node(node, allow_graceful=False)
        # until the cluster, too, has noticed that the node is gone
        wait_until(lambda: executor.free == WORKERS)
    assert capfd.readouterr().out == ""
    assert lost is not None
    first, again = began.pop(lost)
    assert first == 0
    assert again >= 1
    assert list(began.values()) == [[0]] * (len(LONG) - 1)
    for number, task in enumerate(tasks(plan, ledger)):
        assert ledger.status(task.trial) is TrialStatus.DONE
        alone = Run(tmp_path / f"alone-{number}")
        train_here(task.counted, alone, seed=task.trial.seed)
        assert_same_run(task.run, alone)


def test_no_two_trials_are_compared_with_clocks(tmp_path: Path, planned: SweepPlan) -> None:
    """What the tests above compare is not nothing: another seed comes to something else."""
    counted = planned.counted(planned.arms[0], "ranking")
    one, two = Run(tmp_path / "one"), Run(tmp_path / "two")
    train_here(counted, one, seed=0)
    train_here(counted, two, seed=1)
    assert without_clocks(one) != without_clocks(two)
    assert one.weights_path.read_bytes() != two.weights_path.read_bytes()
