"""A network whose norms, activations and pools are fused formulas, for a compiler."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mnist_arch.network.build import (
    Classifier,
    GhostBatchNorm2d,
    Join,
    MaxPool2d,
    Sum,
)
from mnist_arch.network.kernels import batch_norm, batch_norm_max_pool, max_pool


def fused(model: Classifier) -> Classifier:
    """`model` in training, written so that a compiler can fuse its norms and pools.

    It has the same parameters, buffers and dropout, and gives the same to rounding, but always
    norms by the batch: it is no network to evaluate with.
    """
    return Classifier(_fused_sequence(model.layers))


def _fused_sequence(sequence: nn.Sequential) -> nn.Sequential:
    """A ReLU never falls, so it can change places with the largest of a pool."""
    left, found = [*sequence], list[nn.Module]()
    while left:
        match left:
            case [
                nn.ReLU(),
                nn.BatchNorm2d() as norm,
                nn.MaxPool2d(kernel_size=2, stride=2, padding=0) as pool,
                *rest,
            ] if _is_fusible(norm, pool):
                found += [FusedNormPool(norm, rectify=True)]
            case [
                nn.Conv2d() as first,
                nn.BatchNorm2d() as norm,
                nn.MaxPool2d(kernel_size=2, stride=2, padding=0) as pool,
                *rest,
            ] if _is_fusible(norm, pool):
                found += [first, FusedNormPool(norm, rectify=False)]
            case [
                nn.Conv2d() as first,
                nn.BatchNorm2d() as norm,
                nn.ReLU() as last,
                nn.MaxPool2d(kernel_size=2, stride=2, padding=0) as pool,
                *rest,
            ] if _is_fusible(norm, pool):
                found += [first, FusedNormPool(norm, rectify=False), last]
            case [nn.BatchNorm2d() as norm, *rest] if _is_fusible(norm):
                found += [FusedNorm(norm)]
            case [MaxPool2d() as pool, *rest]:
                found += [pool]
            case [nn.MaxPool2d(kernel_size=2, stride=2, padding=0), *rest]:
                found += [FusedPool()]
            case [Sum(body=body, skip=skip), *rest]:
                found += [Sum(_fused_sequence(body), skip)]
            case [Join() as join, *rest]:
                ways = [None if it is None else _fused_sequence(it) for it in join.ways()]
                found += [Join(ways, join.kind)]
            case [other, *rest]:
                found += [other]
        left = rest
    return nn.Sequential(*found)


def _is_fusible(norm: nn.BatchNorm2d, pool: nn.MaxPool2d | None = None) -> bool:
    """Whether the formula has the options of a norm, and of the pool after it.

    A norm without a scale, or in parts, and a pool that pads one side stay torch's own.
    """
    is_plain = norm.affine and not isinstance(norm, GhostBatchNorm2d)
    return is_plain and not isinstance(pool, MaxPool2d)


class FusedNorm(nn.Module):
    """A batch norm in training; keeps the running statistics of `norm`."""

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x_NCHW: Tensor) -> Tensor:
        norm = self.norm
        y_NCHW, *statistics = batch_norm(x_NCHW, norm.weight, norm.bias, eps=norm.eps)
        self.keep(*statistics, count=x_NCHW[:, 0].numel())
        return y_NCHW

    @torch.no_grad()
    def keep(self, mean_C: Tensor, var_C: Tensor, *, count: int) -> None:
        """Moves the running statistics, of which the variance is the unbiased one."""
        norm = self.norm
        assert norm.momentum is not None
        assert norm.running_mean is not None
        assert norm.running_var is not None
        assert norm.num_batches_tracked is not None
        norm.running_mean.lerp_(mean_C, norm.momentum)
        norm.running_var.lerp_(var_C * (count / (count - 1)), norm.momentum)
        norm.num_batches_tracked.add_(1)


class FusedNormPool(FusedNorm):
    """A ReLU where `rectify`, a batch norm and a 2×2 max pool in training."""

    def __init__(self, norm: nn.BatchNorm2d, *, rectify: bool) -> None:
        super().__init__(norm)
        self.rectify = rectify

    def forward(self, x_NCHW: Tensor) -> Tensor:
        norm = self.norm
        y_NChw, *statistics = batch_norm_max_pool(
            x_NCHW, norm.weight, norm.bias, eps=norm.eps, rectify=self.rectify
        )
        self.keep(*statistics, count=x_NCHW[:, 0].numel())
        return y_NChw


class FusedPool(nn.Module):
    """A 2×2 max pool in training."""

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return max_pool(x_NCHW)
