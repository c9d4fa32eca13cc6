"""Sweeps by cross-validation: a trial is judged on the fold of its seed, and arms in pairs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import scipy.stats
from searching import Process
from searching import planned as searched
from tiny_sweeps import Bench, blocks, made_up, planned

from mnist_arch.errors import SpecError
from mnist_arch.evaluation.comparison import ArmRun, compare_with_first
from mnist_arch.evaluation.effects import Factor, main_effects
from mnist_arch.evaluation.judgement import Fold, SeedAccuracies
from mnist_arch.files import write_whole
from mnist_arch.sweeps.estimate import whole_sweep
from mnist_arch.sweeps.leaderboard import board_of, ranked_arms
from mnist_arch.sweeps.loading import load_sweep
from mnist_arch.sweeps.planning import plan_sweep

ARMS = [{"name": name, **blocks(size)} for name, size in (("a", 4), ("b", 20))]


def plan_of(folder: Path, *, folds: int = 4, **top: Any) -> Bench:
    return Bench(folder, planned(folder, *ARMS, holdout={"folds": folds}, **top))


# -------------------------------------------------------------------------------------- planning


def test_every_arm_is_trained_once_for_each_fold(tmp_path: Path) -> None:
    plan = plan_of(tmp_path).plan
    trials = plan.trials()
    assert [(it.arm.name, it.seed, plan.fold_of(it)) for it in trials[:3]] == [
        ("a", 0, 0),
        ("b", 0, 0),
        ("a", 1, 1),
    ]
    assert len(trials) == 8
    holdouts = [plan.trained_by(it).experiment.model_dump()["holdout"] for it in trials[::2]]
    assert holdouts == [{"folds": 4, "fold": fold} for fold in range(4)]
    assert {plan.trained_by(it).digest for it in trials} == {it.digest for it in plan.arms}
    assert (plan.holdout_images, plan.held_out) == (1000, "4 folds of 1,000 images")


def test_with_fewer_seeds_it_is_the_first_folds_and_with_more_it_goes_round(tmp_path: Path) -> None:
    few, many = plan_of(tmp_path, seeds=2).plan, plan_of(tmp_path, seeds=6).plan
    assert sorted({few.fold_of(it) for it in few.trials()}) == [0, 1]
    assert [many.fold_of(it) for it in many.trials()][::2] == [0, 1, 2, 3, 0, 1]


def test_the_estimate_counts_the_training_of_each_fold(tmp_path: Path) -> None:
    """Four trainings on three quarters cost as three on all images, but for the hold-out."""
    bench = plan_of(tmp_path)
    alone = Bench(tmp_path, planned(tmp_path, *ARMS, holdout=1000, seeds=1))
    each = [whole_sweep(it.plan, it.ledger, workers=1).seconds for it in (bench, alone)]
    assert each[0] == pytest.approx(4 * each[1])


def test_finalists_train_on_all_images_with_other_seeds(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, finalists={"top": 1, "seeds": 2}).plan
    finals = plan.final_trials(plan.arms[0])
    assert [(it.seed, plan.fold_of(it)) for it in finals] == [(4, None), (5, None)]
    assert plan.trained_by(finals[0]).experiment.holdout == 0


@pytest.mark.parametrize(
    ("top", "place", "message"),
    [
        ({"holdout": {"folds": 401}}, "holdout.folds", "a class of mnist-5k has 400"),
        ({"holdout": {"folds": 1}}, "holdout.folds", "must be at least 2"),
        ({"holdout": {"folds": 4, "fold": 1}}, "holdout.fold", "a sweep has all folds"),
    ],
)
def test_what_folds_cannot_be(
    tmp_path: Path, top: dict[str, Any], place: str, message: str
) -> None:
    with pytest.raises(SpecError, match=message) as caught:
        planned(tmp_path, *ARMS, **top)
    (problem,) = caught.value.problems
    assert problem.place == place
    assert "tiny.yaml:" in problem.origin


@pytest.mark.parametrize("objective", ["accuracy", "front"])
def test_a_search_with_one_trial_a_proposal_is_refused(tmp_path: Path, objective: str) -> None:
    with pytest.raises(SpecError, match="judged on one fold alone") as caught:
        searched(tmp_path, objective=objective, top={"holdout": {"folds": 4}})
    assert caught.value.problems[0].place == "search.objective"


# --------------------------------------------------------------------------------------- answers


def test_accuracies_are_pooled_and_arms_are_compared_in_pairs(tmp_path: Path) -> None:
    """What folds have in common, being hard, say, is no difference."""
    bench = plan_of(tmp_path)
    first, other = [900, 940, 980, 960], [890, 932, 971, 949]
    bench.rank("a", *first)
    bench.rank("b", *other)
    board = board_of(bench.plan, bench.ledger)
    one, two = board.standings
    assert (board.folds, board.holdout_images, one.name) == (4, 1000, "a")
    assert one.holdout is not None
    assert one.holdout.mean_percent == 94.5
    assert [trial.fold for trial in one.trials] == [0, 1, 2, 3]
    assert (found := two.against_first) is not None
    gains = [there - here for here, there in zip(first, other, strict=True)]
    assert (found.test, found.n, found.percent) == ("folds", (4, 4), pytest.approx(-0.95))
    # Nadeau and Bengio: 1/4 + 1/3 in the place of 1/4.
    error = math.sqrt(sum((it + 9.5) ** 2 for it in gains) / 3 * (1 / 4 + 1 / 3))
    assert found.p_value == pytest.approx(2 * scipy.stats.t.sf(9.5 / error, 3))
    half = scipy.stats.t.ppf(0.975, 3) * error / 10
    assert found.interval_percent == pytest.approx((-0.95 - half, -0.95 + half))
    assert found.significant
    assert not two.tied


def test_two_folds_are_compared_image_by_image(tmp_path: Path) -> None:
    bench = plan_of(tmp_path, seeds=2)
    bench.rank("a", 999, 998, mistakes=[[0], [0, 1]])
    bench.rank("b", 997, 999, mistakes=[[0, 5, 6], [2]])
    found = board_of(bench.plan, bench.ledger).standings[1].against_first
    assert found is not None
    # Of 2,000 images 3 are lost and 2 gained; place 0 of one fold is not that of another.
    assert (found.test, found.n, found.percent) == ("mcnemar", (2, 2), pytest.approx(-0.05))
    assert found.p_value == pytest.approx(scipy.stats.binomtest(2, 5).pvalue)


def test_of_two_runs_on_a_fold_an_image_counts_once() -> None:
    fold = Fold(2, 0, 100)

    def runs(*mistakes: Sequence[int]) -> list[ArmRun]:
        return [
            ArmRun(2 * number, 100 - len(them), frozenset(them), fold)
            for number, them in enumerate(mistakes)
        ]

    (found,) = compare_with_first([runs([1, 2], [1]), runs([3], [1])], images=100)
    assert found is not None
    assert found.percent == pytest.approx(100 * (0.5 + 0.5 - 0.5) / 100)
    assert found.p_value == 1.0


def test_arms_with_more_seeds_are_compared_by_those_of_both() -> None:
    def runs(*correct: int) -> list[ArmRun]:
        return [ArmRun(seed, count, None, Fold(5, seed, 100)) for seed, count in enumerate(correct)]

    long, short = runs(90, 91, 92, 60, 61), runs(91, 92, 93)
    (found,) = compare_with_first([long, short], images=100)
    assert found is not None
    assert (found.n, found.percent) == ((3, 3), pytest.approx(1.0))
    assert compare_with_first([long[3:], short], images=100) == [None]


def test_folds_of_other_sizes_are_weighed_by_their_images() -> None:
    folds = [Fold(3, 0, 101), Fold(3, 1, 100), Fold(3, 2, 100)]
    score = SeedAccuracies.over_folds([101, 90, 95], folds)
    assert score.mean_share == Fraction(286, 301)
    shares = [1, 0.9, 0.95]
    assert score.spread_percent == pytest.approx(100 * scipy.stats.tstd(shares))
    half = scipy.stats.t.ppf(0.95, 2) * 5 * math.sqrt(1 / 3 + 1 / 2)
    assert score.bound_percent == pytest.approx(100 * 286 / 301 - half)
    again = SeedAccuracies.over_folds([101, 90, 95] * 2, folds * 2)
    assert again.bound_percent == pytest.approx(score.bound_percent)  # a fold counts once
    assert SeedAccuracies.over_folds([101, 90], folds[:1] * 2).bound_percent is None
    with pytest.raises(ValueError, match="each run needs its fold"):
        SeedAccuracies.over_folds([1], folds)


def test_effects_are_of_the_contrasts_of_folds() -> None:
    axes = [Factor("x", ("0", "1")), Factor("y", ("0", "1"))]
    hard = (0, 20, 10)
    cells = {
        (x, y): [90 - it - 2 * int(x) - int(y) * number for number, it in enumerate(hard)]
        for x in "01"
        for y in "01"
    }
    on = [Fold(3, number, 100) for number in range(3)]
    of_x, of_y = main_effects(cells, axes, images=100, on=on)
    assert (of_x.percent, of_y.percent) == (pytest.approx(-2), pytest.approx(-1))
    half = scipy.stats.t.ppf(0.975, 2) * math.sqrt(1 * (1 / 3 + 1 / 2))
    assert of_y.interval_percent == pytest.approx((-1 - half, -1 + half))
    least = scipy.stats.t.ppf(0.975, 2) * math.sqrt(1 / 4 * (1 / 3 + 1 / 2))
    assert of_x.interval_percent == pytest.approx((-2 - least, -2 + least))
    (alone, _) = main_effects(
        {key: it[:1] for key, it in cells.items()}, axes, images=100, on=on[:1]
    )
    assert alone.interval_percent is None


def test_a_grid_over_folds_has_its_effects(tmp_path: Path) -> None:
    plan = planned(tmp_path, grid={"recipe.ema": [0.9, None]}, holdout={"folds": 3})
    bench = Bench(tmp_path, plan)
    for arm, correct in zip(plan.arms, ((900, 1000, 950), (910, 1011, 962)), strict=True):
        bench.rank(arm.name, *correct)
    (effect,) = board_of(plan, bench.ledger).effects
    assert effect.percent == pytest.approx(100 * 33 / (3 * 1334))
    assert effect.interval_percent is not None


# ------------------------------------------------------------------------------- the smallest


def test_the_smallest_that_is_good_enough_over_folds(tmp_path: Path) -> None:
    plan = searched(
        tmp_path,
        space={"blocks.0.channels.0": {"kind": "int", "low": 2, "high": 12}},
        trials=11,
        sampler="random",
        objective={"kind": "smallest", "accuracy_percent": 60.0, "seeds": 4},
        pruning={"kind": "halving", "from_epoch": 1},
        top={"holdout": {"folds": 40}},
    )

    def curve(trial: Any, epoch: int) -> int:
        return min(99, 40 + 4 * (trial.arm.parameters // 22) + trial.seed % 2 + epoch)

    process = Process(tmp_path, plan, curve=curve)
    process.finish()
    first = ranked_arms(plan, process.ledger, process.search.arms)[0]
    assert first.reaches is True
    assert {result.folds.fold for result in first.results if result.folds} == {0, 1, 2, 3}
    smaller = [it for it in process.search.arms if it.parameters < first.arm.parameters]
    assert smaller


# ------------------------------------------------------------------------------- the ledger


def test_runs_of_the_same_folds_alone_are_taken_up(tmp_path: Path) -> None:
    """A run of a whole hold-out, and one of other folds, are other experiments."""
    bench = plan_of(tmp_path, folds=4)
    for holdout in (1000, {"folds": 8}, {"folds": 4}):
        other = Bench(tmp_path, planned(tmp_path, *ARMS, holdout=holdout, name="other"))
        trial = other.plan.trials()[0]
        run = tmp_path / "runs" / f"a-{trial.digest[:8]}-s0"
        run.mkdir(parents=True)
        (run / "manifest.json").touch()
        result = made_up(trial, other.plan, 90, seconds=1.0)
        write_whole(run / "result.json", result.json_text().encode())
        taken = bench.ledger.take(bench.plan.trials()[0])
        assert (taken is not None) == (holdout == {"folds": 4})


def test_the_folds_come_from_the_base_or_the_top(tmp_path: Path) -> None:
    path = tmp_path / "tiny.yaml"
    base = "extends: s6\nholdout: {folds: 3}\ndataset: mnist-5k\n"
    (tmp_path / "base.yaml").write_text(base)
    text = "base: base.yaml\ngrid: {recipe.ema: [null]}\n"
    path.write_text(text)
    plan = plan_sweep(load_sweep(path), dataset="mnist-5k")
    assert (plan.folds, plan.definition.sweep.seeds) == (3, 3)
    path.write_text(text + "holdout: {folds: 5}\nseeds: 2\n")
    plan = plan_sweep(load_sweep(path), dataset="mnist-5k")
    assert (plan.folds, plan.definition.sweep.seeds) == (5, 2)
    path.write_text(text + "holdout: 40\n")
    assert plan_sweep(load_sweep(path), dataset="mnist-5k").holdout == 40
