"""The loop of a sweep, against an executor whose events are written down beforehand."""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tiny_sweeps import HOLDOUT, TIME, made_up, planned

from mnist_arch.counting.digest import digest
from mnist_arch.errors import FailureKind, StorageError
from mnist_arch.files import write_whole
from mnist_arch.runs.events import NotDrawn, Started
from mnist_arch.runs.result import Result
from mnist_arch.sweeps.execution.driver import Queue, run_trials
from mnist_arch.sweeps.execution.executor import Stopped, Task, TrialEvent
from mnist_arch.sweeps.ledger import Failure, Ledger, Pruned, TrialStatus
from mnist_arch.sweeps.planning import SweepPlan, Trial
from mnist_arch.training.events import EpochRecord, Slow

FAILURE = Failure(kind=FailureKind.LOSS, reason="the loss is not finite", time=TIME)
Script = Callable[[Task], list[TrialEvent]]


def epoch(task: Task, number: int, *, correct: int = 50) -> TrialEvent:
    return TrialEvent(task, EpochRecord(number, 1.0, 1.0, correct, HOLDOUT, 0.1, 1.0, 1.0))


class Scripted:
    """An executor in which one event of every running trial happens at a time."""

    def __init__(self, script: Script, *, size: int = 1) -> None:
        self.script = script
        self.size = size
        self.running: dict[tuple[str, int], deque[TrialEvent]] = {}
        self.submitted: list[Task] = []
        self.stopped: list[Trial] = []
        self.most = 0

    def __enter__(self) -> Scripted:
        return self

    def __exit__(self, *_: object) -> None:
        self.running.clear()

    @property
    def free(self) -> int:
        return self.size - len(self.running)

    def submit(self, task: Task) -> None:
        assert self.free > 0, "there is no room"
        assert task.trial.key not in self.running, "it is running"
        self.submitted.append(task)
        task.run.folder.mkdir(parents=True, exist_ok=True)
        self.running[task.trial.key] = deque(self.script(task))
        self.most = max(self.most, len(self.running))

    def stop(self, trial: Trial) -> None:
        self.stopped.append(trial)

    def events(self) -> Iterator[TrialEvent]:
        assert self.running, "nothing can happen"
        for key, coming in list(self.running.items()):
            event = coming.popleft()
            if event.is_last:
                assert not coming, "the last event of a task is its last"
                del self.running[key]
            yield event


class Recording(Queue):
    """A list of trials that remembers what it was told, and judges by a limit."""

    def __init__(self, trials: list[Trial], ledger: Ledger, *, at_least: int = 0) -> None:
        super().__init__(trials, ledger)
        self.at_least = at_least
        self.told: list[tuple[str, TrialStatus]] = []

    def judge(self, trial: Trial, record: EpochRecord) -> bool:
        assert record.correct is not None
        return record.correct >= self.at_least

    def tell(self, trial: Trial, status: TrialStatus) -> None:
        self.told.append((label(trial), status))


def label(trial: Trial) -> str:
    return f"{trial.arm.name}{trial.seed}"


def said(events: list[TrialEvent]) -> list[str]:
    return [f"{label(event.task.trial)} {type(event.what).__name__}" for event in events]


@pytest.fixture
def plan(tmp_path: Path) -> SweepPlan:
    """Three arms of two seeds."""
    arms = [{"name": name, "recipe": {"epochs": 1 + index}} for index, name in enumerate("abc")]
    return planned(tmp_path, *arms, seeds=2)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "runs" / "tiny")


def done(plan: SweepPlan) -> Script:
    def script(task: Task) -> list[TrialEvent]:
        result = made_up(task.trial, plan, 50, seconds=1.0)
        return [TrialEvent(task, Started(task.run, 0)), epoch(task, 1), TrialEvent(task, result)]

    return script


def run(
    plan: SweepPlan,
    ledger: Ledger,
    script: Script,
    *,
    size: int = 1,
    at_least: int = 0,
    trials: list[Trial] | None = None,
) -> tuple[list[TrialEvent], Scripted, Recording]:
    source = Recording(plan.trials() if trials is None else trials, ledger, at_least=at_least)
    executor = Scripted(script, size=size)
    return list(run_trials(plan, ledger, source, executor)), executor, source


# ----------------------------------------------------------------------- every trial once


def test_every_trial_is_trained_once_in_its_order(plan: SweepPlan, ledger: Ledger) -> None:
    events, executor, source = run(plan, ledger, done(plan))
    names = ["a0", "b0", "c0", "a1", "b1", "c1"]
    assert [label(task.trial) for task in executor.submitted] == names
    assert said(events) == [
        f"{name} {what}" for name in names for what in ("Started", "EpochRecord", "Result")
    ]
    assert source.told == [(name, TrialStatus.DONE) for name in names]
    assert executor.most == 1


def test_as_many_trials_run_as_there_is_room_for(plan: SweepPlan, ledger: Ledger) -> None:
    events, executor, source = run(plan, ledger, done(plan), size=4)
    assert executor.most == 4
    assert said(events)[:8] == [
        f"{it} {what}" for what in ("Started", "EpochRecord") for it in ("a0", "b0", "c0", "a1")
    ]
    assert sorted(source.told) == [
        (f"{it}{seed}", TrialStatus.DONE) for it in "abc" for seed in (0, 1)
    ]
    _, executor, _ = run(plan, ledger, done(plan), size=100)
    assert executor.most == 6


def test_room_that_a_trial_leaves_is_filled_at_once(plan: SweepPlan, ledger: Ledger) -> None:
    """A long trial beside short ones keeps none of them waiting."""

    def script(task: Task) -> list[TrialEvent]:
        if label(task.trial) == "a0":
            return [epoch(task, 1)] * 20 + done(plan)(task)
        return done(plan)(task)

    events, executor, _ = run(plan, ledger, script, size=2)
    assert said(events)[-1] == "a0 Result"
    assert executor.most == 2


def test_task_has_the_experiment_and_the_folder(plan: SweepPlan, ledger: Ledger) -> None:
    _, executor, _ = run(plan, ledger, done(plan))
    for task in executor.submitted:
        experiment = task.counted.experiment
        assert digest(experiment) == task.trial.digest
        assert (experiment.name, experiment.holdout) == (task.trial.arm.name, HOLDOUT)
        name = f"{experiment.name}-{task.trial.digest[:8]}-s{task.trial.seed}"
        assert task.run.folder == ledger.folder / name


def test_final_trials_hold_nothing_out(tmp_path: Path, ledger: Ledger) -> None:
    plan = planned(tmp_path, {"name": "a"}, seeds=2, finalists={"top": 1, "seeds": 2})
    trials = plan.final_trials(plan.arms[0])
    _, executor, _ = run(plan, ledger, done(plan), trials=trials)
    assert [task.counted.experiment.holdout for task in executor.submitted] == [0, 0]
    assert [task.trial.seed for task in executor.submitted] == [2, 3]


def test_with_nothing_to_do_the_executor_is_not_asked(plan: SweepPlan, ledger: Ledger) -> None:
    events, executor, source = run(plan, ledger, done(plan), trials=[])
    assert (events, executor.submitted, source.told) == ([], [], [])
    assert not ledger.folder.exists()


def test_what_has_an_outcome_is_left_out(plan: SweepPlan, ledger: Ledger) -> None:
    a0, b0, c0, *_ = plan.trials()
    for trial in (a0, b0, c0):
        ledger.started(trial)
        ledger.run(trial).folder.mkdir(parents=True)
    result = made_up(a0, plan, 50, seconds=1.0)
    write_whole(ledger.run(a0).result_path, result.json_text().encode())
    ledger.fail(b0, FAILURE)
    ledger.prune(c0, Pruned(epoch=1, correct=1, images=2, by="a search", time=TIME))
    _, executor, _ = run(plan, ledger, done(plan))
    assert [label(task.trial) for task in executor.submitted] == ["a1", "b1", "c1"]
    ledger.take_up(b0)
    _, executor, _ = run(plan, ledger, done(plan))
    assert [label(task.trial) for task in executor.submitted] == ["b0", "a1", "b1", "c1"]


# ----------------------------------------------------------------------- failures


def failing(plan: SweepPlan, *names: str, failure: Failure = FAILURE) -> Script:
    def script(task: Task) -> list[TrialEvent]:
        if label(task.trial) in names:
            return [TrialEvent(task, Started(task.run, 0)), TrialEvent(task, failure)]
        return done(plan)(task)

    return script


def test_failure_is_written_before_it_is_told_and_the_others_go_on(
    plan: SweepPlan, ledger: Ledger
) -> None:
    source = Recording(plan.trials(), ledger)
    executor = Scripted(failing(plan, "b0", "c1"))
    ended = {}
    for event in run_trials(plan, ledger, source, executor):
        trial = event.task.trial
        if isinstance(event.what, Failure):
            assert Ledger(ledger.folder).status(trial) is TrialStatus.FAILED
            assert Ledger(ledger.folder).failure(trial) == FAILURE
        if isinstance(event.what, Result | Failure):
            ended[label(trial)] = type(event.what)
    assert ended == {
        **dict.fromkeys(["a0", "c0", "a1", "b1"], Result),
        **dict.fromkeys(["b0", "c1"], Failure),
    }
    assert dict(source.told) == {
        name: TrialStatus.FAILED if kind is Failure else TrialStatus.DONE
        for name, kind in ended.items()
    }
    assert len(source.told) == 6


OF_THE_TRIAL = [
    FailureKind.LOSS,
    FailureKind.BUDGET,
    FailureKind.VERDICT,
    FailureKind.MISSED,
    FailureKind.EXPORT,
    FailureKind.CRASH,
    FailureKind.BUG,
]


@pytest.mark.parametrize("kind", sorted({*FailureKind} - {*OF_THE_TRIAL}))
def test_failure_that_is_not_of_the_trial_is_told_but_not_kept(
    plan: SweepPlan, ledger: Ledger, kind: FailureKind
) -> None:
    failure = Failure(kind=kind, reason="the disk", time=TIME)
    events, _, source = run(plan, ledger, failing(plan, "b0", failure=failure))
    trial = plan.trials()[1]
    assert ledger.failure(trial) is None
    assert Ledger(ledger.folder).status(trial) is TrialStatus.WAITING
    assert source.told[1] == ("b0", TrialStatus.FAILED)
    assert said(events)[4] == "b0 Failure"
    _, executor, _ = run(plan, Ledger(ledger.folder), done(plan))
    assert "b0" in [label(task.trial) for task in executor.submitted]


@pytest.mark.parametrize("kind", OF_THE_TRIAL)
def test_failure_of_the_trial_is_kept(plan: SweepPlan, ledger: Ledger, kind: FailureKind) -> None:
    failure = Failure(kind=kind, reason="it", time=TIME)
    run(plan, ledger, failing(plan, "b0", failure=failure))
    assert ledger.failure(plan.trials()[1]) == failure


def test_disk_that_is_full_ends_the_sweep(plan: SweepPlan, ledger: Ledger) -> None:
    def script(task: Task) -> list[TrialEvent]:
        if label(task.trial) == "b0":  # when a file takes the place of the folder
            shutil.rmtree(ledger.folder)
            ledger.folder.touch()
        return failing(plan, "b0")(task)

    executor = Scripted(script)
    seen: list[TrialEvent] = []
    with pytest.raises(StorageError, match="cannot write"):
        seen.extend(run_trials(plan, ledger, Queue(plan.trials(), ledger), executor))
    assert [label(task.trial) for task in executor.submitted] == ["a0", "b0"]


def test_a_trial_that_lags_goes_on(plan: SweepPlan, ledger: Ledger) -> None:
    slow = Slow(1.0, 100.0, threads=1, usable_cpus=2.0, free_cpus=2.0)

    def script(task: Task) -> list[TrialEvent]:
        began, *rest = done(plan)(task)
        return [began, TrialEvent(task, slow), *rest]

    events, _, source = run(plan, ledger, script)
    assert said(events)[:4] == ["a0 Started", "a0 Slow", "a0 EpochRecord", "a0 Result"]
    assert {state for _, state in source.told} == {TrialStatus.DONE}


# ----------------------------------------------------------------------- ended early


def test_what_is_not_the_end_of_a_trial_is_passed_on(plan: SweepPlan, ledger: Ledger) -> None:
    def script(task: Task) -> list[TrialEvent]:
        *begun, end = done(plan)(task)
        return [*begun, TrialEvent(task, NotDrawn(task.run.curves_path, "no disk")), end]

    events, _, source = run(plan, ledger, script)
    assert said(events)[:4] == ["a0 Started", "a0 EpochRecord", "a0 NotDrawn", "a0 Result"]
    assert len(source.told) == 6


def test_trial_that_is_not_worth_it_is_ended(plan: SweepPlan, ledger: Ledger) -> None:
    def script(task: Task) -> list[TrialEvent]:
        if label(task.trial) == "b0":
            return [
                TrialEvent(task, Started(task.run, 0)),
                epoch(task, 1),
                epoch(task, 2, correct=7),
                TrialEvent(task, Stopped()),
            ]
        return done(plan)(task)

    source = Recording(plan.trials(), ledger, at_least=10)
    executor = Scripted(script)
    seen: list[TrialEvent] = []
    for event in run_trials(plan, ledger, source, executor):
        seen.append(event)
        if isinstance(event.what, EpochRecord) and event.what.correct == 7:
            pruned = Ledger(ledger.folder).pruned(event.task.trial)
            assert pruned is not None
            assert (pruned.epoch, pruned.correct, pruned.images) == (2, 7, HOLDOUT)
            assert list(map(label, executor.stopped)) == ["b0"]
    mine = [line for line in said(seen) if line.startswith("b0")]
    assert mine == ["b0 Started", "b0 EpochRecord", "b0 EpochRecord", "b0 Stopped"]
    assert [it for it in source.told if it[0] == "b0"] == [("b0", TrialStatus.PRUNED)]
    assert len(source.told) == len(executor.submitted) == 6
    assert list(map(label, executor.stopped)) == ["b0"]


@pytest.mark.parametrize("last", ["Stopped", "Result", "Failure"])
def test_what_an_ended_trial_still_does_is_of_no_interest(
    plan: SweepPlan, ledger: Ledger, last: str
) -> None:
    """The executor may be some epochs ahead of the driver, or at the end already."""

    def script(task: Task) -> list[TrialEvent]:
        if label(task.trial) != "b0":
            return done(plan)(task)
        ends: dict[str, TrialEvent] = {
            "Stopped": TrialEvent(task, Stopped()),
            "Result": TrialEvent(task, made_up(task.trial, plan, 99, seconds=1.0)),
            "Failure": TrialEvent(task, FAILURE),
        }
        slow = Slow(1.0, 100.0, threads=1, usable_cpus=2.0, free_cpus=2.0)
        late = [
            epoch(task, 2, correct=99),
            epoch(task, 3, correct=0),
            TrialEvent(task, slow),
            TrialEvent(task, Started(task.run, 3)),
        ]
        return [epoch(task, 1, correct=7), *late, ends[last]]

    events, executor, source = run(plan, ledger, script, at_least=10, size=2)
    trial = plan.trials()[1]
    mine = [line for line in said(events) if line.startswith("b0")]
    assert mine == ["b0 EpochRecord", "b0 Stopped"]
    assert [it for it in source.told if it[0] == "b0"] == [("b0", TrialStatus.PRUNED)]
    assert list(map(label, executor.stopped)) == ["b0"]
    assert ledger.status(trial) is TrialStatus.PRUNED
    assert ledger.failure(trial) is None
    pruned = ledger.pruned(trial)
    assert pruned is not None
    assert pruned.correct == 7
    assert len(executor.submitted) == 6


def test_ended_trial_takes_its_room_until_it_has_stopped(plan: SweepPlan, ledger: Ledger) -> None:
    order: list[str] = []

    def script(task: Task) -> list[TrialEvent]:
        order.append(f"{label(task.trial)} begins")
        if label(task.trial) == "a0":
            return [epoch(task, 1, correct=0), *[epoch(task, 2)] * 3, TrialEvent(task, Stopped())]
        return done(plan)(task)

    source, executor = Recording(plan.trials(), ledger, at_least=10), Scripted(script)
    for event in run_trials(plan, ledger, source, executor):
        order += said([event])
    assert order[:4] == ["a0 begins", "a0 EpochRecord", "a0 Stopped", "b0 begins"]


# ----------------------------------------------------------------------- a source that proposes


class OneAtATime(Recording):
    """Proposes the next trial only after the outcome of the last."""

    ready = True

    def next(self) -> Trial | None:
        trial = super().next() if self.ready else None
        self.ready = self.ready and trial is None
        return trial

    def tell(self, trial: Trial, status: TrialStatus) -> None:
        super().tell(trial, status)
        self.ready = True


def test_source_is_asked_again_after_every_outcome(plan: SweepPlan, ledger: Ledger) -> None:
    source = OneAtATime(plan.trials(), ledger, at_least=10)

    def script(task: Task) -> list[TrialEvent]:
        if label(task.trial) == "b0":
            return [epoch(task, 1, correct=0), TrialEvent(task, Stopped())]
        return failing(plan, "c0")(task)

    executor = Scripted(script, size=3)
    events = list(run_trials(plan, ledger, source, executor))
    assert [name for name, _ in source.told] == ["a0", "b0", "c0", "a1", "b1", "c1"]
    assert [state for _, state in source.told[:3]] == [
        TrialStatus.DONE,
        TrialStatus.PRUNED,
        TrialStatus.FAILED,
    ]
    assert sum(event.is_last for event in events) == 6


def test_executor_that_has_nothing_to_tell_is_asked_again(plan: SweepPlan, ledger: Ledger) -> None:
    class Slow(Scripted):
        asked = 0

        def events(self) -> Iterator[TrialEvent]:
            self.asked += 1
            return super().events() if self.asked % 3 == 0 else iter(())

    executor = Slow(done(plan))
    events = list(run_trials(plan, ledger, Queue(plan.trials(), ledger), executor))
    assert sum(isinstance(event.what, Result) for event in events) == 6
    assert executor.asked == 3 * len(events)


# ------------------------------------------------------------------------------ runs that exist


def finished(folder: Path, trial: Trial, plan: SweepPlan, correct: int) -> None:
    """A run that is done, in a folder of its own."""
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("of another command")
    (folder / "checkpoint").touch()
    result = made_up(trial, plan, correct, seconds=1.0)
    (folder / "result.json").write_text(result.json_text())


@pytest.mark.parametrize("where", ["mine", "other/arm"])
def test_a_finished_run_beside_the_sweep_is_taken_up(tmp_path: Path, where: str) -> None:
    """Of a training or of another sweep; it is copied, with its manifest."""
    plan = planned(tmp_path, {"name": "a"}, seeds=2)
    ledger = Ledger(tmp_path / "runs/tiny")
    first, second = plan.trials()
    there = tmp_path / f"runs/{where}-{first.digest[:8]}-s0"
    finished(there, first, plan, 77)
    if there.parent.name == "other":
        (there.parent / "sweep.json").touch()
    executor = Scripted(lambda task: [TrialEvent(task, FAILURE)])
    events = [*run_trials(plan, ledger, Queue([first, second], ledger), executor)]
    assert [task.trial for task in executor.submitted] == [second]
    assert isinstance(events[0].what, Result)
    assert events[0].what.correct == 77
    assert ledger.taken == [there]
    again = Ledger(ledger.folder)
    assert again.status(first) is TrialStatus.DONE
    assert again.run(first).manifest_path.read_text() == "of another command"
    assert not again.run(first).checkpoint_path.exists()
    assert there.exists()


def test_no_other_run_is_taken_for_a_trial(tmp_path: Path) -> None:
    """Of another digest that begins alike, of another seed, unfinished, damaged, ended early."""
    plan = planned(tmp_path, {"name": "a"}, seeds=4)
    ledger = Ledger(tmp_path / "runs/tiny")
    trials = plan.trials()
    folders = [tmp_path / f"runs/b-{it.digest[:8]}-s{it.seed}" for it in trials]
    for folder, trial in zip(folders, trials, strict=True):
        finished(folder, trial, plan, 50)
    other = made_up(trials[0], plan, 50, seconds=1.0)
    text = other.model_copy(update={"digest": other.digest[:8] + "0" * 56}).json_text()
    (folders[0] / "result.json").write_text(text)
    (folders[1] / "result.json").unlink()
    (folders[2] / "result.json").write_text("{")
    (folders[3] / "pruned.json").touch()
    assert [ledger.take(trial) for trial in trials] == [None] * 4
    assert ledger.taken == []
