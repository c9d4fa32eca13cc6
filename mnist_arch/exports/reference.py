"""What a program computes, in plain NumPy: slow, and what every export is compared with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, assert_never

import numpy as np

from mnist_arch.counting.layers import Sides
from mnist_arch.exports.program import (
    Add,
    AnyOperation,
    Concat,
    Convolution,
    Curve,
    GroupNorm,
    LeakyRelu,
    Multiply,
    Pixels,
    Pool,
    Program,
    Relu,
    Scale,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray


def logits(program: Program, images_NHW: NDArray[Any], *, dtype: Any = np.float32) -> NDArray[Any]:
    """(N, 28, 28) uint8 → (N, classes), computed in `dtype`."""
    return values(program, images_NHW, dtype=dtype)[-1][:, :, 0, 0]


def values(
    program: Program, images_NHW: NDArray[Any], *, dtype: Any = np.float32
) -> list[NDArray[Any]]:
    """Every value of the program, from the image on; but for that (N, channels, height, width)."""
    found = [images_NHW]
    for operation in program.operations:
        inputs = [found[number] for number in operation.inputs]
        found.append(computed(operation, inputs, dtype=dtype))
        assert found[-1].shape[1:] == operation.shape
    return found


def computed(
    operation: AnyOperation, inputs: Iterable[NDArray[Any]], *, dtype: Any = np.float32
) -> NDArray[Any]:
    """The value that an operation makes of others."""
    x, *others = inputs
    found: NDArray[Any]
    match operation:
        case Pixels(scale=scale, shift=shift):
            found = x[:, None].astype(dtype) * dtype(scale) + dtype(shift)
        case Convolution() as op:
            found = _convolution(op, x)
        case Scale() as op:
            found = _by_channel(x, op.scale, op.shift)
        case GroupNorm() as op:
            rows = x.reshape(len(x), op.groups, -1)
            mean, variance = rows.mean(2, keepdims=True), rows.var(2, keepdims=True)
            normal = (rows - mean) / np.sqrt(variance + dtype(op.eps))
            found = _by_channel(normal.reshape(x.shape), op.scale, op.shift)
        case Relu(floor=floor):
            found = np.maximum(x, 0 if floor is None else floor[:, None, None].astype(x.dtype))
        case LeakyRelu(slope=slope):
            found = np.where(x >= 0, x, x * slope[:, None, None].astype(x.dtype))
        case Curve(kind=kind):
            found = _curve(kind, x)
        case Pool() as op:
            fill = 0 if op.kind == "average" else -np.inf
            windows = _windows(_padded(x, op.sides, constant_values=fill), op.size, op.stride)
            found = windows.max((4, 5)) if op.kind == "max" else windows.mean((4, 5))
        case Add():
            found = x + others[0]
        case Concat():
            found = np.concatenate([x, *others], axis=1)
        case Multiply():
            found = x * others[0]
        case never:
            assert_never(never)
    return found


def _by_channel(x: NDArray[Any], scale: NDArray[Any], shift: NDArray[Any]) -> NDArray[Any]:
    """Also of each value, where there are as many of both."""
    scale, shift = (it.reshape(len(it), *it.shape[1:] or (1, 1)) for it in (scale, shift))
    scale, shift = scale.astype(x.dtype), shift.astype(x.dtype)
    found: NDArray[Any] = x * scale + shift
    return found


def _padded(x: NDArray[Any], sides: Sides, **how: Any) -> NDArray[Any]:
    top, bottom, left, right = sides
    return np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), **how) if any(sides) else x


def _windows(x: NDArray[Any], size: tuple[int, int], stride: int) -> NDArray[Any]:
    """(N, C, H, W) → (N, C, height, width, *size)."""
    windows = np.lib.stride_tricks.sliding_window_view(x, size, axis=(2, 3))
    found: NDArray[Any] = windows[:, :, ::stride, ::stride]
    return found


def _convolution(op: Convolution, x: NDArray[Any]) -> NDArray[Any]:
    x = _padded(x, op.sides, mode="edge" if op.repeats_border else "constant")
    windows = _windows(x, op.kernel, op.stride)
    parts = [
        np.einsum("nchwij,ocij->nohw", part, weight.astype(x.dtype), optimize=True)
        for part, weight in zip(
            np.split(windows, op.groups, axis=1), np.split(op.weight, op.groups), strict=True
        )
    ]
    found: NDArray[Any] = np.concatenate(parts, axis=1) + op.bias[:, None, None].astype(x.dtype)
    return found


def _curve(kind: str, x: NDArray[Any]) -> NDArray[Any]:
    from scipy.special import erf, expit

    match kind:
        case "gelu":
            found: NDArray[Any] = 0.5 * x * (1 + erf(x * np.sqrt(0.5).astype(x.dtype)))
        case "silu":
            found = x * expit(x)
        case "hardswish":
            found = x * np.clip(x + 3, 0, 6) / 6
        case _:
            found = expit(x)
    return found
