"""Which networks do not differ significantly from the first, by runs on the same images.

An arm is one network with its recipe, trained with some seeds. Counts of correct images inside.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final, Literal

from mnist_arch.evaluation.judgement import Fold, Interval, by_fold, variance_of_mean

SIGNIFICANT_BELOW: Final = 0.05
"""Chance of finding any difference where there is none, over all comparisons with the first."""
RUNS_OF_WELCH: Final = 3
"""Fewer runs of an arm do not estimate its spread."""
LEAST_VARIANCE: Final = Fraction(1, 4)
"""Smallest variance between runs that whole counts can resolve, in squared images.

Runs that waver between two neighbouring counts have a variance of up to 1/4 (Popoviciu 1935), and
may yet come out equal: where nothing differs, all of three on one count and all of three others on
the next has a chance of 2 · (1/2)^6 = 0.031. A spread of zero taken as it is would give p = 0 for
that, the variance of rounding, 1/12 (Sheppard 1898), p = 0.013; 1/4 gives 0.070. For 3 to 10 runs
on two neighbouring counts no p-value below 0.05 is then smaller than its chance.
"""


@dataclass(frozen=True)
class ArmRun:
    """The final epoch of one run on the images that all arms are judged on."""

    seed: int
    correct: int
    """Images it gets right."""
    mistakes: frozenset[int] | None
    """Indices of the images it gets wrong; None where they are not stored."""
    on: Fold | None = None
    """The fold it was judged on, where arms are cross-validated; the indices are in it."""


@dataclass(frozen=True)
class Difference:
    """A later arm minus the first, in percent points of accuracy, of the runs that `n` counts."""

    percent: float
    """Mean of the later arm minus mean of the first."""
    interval_percent: Interval
    """Two-sided 95 %, of this comparison alone. It may hold 0 where `p_value` is below 0.05 and the
    other way round: McNemar's test is exact, its interval is not."""
    p_value: float
    """Two-sided, of this comparison alone."""
    adjusted_p_value: float
    """Holm's, over all comparisons with the first."""
    test: Literal["welch", "mcnemar", "folds"]
    """What it covers: `welch` the choice of seeds, on these images; `mcnemar` the choice of images,
    for these trained networks; `folds` the choice of both."""
    n: tuple[int, int]
    """Runs of the first and of the later arm, all of which it rests on."""

    @property
    def significant(self) -> bool:
        """Whether it is more than chance, after Holm's adjustment."""
        return self.adjusted_p_value < SIGNIFICANT_BELOW


def compare_with_first(arms: Sequence[Sequence[ArmRun]], *, images: int) -> list[Difference | None]:
    """One entry for each arm after the first, in order; None where there is nothing to test by.

    Welch's t-test where both arms have three runs or more, else McNemar's exact test over all runs
    of both, whose mistakes must be stored. Arms without a test take no part in the adjustment.

    Over folds arms are compared in pairs, by the runs of both that have the same seed, and so the
    same fold: the corrected resampled t-test of Nadeau & Bengio (see `variance_of_mean`) where the
    pairs are of three folds or more, else McNemar's. `images` is then that of the largest fold.

    Where the first was chosen without these counts, as a baseline is, the chance that any equal arm
    is significant is 5 % at most. Where it is the best by these counts that chance is higher (12 %
    for 10 equal arms of 10 runs); what holds there is that the truly best arm is the first or is
    not significantly different (Edwards & Hsu 1983, J. Amer. Statist. Assoc. 78, 965–971).

    Raises ValueError for counts and mistakes that contradict each other, and for repeated seeds.
    """
    for arm in arms:
        _check(arm, images)
    alone = [_difference(arms[0], arm, images) for arm in arms[1:]]
    adjusted = iter(holm_adjusted([it.p_value for it in alone if it is not None]))
    return [it and replace(it, adjusted_p_value=next(adjusted)) for it in alone]


def holm_adjusted(p_values: Sequence[float]) -> list[float]:
    """Step-down adjusted p-values, in the order given (Holm 1979, Scand. J. Statist. 6, 65–70)."""
    adjusted = [1.0] * len(p_values)
    highest = 0.0
    for done, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - done) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def squared_deviations(counts: Sequence[int] | Sequence[Fraction]) -> Fraction:
    """Sum of squared deviations from the mean, exact. Raises ZeroDivisionError without counts."""
    mean = sum(map(Fraction, counts), start=Fraction(0)) / len(counts)
    return sum(((count - mean) ** 2 for count in counts), start=Fraction(0))


def _check(arm: Sequence[ArmRun], images: int) -> None:
    if len({run.seed for run in arm}) != len(arm):
        raise ValueError("the seeds of an arm differ from each other")
    for run in arm:
        of = images if run.on is None else run.on.images
        if not 0 <= run.correct <= of:
            raise ValueError(f"seed {run.seed}: {run.correct} correct of {of} images")
        if run.mistakes is not None and len(run.mistakes) != of - run.correct:
            counted = f"{len(run.mistakes)} mistakes and {run.correct} correct"
            raise ValueError(f"seed {run.seed}: {counted} of {of} images")


def _difference(first: Sequence[ArmRun], other: Sequence[ArmRun], images: int) -> Difference | None:
    """The comparison as if it were the only one: its adjusted p-value is its p-value."""
    if any(run.on is not None for run in (*first, *other)):
        return _over_folds(first, other)
    if min(len(first), len(other)) >= RUNS_OF_WELCH:
        counts = [run.correct for run in first], [run.correct for run in other]
        return _welch(*counts, images)
    in_first, in_other = _mistakes(first), _mistakes(other)
    if in_first is None or in_other is None:
        return None
    n, m = len(first), len(other)
    # In whole numbers: n · m times as large.
    gains = [m * in_first[image] - n * in_other[image] for image in in_first | in_other]
    return _mcnemar(gains, n * m, images, (n, m))


def _welch(first: Sequence[int], other: Sequence[int], images: int) -> Difference:
    """Welch's t-test with Satterthwaite's degrees of freedom (Welch 1947, Biometrika 34, 28–35).

    A variance below `LEAST_VARIANCE` counts as that.
    """
    from scipy.special import stdtr, stdtrit

    n, m = len(first), len(other)
    difference = float(Fraction(sum(other), m) - Fraction(sum(first), n))
    of_first, of_other = (
        float(max(squared_deviations(counts) / (len(counts) - 1), LEAST_VARIANCE) / len(counts))
        for counts in (first, other)
    )
    error = math.sqrt(of_first + of_other)
    freedom = (of_first + of_other) ** 2 / (of_first**2 / (n - 1) + of_other**2 / (m - 1))
    half = float(stdtrit(freedom, 0.975)) * error
    p_value = 2 * float(stdtr(freedom, -abs(difference) / error))
    return Difference(
        percent=100 * difference / images,
        interval_percent=(100 * (difference - half) / images, 100 * (difference + half) / images),
        p_value=p_value,
        adjusted_p_value=p_value,
        test="welch",
        n=(n, m),
    )


def _over_folds(first: Sequence[ArmRun], other: Sequence[ArmRun]) -> Difference | None:
    """By the pairs of runs with the same seed, which are on the same fold; None without any."""
    of_first = {run.seed: run for run in first}
    pairs = [(of_first[run.seed], run) for run in other if run.seed in of_first]
    on = [one.on for one, _ in pairs if one.on is not None]
    if len(on) != len(pairs) or any(one.on != two.on for one, two in pairs):
        raise ValueError("runs with the same seed are on the same fold")
    if not pairs:
        return None
    if len({it.number for it in on}) >= RUNS_OF_WELCH:
        return _paired([two.correct - one.correct for one, two in pairs], on)
    return _mcnemar_over_folds(pairs, on)


def _paired(gains: Sequence[int], on: Sequence[Fold]) -> Difference:
    """The corrected resampled t-test (Nadeau & Bengio 2003, Machine Learning 52, 239-281).

    A fold is an observation: of several pairs on it, the mean of their differences. A variance
    below `LEAST_VARIANCE` counts as that.
    """
    from scipy.special import stdtr, stdtrit

    images = max(it.images for it in on)
    each = [Fraction(gain * images, it.images) for gain, it in zip(gains, on, strict=True)]
    observed = list(by_fold(each, on).values())
    freedom = len(observed) - 1
    # What is pooled over the images, as ranks are.
    difference = float(Fraction(sum(gains) * images, sum(it.images for it in on)))
    variance = max(squared_deviations(observed) / freedom, LEAST_VARIANCE)
    error = math.sqrt(variance * variance_of_mean(len(observed), on[0].folds))
    half = float(stdtrit(freedom, 0.975)) * error
    p_value = 2 * float(stdtr(freedom, -abs(difference) / error))
    return Difference(
        percent=100 * difference / images,
        interval_percent=(100 * (difference - half) / images, 100 * (difference + half) / images),
        p_value=p_value,
        adjusted_p_value=p_value,
        test="folds",
        n=(len(gains), len(gains)),
    )


def _mcnemar_over_folds(
    pairs: Sequence[tuple[ArmRun, ArmRun]], on: Sequence[Fold]
) -> Difference | None:
    """McNemar's test over the images of all folds together, each of which counts once."""
    times = Counter(it.number for it in on)
    scale = math.lcm(*times.values())
    gains: Counter[tuple[int, int]] = Counter()
    for (one, two), fold in zip(pairs, on, strict=True):
        if one.mistakes is None or two.mistakes is None:
            return None
        weight = scale // times[fold.number]
        gains.update({(fold.number, image): weight for image in one.mistakes - two.mistakes})
        gains.subtract({(fold.number, image): weight for image in two.mistakes - one.mistakes})
    images = sum({it.number: it.images for it in on}.values())
    return _mcnemar([*gains.values()], scale, images, (len(pairs), len(pairs)))


def _mcnemar(gains: Sequence[int], scale: int, images: int, n: tuple[int, int]) -> Difference:
    """McNemar's exact test (McNemar 1947, Psychometrika 12, 153–157), of one run or several.

    What is tested is the mean over the images of a gain: the share of the later arm's runs that get
    an image right, minus that of the first's. `gains` are these, `scale` times as large, in whole
    numbers; the rest of the images have none. An image counts once however many runs have seen it,
    since what is hard for one run is hard for the next: images are the clusters of Durkalski et al.
    (2003, Statist. Med. 22, 2417–2428). Where the arms are equal, every gain is as likely as its
    opposite, and the p-value counts all ways to change their signs (Pitman 1937, J. R. Statist.
    Soc. Suppl. 4, 119–130); with one run of each that is McNemar's.

    The interval is the adjusted Wald of Bonett & Price (2012, J. Educ. Behav. Stat. 37, 479–488):
    two images more, of which each arm gets one right in all of its runs and the other in none.
    """
    from scipy.special import ndtri

    middle = sum(gains) / (scale * (images + 2))
    square = (sum(gain**2 for gain in gains) / scale**2 + 2) / (images + 2)
    half = float(ndtri(0.975)) * math.sqrt((square - middle**2) / (images + 2))
    p_value = _chance_of_signs(gains)
    return Difference(
        percent=100 * sum(gains) / (scale * images),
        interval_percent=(100 * max(-1.0, middle - half), 100 * min(1.0, middle + half)),
        p_value=p_value,
        adjusted_p_value=p_value,
        test="mcnemar",
        n=n,
    )


def _mistakes(runs: Sequence[ArmRun]) -> Counter[int] | None:
    """In how many runs each image is wrong; None without runs, or where one has not stored them."""
    found: Counter[int] = Counter()
    for run in runs:
        if run.mistakes is None:
            return None
        found.update(run.mistakes)
    return found if runs else None


def _chance_of_signs(gains: Sequence[int]) -> float:
    """Chance that the sum is as far from 0 as it is, each gain having either sign as likely.

    Gains of one size s, c of them, have a sum of s · (2B - c), where B is binomial (c, 1/2).
    """
    import numpy as np
    from scipy.special import bdtr, gammaln

    unit = math.gcd(*gains)
    sizes = Counter(abs(gain) // unit for gain in gains if gain)
    if not sizes:
        return 1.0
    lowest = (sum(size * count for size, count in sizes.items()) - abs(sum(gains)) // unit) // 2
    (size, count), *rest = sizes.most_common()
    chances = np.ones(1)  # of the sum of s · B over the rest
    for other, many in rest:
        k = np.arange(many + 1)
        of_size = np.zeros(other * many + 1)
        of_size[::other] = np.exp(
            gammaln(many + 1) - gammaln(k + 1) - gammaln(many - k + 1) - many * math.log(2)
        )
        chances = np.convolve(chances, of_size)
    room = (lowest - np.arange(len(chances))) // size  # what is left for the B of the first size
    below = np.where(room < 0, 0.0, bdtr(room.clip(0, count), count, 0.5))
    return min(1.0, 2 * float(chances @ below))
