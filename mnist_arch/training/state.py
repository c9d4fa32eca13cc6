"""The state of a training: all that it needs to resume.

Four streams of random numbers come from the one seed, each for one use: initial weights, shuffling,
augmentation, and dropout, which torch draws from its global generator. The state holds the three
that resume.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Self

import torch
from torch import Generator, Tensor

from mnist_arch.counting.plan import Plan, plan_network
from mnist_arch.network.build import Classifier, build
from mnist_arch.network.rounded import RoundedNetwork
from mnist_arch.spec.experiment import Experiment
from mnist_arch.spec.recipe import Plateau
from mnist_arch.training.optimizer import Optimizer
from mnist_arch.training.plateau import PlateauState
from mnist_arch.training.streams import generator_owner, stream
from mnist_arch.training.teacher import TeacherNetwork


@dataclass
class State:
    """All that a training needs to resume: weights, average, optimizer, random streams, clock."""

    experiment: Experiment
    plan: Plan
    model: Classifier
    average: Classifier | None
    optimizer: Optimizer
    plateau: PlateauState | None
    """Where the learning rate has come to by the losses so far; None for schedules without."""
    shuffle: Generator
    augment: Generator
    dropout: Tensor
    """State of torch's global generator, uint8."""
    epoch: int = 0
    """Epochs done."""
    seconds: float = 0.0
    """Time spent so far."""
    mistakes: list[int] = field(default_factory=list)
    """Places, from 0, of the images that were wrong when the training was last judged."""
    teacher: TeacherNetwork | None = None
    """Whom the recipe has it learn from; it does not change, and is in no checkpoint."""

    @classmethod
    def fresh(
        cls,
        experiment: Experiment,
        *,
        seed: int,
        device: str = "cpu",
        plan: Plan | None = None,
        teacher: TeacherNetwork | None = None,
    ) -> Self:
        """The state before the first step; `plan` is the plan where it is known.

        `teacher` is that of the recipe, on the device. Raises ShapeError.
        """
        plan, schedule = plan or plan_network(experiment), experiment.recipe.schedule
        model = build(experiment, seed=seed, plan=plan)
        # torch's overloads know a device and a memory format each, but not both together.
        model.to(device=torch.device(device), memory_format=torch.channels_last)  # type: ignore[call-overload]
        average = (
            None if experiment.recipe.ema is None else copy.deepcopy(model).requires_grad_(False)
        )
        return cls(
            experiment=experiment,
            plan=plan,
            model=model,
            average=average,
            optimizer=Optimizer(model, experiment.recipe),
            plateau=PlateauState.fresh(schedule) if isinstance(schedule, Plateau) else None,
            shuffle=stream(seed, "shuffle", "cpu"),
            augment=stream(seed, "augment", device),
            dropout=stream(seed, "dropout", device).get_state(),
            teacher=teacher,
        )

    @property
    def result(self) -> Classifier:
        """The network that the training is about: the average where there is one.

        Where weights are rounded in training, it is a copy with rounded ones.
        """
        found, quantize = self.average or self.model, self.experiment.recipe.quantize
        if quantize is None:
            return found
        return RoundedNetwork(found, self.plan.layers, quantize=quantize).stored()

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device

    def use_dropout_stream(self) -> None:
        """Makes torch's global generator on the device continue this run's dropout stream."""
        generator_owner(self.device).set_rng_state(self.dropout)

    def keep_dropout_stream(self) -> None:
        """Takes over where torch's global generator on the device has got to."""
        self.dropout = generator_owner(self.device).get_rng_state()

    @contextlib.contextmanager
    def rehearsal(self) -> Iterator[None]:
        """In training as in an epoch; whatever is learned or drawn in it is taken back."""
        before = copy.deepcopy(self.state_dict())
        self.model.train()
        self.use_dropout_stream()
        try:
            yield
        finally:
            self.load_state_dict(before)
            self.use_dropout_stream()

    def state_dict(self) -> dict[str, Any]:
        """Tensors, numbers and dictionaries of them, for a checkpoint."""
        return {
            "model": self.model.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            **({} if self.plateau is None else {"plateau": self.plateau.state_dict()}),
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
        if self.plateau is not None:
            self.plateau.load_state_dict(saved["plateau"])
        self.shuffle.set_state(saved["shuffle"])
        self.augment.set_state(saved["augment"])
        self.dropout = saved["dropout"]
        self.epoch = saved["epoch"]
        self.seconds = saved["seconds"]
        self.mistakes = saved["mistakes"]
