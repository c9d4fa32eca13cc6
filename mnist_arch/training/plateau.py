"""A learning rate that falls where a loss has stopped to fall. Nothing here imports torch."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

from mnist_arch.spec.recipe import Plateau

LEAST_FALL: Final = 1e-8
"""A fall of the rate by no more than this is left out, as torch does."""


@dataclass
class PlateauState:
    """Where a plateau has come to, after each epoch that it was told of.

    It is the algorithm of torch's ReduceLROnPlateau.
    """

    rate: float
    lowest: float = math.inf
    """The lowest loss so far."""
    bad_epochs: int = 0
    """Since then, or since the last fall."""
    cooldown: int = 0
    """Epochs that are not counted any more."""

    @classmethod
    def fresh(cls, schedule: Plateau) -> Self:
        return cls(rate=schedule.peak)

    def after(self, loss: float, schedule: Plateau) -> None:
        """Takes over the loss of an epoch."""
        if loss < self._needed(schedule):
            self.lowest, self.bad_epochs = loss, 0
        else:
            self.bad_epochs += 1
        if self.cooldown > 0:
            self.cooldown -= 1
            self.bad_epochs = 0
        if self.bad_epochs > schedule.patience:
            lower = max(self.rate * schedule.factor, schedule.min_rate)
            if self.rate - lower > LEAST_FALL:
                self.rate = lower
            self.cooldown, self.bad_epochs = schedule.cooldown, 0

    def state_dict(self) -> dict[str, Any]:
        """Numbers, for a checkpoint."""
        return asdict(self)

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Takes over what `state_dict` gave. Raises KeyError."""
        for name in self.state_dict():
            setattr(self, name, saved[name])

    def _needed(self, schedule: Plateau) -> float:
        """What a loss has to be below."""
        if schedule.threshold_mode == "abs":
            return self.lowest - schedule.threshold
        return self.lowest * (1 - schedule.threshold)
