"""The search of a sweep: what is proposed, what it costs, and when a trial is ended early."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
import tiny_sweeps
from optuna.trial import TrialState
from searching import SPACE, WIDTH, Process, planned, studies, value, wide_and_slow

from mnist_arch.errors import BudgetExceeded, ExtraMissing, SpecError
from mnist_arch.sweeps.execution.executor import Finished
from mnist_arch.sweeps.ledger import Ledger, State
from mnist_arch.sweeps.loading import load_sweep
from mnist_arch.sweeps.search import proposals as search_module
from mnist_arch.sweeps.search.proposals import Search, searched_arms

SAMPLERS = ["random", "tpe", "nsga2"]
OBJECTIVES = ["accuracy", "accuracy-parameters"]
NARROW = {"budget": {"parameters_below": 22 * 10 + 10}}
"""Nine channels and fewer; a fifth of the space."""


# ----------------------------------------------------------------------- samplers and objectives


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_search_tells_what_came_out(tmp_path: Path, sampler: str, objective: str) -> None:
    process = Process(tmp_path, planned(tmp_path, trials=12, sampler=sampler, objective=objective))
    finished = [event.result for event in process.finish() if isinstance(event, Finished)]
    assert process.trained == [f"search-{number:03d}" for number in range(1, 13)]
    assert {(trial.seed, trial.stage) for trial in process.learners.submitted} == {(0, "ranking")}
    values = [[it.correct / it.images, it.parameters] for it in finished]
    (trials,) = studies(tmp_path)
    assert {trial.state for trial in trials} == {TrialState.COMPLETE}
    assert [trial.values for trial in trials] == [
        it[: OBJECTIVES.index(objective) + 1] for it in values
    ]


def test_the_front_of_two_objectives(tmp_path: Path) -> None:
    plan = planned(tmp_path, objective="accuracy-parameters", sampler="nsga2", trials=60)
    Process(tmp_path, plan).finish()
    (trials,) = studies(tmp_path)
    points = {tuple(trial.values or ()) for trial in trials}
    study = optuna.create_study(directions=["maximize", "minimize"])
    study.add_trials(trials)
    front = {
        one
        for one in points
        if not any(other[0] >= one[0] and other[1] <= one[1] and other != one for other in points)
    }
    assert {tuple(trial.values) for trial in study.best_trials} == front
    assert 2 <= len(front) < len(points)


def test_tpe_learns(tmp_path: Path) -> None:
    """After its random trials it proposes better ones than random search does."""

    def mean(sampler: str) -> float:
        folder = tmp_path / sampler
        process = Process(folder, planned(folder, trials=40, sampler=sampler))
        counts = [event.result.correct for event in process.finish() if isinstance(event, Finished)]
        return sum(counts[20:]) / len(counts[20:])

    assert mean("tpe") > mean("random") + 3


def test_proposals_follow_the_file(tmp_path: Path) -> None:
    """Any value of YAML can be a choice; ranges are kept, with their steps."""
    space = {
        "blocks.0.channels.0": {"kind": "int", "low": 4, "high": 17, "step": 4},
        "blocks.0.pool": [{"kind": "max", "size": 4}, {"kind": "average", "size": 4}, "max"],
        "recipe.optimizer.kind": ["sgd", "adamw"],
        "recipe.ema": [None, 0.9],
        "recipe.batch_size": {"kind": "int", "low": 8, "high": 64, "log": True},
    }
    plan = planned(tmp_path, space=space, trials=30, sampler="random")
    process = Process(tmp_path, plan, curve=lambda trial, epoch: 50)
    process.finish()
    taken: dict[str, set[str]] = {}
    for arm in process.search.arms:
        assert [change.value.origin for change in arm.changes] == ["the search"] * 5
        for it in arm.differs:
            taken.setdefault(it.path, set()).add(it.value)
        recipe = plan.loaded(arm, "ranking").experiment.recipe
        assert recipe.optimizer.kind in {it.value for it in arm.differs}
    assert taken[WIDTH] == {"4", "8", "12", "16"}
    assert taken["blocks[0].pool"] == {"{kind: max, size: 4}", "{kind: average, size: 4}", "max"}
    assert taken["recipe.ema"] == {"null", "0.9"}
    assert all(8 <= int(text) <= 64 for text in taken["recipe.batch_size"])


# ------------------------------------------------------------------------------------- the budget


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_what_breaks_the_budget_costs_nothing(tmp_path: Path, sampler: str, objective: str) -> None:
    plan = planned(tmp_path, top=NARROW, trials=25, sampler=sampler, objective=objective)
    process = Process(tmp_path, plan)
    process.finish()
    assert len(process.trained) == len(process.search.arms) == 25
    assert all(value(trial, WIDTH) < 10 for trial in process.learners.submitted)
    (trials,) = studies(tmp_path)
    rejected = [trial for trial in trials if trial.state is TrialState.PRUNED]
    assert len(rejected) == len(trials) - 25 == process.search.rejected > 0
    for trial in rejected:
        width = trial.params["blocks.0.channels.0"]
        assert trial.values is None
        assert f"{22 * width + 10:,} parameters" in trial.user_attrs["rejected"]
        assert trial.constraints == {"budget": pytest.approx((22 * width + 11 - 230) / 230)}
    assert searched_arms(plan, process.ledger).rejected == len(rejected)


def test_what_cannot_be_built_costs_nothing(tmp_path: Path) -> None:
    """The last layer has to have the ten classes."""
    space = {**SPACE, "blocks.0.kernel": [3, 5], "blocks.0.reduce": [10, 11]}
    process = Process(tmp_path, planned(tmp_path, space=space, sampler="random"))
    process.finish()
    (trials,) = studies(tmp_path)
    rejected = [trial for trial in trials if trial.state is TrialState.PRUNED]
    assert len(process.trained) == 8
    assert {trial.params["blocks.0.reduce"] for trial in rejected} == {"11"}
    assert {tuple(trial.constraints.values()) for trial in rejected} == {(1.0,)}
    assert all("cannot be built: " in trial.user_attrs["rejected"] for trial in rejected)


def test_a_search_that_finds_nothing_gives_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert search_module.REJECTED_IN_A_ROW == 1000
    monkeypatch.setattr(search_module, "REJECTED_IN_A_ROW", 25)
    plan = planned(tmp_path, top={"budget": {"parameters_below": 40}}, sampler="tpe")
    process = Process(tmp_path, plan)
    message = (
        r"the search gives up: 25 proposals in a row broke the budget or could not be built; "
        r"the last is search-025: [\d,]+ parameters, [\d,]+ too many for fewer than 40; "
    )
    with pytest.raises(BudgetExceeded, match=message) as caught:
        process.finish()
    assert "search.space" in caught.value.hint
    size = (tmp_path / "runs/tiny/study.jsonl").stat().st_size
    with pytest.raises(BudgetExceeded, match=message):  # at once
        Process(tmp_path, plan).finish()
    assert (tmp_path / "runs/tiny/study.jsonl").stat().st_size == size


def test_it_does_not_give_up_for_rejections_here_and_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_module, "REJECTED_IN_A_ROW", 5)
    top = {"budget": {"parameters_below": 22 * 32 + 10}}
    process = Process(tmp_path, planned(tmp_path, top=top, sampler="random", trials=25))
    process.finish()
    assert process.search.rejected >= 5


def test_it_does_not_give_up_while_trials_are_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = planned(tmp_path, sampler="random")
    search = Search(plan, Ledger(tmp_path / "runs/tiny"))
    trial = search.next()
    assert trial is not None
    monkeypatch.setattr(search_module, "REJECTED_IN_A_ROW", 0)
    assert search.next() is None
    tiny_sweeps.Bench(tmp_path, plan).finish(trial, 50, seconds=1.0)
    search._ledger.started(trial)
    search._rejected.append("search-002: too large")
    search.tell(trial, State.DONE)
    with pytest.raises(BudgetExceeded, match="too large"):
        search.next()


# ------------------------------------------------------------------------------- what is known


def test_a_proposal_that_comes_again_is_not_trained_again(tmp_path: Path) -> None:
    space = {"blocks.0.channels.0": [4, 6]}
    plan = planned(tmp_path, {"name": "listed", **tiny_sweeps.blocks(4)}, space=space, trials=9)
    bench = tiny_sweeps.Bench(tmp_path, plan)
    bench.rank("listed", 77, 78, 79)
    process = Process(tmp_path, plan, curve=lambda trial, epoch: 60)
    process.finish()
    (trial,) = process.learners.submitted
    assert value(trial, WIDTH) == 6
    (trials,) = studies(tmp_path)
    told = [(json.loads(it.params["blocks.0.channels.0"]), it.value) for it in trials]
    assert len(told) == 9
    assert set(told) == {(4, 0.77), (6, 0.6)}
    arms = {arm.same_as: arm.parameters for arm in process.search.arms}
    assert arms == {"listed": 22 * 4 + 10, "": 22 * 6 + 10}
    assert searched_arms(plan, process.ledger).arms == process.search.arms


def test_two_workers_do_not_train_the_same(tmp_path: Path) -> None:
    space = {"blocks.0.channels.0": [4, 6]}
    plan = planned(tmp_path, space=space, trials=9, sampler="random")
    process = Process(tmp_path, plan, curve=lambda trial, epoch: 60, workers=4)
    process.finish()
    assert sorted(value(trial, WIDTH) for trial in process.learners.submitted) == [4, 6]
    (trials,) = studies(tmp_path)
    assert [trial.value for trial in trials] == [0.6] * 9


# ------------------------------------------------------------------------------------ the file


def test_a_mistake_in_the_space_is_shown_at_its_line(tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(
        "base: s6\n"
        "search:\n"
        "  trials: 3\n"
        "  space:\n"
        "    recipe.schedule.paek: {kind: float, low: 0.1, high: 0.2}\n"
        "    recipe.epochs:\n"
        "      kind: int\n"
        "      low: 0\n"
        "      high: 5\n"
    )
    with pytest.raises(SpecError) as caught:
        load_sweep(file)
    found = [(problem.path, problem.origin) for problem in caught.value.problems]
    assert found == [
        ("recipe.schedule.paek", f"{file}:5"),
        ("recipe.epochs", f"{file}:8"),
    ]


# ---------------------------------------------------------------------------------- the extra


@pytest.mark.parametrize("version", [None, "4.9.1"])
def test_without_optuna_there_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str | None
) -> None:
    plan = planned(tmp_path)
    ledger = Ledger(tmp_path / "runs/tiny")
    if version is None:
        monkeypatch.setitem(sys.modules, "optuna", None)
        message = "a search needs optuna, of the extra `search`"
    else:
        monkeypatch.setattr(optuna, "__version__", version)
        message = "a search needs optuna 5, of the extra `search`, not 4.9.1"
    with pytest.raises(ExtraMissing) as caught:
        Search(plan, ledger)
    assert str(caught.value) == message
    assert caught.value.hint == "pip install 'mnist-arch[search]'"
    assert searched_arms(plan, ledger).arms == []  # nothing has been proposed, whoever asks


def test_optuna_says_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    said: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = said.append  # type: ignore[method-assign]
    logging.getLogger("optuna").addHandler(handler)
    optuna.logging.set_verbosity(optuna.logging.DEBUG)
    Process(tmp_path, planned(tmp_path), curve=lambda trial, epoch: "no data").finish()
    Process(tmp_path, planned(tmp_path), curve=wide_and_slow).finish()
    logging.getLogger("optuna").removeHandler(handler)
    assert said == []
    assert capfd.readouterr() == ("", "")


def test_the_search_is_imported_where_it_is_used() -> None:
    module = "mnist_arch.sweeps.search.proposals"
    script = f"import sys, {module}; print({{'optuna', 'torch'}} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", script], text=True) == "set()\n"
