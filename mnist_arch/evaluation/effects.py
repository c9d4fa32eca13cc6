"""What each factor of a full grid does to the accuracy, averaged over the others."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from mnist_arch.evaluation.comparison import LEAST_VARIANCE, squared_deviations
from mnist_arch.evaluation.judgement import Fold, Interval, by_fold, variance_of_mean

Cells = Mapping[tuple[str, ...], Sequence[int]]
"""Correct images of each run of a cell, by the cell's levels in the order of the axes."""


@dataclass(frozen=True)
class Factor:
    """An axis of a grid, as the analysis of its results sees it."""

    place: str
    """What varies, such as `defaults.dropout`."""
    levels: tuple[str, ...]
    """Its values as text; the first is the reference."""

    def __post_init__(self) -> None:
        if not self.levels or len(set(self.levels)) != len(self.levels):
            raise ValueError(f"{self.place}: an axis has levels that differ from each other")


@dataclass(frozen=True)
class Effect:
    """One level of an axis against its reference, in percent points of accuracy."""

    axis: str
    """The place of the axis."""
    level: str
    reference: str
    percent: float
    """Mean over the matched combinations of the mean of the level minus that of the reference."""
    interval_percent: Interval | None
    """Two-sided 95 %, of this effect alone; None where no cell of the grid has two runs.

    It covers the choice of seeds, not that of images, nor of combinations: where the effect differs
    from one combination to the next, `percent` is their average and the interval is of that. Over
    folds it covers the choice of images, too; None where all runs are on one fold.
    """
    pairs: int
    """Matched combinations: levels of the other axes that have runs at both levels."""
    runs: int
    """Runs of these combinations, at both levels."""


def main_effects(
    cells: Cells, factors: Sequence[Factor], *, images: int, on: Sequence[Fold] = ()
) -> list[Effect]:
    """One effect for each level after the first of each axis; none without a matched combination.

    A cell may be missing or without runs. With equally many runs in every cell the effects are the
    contrasts of the analysis of variance of a factorial design, and their intervals its t intervals
    with the pooled variance within cells (Montgomery, Design and Analysis of Experiments, ch. 5).

    `on` has the folds of the runs, in the order of the counts of every cell, where arms are
    cross-validated; `images` is then that of the largest. A fold is a block, with a contrast of its
    own, and the interval is that of the contrasts' mean; see `variance_of_mean`.

    Raises ValueError for a cell that is none of the grid, and for counts outside 0 … images.
    """
    _check(cells, factors, images)
    if any(len(counts) != len(on) for counts in cells.values() if counts and on):
        raise ValueError("every cell has a run on each of the folds")
    margin = _margin([counts for counts in cells.values() if counts])
    effects = []
    for position, factor in enumerate(factors):
        for level in factor.levels[1:]:
            matched = _matched(cells, position, level, factor.levels[0])
            if matched:
                effect = _effect(factor, level, matched, margin, images)
                if on:
                    effect = replace(effect, **_over_folds(matched, on))
                effects.append(effect)
    return effects


Matched = Sequence[tuple[Sequence[int], Sequence[int]]]
"""Counts at the level and at the reference, for each matched combination; none of them empty."""


def _check(cells: Cells, factors: Sequence[Factor], images: int) -> None:
    for key, counts in cells.items():
        if len(key) != len(factors) or any(
            level not in factor.levels for level, factor in zip(key, factors, strict=True)
        ):
            raise ValueError(f"({', '.join(key)}) is no cell of the grid")
        if not all(0 <= count <= images for count in counts):
            raise ValueError(f"({', '.join(key)}): counts outside 0 … {images}")


def _matched(cells: Cells, position: int, level: str, reference: str) -> Matched:
    pairs = []
    for key, counts in cells.items():
        if key[position] == level:
            partner = cells.get((*key[:position], reference, *key[position + 1 :]), ())
            if counts and partner:
                pairs.append((counts, partner))
    return pairs


def _margin(runs_of_cells: Sequence[Sequence[int]]) -> float | None:
    """t(0.975, df) · s in images, s pooled within cells, df = Σ (n - 1); None where df is 0.

    A pooled variance below `LEAST_VARIANCE` counts as that.
    """
    from scipy.special import stdtrit

    freedom = sum(len(counts) - 1 for counts in runs_of_cells)
    if freedom == 0:
        return None
    squares = sum(map(squared_deviations, runs_of_cells), start=Fraction(0))
    variance = max(squares / freedom, LEAST_VARIANCE)
    return float(stdtrit(freedom, 0.975)) * math.sqrt(variance)


def _effect(
    factor: Factor, level: str, matched: Matched, margin: float | None, images: int
) -> Effect:
    """The contrast, with standard error s · √(Σ (1/n_level + 1/n_reference)) / combinations."""
    differences = [
        Fraction(sum(at_level), len(at_level)) - Fraction(sum(at_reference), len(at_reference))
        for at_level, at_reference in matched
    ]
    percent = float(100 * sum(differences, start=Fraction(0)) / (len(matched) * images))
    interval = None
    if margin is not None:
        weight = math.sqrt(sum(1 / len(counts) for pair in matched for counts in pair))
        half = 100 * margin * weight / (len(matched) * images)
        interval = percent - half, percent + half
    return Effect(
        axis=factor.place,
        level=level,
        reference=factor.levels[0],
        percent=percent,
        interval_percent=interval,
        pairs=len(matched),
        runs=sum(len(counts) for pair in matched for counts in pair),
    )


def _over_folds(matched: Matched, on: Sequence[Fold]) -> dict[str, Any]:
    """The effect and its interval, from a contrast of each fold."""
    from scipy.special import stdtrit

    images = max(it.images for it in on)
    gains = [
        Fraction(sum(level[run] - reference[run] for level, reference in matched), len(matched))
        for run in range(len(on))
    ]
    percent = float(100 * sum(gains) / sum(it.images for it in on))
    each = [gain * images / it.images for gain, it in zip(gains, on, strict=True)]
    observed = list(by_fold(each, on).values())
    if (freedom := len(observed) - 1) == 0:
        return {"percent": percent, "interval_percent": None}
    variance = max(squared_deviations(observed) / freedom, LEAST_VARIANCE)
    error = math.sqrt(variance * variance_of_mean(len(observed), on[0].folds))
    half = 100 * float(stdtrit(freedom, 0.975)) * error / images
    return {"percent": percent, "interval_percent": (percent - half, percent + half)}
