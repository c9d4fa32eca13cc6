"""From layers to the operations of the native engine: what is done at once is put together.

Values are numbered in the order in which they are made, from the image, which is 0; parameters in
the order of `model.parameters()`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Final, assert_never

from mnist_arch.counting import layers as ops
from mnist_arch.counting.layers import Layer, Shape, every, joins
from mnist_arch.spec.recipe import Adadelta, Adagrad, Adam, Recipe, RmsProp


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
    size: int = 1
    stride: int = 1
    padding: int = 0
    groups: int = 1
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


def not_covered(layers: Iterable[Layer], recipe: Recipe | None = None) -> str:
    """What the engine does not have, as the spec says it; empty where it has all."""
    layers = tuple(layers)
    if next(joins(layers), None) is not None:
        return "`branches`"
    for layer in every(layers):
        match layer.op:
            case ops.Convolution(kernel=tuple()):
                return "a `kernel` that is no square"
            case ops.Convolution(padding=tuple()):
                return "`padding: same-end`"
            case ops.Convolution(padding=int() as padding, kernel=int() as side) if (
                padding > (side - 1) // 2
            ):
                return f"`padding: {padding}` of a kernel of {side}"
            case ops.Normalization(splits=splits) if splits > 1:
                return "`splits` of a norm"
            case ops.Normalization() as op if op != ops.Normalization(op.kind, op.groups):
                return "`affine`, `epsilon` or `momentum` of a norm"
            case ops.Activation(by_channel=True):
                return "`slopes: channel` of a PReLU"
            case ops.Pooling(padding=padding) if padding:
                return "`padding` of a pool"
            case _ if layer.in_shape[1] != layer.in_shape[2]:
                return "maps that are no squares"
    return "" if recipe is None else _recipe_not_covered(recipe)


def _recipe_not_covered(recipe: Recipe) -> str:
    if recipe.cycles_momentum:
        return "`cycle_momentum`"
    if recipe.l1 is not None:
        return "`l1`"
    match recipe.optimizer:
        case Adam(weight_decay=decay) if decay:
            return "`weight_decay` of `adam`"
        case RmsProp() | Adadelta() | Adagrad() as optimizer:
            return f"`{optimizer.kind}`"
    return ""


def program_of(layers: tuple[Layer, ...]) -> Program:
    """The operations of a whole network, all of whose layers are covered."""
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
                    value = self._norm(op, value)
                case ops.Activation(kind=kind, slope=slope):
                    weight = self._parameter((1,)) if kind == "prelu" else -1
                    value = self._activation(kind, value, weight=weight, slope=slope)
                case ops.Dropout(rate=rate, kind=kind):
                    value = self._add(
                        Kind.DROPOUT, value, layer.out_shape, rate=rate, spatial=kind == "spatial"
                    )
                case ops.Pooling() as op:
                    value = self._pool(layer, op.size, op.stride, value, averages=op.kind != "max")
                case ops.GlobalPooling(kind=kind):
                    side = layer.in_shape[1]
                    value = self._pool(layer, side, side, value, averages=kind != "max")
                case ops.Flatten():
                    pass  # a fully connected layer reads the map
                case ops.Linear() as op:
                    value = self._linear(op, value, left)
                case ops.SqueezeExcitation(hidden=hidden):
                    value = self._squeeze_excitation(hidden, value)
                case ops.Residual() as op:
                    value = self._residual(op, value)
                case ops.Join():
                    raise AssertionError("branches are not covered")
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
            size=op.window[0],
            stride=op.stride,
            padding=op.sides[0],
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
        if not (left and left[0].op == ops.Normalization("batch", 1)):
            return value
        left.pop(0)
        self._change_last(masks=False)
        return self._batch_norm(value, left, masks_input=is_rectified, input_bias=bias)

    def _batch_norm(
        self, value: int, left: list[Layer], *, masks_input: bool, input_bias: int
    ) -> int:
        """A batch norm and, of what follows, a rectifier and a max pool: taken from `left`."""
        shape = self.program.values[value]
        scale, shift = self._parameter((shape[0],)), self._parameter((shape[0],))
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
        )

    def _norm(self, op: ops.Normalization, value: int) -> int:
        """A norm that does not follow a convolution, or a rectified one, right away."""
        if op.kind == "batch":
            return self._batch_norm(value, [], masks_input=False, input_bias=-1)
        shape = self.program.values[value]
        scale, shift = self._parameter((shape[0],)), self._parameter((shape[0],))
        groups = op.groups if op.kind == "group" else shape[0]
        return self._add(Kind.GROUP_NORM, value, shape, weight=scale, bias=shift, groups=groups)

    def _activation(self, kind: str, value: int, *, weight: int = -1, slope: float = 0) -> int:
        function = FUNCTIONS.index(kind)
        shape = self.program.values[value]
        return self._add(
            Kind.ACTIVATION, value, shape, function=function, weight=weight, slope=slope
        )

    def _pool(self, layer: Layer, size: int, stride: int, value: int, *, averages: bool) -> int:
        return self._add(
            Kind.POOLING, value, layer.out_shape, size=size, stride=stride, averages=averages
        )

    def _linear(self, op: ops.Linear, value: int, left: list[Layer]) -> int:
        """A convolution whose kernel is the map: weights are by channel, row and column in both.

        What follows a hidden one, as it may follow a convolution, is taken from `left`.
        """
        channels, height, width = self.program.values[value]
        weight = self._parameter((op.out, channels * height * width))
        bias = self._parameter((op.out,)) if op.bias else -1
        slope = _take_rectifier(left)
        value = self._add(
            Kind.CONVOLUTION,
            value,
            (op.out, 1, 1),
            weight=weight,
            bias=bias,
            size=height,
            rectifies=slope is not None,
            masks=slope is not None,
            slope=slope or 0.0,
        )
        return self._normed(value, left, is_rectified=slope is not None, bias=bias)

    def _squeeze_excitation(self, hidden: int, value: int) -> int:
        shape = self.program.values[value]
        channels, side = shape[0], shape[1]
        squeezed = self._add(
            Kind.POOLING, value, (channels, 1, 1), size=side, stride=side, averages=True
        )
        found = self._gate_convolution(squeezed, hidden, rectifies=True, masks=True)
        found = self._gate_convolution(found, channels)
        return self._add(Kind.SCALE, value, shape, other=self._activation("sigmoid", found))

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
        return self._add(Kind.SUM, body, self.program.values[body], other=skip)


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
