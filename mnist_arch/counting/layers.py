"""The layers of a network, each with its shapes.

This is what the counters share. `plan` derives numbers from it in plain integers, `network` builds
modules from it, and the modules are counted again. Shapes are (channels, height, width).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Shape = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Convolution:
    """A convolution with square kernel. Layers with equal `weights` use one tensor."""

    out: int
    kernel: int
    weights: str
    bias: bool
    stride: int = 1
    padding: int = 0
    padding_mode: Literal["zeros", "replicate"] = "zeros"
    groups: int = 1


@dataclass(frozen=True, slots=True)
class Normalization:
    """A norm with a scale and a shift for each channel; `groups` are those of a group norm."""

    kind: Literal["batch", "group", "instance"]
    groups: int


@dataclass(frozen=True, slots=True)
class Activation:
    """A function of each value."""

    kind: Literal["relu", "leaky_relu", "prelu", "gelu", "silu", "hardswish"]


@dataclass(frozen=True, slots=True)
class Dropout:
    """Sets values, or with `spatial` whole channels, to 0 in training."""

    rate: float
    kind: Literal["elementwise", "spatial"]


@dataclass(frozen=True, slots=True)
class Pooling:
    """A window that slides, without padding."""

    kind: Literal["max", "average"]
    size: int
    stride: int


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
