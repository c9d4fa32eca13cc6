"""The learning rate and the momentum as functions of the step."""

from __future__ import annotations

import math
from typing import assert_never

from mnist_arch.spec.recipe import (
    AnySchedule,
    Constant,
    Cosine,
    Exponential,
    InverseTime,
    MultiStep,
    OneCycle,
    Plateau,
    Step,
)


def learning_rate(
    schedule: AnySchedule,
    step: int,
    *,
    steps: int,
    steps_per_epoch: int,
    lowered: float | None = None,
) -> float:
    """Rate for `step` (from 0) of `steps`; it peaks at the last step of the warm-up.

    `lowered` is what a plateau has come to; without one it is at its peak.
    """
    if isinstance(schedule, OneCycle):
        start = 1 / schedule.div_factor
        end = 1 / (schedule.div_factor * schedule.final_div_factor)
        return schedule.peak * _cycle(schedule, step, steps, start=start, middle=1.0, end=end)
    warmup = round(schedule.warmup * steps)
    if step < warmup:
        return schedule.peak * ((step + 1) / warmup)
    if isinstance(schedule, Plateau):
        return schedule.peak if lowered is None else lowered
    done = (step + 1 - warmup) / (steps - warmup)  # in (0, 1]
    return schedule.peak * _fall(schedule, done, (step // steps_per_epoch))


def momentum(schedule: OneCycle, step: int, *, steps: int) -> float:
    """Momentum for `step` (from 0) of `steps`, where it is cycled."""
    high, low = schedule.max_momentum, schedule.base_momentum
    return _cycle(schedule, step, steps, start=high, middle=low, end=high)


def _cycle(
    schedule: OneCycle, step: int, steps: int, *, start: float, middle: float, end: float
) -> float:
    """A value that goes from `start` to `middle` while the rate rises, and then to `end`."""
    if schedule.first_step == "start":  # as torch, whose peak may lie between two steps
        rise, last = schedule.warmup * steps - 1, steps - 1
        if step <= rise:
            return _cosine(start, middle, step / rise if rise else 1.0)
        return _cosine(middle, end, (step - rise) / (last - rise))
    rise = round(schedule.warmup * steps)
    if step < rise:
        return _cosine(start, middle, (step + 1) / rise)
    return _cosine(middle, end, (step + 1 - rise) / (steps - rise))


def _fall(
    schedule: Cosine | Step | MultiStep | Exponential | InverseTime | Constant,
    done: float,
    epoch: int,
) -> float:
    """Share of the peak after warm-up, from its start (0) to its end (1); epochs count from 0."""
    match schedule:
        case Cosine():
            return _cosine(1.0, 0.0, done)
        case Step():
            return schedule.factor ** (epoch // schedule.every_epochs)
        case MultiStep():
            return schedule.factor ** sum(it <= epoch for it in schedule.milestones)
        case Exponential():
            return schedule.factor**epoch
        case InverseTime():
            return 1 / (1 + schedule.decay_rate * epoch)
        case Constant():
            return 1.0
        case never:
            assert_never(never)


def _cosine(start: float, end: float, done: float) -> float:
    """Half a cosine from `start` to `end`."""
    return end + (start - end) * (1 + math.cos(math.pi * done)) / 2
