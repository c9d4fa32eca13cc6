"""The plan of one epoch: which images each step is given, at which rate and momentum."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from mnist_arch.spec.recipe import OneCycle
from mnist_arch.training.ema import average_weight
from mnist_arch.training.schedule import learning_rate, momentum
from mnist_arch.training.state import State


@dataclass(frozen=True)
class EpochPlan:
    """What the steps of one epoch are given."""

    batches: tuple[Tensor, ...]
    """Images of each step, (batch,) int64 on the device; the last may be fewer than the others."""
    rates: list[float]
    """Learning rate of each step."""
    weights: list[float]
    """Share of the new weights in the average after each step; empty without an average."""
    momenta: list[float] = field(default_factory=list)
    """Momentum of each step; empty where it is the optimizer's own."""

    @classmethod
    def next(cls, state: State, images: int) -> EpochPlan:
        """The plan of the epoch that `state` reaches next, freshly shuffled over so many images.

        Draws from the state's stream for shuffling.
        """
        recipe = state.experiment.recipe
        sizes = recipe.batches(images)
        order_N = torch.randperm(images, generator=state.shuffle)[: sum(sizes)]
        steps = len(sizes)
        done = range(state.epoch * steps, (state.epoch + 1) * steps)
        total = recipe.epochs * steps
        schedule = recipe.schedule
        lowered = None if state.plateau is None else state.plateau.rate
        return cls(
            batches=torch.split(order_N.to(state.device), sizes),
            rates=[
                learning_rate(schedule, step, steps=total, steps_per_epoch=steps, lowered=lowered)
                for step in done
            ],
            weights=[]
            if recipe.ema is None
            else [average_weight(recipe.ema, step=step + 1) for step in done],
            momenta=[momentum(schedule, step, steps=total) for step in done]
            if isinstance(schedule, OneCycle) and schedule.cycle_momentum
            else [],
        )

    @property
    def images(self) -> int:
        """Images of all steps together."""
        return sum(map(len, self.batches))

    def mean_loss(self, losses_S: Tensor) -> float:
        """Over the images of the epoch, of the mean losses of its steps, (steps,) on the CPU."""
        counts_S = torch.tensor([*map(len, self.batches)], dtype=torch.float64)
        return float((losses_S * counts_S).sum() / self.images)
