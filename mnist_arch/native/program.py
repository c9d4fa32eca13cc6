"""From layers to the operations of the native engine: what is done at once is put together.

Values are numbered in the order in which they are made, from the image, which is 0; parameters in
the order of `model.parameters()`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from math import prod
from typing import Final, assert_never

from mnist_arch.counting import layers as ops
from mnist_arch.counting.layers import Layer, Shape


class Kind(IntEnum):
    """As `NativeKind` in program.h."""

    CONVOLUTION = 0
    BATCH_NORM = 1
    GROUP_NORM = 2
    ACTIVATION = 3
    POOLING = 4
    DROPOUT = 5
    SUM = 6
    SCALE = 7
    CONCATENATION = 8


FUNCTIONS: Final = ("relu", "leaky_relu", "prelu", "gelu", "silu", "hardswish", "sigmoid")
"""As `Function` in elementwise.h."""


@dataclass(frozen=True)
class Operation:
    """As `NativeOperation` in program.h, with the same names; -1 is none."""

    kind: Kind
    input: int
    output: int
    other: int = -1
    weight: int = -1
    bias: int = -1
    running: int = -1
    rows: int = 1
    columns: int = 1
    stride: int = 1
    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0
    groups: int = 1
    parts: int = 1
    replicates: bool = False
    channels_last: bool = False
    function: int = 0
    averages: bool = False
    spatial: bool = False
    rectifies: bool = False
    masks: bool = False
    masks_input: bool = False
    pools: bool = False
    input_bias: int = -1
    slope: float = 0.0
    rate: float = 0.0
    epsilon: float = 0.0
    momentum: float = 0.0


@dataclass
class Program:
    """A network as the native engine runs it."""

    values: list[Shape]
    operations: list[Operation] = field(default_factory=list)
    parameters: list[tuple[int, ...]] = field(default_factory=list)
    """Shapes."""
    running: list[int] = field(default_factory=list)
    """Channels of each batch norm."""

    @property
    def dropouts(self) -> list[Operation]:
        """In the order in which they draw."""
        return [it for it in self.operations if it.kind == Kind.DROPOUT]


def program_of(layers: tuple[Layer, ...]) -> Program:
    """The operations of a whole network."""
    builder = _Builder(Program([layers[0].in_shape]))
    builder.sequence(layers, 0)
    return builder.program


class _Builder:
    def __init__(self, program: Program) -> None:
        self.program = program
        self.weights: dict[str, tuple[int, int]] = {}
        """Weight and bias of convolutions, by the name under which they are shared."""

    def sequence(self, layers: tuple[Layer, ...], value: int) -> int:
        """Appends the operations of `layers`. Returns the value that they end in."""
        left = list(layers)
        while left:
            layer = left.pop(0)
            match layer.op:
                case ops.Convolution() as op:
                    value = self._convolution(layer, op, value, left)
                case ops.Normalization() as op:
                    value = self._norm(op, value, left)
                case ops.Activation() as op:
                    value = self._activation(op, value)
                case ops.Dropout(rate=rate, kind=kind):
                    value = self._add(
                        Kind.DROPOUT, value, layer.out_shape, rate=rate, spatial=kind == "spatial"
                    )
                case ops.Pooling() as op:
                    window = _window((op.size, op.size), op.stride, op.sides)
                    value = self._pool(layer.out_shape, value, window, averages=op.kind != "max")
                case ops.GlobalPooling(kind=kind):
                    value = self._global_pool(value, averages=kind != "max")
                case ops.Flatten():
                    pass  # a fully connected layer reads the map
                case ops.Linear() as op:
                    value = self._linear(op, value, left)
                case ops.SqueezeExcitation(hidden=hidden):
                    value = self._squeeze_excitation(hidden, value)
                case ops.Residual() as op:
                    value = self._residual(op, value)
                case ops.Join() as op:
                    value = self._join(op, value)
                case never:
                    assert_never(never)
        return value

    def _add(self, kind: Kind, value: int, shape: Shape, **options: int | float | bool) -> int:
        """Appends an operation on `value`. Returns the value that it makes."""
        values, operations = self.program.values, self.program.operations
        values.append(shape)
        # mypy cannot match the names of fields with those of **options
        operations.append(Operation(kind, value, len(values) - 1, **options))  # type: ignore[arg-type]
        return len(values) - 1

    def _change_last(self, **options: bool) -> None:
        operations = self.program.operations
        operations[-1] = replace(operations[-1], **options)  # type: ignore[arg-type]

    def _parameter(self, shape: tuple[int, ...]) -> int:
        self.program.parameters.append(shape)
        return len(self.program.parameters) - 1

    def _convolution(self, layer: Layer, op: ops.Convolution, value: int, left: list[Layer]) -> int:
        """A convolution and, of what follows, a rectifier and a batch norm: taken from `left`."""
        channels = layer.in_shape[0]
        if op.weights not in self.weights:
            shape = (op.out, channels // op.groups, *op.window)
            weight = self._parameter(shape)
            self.weights[op.weights] = weight, self._parameter((op.out,)) if op.bias else -1
        weight, bias = self.weights[op.weights]
        slope = _take_rectifier(left)
        value = self._add(
            Kind.CONVOLUTION,
            value,
            layer.out_shape,
            weight=weight,
            bias=bias,
            **_window(op.window, op.stride, op.sides),
            groups=op.groups,
            replicates=op.padding_mode == "replicate",
            channels_last=True,
            rectifies=slope is not None,
            masks=slope is not None,
            slope=slope or 0.0,
        )
        return self._normed(value, left, is_rectified=slope is not None, bias=bias)

    def _normed(self, value: int, left: list[Layer], *, is_rectified: bool, bias: int) -> int:
        """A batch norm right after a convolution or its rectifier, if one follows."""
        match left[0].op if left else None:
            case ops.Normalization(kind="batch") as op:
                left.pop(0)
                self._change_last(masks=False)
                return self._batch_norm(op, value, left, masks_input=is_rectified, input_bias=bias)
        return value

    def _batch_norm(
        self,
        op: ops.Normalization,
        value: int,
        left: list[Layer],
        *,
        masks_input: bool = False,
        input_bias: int = -1,
    ) -> int:
        """A batch norm and, of what follows, a rectifier and a max pool: taken from `left`."""
        shape = self.program.values[value]
        scale, shift = self._affine(op, shape)
        self.program.running.append(shape[0])
        slope = _take_rectifier(left)
        pools = bool(left) and left[0].op == ops.Pooling("max", 2, 2)
        if pools:
            shape = left.pop(0).out_shape
        return self._add(
            Kind.BATCH_NORM,
            value,
            shape,
            weight=scale,
            bias=shift,
            running=len(self.program.running) - 1,
            masks_input=masks_input,
            input_bias=input_bias,
            rectifies=slope is not None,
            slope=slope or 0.0,
            pools=pools,
            parts=op.splits,
            epsilon=op.epsilon,
            momentum=op.momentum,
        )

    def _norm(self, op: ops.Normalization, value: int, left: list[Layer]) -> int:
        """A norm that does not follow a convolution, or a rectified one, right away."""
        if op.kind == "batch":
            return self._batch_norm(op, value, left)
        shape = self.program.values[value]
        scale, shift = self._affine(op, shape)
        return self._add(
            Kind.GROUP_NORM,
            value,
            shape,
            weight=scale,
            bias=shift,
            groups=op.groups if op.kind == "group" else shape[0],
            epsilon=op.epsilon,
        )

    def _affine(self, op: ops.Normalization, shape: Shape) -> tuple[int, int]:
        """Scale and shift of a norm of such a map."""
        if op.affine == "none":
            return -1, -1
        sizes = {"one": 1, "channel": shape[0], "value": prod(shape)}
        size = (sizes[op.affine],)
        return self._parameter(size), self._parameter(size)

    def _activation(self, op: ops.Activation, value: int) -> int:
        shape = self.program.values[value]
        slopes = shape[0] if op.by_channel else 1
        return self._function(
            op.kind,
            value,
            weight=self._parameter((slopes,)) if op.kind == "prelu" else -1,
            slope=op.slope,
        )

    def _function(self, kind: str, value: int, *, weight: int = -1, slope: float = 0.0) -> int:
        function = FUNCTIONS.index(kind)
        shape = self.program.values[value]
        return self._add(
            Kind.ACTIVATION, value, shape, function=function, weight=weight, slope=slope
        )

    def _pool(self, shape: Shape, value: int, window: dict[str, int], *, averages: bool) -> int:
        return self._add(Kind.POOLING, value, shape, **window, averages=averages)

    def _global_pool(self, value: int, *, averages: bool) -> int:
        channels, *sides = self.program.values[value]
        return self._pool((channels, 1, 1), value, _window(sides), averages=averages)

    def _linear(self, op: ops.Linear, value: int, left: list[Layer]) -> int:
        """A convolution whose kernel is the map: weights are by channel, row and column in both.

        What follows a hidden one, as it may follow a convolution, is taken from `left`.
        """
        shape = self.program.values[value]
        weight = self._parameter((op.out, prod(shape)))
        bias = self._parameter((op.out,)) if op.bias else -1
        slope = _take_rectifier(left)
        value = self._add(
            Kind.CONVOLUTION,
            value,
            (op.out, 1, 1),
            weight=weight,
            bias=bias,
            **_window(shape[1:]),
            rectifies=slope is not None,
            masks=slope is not None,
            slope=slope or 0.0,
        )
        return self._normed(value, left, is_rectified=slope is not None, bias=bias)

    def _squeeze_excitation(self, hidden: int, value: int) -> int:
        shape = self.program.values[value]
        squeezed = self._global_pool(value, averages=True)
        found = self._gate_convolution(squeezed, hidden, rectifies=True, masks=True)
        found = self._gate_convolution(found, shape[0])
        return self._add(Kind.SCALE, value, shape, other=self._function("sigmoid", found))

    def _gate_convolution(self, value: int, out: int, **options: bool) -> int:
        channels = self.program.values[value][0]
        weight, bias = self._parameter((out, channels, 1, 1)), self._parameter((out,))
        return self._add(
            Kind.CONVOLUTION,
            value,
            (out, 1, 1),
            weight=weight,
            bias=bias,
            channels_last=True,
            **options,
        )

    def _residual(self, op: ops.Residual, value: int) -> int:
        """The skip runs first, so that a norm at the end of the body can add it."""
        operations = self.program.operations
        start = len(operations)
        body = self.sequence(op.body, value)
        skip = value
        if op.skip is not None:
            skip = self.sequence((op.skip,), value)
            operations.insert(start, operations.pop())
        last = operations[-1]
        if last.kind == Kind.BATCH_NORM and not last.pools:
            operations[-1] = replace(last, other=skip)
            return body
        return self._sum(body, skip)

    def _sum(self, value: int, other: int) -> int:
        return self._add(Kind.SUM, value, self.program.values[value], other=other)

    def _join(self, op: ops.Join, value: int) -> int:
        """The branches one after the other; an empty one ends in what it begins with."""
        first, *others = (self.sequence(branch, value) for branch in op.branches)
        joined = first
        for end in others:
            if op.kind == "add":
                joined = self._sum(joined, end)
                continue
            channels, *sides = self.program.values[joined]
            shape = (channels + self.program.values[end][0], sides[0], sides[1])
            joined = self._add(Kind.CONCATENATION, joined, shape, other=end)
        return joined


def _window(
    sides: Sequence[int], stride: int = 1, padding: ops.Sides = (0, 0, 0, 0)
) -> dict[str, int]:
    """The fields of a window of height × width."""
    names = ("rows", "columns", "stride", "top", "bottom", "left", "right")
    return dict(zip(names, (*sides, stride, *padding), strict=True))


def _take_rectifier(left: list[Layer]) -> float | None:
    """The slope below zero of a ReLU or leaky ReLU that comes first, which is taken."""
    match left[0].op if left else None:
        case ops.Activation(kind="relu"):
            slope = 0.0
        case ops.Activation(kind="leaky_relu", slope=slope):
            pass
        case _:
            return None
    del left[0]
    return slope
