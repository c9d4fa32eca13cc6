"""Intervals and scores, against published examples and other programs."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from mnist_arch.evaluation.judgement import Judgement, SeedAccuracies, wilson_interval_percent

# ---------------------------------------------------------------------------------------- Wilson


@pytest.mark.parametrize(
    ("correct", "images", "low", "high"),
    [
        # Newcombe 1998, Statistics in Medicine 17, table I, method 3.
        (81, 263, 25.53, 36.62),
        (15, 148, 6.24, 16.05),
        (0, 20, 0.00, 16.11),
        (1, 29, 0.61, 17.18),
    ],
)
def test_wilson_agrees_with_newcombes_table(
    correct: int, images: int, low: float, high: float
) -> None:
    assert wilson_interval_percent(correct, images) == pytest.approx((low, high), abs=0.005)


def test_wilson_of_the_rule_itself() -> None:
    # By hand, with z = 1.959964: (p + z²/2n ± z·√(p(1-p)/n + z²/4n²)) / (1 + z²/n).
    z, p, n = 1.959963984540054, 0.994, 10_000
    middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    expected = [100 * (middle + sign * half) / (1 + z * z / n) for sign in (-1, 1)]
    assert wilson_interval_percent(9_940, 10_000) == pytest.approx(expected, abs=1e-9)


def test_wilson_narrows_with_images_and_widens_with_confidence() -> None:
    def width(correct: int, images: int, confidence: float = 0.95) -> float:
        low, high = wilson_interval_percent(correct, images, confidence=confidence)
        return high - low

    assert width(9_940, 10_000) < width(994, 1_000)
    assert width(994, 1_000) < width(994, 1_000, confidence=0.99)


@pytest.mark.slow
@given(images=st.integers(1, 100_000), share=st.floats(0, 1), confidence=st.floats(0.5, 0.999))
def test_wilson_agrees_with_scipy(images: int, share: float, confidence: float) -> None:
    correct = round(share * images)
    theirs = scipy.stats.binomtest(correct, images).proportion_ci(confidence, method="wilson")
    ours = wilson_interval_percent(correct, images, confidence=confidence)
    assert ours == pytest.approx((100 * theirs.low, 100 * theirs.high), abs=1e-9)


@given(images=st.integers(1, 100_000), share=st.floats(0, 1))
def test_wilson_lies_in_0_to_100_and_holds_the_share(images: int, share: float) -> None:
    correct = round(share * images)
    low, high = wilson_interval_percent(correct, images)
    assert 0 <= low <= 100 * correct / images + 1e-9
    assert 100 * correct / images - 1e-9 <= high <= 100


# -------------------------------------------------------------------------------------- Judgement


def test_a_judgement_has_its_accuracy_and_interval() -> None:
    found = Judgement(correct=9_952, images=10_000, loss=0.02, split="test")
    assert found.accuracy_percent == 99.52
    assert found.interval_percent == wilson_interval_percent(9_952, 10_000)
    assert found.values() == {
        "correct": 9_952,
        "images": 10_000,
        "loss": 0.02,
        "split": "test",
        "accuracy_percent": 99.52,
        "interval_percent": found.interval_percent,
    }


# ----------------------------------------------------------------------------------- SeedAccuracies


def test_a_score_by_hand() -> None:
    # 99.40, 99.50 and 99.60 %: mean 99.50, s 0.10, t(0.95, 2) = 2.919986.
    score = SeedAccuracies.of([9_940, 9_950, 9_960], 10_000)
    assert (score.runs, score.images) == (3, 10_000)
    assert score.mean_share == Fraction(995, 1000)
    assert score.mean_percent == 99.5
    assert score.spread_percent == pytest.approx(0.1, abs=1e-12)
    assert score.bound_percent == pytest.approx(99.5 - 2.9199855804 * 0.1 / math.sqrt(3), abs=1e-9)


def test_one_run_has_no_spread_and_no_bound() -> None:
    score = SeedAccuracies.of([9_949], 10_000)
    assert (score.mean_percent, score.spread_percent, score.bound_percent) == (99.49, None, None)


def test_equal_runs_have_no_spread_and_their_mean_as_bound() -> None:
    score = SeedAccuracies.of([994] * 5, 1_000)
    assert (score.mean_percent, score.spread_percent, score.bound_percent) == (99.4, 0.0, 99.4)


def test_the_spread_is_exact_where_floats_cancel() -> None:
    assert SeedAccuracies.of([10**15, 10**15 + 1], 10**15 + 1).spread_percent == pytest.approx(
        100 * math.sqrt(0.5) / 1e15, rel=1e-12
    )


@pytest.mark.parametrize(("correct", "images"), [([], 10), ([1], 0)])
def test_a_score_of_nothing_is_refused(correct: list[int], images: int) -> None:
    with pytest.raises(ValueError, match="at least one run and one image"):
        SeedAccuracies.of(correct, images)


@pytest.mark.slow
@given(
    correct=st.lists(st.integers(0, 10_000), min_size=2, max_size=12),
    images=st.integers(10_000, 60_000),
)
def test_scores_agree_with_numpy_and_scipy(correct: list[int], images: int) -> None:
    score = SeedAccuracies.of(correct, images)
    percents = 100 * np.array(correct) / images
    spread = float(np.std(percents, ddof=1))
    assert score.mean_percent == pytest.approx(float(percents.mean()))
    assert score.spread_percent == pytest.approx(spread, abs=1e-9)
    if spread > 1e-9:
        low, _ = scipy.stats.t.interval(
            0.90, len(correct) - 1, loc=percents.mean(), scale=scipy.stats.sem(percents)
        )
        assert score.bound_percent == pytest.approx(float(low))
