"""The README claims what the kept results say, and the kept results are of what ships."""

from __future__ import annotations

import itertools
import json
import statistics
from pathlib import Path
from typing import Any

import pytest

from mnist_arch.comparison import Judged, compare_with_first
from mnist_arch.engines import COMPILE_FROM_FLOPS, training_flops
from mnist_arch.identity import digest
from mnist_arch.loading import load
from mnist_arch.plan import plan
from mnist_arch.records import Result
from mnist_arch.statistics import Score, wilson_interval_percent
from mnist_arch.sweeps import State, load_sweep, plan_sweep
from mnist_arch.sweeps.standings import Leaderboard

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
RESULTS = ROOT / "benchmarks" / "results"


def runs_of(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((RESULTS / name).read_text("utf-8"))["runs"]
    return found


def results_of(name: str) -> list[Result]:
    return [Result.model_validate(run["result"]) for run in runs_of(name)]


def test_the_results_are_of_the_network_and_recipe_that_ship() -> None:
    shipped = load("s6").with_dataset("mnist").experiment
    results = results_of("s6-mnist.json")
    assert {result.digest for result in results} == {digest(shipped)}
    assert {result.parameters for result in results} == {plan(shipped).parameters}
    assert {result.epochs for result in results} == {shipped.recipe.epochs}
    assert sorted(result.seed for result in results) == [0, 1, 2, 3, 4]
    assert {(result.dataset, result.split) for result in results} == {("mnist", "test")}


@pytest.mark.parametrize("name", ["s6-mnist.json", "s6-holdout.json"])
def test_a_result_is_its_final_epoch_and_its_numbers_follow_from_its_counts(name: str) -> None:
    for run, result in zip(runs_of(name), results_of(name), strict=True):
        assert run["curve"][-1]["correct"] == result.correct
        assert len(run["curve"]) == result.epochs
        assert result.accuracy_percent == 100 * result.correct / result.images
        interval = wilson_interval_percent(result.correct, result.images)
        assert result.interval_percent == pytest.approx(interval)


def test_the_readme_has_the_score_and_every_seed() -> None:
    results = results_of("s6-mnist.json")
    score = Score.of([result.correct for result in results], results[0].images)
    assert score.spread_percent is not None
    assert score.bound_percent is not None
    claim = f"{score.mean_percent:.3f} ± {score.spread_percent:.3f} % (test, {score.runs} seeds)"
    assert claim in README
    assert f"{score.bound_percent:.3f} %" in README
    for result in results:
        low, high = result.interval_percent
        row = f"| {result.seed} | {result.correct:,} | {result.accuracy_percent:.2f} %"
        assert f"{row} | {low:.2f}–{high:.2f} |" in README


def test_the_recipe_was_chosen_on_a_hold_out() -> None:
    for run, result in zip(runs_of("s6-holdout.json"), results_of("s6-holdout.json"), strict=True):
        assert result.split == "validation"
        augment = run["recipe"]["augment"]
        row = f"| {augment['rotate_degrees']:g}° | {augment['shift_pixels']:g} px"
        assert row in README
        assert f"| {result.correct:,} | {result.loss:.4f} |" in README


def test_the_start_is_as_fast_as_the_readme_says() -> None:
    start = json.loads((RESULTS / "start.json").read_text("utf-8"))
    assert f"{100 * start['ratio']['median']:.0f} % of the time" in README


# ------------------------------------------------------------------------------------------- sweeps


def test_the_leaderboard_is_of_the_sweep_that_ships_and_of_its_runs() -> None:
    board = Leaderboard.model_validate_json((RESULTS / "experiments-leaderboard.json").read_text())
    planned = plan_sweep(load_sweep(ROOT / "experiments.yaml"), dataset="mnist")
    runs = results_of("experiments.json")
    by_arm = {(run.digest, run.seed): run.correct for run in runs}
    arms = {arm.name: arm for arm in planned.arms}
    assert {it.name for it in board.standings} == {n for n, arm in arms.items() if not arm.same_as}
    read = 0
    for it in board.standings:
        assert it.holdout is not None
        digests = [(arms[it.name].digest, it.holdout)]
        if it.test is not None:
            digests.append((planned.final_trials(arms[it.name])[0].digest, it.test))
        for of, scored in digests:
            assert [by_arm[of, seed] for seed in scored.seeds] == scored.correct
            read += len(scored.seeds)
    assert read == len(runs) == board.states[State.DONE] == 40


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


def test_the_readme_has_what_the_sweep_answered() -> None:
    board = Leaderboard.model_validate_json((RESULTS / "experiments-leaderboard.json").read_text())
    for effect in board.effects:
        assert effect.interval_percent is not None
        low, high = effect.interval_percent
        assert f"{effect.percent:+.3f} ({low:+.3f} to {high:+.3f})" in README
    for it in board.standings:
        if it.test is not None:
            test = f"{it.test.mean_percent:.3f} ± {it.test.spread_percent:.3f} % (test, 5 seeds)"
            assert test in README


def test_the_figures_of_sweeps_are_those_that_were_measured() -> None:
    text = (ROOT / "docs" / "sweeps.md").read_text("utf-8")
    workers = json.loads((RESULTS / "workers.json").read_text("utf-8"))
    ratio = workers["ratio"]
    assert f"**{ratio['median']:.2f}\ntimes**" in text
    assert f"({ratio['min']:.2f} to {ratio['max']:.2f} in three pairs" in text
    scale = json.loads((RESULTS / "scale.json").read_text("utf-8"))
    plans = {it["trials"]: it for it in scale["plan"]}
    for read in scale["read"]:
        cells = [
            f"{it['seconds']:.2f} s | {it['peak_bytes'] / 1e6:.0f} MB"
            for it in (plans[read["trials"]], read)
        ]
        assert f"| {read['trials']:,} | {' | '.join(cells)} |" in text


def test_the_recipe_for_a_large_batch_was_chosen_on_a_hold_out() -> None:
    name = "large-batch-leaderboard.json"
    board = Leaderboard.model_validate_json((RESULTS / name).read_text())
    planned = plan_sweep(load_sweep(ROOT / "benchmarks" / "large_batch.yaml"), dataset="mnist")
    runs = results_of("large-batch.json")
    shipped = load("s6-large-batch").with_dataset("mnist").experiment
    (finalist,) = (it for it in board.standings if it.test is not None)
    assert finalist.test is not None
    assert finalist.name == board.standings[0].name
    (arm,) = (arm for arm in planned.arms if arm.name == finalist.name)
    assert planned.final_trials(arm)[0].digest == digest(shipped)
    read = [run for run in runs if run.split == "test"]
    assert {run.digest for run in read} == {digest(shipped)}
    assert sorted(run.correct for run in read) == sorted(finalist.test.correct)
    assert {run.seed for run in read}.isdisjoint({run.seed for run in runs if run not in read})
    score = f"{finalist.test.mean_percent:.3f} ± {finalist.test.spread_percent:.3f} %"
    for text in (README, PERFORMANCE):
        assert f"{score} (test, {len(read)} seeds)" in text
    for it in board.standings:
        assert it.holdout is not None
        assert f"{it.holdout.correct[0]:,}" in PERFORMANCE


# ------------------------------------------------------------------------------------------- speed

PERFORMANCE = (ROOT / "docs" / "performance.md").read_text("utf-8")


def report(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RESULTS / name).read_text("utf-8"))
    return found


def written(spread: dict[str, float]) -> str:
    return f"{spread['median']:.2f} ({spread['min']:.2f}–{spread['max']:.2f})"


def test_the_ratio_beside_a_plain_script_is_the_one_measured() -> None:
    peer = report("peer.json")
    each = ", ".join(f"{ratio:.2f}" for ratio in peer["ratios"])
    for text in (README, PERFORMANCE):
        assert f"**{peer['ratio']['median']:.2f} times**" in text
        assert each in text
        for side in peer["sides"].values():
            assert f"| {side['seconds_median']:.1f} | {side['images_per_second']:,.0f} |" in text
    both = {
        name: side["seconds_median"] for name, side in report("peer-workers.json")["sides"].items()
    }
    without, two, _ = both.values()
    assert [*peer["sides"]] == ["peer, 0 loader workers", "mnist-arch"]
    assert without < two
    assert f"{without:.1f} s without and {two:.1f} s with two" in PERFORMANCE
    outcomes = [outcome for side in peer["sides"].values() for outcome in side["outcomes"]]
    assert {outcome["said"]["parameters"] for outcome in outcomes} == {18_666}


def test_the_ratio_over_a_whole_training_is_the_one_measured() -> None:
    whole, ten = report("peer-19.json"), report("peer-10.json")
    assert whole["epochs"] == 19
    assert whole["ratio"]["min"] >= 2
    each = ", ".join(f"{ratio:.2f}" for ratio in whole["ratios"])
    for text in (README, PERFORMANCE):
        assert f"**{whole['ratio']['median']:.2f} times**" in text
        assert each in text
    first, second = ten["ratios"]
    assert f"over ten {first:.2f} and {second:.2f}" in PERFORMANCE


def test_the_seconds_and_the_peak_of_memory_are_those_measured() -> None:
    for name, epochs, texts in (
        ("peer.json", 1, (README, PERFORMANCE)),
        ("peer-10.json", 10, (PERFORMANCE,)),
        ("peer-19.json", 19, (README, PERFORMANCE)),
    ):
        for side in report(name)["sides"].values():
            peak = statistics.median(outcome["peak_bytes"] for outcome in side["outcomes"])
            measured = f"{side['seconds_median']:,.1f} | {side['images_per_second']:,.0f}"
            row = f"| {epochs} | {measured} | {peak / 1e6:,.0f} |"
            for text in texts:
                assert row in text


def test_each_lever_has_the_figure_that_was_measured() -> None:
    readings = [
        *report("levers.json")["levers"],
        *report("levers-pool.json")["levers"],  # in more rounds than there
        *report("allocator.json")["readings"],
    ]
    spreads = {
        (lever["name"], variant): spread
        for lever in readings
        for variant, spread in lever["ratio_spreads"].items()
    }
    for key in (
        ("memory, a step", "kept"),
        ("memory format", "channels_last"),
        ("compile", "modules as they are"),
        ("compile", "norms and pools apart"),
        ("compile", "as the product"),
        ("compile", "with inductor's random numbers"),
        ("pool", "before the norm"),
        ("narrow norm", "in one"),
        ("gradients", "set to None"),
        ("overlap", "in a thread"),
        ("optimizer", "foreach"),
        ("optimizer", "fused"),
        ("augmentation", "batched"),
        ("bfloat16", "bfloat16"),
        ("threads, plain", "two"),
        ("threads, compiled", "two"),
    ):
        assert written(spreads[key]) in PERFORMANCE, key
    assert written(report("replicas.json")["ratio"]) in PERFORMANCE
    assert written(report("first_step.json")["ratio"]) in PERFORMANCE


def test_a_run_is_compiled_from_where_that_was_measured_to_pay_back() -> None:
    """Of a compiler whose cache is empty, by the medians for one thread and for two."""
    payback = report("payback.json")
    assert payback["compile_from_flops"] == COMPILE_FROM_FLOPS
    medians = [
        statistics.median(one["flops_per_thread"])
        for one in payback["paybacks"]
        if one["cache"] == "cold"
    ]
    assert len(medians) == 2
    assert 0.5 * min(medians) < COMPILE_FROM_FLOPS < 2 * max(medians)
    for flops in medians:
        assert f"{flops:.1e}" in PERFORMANCE


def test_the_reference_network_is_compiled_from_the_length_that_is_named() -> None:
    macs = plan(load("s6").experiment).macs
    first = [
        next(
            epochs
            for epochs in itertools.count(1)
            if training_flops(macs=macs, images=60_000, epochs=epochs - 1)
            >= COMPILE_FROM_FLOPS * threads
        )
        for threads in (1, 2)
    ]
    assert f"from {first[0]} epochs on with one thread, from {first[1]} on with two" in PERFORMANCE


def test_compiled_and_plain_runs_are_of_the_same_experiment_and_seeds() -> None:
    plain, compiled = (runs_of(name) for name in ("s6-mnist-plain.json", "s6-mnist.json"))
    assert {run["made"]["engine"].get("step", "plain") for run in plain} == {"plain"}
    assert {run["made"]["engine"]["step"] for run in compiled} == {"compiled"}
    for one, other in zip(plain, compiled, strict=True):
        for key in ("digest", "seed"):
            assert one["made"][key] == other["made"][key]
    arms = [[Result.model_validate(run["result"]) for run in runs] for runs in (plain, compiled)]
    for arm in arms:
        score = Score.of([result.correct for result in arm], arm[0].images)
        assert f"{score.mean_percent:.3f} ± {score.spread_percent:.3f} %" in PERFORMANCE
    judged = [[Judged(it.seed, it.correct, mistakes=None) for it in arm] for arm in arms]
    (difference,) = compare_with_first(judged, images=10_000)
    assert difference is not None
    low, high = difference.interval_percent
    said = f"{difference.percent:.3f} points (95 % {low:+.3f} to {high:+.3f}, Welch)"
    assert said in " ".join(PERFORMANCE.split())
    assert not difference.told_apart


def test_the_share_of_the_ceiling_is_the_one_measured() -> None:
    for name in ("step-plain.json", "step-fast.json"):
        spread = {key: 100 * part for key, part in report(name)["share_of_ceiling_spread"].items()}
        assert f"{spread['median']:.0f} % ({spread['min']:.0f}–{spread['max']:.0f})" in PERFORMANCE


def test_runs_at_once_have_the_throughput_that_was_measured() -> None:
    readings = report("together.json")["readings"]
    alone = readings[0]["spread"]["median"]
    for reading in readings:
        speed = reading["spread"]["median"]
        assert f"| {reading['runs']} | {speed:,.0f} | {speed / alone:.2f} |" in PERFORMANCE
