"""From a network spec to its layers: every option filled in, every shape known."""

from __future__ import annotations

import itertools
from math import prod
from typing import Final, assert_never

from mnist_arch.counting import layers as ops
from mnist_arch.counting.layers import Layer, Shape
from mnist_arch.data.catalog import IMAGE_SHAPE
from mnist_arch.errors import Problem, ShapeError
from mnist_arch.spec.network import (
    Activation,
    Block,
    Conv,
    ConvDropout,
    Defaults,
    Dropout,
    Head,
    Hidden,
    LayerOrder,
    Network,
    Norm,
    Pool,
    Reduce,
)

MAX_CONVOLUTIONS: Final = 1000
"""Most convolutions of all blocks and their repeats: keeps counting a matter of milliseconds."""


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
    convolutions = sum(len(block.channels) * block.repeat for block in network.blocks)
    if convolutions > MAX_CONVOLUTIONS:
        message = f"{convolutions:,} convolutions are more than {MAX_CONVOLUTIONS:,}"
        raise _error("blocks", message, "repeat less")
    grouped = False
    for index, block in enumerate(network.blocks):
        kind = block.kind or network.defaults.kind
        kinds = {conv.kind or kind for conv in block.channels}
        if block.groups is not None and "grouped" not in kinds:
            raise _no_groups(f"blocks[{index}]")
        if block.depthwise_bias is not None and "separable" not in kinds:
            raise _no_depthwise(f"blocks[{index}]")
        if block.dropout is not None and block.dropout.after == "each" and not block.channels:
            message = "`after: each` in a block without `channels`"
            raise _error(f"blocks[{index}].dropout", message, "after: block")
        grouped = grouped or "grouped" in kinds
    if network.defaults.groups is not None and not grouped:
        raise _no_groups("defaults")


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
    place, trace = f"blocks[{index}]", _Trace(shape)
    options = block.over(defaults)
    dropout = defaults.dropout if block.dropout is None else block.dropout
    each = dropout if dropout.after == "each" else None
    for repeat in range(block.repeat if block.channels else 0):
        _unit(trace, place, block, options, each, repeat)
    if block.reduce is not None and block.reduce.at == "before":
        _reduce(trace, f"{place}.reduce", block.reduce, options)
    at_end = dropout if dropout.after == "block" else None
    _pool(trace, f"{place}.pool", block.pool, options)
    if at_end is not None and at_end.at == "before-norm" and at_end.rate > 0:
        if block.pool.norm.kind == "none":
            message = "`at: before-norm` at the end of a block whose pool has no norm"
            raise _error(f"{place}.dropout", message, "after: each, or a `norm` in the pool")
        _dropout(trace, f"{place}.dropout", at_end)
    _norm(trace, f"{place}.pool", block.pool.norm)
    if block.reduce is not None and block.reduce.at == "after":
        _reduce(trace, f"{place}.reduce", block.reduce, options)
    if at_end is not None and at_end.at == "end":
        _dropout(trace, f"{place}.dropout", at_end)
    return tuple(trace.layers)


def _unit(
    trace: _Trace,
    place: str,
    block: Block,
    options: Defaults,
    each: ConvDropout | None,
    repeat: int,
) -> None:
    """One application of a block's convolutions, with squeeze-and-excitation and residual."""
    unit = _Trace(trace.shape)
    for index, conv in enumerate(block.channels):
        here = f"{place}.channels[{index}]"
        owner = here if block.share else f"{here}#{repeat}"
        dropout = each if conv.dropout is None else conv.dropout
        _conv(unit, here, conv, conv.over(options), owner, dropout)
    if block.squeeze_excitation is not None:
        hidden = max(1, unit.shape[0] // block.squeeze_excitation)
        unit.add(f"{place}.squeeze_excitation", ops.SqueezeExcitation(hidden))
    if not block.residual:
        trace.extend(unit)
        return
    here = f"{place}.residual"
    skip = _skip(here, trace.shape, unit, bias=options.bias, weights=f"{here}#{repeat}")
    trace.add(here, ops.Residual(tuple(unit.layers), skip))


def _skip(place: str, before: Shape, unit: _Trace, *, bias: bool, weights: str) -> Layer | None:
    """The 1×1 convolution that takes a residual's input to the shape of its output, if needed.

    It has the strides of the unit multiplied, so that it looks at the pixels that the unit is
    centred on.
    """
    after = unit.shape
    if before == after:
        return None
    strides = (layer.op.stride for layer in unit.layers if isinstance(layer.op, ops.Convolution))
    op = ops.Convolution(after[0], 1, weights, bias, stride=prod(strides))
    skip = Layer(place, op, before, _out_shape(place, op, before))
    if skip.out_shape != after:
        message = f"the input {_text(before)} cannot be added to the output {_text(after)}"
        raise _error(place, message, "use `padding: same`, so that only strides change the size")
    return skip


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
    *,
    kernel: int | tuple[int, int] = 1,
) -> None:
    bias = options.bias if reduce.bias is None else reduce.bias
    trace.add(place, ops.Convolution(reduce.out, kernel, place, bias))
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


def _pool(trace: _Trace, place: str, pool: Pool, options: Defaults) -> None:
    match pool.kind:
        case "max" | "average":
            trace.add(place, ops.Pooling(pool.kind, pool.size, pool.step, pool.padding))
        case "global-max":
            trace.add(place, ops.GlobalPooling("max"))
        case "global-average":
            trace.add(place, ops.GlobalPooling("average"))
        case "convolution":
            padding = (pool.size - 1) // 2
            mode = options.padding_mode if padding else "zeros"
            keep = trace.shape[0]
            op = ops.Convolution(keep, pool.size, place, options.bias, pool.step, padding, mode)
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
        _reduce(trace, "head.reduce", head.reduce, defaults)
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
        _reduce(trace, "head.reduce", head.reduce, defaults, kernel=kernel)
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
            window, sides = (op.size, op.size), (op.padding,) * 4
            return channels, *_windows(place, shape, window, op.stride, sides)
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
        case ops.Normalization():
            return shape
        case never:
            assert_never(never)


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
