"""The search of a sweep: what is proposed, what it costs, and when a trial is ended early."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import optuna
import pytest
import tiny_sweeps
from optuna.trial import TrialState
from searching import RATE, SPACE, WIDTH, Process, planned, studies, value, wide_and_slow

from mnist_arch.errors import BudgetExceeded, ExtraMissing, SpecError
from mnist_arch.runs.result import Result
from mnist_arch.sweeps.leaderboard import board_of
from mnist_arch.sweeps.ledger import Ledger, TrialStatus
from mnist_arch.sweeps.loading import load_sweep
from mnist_arch.sweeps.search import proposals
from mnist_arch.sweeps.search import source as search_module
from mnist_arch.sweeps.search.source import SearchSource, proposals_so_far, searched_arms
from mnist_arch.sweeps.standings import Proposed

SAMPLERS = ["random", "tpe", "nsga2"]
OBJECTIVES = ["accuracy", "accuracy-parameters"]
NARROW = {"budget": {"parameters_below": 22 * 10 + 10}}
"""Nine channels and fewer; a fifth of the space."""


# ----------------------------------------------------------------------- samplers and objectives


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_search_tells_what_came_out(tmp_path: Path, sampler: str, objective: str) -> None:
    process = Process(tmp_path, planned(tmp_path, trials=12, sampler=sampler, objective=objective))
    finished = [event.what for event in process.finish() if isinstance(event.what, Result)]
    assert process.trained == list(range(1, 13))
    assert {(trial.seed, trial.stage) for trial in process.learners.submitted} == {(0, "ranking")}
    values = [[it.correct / it.images, it.parameters] for it in finished]
    (trials,) = studies(tmp_path)
    assert {trial.state for trial in trials} == {TrialState.COMPLETE}
    assert [trial.values for trial in trials] == [
        it[: OBJECTIVES.index(objective) + 1] for it in values
    ]


@pytest.mark.slow
def test_the_front_of_two_objectives(tmp_path: Path) -> None:
    plan = planned(tmp_path, objective="accuracy-parameters", sampler="nsga2", trials=60)
    Process(tmp_path, plan).finish()
    (trials,) = studies(tmp_path)
    points = {tuple(trial.values) for trial in trials if trial.values}  # some came again
    study = optuna.create_study(directions=["maximize", "minimize"])
    study.add_trials(trials)
    front = {
        one
        for one in points
        if not any(other[0] >= one[0] and other[1] <= one[1] and other != one for other in points)
    }
    assert {tuple(trial.values) for trial in study.best_trials} == front
    assert 2 <= len(front) < len(points)


@pytest.mark.slow
def test_tpe_learns(tmp_path: Path) -> None:
    """After its random trials it proposes better ones than random search does."""

    def mean(sampler: str) -> float:
        folder = tmp_path / sampler
        process = Process(folder, planned(folder, trials=40, sampler=sampler))
        counts = [
            event.what.correct for event in process.finish() if isinstance(event.what, Result)
        ]
        return sum(counts[20:]) / len(counts[20:])

    assert mean("tpe") > mean("random") + 3


@pytest.mark.slow
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
        counted = plan.counted(arm, "ranking")
        assert [*counted.origins.values()].count("the search") >= 5
        for it in arm.differs:
            taken.setdefault(it.place, set()).add(it.value)
        recipe = counted.experiment.recipe
        assert recipe.optimizer.kind in {it.value for it in arm.differs}
    assert taken[WIDTH] == {"4", "8", "12", "16"}
    assert taken["blocks[0].pool"] == {"{kind: max, size: 4}", "{kind: average, size: 4}", "max"}
    assert taken["recipe.ema"] == {"null", "0.9"}
    assert all(8 <= int(text) <= 64 for text in taken["recipe.batch_size"])


# ------------------------------------------------------------------------------------- the budget


@pytest.mark.slow
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
    assert len(rejected) == len(trials) - 25 == len(process.search.proposals.rejections) > 0
    for trial in rejected:
        width = trial.params["blocks.0.channels.0"]
        assert trial.values is None
        assert f"{22 * width + 10:,} parameters" in trial.user_attrs["rejected"]
        assert [*trial.constraints.values()] == [pytest.approx((22 * width + 11 - 230) / 230)]
    known = proposals_so_far(plan, process.ledger)
    assert known is not None
    assert len(known.rejections) == len(rejected)


@pytest.mark.slow
def test_optuna_dashboard_shows_arms_seeds_runs_and_what_is_lacking(tmp_path: Path) -> None:
    """Read by its own serializer, whose list of constraints has its own form."""
    serializer = pytest.importorskip("optuna_dashboard._serializer")
    process = Process(tmp_path, planned(tmp_path, top=NARROW, sampler="random"))
    process.finish()
    (trials,) = studies(tmp_path)
    shown = [serializer.serialize_frozen_trial(0, trial, {}) for trial in trials]
    found: dict[str, list[dict[str, Any]]] = {"Complete": [], "Pruned": []}
    for it in shown:
        attributes = {each["key"]: each["value"] for each in it["user_attrs"]}
        found[it["state"]].append({**attributes, "constraints": it["constraints"]})
    assert found["Complete"] == [
        {
            "arm": trial.arm.name,
            "seed": "0",
            "run": process.ledger.run(trial).folder.name,
            "constraints": [],
        }
        for trial in process.learners.submitted
    ]
    assert found["Pruned"]
    for it in found["Pruned"]:
        assert it["rejected"].startswith(f"{it['arm']}: ")
        assert [value > 0 for value in it["constraints"]] == [True]


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
    assert proposals.IN_VAIN == 1000
    monkeypatch.setattr(proposals, "IN_VAIN", 25)
    plan = planned(tmp_path, top={"budget": {"parameters_below": 40}}, sampler="tpe")
    process = Process(tmp_path, plan)
    message = (
        r"the search found nothing to train, 0 of 8 trials: given up after 25 proposals in a row "
        r"without a new one; the last proposal is channels\[0\]=\d+,peak=0\.\d+: [\d,]+ "
        r"parameters, [\d,]+ too many for fewer than 40; "
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
    monkeypatch.setattr(proposals, "IN_VAIN", 5)
    top = {"budget": {"parameters_below": 22 * 32 + 10}}
    process = Process(tmp_path, planned(tmp_path, top=top, sampler="random", trials=25))
    process.finish()
    assert len(process.search.proposals.rejections) >= 5


def test_it_does_not_give_up_while_trials_are_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = planned(tmp_path, sampler="random")
    ledger = Ledger(tmp_path / "runs/tiny")
    search = SearchSource(plan, ledger)
    trial = search.next()
    assert trial is not None
    monkeypatch.setattr(proposals, "IN_VAIN", 0)
    assert search.next() is None
    tiny_sweeps.Bench(tmp_path, plan).finish(trial, 50, seconds=1.0)
    ledger.started(trial)
    search.tell(trial, TrialStatus.DONE)
    assert search.next() is None
    assert search.proposals.shortfall.startswith("1 of 8 trials: given up after ")


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
    told = [(it.params["blocks.0.channels.0"], it.value) for it in trials]
    assert {it for it in told if it[1] is not None} == {("4", 0.77), ("6", 0.6)}
    arms = {arm.same_as: arm.parameters for arm in process.search.arms}
    assert arms == {"listed": 22 * 4 + 10, "": 22 * 6 + 10}
    assert searched_arms(plan, process.ledger) == process.search.arms


def test_two_workers_do_not_train_the_same(tmp_path: Path) -> None:
    space = {"blocks.0.channels.0": [4, 6]}
    plan = planned(tmp_path, space=space, trials=9, sampler="random")
    process = Process(tmp_path, plan, curve=lambda trial, epoch: 60, workers=4)
    process.finish()
    assert sorted(value(trial, WIDTH) for trial in process.learners.submitted) == [4, 6]


WIDTHS = {"kind": "int", "low": 2, "high": 9}


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize(
    "space",
    [
        {"blocks.0.channels.0": WIDTHS},
        {"blocks.0.channels.0": {**WIDTHS, "log": True}},
        {"blocks.0.channels.0": [2, 4], "recipe.batch_size": [8, 16], "recipe.ema": [None, 0.9]},
    ],
    ids=["whole", "log", "choices"],
)
def test_a_search_that_repeats_proposals_reaches_its_number(
    tmp_path: Path, sampler: str, workers: int, space: dict[str, Any]
) -> None:
    """7 of 8 that there are, and then all; what came again is counted and not trained."""
    for trials in (7, 8):
        plan = planned(tmp_path, space=space, trials=trials, sampler=sampler)
        process = Process(tmp_path, plan, curve=lambda trial, epoch: 60, workers=workers)
        process.finish()
        found = process.search.proposals
        assert len({arm.digest for arm in process.search.arms}) == trials
        assert found.count == trials + found.repeats
        assert found.repeats <= trials * search_module.REPEATS
        assert found.shortfall == ""
    assert found.repeats > 0
    board = board_of(plan, process.ledger)
    assert board.search == Proposed(
        trials=8, rejected=0, repeated=found.repeats, shortfall="", is_given_up=False
    )
    assert board.exit_code is None


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_space_that_is_exhausted_is_said(tmp_path: Path, sampler: str) -> None:
    space = {"blocks.0.channels.0": [2, 4, 1_000], "recipe.ema": [None, 0.9]}
    plan = planned(tmp_path, space=space, trials=9, sampler=sampler)
    process = Process(tmp_path, plan, curve=lambda trial, epoch: 60)
    process.finish()
    assert len(process.trained) == 4
    why = (
        "4 of 9 trials: the space is exhausted, all of its 6 combinations were proposed "
        "(2 broke the budget or could not be built)"
    )
    assert process.search.proposals.shortfall == why
    board = board_of(plan, process.ledger)
    assert board.search is not None
    assert board.search.shortfall == why
    assert board.exit_code is None  # there is nothing more to know
    size = (tmp_path / "runs/tiny/study.jsonl").stat().st_size
    again = Process(tmp_path, plan)
    assert again.finish() == []
    assert again.search.proposals.shortfall == why
    assert (tmp_path / "runs/tiny/study.jsonl").stat().st_size == size


def test_a_space_of_which_nothing_fits_is_refused_once_all_was_proposed(tmp_path: Path) -> None:
    space = {"blocks.0.channels.0": [1_000, 2_000]}
    process = Process(tmp_path, planned(tmp_path, space=space, trials=5))
    message = "found nothing to train, 0 of 5 trials: the space is exhausted, all of its 2 comb"
    with pytest.raises(BudgetExceeded, match=message):
        process.finish()


def test_different_values_that_mean_the_same_are_one_trial(tmp_path: Path) -> None:
    """The base's own rate of dropout stands above the default, which then changes nothing."""
    base = {"extends": "s6", **tiny_sweeps.blocks(4), "recipe": {"epochs": 2}}
    base["blocks"] = [{**base["blocks"][0], "dropout": 0.1}]
    space = {"defaults.dropout": [0.0, 0.2, 0.3]}
    plan = planned(tmp_path, space=space, trials=5, top={"base": base})
    process = Process(tmp_path, plan, curve=lambda trial, epoch: 60)
    process.finish()
    assert len(process.trained) == 1
    assert process.search.proposals.shortfall == (
        "1 of 5 trials: the space is exhausted, all of its 3 combinations were proposed "
        "(2 are the same experiment as another)"
    )


def test_a_range_without_an_effect_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was found is ranked, and the command ends with 1."""
    monkeypatch.setattr(proposals, "IN_VAIN", 25)
    base = {"extends": "s6", **tiny_sweeps.blocks(4), "recipe": {"epochs": 2}}
    base["blocks"] = [{**base["blocks"][0], "dropout": 0.1}]
    space = {"defaults.dropout": {"kind": "float", "low": 0.0, "high": 0.5}}
    plan = planned(tmp_path, space=space, trials=5, top={"base": base})
    process = Process(tmp_path, plan, curve=lambda trial, epoch: 60)
    process.finish()
    assert process.search.proposals.shortfall == (
        "1 of 5 trials: given up after 25 proposals in a row without a new one"
    )
    board = board_of(plan, process.ledger)
    assert board.exit_code == 1
    assert board.standings[0].rank == 1


def test_trials_are_called_by_their_values(tmp_path: Path) -> None:
    """To four digits of a range; what rounds alike is told apart."""
    process = Process(tmp_path, planned(tmp_path, trials=5, sampler="random"))
    process.finish()
    for arm in process.search.arms:
        width, peak = (it.value for it in arm.differs)
        assert arm.name == f"channels[0]={width},peak={float(peak):.4g}"
    space = {RATE: {"kind": "float", "low": 0.2, "high": 0.200000001}}
    plan = planned(tmp_path / "near", space=space, trials=3)
    process = Process(tmp_path / "near", plan, curve=lambda trial, epoch: 60)
    process.finish()
    assert [arm.name for arm in process.search.arms] == ["peak=0.2", "peak=0.2~2", "peak=0.2~3"]
    assert searched_arms(process.plan, process.ledger) == process.search.arms


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
    found = [(problem.place, problem.origin) for problem in caught.value.problems]
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
        SearchSource(plan, ledger)
    assert str(caught.value) == message
    assert caught.value.hint == "pip install 'mnist-arch[search]'"
    assert searched_arms(plan, ledger) == []  # nothing has been proposed, whoever asks


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


@pytest.mark.slow
def test_the_search_is_imported_where_it_is_used() -> None:
    module = "mnist_arch.sweeps.search.source"
    script = f"import sys, {module}; print({{'optuna', 'torch'}} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", script], text=True) == "set()\n"
