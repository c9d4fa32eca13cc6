"""What layers of Keras are: from a name and its arguments to a graph."""

from __future__ import annotations

import math
from typing import Any, Final

from mnist_arch.convert import graph as g
from mnist_arch.convert.inference import same
from mnist_arch.convert.modules import Arguments, is_whole, number, pair, whole
from mnist_arch.convert.questions import refusal

POINTWISE: Final = ".pointwise"
"""How the tensors of the second half of a separable convolution are called."""
_CONV: Final = (
    "strides=1 padding='valid' data_format=None dilation_rate=1 {}activation=None use_bias=True"
)
_POOL: Final = "pool_size=2 strides=None padding='valid' data_format=None"
SIGNATURES: Final[dict[str, str]] = {
    "Conv2D": "filters kernel_size " + _CONV.format("groups=1 "),
    "SeparableConv2D": "filters kernel_size " + _CONV.format("depth_multiplier=1 "),
    "DepthwiseConv2D": "kernel_size strides=1 padding='valid' depth_multiplier=1 data_format=None "
    "dilation_rate=1 activation=None use_bias=True",
    "Dense": "units activation=None use_bias=True",
    "BatchNormalization": "axis=-1 momentum=0.99 epsilon=0.001 center=True scale=True",
    "LayerNormalization": "axis=-1 epsilon=0.001 center=True scale=True",
    "Activation": "activation",
    "ReLU": "max_value=None negative_slope=0.0 threshold=0.0",
    "LeakyReLU": "negative_slope=0.3",
    "PReLU": "alpha_initializer=None alpha_regularizer=None alpha_constraint=None shared_axes=None",
    "Softmax": "axis=-1",
    "Dropout": "rate noise_shape=None seed=None",
    "SpatialDropout2D": "rate",
    "MaxPooling2D": _POOL,
    "AveragePooling2D": _POOL,
    "GlobalAveragePooling2D": "data_format=None keepdims=False",
    "GlobalMaxPooling2D": "data_format=None keepdims=False",
    "Flatten": "data_format=None",
    "Reshape": "target_shape",
    "ZeroPadding2D": "padding=1 data_format=None",
    "Add": "",
    "Concatenate": "axis=-1",
    "Multiply": "",
    "InputLayer": "shape=None batch_size=None",
    "Rescaling": "scale offset=0.0",
}
ALIASES: Final = {
    "Convolution2D": "Conv2D",
    "SeparableConvolution2D": "SeparableConv2D",
    "MaxPool2D": "MaxPooling2D",
    "AvgPool2D": "AveragePooling2D",
    "GlobalAvgPool2D": "GlobalAveragePooling2D",
    "GlobalMaxPool2D": "GlobalMaxPooling2D",
    "add": "Add",
    "concatenate": "Concatenate",
    "multiply": "Multiply",
}
IGNORED: Final = (
    "name",
    "trainable",
    "dtype",
    "input_shape",
    "input_dim",
    "batch_input_shape",
    "kernel_initializer",
    "bias_initializer",
    "depthwise_initializer",
    "pointwise_initializer",
    "beta_initializer",
    "gamma_initializer",
    "moving_mean_initializer",
    "moving_variance_initializer",
    "init",
    "seed",
)
"""Keywords that do not change what a layer computes, once its weights are known."""

_ACTIVATIONS: Final = {
    "relu": "relu",
    "gelu": "gelu",
    "silu": "silu",
    "swish": "silu",
    "elu": "elu",
    "selu": "selu",
    "relu6": "relu6",
    "tanh": "tanh",
    "sigmoid": "sigmoid",
    "softmax": "softmax",
    "log_softmax": "log_softmax",
    "softplus": "softplus",
    "hard_sigmoid": "hardsigmoid",
    "linear": "identity",
}


def start(graph: g.Graph, given: Any, place: str) -> int:
    """Where a network begins whose input has this shape: the image, or its values in a row.

    Raises SpecError unless these are 28×28 pixels of one channel, which comes last.
    """
    shape = tuple(given) if isinstance(given, tuple | list) else (given,)
    if shape == (math.prod(graph.shape(-1)),):
        return graph.add(g.Flatten(), -1, place=place)
    if shape not in ((28, 28, 1), (28, 28)):
        words = g.text(shape) if all(map(is_whole, shape)) else "not known"
        raise refusal(f"the input is {words}; here it is 28×28×1", place)
    return -1


def apply(
    graph: g.Graph, kind: str, a: Arguments, values: list[int], *, place: str, weights: str = ""
) -> int:
    """A layer of Keras on values: what comes out. Raises SpecError."""
    value = values[0]
    shape = graph.shape(value)

    def add(op: g.Operation, *inputs: int, part: str = "") -> int:
        merged, start = (op, -1) if inputs else graph.unpadded(op, value)
        return graph.add(
            merged, *(inputs or (start,)), place=place, weights=weights and weights + part
        )

    match kind:
        case "Add" | "Concatenate" | "Multiply":
            kinds = {"Add": "sum", "Concatenate": "concatenation", "Multiply": "product"}
            return add(g.Join(kinds[kind]), *values)  # type: ignore[arg-type]  # a known name
        case "Conv2D":
            filters = whole(a["filters"], "filters", place)
            groups = whole(a["groups"], "groups", place)
            made = add(_convolution(a, shape, filters, groups, bool(a["use_bias"]), place))
            return activated(graph, a["activation"], made, place)
        case "DepthwiseConv2D":
            out = shape[0] * whole(a["depth_multiplier"], "depth_multiplier", place)
            made = add(_convolution(a, shape, out, shape[0], bool(a["use_bias"]), place))
            return activated(graph, a["activation"], made, place)
        case "SeparableConv2D":
            between = shape[0] * whole(a["depth_multiplier"], "depth_multiplier", place)
            made = add(_convolution(a, shape, between, shape[0], False, place), part=".depthwise")
            filters = whole(a["filters"], "filters", place)
            point = g.Conv(filters, (1, 1), bias=bool(a["use_bias"]))
            made = add(point, made, part=POINTWISE)
            return activated(graph, a["activation"], made, place)
        case "Dense" if len(shape) == 3 and shape[0] > 1:  # for each pixel, along its channels
            bias = bool(a["use_bias"])
            made = add(g.Conv(whole(a["units"], "units", place), (1, 1), bias=bias))
            return activated(graph, a["activation"], made, place)
        case "Dense":
            made = add(g.Linear(whole(a["units"], "units", place), bool(a["use_bias"])))
            return activated(graph, a["activation"], made, place)
        case "BatchNormalization":
            if a["axis"] not in (-1, 3) or not (a["center"] and a["scale"]):
                over = "batch norm over another axis, or without scale or shift"
                return add(g.Norm("other", affine=False, over=over))
            epsilon = number(a["epsilon"], "epsilon", place)
            kept = number(a["momentum"], "momentum", place)
            if not (0 < epsilon <= 1 and 0 <= kept < 1):
                over = f"a batch norm with epsilon {epsilon:g} and momentum {kept:g}"
                return add(g.Norm("other", over=over))
            return add(g.Norm("batch", epsilon=epsilon, momentum=of_new(kept)))
        case "LayerNormalization":
            return add(g.Norm("other", over="layer norm"))
        case "Activation":
            return activated(graph, a["activation"], value, place)
        case "ReLU":
            if a["max_value"] == 6 and not a["negative_slope"]:
                return add(g.Act("relu6"))
            if a["max_value"] is not None or a["threshold"]:
                return add(g.Other("a ReLU with limits"))
            slope = number(a["negative_slope"], "negative_slope", place)
            return add(g.Act("leaky_relu", slope) if slope else g.Act("relu"))
        case "LeakyReLU":
            slope = number(a["negative_slope"], "negative_slope", place)
            return add(g.Act("leaky_relu", slope))
        case "PReLU":
            shared = a["shared_axes"]
            by_channel = isinstance(shared, tuple | list) and sorted(shared) == [1, 2]
            slopes = shape[0] if by_channel else math.prod(shape)
            return add(g.Act("prelu", float(slopes)))
        case "Softmax":
            return add(g.Act("softmax"))
        case "Dropout" | "SpatialDropout2D":
            rate = number(a["rate"], "the rate of a dropout", place)
            if not 0 <= rate < 1:
                raise refusal(f"a dropout of rate {rate:g}", place)
            return add(g.Drop(rate, kind == "SpatialDropout2D"))
        case "MaxPooling2D" | "AveragePooling2D":
            return add(_pool(kind, a, shape, place))
        case "GlobalAveragePooling2D" | "GlobalMaxPooling2D":
            made = add(g.GlobalPool("average" if "Average" in kind else "max"))
            return made if a["keepdims"] else graph.add(g.Flatten(), made, place=place)
        case "Flatten":
            return value if len(shape) == 1 else add(g.Flatten())
        case "ZeroPadding2D":
            return _padded(graph, a["padding"], value, place)
        case "Reshape":
            return _reshaped(graph, a["target_shape"], value, place)
    raise refusal(f"{kind} is not known", place)


def of_new(kept: float) -> float:
    """The momentum of torch, the weight of a new batch, from that of Keras, of what is kept."""
    return round(1 - kept, 12)


def activated(graph: g.Graph, given: Any, value: int, place: str) -> int:
    """The activation that a layer of Keras has inside."""
    if given is None:
        return value
    if getattr(given, "kind", "") in ("ReLU", "LeakyReLU", "Softmax", "Activation"):  # a layer
        return apply(graph, given.kind, given.arguments, [value], place=place)
    name = given.rpartition(".")[2] if isinstance(given, str) else ""
    if name == "leaky_relu":
        return graph.add(g.Act("leaky_relu", 0.2), value, place=place)
    if name not in _ACTIVATIONS:
        raise refusal(f"the activation {given!r:.40} is not known", place)
    kind = _ACTIVATIONS[name]
    return value if kind == "identity" else graph.add(g.Act(kind), value, place=place)


def _convolution(
    a: Arguments, shape: g.Shape, out: int, groups: int, bias: bool, place: str
) -> g.Conv:
    kernel, stride = (
        pair(a["kernel_size"], "kernel_size", place),
        pair(a["strides"], "strides", place),
    )
    dilation = pair(a["dilation_rate"], "dilation_rate", place)
    if min(*kernel, *stride, *dilation) < 1:
        raise refusal("kernel_size, strides and dilation_rate must be above 0", place)
    sides = _padding(
        a,
        shape,
        (dilation[0] * (kernel[0] - 1) + 1, dilation[1] * (kernel[1] - 1) + 1),
        stride,
        place,
    )
    return g.Conv(out, kernel, stride, sides, dilation, groups, bias)


def _pool(kind: str, a: Arguments, shape: g.Shape, place: str) -> g.Pool:
    size = pair(a["pool_size"], "pool_size", place)
    stride = size if a["strides"] is None else pair(a["strides"], "strides", place)
    if min(*size, *stride) < 1:
        raise refusal("pool_size and strides must be above 0", place)
    name = "max" if kind == "MaxPooling2D" else "average"
    return g.Pool(name, size, stride, _padding(a, shape, size, stride, place))  # type: ignore[arg-type]


def _padding(a: Arguments, shape: g.Shape, window: g.Pair, stride: g.Pair, place: str) -> g.Sides:
    if a["data_format"] not in (None, "channels_last"):
        raise refusal("channels must come last", place)
    match str(a["padding"]).lower():
        case "valid":
            return (0, 0, 0, 0)
        case "same" if len(shape) == 3:
            return same(shape, window, stride)
    raise refusal(f"padding={a['padding']!r:.40}", place)


def _padded(graph: g.Graph, given: Any, value: int, place: str) -> int:
    """A number, a number each way, or two numbers each way."""
    both = (given, given) if isinstance(given, int) else given
    if not isinstance(both, tuple | list) or len(both) != 2:
        raise refusal("padding must be one or two numbers", place)
    (top, bottom), (left, right) = (pair(it, "padding", place) for it in both)
    return graph.add(g.Pad((top, bottom, left, right)), value, place=place)


def _reshaped(graph: g.Graph, target: Any, value: int, place: str) -> int:
    shape = graph.shape(value)
    sides = tuple(target) if isinstance(target, tuple | list) else (target,)
    last = (*shape[1:], shape[0]) if len(shape) == 3 else shape
    if sides == last:
        return value
    if sides == (28, 28, 1) and len(shape) == 1 and (before := _before_flat(graph, value)) < 0:
        return before
    if len(sides) == 1 and sides[0] in (-1, math.prod(shape)):
        return graph.add(g.Flatten(), value, place=place)
    raise refusal(f"a reshape of {g.text(last)}", place)


def _before_flat(graph: g.Graph, value: int) -> int:
    """The map whose values in a row this is: the image is -1; the value itself for all else."""
    node = graph.nodes[value]
    return node.inputs[0] if isinstance(node.op, g.Flatten) else value
