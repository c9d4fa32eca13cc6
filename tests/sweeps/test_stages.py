"""A whole sweep, stage by stage, of trials that are done at once."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_sweeps import Bench, MadeUpExecutor, blocks, planned

from mnist_arch.errors import BudgetExceeded
from mnist_arch.runs.events import Started
from mnist_arch.runs.result import Result
from mnist_arch.sweeps.execution.executor import TrialEvent
from mnist_arch.sweeps.ledger import Failure, TrialStatus
from mnist_arch.sweeps.planning import SweepPlan, Trial
from mnist_arch.sweeps.stages import StageBegan, run_sweep

SIZES = {"a": 4, "b": 2, "c": 6}
ARMS = [{"name": name, **blocks(size)} for name, size in SIZES.items()]
CORRECT = {"a": 90, "b": 95, "c": 80}
FINALISTS = {"top": 2, "seeds": 2}


def outcome(trial: Trial) -> int | str:
    return 900 if trial.stage == "final" else CORRECT[trial.arm.name]


def run(
    bench: Bench,
    outcome: Callable[[Trial], int | str] = outcome,
    *,
    retry_failed: bool = False,
) -> list[str]:
    """What happened, in short: `ranking 6`, `a0`, `a0 failed`."""
    found = []
    executor = MadeUpExecutor(bench, outcome)
    for event in run_sweep(bench.plan, bench.ledger, executor, retry_failed=retry_failed):
        match event:
            case StageBegan(name, trials, earlier):
                found.append(
                    f"{name} {len(trials)}" + (f" after {len(earlier)}" if earlier else "")
                )
            case TrialEvent(task=task, what=Result() | Failure()):
                failed = " failed" if isinstance(event.what, Failure) else ""
                found.append(f"{task.trial.arm.name}{task.trial.seed}{failed}")
            case _:
                assert isinstance(event.what, Started)
    return found


def plan_of(folder: Path, *arms: dict[str, Any], **top: Any) -> SweepPlan:
    return planned(folder, *(arms or ARMS), **{"seeds": 2, "finalists": FINALISTS, **top})


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, plan_of(tmp_path))


RANKING = ["ranking 6", "a0", "b0", "c0", "a1", "b1", "c1"]
FINAL = ["final 4", "b2", "b3", "a2", "a3"]


def test_the_best_of_the_ranking_are_trained_again_with_other_seeds(bench: Bench) -> None:
    assert run(bench) == [*RANKING, *FINAL]
    results = [bench.ledger.result(trial) for trial in bench.plan.final_trials(bench.arm("b"))]
    assert [(it.split, it.seed) for it in results if it] == [("test", 2), ("test", 3)]


def test_the_same_again_trains_nothing(bench: Bench) -> None:
    run(bench)
    assert run(bench) == []


def test_without_finalists_test_is_not_read(tmp_path: Path) -> None:
    assert run(Bench(tmp_path, plan_of(tmp_path, finalists=None))) == RANKING


def test_an_edited_file_trains_what_is_new(bench: Bench, tmp_path: Path) -> None:
    run(bench)
    new = {"name": "new", **blocks(3)}
    edited = Bench(tmp_path, plan_of(tmp_path, ARMS[0], new, ARMS[1]))
    found = run(edited, lambda trial: 99 if trial.arm.name == "new" else outcome(trial))
    assert found == ["ranking 2 after 4", "new0", "new1", "final 2 after 2", "new2", "new3"]


def test_more_seeds_go_on_with_those_that_are_missing(bench: Bench, tmp_path: Path) -> None:
    run(bench)
    more = Bench(tmp_path, plan_of(tmp_path, seeds=3))
    # The finalists' seeds come after those of the ranking: one of each is there already.
    assert run(more) == ["ranking 3 after 6", "a2", "b2", "c2", "final 2 after 2", "b4", "a4"]


def test_an_arm_that_fails_is_no_finalist_and_the_others_go_on(bench: Bench) -> None:
    def one_fails(trial: Trial) -> int | str:
        return "NaN" if (trial.arm.name, trial.seed) == ("b", 1) else outcome(trial)

    found = run(bench, one_fails)
    assert found == [*RANKING[:5], "b1 failed", "c1", "final 4", "a2", "a3", "c2", "c3"]
    assert bench.ledger.status(bench.trial("b", 1)) is TrialStatus.FAILED
    assert run(bench) == []  # a failure is kept
    again = run(bench, retry_failed=True)
    assert again == ["ranking 1 after 5", "b1", "final 2 after 2", "b2", "b3"]


def test_a_finalist_that_failed_is_tried_again_too(bench: Bench) -> None:
    def one_fails(trial: Trial) -> int | str:
        return "NaN" if (trial.arm.name, trial.seed) == ("a", 3) else outcome(trial)

    assert run(bench, one_fails) == [*RANKING, *FINAL[:-1], "a3 failed"]
    assert run(bench) == []
    assert run(bench, retry_failed=True) == ["final 1 after 3", "a3"]


def test_where_every_arm_fails_there_are_no_finalists(bench: Bench) -> None:
    found = run(bench, lambda _: "NaN")
    assert Counter(text.endswith("failed") for text in found) == {True: 6, False: 1}


def test_rejected_arms_are_never_trained(tmp_path: Path) -> None:
    fat = {"name": "fat", **blocks(1_000)}
    assert run(Bench(tmp_path, plan_of(tmp_path, fat, *ARMS))) == [*RANKING, *FINAL]


# ----------------------------------------------------------------------------------- with a search

SPACE = {"blocks.0.channels.0": {"kind": "int", "low": 2, "high": 900}}


def search(**values: Any) -> dict[str, Any]:
    return {"space": SPACE, "trials": 6, "sampler": "random", **values}


def by_size(trial: Trial) -> int | str:
    return 900 if trial.stage == "final" else trial.arm.parameters % 100


def test_a_search_follows_the_list_and_can_win(tmp_path: Path) -> None:
    bench = Bench(tmp_path, plan_of(tmp_path, ARMS[0], search=search()))
    found = run(bench, by_size)
    assert found[:3] == ["ranking 2", "a0", "a1"]
    assert found[3] == "search 0"
    searched = [text for text in found[4:10]]
    assert all(re.fullmatch(r"channels\[0\]=\d+0", text) for text in searched)
    assert found[10].startswith("final 4")
    assert run(bench, by_size) == ["search 0 after 6"]
    more = Bench(tmp_path, plan_of(tmp_path, ARMS[0], search=search(trials=7)))
    assert [text[:6] for text in run(more, by_size)[:2]] == ["search", "channe"]


def test_a_trial_of_a_search_that_failed_is_tried_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path, plan_of(tmp_path, ARMS[0], search=search(), finalists=None))
    found = run(bench, lambda trial: "NaN" if trial.arm.proposal else 90)
    assert Counter(text.endswith("failed") for text in found) == {True: 6, False: 4}
    assert run(bench, by_size) == ["search 0 after 6"]
    again = run(bench, by_size, retry_failed=True)
    assert again[0] == "search 0"
    assert len(again) == 7


def test_a_search_that_finds_nothing_within_the_budget_gives_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mnist_arch.sweeps.search.proposals.IN_VAIN", 7)
    budget = {"parameters_below": 10}
    bench = Bench(tmp_path, plan_of(tmp_path, search=search(), budget=budget))
    with pytest.raises(BudgetExceeded, match="0 of 6 trials: given up after 7 proposals in a row"):
        run(bench)
