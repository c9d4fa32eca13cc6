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
    Block,
    Conv,
    ConvDropout,
    Defaults,
    Head,
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
        if block.dropout is not None and block.dropout.after == "each" and not block.channels:
            message = "`after: each` in a block without `channels`"
            raise _error(f"blocks[{index}].dropout", message, "after: block")
        grouped = grouped or "grouped" in kinds
    if network.defaults.groups is not None and not grouped:
        raise _no_groups("defaults")


def _no_groups(place: str) -> ShapeError:
    return _error(f"{place}.groups", "`groups` without a grouped convolution", "kind: grouped")


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
    _pool(trace, f"{place}.pool", block.pool, options)
    if block.reduce is not None and block.reduce.at == "after":
        _reduce(trace, f"{place}.reduce", block.reduce, options)
    if dropout.after == "block":
        _dropout(trace, f"{place}.dropout", dropout)
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
        _conv(unit, here, conv, conv.over(options), owner)
        dropout = each if conv.dropout is None else conv.dropout
        if dropout is not None:
            _dropout(unit, here, dropout)
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


def _conv(trace: _Trace, place: str, conv: Conv, options: Defaults, owner: str) -> None:
    """A convolution of a block with its norm and activation."""
    channels = trace.shape[0]
    if options.padding == "same" and options.kernel % 2 == 0:
        message = f"a kernel of {options.kernel} cannot keep the size"
        raise _error(place, message, "use an odd kernel, or `padding: valid`")
    if conv.groups is not None and options.kind != "grouped":
        raise _no_groups(place)
    padding = (options.kernel - 1) // 2 if options.padding == "same" else 0

    def add(part: str, out: int, kernel: int, groups: int, stride: int, padding: int) -> None:
        weights = f"{owner}{part}:{trace.shape[0]}"
        mode = options.padding_mode if padding else "zeros"
        op = ops.Convolution(out, kernel, weights, options.bias, stride, padding, mode, groups)
        trace.add(place, op)

    match options.kind:
        case "ordinary":
            add("", conv.out, options.kernel, 1, options.stride, padding)
        case "depthwise":
            add("", conv.out, options.kernel, channels, options.stride, padding)
        case "separable":
            add(".depthwise", channels, options.kernel, channels, options.stride, padding)
            add(".pointwise", conv.out, 1, 1, 1, 0)
        case "grouped":
            if options.groups is None:
                raise _error(place, "a grouped convolution needs `groups`", "groups: 2")
            add("", conv.out, options.kernel, options.groups, options.stride, padding)
        case never:
            assert_never(never)
    _norm_and_activation(trace, place, options.norm, options.activation, options.order)


def _reduce(
    trace: _Trace, place: str, reduce: Reduce, options: Defaults, *, kernel: int = 1
) -> None:
    bias = options.bias if reduce.bias is None else reduce.bias
    trace.add(place, ops.Convolution(reduce.out, kernel, place, bias))
    order = reduce.order or options.order
    _norm_and_activation(trace, place, reduce.norm, reduce.activation, order)


def _norm_and_activation(
    trace: _Trace, place: str, norm: Norm, activation: str, order: LayerOrder
) -> None:
    found: list[ops.Op] = []
    if activation != "none":
        found.append(ops.Activation(activation))  # type: ignore[arg-type]  # "none" is excluded above
    if norm.kind != "none":
        groups = norm.group_count if norm.kind == "group" else 1
        found.append(ops.Normalization(norm.kind, groups))
    if order == "conv-norm-activation":
        found.reverse()
    for op in found:
        trace.add(place, op)


def _pool(trace: _Trace, place: str, pool: Pool, options: Defaults) -> None:
    match pool.kind:
        case "max" | "average":
            trace.add(place, ops.Pooling(pool.kind, pool.size, pool.step))
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


def _dropout(trace: _Trace, place: str, dropout: ConvDropout) -> None:
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
        # 1×1 on the list of all values is the same as a window of the whole map, which is square.
        kernel = trace.shape[1] if head.pool == "flatten" else 1
        _reduce(trace, "head.reduce", head.reduce, defaults, kernel=kernel)
    if head.linear:
        trace.add("head.linear", ops.Flatten())
        trace.add("head.linear", ops.Linear(classes, head.bias))
    wanted = (classes, 1, 1)
    if trace.shape != wanted:
        ends = f"the network ends in {_text(trace.shape)}, not in {_text(wanted)}"
        reduce = f"let the last block reduce to {classes}, or set `head.linear: true`"
        message, hint = f"{ends} for {classes} classes", f"{reduce}; pool the whole map"
        raise _error("head", message, hint)
    return tuple(trace.layers)


def _out_shape(place: str, op: ops.Op, shape: Shape) -> Shape:
    """Shape after `op`, or ShapeError where it cannot be applied to `shape`."""
    channels, height, width = shape
    match op:
        case ops.Convolution():
            if channels % op.groups or op.out % op.groups:
                both = f"{channels} input and {op.out} output channels"
                hint = "choose channel counts that are multiples of the groups"
                raise _error(place, f"{op.groups} groups do not divide {both}", hint)
            return op.out, *_windows(place, shape, op.kernel, op.stride, op.padding)
        case ops.Activation() | ops.Dropout() | ops.SqueezeExcitation():
            return shape
        case ops.Pooling():
            return channels, *_windows(place, shape, op.size, op.stride, 0)
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


def _windows(place: str, shape: Shape, size: int, stride: int, padding: int) -> tuple[int, int]:
    """Height and width after a sliding window."""
    height, width = ((side + 2 * padding - size) // stride + 1 for side in shape[1:])
    if min(height, width) < 1:
        message = f"a window of {size}×{size} does not fit into {_text(shape)}"
        raise _error(place, message, "pool less, pad with `same`, or use a smaller window")
    return height, width


def _text(shape: Shape) -> str:
    return "×".join(str(side) for side in shape)


def _error(place: str, message: str, hint: str) -> ShapeError:
    return ShapeError((Problem(message, place, hint=hint),))
