"""The learning rate as a function of the step."""

from __future__ import annotations

import math
from typing import assert_never

from mnist_arch.spec.recipe import AnySchedule, Constant, Cosine, OneCycle, Step

# As torch's OneCycleLR: the cycle starts at peak / 25 and ends at a 10,000th of that.
ONE_CYCLE_START_DIVISOR = 25
ONE_CYCLE_END_DIVISOR = 25 * 10_000


def learning_rate(schedule: AnySchedule, step: int, *, steps: int, steps_per_epoch: int) -> float:
    """Rate for `step` (from 0) of `steps`; it peaks at the last step of the warm-up."""
    warmup = round(schedule.warmup * steps)
    if step < warmup:
        return schedule.peak * _rise(schedule, (step + 1) / warmup)
    done = (step + 1 - warmup) / (steps - warmup)  # in (0, 1]
    return schedule.peak * _fall(schedule, done, (step // steps_per_epoch))


def _rise(schedule: AnySchedule, done: float) -> float:
    """Share of the peak during warm-up, from its start (0) to its end (1)."""
    if isinstance(schedule, OneCycle):
        return _cosine(1 / ONE_CYCLE_START_DIVISOR, 1.0, done)
    return done


def _fall(schedule: AnySchedule, done: float, epoch: int) -> float:
    """Share of the peak after warm-up, from its start (0) to its end (1)."""
    match schedule:
        case OneCycle():
            return _cosine(1.0, 1 / ONE_CYCLE_END_DIVISOR, done)
        case Cosine():
            return _cosine(1.0, 0.0, done)
        case Step():
            return schedule.factor ** (epoch // schedule.every_epochs)
        case Constant():
            return 1.0
        case never:
            assert_never(never)


def _cosine(start: float, end: float, done: float) -> float:
    """Half a cosine from `start` to `end`."""
    return end + (start - end) * (1 + math.cos(math.pi * done)) / 2
