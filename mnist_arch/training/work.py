"""The work of a training, before it begins. Nothing here imports torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

from mnist_arch.counting.plan import Plan
from mnist_arch.spec.recipe import Recipe
from mnist_arch.training.pace import expected_images_per_second


def training_flops(*, macs: int, images: int, epochs: int) -> float:
    """Floating-point operations of a training: forward, and twice as much backward."""
    return 3 * 2.0 * macs * images * epochs


def not_captured(recipe: Recipe) -> str:
    """What of a recipe cannot be in a graph, as the spec says it; empty where all can."""
    if recipe.cycles_momentum:
        return "`cycle_momentum`"
    if recipe.teacher is not None:
        return "`teacher`"
    kind = recipe.optimizer.kind
    return "" if kind in ("sgd", "adam", "adamw") else f"`{kind}`"


@dataclass(frozen=True)
class Work:
    """A training's length and width."""

    macs: int
    """Multiply-accumulates of an image, forward."""
    batch: int
    images: int
    """Of an epoch."""
    epochs: int
    channels: float
    """Of a convolution, as `mean_channels` has it."""
    runs: int = 1
    """That are trained alike, one after the other."""
    quantized: bool = False
    """Whether weights and values are rounded in training, which only plain steps do."""
    not_captured: str = ""
    """What of the recipe captured steps do not have; empty where they have all."""

    @classmethod
    def of(cls, plan: Plan, recipe: Recipe, *, images: int, runs: int = 1) -> Self:
        """Of trainings on so many images."""
        trained = sum(recipe.batches(images))
        channels = mean_channels(plan)
        quantized = recipe.quantize is not None
        return cls(
            plan.macs,
            recipe.batch_size,
            trained,
            recipe.epochs,
            channels,
            runs,
            quantized,
            not_captured(recipe),
        )

    @property
    def flops_after_first_epoch(self) -> float:
        """Of a run, in all epochs but the first, which is plain where steps are compiled."""
        return training_flops(macs=self.macs, images=self.images, epochs=self.epochs - 1)

    def plain_seconds(self, threads: int) -> float:
        """A guess of what all of it takes with plain steps."""
        speed = expected_images_per_second(macs=self.macs, batch=self.batch, threads=threads)
        return self.runs * self.images * self.epochs / speed


def mean_channels(plan: Plan) -> float:
    """Channels that a multiply-accumulate has besides it: the mean over all of them.

    Of a convolution it is the root of input channels, in a group, times output channels.
    """
    total = 0.0
    for row in plan.rows:
        _, height, width = row.output_shape
        products = row.macs / (height * width * math.prod(row.window or (1, 1)))
        total += row.macs * math.sqrt(products)
    return total / max(plan.macs, 1)
