"""A search that was interrupted, edited, or left with damaged files goes on as it should."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_sweeps
from optuna.trial import TrialState
from searching import RATE, SPACE, Process, planned, states, studies, wide_and_slow

from mnist_arch.runs.events import Started
from mnist_arch.runs.result import Result
from mnist_arch.sweeps.ledger import Ledger, TrialStatus
from mnist_arch.sweeps.planning import Trial
from mnist_arch.sweeps.search.source import searched_arms
from mnist_arch.training.events import EpochRecord

PRUNED_FROM_1 = {"kind": "median", "from_epoch": 1}


# ---------------------------------------------------------------------------------- interruptions


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["random", "tpe", "nsga2"])
def test_an_interrupted_search_proposes_what_it_would_have_proposed(
    tmp_path: Path, sampler: str
) -> None:
    """Killed in the middle of a trial, between two, and before the first has begun."""
    one, other = tmp_path / "one", tmp_path / "other"
    plan = planned(one, sampler=sampler, trials=26)
    whole = Process(one, plan)
    whole.finish()
    plan = planned(other, sampler=sampler, trials=26)
    process = Process(other, plan).die_after(Started, 1)
    begun = process.trained
    for kind, count in [(EpochRecord, 23), (Result, 3), (EpochRecord, 1), (Result, 7)]:
        left, process = process, Process(other, plan, before=process).die_after(kind, count)
        begun += process.trained[left.trained[-1:] == process.trained[:1] :]
    left, process = process, Process(other, plan, before=process)
    process.finish()
    assert process.proposed == whole.proposed
    assert begun + process.trained == whole.trained  # each once, with those that were taken up
    assert [it.params for it in studies(other)[0]] == [it.params for it in studies(one)[0]]


def test_the_seed_of_the_search_decides(tmp_path: Path) -> None:
    proposed = []
    for number, seed in enumerate([0, 0, 1]):
        folder = tmp_path / str(number)
        process = Process(folder, planned(folder, seed=seed))
        process.finish()
        proposed.append(process.proposed)
    assert proposed[0] == proposed[1] != proposed[2]
    assert len({digest for _, digest in proposed[0]}) == 8


def test_what_was_running_comes_first(tmp_path: Path) -> None:
    plan = planned(tmp_path, trials=10)
    first = Process(tmp_path, plan, workers=3).die_after(EpochRecord, 3)
    left = [task.trial for task in first.learners.tasks.values()]
    assert len(left) == 3
    second = Process(tmp_path, plan, before=first)
    second.finish()
    assert second.learners.submitted[:3] == left
    assert len(second.trained) + len(first.trained) - 3 == 10
    assert states(tmp_path) == [TrialState.COMPLETE] * 10
    assert Process(tmp_path, plan).finish() == []


def test_reports_go_on_where_they_were(tmp_path: Path) -> None:
    """An epoch that is done again, since its checkpoint was lost, is reported once."""
    plan = planned(tmp_path, pruning=PRUNED_FROM_1)
    first = Process(tmp_path, plan).die_after(EpochRecord, 1)
    Process(tmp_path, plan).finish()  # without its checkpoints
    (trials,) = studies(tmp_path)
    assert [list(trial.intermediate_values) for trial in trials] == [[1, 2]] * 8
    assert first.search.arms == searched_arms(plan, first.ledger)[:1]


@pytest.mark.parametrize("state", [TrialStatus.DONE, TrialStatus.FAILED, TrialStatus.PRUNED])
def test_a_death_between_the_ledger_and_the_study(tmp_path: Path, state: TrialStatus) -> None:
    """What the ledger has is told before anything is proposed."""
    plan = planned(tmp_path, trials=1, pruning=PRUNED_FROM_1)
    process = Process(tmp_path, plan)
    trial = process.search.next()
    assert trial is not None
    bench = tiny_sweeps.Bench(tmp_path, plan)
    bench.finish(trial, 64, seconds=1.0)
    if state is TrialStatus.FAILED:
        (bench.ledger.run(trial).folder / "result.json").unlink()
        bench.fail(trial, "the loss is not finite")
    if state is TrialStatus.PRUNED:
        pruned = tiny_sweeps.Pruned(
            epoch=1, correct=33, images=100, by=process.search.name, time=tiny_sweeps.TIME
        )
        bench.ledger.prune(trial, pruned)
    assert states(tmp_path) == [TrialState.RUNNING]
    assert Process(tmp_path, plan).finish() == []
    ((known,),) = studies(tmp_path)
    assert (known.state, known.value) == {
        TrialStatus.DONE: (TrialState.COMPLETE, 0.64),
        TrialStatus.FAILED: (TrialState.FAIL, None),
        TrialStatus.PRUNED: (TrialState.PRUNED, 0.33),
    }[state]


# ---------------------------------------------------------------------------------------- failures


def third_fails(trial: Trial, epoch: int) -> int | str:
    failing = trial.arm.proposal == 3 and epoch == 2
    return "the loss is not finite" if failing else wide_and_slow(trial, epoch)


def test_a_failure_counts_and_is_kept(tmp_path: Path) -> None:
    plan = planned(tmp_path)
    Process(tmp_path, plan, curve=third_fails).finish()
    failed, complete = TrialState.FAIL, TrialState.COMPLETE
    assert states(tmp_path) == [complete, complete, failed, *[complete] * 5]
    assert Process(tmp_path, plan).finish() == []


def test_a_failure_that_is_forgiven_is_tried_again_and_learnt_from(tmp_path: Path) -> None:
    plan = planned(tmp_path)
    first = Process(tmp_path, plan, curve=third_fails)
    first.finish()
    for trial in first.learners.submitted[2:3]:
        first.ledger.take_up(trial)
    second = Process(tmp_path, plan, before=first)
    assert second.proposed == first.proposed
    second.finish()
    assert second.trained == [3]
    (trials,) = studies(tmp_path)
    assert [trial.state for trial in trials[2::6]] == [TrialState.FAIL, TrialState.COMPLETE]
    assert trials[2].params == trials[8].params
    assert searched_arms(plan, second.ledger) == first.search.arms
    assert Process(tmp_path, plan).finish() == []
    more = Process(tmp_path, planned(tmp_path, trials=9))
    more.finish()
    assert more.trained == [9]


def test_a_failure_of_the_machine_is_not_kept(tmp_path: Path) -> None:
    plan = planned(tmp_path, trials=3)
    Process(tmp_path, plan, curve=lambda trial, epoch: "no data").finish()
    assert states(tmp_path) == [TrialState.RUNNING] * 3
    again = Process(tmp_path, plan)
    again.finish()
    assert again.trained == [1, 2, 3]
    assert states(tmp_path) == [TrialState.COMPLETE] * 3


def test_a_trial_whose_folder_was_removed_is_trained_again(tmp_path: Path) -> None:
    plan = planned(tmp_path, trials=4)
    first = Process(tmp_path, plan)
    first.finish()
    folder = first.ledger.run(first.learners.submitted[1]).folder
    folder.rename(tmp_path / "elsewhere")
    second = Process(tmp_path, plan)
    second.finish()
    assert second.trained == [2]
    assert second.proposed == first.proposed


# ----------------------------------------------------------------------------------------- editing


def test_more_trials_go_on_with_the_same_study(tmp_path: Path) -> None:
    first = Process(tmp_path, planned(tmp_path, trials=5))
    first.finish()
    second = Process(tmp_path, planned(tmp_path, trials=7))
    second.finish()
    assert second.trained == [6, 7]
    assert second.proposed[:5] == first.proposed
    assert len(studies(tmp_path)) == 1
    fewer = Process(tmp_path, planned(tmp_path, trials=3))
    assert fewer.finish() == []


@pytest.mark.parametrize(
    "edit",
    [
        {"space": {**SPACE, RATE: {"kind": "float", "low": 0.01, "high": 0.4, "log": True}}},
        {"space": dict(reversed(SPACE.items()))},
        {"sampler": "random"},
        {"seed": 1},
        {"objective": "accuracy-parameters"},
        {"pruning": PRUNED_FROM_1},
        {"top": {"holdout": 50}},
        {"top": {"base": {"extends": "s6", **tiny_sweeps.blocks(5), "recipe": {"epochs": 2}}}},
        {"top": {"budget": {"parameters_below": 900}}},
    ],
    ids=lambda edit: "-".join(edit.get("top", edit)),
)
def test_an_edited_search_begins_anew(tmp_path: Path, edit: dict[str, object]) -> None:
    """In the same journal; what was trained before is kept, and is not ranked."""
    before = planned(tmp_path, trials=3)
    Process(tmp_path, before).finish()
    after = planned(tmp_path, **{"trials": 3, **edit})  # type: ignore[arg-type]
    assert searched_arms(after, Ledger(tmp_path / "runs/tiny")) == []
    process = Process(tmp_path, after)
    process.finish()
    assert len(process.proposed) == 3
    old, new = studies(tmp_path)
    assert len(old) == 3 <= len(new)
    again = Process(tmp_path, before)
    assert again.finish() == []
    assert len(again.proposed) == 3


def test_a_new_study_knows_what_was_trained_in_the_old(tmp_path: Path) -> None:
    """The same seed proposes the same again, which then costs nothing."""
    first = Process(tmp_path, planned(tmp_path, trials=6, sampler="random"))
    first.finish()
    second = Process(tmp_path, planned(tmp_path, trials=12, sampler="tpe"))
    second.finish()
    assert second.trained == list(range(7, 13))
    assert [trial.value for trial in studies(tmp_path)[1]][:6] == [
        trial.value for trial in studies(tmp_path)[0]
    ]
