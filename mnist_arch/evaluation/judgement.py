"""Accuracies with their uncertainty: counts of correct images inside, percents for reading."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from fractions import Fraction
from statistics import NormalDist
from typing import Any

from mnist_arch.data.catalog import SplitName
from mnist_arch.html import table

Interval = tuple[float, float]


def wilson_interval_percent(correct: int, images: int, *, confidence: float = 0.95) -> Interval:
    """Wilson's score interval of a share, (low, high) in percent (Wilson 1927, JASA 22, 209–212).

    Without scipy, whose statistics would take a second to import at the end of every run. Raises
    ZeroDivisionError without images.
    """
    z, share = NormalDist().inv_cdf((1 + confidence) / 2), correct / images
    middle = share + z**2 / (2 * images)
    half = z * math.sqrt(share * (1 - share) / images + (z / (2 * images)) ** 2)
    low, high = ((middle + way) / (1 + z**2 / images) for way in (-half, half))
    return 100 * max(0.0, low), 100 * min(1.0, high)


@dataclass(frozen=True, repr=False)
class Judgement:
    """How many images of a split a network is right about, and its loss on them."""

    correct: int
    """Images whose largest output is that of their label."""
    images: int
    """Images it was judged on."""
    loss: float
    """Mean cross-entropy, in nats."""
    split: SplitName
    """The images that it was judged on."""

    def __repr__(self) -> str:
        counts = f"{self.correct:,} of {self.images:,} correct"
        return f"{type(self).__name__}({self.accuracy_percent:.2f} % ({self.split}, {counts}))"

    def _repr_html_(self) -> str:
        low, high = self.interval_percent
        row = (self.split, self.images, self.correct, f"{low:.2f}–{high:.2f} %", f"{self.loss:.4f}")
        return table(repr(self), ("split", "images", "correct", "Wilson 95 %", "loss"), [row])

    @property
    def accuracy_percent(self) -> float:
        """100 · correct / images."""
        return 100 * self.correct / self.images

    @property
    def interval_percent(self) -> Interval:
        """Wilson's 95 % interval over the images."""
        return wilson_interval_percent(self.correct, self.images)

    def values(self) -> dict[str, Any]:
        """All of these by their names, as stored values have them."""
        own = {field.name: getattr(self, field.name) for field in fields(Judgement)}
        accuracy, interval = self.accuracy_percent, self.interval_percent
        return {**own, "accuracy_percent": accuracy, "interval_percent": interval}


@dataclass(frozen=True)
class Fold:
    """The part of a training split that a run of a cross-validation is judged on."""

    folds: int
    """How many there are."""
    number: int
    """Which one it is, from 0."""
    images: int


def variance_of_mean(observations: int, folds: int | None) -> float:
    """By what the variance of one observation is multiplied for that of their mean.

    1/n for runs on the same images. Over folds observations depend on each other, since two of them
    share most of what they learn from: 1/n + 1/(folds - 1), where the latter is the images of a
    fold for each that is learned from (Nadeau & Bengio 2003, Machine Learning 52, 239-281). That is
    a rule of thumb: no unbiased estimate exists (Bengio & Grandvalet 2004, JMLR 5, 1089-1105).
    """
    return 1 / observations + (0 if folds is None else 1 / (folds - 1))


@dataclass(frozen=True)
class SeedAccuracies:
    """Accuracies of several runs that differ in their seed alone, on the same images or on folds.

    Of several runs on a fold the mean is one observation, when a bound is asked for.
    """

    correct: tuple[int, ...]
    """Correct images of each run."""
    images: int
    """Images that each run was judged on; of folds, which differ by one, the most."""
    on: tuple[Fold, ...] = ()
    """The fold of each run; empty where all are judged on the same images."""

    @classmethod
    def of(cls, correct: Sequence[int], images: int) -> SeedAccuracies:
        """The accuracies of runs with so many correct images each. Raises ValueError for none."""
        if not correct or images < 1:
            raise ValueError("a mean over seeds needs at least one run and one image")
        return cls(tuple(correct), images)

    @classmethod
    def over_folds(cls, correct: Sequence[int], on: Sequence[Fold]) -> SeedAccuracies:
        """The accuracies of runs on these folds. Raises ValueError for none."""
        if len(correct) != len(on) or len({it.folds for it in on}) != 1:
            raise ValueError("each run needs its fold, all of one cross-validation")
        return cls(tuple(correct), max(it.images for it in on), tuple(on))

    @property
    def runs(self) -> int:
        """How many there are."""
        return len(self.correct)

    @property
    def mean_share(self) -> Fraction:
        """Mean accuracy, exact, in [0, 1]."""
        images = sum(it.images for it in self.on) if self.on else self.runs * self.images
        return Fraction(sum(self.correct), images)

    @property
    def mean_percent(self) -> float:
        """Mean accuracy, in percent."""
        return float(100 * self.mean_share)

    @property
    def spread_percent(self) -> float | None:
        """Sample standard deviation (n - 1) over the runs, in percent points; None for one run."""
        return self._spread(self._counts)

    @property
    def _counts(self) -> list[Fraction]:
        """Correct images of each run, of as many images for all."""
        if not self.on:
            return [Fraction(it) for it in self.correct]
        pairs = zip(self.correct, self.on, strict=True)
        return [Fraction(it * self.images, fold.images) for it, fold in pairs]

    def _spread(self, counts: Sequence[Fraction]) -> float | None:
        if len(counts) < 2:
            return None
        mean = sum(counts) / Fraction(len(counts))
        squares = sum((count - mean) ** 2 for count in counts)
        return 100 * math.sqrt(squares / (len(counts) - 1)) / self.images

    @property
    def bound_percent(self) -> float | None:
        """One-sided 95 % lower bound of the mean: mean - t(0.95, n - 1) · s / √n; None for one run.

        It covers the choice of seeds, not the choice of test images. Over folds it covers that of
        the images, too: n and s are of the means of the folds, and 1 / √n is the root of what
        `variance_of_mean` says; None for one fold.
        """
        counts, folds = self._counts, self.on[0].folds if self.on else None
        if self.on:
            counts = list(by_fold(counts, self.on).values())
        if (spread := self._spread(counts)) is None:
            return None
        from scipy.special import stdtrit

        quantile = float(stdtrit(len(counts) - 1, 0.95))
        if folds is None:
            return self.mean_percent - quantile * spread / math.sqrt(len(counts))
        return self.mean_percent - quantile * spread * math.sqrt(
            variance_of_mean(len(counts), folds)
        )


def by_fold(values: Sequence[Fraction], on: Sequence[Fold]) -> dict[int, Fraction]:
    """The mean of the values of the runs on each fold."""
    found: dict[int, list[Fraction]] = {}
    for value, fold in zip(values, on, strict=True):
        found.setdefault(fold.number, []).append(value)
    return {number: sum(them) / Fraction(len(them)) for number, them in sorted(found.items())}
