"""The layers of a network, each with its shapes.

This is what the counters share. `plan` derives numbers from it in plain integers, `network` builds
modules from it, and the modules are counted again. Shapes are (channels, height, width).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

Shape = tuple[int, int, int]
Sides = tuple[int, int, int, int]
"""Pixels above, below, left and right."""

LEAKY_SLOPE: Final = 0.01
"""Of a leaky ReLU below zero, as torch has it."""


@dataclass(frozen=True, slots=True)
class Convolution:
    """A convolution. Layers with equal `weights` use one tensor."""

    out: int
    kernel: int | tuple[int, int]
    """A side of a square; height and width where they differ."""
    weights: str
    bias: bool
    stride: int = 1
    padding: int | Sides = 0
    """On every side; of each side where they differ."""
    padding_mode: Literal["zeros", "replicate"] = "zeros"
    groups: int = 1

    @property
    def window(self) -> tuple[int, int]:
        """Height and width of the kernel."""
        return (self.kernel, self.kernel) if isinstance(self.kernel, int) else self.kernel

    @property
    def sides(self) -> Sides:
        """The padding of each side."""
        return (self.padding,) * 4 if isinstance(self.padding, int) else self.padding


@dataclass(frozen=True, slots=True)
class Normalization:
    """A norm; `groups` are those of a group norm, of which a layer norm has one."""

    kind: Literal["batch", "group", "instance"]
    groups: int
    affine: Literal["channel", "one", "value", "none"] = "channel"
    """Of what there are a scale and a shift."""
    epsilon: float = 1e-5
    momentum: float = 0.1
    """Of the running statistics of a batch norm: the weight of a new batch."""
    splits: int = 1
    """Parts of a batch that a batch norm takes apart in training."""


@dataclass(frozen=True, slots=True)
class Activation:
    """A function of each value."""

    kind: Literal["relu", "leaky_relu", "prelu", "gelu", "silu", "hardswish"]
    slope: float = LEAKY_SLOPE
    """Below zero, of a leaky ReLU."""
    by_channel: bool = False
    """Whether a PReLU has a slope for each channel."""


@dataclass(frozen=True, slots=True)
class Dropout:
    """Sets values, or with `spatial` whole channels, to 0 in training."""

    rate: float
    kind: Literal["elementwise", "spatial"]


@dataclass(frozen=True, slots=True)
class Pooling:
    """A window that slides."""

    kind: Literal["max", "average"]
    size: int
    stride: int
    padding: int | Sides = 0
    """On every side, or of each side; zeros that count in an average, no value in a maximum."""

    @property
    def sides(self) -> Sides:
        """The padding of each side."""
        return (self.padding,) * 4 if isinstance(self.padding, int) else self.padding


@dataclass(frozen=True, slots=True)
class GlobalPooling:
    """One value a channel from the whole map."""

    kind: Literal["max", "average"]


@dataclass(frozen=True, slots=True)
class SqueezeExcitation:
    """Global average, 1×1 to `hidden`, ReLU, 1×1 back, sigmoid; scales the channels."""

    hidden: int


@dataclass(frozen=True, slots=True)
class Residual:
    """The sum of `body` and the input, which goes through `skip` where the shapes differ."""

    body: tuple[Layer, ...]
    skip: Layer | None


@dataclass(frozen=True, slots=True)
class Join:
    """Branches on one input, joined by channels or added. An empty one is the input."""

    kind: Literal["concat", "add"]
    branches: tuple[tuple[Layer, ...], ...]


@dataclass(frozen=True, slots=True)
class Flatten:
    """A map as one list of values, channel by channel."""


@dataclass(frozen=True, slots=True)
class Linear:
    """A fully connected layer on a flattened map."""

    out: int
    bias: bool


Op = (
    Convolution
    | Normalization
    | Activation
    | Dropout
    | Pooling
    | GlobalPooling
    | SqueezeExcitation
    | Residual
    | Join
    | Flatten
    | Linear
)


@dataclass(frozen=True, slots=True)
class Layer:
    """One operation at one place of the spec."""

    place: str
    """Path in the spec, such as `blocks[0].channels[1]`."""
    op: Op
    in_shape: Shape
    out_shape: Shape


def every(layers: Iterable[Layer]) -> Iterator[Layer]:
    """All layers, with those inside of residuals and joins in place of these."""
    for layer in layers:
        match layer.op:
            case Residual(body=body, skip=skip):
                yield from every(body if skip is None else (*body, skip))
            case Join(branches=branches):
                for branch in branches:
                    yield from every(branch)
            case _:
                yield layer
