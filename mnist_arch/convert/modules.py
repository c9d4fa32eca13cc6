"""What modules and functions of torch are: from a name and its arguments to a graph.

The names and the order of the arguments are those of torch.nn. The same table serves code that is
only read and real modules, whose attributes have the names of the arguments.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from mnist_arch.convert import graph as g
from mnist_arch.convert.questions import refusal

Arguments = Mapping[str, Any]

SIGNATURES: Final[dict[str, str]] = {
    "Conv2d": "in_channels out_channels kernel_size stride=1 padding=0 dilation=1 groups=1 "
    "bias=True padding_mode='zeros' device=None dtype=None",
    "Linear": "in_features out_features bias=True device=None dtype=None",
    "BatchNorm2d": "num_features eps=1e-05 momentum=0.1 affine=True track_running_stats=True",
    "BatchNorm1d": "num_features eps=1e-05 momentum=0.1 affine=True track_running_stats=True",
    "InstanceNorm2d": "num_features eps=1e-05 momentum=0.1 affine=False track_running_stats=False",
    "GroupNorm": "num_groups num_channels eps=1e-05 affine=True",
    "LayerNorm": "normalized_shape eps=1e-05 elementwise_affine=True bias=True",
    "ReLU": "inplace=False",
    "LeakyReLU": "negative_slope=0.01 inplace=False",
    "PReLU": "num_parameters=1 init=0.25",
    "GELU": "approximate='none'",
    "SiLU": "inplace=False",
    "Hardswish": "inplace=False",
    "ReLU6": "inplace=False",
    "ELU": "alpha=1.0 inplace=False",
    "SELU": "inplace=False",
    "CELU": "alpha=1.0 inplace=False",
    "Mish": "inplace=False",
    "Tanh": "",
    "Sigmoid": "",
    "Hardsigmoid": "inplace=False",
    "Hardtanh": "min_val=-1.0 max_val=1.0 inplace=False",
    "Softplus": "beta=1 threshold=20",
    "Softmax": "dim=None",
    "LogSoftmax": "dim=None",
    "Dropout": "p=0.5 inplace=False",
    "Dropout2d": "p=0.5 inplace=False",
    "MaxPool2d": "kernel_size stride=None padding=0 dilation=1 return_indices=False "
    "ceil_mode=False",
    "AvgPool2d": "kernel_size stride=None padding=0 ceil_mode=False count_include_pad=True "
    "divisor_override=None",
    "AdaptiveAvgPool2d": "output_size",
    "AdaptiveMaxPool2d": "output_size return_indices=False",
    "Flatten": "start_dim=1 end_dim=-1",
    "ZeroPad2d": "padding",
}
"""Arguments of the modules that are known, with their defaults."""

FUNCTIONS: Final[dict[str, tuple[str, str]]] = {
    "relu": ("ReLU", "inplace=False"),
    "relu_": ("ReLU", ""),
    "leaky_relu": ("LeakyReLU", "negative_slope=0.01 inplace=False"),
    "gelu": ("GELU", "approximate='none'"),
    "silu": ("SiLU", "inplace=False"),
    "hardswish": ("Hardswish", "inplace=False"),
    "relu6": ("ReLU6", "inplace=False"),
    "elu": ("ELU", "alpha=1.0 inplace=False"),
    "selu": ("SELU", "inplace=False"),
    "mish": ("Mish", "inplace=False"),
    "tanh": ("Tanh", ""),
    "sigmoid": ("Sigmoid", ""),
    "softplus": ("Softplus", "beta=1 threshold=20"),
    "softmax": ("Softmax", "dim=None _stacklevel=3 dtype=None"),
    "log_softmax": ("LogSoftmax", "dim=None _stacklevel=3 dtype=None"),
    "dropout": ("Dropout", "p=0.5 training=True inplace=False"),
    "dropout2d": ("Dropout2d", "p=0.5 training=True inplace=False"),
    "max_pool2d": (
        "MaxPool2d",
        "kernel_size stride=None padding=0 dilation=1 ceil_mode=False return_indices=False",
    ),
    "avg_pool2d": (
        "AvgPool2d",
        "kernel_size stride=None padding=0 ceil_mode=False count_include_pad=True "
        "divisor_override=None",
    ),
    "adaptive_avg_pool2d": ("AdaptiveAvgPool2d", "output_size"),
    "adaptive_max_pool2d": ("AdaptiveMaxPool2d", "output_size return_indices=False"),
    "flatten": ("Flatten", "start_dim=0 end_dim=-1"),
}
"""Functions, which take the input first: the module that does the same, and their arguments."""

IN_TRAINING: Final = "training"
"""Stands for `self.training`, which is not known and need not be."""

_ACTIVATIONS: Final = {
    "ReLU": "relu",
    "LeakyReLU": "leaky_relu",
    "PReLU": "prelu",
    "GELU": "gelu",
    "SiLU": "silu",
    "Hardswish": "hardswish",
    "ReLU6": "relu6",
    "ELU": "elu",
    "SELU": "selu",
    "CELU": "celu",
    "Mish": "mish",
    "Tanh": "tanh",
    "Sigmoid": "sigmoid",
    "Hardsigmoid": "hardsigmoid",
    "Hardtanh": "hardtanh",
    "Softplus": "softplus",
    "Softmax": "softmax",
    "LogSoftmax": "log_softmax",
}
_USUAL_EPSILON: Final = 1e-5


def signature(text: str) -> dict[str, Any]:
    """`kernel_size stride=None` → names with defaults; a name without one has `...`."""
    found: dict[str, Any] = {}
    for part in text.split():
        name, equals, default = part.partition("=")
        found[name] = _default(default) if equals else ...
    return found


def _default(text: str) -> Any:
    words: dict[str, Any] = {"True": True, "False": False, "None": None}
    if text in words:
        return words[text]
    if text.startswith("'"):
        return text[1:-1]
    return float(text) if "." in text or "e" in text else int(text)


def bound(
    text: str, arguments: Sequence[Any], keywords: Arguments, what: str, place: str
) -> dict[str, Any]:
    """Arguments by name, by a signature. Raises SpecError where they do not fit it."""
    known = signature(text)
    if len(arguments) > len(known):
        raise refusal(f"{what} has more arguments than it takes", place)
    given = dict(zip(known, arguments, strict=False))
    for name, value in keywords.items():
        if name not in known or name in given:
            raise refusal(f"{what} takes no such argument: {name}", place)
        given[name] = value
    values = {**known, **given}
    for name, value in values.items():
        if value is ...:
            raise refusal(f"{what} needs {name}", place)
    return values


def pair(value: Any, what: str, place: str) -> g.Pair:
    """A number, or a number each way. Raises SpecError for anything else."""
    if isinstance(value, tuple | list) and len(value) == 1:
        value = value[0]
    both = (value, value) if isinstance(value, int) else value
    if isinstance(both, tuple | list) and len(both) == 2 and all(map(is_whole, both)):
        return both[0], both[1]
    raise refusal(f"{what} must be a whole number or two", place)


def is_whole(value: object) -> bool:
    """Whether a value is a whole number that a layer may have."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= g.MAX_SIDE


def whole(value: Any, what: str, place: str) -> int:
    """A whole number above 0. Raises SpecError for anything else."""
    if not is_whole(value) or value == 0:
        raise refusal(f"{what} must be a whole number above 0, not {value!r:.40}", place)
    return int(value)


def number(value: Any, what: str, place: str) -> float:
    """A finite number. Raises SpecError for anything else."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        if abs(value) < 1e9:
            return float(value)
    raise refusal(f"{what} must be a number, not {value!r:.40}", place)


def apply(
    graph: g.Graph, kind: str, a: Arguments, value: int, *, place: str, weights: str = ""
) -> int:
    """A module of torch on a value: the value that comes out. Raises SpecError."""
    shape = graph.shape(value)

    def add(op: g.Operation) -> int:
        merged, start = graph.unpadded(op, value)
        return graph.add(merged, start, place=place, weights=weights)

    match kind:
        case "Conv2d":
            _expect(shape, "a map", a["in_channels"], kind, place)
            return add(_convolution(a, place))
        case "Linear":
            if value < 0 and a["in_features"] == math.prod(shape):  # made flat before it comes in
                value = graph.add(g.Flatten(), value, place=place)
                shape = graph.shape(value)
            _expect(shape, "values", a["in_features"], kind, place)
            return add(g.Linear(whole(a["out_features"], "out_features", place), bool(a["bias"])))
        case "BatchNorm2d" | "BatchNorm1d" | "InstanceNorm2d":
            _expect(shape, "", a["num_features"], kind, place)
            if kind == "BatchNorm1d" and len(shape) == 3:
                raise refusal("a norm of vectors on a map", place)
            if not a["track_running_stats"] and kind != "InstanceNorm2d":
                over = "batch norm that always uses the batch"
                return add(g.Norm("other", affine=bool(a["affine"]), over=over))
            name = "instance" if kind == "InstanceNorm2d" else "batch"
            momentum = a["momentum"] if name == "batch" and a["momentum"] != 0.1 else None
            if momentum is None and a["momentum"] is None:
                return add(g.Norm("other", over="batch norm with a plain mean of all batches"))
            norm = g.Norm(name, affine=bool(a["affine"]), momentum=momentum)  # type: ignore[arg-type]
            return add(_with_epsilon(norm, a["eps"], place))
        case "GroupNorm":
            _expect(shape, "", a["num_channels"], kind, place)
            groups = whole(a["num_groups"], "num_groups", place)
            norm = g.Norm("group", groups, bool(a["affine"]))
            return add(_with_epsilon(norm, a["eps"], place))
        case "LayerNorm":
            given = a["normalized_shape"]
            sides = tuple(given) if isinstance(given, tuple | list) else (given,)
            if sides != shape:
                raise refusal(f"LayerNorm of {sides!r:.40} on {g.text(shape)}", place)
            if a["elementwise_affine"] and not a["bias"]:
                return add(g.Norm("other", over="a layer norm with a scale and without a shift"))
            return add(
                _with_epsilon(
                    g.Norm("layer", affine=bool(a["elementwise_affine"])), a["eps"], place
                )
            )
        case "Dropout" | "Dropout2d":
            if a.get("training", IN_TRAINING) is not IN_TRAINING:
                return add(g.Other("a dropout that drops in evaluation, too"))
            rate = number(a["p"], "the rate of a dropout", place)
            if not 0 <= rate < 1:
                raise refusal(f"a dropout of rate {rate:g}", place)
            return add(g.Drop(rate, kind == "Dropout2d"))
        case "MaxPool2d" | "AvgPool2d":
            return add(_pool(kind, a, place))
        case "AdaptiveAvgPool2d" | "AdaptiveMaxPool2d":
            return add(_adaptive(kind, a, shape, place))
        case "ZeroPad2d":
            return padded(graph, a["padding"], "constant", 0, value, place)
        case "Flatten":
            return flatten(graph, a, value, place)
        case "Identity":
            return value
        case _ if kind in _ACTIVATIONS:
            return add(_activation(kind, a, place))
    raise refusal(f"{kind} is not known", place)


def _expect(shape: g.Shape, form: str, size: Any, kind: str, place: str) -> None:
    """Raises SpecError where a module was made for another number of channels or values."""
    wanted = 3 if form == "a map" else 1
    if form and len(shape) != wanted:
        raise refusal(f"{kind} needs {form}, and comes after {g.text(shape)}", place)
    if size != shape[0]:
        raise refusal(f"{kind} is made for {size}, and comes after {g.text(shape)}", place)


def _with_epsilon(norm: g.Norm, epsilon: Any, place: str) -> g.Norm:
    value = number(epsilon, "eps", place)
    if value == _USUAL_EPSILON:
        return norm
    if not 0 < value <= 1:
        over = f"an epsilon of a norm: {value:g}"
        return g.Norm("other", norm.groups, norm.affine, over)
    return replace(norm, epsilon=value)


def _convolution(a: Arguments, place: str) -> g.Conv:
    kernel = pair(a["kernel_size"], "kernel_size", place)
    stride, dilation = pair(a["stride"], "stride", place), pair(a["dilation"], "dilation", place)
    if min(*kernel, *stride, *dilation) < 1:
        raise refusal("kernel_size, stride and dilation must be above 0", place)
    match a["padding"]:
        case "valid":
            sides: g.Sides = (0, 0, 0, 0)
        case "same":
            if stride != (1, 1):
                raise refusal("padding='same' needs a stride of 1", place)
            total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
            sides = (
                total[0] // 2,
                total[0] - total[0] // 2,
                total[1] // 2,
                total[1] - total[1] // 2,
            )
        case other:
            high, wide = pair(other, "padding", place)
            sides = (high, high, wide, wide)
    if a["padding_mode"] not in ("zeros", "replicate", "reflect", "circular"):
        raise refusal(f"padding_mode={a['padding_mode']!r:.40}", place)
    return g.Conv(
        whole(a["out_channels"], "out_channels", place),
        kernel,
        stride,
        sides,
        dilation,
        whole(a["groups"], "groups", place),
        bool(a["bias"]),
        a["padding_mode"],
    )


def _pool(kind: str, a: Arguments, place: str) -> g.Pool:
    size = pair(a["kernel_size"], "kernel_size", place)
    stride = size if a["stride"] in (None, ()) else pair(a["stride"], "stride", place)
    high, wide = pair(a["padding"], "padding", place)
    if min(*size, *stride) < 1:
        raise refusal("kernel_size and stride must be above 0", place)
    if a.get("return_indices") or a.get("divisor_override"):
        raise refusal(f"{kind} with return_indices or divisor_override", place)
    dilation = pair(a.get("dilation", 1), "dilation", place)
    name = "max" if kind == "MaxPool2d" else "average"
    return g.Pool(
        name,  # type: ignore[arg-type]  # a name of its Literal
        size,
        stride,
        (high, high, wide, wide),
        bool(a["ceil_mode"]),
        dilation,
    )


def _adaptive(kind: str, a: Arguments, shape: g.Shape, place: str) -> g.Operation:
    given = a["output_size"]
    both = (given, given) if given is None or isinstance(given, int) else given
    if not isinstance(both, tuple | list) or len(both) not in (1, 2) or len(shape) != 3:
        raise refusal(f"{kind} of {given!r:.40} on {g.text(shape)}", place)
    both = [both[0], both[-1]]
    sides = [side if out is None else out for side, out in zip(shape[1:], both, strict=True)]
    name = "average" if kind == "AdaptiveAvgPool2d" else "max"
    if sides == [1, 1]:
        return g.GlobalPool(name)  # type: ignore[arg-type]  # a name of its Literal
    if not all(is_whole(out) and out for out in sides):
        raise refusal(f"{kind} of {given!r:.40}", place)
    if any(side % out for side, out in zip(shape[1:], sides, strict=True)):
        raise refusal(f"{kind}: windows of several sizes from {g.text(shape)}", place)
    size = (shape[1] // sides[0], shape[2] // sides[1])
    return g.Pool(name, size, size)  # type: ignore[arg-type]  # a name of its Literal


def flatten(graph: g.Graph, a: Arguments, value: int, place: str) -> int:
    """The values of each image in a row."""
    shape = graph.shape(value)
    start, end = a["start_dim"], a["end_dim"]
    if start != 1 or end not in (-1, len(shape)):
        if not (start in (-3, -len(shape)) and end == -1):
            raise refusal(f"a flatten from {start} to {end}, which mixes images or parts", place)
    return value if len(shape) == 1 else graph.add(g.Flatten(), value, place=place)


def _activation(kind: str, a: Arguments, place: str) -> g.Act:
    name = _ACTIVATIONS[kind]
    value: float | None = None
    if kind == "LeakyReLU":
        value = number(a["negative_slope"], "negative_slope", place)
    elif kind == "PReLU":
        value = float(whole(a["num_parameters"], "num_parameters", place))
    elif kind == "GELU" and a["approximate"] != "none":
        value = 1.0
    elif name in ("softmax", "log_softmax") and a["dim"] == 0:
        return g.Act(f"{name} of the images of a batch")
    return g.Act(name, value)


def viewed(graph: g.Graph, sides: Sequence[Any], value: int, place: str) -> int:
    """`view` and `reshape`; the first side is the batch: None, or -1 where the rest is known."""
    shape = graph.shape(value)
    values = math.prod(shape)
    if len(sides) < 2:
        raise refusal("a view that has no batch", place)
    batch, rest = sides[0], list(sides[1:])
    if not all(side is not None and isinstance(side, int) for side in rest):
        raise refusal("a view of sides that are not known", place)
    if rest.count(-1) == 1 and batch is None:
        known = -math.prod(rest)
        if known <= 0 or values % known:
            raise refusal(f"a view of {g.text(shape)} as {rest}", place)
        rest[rest.index(-1)] = values // known
    if (batch not in (None, -1)) or math.prod(rest) != values or min(rest) < 1:
        message = f"a view of {g.text(shape)} as {g.text(tuple(rest))}, which mixes images"
        raise refusal(message, place, "the sizes do not follow from 28×28 pixels")
    if tuple(rest) == shape:
        return value
    if len(rest) == 1:
        return graph.add(g.Flatten(), value, place=place)
    if tuple(rest) == (shape[0], 1, 1) and len(shape) == 1:
        return value
    raise refusal(f"a view of {g.text(shape)} as {g.text(tuple(rest))}", place)


LOWEST: Final = -1e9
"""From here on down a padding is taken to be lower than any value, so that no max pool sees it."""


def padded(graph: g.Graph, sides: Any, mode: Any, fill: Any, value: int, place: str) -> int:
    """`pad` and `ZeroPad2d`: pixels left, right, above and below."""
    both = (sides,) * 4 if isinstance(sides, int) else sides
    if not isinstance(both, tuple | list) or len(both) != 4 or not all(map(is_whole, both)):
        raise refusal("padding must be four whole numbers", place)
    is_lowest = isinstance(fill, int | float) and fill <= LOWEST
    if mode != "constant" or not (is_lowest or fill in (None, 0)):
        raise refusal("padding on its own that is no zeros", place)
    left, right, top, bottom = both
    return graph.add(g.Pad((top, bottom, left, right), is_lowest), value, place=place)


def squeezed(graph: g.Graph, value: int, place: str) -> int:
    """A map of one pixel as values; a vector stays."""
    shape = graph.shape(value)
    if len(shape) == 1:
        return value
    if shape[1:] != (1, 1):
        raise refusal(f"a squeeze of {g.text(shape)}", place)
    return graph.add(g.Flatten(), value, place=place)


def reduced(graph: g.Graph, kind: str, dims: Any, keeps: Any, value: int, place: str) -> int:
    """`mean` or `amax` over rows and columns."""
    shape = graph.shape(value)
    listed = (
        sorted(dim % 4 for dim in dims)
        if isinstance(dims, tuple | list) and all(isinstance(it, int) for it in dims)
        else []
    )
    if len(shape) != 3 or listed != [2, 3]:
        raise refusal(f"a {kind} that is not over rows and columns of a map", place)
    pooled = graph.add(g.GlobalPool(kind), value, place=place)  # type: ignore[arg-type]  # known
    return pooled if keeps else graph.add(g.Flatten(), pooled, place=place)
