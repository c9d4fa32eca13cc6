"""The loop: one function that yields what happened.

    state = State.fresh(experiment, seed=7)
    for record in train(state, training, held):
        print(record)

Four streams of random numbers come from the one seed, each for one use: initial weights, shuffling,
augmentation, and dropout, which torch draws from its global generator. The state holds them all.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self, assert_never

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from mnist_arch.augment import augment, normalize, to_unit
from mnist_arch.data import Split
from mnist_arch.datasets import INFO, DatasetName
from mnist_arch.errors import NonFiniteLoss
from mnist_arch.evaluation import count_correct, mean_loss, predict
from mnist_arch.network import Classifier, build
from mnist_arch.schedules import learning_rate
from mnist_arch.specs import AdamW, Experiment, Recipe, Sgd

PROGRESS_SECONDS = 0.1
"""Least time between two Progress records."""


@dataclass(frozen=True)
class Progress:
    """How far an epoch is."""

    epoch: int
    """From 1."""
    step: int
    """Steps done in this epoch."""
    steps: int
    """Steps of an epoch."""
    rate: float
    """Learning rate of the last step."""
    images_per_second: float
    """Training images a second, in this epoch so far."""


@dataclass(frozen=True)
class EpochRecord:
    """What an epoch came to. The averaged weights are judged where the recipe averages."""

    epoch: int
    """From 1."""
    train_loss: float
    """Mean loss of the epoch's steps, with augmentation, dropout and label smoothing."""
    loss: float
    """Mean cross-entropy on the held images, in nats."""
    correct: int
    """Correct among the held images."""
    images: int
    """The number of held images."""
    rate: float
    """Learning rate of the last step."""
    images_per_second: float
    """Training images a second."""
    seconds: float
    """Data, training and evaluation of the run so far, in all its segments."""

    @property
    def accuracy_percent(self) -> float:
        return 100 * self.correct / self.images


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

    @classmethod
    def fresh(cls, experiment: Experiment, *, seed: int, device: str = "cpu") -> Self:
        """The state before the first step. Raises ShapeError."""
        model = build(experiment, seed=seed)
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


def train(state: State, training: Split, held: Split) -> Iterator[Progress | EpochRecord]:
    """Trains from where `state` is to the last epoch, judging the held images after each.

    Both splits live on the state's device. Between two records the state is not to be used, except
    right after an EpochRecord, when it is complete. Raises NonFiniteLoss.
    """
    recipe, model = state.experiment.recipe, state.model
    info = INFO[dataset_of(state.experiment)]
    batch = min(recipe.batch_size, len(training))
    steps = len(training) // batch
    _set_dropout_stream(state)
    while state.epoch < recipe.epochs:
        clock = _Clock()
        model.train()
        order = torch.randperm(len(training), generator=state.shuffle).to(state.device)
        losses = torch.zeros((), device=state.device)
        finite = _FiniteCheck(state.device)
        for step in range(steps):
            index = order[step * batch : (step + 1) * batch]
            done = state.epoch * steps + step
            rate = learning_rate(
                recipe.schedule, done, steps=recipe.epochs * steps, steps_per_epoch=steps
            )
            for group in state.optimizer.param_groups:
                group["lr"] = rate
            x_NCHW = augment(to_unit(training.images[index]), recipe.augment, rng=state.augment)
            logits_NK = model(normalize(x_NCHW, info))
            loss = F.cross_entropy(
                logits_NK, training.labels[index], label_smoothing=recipe.label_smoothing
            )
            finite.look(loss, epoch=state.epoch + 1, step=step + 1, rate=rate)
            state.optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it without types
            if recipe.clip_norm is not None:
                nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
            state.optimizer.step()
            if state.average is not None and recipe.ema is not None:
                update_average(state.average, model, decay=recipe.ema, step=done + 1)
            losses += loss.detach()
            if clock.ticks():
                yield Progress(
                    state.epoch + 1, step + 1, steps, rate, clock.speed((step + 1) * batch)
                )
        finite.read()
        train_loss, speed = float(losses) / steps, clock.speed(steps * batch)
        logits_NK = predict(state.result, held.images, info)
        loss_held, correct = (
            mean_loss(logits_NK, held.labels),
            count_correct(logits_NK, held.labels),
        )
        if not math.isfinite(loss_held):  # the epoch's last step was one too many
            raise NonFiniteLoss(epoch=state.epoch + 1, step=steps, rate=rate)
        state.epoch += 1
        state.seconds += clock.seconds()
        _keep_dropout_stream(state)
        yield EpochRecord(
            epoch=state.epoch,
            train_loss=train_loss,
            loss=loss_held,
            correct=correct,
            images=len(held),
            rate=rate,
            images_per_second=speed,
            seconds=state.seconds,
        )


def dataset_of(experiment: Experiment) -> DatasetName:
    """The experiment's dataset, which must have been resolved."""
    if experiment.dataset == "auto":
        raise ValueError("resolve the dataset `auto` before training")
    return experiment.dataset


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


def _set_dropout_stream(state: State) -> None:
    if state.device.type == "cuda":
        torch.cuda.set_rng_state(state.dropout, state.device)
    elif state.device.type == "cpu":
        torch.set_rng_state(state.dropout)
    else:
        torch.mps.set_rng_state(state.dropout)


def _keep_dropout_stream(state: State) -> None:
    if state.device.type == "cuda":
        state.dropout = torch.cuda.get_rng_state(state.device)
    elif state.device.type == "cpu":
        state.dropout = torch.get_rng_state()
    else:
        state.dropout = torch.mps.get_rng_state()


class _FiniteCheck:
    """Finds the first loss that is not finite: at once on a CPU, at an epoch's end on a GPU.

    Reading a value from a GPU waits for it, so there the number of the first bad step is kept on
    the device, and read once before anything is saved.
    """

    def __init__(self, device: torch.device) -> None:
        self.at_once = device.type == "cpu"
        self.first_bad = torch.full(
            (), torch.iinfo(torch.int64).max, dtype=torch.int64, device=device
        )
        self.epoch = 0
        self.rates: list[float] = []

    def look(self, loss: Tensor, *, epoch: int, step: int, rate: float) -> None:
        self.epoch = epoch
        self.rates.append(rate)
        if self.at_once:
            if not torch.isfinite(loss):
                raise NonFiniteLoss(epoch=epoch, step=step, rate=rate)
        else:
            bad = torch.where(torch.isfinite(loss), self.first_bad, step)
            torch.minimum(self.first_bad, bad, out=self.first_bad)

    def read(self) -> None:
        step = int(self.first_bad)
        if step <= len(self.rates):
            raise NonFiniteLoss(epoch=self.epoch, step=step, rate=self.rates[step - 1])


class _Clock:
    """Time within one epoch."""

    def __init__(self) -> None:
        self.start = self.last_tick = time.perf_counter()

    def seconds(self) -> float:
        return time.perf_counter() - self.start

    def speed(self, images: int) -> float:
        return images / max(self.seconds(), 1e-9)

    def ticks(self) -> bool:
        """True at most once every PROGRESS_SECONDS."""
        now = time.perf_counter()
        if now - self.last_tick < PROGRESS_SECONDS:
            return False
        self.last_tick = now
        return True
