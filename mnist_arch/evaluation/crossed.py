"""A bound of the mean accuracy over seeds and test images at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

DRAWS: Final = 20_000
"""Of the bootstrap: the bound's own standard error is then below 0.001 points."""


def crossed_bound_percent(mistakes: Sequence[Sequence[int]], images: int) -> float | None:
    """A lower bound of the mean accuracy over seeds and images, in percent: one-sided, 95 %.

    `mistakes` has, for each seed, the places of its wrong images of `images`. Seeds and images are
    each drawn with replacement, independently, and the 5 % quantile of the mean is taken: the
    crossed bootstrap (Owen 2007, Ann. Appl. Stat. 1, 386–411), which errs towards a lower bound.
    None for one seed. The draws are the same each time.
    """
    if len(mistakes) < 2:
        return None
    import numpy as np

    seeds_of: dict[int, list[int]] = {}
    for seed, places in enumerate(mistakes):
        for place in places:
            seeds_of.setdefault(place, []).append(seed)
    # Images that the same seeds are wrong about are drawn as one kind: so many as come of them.
    kinds = Counter(map(tuple, seeds_of.values()))
    wrong = np.array([[seed in kind for kind in kinds] for seed in range(len(mistakes))], float)
    generator = np.random.default_rng(0)
    of_seeds = generator.multinomial(len(wrong), [1 / len(wrong)] * len(wrong), size=DRAWS)
    shares = [count / images for count in kinds.values()]
    shares.append(1 - len(seeds_of) / images)
    of_images = generator.multinomial(images, shares, size=DRAWS)[:, :-1]
    errors = np.einsum("ds,sp,dp->d", of_seeds, wrong, of_images) / (len(wrong) * images)
    return float(100 * (1 - np.quantile(errors, 0.95)))
