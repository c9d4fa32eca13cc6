"""A sweep's folder is its ledger: what became of each trial is what its files say."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mnist_arch.errors import FailureKind, LaterFormat, RunCorrupt, RunLocked, StorageError
from mnist_arch.files import now, write_whole
from mnist_arch.runs.folder import Run
from mnist_arch.runs.result import Result
from mnist_arch.spec.experiment import Verdicts
from mnist_arch.sweeps.ledger import (
    LOG_LINES,
    Asked,
    Failure,
    Ledger,
    Pruned,
    TrialStatus,
    log_path,
    log_tail,
)
from mnist_arch.sweeps.planning import Arm, Trial

TIME = "2026-01-01T00:00:00+00:00"
FAILURE = Failure(
    kind=FailureKind.LOSS, reason="the loss", hint="lower it", log_tail=["a"], time=TIME
)
PRUNED = Pruned(epoch=2, correct=3, images=4, by="a search", time=TIME)


def trial(name: str = "a", *, digest: str = "1", seed: int = 0) -> Trial:
    whole = digest.ljust(64, "0")
    return Trial(Arm(name, (), digest=whole), seed, "ranking", whole)


def result_of(trial: Trial, *, correct: int = 3) -> Result:
    return Result(
        name=trial.arm.name,
        digest=trial.digest,
        seed=trial.seed,
        dataset="mnist",
        split="validation",
        correct=correct,
        images=4,
        accuracy_percent=75.0,
        interval_percent=(0.0, 100.0),
        loss=1.0,
        best_epoch=1,
        best_accuracy_percent=75.0,
        parameters=1,
        macs=1,
        epochs=1,
        seconds=1.0,
        command_seconds=1.0,
        verdicts=Verdicts(parameters="kept", epochs="kept", accuracy="none"),
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "sweep"


def begun(folder: Path, trial: Trial) -> Run:
    """The folder of a trial that has been begun."""
    run = Run(folder / f"{trial.arm.name}-{trial.digest[:8]}-s{trial.seed}")
    run.folder.mkdir(parents=True)
    run.manifest_path.touch()
    return run


def finished(folder: Path, trial: Trial, *, correct: int = 3) -> Run:
    run = begun(folder, trial)
    write_whole(run.result_path, result_of(trial, correct=correct).json_text().encode())
    return run


# ----------------------------------------------------------------------- states


def test_nothing_is_known_of_a_folder_that_is_not_there(folder: Path) -> None:
    ledger, it = Ledger(folder), trial()
    assert ledger.status(it) is TrialStatus.WAITING
    assert ledger.result(it) is ledger.failure(it) is ledger.pruned(it) is None
    assert not ledger.has_begun(it)
    assert ledger.run(it).folder == folder / "a-10000000-s0"
    assert not ledger.is_running()
    assert not folder.exists()


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "runs").touch()
    for folder in (tmp_path / "runs", tmp_path / "runs" / "sweep"):
        with pytest.raises(StorageError, match="Not a directory") as caught:
            Ledger(folder).status(trial())
        assert caught.value.hint.startswith(f"{tmp_path / 'runs'} is a file, not a folder")


def test_states_are_what_the_files_say(folder: Path) -> None:
    done, failed, pruned, half = (trial(digest=digit) for digit in "1234")
    finished(folder, done)
    for it in (failed, pruned, half):
        begun(folder, it)
    Ledger(folder).fail(failed, FAILURE)
    Ledger(folder).prune(pruned, PRUNED)
    ledger = Ledger(folder)
    states = [ledger.status(it) for it in (done, failed, pruned, half, trial(digest="5"))]
    assert states == [
        TrialStatus.DONE,
        TrialStatus.FAILED,
        TrialStatus.PRUNED,
        TrialStatus.WAITING,
        TrialStatus.WAITING,
    ]
    assert ledger.result(done) == result_of(done)
    assert ledger.failure(failed) == FAILURE
    assert ledger.pruned(pruned) == PRUNED
    assert [ledger.has_begun(it) for it in (done, half, trial(digest="5"))] == [True, True, False]
    assert (ledger.failure(done), ledger.pruned(done), ledger.result(half)) == (None, None, None)


def test_trial_that_was_ended_counts_as_ended_whatever_it_still_did(folder: Path) -> None:
    it = trial()
    finished(folder, it)
    Ledger(folder).prune(it, PRUNED)
    assert Ledger(folder).status(it) is TrialStatus.PRUNED


def test_trial_that_failed_and_was_done_later_is_done(folder: Path) -> None:
    it = trial()
    begun(folder, it)
    Ledger(folder).fail(it, FAILURE)
    assert Ledger(folder).status(it) is TrialStatus.FAILED
    write_whole(Ledger(folder).run(it).result_path, result_of(it).json_text().encode())
    assert Ledger(folder).status(it) is TrialStatus.DONE


def test_seeds_and_experiments_are_told_apart(folder: Path) -> None:
    finished(folder, trial(seed=1))
    ledger = Ledger(folder)
    assert ledger.status(trial(seed=1)) is TrialStatus.DONE
    assert ledger.status(trial(seed=0)) is TrialStatus.WAITING
    assert ledger.status(trial(seed=11)) is TrialStatus.WAITING
    assert ledger.status(trial(digest="2", seed=1)) is TrialStatus.WAITING


# ----------------------------------------------------------------------- an edited file


def test_trial_keeps_its_folder_when_its_name_changes(folder: Path) -> None:
    run = finished(folder, trial("early"))
    ledger = Ledger(folder)
    assert ledger.run(trial("dropout=0.1")) == run
    assert ledger.status(trial("dropout=0.1")) is TrialStatus.DONE
    assert ledger.result(trial("dropout=0.1")) == result_of(trial("early"))


def test_trials_that_are_no_longer_in_the_file_are_left_alone(folder: Path) -> None:
    kept = finished(folder, trial("old", digest="7"))
    ledger = Ledger(folder)
    it = trial("new", digest="8")
    ledger.started(it)
    ledger.fail(it, FAILURE)
    ledger.take_up(it)
    assert kept.result() == result_of(trial("old", digest="7"))
    assert Ledger(folder).status(trial("back-again", digest="7")) is TrialStatus.DONE


def test_folder_of_a_trial_that_begins_is_known_from_then_on(folder: Path) -> None:
    folder.mkdir(parents=True)
    ledger, it = Ledger(folder), trial("early")
    assert ledger.status(it) is TrialStatus.WAITING  # by which the folder has been read
    ledger.started(it)
    assert ledger.run(trial("late")).folder.name == "early-10000000-s0"
    finished(folder, it)
    assert ledger.status(it) is TrialStatus.DONE


def test_other_things_in_the_folder_are_no_trials(folder: Path) -> None:
    it = trial()
    for name in ("a-1000000-s0", "a-10000000-s0.before-1", "a-10000000-sx", "A-1000000G-s0"):
        (folder / name).mkdir(parents=True)
    (folder / ".lock").touch()
    assert Ledger(folder).run(it).folder == folder / "a-10000000-s0"
    assert Ledger(folder).status(it) is TrialStatus.WAITING


# ----------------------------------------------------------------------- failures


def test_failure_is_forgiven_and_what_was_trained_is_kept(folder: Path) -> None:
    ledger, it = Ledger(folder), trial()
    ledger.started(it)
    ledger.fail(it, FAILURE)  # a trial can fail before its process has made its folder
    run = ledger.run(it)
    run.checkpoint_path.touch()
    assert ledger.status(it) is TrialStatus.FAILED
    ledger.take_up(it)
    assert ledger.status(it) is TrialStatus.WAITING
    assert ledger.failure(it) is None
    assert run.checkpoint_path.exists()
    ledger.take_up(it)  # twice is once


def test_last_lines_of_a_log(folder: Path) -> None:
    run = begun(folder, trial())
    assert log_tail(run) == []
    lines = [f"line {number}" for number in range(LOG_LINES + 5)]
    log_path(run).write_bytes("\n".join(lines).encode() + b"\nbad \xff byte\n")
    assert log_tail(run) == [*lines[6:], "bad \ufffd byte"]


def test_what_was_asked_for_is_kept(folder: Path) -> None:
    ledger = Ledger(folder)
    assert ledger.asked() is None
    asked = Asked(source="a.yaml", dataset="mnist-5k", command=["mnist-arch"], started=now())
    folder.mkdir(parents=True)
    ledger.ask(asked)
    assert Ledger(folder).asked() == asked


def asked(question: str) -> Asked:
    return Asked(
        source="a.yaml", dataset="mnist-5k", question=question, command=["mnist-arch"], started=TIME
    )


def test_leaderboard_of_another_question_is_put_aside_and_comes_back(folder: Path) -> None:
    folder.mkdir(parents=True)
    ledger = Ledger(folder)
    assert ledger.ask(asked("one")) is None
    for suffix in (".json", ".csv"):
        (folder / f"leaderboard{suffix}").write_text(f"one{suffix}")
    assert ledger.ask(asked("one")) is None
    assert ledger.ask(asked("two")) == folder / "leaderboard-one.json"
    assert not (folder / "leaderboard.json").exists()
    assert ledger.ask(asked("one")) is None  # of the other there was none to put aside
    for suffix in (".json", ".csv"):
        assert (folder / f"leaderboard{suffix}").read_text() == f"one{suffix}"
        assert not (folder / f"leaderboard-one{suffix}").exists()


def test_curve_is_the_share_of_each_epoch_up_to_where_it_was_ended(folder: Path) -> None:
    it = trial()
    assert Ledger(folder).curve(it) == []
    run = begun(folder, it)
    for epoch, correct in enumerate((1, None, 3), start=1):
        run.append_metrics({"epoch": epoch, "correct": correct, "images": 4})
    ledger = Ledger(folder)
    assert ledger.curve(it) == [(1, 0.25), (3, 0.75)]
    ledger.prune(it, PRUNED)  # at epoch 2
    assert ledger.curve(it) == [(1, 0.25)]


def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    ledger, it = Ledger(tmp_path / "runs" / "sweep"), trial()
    assert ledger.status(it) is TrialStatus.WAITING
    (tmp_path / "runs").touch()
    for write in (
        lambda: ledger.fail(it, FAILURE),
        lambda: ledger.prune(it, PRUNED),
        lambda: ledger.lock().__enter__(),
    ):
        with pytest.raises(StorageError, match="cannot write"):
            write()


# ----------------------------------------------------------------------- damage


def test_damaged_result_is_no_result(folder: Path) -> None:
    run = finished(folder, trial())
    for content, reason in (
        ("{", "is damaged"),
        ("{}", "is damaged: format: Field required"),
        (result_of(trial()).json_text().replace('"correct": 3', '"correct": null'), "correct"),
    ):
        run.result_path.write_text(content)
        for ask in (Ledger(folder).status, Ledger(folder).result):
            with pytest.raises(RunCorrupt, match=reason) as caught:
                ask(trial())
            assert str(run.result_path) in str(caught.value)
            assert "again=True" in caught.value.hint


def test_files_of_a_later_format(folder: Path) -> None:
    it = trial()
    run = begun(folder, it)
    for name, ask in (
        ("failure.json", Ledger(folder).failure),
        ("pruned.json", Ledger(folder).pruned),
        ("result.json", Ledger(folder).result),
    ):
        (run.folder / name).write_text('{"format": 99}')
        with pytest.raises(LaterFormat, match="has format 99"):
            ask(it)


def test_experiments_whose_digests_begin_alike_do_not_take_each_others_results(
    folder: Path,
) -> None:
    mine, theirs = trial("a", digest="123456781"), trial("b", digest="123456782")
    finished(folder, mine)
    ledger = Ledger(folder)
    assert ledger.status(mine) is TrialStatus.DONE
    assert ledger.result(theirs) is None
    assert ledger.status(theirs) is TrialStatus.WAITING
    assert ledger.result(mine) == result_of(mine)


# ----------------------------------------------------------------------- the lock


HOLDER = """
import sys
from pathlib import Path
from mnist_arch.sweeps.ledger import Ledger
with Ledger(Path(sys.argv[1])).lock():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the sweep's folder."""
    command = [sys.executable, "-c", HOLDER, str(folder)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def assert_free(folder: Path) -> None:
    with Ledger(folder).lock():
        pass


@pytest.mark.slow
def test_sweep_cannot_run_twice_at_once(folder: Path, holder: subprocess.Popen[str]) -> None:
    with pytest.raises(RunLocked) as caught, Ledger(folder).lock():
        pytest.fail("the folder is held by another process")
    assert f"another process is working in {folder}: process {holder.pid} of " in str(caught.value)
    assert caught.value.hint == "wait for it or end it, or choose another folder with out="
    assert Ledger(folder).is_running()
    holder.communicate()
    assert holder.returncode == 0
    assert not Ledger(folder).is_running()
    assert_free(folder)


@pytest.mark.slow
def test_lock_of_a_process_that_was_killed_is_free(
    folder: Path, holder: subprocess.Popen[str]
) -> None:
    assert Ledger(folder).is_running()
    holder.kill()
    holder.wait()
    assert (folder / ".lock").exists()
    assert not Ledger(folder).is_running()
    assert_free(folder)


def test_lock_is_freed_by_an_error(folder: Path) -> None:
    with pytest.raises(KeyError), Ledger(folder).lock():
        raise KeyError
    assert_free(folder)


def test_two_sweeps_in_folders_of_their_own_do_not_meet(folder: Path) -> None:
    with Ledger(folder / "one").lock(), Ledger(folder / "two").lock():
        assert Ledger(folder / "one").is_running()


def test_arm_of_a_trial_says_nothing_about_its_state(folder: Path) -> None:
    it = trial()
    finished(folder, it)
    other = Trial(replace(it.arm, rejected="no", same_as="x"), it.seed, "final", it.digest)
    assert Ledger(folder).status(other) is TrialStatus.DONE
