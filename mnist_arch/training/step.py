"""One step of training: assemble a batch, change it, forward, backward, optimizer, average."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mnist_arch.data.pixels import normalize, to_unit
from mnist_arch.data.split import Split
from mnist_arch.evaluation.metrics import predict
from mnist_arch.network.rounded import RoundedNetwork
from mnist_arch.training.allocator import LARGEST_KEPT_BYTES, give_back_freed
from mnist_arch.training.augment import augment
from mnist_arch.training.ema import update_average
from mnist_arch.training.engine import Precision
from mnist_arch.training.epoch import EpochPlan
from mnist_arch.training.events import Compiling, NotCaptured, NotCompiled
from mnist_arch.training.state import State
from mnist_arch.training.teacher import distilled, soft_targets

CLEARED_EVERY: Final = 8
"""Steps between two of which what is freed is given back, where a batch has maps that are not kept:
the holes between those that are would grow from step to step."""


class PlainStep:
    """A step as torch does it, operation by operation.

    Raises ValueError where the recipe has a teacher and the state has none, or the images are not
    of the training split, which are all that a teacher is ever asked about.
    """

    def __init__(self, state: State, training: Split, *, precision: Precision = "float32") -> None:
        self.state, self.training = state, training
        self.normalization = state.experiment.normalization
        self.teaching = state.experiment.recipe.teacher
        if self.teaching is not None:
            if state.teacher is None:
                raise ValueError("the recipe has a teacher, and the state has none")
            if state.teacher.experiment.classes != state.experiment.classes:
                raise ValueError("the teacher has another number of outputs")
            if training.name != "train":
                raise ValueError(f"a teacher is not asked about images of {training.name}")
        self.network: Callable[[Tensor], Tensor] = state.model
        if (quantize := state.experiment.recipe.quantize) is not None:
            self.network = RoundedNetwork(state.model, state.plan.layers, quantize=quantize)
        self.autocast = torch.autocast(
            state.device.type,
            dtype=torch.bfloat16,
            enabled=precision == "bfloat16",
            cache_enabled=False,  # no weight is cast twice, and a graph is to hold the casts itself
        )

    def get_ready(self) -> Iterable[Compiling | NotCompiled | NotCaptured]:
        """Does what this kind of step needs before each epoch. Yields what is to be said."""
        return ()

    def begin(self, epoch: EpochPlan) -> None:
        """The next calls are the steps of `epoch`."""
        self.epoch = epoch
        self.losses_S = torch.zeros(len(epoch.rates), device=self.state.device)
        largest = max(row.activation_bytes for row in self.state.plan.rows)
        batch = len(epoch.batches[0])
        self.clears = self.state.device.type == "cpu" and batch * largest > LARGEST_KEPT_BYTES

    def __call__(self, number: int) -> None:
        """Step `number` of the epoch, from 0; leaves its loss in `losses_S`."""
        weight = self.epoch.weights[number] if self.epoch.weights else None
        rate = self.epoch.rates[number]
        if self.epoch.momenta:
            self.state.optimizer.momentum = self.epoch.momenta[number]
        self.losses_S[number] = self.learn(self.epoch.batches[number], rate=rate, weight=weight)
        if self.clears and number % CLEARED_EVERY == 0:
            give_back_freed()

    def predict(self, images_NCHW: Tensor) -> Tensor:
        """Logits of images by what is trained: (N, C, H, W) uint8 → (N, classes) float32."""
        return predict(self.state.result, images_NCHW, self.normalization)

    def learn(
        self, index_B: Tensor, *, rate: float | Tensor, weight: float | Tensor | None
    ) -> Tensor:
        """Learns from the images at `index_B`. Returns their loss, () float32.

        `rate` and `weight` may be tensors on the device, which are read when the work is done.
        """
        state, training = self.state, self.training
        recipe = state.experiment.recipe
        x_NCHW = augment(to_unit(training.images[index_B]), recipe.augment, rng=state.augment)
        with self.autocast:
            logits_NK = self.network(normalize(x_NCHW, self.normalization))
        loss = F.cross_entropy(  # whose logarithms need the digits of float32 at least
            logits_NK.to(torch.promote_types(logits_NK.dtype, torch.float32)),
            training.labels[index_B],
            label_smoothing=recipe.label_smoothing,
        )
        if self.teaching is not None and state.teacher is not None:
            with self.autocast:
                targets_NK = soft_targets(state.teacher.logits(x_NCHW), self.teaching)
            loss = distilled(loss, logits_NK.to(loss.dtype), targets_NK, self.teaching)
        if recipe.l1 is not None:
            penalized = [
                it for it in state.model.parameters() if recipe.l1.of == "all" or it.ndim > 1
            ]
            loss = loss + recipe.l1.strength * sum(it.abs().sum() for it in penalized)
        state.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it without types
        if recipe.clip_norm is not None:
            nn.utils.clip_grad_norm_(state.model.parameters(), recipe.clip_norm)
        state.optimizer.step(rate)
        if state.average is not None and weight is not None:
            update_average(state.average, state.model, weight=weight)
        return loss.detach()
