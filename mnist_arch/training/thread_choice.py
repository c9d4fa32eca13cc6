"""How many threads a step is worth: by its work, and by what others leave free. Without torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

MACS_OF_A_THREAD: Final = 4.0e7
"""Multiply-accumulates of a step, forward, for each of its threads: with fewer they wait for each
other longer than they work; see docs/performance.md for the measurement."""

MACS_OF_A_NATIVE_THREAD: Final = 1.0e7
"""The same of native steps, whose threads meet once an operation."""

SPARE_CPUS: Final = 0.25
"""Which others may use without a thread being given up for them."""


@dataclass(frozen=True)
class ThreadChoice:
    """How many threads, and how many there would be if nobody else used the machine."""

    threads: int
    alone: int


def choose_threads(
    *,
    macs: int,
    batch: int,
    most: float,
    free_cpus: float,
    spin: bool = False,
    macs_of_a_thread: float = MACS_OF_A_THREAD,
) -> ThreadChoice:
    """Threads for steps of `batch` images, each of `macs` multiply-accumulates forward.

    `most` CPUs may be used at all, `free_cpus` are what others leave of them. Threads that `spin`
    while they wait are one fewer than the CPUs, so that there is one for what comes later.
    """

    def at_most(cpus: float) -> int:
        worth = math.floor(macs * batch / macs_of_a_thread)
        return max(1, min(worth, math.floor(cpus + SPARE_CPUS) - spin))

    return ThreadChoice(at_most(min(most, free_cpus)), at_most(most))
