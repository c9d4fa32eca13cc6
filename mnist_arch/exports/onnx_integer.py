"""A network of whole numbers as one ONNX file, from the bytes of images to logits.

Of the forms that ONNX has, this is the small one: a convolution with its ReLU is one QLinearConv,
and values stay bytes between the operations. The other form, which has a pair of QuantizeLinear and
DequantizeLinear around each float operation, says the same in more nodes: docs/export.md has sizes.

Weights are stored with 128 added, as uint8: products of uint8 and int8 are added up in 16 binary
digits, and cut, by onnxruntime on a CPU with AVX2 alone, which makes other results there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, assert_never

import numpy as np

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
)
from mnist_arch.exports.onnx_file import INPUT, OUTPUT, Graph, padded, window

if TYPE_CHECKING:
    from numpy.typing import NDArray

WEIGHT_ZERO: Final = 128


def integer_onnx_bytes(program: IntegerProgram, *, name: str, metadata: Mapping[str, str]) -> bytes:
    """The file: from `image`, (N, 28, 28) uint8, to `logits`, (N, classes) float32."""
    return _Writer(program).file(name=name, metadata=metadata)


class _Writer:
    """Writes nodes; `values` are the names of the program's values."""

    def __init__(self, program: IntegerProgram) -> None:
        self.program = program
        self.graph = Graph()
        image = self.graph.add("Unsqueeze", INPUT, self.graph.constant([1], "int64"))
        self.values = [image]

    def file(self, *, name: str, metadata: Mapping[str, str]) -> bytes:
        *inner, last = self.program.operations
        for operation in inner:
            self.values.append(self._stored(operation))
        self.graph.add("Flatten", self._logits(last), output=OUTPUT, axis=1)
        return self.graph.file(classes=self.program.classes, name=name, metadata=metadata)

    def _logits(self, last: AnyIntegerOperation) -> str:
        """What the last operation makes, as real numbers, (N, classes, 1, 1)."""
        add, scale = self.graph.add, self.graph.constant(self.program.logit_scale)
        x, zero = self._input(last, 0)
        if isinstance(last, IntegerConvolution):
            from onnx import TensorProto

            x, given = padded(self.graph, last, x)
            sums = add("ConvInteger", x, self._weight(last), zero, self._weight_zero(), **given)
            if last.bias is not None:
                bias = last.bias.astype(np.int64) << last.bias_shift
                sums = add("Add", sums, self.graph.channels(bias, "int32"))
            real = add("Cast", sums, to=TensorProto.FLOAT)
            scaled = add("Mul", real, self.graph.channels(_ratio(last.multiplier, last.shift)))
            whole = add("Floor", add("Add", scaled, self.graph.constant(0.5)))
            return add("Mul", whole, scale)
        if isinstance(last, MeanOf):
            ratio = float(_ratio(last.multiplier, last.shift)) * math.prod(last.size)
            mean = add("AveragePool", self._real(x, 1.0, zero), **window(last))
            return add("Mul", add("Mul", mean, self.graph.constant(ratio)), scale)
        return self._real(self._stored(last), self.program.logit_scale, self._byte(last.zero))

    def _stored(self, operation: AnyIntegerOperation) -> str:
        """The nodes of an operation; returns the name of the value, which is uint8."""
        add = self.graph.add
        x, zero = self._input(operation, 0)
        match operation:
            case IntegerConvolution() as op:
                return self._convolution(op, x, zero)
            case Table(values=values):
                return self._looked_up(x, values)
            case Leaky(negative=negative) as op if len(negative) > 1:
                return self._by_channel(op, x, zero)
            case Leaky() | HardSwish() as op:
                stored = np.arange(256, dtype=np.uint8).reshape(1, 1, 256)
                zero_of_x = self.program.zero(op.inputs[0])
                values = computed(op, [stored], [zero_of_x], is_last=False)
                return self._looked_up(x, values.ravel())
            case LargestOf() as op:
                return add("MaxPool", x, **window(op))
            case MeanOf() as op:
                ratio = float(_ratio(op.multiplier, op.shift)) * math.prod(op.size)
                mean = add("AveragePool", self._real(x, ratio, zero), **window(op))
                return self._quantized(mean, op.zero)
            case SumOf(multipliers=(first, second), shift=shift):
                other, its_zero = self._input(operation, 1)
                a = self._real(x, first / 2.0**shift, zero)
                b = self._real(other, second / 2.0**shift, its_zero)
                return self._quantized(add("Add", a, b), operation.zero)
            case ConcatOf(multipliers=multipliers, shift=shift):
                ends = []
                for place, multiplier in enumerate(multipliers):
                    part, its_zero = self._input(operation, place)
                    real = self._real(part, multiplier / 2.0**shift, its_zero)
                    ends.append(self._quantized(real, operation.zero))
                return add("Concat", *ends, axis=1)
            case ProductOf(multiplier=multiplier, shift=shift):
                other, its_zero = self._input(operation, 1)
                a = self._real(x, 1.0, zero)
                b = self._real(other, multiplier / 2.0**shift, its_zero)
                return self._quantized(add("Mul", a, b), operation.zero)
            case never:
                assert_never(never)

    def _convolution(self, op: IntegerConvolution, x: str, zero: str) -> str:
        """One node; with scales of 1 for the bytes, those of the weights are what scales sums."""
        x, given = padded(self.graph, op, x)
        one, ratio = self.graph.constant(1.0), self.graph.constant(_ratio(op.multiplier, op.shift))
        inputs = [x, one, zero, self._weight(op), ratio, self._weight_zero(), one]
        inputs.append(self._byte(op.zero))
        if op.bias is not None:
            bias = op.bias.astype(np.int64) << op.bias_shift
            inputs.append(self.graph.constant(bias, "int32"))
        made = self.graph.add("QLinearConv", *inputs, **given)
        if op.low is None:
            return made
        return self._at_least(made, op.low)

    def _by_channel(self, op: Leaky, x: str, zero: str) -> str:
        """A leaky ReLU with a slope for each channel."""
        add, real = self.graph.add, self._real(x, 1.0, zero)
        above = add("Mul", add("Relu", real), self.graph.constant(op.positive / 2.0**op.shift))
        low = add("Min", real, self.graph.constant(0.0))
        below = add("Mul", low, self.graph.channels(_ratio(op.negative, op.shift)))
        return self._quantized(add("Add", above, below), op.zero)

    def _looked_up(self, x: str, values: NDArray[Any]) -> str:
        """The place of each number of x in these 256."""
        from onnx import TensorProto

        place = self.graph.add("Cast", x, to=TensorProto.INT32)
        return self.graph.add("Gather", self.graph.constant(values, "uint8"), place, axis=0)

    def _at_least(self, x: str, low: NDArray[Any]) -> str:
        """Not less than a number for each channel."""
        return self.graph.add("Max", x, self.graph.channels(low, "uint8"))

    def _weight(self, op: IntegerConvolution) -> str:
        return self.graph.constant(op.weight.astype(np.int16) + WEIGHT_ZERO, "uint8")

    def _weight_zero(self) -> str:
        return self._byte(WEIGHT_ZERO)

    def _input(self, operation: AnyIntegerOperation, place: int) -> tuple[str, str]:
        """A value that an operation takes, and its zero point."""
        value = operation.inputs[place]
        return self.values[value], self._byte(self.program.zero(value))

    def _real(self, x: str, scale: float, zero: str) -> str:
        return self.graph.add("DequantizeLinear", x, self.graph.constant(scale), zero)

    def _quantized(self, x: str, zero: int) -> str:
        return self.graph.add("QuantizeLinear", x, self.graph.constant(1.0), self._byte(zero))

    def _byte(self, value: int) -> str:
        return self.graph.constant(value, "uint8")


def _ratio(multiplier: NDArray[Any] | int, shift: int) -> NDArray[Any]:
    """multiplier / 2^shift, which float32 holds exactly."""
    return np.asarray(multiplier) / np.float64(2.0**shift)
