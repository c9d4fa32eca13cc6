"""The state of a training: all that it needs to go on.

Four streams of random numbers come from the one seed, each for one use: initial weights, shuffling,
augmentation, and dropout, which torch draws from its global generator. The state holds them all.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any, Self, assert_never

import torch
from torch import Generator, Tensor, nn

from mnist_arch.network import Classifier, build
from mnist_arch.recipes import AdamW, Recipe, Sgd
from mnist_arch.specs import Experiment


@dataclass
class State:
    """All that a training needs to go on: weights, average, optimizer, random streams, clock."""

    experiment: Experiment
    model: Classifier
    average: Classifier | None
    optimizer: torch.optim.Optimizer
    shuffle: Generator
    augment: Generator
    dropout: Tensor
    """State of torch's global generator, uint8."""
    epoch: int = 0
    """Epochs done."""
    seconds: float = 0.0
    """Time spent so far."""
    mistakes: list[int] = field(default_factory=list)
    """Places, from 0, of the held images that were wrong when they were last judged."""

    @classmethod
    def fresh(cls, experiment: Experiment, *, seed: int, device: str = "cpu") -> Self:
        """The state before the first step. Raises ShapeError."""
        model = build(experiment, seed=seed)
        # torch's overloads know a device and a memory format each, but not both together.
        model.to(device=torch.device(device), memory_format=torch.channels_last)  # type: ignore[call-overload]
        average = (
            None if experiment.recipe.ema is None else copy.deepcopy(model).requires_grad_(False)
        )
        return cls(
            experiment=experiment,
            model=model,
            average=average,
            optimizer=_optimizer(model, experiment.recipe),
            shuffle=_stream(seed, 1, "cpu"),
            augment=_stream(seed, 2, device),
            dropout=_stream(seed, 3, device).get_state(),
        )

    @property
    def result(self) -> Classifier:
        """The network that the training is about: the average where there is one."""
        return self.model if self.average is None else self.average

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    def use_dropout_stream(self) -> None:
        """Makes torch's global generator on the device go on with this run's dropout stream."""
        _generator_owner(self.device).set_rng_state(self.dropout)

    def keep_dropout_stream(self) -> None:
        """Takes over where torch's global generator on the device has come to."""
        self.dropout = _generator_owner(self.device).get_rng_state()

    def state_dict(self) -> dict[str, Any]:
        """Tensors, numbers and dictionaries of them, for a checkpoint."""
        return {
            "model": self.model.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "shuffle": self.shuffle.get_state(),
            "augment": self.augment.get_state(),
            "dropout": self.dropout,
            "epoch": self.epoch,
            "seconds": self.seconds,
            "mistakes": self.mistakes,
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Takes over what `state_dict` gave; the model is in its memory format already."""
        self.model.load_state_dict(saved["model"])
        if self.average is not None:
            self.average.load_state_dict(saved["average"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.shuffle.set_state(saved["shuffle"])
        self.augment.set_state(saved["augment"])
        self.dropout = saved["dropout"]
        self.epoch = saved["epoch"]
        self.seconds = saved["seconds"]
        self.mistakes = saved["mistakes"]


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, *, decay: float, step: int) -> None:
    """Moves the running average towards the model after `step` steps (from 1).

    The decay is min(decay, (1 + step) / (10 + step)), as in TensorFlow's ExponentialMovingAverage
    with num_updates: without that warm-up the average of a short training is mostly its random
    start. Floating-point buffers are averaged too; integer buffers are copied.
    """
    weight = 1 - min(decay, (1 + step) / (10 + step))
    kept = [*average.parameters(), *average.buffers()]
    new = [*model.parameters(), *model.buffers()]
    floats = [(a, b) for a, b in zip(kept, new, strict=True) if a.is_floating_point()]
    torch._foreach_lerp_([a for a, _ in floats], [b for _, b in floats], weight)
    for a, b in zip(kept, new, strict=True):
        if not a.is_floating_point():
            a.copy_(b)


def _optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Weights of convolutions and linear layers decay; tensors of one axis do not.

    Those are norms, biases and the slopes of PReLU.
    """
    spec = recipe.optimizer
    tensors = list(model.parameters())
    groups = [
        {
            "params": [tensor for tensor in tensors if tensor.ndim > 1],
            "weight_decay": spec.weight_decay,
        },
        {"params": [tensor for tensor in tensors if tensor.ndim <= 1], "weight_decay": 0.0},
    ]
    rate = recipe.schedule.peak
    match spec:
        case Sgd():
            return torch.optim.SGD(groups, lr=rate, momentum=spec.momentum, nesterov=spec.nesterov)
        case AdamW():
            return torch.optim.AdamW(groups, lr=rate, betas=(spec.beta1, spec.beta2))
        case never:
            assert_never(never)


def _stream(seed: int, use: int, device: str) -> Generator:
    """An independent generator for one use of the run's seed."""
    return torch.Generator(device).manual_seed(seed * 1000 + use)


def _generator_owner(device: torch.device) -> Any:
    """The part of torch that holds the global generator of a kind of device."""
    return {"cuda": torch.cuda, "mps": torch.mps}.get(device.type, torch)
