"""The running average of a network's weights."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


def average_weight(decay: float, *, step: int) -> float:
    """Share of the new weights in the average after `step` steps (from 1).

    It is 1 - min(decay, (1 + step) / (10 + step)), as in TensorFlow's ExponentialMovingAverage with
    num_updates: without that warm-up the average of a short training is mostly its random start.
    """
    return 1 - min(decay, (1 + step) / (10 + step))


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, *, weight: float | Tensor) -> None:
    """Moves `average` by a share of its way to `model`.

    Floating-point buffers are averaged like parameters; integer buffers are copied. A weight that
    is a tensor, 0-dim and on the device, is read when the work is done, not when it is asked for.
    """
    kept = [*average.parameters(), *average.buffers()]
    new = [*model.parameters(), *model.buffers()]
    pairs = [*zip(kept, new, strict=True)]
    old, now = _columns(pair for pair in pairs if pair[0].is_floating_point())
    if isinstance(weight, Tensor):
        ways = torch._foreach_sub(now, old)
        torch._foreach_mul_(ways, weight)
        torch._foreach_add_(old, ways)
    else:
        torch._foreach_lerp_(old, now, weight)
    counters, counts = _columns(pair for pair in pairs if not pair[0].is_floating_point())
    if counters:
        torch._foreach_copy_(counters, counts)


def _columns(pairs: Iterable[tuple[Tensor, Tensor]]) -> tuple[list[Tensor], list[Tensor]]:
    found = [*pairs]
    return [first for first, _ in found], [second for _, second in found]
