"""The plan of a network: every module with its shapes, parameters and MACs, in whole numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, assert_never

from mnist_arch.counting.layers import (
    LAYERS_KEPT,
    Activation,
    Convolution,
    Dropout,
    Flatten,
    GlobalPooling,
    Layer,
    Linear,
    Normalization,
    Pooling,
    Residual,
    Shape,
    SqueezeExcitation,
)
from mnist_arch.counting.unroll import unroll
from mnist_arch.data.catalog import IMAGE_SHAPE
from mnist_arch.spec.network import Network

BYTES_PER_VALUE: Final = 4
"""Activations and weights are float32."""

_MIB: Final = 1024**2
_ACTIVATIONS: Final = {
    "relu": "ReLU",
    "leaky_relu": "LeakyReLU",
    "prelu": "PReLU",
    "gelu": "GELU",
    "silu": "SiLU",
    "hardswish": "Hardswish",
}
_NORMS: Final = {"batch": "BatchNorm2d", "group": "GroupNorm", "instance": "InstanceNorm2d"}


@dataclass(frozen=True)
class Row:
    """One module of the network. Shapes are (channels, height, width)."""

    index: int
    """Number in the order of execution, from 1."""
    layer: str
    """Class name of the torch module."""
    place: str
    """Path in the spec."""
    output_shape: Shape
    kernel: int | None
    """Side of the window, in pixels, where there is one."""
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

    Squeeze-and-excitation and norms, which see the whole map, are left aside.
    """

    @property
    def activation_bytes(self) -> int:
        """Bytes of the output of one image, as float32."""
        channels, height, width = self.output_shape
        return channels * height * width * BYTES_PER_VALUE


@dataclass(frozen=True)
class Size:
    """Memory of one image and the weights as torchsummary states it, in MiB."""

    input: float
    forward_backward: float
    """Outputs of all layers, twice: once for the values and once for their gradients."""
    parameters: float

    @property
    def total(self) -> float:
        return self.input + self.forward_backward + self.parameters


@dataclass(frozen=True)
class Plan:
    """A network counted. Totals are sums over the rows."""

    layers: tuple[Layer, ...]
    rows: tuple[Row, ...]

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

    @property
    def size(self) -> Size:
        values = IMAGE_SHAPE[0] * IMAGE_SHAPE[1] * IMAGE_SHAPE[2]
        return Size(
            input=values * BYTES_PER_VALUE / _MIB,
            forward_backward=2 * self.activation_bytes / _MIB,
            parameters=self.parameters * BYTES_PER_VALUE / _MIB,
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


def plan(network: Network) -> Plan:
    """Counts `network`. Raises ShapeError where its layers cannot be connected."""
    layers = unroll(network)
    counter = _Counter()
    counter.add(layers)
    return Plan(layers, tuple(counter.rows))


class _Counter:
    """Walks the layers once, with the receptive field and the tensors seen so far."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.field = 1
        self.jump = 1  # distance, in input pixels, between neighbouring values of the map
        self.seen: set[str] = set()

    def add(self, layers: tuple[Layer, ...]) -> None:
        for layer in layers:
            shared = False
            match layer.op:
                case Activation() | Normalization() | Dropout() | SqueezeExcitation() | Linear():
                    pass
                case Convolution() as op:
                    self._look(op.kernel, op.stride)
                    shared = op.weights in self.seen
                    self.seen.add(op.weights)
                case Pooling() as op:
                    self._look(op.size, op.stride)
                case GlobalPooling() | Flatten():
                    self._look(max(layer.in_shape[1:]), 1)
                case Residual() as op:
                    self._residual(op)
                    continue
                case never:
                    assert_never(never)
            self.rows += _rows(layer, len(self.rows) + 1, self.field, shared)

    def _residual(self, op: Residual) -> None:
        field, jump = self.field, self.jump
        self.add(op.body)
        after = self.field, self.jump
        if op.skip is not None:
            self.field, self.jump = field, jump
            self.add((op.skip,))
        self.field, self.jump = max(after[0], self.field), after[1]

    def _look(self, size: int, stride: int) -> None:
        """Widens the receptive field by a window (Araujo et al. 2019, eq. 2)."""
        self.field += (size - 1) * self.jump
        self.jump *= stride


@lru_cache(maxsize=LAYERS_KEPT)
def _rows(layer: Layer, index: int, field: int, shared: bool) -> tuple[Row, ...]:
    """The rows of one layer, numbered from `index`."""
    return tuple(
        Row(
            index=index + step,
            layer=module.name,
            place=layer.place,
            output_shape=module.output_shape,
            kernel=module.kernel,
            parameters=0 if shared else module.parameters,
            shared=shared,
            buffers=module.buffers,
            macs=module.macs,
            receptive_field=field,
        )
        for step, module in enumerate(_modules(layer))
    )


@dataclass(frozen=True)
class _Module:
    """What a row says of a module, wherever it stands."""

    name: str
    output_shape: Shape
    kernel: int | None = None
    parameters: int = 0
    buffers: int = 0
    macs: int = 0


def _modules(layer: Layer) -> Iterator[_Module]:
    """The modules of one layer; composites give several, and a residual has none of its own."""
    channels, out = layer.in_shape[0], layer.out_shape
    match layer.op:
        case Convolution() as op:
            weights = channels // op.groups * op.out * op.kernel**2
            parameters = weights + (op.out if op.bias else 0)
            macs = weights * out[1] * out[2]
            yield _Module("Conv2d", out, kernel=op.kernel, parameters=parameters, macs=macs)
        case Normalization(kind=kind):
            # Running mean and variance, and the count of steps.
            buffers = 2 * channels + 1 if kind == "batch" else 0
            yield _Module(_NORMS[kind], out, parameters=2 * channels, buffers=buffers)
        case Activation(kind=kind):
            yield _Module(_ACTIVATIONS[kind], out, parameters=1 if kind == "prelu" else 0)
        case Dropout(kind=kind):
            yield _Module("Dropout2d" if kind == "spatial" else "Dropout", out)
        case Pooling(kind=kind, size=size):
            yield _Module("MaxPool2d" if kind == "max" else "AvgPool2d", out, kernel=size)
        case GlobalPooling(kind=kind):
            yield _Module("AdaptiveMaxPool2d" if kind == "max" else "AdaptiveAvgPool2d", out)
        case Flatten():
            yield _Module("Flatten", out)
        case Linear() as op:
            macs = channels * op.out
            yield _Module("Linear", out, parameters=macs + (op.out if op.bias else 0), macs=macs)
        case SqueezeExcitation(hidden=hidden):
            yield from _squeeze_excitation(channels, hidden)
        case Residual():
            pass
        case never:
            assert_never(never)


def _squeeze_excitation(channels: int, hidden: int) -> Iterator[_Module]:
    squeezed, back = (hidden, 1, 1), (channels, 1, 1)
    macs = channels * hidden
    yield _Module("AdaptiveAvgPool2d", back)
    yield _Module("Conv2d", squeezed, kernel=1, parameters=macs + hidden, macs=macs)
    yield _Module("ReLU", squeezed)
    yield _Module("Conv2d", back, kernel=1, parameters=macs + channels, macs=macs)
    yield _Module("Sigmoid", back)
