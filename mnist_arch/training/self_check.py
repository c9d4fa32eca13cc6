"""A kind of step compared with the plain one, from the same state, before it is trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor, nn

from mnist_arch.spec.recipe import Recipe, Sgd
from mnist_arch.training.engine import Precision
from mnist_arch.training.epoch import EpochPlan
from mnist_arch.training.state import State
from mnist_arch.training.step import PlainStep

SHARE_OF_THE_AVERAGE: Final = 0.5
"""Of the new weights, in a step that is compared."""


@dataclass(frozen=True)
class Tolerance:
    """How far a step may be from the plain one."""

    loss: float
    """Share of the plain loss."""
    change: float
    """Share of what the plain step changes, in the norm of all weights together. Steps that have
    nothing in common differ by 1.4, and one that is left out by 1."""


def tolerance(recipe: Recipe, precision: Precision) -> Tolerance:
    """In float32 for other orders of sums and a max pool that flips, in bfloat16 for its digits.

    But for SGD a first step is the sign of a gradient: where that is 0 but for rounding, it flips.
    """
    by_sign = not isinstance(recipe.optimizer, Sgd)
    if precision == "bfloat16":
        return Tolerance(loss=2e-2, change=0.75 if by_sign else 0.25)
    return Tolerance(loss=1e-3, change=0.3 if by_sign else 0.05)


@dataclass(frozen=True)
class FirstStep:
    """The result of a step."""

    loss: float
    changes: tuple[Tensor, ...]
    """Of all weights, of those of the average, and of what norms keep; float64, on the CPU."""


def outcome(step: PlainStep, *, images: int) -> FirstStep:
    """Of a first step at the recipe's highest rate. The state is left as it was found."""
    state = step.state
    with state.rehearsal():
        before = _kept(state)
        epoch = EpochPlan.next(state, images)
        peak = state.experiment.recipe.schedule.peak
        weights = [SHARE_OF_THE_AVERAGE] * len(epoch.weights)
        step.begin(replace(epoch, rates=[peak] * len(epoch.rates), weights=weights))
        step(0)
        loss = float(step.losses_S[0])
        changes = (new - old for new, old in zip(_kept(state), before, strict=True))
        return FirstStep(loss, tuple(changes))


def trouble_of(found: FirstStep, plain: FirstStep, allowed: Tolerance) -> str:
    """How much a step differs from a plain one, where that is too much; else nothing."""
    off = abs(found.loss - plain.loss) / max(abs(plain.loss), 1e-30)
    if not off <= allowed.loss:  # nor where it is not a number
        return (
            f"the loss of a step differs from a plain one's by {off:.2g} of it, "
            f"more than {allowed.loss:g}"
        )
    for one, other in zip(found.changes, plain.changes, strict=True):
        off = float((one - other).norm()) / max(float(other.norm()), 1e-30)
        if len(other) and not off <= allowed.change:
            return (
                f"what a step changes differs from a plain one's by {off:.2g} of it, "
                f"more than {allowed.change:g}"
            )
    return ""


def _kept(state: State) -> tuple[Tensor, ...]:
    average = [] if state.average is None else [*state.average.parameters()]
    return (
        _flat([*state.model.parameters()]),
        _flat(average),
        _flat(_statistics(state.model)),
    )


def _statistics(model: nn.Module) -> list[Tensor]:
    return [it for it in model.buffers() if it.is_floating_point()]


def _flat(tensors: Sequence[Tensor]) -> Tensor:
    parts = [it.detach().cpu().double().flatten() for it in tensors]
    return torch.cat(parts) if parts else torch.zeros(0, dtype=torch.float64)
