"""From a network spec to its layers: every option filled in, every shape known."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from typing import Final, Literal, assert_never

from mnist_arch.counting import layers as ops
from mnist_arch.counting.layers import Layer, Shape
from mnist_arch.data.catalog import IMAGE_SHAPE
from mnist_arch.errors import Problem, ShapeError
from mnist_arch.spec.network import (
    Activation,
    Block,
    BlockDropout,
    Branch,
    Conv,
    ConvDropout,
    ConvKind,
    Defaults,
    Dropout,
    Head,
    Hidden,
    LayerOrder,
    Network,
    Norm,
    Pool,
    Reduce,
    Way,
)

MAX_CONVOLUTIONS: Final = 1000
"""Most convolutions of all blocks and their repeats: keeps counting a matter of milliseconds."""
MAX_CHANNELS: Final = 4096
"""Most channels that branches are joined to: they grow with each repeat."""


def unroll(network: Network) -> tuple[Layer, ...]:
    """All layers from the image to one number a class.

    Raises ShapeError with the place and both shapes where they cannot be connected.
    """
    return tuple(itertools.chain.from_iterable(unroll_parts(network)))


def unroll_parts(network: Network) -> list[tuple[Layer, ...]]:
    """The layers of each block, and then of the head. Raises ShapeError."""
    check_whole(network)
    parts, shape = [], IMAGE_SHAPE
    for index, block in enumerate(network.blocks):
        layers = unroll_block(index, block, network.defaults, shape)
        parts.append(layers)
        shape = layers[-1].out_shape
    parts.append(unroll_head(network.head, network.defaults, network.classes, shape))
    return parts


def check_whole(network: Network) -> None:
    """Raises ShapeError for what no block has alone, and what is seen before any shape is known."""
    convolutions = sum(map(_convolutions, network.blocks))
    if convolutions > MAX_CONVOLUTIONS:
        message = f"{convolutions:,} convolutions are more than {MAX_CONVOLUTIONS:,}"
        raise _error("blocks", message, "repeat less")
    grouped = False
    for index, block in enumerate(network.blocks):
        kinds = _check_way(f"blocks[{index}]", block, network.defaults.kind)
        grouped = grouped or "grouped" in kinds
    if network.defaults.groups is not None and not grouped:
        raise _no_groups("defaults")


def _convolutions(way: Way) -> int:
    """Convolutions of a block or a branch and its repeats; a branch without any is one, too."""
    branches = way.branches if isinstance(way, Block) else ()
    inside = sum(max(1, _convolutions(branch)) for branch in branches)
    return way.repeat * (len(way.channels) + inside)


def _check_way(place: str, way: Way, kind: ConvKind) -> set[ConvKind]:
    """The kinds of the convolutions in a block or a branch, where `kind` is inherited.

    Raises ShapeError for an option that none of them has.
    """
    kind = way.kind or kind
    kinds: set[ConvKind] = {conv.kind or kind for conv in way.channels}
    for number, branch in enumerate(way.branches if isinstance(way, Block) else ()):
        kinds |= _check_way(f"{place}.branches[{number}]", branch, kind)
    if way.groups is not None and "grouped" not in kinds:
        raise _no_groups(place)
    if way.depthwise_bias is not None and "separable" not in kinds:
        raise _no_depthwise(place)
    if way.dropout is not None and way.dropout.after == "each" and not way.repeats:
        what = "branch" if isinstance(way, Branch) else "block"
        message = f"`after: each` in a {what} without `channels`"
        raise _error(f"{place}.dropout", message, "after: block")
    return kinds


def _no_groups(place: str) -> ShapeError:
    return _error(f"{place}.groups", "`groups` without a grouped convolution", "kind: grouped")


def _no_depthwise(place: str) -> ShapeError:
    message = "`depthwise_bias` without a separable convolution"
    return _error(f"{place}.depthwise_bias", message, "kind: separable")


class _Trace:
    """Layers so far and the shape they end in."""

    def __init__(self, shape: Shape) -> None:
        self.layers: list[Layer] = []
        self.shape = shape

    def add(self, place: str, op: ops.Op) -> None:
        after = _out_shape(place, op, self.shape)
        self.layers.append(Layer(place, op, self.shape, after))
        self.shape = after

    def extend(self, other: _Trace) -> None:
        """Takes the layers of another, which begins where this one ends."""
        self.layers += other.layers
        self.shape = other.shape


def unroll_block(index: int, block: Block, defaults: Defaults, shape: Shape) -> tuple[Layer, ...]:
    """The layers of the block with this number on a map of `shape`. Raises ShapeError."""
    trace, dropout = _Trace(shape), defaults.dropout if block.dropout is None else block.dropout
    _way(trace, f"blocks[{index}]", block, block.over(defaults), dropout, _Pass())
    return tuple(trace.layers)


@dataclass(frozen=True)
class _Pass:
    """Which of the repeats around it something is in."""

    number: str = ""
    """Of each repeat, such as `#0#1`."""
    owner: str = ""
    """The same without those that share their tensors."""

    def repeat(self, way: Way, number: int) -> _Pass:
        """One of a block or branch inside."""
        here = f"#{number}"
        return _Pass(self.number + here, self.owner if way.share else self.owner + here)

    def weights(self, place: str, shape: Shape) -> str:
        """The name of tensors at a place that is in no repeat, or in one outside of it."""
        return f"{place}{self.owner}:{shape[0]}" if self.number else place


def _way(
    trace: _Trace, place: str, way: Way, options: Defaults, dropout: BlockDropout, outer: _Pass
) -> None:
    """A block, or a branch of one in a pass through that."""
    each = dropout if dropout.after == "each" else None
    for number in range(way.repeat if way.repeats else 0):
        _unit(trace, place, way, options, each, outer.repeat(way, number))
    if way.reduce is not None and way.reduce.at == "before":
        _reduce(trace, f"{place}.reduce", way.reduce, options, outer)
    at_end = dropout if dropout.after == "block" else None
    _pool(trace, f"{place}.pool", way.pool, options, outer)
    if at_end is not None and at_end.at == "before-norm" and at_end.rate > 0:
        if way.pool.norm.kind == "none":
            message = "`at: before-norm` at the end of a block whose pool has no norm"
            raise _error(f"{place}.dropout", message, "after: each, or a `norm` in the pool")
        _dropout(trace, f"{place}.dropout", at_end)
    _norm(trace, f"{place}.pool", way.pool.norm)
    if way.reduce is not None and way.reduce.at == "after":
        _reduce(trace, f"{place}.reduce", way.reduce, options, outer)
    if at_end is not None and at_end.at == "end":
        _dropout(trace, f"{place}.dropout", at_end)


def _unit(
    trace: _Trace,
    place: str,
    way: Way,
    options: Defaults,
    each: BlockDropout | None,
    here: _Pass,
) -> None:
    """One pass through convolutions and branches, with squeeze-and-excitation and residual."""
    unit = _Trace(trace.shape)
    for index, conv in enumerate(way.channels):
        at = f"{place}.channels[{index}]"
        dropout = each if conv.dropout is None else conv.dropout
        _conv(unit, at, conv, conv.over(options), at + here.owner, dropout)
    if isinstance(way, Block) and way.branches:
        inherited = BlockDropout(rate=0.0) if each is None else each
        _join(unit, f"{place}.branches", way, options, inherited, here)
    if way.squeeze_excitation is not None:
        hidden = max(1, unit.shape[0] // way.squeeze_excitation)
        unit.add(f"{place}.squeeze_excitation", ops.SqueezeExcitation(hidden))
    if not way.residual:
        trace.extend(unit)
        return
    at = f"{place}.residual"
    skip = _skip(at, trace.shape, unit, bias=options.bias, weights=at + here.number)
    trace.add(at, ops.Residual(tuple(unit.layers), skip))


def _join(
    trace: _Trace,
    place: str,
    block: Block,
    options: Defaults,
    dropout: BlockDropout,
    here: _Pass,
) -> None:
    """The branches of a block, side by side; `dropout` is that of a branch that names none."""
    ways: list[tuple[Layer, ...]] = []
    for number, branch in enumerate(block.branches):
        way = _Trace(trace.shape)
        own = dropout if branch.dropout is None else branch.dropout
        if own.after == "each" and not branch.channels:
            own = BlockDropout(rate=0.0)
        _way(way, f"{place}[{number}]", branch, branch.over(options), own, here)
        ways.append(tuple(way.layers))
    trace.add(place, ops.Join(block.join or "concat", tuple(ways)))


def _skip(place: str, before: Shape, unit: _Trace, *, bias: bool, weights: str) -> Layer | None:
    """The 1×1 convolution that takes a residual's input to the shape of its output, if needed.

    It has the strides of the unit multiplied, so that it looks at the pixels that the unit is
    centred on.
    """
    after = unit.shape
    if before == after:
        return None
    op = ops.Convolution(after[0], 1, weights, bias, stride=_stride(unit.layers))
    skip = Layer(place, op, before, _out_shape(place, op, before))
    if skip.out_shape != after:
        message = f"the input {_text(before)} cannot be added to the output {_text(after)}"
        raise _error(place, message, "use `padding: same`, so that only strides change the size")
    return skip


def _stride(layers: Iterable[Layer]) -> int:
    """Strides multiplied, of convolutions, and of pools, which only branches have."""
    strides = [1]
    for layer in layers:
        match layer.op:
            case ops.Convolution(stride=stride) | ops.Pooling(stride=stride):
                strides.append(stride)
            case ops.Join(branches=branches):
                strides.append(max(map(_stride, branches)))
            case ops.Residual(body=body):
                strides.append(_stride(body))
    return prod(strides)


def _conv(
    trace: _Trace,
    place: str,
    conv: Conv,
    options: Defaults,
    owner: str,
    dropout: ConvDropout | None,
) -> None:
    """A convolution of a block with its norm, activation and dropout."""
    channels, padding = trace.shape[0], _padding(options, place, trace.shape)
    if conv.groups is not None and options.kind != "grouped":
        raise _no_groups(place)
    if conv.depthwise_bias is not None and options.kind != "separable":
        raise _no_depthwise(place)

    def add(
        part: str, out: int, groups: int = 1, *, whole: bool = True, bias: bool = options.bias
    ) -> None:
        """The convolution with the kernel that is asked for, or a 1×1 one."""
        weights = f"{owner}{part}:{trace.shape[0]}"
        if options.padding == "same-end":  # which pads maps of other sizes otherwise
            weights += f":{padding}"
        if not whole:
            trace.add(place, ops.Convolution(out, 1, weights, bias))
            return
        mode = options.padding_mode if padding else "zeros"
        op = ops.Convolution(
            out, options.kernel, weights, bias, options.stride, padding, mode, groups
        )
        trace.add(place, op)

    match options.kind:
        case "ordinary":
            add("", conv.out)
        case "depthwise":
            add("", conv.out, channels)
        case "separable":
            own = options.depthwise_bias
            add(".depthwise", channels, channels, bias=options.bias if own is None else own)
            add(".pointwise", conv.out, whole=False)
        case "grouped":
            if options.groups is None:
                raise _error(place, "a grouped convolution needs `groups`", "groups: 2")
            add("", conv.out, options.groups)
        case never:
            assert_never(never)
    before_norm = dropout if dropout is not None and dropout.at == "before-norm" else None
    _norm_and_activation(trace, place, options.norm, options.activation, options.order, before_norm)
    if dropout is not None and before_norm is None:
        _dropout(trace, place, dropout)


def _padding(options: Defaults, place: str, shape: Shape) -> int | ops.Sides:
    """What a convolution pads on a map."""
    kernel = options.kernel
    window = (kernel, kernel) if isinstance(kernel, int) else kernel
    if options.padding == "same" and any(side % 2 == 0 for side in window):
        message = f"a kernel of {_window(window)} cannot keep the size"
        raise _error(place, message, "use an odd kernel, or `padding: valid` or `same-end`")
    return padding_of(options.padding, window, options.stride, shape)


def padding_of(
    asked: str | int, window: tuple[int, int], stride: int, shape: Shape
) -> int | ops.Sides:
    """What a convolution with a kernel of height × width pads: one number where all sides have it.

    `same-end` is the `same` of Keras and of ONNX's SAME_UPPER: as much as makes the size that of
    before over the stride, rounded up, of which the odd pixel comes below and on the right.
    """
    if isinstance(asked, int):
        return asked
    sides: list[int] = []
    for size, side in zip(shape[1:], window, strict=True):
        total = 0 if asked == "valid" else side - 1
        if asked == "same-end":
            total = max((-(-size // stride) - 1) * stride + side - size, 0)
        sides += [total // 2, total - total // 2]
    top, bottom, left, right = sides
    return top if top == bottom == left == right else (top, bottom, left, right)


def _reduce(
    trace: _Trace,
    place: str,
    reduce: Reduce,
    options: Defaults,
    outer: _Pass,
    *,
    kernel: int | tuple[int, int] = 1,
) -> None:
    bias = options.bias if reduce.bias is None else reduce.bias
    weights = outer.weights(place, trace.shape)
    trace.add(place, ops.Convolution(reduce.out, kernel, weights, bias))
    order = reduce.order or options.order
    _norm_and_activation(trace, place, reduce.norm, reduce.activation, order)


def _norm_and_activation(
    trace: _Trace,
    place: str,
    norm: Norm,
    activation: Activation,
    order: LayerOrder,
    dropout: Dropout | None = None,
) -> None:
    """Both in their order; the dropout stands right before the norm."""
    if norm.kind == "none" and dropout is not None and dropout.rate > 0:
        message = "`at: before-norm` where there is no norm"
        raise _error(place, message, "a `norm`, or a dropout `at: end`")

    def normed() -> None:
        if dropout is not None:
            _dropout(trace, place, dropout)
        _norm(trace, place, norm)

    if order == "conv-norm-activation":
        normed()
    if activation.kind != "none":
        slope = ops.LEAKY_SLOPE if activation.slope is None else activation.slope
        by_channel = activation.slopes == "channel"
        trace.add(place, ops.Activation(activation.kind, slope, by_channel))
    if order == "conv-activation-norm":
        normed()


def _norm(trace: _Trace, place: str, norm: Norm) -> None:
    if norm.kind == "none":
        return
    kind = "group" if norm.kind == "layer" else norm.kind
    groups = norm.group_count if norm.kind == "group" else 1
    trace.add(
        place,
        ops.Normalization(kind, groups, norm.affine, norm.epsilon, norm.momentum, norm.splits or 1),
    )


def _pool(trace: _Trace, place: str, pool: Pool, options: Defaults, outer: _Pass) -> None:
    match pool.kind:
        case "max" | "average":
            padding = padding_of(pool.padding, (pool.size, pool.size), pool.step, trace.shape)
            trace.add(place, ops.Pooling(pool.kind, pool.size, pool.step, padding))
        case "global-max":
            trace.add(place, ops.GlobalPooling("max"))
        case "global-average":
            trace.add(place, ops.GlobalPooling("average"))
        case "convolution":
            padding = (pool.size - 1) // 2
            mode = options.padding_mode if padding else "zeros"
            keep, weights = trace.shape[0], outer.weights(place, trace.shape)
            op = ops.Convolution(keep, pool.size, weights, options.bias, pool.step, padding, mode)
            trace.add(place, op)
        case "none":
            pass
        case never:
            assert_never(never)


def _dropout(trace: _Trace, place: str, dropout: Dropout) -> None:
    if dropout.rate > 0:
        trace.add(place, ops.Dropout(dropout.rate, dropout.kind))


def unroll_head(head: Head, defaults: Defaults, classes: int, shape: Shape) -> tuple[Layer, ...]:
    """The layers from the last map, of `shape`, to one number a class. Raises ShapeError."""
    trace = _Trace(shape)
    if head.reduce is not None and head.reduce.at == "before":
        _reduce(trace, "head.reduce", head.reduce, defaults, _Pass())
    if head.dropout.at == "before":
        _dropout(trace, "head.dropout", head.dropout)
    match head.pool:
        case "average":
            assert head.size is not None
            trace.add("head.pool", ops.Pooling("average", head.size, head.size))
        case "global-average":
            trace.add("head.pool", ops.GlobalPooling("average"))
        case "global-max":
            trace.add("head.pool", ops.GlobalPooling("max"))
        case "flatten":
            pass
        case never:
            assert_never(never)
    if head.dropout.at == "after":
        _dropout(trace, "head.dropout", head.dropout)
    if head.reduce is not None and head.reduce.at == "after":
        # 1×1 on the list of all values is the same as a window of the whole map.
        _, height, width = trace.shape
        whole = height if height == width else (height, width)
        kernel = whole if head.pool == "flatten" else 1
        _reduce(trace, "head.reduce", head.reduce, defaults, _Pass(), kernel=kernel)
    if head.hidden:
        trace.add("head.hidden[0]", ops.Flatten())
    for index, hidden in enumerate(head.hidden):
        _hidden(trace, f"head.hidden[{index}]", hidden, defaults)
    if head.dropout.at == "before-linear":
        _dropout(trace, "head.dropout", _of_values(head.dropout) if head.hidden else head.dropout)
    if head.linear:
        if not head.hidden:
            trace.add("head.linear", ops.Flatten())
        trace.add("head.linear", ops.Linear(classes, head.bias))
    wanted = (classes, 1, 1)
    if trace.shape != wanted:
        ends = f"the network ends in {_text(trace.shape)}, not in {_text(wanted)}"
        reduce = f"let the last block reduce to {classes}, or set `head.linear: true`"
        message, hint = f"{ends} for {classes} classes", f"{reduce}; pool the whole map"
        raise _error("head", message, hint)
    return tuple(trace.layers)


def _hidden(trace: _Trace, place: str, hidden: Hidden, defaults: Defaults) -> None:
    """A fully connected layer on a flattened map with its norm, activation and dropout."""
    trace.add(place, ops.Linear(hidden.out, defaults.bias if hidden.bias is None else hidden.bias))
    dropout = _of_values(hidden.dropout)
    _norm_and_activation(
        trace,
        place,
        hidden.norm or defaults.norm,
        hidden.activation or defaults.activation,
        hidden.order or defaults.order,
        dropout if hidden.dropout.at == "before-norm" else None,
    )
    if hidden.dropout.at == "end":
        _dropout(trace, place, dropout)


def _of_values(dropout: Dropout) -> Dropout:
    """The same in a list, where a channel is one value."""
    return dropout.model_copy(update={"kind": "elementwise"})


def _out_shape(place: str, op: ops.Op, shape: Shape) -> Shape:
    """Shape after `op`, or ShapeError where it cannot be applied to `shape`."""
    channels, height, width = shape
    match op:
        case ops.Convolution():
            if channels % op.groups or op.out % op.groups:
                both = f"{channels} input and {op.out} output channels"
                hint = "choose channel counts that are multiples of the groups"
                raise _error(place, f"{op.groups} groups do not divide {both}", hint)
            return op.out, *_windows(place, shape, op.window, op.stride, op.sides)
        case ops.Activation() | ops.Dropout() | ops.SqueezeExcitation():
            return shape
        case ops.Pooling():
            return channels, *_windows(place, shape, (op.size, op.size), op.stride, op.sides)
        case ops.GlobalPooling():
            return channels, 1, 1
        case ops.Flatten():
            return channels * height * width, 1, 1
        case ops.Linear():
            return op.out, 1, 1
        case ops.Normalization(kind="group") if channels % op.groups:
            message = f"{op.groups} norm groups do not divide {channels} channels"
            raise _error(place, message, "norm: {kind: group, groups: …}")
        case ops.Normalization(kind="instance") if height * width == 1:
            message = f"instance norm has nothing to normalise in {_text(shape)}"
            raise _error(place, message, "use another norm here")
        case ops.Normalization(kind="group") if height * width * channels == op.groups:
            message = f"group norm with {op.groups} groups has nothing to normalise in"
            raise _error(place, f"{message} {_text(shape)}", "use fewer groups, or another norm")
        case ops.Residual():
            return op.body[-1].out_shape
        case ops.Join():
            ends = [branch[-1].out_shape if branch else shape for branch in op.branches]
            return _joined(place, op.kind, ends)
        case ops.Normalization():
            return shape
        case never:
            assert_never(never)


def _joined(place: str, kind: Literal["concat", "add"], ends: list[Shape]) -> Shape:
    """Shape of branches together, or ShapeError where they end in shapes that do not fit."""
    first = ends[0]
    for number, end in enumerate(ends):
        if kind == "concat" and end[1:] != first[1:]:
            message = f"it ends in {_text(end)}, and the first branch in {_text(first)}"
            hint = "let strides, pools and padding of all branches lead to one size"
            raise _error(f"{place}[{number}]", f"{message}: they cannot be joined", hint)
        if kind == "add" and end != first:
            message = f"it ends in {_text(end)}, and the first branch in {_text(first)}"
            hint = "let all branches end in one shape, or use `join: concat`"
            raise _error(f"{place}[{number}]", f"{message}: they cannot be added", hint)
    if kind == "add":
        return first
    channels = sum(end[0] for end in ends)
    if channels > MAX_CHANNELS:
        message = f"{channels:,} channels together are more than {MAX_CHANNELS:,}"
        raise _error(place, message, "repeat less, or let the branches end in fewer channels")
    return channels, first[1], first[2]


def _windows(
    place: str, shape: Shape, window: tuple[int, int], stride: int, sides: ops.Sides
) -> tuple[int, int]:
    """Height and width after a sliding window, with padding above, below, left and right."""
    _, height, width = shape
    top, bottom, left, right = sides
    high = (height + top + bottom - window[0]) // stride + 1
    wide = (width + left + right - window[1]) // stride + 1
    if min(high, wide) < 1:
        message = f"a window of {window[0]}×{window[1]} does not fit into {_text(shape)}"
        raise _error(place, message, "pool less, pad with `same`, or use a smaller window")
    return high, wide


def _window(sides: tuple[int, int]) -> str:
    """`4`, or `4×3` where it is no square."""
    return str(sides[0]) if sides[0] == sides[1] else f"{sides[0]}×{sides[1]}"


def _text(shape: Shape) -> str:
    return "×".join(str(side) for side in shape)


def _error(place: str, message: str, hint: str) -> ShapeError:
    return ShapeError((Problem(message, place, hint=hint),))
