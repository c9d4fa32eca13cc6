"""Scores with their uncertainty: integer counts of correct images inside, percents for reading."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from statistics import NormalDist

Interval = tuple[float, float]


def wilson_interval_percent(correct: int, images: int, *, confidence: float = 0.95) -> Interval:
    """Wilson's score interval of a share, in percent (Wilson 1927, JASA 22, 209–212).

    Without scipy, whose statistics would take a second to import at the end of every run.
    """
    z, share = NormalDist().inv_cdf((1 + confidence) / 2), correct / images
    middle = share + z**2 / (2 * images)
    half = z * math.sqrt(share * (1 - share) / images + (z / (2 * images)) ** 2)
    low, high = ((middle + way) / (1 + z**2 / images) for way in (-half, half))
    return 100 * max(0.0, low), 100 * min(1.0, high)


@dataclass(frozen=True)
class Score:
    """Accuracies of several runs that differ in their seed alone, on the same images."""

    correct: tuple[int, ...]
    """Correct images of each run."""
    images: int
    """Images that each run was judged on."""

    @classmethod
    def of(cls, correct: Sequence[int], images: int) -> Score:
        """Raises ValueError without runs or images."""
        if not correct or images < 1:
            raise ValueError("a score needs at least one run and one image")
        return cls(tuple(correct), images)

    @property
    def runs(self) -> int:
        return len(self.correct)

    @property
    def mean_share(self) -> Fraction:
        """Mean accuracy, exact, in [0, 1]."""
        return Fraction(sum(self.correct), self.runs * self.images)

    @property
    def mean_percent(self) -> float:
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
