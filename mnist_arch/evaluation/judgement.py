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
class SeedAccuracies:
    """Accuracies of several runs that differ in their seed alone, on the same images."""

    correct: tuple[int, ...]
    """Correct images of each run."""
    images: int
    """Images that each run was judged on."""

    @classmethod
    def of(cls, correct: Sequence[int], images: int) -> SeedAccuracies:
        """The accuracies of runs with so many correct images each. Raises ValueError for none."""
        if not correct or images < 1:
            raise ValueError("a mean over seeds needs at least one run and one image")
        return cls(tuple(correct), images)

    @property
    def runs(self) -> int:
        """How many there are."""
        return len(self.correct)

    @property
    def mean_share(self) -> Fraction:
        """Mean accuracy, exact, in [0, 1]."""
        return Fraction(sum(self.correct), self.runs * self.images)

    @property
    def mean_percent(self) -> float:
        """Mean accuracy, in percent."""
        return float(100 * self.mean_share)

    @property
    def spread_percent(self) -> float | None:
        """Sample standard deviation (n - 1) over the runs, in percent points; None for one run."""
        if self.runs < 2:
            return None
        mean = Fraction(sum(self.correct), self.runs)
        squares = sum((count - mean) ** 2 for count in self.correct)
        return 100 * math.sqrt(squares / (self.runs - 1)) / self.images

    @property
    def bound_percent(self) -> float | None:
        """One-sided 95 % lower bound of the mean: mean - t(0.95, n - 1) · s / √n; None for one run.

        It covers the choice of seeds, not the choice of test images.
        """
        if (spread := self.spread_percent) is None:
            return None
        from scipy.special import stdtrit

        quantile = float(stdtrit(self.runs - 1, 0.95))
        return self.mean_percent - quantile * spread / math.sqrt(self.runs)
