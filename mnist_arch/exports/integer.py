"""A network of whole numbers, and what it computes: the reference that C is to equal bit for bit.

Every value but the image and the logits is uint8 with a zero point: it stands for
scale · (value - zero). No scale is needed to compute; they are kept for whoever reads a value.
All sums are of int32, which is checked when the network is made. Whatever makes a new value of a
sum follows one rule, with whole numbers `multiplier` and `shift`:

    value = zero + floor((sum · multiplier + 2^(shift - 1)) / 2^shift)

with 64 binary digits for the product, nothing added where the shift is 0, and the value cut to
what can be stored, from `low` to 255. Padding is the zero point. The logits are int32: what the
last operation makes, without its zero point, and of a convolution or a mean not cut.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, assert_never

import numpy as np

from mnist_arch.counting.layers import Shape, Sides

if TYPE_CHECKING:
    from numpy.typing import NDArray

IMAGES_AT_ONCE: Final = 200
"""Of the reference, which keeps all their values."""


@dataclass(frozen=True, eq=False, kw_only=True)
class IntegerOperation:
    """What every operation has; operation number i, from 0, makes value i + 1. 0 is the image."""

    inputs: tuple[int, ...]
    shape: Shape
    place: str
    zero: int
    """Zero point of the value that it makes."""

    @property
    def scalars(self) -> int:
        """Bytes of its numbers that are no array, beside shapes."""
        return 1


@dataclass(frozen=True, eq=False, kw_only=True)
class IntegerConvolution(IntegerOperation):
    """weight * (x - zero of x) + bias · 2^bias_shift, scaled."""

    weight: NDArray[Any]
    """(out, in / groups, height, width) int8; of weights of 4 bits from -7 to 7."""
    bias: NDArray[Any] | None
    """(out,) int16; none where all are 0."""
    bias_shift: int
    multiplier: NDArray[Any]
    """(out,) uint8."""
    shift: int
    low: NDArray[Any] | None = None
    """(out,) uint8, the least that is stored; none is 0."""
    stride: int = 1
    sides: Sides = (0, 0, 0, 0)
    repeats_border: bool = False
    groups: int = 1

    @property
    def kernel(self) -> tuple[int, int]:
        """Height and width."""
        height, width = self.weight.shape[2:]
        return int(height), int(width)

    @property
    def scalars(self) -> int:
        return 3  # zero, shift, shift of the bias


@dataclass(frozen=True, eq=False, kw_only=True)
class Table(IntegerOperation):
    """A function of each value, looked up: (256,) uint8."""

    values: NDArray[Any]


@dataclass(frozen=True, eq=False, kw_only=True)
class Leaky(IntegerOperation):
    """(x - zero of x) · positive where that is 0 or more, else · negative, scaled."""

    positive: int
    negative: NDArray[Any]
    """(channels,), or (1,) for all, int16."""
    shift: int

    @property
    def scalars(self) -> int:
        return 4


@dataclass(frozen=True, eq=False, kw_only=True)
class HardSwish(IntegerOperation):
    """a · min(max(a + three, 0), 2 · three), scaled, where a is x - zero of x."""

    three: int
    """What stands for 3."""
    multiplier: int
    shift: int

    @property
    def scalars(self) -> int:
        return 6


@dataclass(frozen=True, eq=False, kw_only=True)
class LargestOf(IntegerOperation):
    """The maximum of each window, without what is padded."""

    size: tuple[int, int]
    stride: int
    sides: Sides = (0, 0, 0, 0)


@dataclass(frozen=True, eq=False, kw_only=True)
class MeanOf(IntegerOperation):
    """The sum of x - zero of each window, scaled."""

    size: tuple[int, int]
    stride: int
    multiplier: int
    shift: int
    sides: Sides = (0, 0, 0, 0)

    @property
    def scalars(self) -> int:
        return 4


@dataclass(frozen=True, eq=False, kw_only=True)
class SumOf(IntegerOperation):
    """multipliers[0] · (a - zero of a) + multipliers[1] · (b - zero of b), scaled by the shift."""

    multipliers: tuple[int, int]
    shift: int

    @property
    def scalars(self) -> int:
        return 6


@dataclass(frozen=True, eq=False, kw_only=True)
class ConcatOf(IntegerOperation):
    """Values by channels, one after the other, each multiplier · (a - zero of a), scaled."""

    multipliers: tuple[int, ...]
    shift: int

    @property
    def scalars(self) -> int:
        return 2 + 2 * len(self.multipliers)


@dataclass(frozen=True, eq=False, kw_only=True)
class ProductOf(IntegerOperation):
    """(a - zero of a) · (b - zero of b), scaled; b has one value for each channel."""

    multiplier: int
    shift: int

    @property
    def scalars(self) -> int:
        return 4


AnyIntegerOperation = (
    IntegerConvolution
    | Table
    | Leaky
    | HardSwish
    | LargestOf
    | MeanOf
    | SumOf
    | ConcatOf
    | ProductOf
)


@dataclass(frozen=True, eq=False)
class IntegerProgram:
    """A network of whole numbers."""

    operations: tuple[AnyIntegerOperation, ...]
    image_zero: int
    """What of a pixel stands for 0, which is what the border is filled with."""
    logit_scale: float
    """A logit of the float network is about this times one of these."""
    weight_bits: Literal[8, 4] = 8
    """That a weight is stored in."""

    @property
    def classes(self) -> int:
        """Number of the logits."""
        return self.operations[-1].shape[0]

    def zero(self, value: int) -> int:
        """Zero point of a value."""
        return self.image_zero if value == 0 else self.operations[value - 1].zero

    @property
    def arrays(self) -> Iterator[NDArray[Any]]:
        """All arrays, in the order of the operations."""
        for operation in self.operations:
            for it in vars(operation).values():
                if isinstance(it, np.ndarray):
                    yield it

    @property
    def stored_bytes(self) -> int:
        """Of weights, biases and what scales: all numbers that are not sizes of something."""
        scalars = sum(it.scalars for it in self.operations)
        weights = [it.weight for it in self.operations if isinstance(it, IntegerConvolution)]
        saved = sum(it.nbytes - -(-it.size * self.weight_bits // 8) for it in weights)
        return sum(it.nbytes for it in self.arrays) - saved + scalars + 1  # of the image


def logits(program: IntegerProgram, images_NHW: NDArray[Any]) -> NDArray[Any]:
    """(N, 28, 28) uint8 → (N, classes) int32."""
    parts = [
        values(program, images_NHW[at : at + IMAGES_AT_ONCE])[-1][:, :, 0, 0]
        for at in range(0, len(images_NHW), IMAGES_AT_ONCE)
    ]
    return np.concatenate(parts)


def values(program: IntegerProgram, images_NHW: NDArray[Any]) -> list[NDArray[Any]]:
    """Every value of the program, from the image on, (N, channels, height, width)."""
    found: list[NDArray[Any]] = [images_NHW[:, None]]
    last = program.operations[-1]
    for it in program.operations:
        inputs = [found[value] for value in it.inputs]
        zeros = [program.zero(value) for value in it.inputs]
        found.append(computed(it, inputs, zeros, is_last=it is last))
    return found


def computed(
    operation: AnyIntegerOperation,
    inputs: Sequence[NDArray[Any]],
    zeros: Sequence[int],
    *,
    is_last: bool,
) -> NDArray[Any]:
    """What an operation makes of values with these zero points: uint8, of the last one int32."""
    x, zero = inputs[0], zeros[0]
    low: NDArray[Any] | int = 0
    match operation:
        case IntegerConvolution() as op:
            sums = convolved(op, x, zero)
            scaled = _scaled(sums, op.multiplier.astype(np.int64)[:, None, None], op.shift)
            low = 0 if op.low is None else op.low[:, None, None]
        case Table(values=table):
            scaled = table[x].astype(np.int64) - operation.zero
        case Leaky(positive=positive, shift=shift):
            a = x.astype(np.int64) - zero
            negative = operation.negative.astype(np.int64)[:, None, None]
            scaled = _scaled(np.where(a >= 0, a * positive, a * negative), 1, shift)
        case HardSwish(three=three) as op:
            a = x.astype(np.int64) - zero
            scaled = _scaled(a * np.clip(a + three, 0, 2 * three), op.multiplier, op.shift)
        case LargestOf() as op:
            windows = _windows(_padded(x, op.sides), op.size, op.stride)
            scaled = windows.max((4, 5)).astype(np.int64) - operation.zero
        case MeanOf() as op:
            windows = _windows(_padded(x.astype(np.int64) - zero, op.sides), op.size, op.stride)
            scaled = _scaled(windows.sum((4, 5)), op.multiplier, op.shift)
        case SumOf(multipliers=(first, second), shift=shift):
            a, b = (it.astype(np.int64) - z for it, z in zip(inputs, zeros, strict=True))
            scaled = _scaled(a * first + b * second, 1, shift)
        case ConcatOf(multipliers=multipliers, shift=shift):
            parts = [it.astype(np.int64) - z for it, z in zip(inputs, zeros, strict=True)]
            both = zip(parts, multipliers, strict=True)
            scaled = np.concatenate([_scaled(a, by, shift) for a, by in both], axis=1)
        case ProductOf(multiplier=multiplier, shift=shift):
            a, b = (it.astype(np.int64) - z for it, z in zip(inputs, zeros, strict=True))
            scaled = _scaled(a * b, multiplier, shift)
        case never:
            assert_never(never)
    if is_last and isinstance(operation, IntegerConvolution | MeanOf):
        return scaled.astype(np.int32)
    stored = np.clip(scaled + operation.zero, low, 255).astype(np.uint8)
    found: NDArray[Any] = stored.astype(np.int32) - operation.zero if is_last else stored
    return found


def convolved(op: IntegerConvolution, x: NDArray[Any], zero: int) -> NDArray[Any]:
    """The sums of a convolution, int64; exact, since float64 holds each of them."""
    mode = "edge" if op.repeats_border else "constant"
    x = _padded(x.astype(np.float64) - zero, op.sides, mode)
    out, (height, width), (rows, columns) = op.shape[0], op.shape[1:], op.kernel
    weight = op.weight.astype(np.float64).reshape(op.groups, out // op.groups, -1, rows * columns)
    grouped = x.reshape(len(x), op.groups, -1, *x.shape[2:])
    sums = np.zeros((len(x), op.groups, out // op.groups, height * width))
    for tap in range(rows * columns):
        row, column = divmod(tap, columns)
        seen = grouped[
            :,
            :,
            :,
            row : row + (height - 1) * op.stride + 1 : op.stride,
            column : column + (width - 1) * op.stride + 1 : op.stride,
        ]
        sums += weight[None, :, :, :, tap] @ seen.reshape(*seen.shape[:3], -1)
    found = sums.reshape(len(x), out, height, width).astype(np.int64)
    if op.bias is not None:
        found += (op.bias.astype(np.int64) << op.bias_shift)[:, None, None]
    return found


def _scaled(sums: NDArray[Any], multiplier: NDArray[Any] | int, shift: int) -> NDArray[Any]:
    """The rule, without the zero point."""
    half = (1 << shift) >> 1
    found: NDArray[Any] = (sums * multiplier + half) >> shift
    return found


def _padded(x: NDArray[Any], sides: Sides, mode: Any = "constant") -> NDArray[Any]:
    top, bottom, left, right = sides
    return np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), mode) if any(sides) else x


def _windows(x: NDArray[Any], size: tuple[int, int], stride: int) -> NDArray[Any]:
    """(N, C, H, W) → (N, C, height, width, *size)."""
    windows = np.lib.stride_tricks.sliding_window_view(x, size, axis=(2, 3))
    found: NDArray[Any] = windows[:, :, ::stride, ::stride]
    return found
