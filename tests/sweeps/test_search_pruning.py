"""When a search ends a trial early: never before the epoch of the file, nor after the last."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_sweeps
from optuna.trial import TrialState
from searching import Process, planned, studies

from mnist_arch.errors import SpecError
from mnist_arch.sweeps.execution.executor import Finished, Stopped
from mnist_arch.sweeps.planning import Trial


def worse_and_worse(trial: Trial, epoch: int) -> int:
    """Each trial is worse than all before it, from its first epoch to its last."""
    return 90 - 2 * int(trial.arm.name.removeprefix("search-")) + min(epoch, 1)


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
    pruned = {trial.arm.name: process.ledger.pruned(trial) for trial in trials}
    assert list(pruned.values())[:full] == [None] * full
    ended = {name: it.epoch for name, it in pruned.items() if it is not None}
    assert min(ended.values()) == from_epoch
    assert len([event for event in events if isinstance(event, Stopped)]) == len(ended)
    if kind == "median":
        assert len(ended) == 4
    assert len(trials) == 9  # those that were ended count
    (known,) = studies(tmp_path)
    for trial in known:
        name = f"search-{trial.number + 1:03d}"
        assert trial.state is (TrialState.PRUNED if name in ended else TrialState.COMPLETE)
        assert list(trial.intermediate_values) == list(range(1, ended.get(name, 5) + 1))


@pytest.mark.parametrize("from_epoch", [2, 7])
@pytest.mark.parametrize("kind", ["median", "hyperband"])
def test_no_trial_is_ended_at_its_last_epoch(tmp_path: Path, kind: str, from_epoch: int) -> None:
    pruning = {"kind": kind, "from_epoch": from_epoch}
    plan = planned(tmp_path, trials=12, sampler="random", pruning=pruning)
    events = Process(tmp_path, plan, curve=worse_and_worse).finish()
    assert len([event for event in events if isinstance(event, Finished)]) == 12


def test_two_objectives_are_not_pruned(tmp_path: Path) -> None:
    pruning = {"kind": "median", "from_epoch": 1}
    with pytest.raises(SpecError, match="since a front has no order") as caught:
        planned(tmp_path, objective="accuracy-parameters", pruning=pruning)
    (problem,) = caught.value.problems
    assert problem.path.startswith("search")
