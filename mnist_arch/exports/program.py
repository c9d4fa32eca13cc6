"""A trained network as plain operations on NumPy arrays: what every export is written from.

A program is a list of operations. Value 0 is the image, (28, 28) uint8; operation number i, from 0,
makes value i + 1 out of the values that its `inputs` name. The last value is the logits. Values are
float32 of the shape (channels, height, width), and no operation looks at more than one image.

    Pixels       x · scale + shift, from the image to (1, 28, 28); always the first operation
    Convolution  also a linear layer: its kernel is as large as the map, read channel by channel
    Scale        x · scale + shift for each channel: a batch norm that could not be folded
    GroupNorm    also an instance norm, which has a group for each channel
    Relu         max(x, floor), where the floor is 0 or a number for each channel
    LeakyRelu    x, and below 0 x · slope; also a PReLU
    Curve        GELU, SiLU, hard swish, or sigmoid
    Pool         of windows; one as large as the map is a pool of the whole map
    Add          of two values of one shape
    Concat       values one after the other, channel by channel
    Multiply     of a value and of one factor for each of its channels

Arrays are float32 and in C order. Two convolutions that share their weights have the same array.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final, Literal

from mnist_arch.counting.layers import Shape, Sides

if TYPE_CHECKING:
    from numpy.typing import NDArray

IMAGE: Final = 0
"""Number of the value that is the image."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Operation:
    """What every operation has."""

    inputs: tuple[int, ...]
    """Numbers of the values that it takes."""
    shape: Shape
    """Of the value that it makes."""
    place: str
    """Path in the spec of what it is of, such as `blocks[0].channels[1]`."""

    def arrays(self) -> Iterator[NDArray[Any]]:
        """Its arrays, in the order of its fields."""
        for field in fields(self):
            if hasattr(value := getattr(self, field.name), "dtype"):
                yield value


@dataclass(frozen=True, eq=False, kw_only=True)
class Pixels(Operation):
    """From the image to what the network sees: (x / 255 - mean) / std, as one scale and shift."""

    scale: float
    shift: float
    mean: float
    """Of all training pixels, of pixels in [0, 1]."""
    std: float


@dataclass(frozen=True, eq=False, kw_only=True)
class Convolution(Operation):
    """A convolution, of the image's neighbours at each place, with a bias that may be all 0."""

    weight: NDArray[Any]
    """(out, in / groups, height, width)."""
    bias: NDArray[Any]
    """(out,)."""
    stride: int = 1
    sides: Sides = (0, 0, 0, 0)
    """Rows and columns added above, below, left and right."""
    repeats_border: bool = False
    """Whether padding repeats the nearest value of the map; else it is 0."""
    groups: int = 1
    """Output channel o takes the input channels of group o // (out / groups)."""

    @property
    def kernel(self) -> tuple[int, int]:
        """Height and width."""
        height, width = self.weight.shape[2:]
        return int(height), int(width)


@dataclass(frozen=True, eq=False, kw_only=True)
class Scale(Operation):
    """x · scale + shift, a number of each for each channel."""

    scale: NDArray[Any]
    """(channels,)."""
    shift: NDArray[Any]
    """(channels,)."""


@dataclass(frozen=True, eq=False, kw_only=True)
class GroupNorm(Operation):
    """(x - mean) / √(variance + eps) · scale + shift, with both of each group of each image.

    Groups are of channels that follow each other; the variance is the mean of the squares, without
    Bessel's correction (Wu & He 2018).
    """

    groups: int
    scale: NDArray[Any]
    """(channels,), or of each value (channels, height, width)."""
    shift: NDArray[Any]
    """As the scale."""
    eps: float


@dataclass(frozen=True, eq=False, kw_only=True)
class Relu(Operation):
    """max(x, floor)."""

    floor: NDArray[Any] | None = None
    """(channels,); None is 0. A norm after a ReLU that is folded leaves one behind."""


@dataclass(frozen=True, eq=False, kw_only=True)
class LeakyRelu(Operation):
    """x where x ≥ 0, else x · slope."""

    slope: NDArray[Any]
    """(channels,), or (1,) for all."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Curve(Operation):
    """A smooth function of each value; GELU is the exact one, with the error function."""

    kind: Literal["gelu", "silu", "hardswish", "sigmoid"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Pool(Operation):
    """The maximum or the mean of each window; what does not fill a window is left out."""

    kind: Literal["max", "average"]
    size: tuple[int, int]
    """Height and width of the window."""
    stride: int
    sides: Sides = (0, 0, 0, 0)
    """Rows and columns added above, below, left and right: zeros that count in a mean, and nothing
    in a maximum. Every window has a value of the map."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Add(Operation):
    """The sum of two values of one shape: the end of a residual."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Concat(Operation):
    """Values of one height and width, one after the other by channels: the end of branches."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Multiply(Operation):
    """The first value times the second, (channels, 1, 1): the end of a squeeze-and-excitation."""


AnyOperation = (
    Pixels
    | Convolution
    | Scale
    | GroupNorm
    | Relu
    | LeakyRelu
    | Curve
    | Pool
    | Add
    | Concat
    | Multiply
)


@dataclass(frozen=True, eq=False)
class Program:
    """A trained network, ready to be written in any language."""

    operations: tuple[AnyOperation, ...]

    @property
    def classes(self) -> int:
        """Number of the logits."""
        return self.operations[-1].shape[0]

    @property
    def uses(self) -> tuple[tuple[int, ...], ...]:
        """Of each value, from the image on, the numbers of the operations that take it."""
        found: list[list[int]] = [[] for _ in range(len(self.operations) + 1)]
        for number, operation in enumerate(self.operations):
            for value in operation.inputs:
                found[value].append(number)
        return tuple(map(tuple, found))

    @property
    def numbers(self) -> int:
        """Numbers in all arrays, those that are shared once."""
        arrays = {id(it): it.size for op in self.operations for it in op.arrays()}
        return sum(arrays.values())
