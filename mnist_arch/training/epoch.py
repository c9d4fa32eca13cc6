"""The plan of one epoch: which images each step is given, and at which rate."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mnist_arch.training.ema import average_weight
from mnist_arch.training.schedule import learning_rate
from mnist_arch.training.state import State


@dataclass(frozen=True)
class Pass:
    """What the steps of one epoch are given."""

    order_SB: Tensor
    """Images of each step, (steps, batch) int64 on the device."""
    rates: list[float]
    """Learning rate of each step."""
    weights: list[float]
    """Share of the new weights in the average after each step; empty without an average."""

    @classmethod
    def next(cls, state: State, images: int, *, batch: int) -> Pass:
        """Of the epoch that `state` comes to: freshly shuffled, the incomplete batch dropped."""
        recipe, steps = state.experiment.recipe, images // batch
        order_N = torch.randperm(images, generator=state.shuffle)
        done = range(state.epoch * steps, (state.epoch + 1) * steps)
        total = recipe.epochs * steps
        return cls(
            order_SB=order_N[: steps * batch].view(steps, batch).to(state.device),
            rates=[
                learning_rate(recipe.schedule, step, steps=total, steps_per_epoch=steps)
                for step in done
            ],
            weights=[]
            if recipe.ema is None
            else [average_weight(recipe.ema, step=step + 1) for step in done],
        )
