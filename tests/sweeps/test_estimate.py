"""How long a sweep will take: a guess at first, then by what its trials took."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny_sweeps import HOLDOUT, Bench, blocks, planned

from mnist_arch.data.catalog import INFO
from mnist_arch.sweeps.estimate import (
    Estimate,
    Pace,
    pace_so_far,
    whole_sweep,
)
from mnist_arch.sweeps.planning import Arm
from mnist_arch.training.pace import SECONDS_PER_IMAGE, SECONDS_PER_MAC

IMAGES = INFO["mnist-5k"].train_images
ARMS = [{"name": name, **blocks(size)} for name, size in (("a", 4), ("b", 20), ("c", 60))]
FAT = {"name": "fat", **blocks(1_000)}


def bench_of(folder: Path, **top: Any) -> Bench:
    return Bench(folder, planned(folder, *ARMS, FAT, **{"seeds": 2, **top}))


def guess(arm: Arm, *, holdout: int = HOLDOUT) -> float:
    """Of one trial, on the machine of the constants."""
    assert arm.epochs == 2
    return 2 * (IMAGES - holdout) * (SECONDS_PER_IMAGE + arm.macs * SECONDS_PER_MAC)


def left(bench: Bench, *, workers: int = 1) -> Estimate:
    return whole_sweep(bench.plan, bench.ledger, workers=workers)


def test_before_anything_is_run_it_is_a_guess_by_images_epochs_and_macs(tmp_path: Path) -> None:
    bench = bench_of(tmp_path)
    found = left(bench)
    assert found.seconds == pytest.approx(2 * sum(guess(bench.arm(name)) for name in "abc"))
    assert not found.measured


def test_then_it_is_by_what_trials_took_here(tmp_path: Path) -> None:
    bench = bench_of(tmp_path)
    for seed, (name, times) in enumerate((("a", 3.0), ("b", 5.0), ("c", 70.0))):
        del seed
        trial = bench.trial(name, 0)
        bench.finish(trial, 90, seconds=times * guess(trial.arm))
    found = left(bench)
    assert found.measured
    # The median of the ratios: one trial that waited for a disk does not matter.
    assert found.seconds == pytest.approx(5 * sum(guess(bench.arm(name)) for name in "abc"))
    assert pace_so_far(bench.plan, bench.ledger, workers=1).ratios == pytest.approx([3, 5, 70])


def test_workers_share_the_trials_but_not_one_trial(tmp_path: Path) -> None:
    bench = bench_of(tmp_path)
    assert left(bench, workers=2).seconds == pytest.approx(left(bench).seconds / 2)
    assert left(bench, workers=50).seconds == pytest.approx(guess(bench.arm("c")))


def test_what_was_given_up_takes_no_time(tmp_path: Path) -> None:
    bench = bench_of(tmp_path)
    bench.fail(bench.trial("c", 0), "NaN")
    bench.prune("c", 1)
    assert left(bench).seconds == pytest.approx(2 * (guess(bench.arm("a")) + guess(bench.arm("b"))))


def test_finalists_count_on_all_images(tmp_path: Path) -> None:
    bench = bench_of(tmp_path, finalists={"top": 2, "seeds": 3})
    ranking = 2 * sum(guess(bench.arm(name)) for name in "abc")
    median = guess(bench.arm("b"), holdout=0)
    assert left(bench).seconds == pytest.approx(ranking + 6 * median)


def test_there_are_no_more_finalists_than_arms(tmp_path: Path) -> None:
    bench = bench_of(tmp_path, finalists={"top": 100, "seeds": 1})
    ranking = 2 * sum(guess(bench.arm(name)) for name in "abc")
    median = guess(bench.arm("b"), holdout=0)
    assert left(bench).seconds == pytest.approx(ranking + 3 * median)


def test_once_they_are_known_it_is_their_own_cost(tmp_path: Path) -> None:
    bench = bench_of(tmp_path, finalists={"top": 1, "seeds": 3})
    for name, correct in (("a", 80), ("b", 90), ("c", 99)):
        bench.rank(name, correct, correct, seconds=4 * guess(bench.arm(name)))
    bench.judge("c", 990)
    found = left(bench)
    assert found.seconds == pytest.approx(4 * 2 * guess(bench.arm("c"), holdout=0))
    bench.judge("c", 990, 990, 990)
    assert left(bench) == Estimate(0.0, measured=True)


def test_where_nothing_is_ranked_there_is_no_finalist(tmp_path: Path) -> None:
    bench = bench_of(tmp_path, finalists={"top": 1, "seeds": 3})
    for name in "abc":
        bench.fail(bench.trial(name, 0), "NaN")
        bench.fail(bench.trial(name, 1), "NaN")
    assert left(bench) == Estimate(0.0, measured=False)


def test_an_arm_under_two_names_is_run_once(tmp_path: Path) -> None:
    plan = planned(tmp_path, ARMS[0], {**ARMS[0], "name": "again"}, seeds=1)
    assert left(Bench(tmp_path, plan)).seconds == pytest.approx(guess(plan.arms[0]))


def test_of_nothing_nothing_is_left(tmp_path: Path) -> None:
    plan = planned(tmp_path, FAT, finalists={"top": 1, "seeds": 3})
    assert left(Bench(tmp_path, plan)) == Estimate(0.0, measured=False)
    assert Pace(plan, workers=3).left([]) == Estimate(0.0, measured=False)


def test_what_a_search_will_propose_is_like_its_base(tmp_path: Path) -> None:
    """No more than its space has."""
    space = {"recipe.schedule.peak": [0.05, 0.1]}
    bench = bench_of(tmp_path, search={"space": space, "trials": 9})
    listed = 2 * sum(guess(bench.arm(name)) for name in "abc")
    base = guess(bench.plan.base)
    assert left(bench).seconds == pytest.approx(listed + 2 * base)
    assert left(bench).most_seconds == left(bench).seconds
    alone = Bench(tmp_path, planned(tmp_path, name="alone", search={"space": space, "trials": 1}))
    assert left(alone).seconds == pytest.approx(base)


def test_the_smallest_takes_a_seed_a_proposal_and_those_of_the_winner_at_least(
    tmp_path: Path,
) -> None:
    space = {"recipe.schedule.peak": {"kind": "float", "low": 0.05, "high": 0.1}}
    objective = {"kind": "smallest", "accuracy_percent": 90.0, "seeds": 4}
    search = {"space": space, "trials": 9, "objective": objective}
    bench = Bench(tmp_path, planned(tmp_path, search=search))
    base = guess(bench.plan.base)
    assert left(bench).seconds == pytest.approx((9 + 3) * base)
    assert left(bench).most_seconds == pytest.approx(9 * 4 * base)
