"""How fast a CPU trains a network, by its work: a guess, and what is far below it."""

from __future__ import annotations

from typing import Final

from mnist_arch.machine.cpus import Watch, usable_cpus
from mnist_arch.training.engine import Engine
from mnist_arch.training.events import Progress, Slow

SECONDS_PER_IMAGE: Final = 9e-5
SECONDS_PER_MAC: Final = 1.1e-10
"""Of training, on one thread: fitted to 3,700 and 1,300 images a second at 1.6 and 6.0 million
MACs, on two busy cores of a virtual machine."""

SECONDS_PER_STEP: Final = 5e-3
"""However small the batch."""

GAIN_OF_A_THREAD: Final = 0.25
"""What each thread after the first adds to the speed of one, at least, where CPUs are free."""

FAR: Final = 4.0
"""Times slower than the guess is far. Networks of the same work differ by less, and so do most
machines."""

LEAST_SECONDS: Final = 5.0
"""Of an epoch, before its speed is judged."""


def expected_images_per_second(*, macs: int, batch: int, threads: int = 1) -> float:
    """A guess for steps of `batch` images, each of `macs` multiply-accumulates forward."""
    seconds = SECONDS_PER_STEP + batch * (SECONDS_PER_IMAGE + SECONDS_PER_MAC * macs)
    return batch / seconds * (1 + GAIN_OF_A_THREAD * (threads - 1))


class SpeedCheck:
    """Holds the speed of a training on a CPU against the guess, and says once that it is slow."""

    def __init__(
        self, *, macs: int, batch: int, engine: Engine, watch: Watch | None = None
    ) -> None:
        self.expected = expected_images_per_second(macs=macs, batch=batch, threads=engine.threads)
        self.batch, self.threads = batch, engine.threads
        self.watch = watch or Watch()
        self.is_over = engine.device != "cpu"

    def notice(self, progress: Progress) -> Slow | None:
        """What is to be said after this; mostly nothing."""
        speed = progress.images_per_second
        seconds = progress.step * self.batch / max(speed, 1e-9)
        if self.is_over or seconds < LEAST_SECONDS or speed * FAR > self.expected:
            return None
        self.is_over = True
        return Slow(speed, self.expected, self.threads, usable_cpus(), self.watch.free_cpus())
