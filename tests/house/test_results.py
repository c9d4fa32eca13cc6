"""The kept results, from which the figures of the documentation are, are sound."""

from __future__ import annotations

import json
import re
import statistics
from pathlib import Path
from typing import Any

import pytest

from mnist_arch.counting.digest import digest
from mnist_arch.counting.plan import plan_network
from mnist_arch.evaluation.comparison import ArmRun, compare_with_first
from mnist_arch.evaluation.judgement import wilson_interval_percent
from mnist_arch.runs.result import Result
from mnist_arch.spec.experiment import Experiment
from mnist_arch.spec.loading import load
from mnist_arch.spec.recipe import Recipe
from mnist_arch.sweeps.ledger import TrialStatus
from mnist_arch.sweeps.loading import load_sweep
from mnist_arch.sweeps.planning import plan_sweep
from mnist_arch.sweeps.standings import Leaderboard
from mnist_arch.training.engine_choice import COMPILE_FROM_FLOPS, WIDE_CHANNELS
from mnist_arch.zoo.index import zoo

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
SEEDS = [0, 1, 2, 3, 4]
"""Of the claim."""


def runs_of(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((RESULTS / name).read_text("utf-8"))["runs"]
    return found


def results_of(name: str) -> list[Result]:
    return [Result.model_validate(run["result"]) for run in runs_of(name)]


def is_as_shipped(run: dict[str, Any], shipped: Experiment) -> bool:
    """Whether a run is of this recipe. Those of the first format left the last batch out."""
    recipe = Recipe.model_validate({**run["recipe"], "last_batch": "use"})
    return recipe == shipped.recipe


def test_the_results_are_of_the_network_and_recipe_that_ship() -> None:
    shipped = load("s6").with_dataset("mnist").experiment
    results = results_of("s6-mnist.json")
    assert {result.digest for result in results} == {digest(shipped)}
    assert {result.parameters for result in results} == {plan_network(shipped).parameters}
    assert {result.epochs for result in results} == {shipped.recipe.epochs}
    assert sorted(result.seed for result in results) == SEEDS
    assert {(result.dataset, result.split) for result in results} == {("mnist", "test")}


@pytest.mark.parametrize("name", ["s6-mnist.json", "s6-holdout.json"])
def test_a_result_is_its_final_epoch_and_its_numbers_follow_from_its_counts(name: str) -> None:
    for run, result in zip(runs_of(name), results_of(name), strict=True):
        assert run["curve"][-1]["correct"] == result.correct
        assert len(run["curve"]) == result.epochs
        assert result.accuracy_percent == 100 * result.correct / result.images
        interval = wilson_interval_percent(result.correct, result.images)
        assert result.interval_percent == pytest.approx(interval)


def test_the_recipe_was_chosen_on_a_hold_out() -> None:
    assert {result.split for result in results_of("s6-holdout.json")} == {"validation"}


# ------------------------------------------------------------------------------------------- sweeps


def test_the_leaderboard_is_of_the_sweep_that_ships_and_of_its_runs() -> None:
    board = Leaderboard.model_validate_json((RESULTS / "experiments-leaderboard.json").read_text())
    plan = plan_sweep(load_sweep(ROOT / "experiments.yaml"), dataset="mnist")
    runs = results_of("experiments.json")
    by_arm = {(run.digest[:8], run.split, run.seed): run for run in runs}
    arms = {arm.name: arm for arm in plan.arms}
    assert {it.name for it in board.standings} == {n for n, arm in arms.items() if not arm.same_as}
    read = 0
    for it in board.standings:
        assert it.holdout is not None
        for scored in filter(None, (it.holdout, it.test)):
            outcomes = it.trials if scored is it.holdout else it.final
            (digest,) = {outcome.folder.rsplit("-", 2)[1] for outcome in outcomes}
            own = [by_arm[digest, scored.split, seed] for seed in scored.seeds]
            assert [run.correct for run in own] == scored.correct
            assert len({run.digest for run in own}) == 1
            assert {run.parameters for run in own} == {arms[it.name].parameters}
            read += len(own)
    assert read == len(runs) == board.states[TrialStatus.DONE] == 40


def test_finalists_have_other_seeds_and_read_test_once() -> None:
    for run in runs_of("experiments.json"):
        result = Result.model_validate(run["result"])
        judged = [record["correct"] is not None for record in run["curve"]]
        if result.split == "test":
            assert judged == [False] * (result.epochs - 1) + [True]
            assert result.seed >= 3
        else:
            assert all(judged)
            assert result.seed < 3


def test_the_recipe_for_a_large_batch_was_chosen_on_a_hold_out() -> None:
    name = "large-batch-leaderboard.json"
    board = Leaderboard.model_validate_json((RESULTS / name).read_text())
    plan = plan_sweep(load_sweep(ROOT / "benchmarks" / "large_batch.yaml"), dataset="mnist")
    runs = results_of(path := "large-batch.json")
    shipped = load("s6-large-batch").with_dataset("mnist").experiment
    (finalist,) = (it for it in board.standings if it.test is not None)
    assert finalist.test is not None
    assert finalist.name == board.standings[0].name
    (arm,) = (arm for arm in plan.arms if arm.name == finalist.name)
    assert plan.final_trials(arm)[0].digest == digest(shipped)
    read = [run for run in runs if run.split == "test"]
    assert len({run.digest for run in read}) == 1
    whole = [run for run in runs_of(path) if run["result"]["split"] == "test"]
    assert all(is_as_shipped(run, shipped) for run in whole)
    assert sorted(run.correct for run in read) == sorted(finalist.test.correct)
    assert {run.seed for run in read}.isdisjoint({run.seed for run in runs if run not in read})


def test_reports_lie_where_they_were_written_and_are_of_committed_code() -> None:
    for path in RESULTS.rglob("*.json"):
        found = json.loads(path.read_text("utf-8"))
        if (command := found.get("command")) is not None:
            assert Path(command[command.index("--out") + 1]).name == path.name
        assert not found.get("commit", "").endswith("+")


# ------------------------------------------------------------------------------------------- speed


def report(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RESULTS / name).read_text("utf-8"))
    return found


STEPS = (
    *("native.json", "native-separable.json", "native-avx2.json"),
    *("epyc/native.json", "epyc/native-separable.json"),
    *("epyc/native-avx2.json", "epyc/native-separable-avx2.json"),
)


@pytest.mark.parametrize("name", STEPS)
def test_a_native_step_is_ahead_of_every_other_that_was_measured(name: str) -> None:
    for lever in report(name)["levers"]:
        native, *others = (statistics.median(values) for values in lever["values"].values())
        assert native < min(others)


def test_tiles_of_bfloat16_are_taken_from_where_they_were_measured_to_be_ahead() -> None:
    sides = set()
    for lever in report("native-wide-amx.json")["levers"]:
        found = {kind: statistics.median(values) for kind, values in lever["values"].items()}
        channels = int(lever["name"].partition(",")[0].removeprefix("wide-"))
        is_wide = channels > WIDE_CHANNELS["bfloat16"]
        sides.add(is_wide)
        if is_wide:
            assert found["compiled-bfloat16"] < found["native"]
        else:
            assert found["native"] < 1.03 * min(found.values())
    assert sides == {False, True}


def test_a_run_is_compiled_from_where_that_was_measured_to_pay_back() -> None:
    """Of a compiler whose cache is empty, by the medians for one thread and for two."""
    payback = report("warm-up.json")
    assert payback["compile_from_flops"] == COMPILE_FROM_FLOPS
    medians = [
        statistics.median(one["flops_per_thread"])
        for one in payback["paybacks"]
        if one["cache"] == "cold"
    ]
    assert len(medians) == 2
    assert 0.5 * min(medians) < COMPILE_FROM_FLOPS < 2 * max(medians)


ENGINES = {
    "s6-mnist-plain.json": ("plain", "float32"),
    "s6-mnist-compiled.json": ("compiled", "float32"),
    "s6-mnist-bfloat16.json": ("compiled", "bfloat16"),
}
"""Step and precision of each five runs of s6."""


def test_engines_are_compared_with_the_same_experiment_and_seeds() -> None:
    arms = [runs_of(name) for name in ENGINES]
    for runs, (step, precision) in zip(arms, ENGINES.values(), strict=True):
        engines = [{"step": "plain", "precision": "float32", **it["made"]["engine"]} for it in runs]
        assert {(it["step"], it["precision"]) for it in engines} == {(step, precision)}
        for run, other in zip(runs, arms[0], strict=True):
            for key in ("digest", "seed"):
                assert run["made"][key] == other["made"][key]
    results = [[Result.model_validate(run["result"]) for run in runs] for runs in arms]
    judged = [[ArmRun(it.seed, it.correct, mistakes=None) for it in arm] for arm in results]
    assert not any(it.significant for it in compare_with_first(judged, images=10_000) if it)


def test_the_network_for_a_microcontroller_takes_what_it_promises() -> None:
    spec = (zoo()["int8"].spec_path).read_text("utf-8")
    shipped = digest(load("int8").with_dataset("mnist").experiment)
    for it in report("int8.json")["seeds"]:
        assert it["digest"] == shipped
        parity, data_bytes = it["parity"], it["c"]["data_bytes"]
        assert (parity["same"], parity["images"], parity["largest"]) == (10_000, 10_000, 0)
        assert f"{data_bytes:,} bytes" in spec
        assert data_bytes <= 4_096


def test_every_network_with_weights_has_its_evidence_and_its_parity() -> None:
    with_weights = {name for name, it in zoo().items() if it.weights_path.exists()}
    assert {name for name, it in zoo().items() if it.evidence_path.exists()} == with_weights
    exports = report("parity.json")["exports"]
    assert {it["network"] for it in exports} == with_weights
    exact = [it["parity"] for it in exports if "int8" not in it["format"]]
    assert all(it["same"] == it["images"] for it in exact)


def test_every_run_that_the_records_name_is_in_their_table() -> None:
    page = (ROOT / "docs" / "records.md").read_text("utf-8")
    chosen = page.partition("## How they were chosen")[2].partition("\n## ")[0]
    before, _, rest = chosen.partition("<!--records.candidates-->")
    table, _, after = rest.partition("<!--/-->")
    runs = set(re.findall(r"^\| `([^`]+)`", table, re.MULTILINE))
    said = {name for name in re.findall(r"`([^`]+)`", before + after) if "/" not in name}
    assert said - runs - set(zoo()) == {"A5"}
