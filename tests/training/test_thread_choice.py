"""Threads by the work of a step and by what is free, and speed that is far below the guess."""

from __future__ import annotations

from typing import cast

import pytest

from mnist_arch.machine.cpus import Watch
from mnist_arch.training.engine import Engine
from mnist_arch.training.events import Progress
from mnist_arch.training.pace import SpeedCheck, expected_images_per_second
from mnist_arch.training.thread_choice import ThreadChoice, choose_threads

S6, TINY = 6_049_088, 86_976


@pytest.mark.parametrize(
    ("macs", "most", "free", "spin", "choice"),
    [
        (S6, 2, 2.0, False, ThreadChoice(2, 2)),
        (S6, 2, 1.9, False, ThreadChoice(2, 2)),
        (S6, 2, 1.0, False, ThreadChoice(1, 2)),
        (S6, 2, 0.0, False, ThreadChoice(1, 2)),
        (S6, 1.5, 1.5, False, ThreadChoice(1, 1)),
        (S6, 64, 64.0, False, ThreadChoice(9, 9)),
        (TINY, 64, 64.0, False, ThreadChoice(1, 1)),
        (S6, 2, 2.0, True, ThreadChoice(1, 1)),
        (S6, 4, 4.0, True, ThreadChoice(3, 3)),
    ],
)
def test_threads_by_work_and_by_what_is_free(
    macs: int, most: float, free: float, spin: bool, choice: ThreadChoice
) -> None:
    assert choose_threads(macs=macs, batch=64, most=most, free_cpus=free, spin=spin) == choice


class Watched:
    def free_cpus(self) -> float:
        return 0.5


def check(device: str = "cpu", threads: int = 1) -> SpeedCheck:
    engine = Engine.model_validate({"device": device, "threads": threads})
    return SpeedCheck(macs=S6, batch=64, engine=engine, watch=cast(Watch, Watched()))


def progress(speed: float, *, seconds: float) -> Progress:
    return Progress(1, round(speed * seconds / 64), 10_000, 640_000, 0.1, speed)


def test_a_training_that_is_far_too_slow_is_said_to_be_so_once() -> None:
    expected = expected_images_per_second(macs=S6, batch=64)
    speed = check()
    assert speed.notice(progress(expected / 3.9, seconds=20)) is None
    assert speed.notice(progress(expected / 4.1, seconds=4)) is None
    slow = speed.notice(progress(expected / 4.1, seconds=20))
    assert slow is not None
    assert (slow.threads, slow.free_cpus) == (1, 0.5)
    assert slow.expected == expected
    assert speed.notice(progress(expected / 9, seconds=20)) is None


def test_a_gpu_is_not_held_against_a_cpu() -> None:
    assert check("cuda").notice(progress(1.0, seconds=200)) is None
