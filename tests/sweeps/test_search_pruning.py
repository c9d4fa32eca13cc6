"""When a search ends a trial early: never before the epoch of the file, nor after the last."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny_sweeps
from optuna.trial import TrialState
from searching import Process, planned, studies

from mnist_arch.errors import SpecError
from mnist_arch.runs.result import Result
from mnist_arch.sweeps.execution.executor import Stopped
from mnist_arch.sweeps.planning import SweepPlan, Trial
from mnist_arch.training.events import EpochRecord


def worse_and_worse(trial: Trial, epoch: int) -> int:
    """Each trial is worse than all before it, from its first epoch to its last."""
    return 90 - 2 * (trial.arm.proposal or 0) + min(epoch, 1)


@pytest.mark.parametrize(
    ("kind", "from_epoch", "full"),
    [("median", 1, 5), ("median", 3, 5), ("hyperband", 1, 1), ("hyperband", 3, 1)],
)
def test_a_trial_is_ended_at_the_epoch_of_the_file_and_not_before(
    tmp_path: Path, kind: str, from_epoch: int, full: int
) -> None:
    """`full` trials are trained in full before any is ended: the median is that of five."""
    base = {"extends": "s6", **tiny_sweeps.blocks(4), "recipe": {"epochs": 5}}
    pruning = {"kind": kind, "from_epoch": from_epoch}
    plan = planned(tmp_path, top={"base": base}, trials=9, sampler="random", pruning=pruning)
    process = Process(tmp_path, plan, curve=worse_and_worse)
    events = process.finish()
    trials = process.learners.submitted
    pruned = {trial.arm.proposal: process.ledger.pruned(trial) for trial in trials}
    assert list(pruned.values())[:full] == [None] * full
    ended = {name: it.epoch for name, it in pruned.items() if it is not None}
    assert min(ended.values()) == from_epoch
    assert len([event for event in events if isinstance(event.what, Stopped)]) == len(ended)
    if kind == "median":
        assert len(ended) == 4
    assert len(trials) == 9  # those that were ended count
    (known,) = studies(tmp_path)
    for trial in known:
        name = trial.number + 1
        assert trial.state is (TrialState.PRUNED if name in ended else TrialState.COMPLETE)
        assert list(trial.intermediate_values) == list(range(1, ended.get(name, 5) + 1))


@pytest.mark.slow
@pytest.mark.parametrize("from_epoch", [2, 7])
@pytest.mark.parametrize("kind", ["median", "hyperband"])
def test_no_trial_is_ended_at_its_last_epoch(tmp_path: Path, kind: str, from_epoch: int) -> None:
    pruning = {"kind": kind, "from_epoch": from_epoch}
    plan = planned(tmp_path, trials=12, sampler="random", pruning=pruning)
    events = Process(tmp_path, plan, curve=worse_and_worse).finish()
    assert len([event for event in events if isinstance(event.what, Result)]) == 12


def test_two_objectives_are_not_pruned(tmp_path: Path) -> None:
    pruning = {"kind": "median", "from_epoch": 1}
    with pytest.raises(SpecError, match="since a front has no order") as caught:
        planned(tmp_path, objective="accuracy-parameters", pruning=pruning)
    (problem,) = caught.value.problems
    assert problem.place.startswith("search")


# -------------------------------------------------------------------------- a study that is lost

HYPERBAND, MEDIAN = ({"kind": kind, "from_epoch": 1} for kind in ("hyperband", "median"))


def ups_and_downs(trial: Trial, epoch: int) -> int:
    """Curves that cross each other, so that it matters what is known of each epoch."""
    number = trial.arm.proposal or 0
    return 40 + (number * 37 + epoch * number * 11) % 50


def pruned_at(process: Process) -> dict[int | None, int]:
    """Epochs at which proposals were ended early."""
    found = {
        arm.proposal: process.ledger.pruned(Trial(arm, 0, "ranking", arm.digest))
        for arm in process.search.arms
    }
    return {number: it.epoch for number, it in found.items() if it is not None}


def of_seven_epochs(folder: Path, **search: Any) -> SweepPlan:
    base = {"extends": "s6", **tiny_sweeps.blocks(4), "recipe": {"epochs": 7}}
    return planned(folder, top={"base": base}, **search)


@pytest.mark.slow
@pytest.mark.parametrize("pruning", [MEDIAN, HYPERBAND], ids=lambda it: it["kind"])
@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_a_study_made_anew_ends_the_same_trials_early(
    tmp_path: Path, pruning: dict[str, Any], sampler: str
) -> None:
    """Its journal is removed after 12 of 24 trials, as the hint about a damaged one says."""
    one, other = tmp_path / "one", tmp_path / "other"
    whole = Process(one, of_seven_epochs(one, trials=24, sampler=sampler, pruning=pruning))
    whole.curve_is(ups_and_downs).finish()
    expected = pruned_at(whole)
    assert any((number or 0) > 12 for number in expected)
    assert len(expected) < 24

    half = of_seven_epochs(other, trials=12, sampler=sampler, pruning=pruning)
    first = Process(other, half).curve_is(ups_and_downs)
    first.finish()
    (known,) = studies(other)
    (other / "runs/tiny/study.jsonl").unlink()
    again = Process(other, half)
    assert again.finish() == []  # nothing is trained again
    (rebuilt,) = studies(other)
    for before, after in zip(known, rebuilt, strict=True):
        assert (after.params, after.state) == (before.params, before.state)
        assert after.intermediate_values == before.intermediate_values
        assert after.system_attrs == before.system_attrs

    plan = of_seven_epochs(other, trials=24, sampler=sampler, pruning=pruning)
    rest = Process(other, plan, before=first).curve_is(ups_and_downs)
    rest.finish()
    assert rest.proposed == whole.proposed
    assert pruned_at(rest) == expected


def test_a_trial_that_goes_on_is_judged_by_all_of_its_epochs(tmp_path: Path) -> None:
    """It was in its third epoch when the process died and the journal was lost."""
    plan = of_seven_epochs(tmp_path, trials=1, sampler="random", pruning=HYPERBAND)
    first = Process(tmp_path, plan).curve_is(ups_and_downs).die_after(EpochRecord, 2)
    (tmp_path / "runs/tiny/study.jsonl").unlink()
    Process(tmp_path, plan, before=first).curve_is(ups_and_downs).finish()
    ((trial,),) = studies(tmp_path)
    assert list(trial.intermediate_values) == [1, 2, 3, 4, 5, 6, 7]


def test_without_its_curve_a_result_is_still_known(tmp_path: Path) -> None:
    plan = of_seven_epochs(tmp_path, trials=8, sampler="random", pruning=MEDIAN)
    first = Process(tmp_path, plan).curve_is(ups_and_downs)
    first.finish()
    (tmp_path / "runs/tiny/study.jsonl").unlink()
    for path in (tmp_path / "runs/tiny").glob("*/metrics.jsonl"):
        path.write_text("{torn")
    assert Process(tmp_path, plan).finish() == []
    assert pruned_at(Process(tmp_path, plan)) == pruned_at(first)


@pytest.mark.slow
def test_what_one_search_has_ended_early_goes_on_in_another(tmp_path: Path) -> None:
    plan = of_seven_epochs(tmp_path, trials=12, sampler="random", pruning=MEDIAN)
    first = Process(tmp_path, plan).curve_is(ups_and_downs)
    first.finish()
    ended = pruned_at(first)
    assert ended
    without = of_seven_epochs(tmp_path, trials=12, sampler="random")
    second = Process(tmp_path, without, before=first).curve_is(ups_and_downs)
    second.finish()
    assert second.trained == list(ended)
    assert pruned_at(second) == {}
    assert {trial.state for trial in studies(tmp_path)[1]} == {TrialState.COMPLETE}
