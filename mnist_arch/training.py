"""The loop: one function that yields what happened.

state = State.fresh(experiment, seed=7)
for record in train(state, training, held):
    print(record)
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mnist_arch.augment import augment, normalize, to_unit
from mnist_arch.data import Split
from mnist_arch.datasets import INFO, DatasetName
from mnist_arch.errors import NonFiniteLoss
from mnist_arch.evaluation import count_correct, mean_loss, mistaken, predict
from mnist_arch.schedules import learning_rate
from mnist_arch.specs import Experiment
from mnist_arch.state import State, update_average

PROGRESS_SECONDS = 0.1
"""Least time between two Progress records."""

Judged = Literal["each-epoch", "last-epoch"]
"""When the held images are looked at: a test split that is to be read once is so after the last."""


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
    """What an epoch came to. The averaged weights are judged where the recipe averages.

    `loss` and `correct` are None for an epoch after which the held images were not looked at.
    """

    epoch: int
    """From 1."""
    train_loss: float
    """Mean loss of the epoch's steps, with augmentation, dropout and label smoothing."""
    loss: float | None
    """Mean cross-entropy on the held images, in nats."""
    correct: int | None
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
    def accuracy_percent(self) -> float | None:
        return None if self.correct is None else 100 * self.correct / self.images


def train(
    state: State, training: Split, held: Split, *, judged: Judged = "each-epoch"
) -> Iterator[Progress | EpochRecord]:
    """Trains from where `state` is to the last epoch, judging the held images after each or once.

    Both splits live on the state's device. Between two records the state is not to be used, except
    right after an EpochRecord, when it is complete. Raises NonFiniteLoss.
    """
    recipe, model = state.experiment.recipe, state.model
    info = INFO[dataset_of(state.experiment)]
    batch = min(recipe.batch_size, len(training))
    steps = len(training) // batch
    state.use_dropout_stream()
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
        loss_held, correct = None, None
        if judged == "each-epoch" or state.epoch + 1 == recipe.epochs:
            logits_NK = predict(state.result, held.images, info)
            loss_held = mean_loss(logits_NK, held.labels)
            correct = count_correct(logits_NK, held.labels)
            state.mistakes = mistaken(logits_NK, held.labels)
            if not math.isfinite(loss_held):  # the epoch's last step was one too many
                raise NonFiniteLoss(epoch=state.epoch + 1, step=steps, rate=rate)
        state.epoch += 1
        state.seconds += clock.seconds()
        state.keep_dropout_stream()
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
