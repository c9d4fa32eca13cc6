"""The plan of a network: every module with its shapes, parameters and MACs, in whole numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal, NamedTuple, assert_never

from mnist_arch.counting import layers as ops
from mnist_arch.counting.layers import Layer, Shape
from mnist_arch.counting.unroll import unroll_parts
from mnist_arch.data.catalog import IMAGE_SHAPE
from mnist_arch.html import table
from mnist_arch.spec.network import Network

ConvolutionKind = Literal["ordinary", "pointwise", "depthwise", "grouped"]
"""Pointwise is 1×1; depthwise sees one input channel for each output channel."""

BYTES_PER_VALUE: Final = 4
"""Activations and weights are float32."""

_ACTIVATIONS: Final = {
    "relu": "ReLU",
    "leaky_relu": "LeakyReLU",
    "prelu": "PReLU",
    "gelu": "GELU",
    "silu": "SiLU",
    "hardswish": "Hardswish",
}
_NORMS: Final = {"batch": "BatchNorm2d", "group": "GroupNorm", "instance": "InstanceNorm2d"}


@dataclass(frozen=True, slots=True)
class Row:
    """One module of the network. Shapes are (channels, height, width)."""

    index: int
    """Number in the order of execution, from 1."""
    layer: str
    """Class name of the torch module."""
    place: str
    """Path in the spec."""
    output_shape: Shape
    kernel: int | tuple[int, int] | None
    """Side of the window, in pixels, or its height and width, where there is one."""
    stride: int | None
    """Step of the window, in pixels, where there is one."""
    kind: ConvolutionKind | None
    """Of a convolution: which input channels an output channel sees, and through which window."""
    parameters: int
    """Elements of its own tensors; 0 where it uses tensors of an earlier row."""
    shared: bool
    """Whether it uses the tensors of an earlier row."""
    buffers: int
    """Elements of its buffers, which are not parameters."""
    macs: int
    """Multiply-accumulates for one image, of convolutions and linear layers, without bias."""
    receptive_field: int
    """Side of the square of input pixels, padding included, that a value sees through windows.

    Where it is no square, the longer side. Squeeze-and-excitation and norms, which see the whole
    map, are left aside.
    """

    @property
    def window(self) -> tuple[int, int] | None:
        """Height and width of the window, in pixels, where there is one."""
        return (self.kernel, self.kernel) if isinstance(self.kernel, int) else self.kernel

    @property
    def activation_bytes(self) -> int:
        """Bytes of the output of one image, as float32."""
        channels, height, width = self.output_shape
        return channels * height * width * BYTES_PER_VALUE


@dataclass(frozen=True)
class Sizes:
    """Memory of one image and of the weights in float32, in bytes."""

    input_bytes: int
    forward_backward_bytes: int
    """Outputs of all layers, twice: once for the values and once for their gradients."""
    parameter_bytes: int
    inference_peak_bytes: int
    """Most bytes of maps that are needed at a time to classify one image, without the weights.

    A layer needs its input and its output. What a residual adds is kept until then, its input or
    the output of its projection, and so is what branches end in; squeeze-and-excitation keeps its
    map while it finds the factors. Dropout does nothing in inference, and flattening copies
    nothing: neither needs an output.
    """

    @property
    def training_bytes(self) -> int:
        """Input, outputs with their gradients, and weights: the total that torchsummary states."""
        return self.input_bytes + self.forward_backward_bytes + self.parameter_bytes

    @property
    def inference_bytes(self) -> int:
        """Weights, and the most that maps need at a time."""
        return self.parameter_bytes + self.inference_peak_bytes


@dataclass(frozen=True, repr=False)
class Plan:
    """A network counted. Totals are sums over the rows."""

    layers: tuple[Layer, ...]
    rows: tuple[Row, ...]

    def __repr__(self) -> str:
        counts = f"{self.parameters:,} parameters, {self.macs:,} MACs"
        return f"Plan({len(self.rows)} modules: {counts})"

    def _repr_html_(self) -> str:
        return self.html(repr(self))

    def html(self, title: str) -> str:
        """A table of the modules, for a notebook."""
        rows = [
            (row.place, row.layer, "×".join(map(str, row.output_shape)), row.parameters, row.macs)
            for row in self.rows
        ]
        total = ("total", "", "", self.parameters, self.macs)
        return table(title, ("place", "layer", "output", "parameters", "MACs"), [*rows, total])

    @property
    def parameters(self) -> int:
        return sum(row.parameters for row in self.rows)

    @property
    def buffers(self) -> int:
        return sum(row.buffers for row in self.rows)

    @property
    def macs(self) -> int:
        return sum(row.macs for row in self.rows)

    @property
    def activation_bytes(self) -> int:
        return sum(row.activation_bytes for row in self.rows)

    @property
    def receptive_field(self) -> int:
        return self.rows[-1].receptive_field

    @cached_property
    def sizes(self) -> Sizes:
        return Sizes(
            input_bytes=math.prod(IMAGE_SHAPE) * BYTES_PER_VALUE,
            forward_backward_bytes=2 * self.activation_bytes,
            parameter_bytes=self.parameters * BYTES_PER_VALUE,
            inference_peak_bytes=_most_live(self.layers) * BYTES_PER_VALUE,
        )

    def parts(self) -> dict[str, tuple[Row, ...]]:
        """Rows by block and head, in order: `blocks[0]`, …, `head`."""
        parts: dict[str, list[Row]] = {}
        for row in self.rows:
            parts.setdefault(row.place.split(".")[0], []).append(row)
        return {place: tuple(rows) for place, rows in parts.items()}

    @property
    def shares_tensors(self) -> bool:
        return any(row.shared for row in self.rows)

    @property
    def largest(self) -> Row:
        """The row with the most parameters."""
        return max(self.rows, key=lambda row: row.parameters)


def plan_network(network: Network) -> Plan:
    """Counts `network`. Raises ShapeError where its layers cannot be connected."""
    return joined(_parts(unroll_parts(network)))


class Position(NamedTuple):
    """Where a part of a network begins: what its rows need to know of those before it."""

    rows: int
    field: tuple[int, int]
    """Height and width of the receptive field, in pixels."""
    jump: int
    """Distance, in input pixels, between neighbouring values of the map."""


START: Final = Position(rows=0, field=(1, 1), jump=1)


@dataclass(frozen=True, slots=True)
class Part:
    """A block, or the head, counted. It shares no tensors with other parts."""

    layers: tuple[Layer, ...]
    rows: tuple[Row, ...]
    end: Position


def count_part(layers: tuple[Layer, ...], start: Position) -> Part:
    """Counts the layers of a block or of the head, which begins at `start`."""
    counter = _Counter(start)
    counter.add(layers)
    return Part(layers, tuple(counter.rows), counter.position)


def joined(parts: Iterable[Part]) -> Plan:
    """The plan of a network of all its parts, in their order."""
    parts = tuple(parts)
    return Plan(
        tuple(layer for part in parts for layer in part.layers),
        tuple(row for part in parts for row in part.rows),
    )


def _parts(unrolled: Iterable[tuple[Layer, ...]]) -> Iterator[Part]:
    at = START
    for layers in unrolled:
        part = count_part(layers, at)
        yield part
        at = part.end


def _most_live(layers: tuple[Layer, ...], kept: int = 0, *, input_is_kept: bool = False) -> int:
    """Most values that are needed at a time, with `kept` values that are kept beside them.

    With `input_is_kept` the input of the first layer is among these.
    """
    most = 0
    for layer in layers:
        before, after = math.prod(layer.in_shape), math.prod(layer.out_shape)
        own = 0 if input_is_kept else before
        beside, input_is_kept = kept + own, False
        match layer.op:
            case ops.Residual(body=body, skip=skip):
                most = max(most, _most_live(body, beside, input_is_kept=True))
                added = after
                if skip is not None:  # of the input, while the output of the body waits
                    most = max(most, beside + 2 * after)
                    beside -= own  # which nothing needs any more
                    added = 2 * after
                live = beside + added + after
            case ops.Join(branches=branches):
                waiting = 0  # of the branches so far
                for number, branch in enumerate(branches, start=1):
                    if not branch:
                        continue
                    if number == len(branches) and all(branches):  # which takes the input last
                        peak = _most_live(branch, kept + waiting, input_is_kept=own == 0)
                    else:
                        peak = _most_live(branch, beside + waiting, input_is_kept=True)
                    most = max(most, peak)
                    waiting += math.prod(branch[-1].out_shape)
                live = (kept if all(branches) else beside) + waiting + after
            case ops.SqueezeExcitation():
                live = beside + after + layer.out_shape[0]
            case ops.Dropout() | ops.Flatten():
                live = beside
            case _:
                live = beside + after
        most = max(most, live)
    return most


class _Counter:
    """Walks the layers of a part once, with the receptive field and the tensors seen so far."""

    def __init__(self, start: Position) -> None:
        self.rows: list[Row] = []
        self.before, self.field, self.jump = start
        self.is_flat = False
        self.seen: set[str] = set()

    @property
    def position(self) -> Position:
        return Position(self.before + len(self.rows), self.field, self.jump)

    def add(self, layers: tuple[Layer, ...]) -> None:
        for layer in layers:
            shared = False
            match layer.op:
                case ops.Convolution() as op:
                    self._look(op.window, op.stride)
                    shared = op.weights in self.seen
                    self.seen.add(op.weights)
                case (
                    ops.Activation()
                    | ops.Normalization()
                    | ops.Dropout()
                    | ops.SqueezeExcitation()
                    | ops.Linear()
                ):
                    pass
                case ops.Pooling() as op:
                    self._look((op.size, op.size), op.stride)
                case ops.GlobalPooling() | ops.Flatten():
                    self._look(layer.in_shape[1:], 1)
                    self.is_flat = self.is_flat or isinstance(layer.op, ops.Flatten)
                case ops.Residual() as op:
                    self._residual(op)
                    continue
                case ops.Join(branches=branches):
                    self._join(branches)
                    continue
                case never:
                    assert_never(never)
            number = self.before + len(self.rows) + 1
            self.rows += _rows(layer, number, max(self.field), shared, is_flat=self.is_flat)

    def _residual(self, op: ops.Residual) -> None:
        field, jump = self.field, self.jump
        self.add(op.body)
        after = self.field, self.jump
        if op.skip is not None:
            self.field, self.jump = field, jump
            self.add((op.skip,))
        (high, wide), (other_high, other_wide) = after[0], self.field
        self.field, self.jump = (max(high, other_high), max(wide, other_wide)), after[1]

    def _join(self, branches: tuple[tuple[Layer, ...], ...]) -> None:
        start, ends = (self.field, self.jump), []
        for branch in branches:
            self.field, self.jump = start
            self.add(branch)
            ends.append((*self.field, self.jump))
        high, wide, self.jump = map(max, zip(*ends, strict=True))
        self.field = high, wide

    def _look(self, window: tuple[int, int], stride: int) -> None:
        """Widens the receptive field by a window (Araujo et al. 2019, eq. 2)."""
        high, wide = (
            seen + (side - 1) * self.jump for seen, side in zip(self.field, window, strict=True)
        )
        self.field = high, wide
        self.jump *= stride


def _rows(layer: Layer, index: int, field: int, shared: bool, *, is_flat: bool) -> Iterator[Row]:
    """The rows of one layer, numbered from `index`; `is_flat` after the map was flattened."""
    for number, module in enumerate(_modules(layer, is_flat=is_flat), index):
        yield Row(
            index=number,
            layer=module.name,
            place=layer.place,
            output_shape=module.output_shape,
            kernel=module.kernel,
            stride=module.stride,
            kind=module.kind,
            parameters=0 if shared else module.parameters,
            shared=shared,
            buffers=module.buffers,
            macs=module.macs,
            receptive_field=field,
        )


class _Module(NamedTuple):
    """What a row says of a module, wherever it stands."""

    name: str
    output_shape: Shape
    kernel: int | tuple[int, int] | None = None
    stride: int | None = None
    kind: ConvolutionKind | None = None
    parameters: int = 0
    buffers: int = 0
    macs: int = 0


def _modules(layer: Layer, *, is_flat: bool) -> Iterator[_Module]:
    """The modules of one layer; composites give several, residuals and joins none."""
    channels, out = layer.in_shape[0], layer.out_shape
    match layer.op:
        case ops.Convolution() as op:
            weights = channels // op.groups * op.out * math.prod(op.window)
            parameters = weights + (op.out if op.bias else 0)
            macs = weights * out[1] * out[2]
            kind = _kind(op, channels)
            yield _Module("Conv2d", out, op.kernel, op.stride, kind, parameters, macs=macs)
        case ops.Normalization() as op:
            # Running mean and variance, and the count of steps.
            buffers = 2 * channels + 1 if op.kind == "batch" else 0
            counts = {"channel": channels, "one": 1, "value": math.prod(out), "none": 0}
            yield _Module(
                _norm(op, is_flat=is_flat), out, parameters=2 * counts[op.affine], buffers=buffers
            )
        case ops.Activation(kind=function):
            slopes = channels if layer.op.by_channel else 1
            parameters = slopes if function == "prelu" else 0
            yield _Module(_ACTIVATIONS[function], out, parameters=parameters)
        case ops.Dropout(kind=what):
            yield _Module("Dropout2d" if what == "spatial" else "Dropout", out)
        case ops.Pooling(kind=pool, size=size, stride=stride):
            yield _Module("MaxPool2d" if pool == "max" else "AvgPool2d", out, size, stride)
        case ops.GlobalPooling(kind=pool):
            yield _Module("AdaptiveMaxPool2d" if pool == "max" else "AdaptiveAvgPool2d", out)
        case ops.Flatten():
            yield _Module("Flatten", out)
        case ops.Linear() as op:
            macs = channels * op.out
            yield _Module("Linear", out, parameters=macs + (op.out if op.bias else 0), macs=macs)
        case ops.SqueezeExcitation(hidden=hidden):
            yield from _squeeze_excitation(channels, hidden)
        case ops.Residual() | ops.Join():
            pass
        case never:
            assert_never(never)


def _norm(op: ops.Normalization, *, is_flat: bool) -> str:
    if op.splits > 1:
        return "GhostBatchNorm2d"
    if op.kind == "batch" and is_flat:
        return "BatchNorm1d"
    return "LayerNorm" if op.affine in ("one", "value") else _NORMS[op.kind]


def _kind(op: ops.Convolution, channels: int) -> ConvolutionKind:
    if op.groups == 1:
        return "pointwise" if op.kernel == 1 else "ordinary"
    return "depthwise" if op.groups == channels else "grouped"


def _squeeze_excitation(channels: int, hidden: int) -> Iterator[_Module]:
    squeezed, back = (hidden, 1, 1), (channels, 1, 1)
    macs = channels * hidden
    yield _Module("AdaptiveAvgPool2d", back)
    yield _Module("Conv2d", squeezed, 1, 1, "pointwise", macs + hidden, macs=macs)
    yield _Module("ReLU", squeezed)
    yield _Module("Conv2d", back, 1, 1, "pointwise", macs + channels, macs=macs)
    yield _Module("Sigmoid", back)
