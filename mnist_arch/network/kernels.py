"""Batch norm and max pooling for training, written so that a compiler can fuse them.

They give the same as torch's own, to rounding. Torch hands each to a kernel of its own, which
reads and writes the whole map; written as sums and formulas of elements they are compiled together
with the activation beside them. Maps are (N, C, H, W) in memory format channels_last; what belongs
to a channel is (C,). Smaller axes, h and w, are of a pooled map. Sums and formulas are of the dtype
of what belongs to a channel, to and from which maps of bfloat16 are converted inside the loops.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

_MAP = (0, 2, 3)
"""All axes but the channels'."""

Normed = tuple[Tensor, Tensor, Tensor]
"""A map, and the mean and the biased variance of each channel over the batch."""


def batch_norm(x_NCHW: Tensor, scale_C: Tensor, shift_C: Tensor, *, eps: float) -> Normed:
    """Batch norm by the statistics of the batch (Ioffe and Szegedy 2015), of the same shape."""
    y_NCHW, mean_C, var_C = _BatchNorm.apply(x_NCHW.to(scale_C.dtype), scale_C, shift_C, eps)
    return y_NCHW.to(x_NCHW.dtype), mean_C, var_C


def max_pool(x_NCHW: Tensor) -> Tensor:
    """The largest of each 2×2, the first of equals: (N, C, H // 2, W // 2)."""
    y_NChw: Tensor = _MaxPool.apply(x_NCHW)[0]
    return y_NChw


def batch_norm_max_pool(
    x_NCHW: Tensor, scale_C: Tensor, shift_C: Tensor, *, eps: float, rectify: bool
) -> Normed:
    """`max_pool` of `batch_norm`, with a quarter of the map left to norm.

    `rectify` is a ReLU before them. A norm rises with its input where its scale is positive and
    falls where it is negative, so the pool can go first: over the map, or over its negative. The
    statistics are those of the whole map.
    """
    y_NChw, mean_C, var_C, *_ = _BatchNormMaxPool.apply(
        x_NCHW.to(scale_C.dtype), scale_C, shift_C, eps, rectify
    )
    return y_NChw.to(x_NCHW.dtype), mean_C, var_C


class _BatchNorm(torch.autograd.Function):
    @staticmethod
    def forward(x_NCHW: Tensor, scale_C: Tensor, shift_C: Tensor, eps: float) -> Normed:
        mean_C, var_C = _statistics(x_NCHW)
        factor_C = scale_C * torch.rsqrt(var_C + eps)
        return x_NCHW * _wide(factor_C) + _wide(shift_C - mean_C * factor_C), mean_C, var_C

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Normed) -> None:
        x_NCHW, scale_C, _, ctx.eps = inputs
        _, mean_C, var_C = output
        ctx.mark_non_differentiable(mean_C, var_C)
        ctx.save_for_backward(x_NCHW, scale_C, mean_C, var_C)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        grad_NCHW = grads[0]
        x_NCHW, scale_C, mean_C, var_C = ctx.saved_tensors
        rstd_C = torch.rsqrt(var_C + ctx.eps)
        grad_scale_C, grad_shift_C = _sums(grad_NCHW, x_NCHW, mean_C, rstd_C)
        through_NCHW = grad_NCHW * _wide(scale_C * rstd_C)
        slope_C, offset_C = _through_statistics(
            scale_C, mean_C, rstd_C, grad_scale_C, grad_shift_C, count=x_NCHW[:, 0].numel()
        )
        grad_x_NCHW = through_NCHW - (x_NCHW * _wide(slope_C) + _wide(offset_C))
        return grad_x_NCHW, grad_scale_C, grad_shift_C, None


class _MaxPool(torch.autograd.Function):
    @staticmethod
    def forward(x_NCHW: Tensor) -> tuple[Tensor, Tensor]:
        return _largest(x_NCHW)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: tuple[Tensor, Tensor]) -> None:
        _, place_NChw = output
        ctx.mark_non_differentiable(place_NChw)
        ctx.save_for_backward(place_NChw)
        ctx.shape = inputs[0].shape

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (place_NChw,) = ctx.saved_tensors
        count, channels, height, width = ctx.shape
        grad_NHWC = _map(_unpooled(grads[0], place_NChw), (count, height, width, channels))
        return grad_NHWC.permute(0, 3, 1, 2)


class _BatchNormMaxPool(torch.autograd.Function):
    @staticmethod
    def forward(
        x_NCHW: Tensor, scale_C: Tensor, shift_C: Tensor, eps: float, rectify: bool
    ) -> tuple[Tensor, ...]:
        x_NCHW = x_NCHW.clamp_min(0) if rectify else x_NCHW
        mean_C, var_C = _statistics(x_NCHW)
        sign_C = (scale_C >= 0).to(x_NCHW.dtype) * 2 - 1
        largest_NChw, place_NChw = _largest(x_NCHW * _wide(sign_C))
        pooled_NChw = largest_NChw * _wide(sign_C)
        factor_C = scale_C * torch.rsqrt(var_C + eps)
        y_NChw = pooled_NChw * _wide(factor_C) + _wide(shift_C - mean_C * factor_C)
        return y_NChw, mean_C, var_C, pooled_NChw, place_NChw

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        x_NCHW, scale_C, _, ctx.eps, ctx.rectify = inputs
        ctx.mark_non_differentiable(*output[1:])
        ctx.save_for_backward(x_NCHW, scale_C, *output[1:])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        grad_NChw = grads[0]
        x_NCHW, scale_C, mean_C, var_C, pooled_NChw, place_NChw = ctx.saved_tensors
        rstd_C = torch.rsqrt(var_C + ctx.eps)
        grad_scale_C, grad_shift_C = _sums(grad_NChw, pooled_NChw, mean_C, rstd_C)
        through_Nh2w2C = _unpooled(grad_NChw * _wide(scale_C * rstd_C), place_NChw)
        slope_C, offset_C = _through_statistics(
            scale_C, mean_C, rstd_C, grad_scale_C, grad_shift_C, count=x_NCHW[:, 0].numel()
        )

        def grad_x(x: Tensor, through: Tensor) -> Tensor:
            """Of maps or windows of any shape with the channels last."""
            grad = through - ((x.clamp_min(0) if ctx.rectify else x) * slope_C + offset_C)
            return torch.where(x > 0, grad, torch.zeros_like(grad)) if ctx.rectify else grad

        x_NHWC = x_NCHW.permute(0, 2, 3, 1)
        # In windows nothing is written but the end, and that in the order of the map.
        if x_NHWC.shape[1] % 2 == x_NHWC.shape[2] % 2 == 0:
            x_Nh2w2C = x_NHWC.reshape(through_Nh2w2C.shape)
            grad_NHWC = grad_x(x_Nh2w2C, through_Nh2w2C).reshape(x_NHWC.shape)
        else:
            grad_NHWC = grad_x(x_NHWC, _map(through_Nh2w2C, x_NHWC.shape))
        return grad_NHWC.permute(0, 3, 1, 2), grad_scale_C, grad_shift_C, None, None


def _wide(x_C: Tensor) -> Tensor:
    """(C,) → (C, 1, 1), beside a map."""
    return x_C[:, None, None]


def _statistics(x_NCHW: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance of each channel, in two passes: the difference of sums of squares
    would lose digits where the mean is large."""
    mean_C = x_NCHW.mean(_MAP)
    return mean_C, (x_NCHW - _wide(mean_C)).square().mean(_MAP)


def _sums(
    grad_NCHW: Tensor, x_NCHW: Tensor, mean_C: Tensor, rstd_C: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients of scale and shift; a pooled map has all the places where there is a gradient."""
    return (grad_NCHW * (x_NCHW - _wide(mean_C))).sum(_MAP) * rstd_C, grad_NCHW.sum(_MAP)


def _through_statistics(
    scale_C: Tensor,
    mean_C: Tensor,
    rstd_C: Tensor,
    grad_scale_C: Tensor,
    grad_shift_C: Tensor,
    *,
    count: int,
) -> tuple[Tensor, Tensor]:
    """What the mean and the variance of the batch take away from the gradient of the input.

    It is slope · input + offset.
    """
    slope_C = scale_C * grad_scale_C * rstd_C * rstd_C / count
    return slope_C, scale_C * grad_shift_C * rstd_C / count - mean_C * slope_C


def _largest(x_NCHW: Tensor) -> tuple[Tensor, Tensor]:
    """The largest of each 2×2 and its place there, 0 to 3 by rows; the first of equals.

    Places are of the map's dtype: compiled, integers of a byte are several times as slow here.
    """
    high, wide = x_NCHW.shape[2] // 2 * 2, x_NCHW.shape[3] // 2 * 2
    upper, lower = x_NCHW[:, :, 0:high:2, :wide], x_NCHW[:, :, 1:high:2, :wide]
    above, below = _larger(upper, places=(0.0, 1.0)), _larger(lower, places=(2.0, 3.0))
    place_NChw = torch.where(below[0] > above[0], below[1], above[1])
    return torch.maximum(above[0], below[0]), place_NChw


def _larger(rows: Tensor, *, places: tuple[float, float]) -> tuple[Tensor, Tensor]:
    """The larger of two neighbours in a row, and its place."""
    left, right = rows[..., 0::2], rows[..., 1::2]
    first, second = rows.new_tensor(places)
    return torch.maximum(left, right), torch.where(right > left, second, first)


def _unpooled(grad_NChw: Tensor, place_NChw: Tensor) -> Tensor:
    """The gradient at the place where it came from, 0 elsewhere, in windows: (N, h, 2, w, 2, C)."""
    grad_Nh1w1C = grad_NChw.permute(0, 2, 3, 1)[:, :, None, :, None]
    place_Nh1w1C = place_NChw.permute(0, 2, 3, 1)[:, :, None, :, None]
    places_212 = torch.arange(4, dtype=grad_NChw.dtype, device=grad_NChw.device).view(2, 1, 2, 1)
    zero = torch.zeros((), dtype=grad_NChw.dtype, device=grad_NChw.device)
    return torch.where(place_Nh1w1C == places_212, grad_Nh1w1C, zero)


def _map(x_Nh2w2C: Tensor, shape: Sequence[int]) -> Tensor:
    """Windows as a map of `shape` (N, H, W, C), whose odd last row and column they do not cover."""
    count, height, width, channels = shape
    high, wide = height // 2 * 2, width // 2 * 2
    x_NHWC = x_Nh2w2C.reshape(count, high, wide, channels)
    return F.pad(x_NHWC, (0, 0, 0, width - wide, 0, height - high))
