"""The network of somebody else, before it is said in the block language.

A graph has more than the language: windows that are not square, padding of one side, sums and
concatenations. What reads a table, code or a module makes one; `lowering` and `blocks` turn it into
a spec, or say what the language lacks. A shape is (channels, height, width), or (values,).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from mnist_arch.convert.questions import refusal

Pair = tuple[int, int]
Sides = tuple[int, int, int, int]
"""Pixels above, below, left and right."""
Shape = tuple[int, ...]

MAX_NODES: Final = 2_000
MAX_SIDE: Final = 100_000
"""Largest number of channels, values or pixels of one side, and of a window."""


@dataclass(frozen=True)
class Conv:
    """A convolution, whose window need not be square."""

    out: int
    kernel: Pair
    stride: Pair = (1, 1)
    padding: Sides = (0, 0, 0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1
    bias: bool = True
    fill: str = "zeros"


@dataclass(frozen=True)
class Norm:
    """A norm; `over` says of a kind that the language has not what it is, in a few words."""

    kind: Literal["batch", "group", "instance", "layer", "other"]
    groups: int = 1
    affine: bool = True
    over: str = ""
    momentum: float | None = None
    """Of the running statistics, where it is not torch's default."""
    epsilon: float | None = None
    """Where it is not torch's default."""
    splits: int = 1
    """Parts of a batch that a batch norm takes apart in training."""


@dataclass(frozen=True)
class Act:
    """A function of each value.

    `value` is its slope, or its number of slopes, where it is not the library's default.
    """

    kind: str
    value: float | None = None


@dataclass(frozen=True)
class Drop:
    """Sets values, or whole channels, to 0 in training."""

    rate: float
    spatial: bool = False


@dataclass(frozen=True)
class Pool:
    """A window that slides."""

    kind: Literal["max", "average"]
    size: Pair
    stride: Pair
    padding: Sides = (0, 0, 0, 0)
    ceil: bool = False
    dilation: Pair = (1, 1)


@dataclass(frozen=True)
class Pad:
    """Pixels around a map, on their own, which the layer that follows takes in.

    Zeros are for a convolution, what is lower than any value for a max pool.
    """

    sides: Sides
    is_lowest: bool = False


@dataclass(frozen=True)
class GlobalPool:
    """One value a channel from the whole map."""

    kind: Literal["max", "average"]


@dataclass(frozen=True)
class Flatten:
    """A map as one list of its values."""


@dataclass(frozen=True)
class Linear:
    """A fully connected layer."""

    out: int
    bias: bool = True


@dataclass(frozen=True)
class Join:
    """Several values made one: their sum, their product, or one after the other by channels."""

    kind: Literal["sum", "product", "concatenation"]


@dataclass(frozen=True)
class Other:
    """Something that keeps the shape, and that the language has not, in a few words."""

    what: str


Operation = Conv | Norm | Act | Drop | Pool | Pad | GlobalPool | Flatten | Linear | Join | Other


@dataclass(frozen=True)
class Node:
    """One operation. Nodes with equal `weights` use the same tensors."""

    op: Operation
    inputs: tuple[int, ...]
    """Numbers of nodes; -1 is the image."""
    in_shape: Shape
    """Shape of the first input."""
    shape: Shape
    place: str
    """Where it was written: a line of code, or a row of a table."""
    weights: str = ""


@dataclass
class Graph:
    """Nodes in the order in which they are computed."""

    image: Shape
    nodes: list[Node] = field(default_factory=list)
    output: int = -1
    made: int = 0

    def shape(self, value: int) -> Shape:
        return self.image if value < 0 else self.nodes[value].shape

    def add(self, op: Operation, *inputs: int, place: str, weights: str = "") -> int:
        """Applies an operation to values. Raises SpecError where it cannot be."""
        if len(self.nodes) >= MAX_NODES:
            raise refusal(f"more than {MAX_NODES:,} layers", place)
        shapes = [self.shape(value) for value in inputs]
        out = out_shape(op, shapes, place)
        if not all(0 < side <= MAX_SIDE for side in out):
            most = f"no side may be over {MAX_SIDE:,}"
            raise refusal(f"{described(op)} gives {text(out)}: {most}", place)
        if not weights and isinstance(op, Conv | Linear | Norm | Act):
            self.made += 1
            weights = f"own {self.made}"
        self.nodes.append(Node(op, inputs, shapes[0], out, place, weights))
        self.output = len(self.nodes) - 1
        return self.output

    def unpadded(self, op: Operation, value: int) -> tuple[Operation, int]:
        """A convolution or a max pool with the padding that stands before it on its own."""
        is_conv = isinstance(op, Conv) and op.fill == "zeros"
        is_pool = isinstance(op, Pool) and op.kind == "max" and not op.ceil
        if value >= 0 and isinstance(op, Conv | Pool) and (is_conv or is_pool):
            before = self.nodes[value]
            if isinstance(before.op, Pad) and before.op.is_lowest == is_pool:
                both = zip(op.padding, before.op.sides, strict=True)
                top, bottom, left, right = (a + b for a, b in both)
                return replace(op, padding=(top, bottom, left, right)), before.inputs[0]
        return op, value

    @property
    def parameters(self) -> int:
        """Elements of all tensors, each counted once."""
        counts = {node.weights: parameters(node.op, node.in_shape) for node in self.nodes}
        return sum(counts.values())


def parameters(op: Operation, shape: Shape) -> int:
    """Elements of the tensors of an operation on an input of this shape."""
    channels = shape[0]
    match op:
        case Conv(out=out, kernel=kernel, groups=groups, bias=bias):
            return out * channels // groups * kernel[0] * kernel[1] + bias * out
        case Linear(out=out, bias=bias):
            return out * channels + bias * out
        case Norm(kind="layer", affine=True, over=over):
            return 2 if over == "one" else 2 * math.prod(shape)
        case Norm(affine=affine):
            return 2 * channels * affine
        case Act(kind="prelu", value=value):
            return int(value or 1)
        case _:
            return 0


def out_shape(op: Operation, shapes: list[Shape], place: str) -> Shape:
    """Shape after an operation. Raises SpecError where it cannot be applied."""
    shape = shapes[0]
    match op:
        case Conv() | Pool():
            if len(shape) != 3:
                raise refusal(f"{described(op)} on {text(shape)}, which is no map", place)
            if isinstance(op, Conv) and (shape[0] % op.groups or op.out % op.groups):
                raise refusal(f"{op.groups} groups do not divide {shape[0]} and {op.out}", place)
            window = op.kernel if isinstance(op, Conv) else op.size
            sides = tuple(_after(shape[1 + axis], axis, window, op) for axis in (0, 1))
            if min(sides) < 1:
                raise refusal(f"{described(op)} does not fit into {text(shape)}", place)
            return op.out if isinstance(op, Conv) else shape[0], *sides
        case Pad(sides=(top, bottom, left, right)):
            if len(shape) != 3:
                raise refusal(f"padding of {text(shape)}, which is no map", place)
            return shape[0], shape[1] + top + bottom, shape[2] + left + right
        case GlobalPool():
            return (shape[0], 1, 1) if len(shape) == 3 else shape
        case Flatten():
            return (math.prod(shape),)
        case Linear(out=out):
            if len(shape) != 1:
                raise refusal(f"a fully connected layer on {text(shape)}, which is a map", place)
            return (out,)
        case Join(kind="concatenation"):
            if len({it[1:] for it in shapes}) > 1:
                raise refusal(
                    "maps of other sizes are joined: " + ", ".join(map(text, shapes)), place
                )
            return sum(it[0] for it in shapes), *shape[1:]
        case Join(kind="product") if max(map(len, shapes)) == 3:  # a value a channel is a map, too
            return _broadcast([it if len(it) == 3 else (*it, 1, 1) for it in shapes], place)
        case Join():
            return _broadcast(shapes, place)
        case _:
            return shape


def _after(side: int, axis: int, window: Pair, op: Conv | Pool) -> int:
    seen = op.dilation[axis] * (window[axis] - 1) + 1
    room = side + op.padding[2 * axis] + op.padding[2 * axis + 1] - seen
    if room < 0:
        return 0
    step = op.stride[axis]
    return (-(-room // step) if isinstance(op, Pool) and op.ceil else room // step) + 1


def _broadcast(shapes: list[Shape], place: str) -> Shape:
    largest = max(shapes, key=math.prod)
    for shape in shapes:
        fits = len(shape) == len(largest) and all(
            one in (1, other) for one, other in zip(shape, largest, strict=True)
        )
        if not fits:
            both = " and ".join(map(text, shapes))
            raise refusal(f"{both} cannot be added or multiplied", place)
    return largest


def text(shape: Shape) -> str:
    """A shape as it is written: `16×28×28`."""
    return "×".join(map(str, shape))


def described(op: Operation) -> str:
    """An operation in a few words: `a convolution of 3×3 to 16 channels`."""
    match op:
        case Conv(out=out, kernel=kernel, groups=groups):
            grouped = f" in {groups} groups" if groups > 1 else ""
            return f"a convolution of {text(kernel)} to {out} channels{grouped}"
        case Norm(kind=kind):
            return {"batch": "a batch norm", "group": "a group norm", "layer": "a layer norm"}.get(
                kind, "an instance norm" if kind == "instance" else f"a norm ({op.over})"
            )
        case Act(kind=kind):
            return f"an activation ({kind})"
        case Drop():
            return "a dropout"
        case Pool(kind=kind, size=size):
            return f"a {kind} pool of {text(size)}"
        case Pad():
            return "padding on its own"
        case GlobalPool(kind=kind):
            return f"a global {kind} pool"
        case Flatten():
            return "a flatten"
        case Linear(out=out):
            return f"a fully connected layer to {out}"
        case Join(kind=kind):
            return f"a {kind}"
        case Other(what=what):
            return what
