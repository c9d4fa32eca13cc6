"""The loop: one function that yields what happened.

state = State.fresh(experiment, seed=7)
for record in train(state, training, judged_on):
    print(record)
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import assert_never

import torch
from torch import Tensor

from mnist_arch.data.split import Split
from mnist_arch.errors import NonFiniteLoss
from mnist_arch.evaluation.metrics import count_correct, mean_loss, mistaken
from mnist_arch.spec.recipe import Plateau, Recipe, watches_holdout
from mnist_arch.training.captured import CapturedStep
from mnist_arch.training.compiled import CompiledStep
from mnist_arch.training.engine import Engine
from mnist_arch.training.epoch import EpochPlan
from mnist_arch.training.events import (
    Compiling,
    EpochRecord,
    JudgeAfter,
    NotCaptured,
    NotCompiled,
    Progress,
)
from mnist_arch.training.native import NativeStep
from mnist_arch.training.native_library import native_library
from mnist_arch.training.state import State
from mnist_arch.training.step import PlainStep
from mnist_arch.training.work import not_captured

PROGRESS_SECONDS = 0.1
"""Least time between two Progress records."""


def train(
    state: State,
    training: Split,
    judged_on: Split,
    *,
    judge_after: JudgeAfter = "each-epoch",
    engine: Engine | None = None,
) -> Iterator[Progress | EpochRecord | Compiling | NotCompiled | NotCaptured]:
    """Trains from where `state` is to the last epoch, and judges `judged_on` after each or once.

    Both splits live on the state's device, which is the engine's; `prepare(engine)` has come first,
    since threads are not set here. Without an engine steps are plain. Those of a compiled one are
    compiled after the first epoch, which it says, and says if that cannot be; so it does where
    those of a captured one cannot be captured, before the first epoch.
    Between two records the state is not to be used, except right after an EpochRecord, when it is
    complete. Where the schedule watches the hold-out, it is judged after each epoch in any case.
    Raises NonFiniteLoss, on a CPU at the bad step, elsewhere at the end of its epoch; and
    DeviceUnavailable for a training that was compiled or captured and cannot be where it is
    resumed.
    """
    experiment, batch = state.experiment, min(state.experiment.recipe.batch_size, len(training))
    epochs = experiment.recipe.epochs
    if state.epoch == epochs:  # it may be on another device than the engine's, which is not needed
        return
    is_watched = _is_watched(experiment.recipe, judged_on)
    since_record = _Clock()
    state.use_dropout_stream()
    step = make_step(engine, state, training, batch=batch)
    while state.epoch < epochs:
        yield from step.get_ready()
        clock = _Clock()
        state.model.train()
        epoch_plan = EpochPlan.next(state, len(training))
        step.begin(epoch_plan)
        steps, images, seen = len(epoch_plan.rates), epoch_plan.images, 0
        for number, rate in enumerate(epoch_plan.rates):
            step(number)
            seen += len(epoch_plan.batches[number])
            if state.device.type == "cpu":  # elsewhere it would wait for the device
                check_finite(
                    step.losses_S[number : number + 1], epoch_plan, state.epoch, first=number
                )
            if clock.ticks():
                yield Progress(state.epoch + 1, number + 1, steps, images, rate, clock.speed(seen))
        losses_S = step.losses_S.cpu()
        check_finite(losses_S, epoch_plan, state.epoch)
        speed = clock.speed(images)
        loss, correct = None, None
        if judge_after == "each-epoch" or is_watched or state.epoch + 1 == epochs:
            loss, correct = _judge(step, judged_on)
            if not math.isfinite(loss):  # the epoch's last step was one too many
                raise NonFiniteLoss(epoch=state.epoch + 1, step=steps, rate=epoch_plan.rates[-1])
        train_loss = epoch_plan.mean_loss(losses_S)
        if state.plateau is not None and isinstance(
            schedule := experiment.recipe.schedule, Plateau
        ):
            watched = loss if is_watched else train_loss
            assert watched is not None
            state.plateau.after(watched, schedule)
        state.epoch += 1
        state.seconds += since_record.seconds()
        state.keep_dropout_stream()
        yield EpochRecord(
            epoch=state.epoch,
            train_loss=train_loss,
            loss=loss,
            correct=correct,
            images=len(judged_on),
            rate=epoch_plan.rates[-1],
            images_per_second=speed,
            seconds=state.seconds,
        )
        since_record = _Clock()


def make_step(engine: Engine | None, state: State, training: Split, *, batch: int) -> PlainStep:
    """The step of an engine; the plain one without any."""
    recipe = state.experiment.recipe
    if engine is None or recipe.quantize is not None:
        return PlainStep(state, training)
    match engine.step:
        case "plain":
            return PlainStep(state, training, precision=engine.precision)
        case "compiled":
            return CompiledStep(state, training, batch=batch, precision=engine.precision)
        case "captured" if not_captured(recipe):
            return PlainStep(state, training)
        case "captured":
            return CapturedStep(state, training, batch=batch, precision=engine.precision)
        case "native":
            assert engine.vectors is not None
            library = native_library(engine.vectors)
            return NativeStep(state, training, batch=batch, threads=engine.threads, library=library)
        case never:
            assert_never(never)


def _is_watched(recipe: Recipe, judged_on: Split) -> bool:
    """Whether the learning rate depends on the images it is judged on, which are then held out.

    Raises ValueError for images of test, by which nothing is ever chosen.
    """
    if not watches_holdout(recipe.schedule):
        return False
    if judged_on.name != "validation":
        raise ValueError(f"a schedule cannot watch the loss on {judged_on.name}")
    return True


def _judge(step: PlainStep, judged_on: Split) -> tuple[float, int]:
    """Mean loss and correct images of `judged_on`; its mistakes are left in the state."""
    logits_NK = step.predict(judged_on.images)
    step.state.mistakes = mistaken(logits_NK, judged_on.labels)
    return mean_loss(logits_NK, judged_on.labels), count_correct(logits_NK, judged_on.labels)


def check_finite(losses_S: Tensor, epoch_plan: EpochPlan, epoch: int, *, first: int = 0) -> None:
    """Raises NonFiniteLoss for the first of the losses, which start with step `first`, if any."""
    bad = (~torch.isfinite(losses_S)).nonzero()
    if len(bad):
        step = first + int(bad[0])
        raise NonFiniteLoss(epoch=epoch + 1, step=step + 1, rate=epoch_plan.rates[step])


class _Clock:
    """Time since it was made."""

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
