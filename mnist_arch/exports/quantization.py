"""From a program to one of whole numbers, by what its values are on some training images.

1. A value is stored from its least to its greatest on those images, or from less where that makes
   the mean square of the error smaller.
2. The weights of each output channel have a scale of their own. It is not the least that fits them,
   but the next one with which the scaling of the sums is exact: its multiplier is a whole number of
   one byte, with one shift for the layer. Weights of 4 bits are what the training rounded them to,
   with the multiplier that is nearest to their scale.
3. A bias is moved by the mean error of its channel on those images (Nagel et al. 2019), which takes
   back what the rounding of weights, here and before, adds up to.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from mnist_arch.errors import Problem, SpecError
from mnist_arch.exports import reference
from mnist_arch.exports.integer import (
    AnyIntegerOperation,
    ConcatOf,
    HardSwish,
    IntegerConvolution,
    IntegerProgram,
    LargestOf,
    Leaky,
    MeanOf,
    ProductOf,
    SumOf,
    Table,
    computed,
    convolved,
)
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

CALIBRATION_IMAGES: Final = 512
"""Training images that the ranges are taken from: the first ones, so that they are always the same.
"""

LARGEST_SUM: Final = 2**31 - 1
SHARES_OF_RANGE: Final = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.6, 0.5)
"""That are tried for what is stored of a value's range."""
_SAMPLES: Final = 50_000


@dataclass(frozen=True)
class Range:
    """What the stored numbers of a value stand for: scale · (number - zero)."""

    scale: float
    zero: int

    def stored(self, real: NDArray[Any]) -> NDArray[Any]:
        """Real numbers as they are stored, uint8."""
        found: NDArray[Any] = np.clip(np.rint(real / self.scale) + self.zero, 0, 255)
        return found.astype(np.uint8)

    def real(self, stored: NDArray[Any]) -> NDArray[Any]:
        """What stored numbers stand for."""
        found: NDArray[Any] = (stored.astype(np.float64) - self.zero) * self.scale
        return found


def quantized(
    program: Program, images_NHW: NDArray[Any], *, weight_bits: Literal[8, 4] = 8
) -> IntegerProgram:
    """A program of whole numbers, calibrated on these training images, (N, 28, 28) uint8.

    It has no norm of each image; see `not_whole`. Raises SpecError for sums that are too large.
    """
    return _Quantizer(program, images_NHW, weight_bits).program()


def range_of(real: NDArray[Any]) -> Range:
    """The range with which these numbers are stored best."""
    low, high = min(float(real.min()), 0.0), max(float(real.max()), 0.0)
    if high == low:
        return Range(1.0, 0)
    sample = real.reshape(-1)[:: max(1, real.size // _SAMPLES)].astype(np.float64)
    tried = [_between(low * share, high * share) for share in SHARES_OF_RANGE]
    errors = [float(((it.real(it.stored(sample)) - sample) ** 2).mean()) for it in tried]
    return tried[errors.index(min(errors))]


def _between(low: float, high: float) -> Range:
    scale = (high - low) / 255
    return Range(scale, round(-low / scale))


class _Quantizer:
    """Goes through a program, operation by operation, with the values of both."""

    def __init__(
        self, program: Program, images_NHW: NDArray[Any], weight_bits: Literal[8, 4]
    ) -> None:
        self.source, self.weight_bits = program, weight_bits
        self.real = reference.values(program, images_NHW)
        self.operations: list[AnyIntegerOperation] = []
        pixels = program.operations[0]
        assert isinstance(pixels, Pixels)
        zero = round(-pixels.shift / pixels.scale)
        self.left = pixels.scale * zero + pixels.shift
        """What a stored zero of the image really is: a part of a grey level."""
        self.ranges = [Range(pixels.scale, zero)]
        self.values: list[NDArray[Any]] = [images_NHW[:, None]]
        self.number: dict[int, int] = {1: 0}
        """Of values of the source, the numbers of those that stand for them."""

    def program(self) -> IntegerProgram:
        """All of it."""
        at, operations = 1, self.source.operations
        while at < len(operations):
            operation = operations[at]
            end = at
            if isinstance(operation, Convolution | Scale) and self._is_rectified(at):
                end = at + 1
            self._write(at, end, is_last=end + 1 == len(operations))
            self.number[end + 1] = len(self.operations)
            at = end + 1
        return IntegerProgram(
            tuple(self.operations),
            image_zero=self.ranges[0].zero,
            logit_scale=self.logit_scale,
            weight_bits=self.weight_bits,
        )

    def _is_rectified(self, at: int) -> bool:
        """Whether a ReLU, and nothing else, takes the value of this operation."""
        uses = self.source.uses[at + 1]
        return uses == (at + 1,) and isinstance(self.source.operations[at + 1], Relu)

    def _write(self, start: int, end: int, *, is_last: bool) -> None:
        """Writes operation `start`, with the ReLU that is operation `end` where that is another."""
        operation = self.source.operations[start]
        inputs = tuple(self.number[value] for value in operation.inputs)
        found_range = self._range(end + 1, inputs[0], operation)
        at: dict[str, Any] = {
            "inputs": inputs,
            "shape": operation.shape,
            "place": operation.place,
            "zero": found_range.zero,
        }
        made: AnyIntegerOperation
        given = [self.ranges[value] for value in inputs]
        match operation:
            case Convolution() | Scale():
                relu = self.source.operations[end]
                made, found_range = self._convolution(
                    operation if isinstance(operation, Convolution) else _as_convolution(operation),
                    at,
                    found_range,
                    floor=relu.floor if isinstance(relu, Relu) else None,
                    real=self.real[start + 1],
                    is_last=is_last,
                )
            case Relu(floor=floor) if floor is not None:
                made, found_range = self._convolution(
                    _as_convolution(operation),
                    at,
                    found_range,
                    floor=floor,
                    real=self.real[operation.inputs[0]],
                    is_last=is_last,
                )
            case Curve(kind="hardswish") if 1 <= (three := round(3 / given[0].scale)) < 2**15:
                # Exact where it is linear, whatever the rounding of 3 does.
                ratio = given[0].scale / (2 * three * found_range.scale)
                multiplier, shift = _multiplier(ratio)
                made = HardSwish(**at, three=three, multiplier=multiplier, shift=shift)
            case LeakyRelu(slope=slope):
                ratio = given[0].scale / found_range.scale
                _, shift = _multiplier(ratio * max(1.0, float(np.abs(slope).max())))
                factors = np.append(slope, 1.0).astype(np.float64) * ratio * 2.0**shift
                *negative, positive = np.clip(np.rint(factors), -32767, 32767).astype(int).tolist()
                below = np.array(negative, np.int16)
                made = Leaky(**at, positive=positive, negative=below, shift=shift)
            case Relu() | Curve():
                stored = np.arange(256, dtype=np.uint8)
                real = reference.computed(operation, [given[0].real(stored)], dtype=np.float64)
                made = Table(**at, values=found_range.stored(real))
            case Pool(kind=kind, size=size, stride=stride, sides=sides):
                at |= {"size": size, "stride": stride, "sides": sides}
                if kind == "max":
                    made = LargestOf(**at)
                else:
                    unit = given[0].scale / math.prod(size)  # what 1 of a sum stands for
                    multiplier, shift = _multiplier(unit / found_range.scale)
                    made = MeanOf(**at, multiplier=multiplier, shift=shift)
                if is_last and isinstance(made, MeanOf):
                    found_range = Range(unit, 0)
                    made = replace(made, zero=0, multiplier=1, shift=0)
            case Add():
                ratios = [it.scale / found_range.scale for it in given]
                _, shift = _multiplier(max(ratios))
                first, second = (round(it * 2.0**shift) for it in ratios)
                made = SumOf(**at, multipliers=(first, second), shift=shift)
            case Concat():
                ratios = [it.scale / found_range.scale for it in given]
                _, shift = _multiplier(max(ratios))
                by = tuple(round(it * 2.0**shift) for it in ratios)
                made = ConcatOf(**at, multipliers=by, shift=shift)
            case Multiply():
                multiplier, shift = _multiplier(given[0].scale * given[1].scale / found_range.scale)
                made = ProductOf(**at, multiplier=multiplier, shift=shift)
            case GroupNorm() | Pixels():  # which `not_whole` names
                raise AssertionError(operation)
        zeros = [it.zero for it in given]
        self.operations.append(made)
        self.ranges.append(found_range)
        taken = [self.values[value] for value in inputs]
        self.values.append(computed(made, taken, zeros, is_last=is_last))
        self.logit_scale = found_range.scale

    def _range(self, value: int, taken: int, operation: AnyOperation) -> Range:
        """Of a value of the source; a maximum is stored as what it is of."""
        if isinstance(operation, Pool) and operation.kind == "max":
            return self.ranges[taken]
        return range_of(self.real[value])

    def _convolution(
        self,
        op: Convolution,
        at: dict[str, Any],
        wanted: Range,
        *,
        floor: NDArray[Any] | None,
        real: NDArray[Any],
        is_last: bool,
    ) -> tuple[IntegerConvolution, Range]:
        """With the range of what it makes, which is wider where nothing as fine can be."""
        (taken,) = at["inputs"]
        given = self.ranges[taken]
        weight = op.weight.astype(np.float64)
        rows = weight.reshape(len(weight), -1)
        largest = 2 ** (self.weight_bits - 1) - 1
        grid = np.maximum(np.abs(rows).max(1), 1e-30) / largest
        least = given.scale * grid
        finest = max(float(least.max()) / 255, 1e-30)
        found = Range(finest, 0) if is_last else replace(wanted, scale=max(wanted.scale, finest))
        shift = max(0, min(40, math.floor(math.log2(255 * found.scale / max(least.max(), 1e-30)))))
        wanted_by = least / found.scale * 2.0**shift
        rounded = np.ceil(wanted_by - 1e-9) if self.weight_bits == 8 else np.rint(wanted_by)
        multiplier = np.clip(rounded, 1, 255)
        step = multiplier * found.scale / 2.0**shift / given.scale  # of each channel's weights
        unrounded = rows / (step if self.weight_bits == 8 else grid)[:, None]
        whole = np.clip(np.rint(unrounded), -largest, largest).astype(np.int8)
        bias = op.bias.astype(np.float64) + (self.left * rows.sum(1) if taken == 0 else 0)
        made = IntegerConvolution(
            **{**at, "zero": found.zero},
            weight=whole.reshape(weight.shape),
            bias=None,
            bias_shift=0,
            multiplier=multiplier.astype(np.uint8),
            shift=shift,
            stride=op.stride,
            sides=op.sides,
            repeats_border=op.repeats_border,
            groups=op.groups,
        )
        sums = convolved(made, self.values[taken], given.zero)
        unit = step * given.scale  # what 1 of a sum stands for
        mean = sums.mean((0, 2, 3)) * unit
        if bias.any():  # else what it takes back is not worth two bytes
            bias = real.mean((0, 2, 3), dtype=np.float64) - mean
            made = replace(made, **_bias(bias / unit))
        if floor is not None:
            made = replace(made, low=found.stored(floor.astype(np.float64)))
        return _checked(made, given.zero, is_last=is_last, found=found)


def _as_convolution(op: Scale | Relu) -> Convolution:
    """The same as a convolution of each channel by itself."""
    channels = op.shape[0]
    scale, shift = np.ones(channels), np.zeros(channels)
    if isinstance(op, Scale):
        scale, shift = op.scale, op.shift
    return Convolution(
        inputs=op.inputs,
        shape=op.shape,
        place=op.place,
        weight=scale.reshape(channels, 1, 1, 1),
        bias=shift,
        groups=channels,
    )


def _bias(sums: NDArray[Any]) -> dict[str, Any]:
    """A bias in units of sums, in 16 binary digits with one shift."""
    shift = max(0, math.ceil(math.log2(max(float(np.abs(sums).max()), 1.0) / 32767)))
    bias = np.clip(np.rint(sums / 2.0**shift), -32767, 32767).astype(np.int16)
    return {"bias": bias, "bias_shift": shift}


def _checked(
    made: IntegerConvolution, zero: int, *, is_last: bool, found: Range
) -> tuple[IntegerConvolution, Range]:
    """The same, once no sum can leave int32, nor a scaled one."""
    weights = np.abs(made.weight.reshape(len(made.weight), -1).astype(np.int64)).sum(1)
    largest = weights * max(zero, 255 - zero)
    if made.bias is not None:
        largest = largest + (np.abs(made.bias.astype(np.int64)) << made.bias_shift)
    if int(largest.max()) > LARGEST_SUM:
        message = "its sums do not fit into 32 binary digits"
        problem = Problem(message, place=made.place, hint="fewer inputs, or an export without int8")
        raise SpecError((problem,))
    scaled = int((largest * made.multiplier).max()) >> made.shift
    more = max(0, (scaled + 1).bit_length() - 31) if is_last else 0
    if more:
        made = replace(made, shift=made.shift + more)
        found = replace(found, scale=found.scale * 2.0**more)
    return made, found


def _multiplier(ratio: float) -> tuple[int, int]:
    """A number below 2^15 and a shift with ratio = number / 2^shift, nearly."""
    shift = max(0, min(40, 14 - math.floor(math.log2(ratio))))
    return min(round(ratio * 2.0**shift), 32767), shift
