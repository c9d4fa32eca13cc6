"""A bound over seeds and images at once: where there is one, and between what it lies."""

from __future__ import annotations

import pytest

from mnist_arch.evaluation.crossed import crossed_bound_percent


@pytest.mark.parametrize(("seeds", "is_there"), [(1, False), (2, True), (3, True)])
def test_one_seed_has_none(seeds: int, is_there: bool) -> None:
    found = crossed_bound_percent([[0, 1, 2]] * seeds, images=100)
    assert (found is not None) == is_there


def test_it_is_below_the_mean_and_lower_where_seeds_err_on_the_same_images() -> None:
    """Then other images change all seeds at once, and nothing averages out."""
    alike = crossed_bound_percent([[0, 1, 2, 3, 4, 5]] * 4, images=1_000)
    apart = crossed_bound_percent([[6 * s + it for it in range(6)] for s in range(4)], images=1_000)
    assert alike is not None
    assert apart is not None
    assert 98.5 < alike < apart < 99.4


def test_without_mistakes_nothing_is_lost() -> None:
    assert crossed_bound_percent([[], []], images=100) == 100
