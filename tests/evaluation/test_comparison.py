"""Arms against the first, against published examples, another program, exact counts and chance."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest
import scipy.stats
from hypothesis import assume, given
from hypothesis import strategies as st

from mnist_arch.evaluation.comparison import ArmRun, Difference, compare_with_first, holm_adjusted

IMAGES = 10_000


def arm(*correct: int) -> list[ArmRun]:
    """Runs of seeds 1, 2, … whose mistakes are not stored."""
    return [ArmRun(seed, count, None) for seed, count in enumerate(correct, start=1)]


def judged(seed: int, mistakes: Sequence[int], *, images: int) -> ArmRun:
    return ArmRun(seed, images - len(mistakes), frozenset(mistakes))


def paired(*, lost: int, gained: int, both_wrong: int, images: int) -> tuple[ArmRun, ArmRun]:
    """The first and the other run of one seed: only the other is wrong on `lost` images."""
    of_both = range(both_wrong)
    of_first = range(both_wrong, both_wrong + gained)
    of_other = range(both_wrong + gained, both_wrong + gained + lost)
    first = judged(7, [*of_both, *of_first], images=images)
    return first, judged(7, [*of_both, *of_other], images=images)


def compare(
    first: Sequence[ArmRun], other: Sequence[ArmRun], *, images: int = IMAGES
) -> Difference:
    (difference,) = compare_with_first([first, other], images=images)
    assert difference is not None
    return difference


# ----------------------------------------------------------------------------------------- Welch


def test_welch_by_hand() -> None:
    # Means 9,902 and 9,912; variances 4 and 16; error √(4/3 + 16/3) = 2.581989; t = 3.872983;
    # df = (20/3)² / ((4/3)²/2 + (16/3)²/2) = 2.941176.
    difference = compare(arm(9_900, 9_902, 9_904), arm(9_908, 9_912, 9_916))
    half = scipy.stats.t.ppf(0.975, 50 / 17) * math.sqrt(20 / 3) / 100
    assert difference.percent == pytest.approx(0.1, abs=1e-12)
    assert difference.interval_percent == pytest.approx((0.1 - half, 0.1 + half))
    assert difference.p_value == pytest.approx(2 * scipy.stats.t.sf(math.sqrt(15), 50 / 17))
    assert (difference.test, difference.n, difference.significant) == ("welch", (3, 3), True)


counts = st.lists(st.integers(9_000, IMAGES), min_size=3, max_size=8)


@pytest.mark.slow
@given(first=counts, other=counts)
def test_welch_agrees_with_scipy(first: list[int], other: list[int]) -> None:
    difference = compare(arm(*first), arm(*other))
    assume(min(np.var(first, ddof=1), np.var(other, ddof=1)) >= 0.25)
    expected = scipy.stats.ttest_ind(other, first, equal_var=False)
    interval = expected.confidence_interval(0.95)
    assert difference.percent == pytest.approx((np.mean(other) - np.mean(first)) / 100, abs=1e-9)
    assert difference.interval_percent == pytest.approx(
        (interval.low / 100, interval.high / 100), abs=1e-9
    )
    assert difference.p_value == pytest.approx(expected.pvalue, abs=1e-12)
    assert (difference.test, difference.n) == ("welch", (len(first), len(other)))


def test_equal_runs_of_equal_counts_do_not_differ() -> None:
    difference = compare(arm(9_900, 9_900, 9_900), arm(9_900, 9_900, 9_900))
    assert (difference.percent, difference.p_value, difference.significant) == (0.0, 1.0, False)
    low, high = difference.interval_percent
    assert low == pytest.approx(-high)
    # t(0.975, 4) · √(1/12 + 1/12) images.
    assert high == pytest.approx(2.7764451 * math.sqrt(1 / 6) / 100)


@pytest.mark.parametrize(("apart", "significant"), [(1, False), (2, True)])
def test_three_equal_counts_are_no_certainty(apart: int, significant: bool) -> None:
    difference = compare(arm(9_900, 9_900, 9_900), arm(*[9_900 + apart] * 3))
    assert difference.p_value == pytest.approx(2 * scipy.stats.t.sf(apart * math.sqrt(6), 4))
    assert difference.significant is significant
    low, high = difference.interval_percent
    assert low < difference.percent < high
    assert difference.percent == pytest.approx(apart / 100)


@pytest.mark.parametrize(("n", "m"), [(3, 3), (3, 4), (3, 10), (5, 5), (8, 8), (10, 10)])
def test_runs_that_waver_between_two_counts_are_not_told_apart_too_often(n: int, m: int) -> None:
    """Exact: every outcome of n and m runs that are right on one image more with chance q."""
    p_values = {
        (a, b): compare(
            arm(*[9_901] * a, *[9_900] * (n - a)), arm(*[9_901] * b, *[9_900] * (m - b))
        ).p_value
        for a, b in itertools.product(range(n + 1), range(m + 1))
    }
    for q, bound in itertools.product(np.linspace(0.05, 0.5, 10), set(p_values.values())):
        chance = sum(
            math.comb(n, a) * math.comb(m, b) * q ** (a + b) * (1 - q) ** (n + m - a - b)
            for (a, b), p_value in p_values.items()
            if p_value <= bound * (1 + 1e-9)
        )
        assert chance <= bound or bound >= 0.05


@pytest.mark.slow
def test_welchs_interval_covers_and_its_test_holds_its_level() -> None:
    """1,500 rounds: 95 % ± 3.5 standard errors of 0.56 %; Welch is a little wide for few runs."""
    rng = np.random.default_rng(20_240_917)
    draws = np.rint(rng.normal([[9_900], [9_905]], [[4], [9]], size=(1_500, 2, 5))).astype(int)
    differences = [compare(arm(*first.tolist()), arm(*other.tolist())) for first, other in draws]
    covered = sum(it.interval_percent[0] <= 0.05 <= it.interval_percent[1] for it in differences)
    assert 0.93 <= covered / 1_500 <= 0.97
    centred = np.rint(rng.normal(9_900, [[4], [9]], size=(1_500, 2, 5))).astype(int)
    wrong = sum(compare(arm(*a.tolist()), arm(*b.tolist())).significant for a, b in centred)
    assert 0.03 <= wrong / 1_500 <= 0.07


# --------------------------------------------------------------------------------------- McNemar


@pytest.mark.parametrize(
    ("gained", "lost", "images", "p_value", "low", "high"),
    [
        # The tables of Bentur 2009, by hand, and of Cavo 2012, with the figures that the R package
        # contingencytables of Fagerland, Lydersen & Laake is tested by.
        (1, 7, 21, 0.0703, -50.84, -1.34),
        (6, 16, 161, 0.052479, -11.95, -0.32),
    ],
)
def test_mcnemar_agrees_with_published_examples(
    gained: int, lost: int, images: int, p_value: float, low: float, high: float
) -> None:
    first, other = paired(lost=lost, gained=gained, both_wrong=1, images=images)
    difference = compare([first], [other], images=images)
    assert difference.p_value == pytest.approx(p_value, abs=5e-5)
    assert difference.interval_percent == pytest.approx((low, high), abs=0.005)
    assert difference.percent == pytest.approx(100 * (gained - lost) / images)
    assert (difference.test, difference.n) == ("mcnemar", (1, 1))


def test_mcnemar_by_hand() -> None:
    # Fay 2010, R Journal 2, 53–58: 9 and 2 discordant pairs; 2 · (1 + 11 + 55) / 2^11.
    first, other = paired(lost=2, gained=9, both_wrong=21, images=44)
    assert compare([first], [other], images=44).p_value == pytest.approx(134 / 2**11)


def test_networks_with_the_same_mistakes_do_not_differ() -> None:
    first, other = paired(lost=0, gained=0, both_wrong=60, images=IMAGES)
    difference = compare([first], [other])
    assert (difference.percent, difference.p_value, difference.significant) == (0.0, 1.0, False)
    low, high = difference.interval_percent
    assert low == pytest.approx(-high)
    assert high == pytest.approx(100 * 1.959964 * math.sqrt(2) / (IMAGES + 2), rel=1e-6)


def test_the_interval_is_that_of_two_images_more() -> None:
    first, other = paired(lost=16, gained=6, both_wrong=1, images=150)
    gained, lost = 7 / 152, 17 / 152
    middle, half = gained - lost, 1.959964 * math.sqrt((gained + lost - (gained - lost) ** 2) / 152)
    assert compare([first], [other], images=150).interval_percent == pytest.approx(
        (100 * (middle - half), 100 * (middle + half)), rel=1e-6
    )


def test_an_interval_does_not_pass_100_percent() -> None:
    first, other = paired(lost=5, gained=0, both_wrong=0, images=5)
    assert compare([first], [other], images=5).interval_percent[0] == -100.0
    assert compare([other], [first], images=5).interval_percent[1] == 100.0


@pytest.mark.slow
@given(lost=st.integers(0, 400), gained=st.integers(0, 400), both_wrong=st.integers(0, 200))
def test_mcnemar_agrees_with_scipy_and_turns_with_its_arms(
    lost: int, gained: int, both_wrong: int
) -> None:
    first, other = paired(lost=lost, gained=gained, both_wrong=both_wrong, images=IMAGES)
    there, back = compare([first], [other]), compare([other], [first])
    expected = scipy.stats.binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
    assert there.p_value == pytest.approx(expected, rel=1e-9, abs=1e-300)
    assert (back.p_value, back.percent) == (there.p_value, -there.percent)
    low, high = there.interval_percent
    assert back.interval_percent == pytest.approx((-high, -low))
    assert low < there.percent < high


@pytest.mark.slow
def test_the_interval_of_two_networks_covers() -> None:
    """2,000 rounds of 1,000 images: wrong only here 2 %, only there 4 %; 95 % ± 3.5 · 0.49 %."""
    rng = np.random.default_rng(7)
    covered = 0
    for gained, lost, _ in rng.multinomial(1_000, [0.02, 0.04, 0.94], size=2_000):
        first, other = paired(lost=lost, gained=gained, both_wrong=0, images=1_000)
        low, high = compare([first], [other], images=1_000).interval_percent
        covered += low <= -2.0 <= high
    assert 0.933 <= covered / 2_000 <= 0.967


# ----------------------------------------------------------------------- which test, and whether


@pytest.mark.parametrize(("n", "m"), [(1, 1), (2, 2), (1, 3), (3, 1), (2, 5)])
def test_the_difference_is_that_of_the_means(n: int, m: int) -> None:
    """Of all runs, whatever their seeds, and not that of a run of each."""
    first = [judged(seed, range(3 * seed, 7 * seed), images=100) for seed in range(1, n + 1)]
    other = [judged(seed + 1, range(5, 9 + seed), images=100) for seed in range(1, m + 1)]
    means = [sum(run.correct for run in arm) / len(arm) for arm in (first, other)]
    difference = compare(first, other, images=100)
    assert difference.percent == pytest.approx(means[1] - means[0], abs=1e-12)
    assert (difference.test, difference.n) == ("mcnemar", (n, m))
    low, high = difference.interval_percent
    assert low < difference.percent < high
    back = compare(other, first, images=100)
    assert (back.percent, back.p_value) == pytest.approx((-difference.percent, difference.p_value))
    assert back.interval_percent == pytest.approx((-high, -low))


mistakes = st.sets(st.integers(0, 7))


@pytest.mark.slow
@given(
    first=st.lists(mistakes, min_size=1, max_size=3),
    other=st.lists(mistakes, min_size=1, max_size=2),
)
def test_the_p_value_counts_all_signs_of_the_gains(
    first: list[set[int]], other: list[set[int]]
) -> None:
    """One by one, of up to 2^8."""
    arms = [
        [judged(seed, sorted(run), images=9) for seed, run in enumerate(arm)]
        for arm in (first, other)
    ]
    gains = [
        len(other) * sum(image in run for run in first)
        - len(first) * sum(image in run for run in other)
        for image in range(8)
    ]
    sums = [
        abs(sum(map(math.prod, zip(signs, gains, strict=True))))
        for signs in itertools.product((1, -1), repeat=8)
    ]
    share = sum(it >= abs(sum(gains)) for it in sums) / len(sums)
    assert compare(*arms, images=9).p_value == pytest.approx(share)


def test_a_second_run_with_the_same_mistakes_tells_nothing_new() -> None:
    """Twice as many discordant pairs, counted one by one, would tell the two apart."""
    first, other = paired(lost=14, gained=5, both_wrong=3, images=1_000)
    twice = [[run, ArmRun(8, run.correct, run.mistakes)] for run in (first, other)]
    once, again = compare([first], [other], images=1_000), compare(*twice, images=1_000)
    assert once.p_value == pytest.approx(scipy.stats.binomtest(5, 19).pvalue)
    assert again.p_value == pytest.approx(once.p_value)
    assert again.interval_percent == pytest.approx(once.interval_percent)
    assert scipy.stats.binomtest(10, 38).pvalue < 0.01 < 0.05 < again.p_value


@pytest.mark.slow
def test_two_runs_of_each_cover_the_choice_of_images_and_hold_their_level() -> None:
    """1,000 rounds of 500 images, some harder for all; 3.5 standard errors of 0.69 %."""
    rng = np.random.default_rng(11)
    covered = wrong = 0
    for _ in range(1_000):
        hard = rng.beta(0.05, 1.2, size=500)
        arms = [
            [
                judged(seed, np.flatnonzero(rng.random(500) < hard).tolist(), images=500)
                for seed in (0, 1)
            ]
            for _ in range(2)
        ]
        difference = compare(*arms, images=500)
        covered += difference.interval_percent[0] <= 0 <= difference.interval_percent[1]
        wrong += difference.significant
    assert 0.926 <= covered / 1_000 <= 0.974
    assert 0.02 <= wrong / 1_000 <= 0.074


def test_many_mistakes_take_no_time() -> None:
    rng = np.random.default_rng(5)
    arms = [
        [
            judged(seed, np.flatnonzero(rng.random(IMAGES) < 0.5).tolist(), images=IMAGES)
            for seed in range(n)
        ]
        for n in (2, 5)
    ]
    assert compare(*arms).p_value > 0.01


STORED = judged(1, [0], images=IMAGES)


@pytest.mark.parametrize(
    ("first", "other"),
    [
        (arm(9_900, 9_901), arm(9_900, 9_901, 9_902)),
        ([STORED], arm(9_900)),
        (arm(9_900), [STORED]),
        ([STORED], [STORED, ArmRun(2, 9_999, None)]),
        ([STORED], []),
        ([], arm(9_900, 9_901, 9_902)),
    ],
    ids=["two runs", "not stored", "not stored by the first", "one of two", "none", "no first"],
)
def test_without_runs_or_mistakes_there_is_no_test(
    first: list[ArmRun], other: list[ArmRun]
) -> None:
    assert compare_with_first([first, other], images=IMAGES) == [None]


@pytest.mark.parametrize("arms", [[], [arm(9_900)], [[]]], ids=["no arm", "one", "one empty"])
def test_one_arm_is_compared_with_nothing(arms: list[list[ArmRun]]) -> None:
    assert compare_with_first(arms, images=IMAGES) == []


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        ([ArmRun(3, 9, None), ArmRun(3, 8, None)], "seeds of an arm differ"),
        ([ArmRun(3, 11, None)], "seed 3: 11 correct of 10 images"),
        ([ArmRun(3, -1, None)], "seed 3: -1 correct of 10 images"),
        ([ArmRun(3, 8, frozenset([1]))], "seed 3: 1 mistakes and 8 correct of 10 images"),
    ],
)
def test_runs_that_contradict_themselves_are_refused(runs: list[ArmRun], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compare_with_first([runs], images=10)


# ------------------------------------------------------------------------------------------ Holm


@pytest.mark.parametrize(
    ("p_values", "adjusted"),
    [
        # By hand; the second decides as the example of the R package HDLSSkST does.
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        (
            [0.50, 0.01, 0.001, 0.69, 0.02, 0.05, 0.0025],
            [1.0, 0.05, 0.007, 1.0, 0.08, 0.15, 0.015],
        ),
        ([0.4, 0.4, 0.4], [1.0, 1.0, 1.0]),
        ([0.02], [0.02]),
        ([], []),
    ],
)
def test_holm_agrees_with_examples(p_values: list[float], adjusted: list[float]) -> None:
    assert holm_adjusted(p_values) == pytest.approx(adjusted)


@pytest.mark.slow
@given(st.data(), st.lists(st.floats(0, 1), max_size=12))
def test_holm_is_monotone_and_knows_no_order(data: st.DataObject, p_values: list[float]) -> None:
    adjusted = holm_adjusted(p_values)
    assert all(p <= it <= 1 for p, it in zip(p_values, adjusted, strict=True))
    assert all(it <= min(1, len(p_values) * p) for p, it in zip(p_values, adjusted, strict=True))
    in_order = [it for _, it in sorted(zip(p_values, adjusted, strict=True))]
    assert in_order == sorted(in_order)
    order = data.draw(st.permutations(range(len(p_values))))
    assert holm_adjusted([p_values[i] for i in order]) == [adjusted[i] for i in order]


def test_arms_without_a_test_take_no_part_in_the_adjustment() -> None:
    first, near, far = arm(9_900, 9_905, 9_910), arm(9_903, 9_910, 9_911), arm(9_800, 9_806, 9_809)
    untested = arm(9_900, 9_901)
    with_it = compare_with_first([first, near, untested, far], images=IMAGES)
    without = compare_with_first([first, near, far], images=IMAGES)
    assert with_it == [without[0], None, without[1]]
    of_near, of_far = without
    assert of_near is not None
    assert of_far is not None
    assert of_far.adjusted_p_value == 2 * of_far.p_value
    assert of_near.adjusted_p_value == of_near.p_value
    assert (of_near.significant, of_far.significant) == (False, True)


def test_told_apart_goes_by_the_adjusted_p_value() -> None:
    first, other = arm(9_900, 9_905, 9_910), arm(9_914, 9_916, 9_923)
    alone = compare(first, other)
    assert 0.025 < alone.p_value < 0.05
    assert alone.significant
    among, _ = compare_with_first([first, other, first], images=IMAGES)
    assert among is not None
    assert (among.p_value, among.significant) == (alone.p_value, False)


@pytest.mark.slow
@given(st.data(), st.lists(counts, min_size=2, max_size=5))
def test_the_order_of_arms_and_of_runs_changes_nothing(
    data: st.DataObject, correct: list[list[int]]
) -> None:
    arms = [arm(*of_arm) for of_arm in correct]
    order = data.draw(st.permutations(range(1, len(arms))))
    shuffled = [data.draw(st.permutations(arms[index])) for index in (0, *order)]
    found = compare_with_first(arms, images=IMAGES)
    assert compare_with_first(shuffled, images=IMAGES) == [found[i - 1] for i in order]
    assert all(it is not None and it.adjusted_p_value >= it.p_value for it in found)


def _equal_arms(rounds: int, *, arms: int, runs: int) -> list[list[list[ArmRun]]]:
    rng = np.random.default_rng(99)
    draws = np.rint(rng.normal(9_900, 12, size=(rounds, arms, runs))).astype(int)
    return [[arm(*correct.tolist()) for correct in of_round] for of_round in draws]


def _any_told_apart(arms: Sequence[Sequence[ArmRun]]) -> bool:
    found = compare_with_first(arms, images=IMAGES)
    return any(it is not None and it.significant for it in found)


@pytest.mark.slow
def test_equal_arms_are_seldom_told_apart_from_a_baseline() -> None:
    """600 rounds of 6 equal arms; 5 % and 3 standard errors of 0.9 % are 7.7 %."""
    wrong = sum(map(_any_told_apart, _equal_arms(600, arms=6, runs=5)))
    assert 0.01 <= wrong / 600 <= 0.077


@pytest.mark.slow
def test_the_truly_best_arm_is_among_those_not_told_apart_from_the_best() -> None:
    """Of 6 equal arms each is truly best; the first is sorted there by its counts."""
    lost = 0
    for arms in _equal_arms(600, arms=6, runs=5):
        truly_best = arms[0]
        first, *others = sorted(arms, key=lambda runs: -sum(run.correct for run in runs))
        found = compare_with_first([first, *others], images=IMAGES)
        told_apart = [runs for runs, it in zip(others, found, strict=True) if it and it.significant]
        lost += any(runs is truly_best for runs in told_apart)
    assert lost / 600 <= 0.05
