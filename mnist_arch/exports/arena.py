"""Where each value of a program lies in one block of memory, while it is needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Lifetime:
    """A value: how many elements, and from which operation to which it is needed, both included."""

    size: int
    first: int
    last: int

    def meets(self, other: Lifetime) -> bool:
        """Whether there is an operation at which both are needed."""
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True)
class Arena:
    """A block of memory with a place for each value."""

    offsets: tuple[int, ...]
    size: int
    """Elements."""


def arena_of(lifetimes: Sequence[Lifetime]) -> Arena:
    """Places the largest first, each as low as it fits beside those that it meets.

    That is the greedy rule of Pisarchyk and Lee (2020), within a few percent of the least there is.
    """
    placed: dict[int, int] = {}
    for index in sorted(range(len(lifetimes)), key=lambda it: -lifetimes[it].size):
        value = lifetimes[index]
        offset = 0
        for other in sorted(placed, key=placed.__getitem__):
            if not value.meets(lifetimes[other]) or placed[other] + lifetimes[other].size <= offset:
                continue
            if placed[other] >= offset + value.size:
                break
            offset = placed[other] + lifetimes[other].size
        placed[index] = offset
    ends = (placed[index] + lifetimes[index].size for index in placed)
    return Arena(tuple(placed[it] for it in range(len(lifetimes))), max(ends, default=0))
