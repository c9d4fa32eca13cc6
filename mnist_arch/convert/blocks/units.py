"""A convolution with what follows it, as one entry of `channels`; questions about a row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mnist_arch.convert.lowering import Branches, Item, Joined, padding_word
from mnist_arch.counting import layers as our

Tree = dict[str, Any]


Drop = tuple[float, str, str]
"""Rate and kind of a dropout, and where it is: at the end, or before a norm."""


@dataclass(frozen=True)
class Unit:
    """A convolution with what follows it: one entry of `channels`."""

    out: int
    options: tuple[tuple[str, Any], ...]
    """Values by name; None where any will do."""
    dropout: Drop | None
    weights: tuple[str, ...]
    channels: int
    """Channels that come in."""
    end: int

    def says(self) -> tuple[Any, ...]:
        """All that its text depends on."""
        return self.out, self.options, self.dropout

    def value(self, name: str) -> Any:
        return dict(self.options)[name]


def unit_at(items: Sequence[Item], start: int, *, with_dropout: bool = True) -> Unit | None:
    """The unit that begins at an item; None where none does."""
    if start >= len(items) or not isinstance(conv := items[start].op, our.Convolution):
        return None
    channels = items[start].in_shape[0]
    kind, weights, end, out = _kind(conv, channels), [items[start].weights], start + 1, conv.out
    after = items[end].op if end < len(items) else None
    is_deep = kind == "depthwise" or (channels == 1 and max(conv.window) > 1)
    bias, depthwise_bias = conv.bias, None
    if is_deep and out == channels and (point := _pointwise(after)) is not None:
        kind, out, bias = "separable", point.out, point.bias
        depthwise_bias = conv.bias if conv.bias != bias else None
        weights.append(items[end].weights)
        end += 1
    norm: our.Normalization | None = None
    activation: our.Activation | None = None
    norm_first = False
    dropout: Drop | None = None
    while end < len(items):
        op = items[end].op
        between = drop_before_norm(items, end) if with_dropout and norm is None else None
        if between is not None:
            dropout = between
        elif isinstance(op, our.Normalization) and norm is None:
            norm, norm_first = op, activation is None
        elif isinstance(op, our.Activation) and activation is None:
            activation = op
        else:
            break
        end += 1
    if with_dropout and dropout is None and end < len(items):
        if isinstance(drop := items[end].op, our.Dropout):
            dropout, end = (drop.rate, drop.kind, "end"), end + 1
    order = "conv-norm-activation" if norm_first else "conv-activation-norm"
    padding = padding_word(conv, items[start].in_shape)
    if padding is None:
        return None
    options = {
        "kernel": conv.kernel,
        "stride": conv.stride,
        "padding": None if conv.kernel == 1 and padding == "valid" else padding,
        "padding_mode": conv.padding_mode if conv.padding else None,
        "kind": kind,
        "groups": conv.groups if kind == "grouped" else None,
        "bias": bias,
        "depthwise_bias": depthwise_bias,
        "norm": norm_text(norm),
        "activation": _activation_text(activation),
        "order": order if norm is not None and activation is not None else None,
    }
    return Unit(out, tuple(options.items()), dropout, tuple(weights), channels, end)


def _kind(conv: our.Convolution, channels: int) -> str:
    if conv.groups == 1:
        return "ordinary"
    return "depthwise" if conv.groups == channels else "grouped"


def _pointwise(op: object) -> our.Convolution | None:
    """A plain 1×1 convolution; None where it is something else."""
    match op:
        case our.Convolution(kernel=1, stride=1, groups=1, padding=0):
            return op
    return None


def drop_before_norm(items: Sequence[Item], at: int) -> Drop | None:
    """The dropout at an item, if a norm follows."""
    if at + 1 < len(items) and isinstance(items[at + 1].op, our.Normalization):
        if isinstance(drop := items[at].op, our.Dropout):
            return drop.rate, drop.kind, "before-norm"
    return None


Said = str | tuple[tuple[str, Any], ...]
"""A kind, or the keys and values of an object that says more."""


def _said_as(kind: str, **more: Any) -> Said:
    return (("kind", kind), *more.items()) if more else kind


def norm_text(norm: our.Normalization | None) -> Said:
    """A norm as it is written, in a form that can be compared."""
    if norm is None:
        return "none"
    more: Tree = {}
    kind: str = norm.kind
    if norm.affine in ("one", "value"):
        kind = "layer"
    elif norm.kind == "group" and norm.groups != 4:
        more["groups"] = norm.groups
    usual = our.Normalization(norm.kind, norm.groups)
    if norm.splits != usual.splits:
        more["splits"] = norm.splits
    for name in ("affine", "epsilon", "momentum"):
        if (value := getattr(norm, name)) != getattr(usual, name):
            more[name] = value
    return _said_as(kind, **more)


def _activation_text(activation: our.Activation | None) -> Said:
    if activation is None:
        return "none"
    if activation.by_channel:
        return _said_as(activation.kind, slopes="channel")
    if activation.slope != our.LEAKY_SLOPE:
        return _said_as(activation.kind, slope=activation.slope)
    return activation.kind


def tensors_of(items: Sequence[Item]) -> Iterator[tuple[str, int]]:
    """Names and input channels of the tensors of convolutions, projections left aside."""
    for item in items:
        match item.op:
            case Branches(body=body):
                yield from tensors_of(body)
            case Joined(ways=ways):
                for way in ways:
                    yield from tensors_of(way)
            case our.Convolution():
                yield item.weights, item.in_shape[0]


def may_pool(op: our.Convolution) -> bool:
    """Whether a convolution is more likely a pool than one of `channels`."""
    return op.stride > 1 or (any(op.sides) and op.window[0] % 2 == 0)


def ratio_of(channels: int, hidden: int) -> int | None:
    """A ratio that gives so many hidden channels; None where there is none."""
    ratios: list[int] = [max(1, channels // hidden), *range(1, channels + 1)]
    for ratio in ratios:
        if max(1, channels // ratio) == hidden:
            return ratio
    return None


def all_weights(items: Sequence[Item]) -> Iterator[str]:
    """The names of the tensors of all convolutions and linear layers, in order, projections too."""
    for item in items:
        if isinstance(item.op, Branches):
            yield from all_weights(item.op.body)
            if item.op.skip is not None:
                yield item.op.skip.weights
        elif isinstance(item.op, Joined):
            for way in item.op.ways:
                yield from all_weights(way)
        elif isinstance(item.op, our.Convolution | our.Linear):
            yield item.weights
