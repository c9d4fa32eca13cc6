"""Main effects of a grid, against a published design, by hand, and against chance."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from mnist_arch.evaluation.effects import Effect, Factor, main_effects

RATE = Factor("recipe.schedule.peak", ("0.01", "0.02", "0.04"))
DROPOUT = Factor("defaults.dropout", ("0", "0.1"))

# Montgomery, Design and Analysis of Experiments, 8th ed., problem 6.1: life of a machine tool at
# two cutting speeds, tool geometries and cutting angles, three replicates.
TOOL_LIFE = {
    ("-", "-", "-"): (22, 31, 25),
    ("+", "-", "-"): (32, 43, 29),
    ("-", "+", "-"): (35, 34, 50),
    ("+", "+", "-"): (55, 47, 46),
    ("-", "-", "+"): (44, 45, 38),
    ("+", "-", "+"): (40, 37, 36),
    ("-", "+", "+"): (60, 50, 54),
    ("+", "+", "+"): (39, 41, 47),
}
TOOL_AXES = [Factor(path, ("-", "+")) for path in ("speed", "geometry", "angle")]


def test_effects_agree_with_a_published_design() -> None:
    """Twice the coefficients of its solution: 0.16667, 5.66667 and 3.41667."""
    effects = main_effects(TOOL_LIFE, TOOL_AXES, images=100)
    assert [(it.axis, it.level, it.reference) for it in effects] == [
        ("speed", "+", "-"),
        ("geometry", "+", "-"),
        ("angle", "+", "-"),
    ]
    assert [it.percent for it in effects] == pytest.approx([1 / 3, 34 / 3, 41 / 6])
    assert {(it.pairs, it.runs) for it in effects} == {(4, 24)}
    # Within cells: sum of squares 482.67 with 16 degrees of freedom; 12 runs at either level.
    half = scipy.stats.t.ppf(0.975, 16) * math.sqrt(482 + 2 / 3) / 4 * math.sqrt(2 / 12)
    for it in effects:
        assert it.interval_percent == pytest.approx((it.percent - half, it.percent + half))


def test_an_unbalanced_grid_by_hand() -> None:
    cells = {
        ("0.01", "0"): (90, 92),
        ("0.01", "0.1"): (80,),
        ("0.02", "0"): (94, 95, 99),
        ("0.02", "0.1"): (),
        ("0.04", "0.1"): (70, 74),
    }
    fast, faster, dropped = main_effects(cells, [RATE, DROPOUT], images=200)
    # Squares within cells 2 + 14 + 8 with 1 + 2 + 1 degrees of freedom: s² = 6.
    margin = scipy.stats.t.ppf(0.975, 4) * math.sqrt(6)
    # 0.02 against 0.01 without dropout: 96 - 91, 3 and 2 runs.
    half = margin * math.sqrt(1 / 2 + 1 / 3) / 2
    assert fast == Effect(
        axis=RATE.place,
        level="0.02",
        reference="0.01",
        percent=2.5,
        interval_percent=(pytest.approx(2.5 - half), pytest.approx(2.5 + half)),
        pairs=1,
        runs=5,
    )
    # 0.04 against 0.01 with dropout: 72 - 80.
    assert (faster.level, faster.percent, faster.pairs, faster.runs) == ("0.04", -4.0, 1, 3)
    # Dropout against none at 0.01 alone: 80 - 91.
    assert (dropped.level, dropped.percent, dropped.pairs, dropped.runs) == ("0.1", -5.5, 1, 3)


def test_several_combinations_weigh_the_same_whatever_their_runs() -> None:
    cells = {
        ("0.01", "0"): (80,),
        ("0.01", "0.1"): (84, 84),
        ("0.02", "0"): (70, 72, 74, 76),
        ("0.02", "0.1"): (83,),
    }
    *_, effect = main_effects(cells, [RATE, DROPOUT], images=100)
    # (84 - 80 + 83 - 73) / 2; √(1/1 + 1/2 + 1/4 + 1/1) / 2; squares 20 and 0 with 4 df.
    half = scipy.stats.t.ppf(0.975, 4) * math.sqrt(5) * math.sqrt(2.75) / 2
    assert (effect.percent, effect.pairs, effect.runs) == (7.0, 2, 8)
    assert effect.interval_percent == pytest.approx((7 - half, 7 + half))


def test_a_level_without_a_matched_combination_has_no_effect() -> None:
    cells = {("0.01", "0"): (90, 91), ("0.02", "0.1"): (95, 96), ("0.04", "0"): (93, 94)}
    effects = main_effects(cells, [RATE, DROPOUT], images=100)
    assert [(it.level, it.pairs) for it in effects] == [("0.04", 1)]


def test_without_any_repeated_run_there_is_no_interval() -> None:
    cells = {("0.01",): (90,), ("0.02",): (95,)}
    (effect,) = main_effects(cells, [RATE], images=100)
    assert (effect.percent, effect.interval_percent) == (5.0, None)


def test_equal_runs_are_no_certainty() -> None:
    cells = {("0.01",): (90, 90, 90), ("0.02",): (95, 95, 95)}
    (effect,) = main_effects(cells, [RATE], images=100)
    half = scipy.stats.t.ppf(0.975, 4) * math.sqrt(1 / 4) * math.sqrt(2 / 3)
    assert effect.interval_percent == pytest.approx((5 - half, 5 + half))


@pytest.mark.parametrize(
    "cells", [{}, {("0.01", "0"): ()}, {("0.01", "0"): (90, 91)}], ids=["none", "no runs", "one"]
)
def test_one_cell_has_no_effects(cells: dict[tuple[str, ...], tuple[int, ...]]) -> None:
    assert main_effects(cells, [RATE, DROPOUT], images=100) == []


def test_a_grid_without_axes_has_no_effects() -> None:
    assert main_effects({(): (90, 91)}, [], images=100) == []


def test_an_axis_of_one_level_has_no_effects() -> None:
    cells = {("0.01", "5"): (90, 91), ("0.02", "5"): (93, 92)}
    effects = main_effects(cells, [RATE, Factor("recipe.epochs", ("5",))], images=100)
    assert [it.axis for it in effects] == [RATE.place]


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({("0.03", "0"): (90,)}, r"\(0\.03, 0\) is no cell of the grid"),
        ({("0.01",): (90,)}, r"\(0\.01\) is no cell of the grid"),
        ({("0.01", "0"): (101,)}, r"\(0\.01, 0\): counts outside 0 … 100"),
        ({("0.01", "0"): (-1,)}, r"\(0\.01, 0\): counts outside 0 … 100"),
    ],
)
def test_cells_that_do_not_belong_are_refused(
    cells: dict[tuple[str, ...], tuple[int, ...]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        main_effects(cells, [RATE, DROPOUT], images=100)


@pytest.mark.parametrize("levels", [(), ("0", "0.1", "0")], ids=["none", "twice"])
def test_levels_differ_from_each_other(levels: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"defaults\.dropout: an axis has levels that differ"):
        Factor("defaults.dropout", levels)


grids = st.lists(st.lists(st.integers(0, 100), min_size=2, max_size=2), min_size=6, max_size=6).map(
    lambda counts: dict(
        zip(itertools.product(RATE.levels, DROPOUT.levels), map(tuple, counts), strict=True)
    )
)


@pytest.mark.slow
@given(grids)
def test_in_a_balanced_grid_effects_are_differences_of_level_means(
    cells: dict[tuple[str, ...], tuple[int, ...]],
) -> None:
    def mean(axis: int, level: str) -> float:
        return float(np.mean([runs for key, runs in cells.items() if key[axis] == level]))

    effects = main_effects(cells, [RATE, DROPOUT], images=100)
    assert [(it.axis, it.level) for it in effects] == [
        (RATE.place, "0.02"),
        (RATE.place, "0.04"),
        (DROPOUT.place, "0.1"),
    ]
    for it in effects:
        axis = [RATE.place, DROPOUT.place].index(it.axis)
        expected = mean(axis, it.level) - mean(axis, it.reference)
        assert it.percent == pytest.approx(expected, abs=1e-9)


@pytest.mark.slow
@given(st.data(), grids)
def test_order_and_empty_cells_change_nothing(
    data: st.DataObject, cells: dict[tuple[str, ...], tuple[int, ...]]
) -> None:
    gone = data.draw(st.sets(st.sampled_from(sorted(cells)), max_size=4))
    left = {key: runs for key, runs in cells.items() if key not in gone}
    emptied = {key: () if key in gone else runs for key, runs in cells.items()}
    keys = data.draw(st.permutations(sorted(emptied)))
    shuffled = {key: data.draw(st.permutations(emptied[key])) for key in keys}
    effects = main_effects(left, [RATE, DROPOUT], images=100)
    assert main_effects(shuffled, [RATE, DROPOUT], images=100) == effects
    turned = {(dropout, rate): runs for (rate, dropout), runs in left.items()}
    assert sorted(main_effects(turned, [DROPOUT, RATE], images=100), key=repr) == sorted(
        effects, key=repr
    )


@pytest.mark.slow
@given(grids)
def test_the_other_reference_turns_the_effect(
    cells: dict[tuple[str, ...], tuple[int, ...]],
) -> None:
    *_, there = main_effects(cells, [RATE, DROPOUT], images=100)
    turned = Factor(DROPOUT.place, DROPOUT.levels[::-1])
    *_, back = main_effects(cells, [RATE, turned], images=100)
    assert there.interval_percent is not None
    assert back.percent == -there.percent
    assert back.interval_percent == pytest.approx(tuple(-it for it in there.interval_percent[::-1]))


def _grid(means: Sequence[Sequence[int]], draws: np.ndarray) -> dict[tuple[str, ...], list[int]]:
    """Draws (rates, dropouts, runs) about the means; two cells have fewer runs, one has none."""
    cells = {
        (rate, dropout): np.rint(means[i][j] + draws[i, j]).astype(int).tolist()
        for i, rate in enumerate(RATE.levels)
        for j, dropout in enumerate(DROPOUT.levels)
    }
    cells["0.01", "0"] = cells["0.01", "0"][:1]
    cells["0.02", "0.1"] = cells["0.02", "0.1"][:2]
    cells["0.04", "0.1"] = []
    return cells


@pytest.mark.slow
def test_intervals_cover_in_an_unbalanced_grid() -> None:
    """1,500 rounds: 95 % ± 3.5 standard errors of 0.56 %."""
    means = [[900, 904], [910, 915], [880, 0]]
    truth_percent = [1.05, -2.0, 0.45]
    draws = np.random.default_rng(5).normal(0, 6, size=(1_500, 3, 2, 4))
    covered = np.zeros(3)
    for of_round in draws:
        effects = main_effects(_grid(means, of_round), [RATE, DROPOUT], images=1_000)
        for index, (it, expected) in enumerate(zip(effects, truth_percent, strict=True)):
            assert it.interval_percent is not None
            covered[index] += it.interval_percent[0] <= expected <= it.interval_percent[1]
    assert ((0.93 <= covered / 1_500) & (covered / 1_500 <= 0.97)).all()
