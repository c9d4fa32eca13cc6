"""From the layers of a network and its tensors to a program, with batch norms folded where exact.

A batch norm in a trained network is a scale and a shift for each channel.

1. Right behind a convolution it becomes part of its weights and bias.
2. In front of one it does, too, where that pads nothing or repeats the border. Pools may stand
   between: the mean of scaled values is the scaled mean, unless it counts zeros of a padding, and
   the largest one is where no scale is below 0.
3. Behind a ReLU it goes through that into the convolution before, and leaves a floor in it: with a
   scale s ≥ 0 and a shift t, s · max(y, 0) + t = max(s · y + t, t). Where s < 0, that is done with
   -s and -t, and the convolution that follows, if it takes the value alone, changes its sign.
   Padded zeros stay zeros, so it does not matter how anything is padded.

All this is exact but for rounding, which is in float64 here. A norm is kept behind another
activation than ReLU, unless 2 is possible; where a scale below 0 is followed by a pool of maxima, a
residual, branches or a gate; and beside weights that several convolutions share, since each of
them would need a copy of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, assert_never

import numpy as np

from mnist_arch.counting import layers as ops
from mnist_arch.counting.layers import Layer, Shape, every
from mnist_arch.data.catalog import IMAGE_SHAPE, Normalization
from mnist_arch.errors import Problem
from mnist_arch.exports.program import (
    IMAGE,
    Add,
    AnyOperation,
    Concat,
    Convolution,
    Curve,
    GroupNorm,
    LeakyRelu,
    Multiply,
    Pixels,
    Pool,
    Program,
    Relu,
    Scale,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray


def not_whole(layers: Iterable[Layer]) -> Problem | None:
    """The first layer that has no form in whole numbers; every one has one in floats."""
    for layer in every(layers):
        if isinstance(layer.op, ops.Normalization) and layer.op.kind != "batch":
            message = "a norm of each image has no whole numbers: its mean is not known before"
            hint = "`norm: batch`, or an export without int8"
            return Problem(message, layer.place, hint=hint)
    return None


def lower(
    layers: Sequence[Layer],
    tensors: Mapping[str, NDArray[Any]],
    by: Normalization,
    *,
    fold: bool = True,
    dtype: type[np.floating[Any]] = np.float32,
) -> Program:
    """The program of a network: the layers of its plan, and the tensors of its weights file.

    These have the names of the file, such as `layers.0.weight`. `by` is the normalisation that
    it was trained with. Without `fold` every batch norm is a Scale. Arrays of the program are
    `dtype`; whatever it is, they are computed in float64. Dropout is left out.
    """
    writer = _Writer(tensors)
    scale, shift = 1 / (255 * by.std), -by.mean / by.std
    pixels = Pixels(
        inputs=(IMAGE,),
        shape=IMAGE_SHAPE,
        place="input",
        scale=scale,
        shift=shift,
        mean=by.mean,
        std=by.std,
    )
    value = writer.add(pixels)
    writer.sequence(layers, "layers", value)
    found: tuple[AnyOperation, ...] = tuple(writer.operations)
    if fold:
        found = _folded(found, {id(it) for it in writer.shared_weights()})
    return Program(_in(dtype, found))


class _Writer:
    """Writes operations one after the other, with float64 arrays; each makes the next value."""

    def __init__(self, tensors: Mapping[str, NDArray[Any]]) -> None:
        self.tensors = tensors
        self.operations: list[AnyOperation] = []
        self.convolutions: dict[str, tuple[NDArray[Any], NDArray[Any]]] = {}
        self.uses: Counter[str] = Counter()

    def add(self, operation: AnyOperation) -> int:
        self.operations.append(operation)
        return len(self.operations)

    def shared_weights(self) -> Iterator[NDArray[Any]]:
        """Weights of which several convolutions are made."""
        for name, (weight, _) in self.convolutions.items():
            if self.uses[name] > 1:
                yield weight

    def sequence(self, layers: Iterable[Layer], prefix: str, value: int) -> int:
        """Writes layers whose modules are `prefix.0`, `prefix.1`, …; returns the last value."""
        for index, layer in enumerate(layers):
            value = self.layer(layer, f"{prefix}.{index}", value)
        return value

    def layer(self, layer: Layer, name: str, value: int) -> int:
        at: dict[str, Any] = {"inputs": (value,), "shape": layer.out_shape, "place": layer.place}
        match layer.op:
            case ops.Dropout() | ops.Flatten():
                return value  # a linear layer reads the map
            case ops.GlobalPooling() if layer.in_shape == layer.out_shape:
                return value
            case ops.Convolution() as op:
                return self.add(self._convolution(op, name, at))
            case ops.Linear(out=out):
                weight = self._array(f"{name}.weight")
                weight = weight.reshape(out, -1, *self.operations[value - 1].shape[1:])
                bias = self._array(f"{name}.bias") if layer.op.bias else np.zeros(out)
                return self.add(Convolution(**at, weight=weight, bias=bias))
            case ops.Normalization(kind="batch"):
                deviation = np.sqrt(self._array(f"{name}.running_var") + layer.op.epsilon)
                scale, shift = self._affine(layer, name)
                scale = scale / deviation
                shift = shift - self._array(f"{name}.running_mean") * scale
                return self.add(Scale(**at, scale=scale, shift=shift))
            case ops.Normalization(kind=kind, groups=groups, epsilon=eps):
                scale, shift = self._affine(layer, name)
                groups = layer.in_shape[0] if kind == "instance" else groups
                return self.add(GroupNorm(**at, groups=groups, scale=scale, shift=shift, eps=eps))
            case ops.Activation(kind="relu"):
                return self.add(Relu(**at))
            case ops.Activation(kind="leaky_relu"):
                return self.add(LeakyRelu(**at, slope=np.array([layer.op.slope])))
            case ops.Activation(kind="prelu"):
                return self.add(LeakyRelu(**at, slope=self._array(f"{name}.weight")))
            case ops.Activation(kind=("gelu" | "silu" | "hardswish") as kind):
                return self.add(Curve(**at, kind=kind))
            case ops.Pooling(kind=kind, size=size, stride=stride) as op:
                window = (size, size)
                return self.add(Pool(**at, kind=kind, size=window, stride=stride, sides=op.sides))
            case ops.GlobalPooling(kind=kind):
                return self.add(Pool(**at, kind=kind, size=layer.in_shape[1:], stride=1))
            case ops.SqueezeExcitation(hidden=hidden):
                return self._gate(layer, hidden, f"{name}.factors", value)
            case ops.Residual(body=body, skip=skip):
                grown = self.sequence(body, f"{name}.body", value)
                across = value if skip is None else self.layer(skip, f"{name}.skip", value)
                return self.add(Add(**{**at, "inputs": (grown, across)}))
            case ops.Join(branches=branches):
                ends = [
                    self.sequence(branch, f"{name}.branches.{number}", value)
                    for number, branch in enumerate(branches)
                ]
                if layer.op.kind == "concat":
                    return self.add(Concat(**{**at, "inputs": tuple(ends)}))
                total = ends[0]
                for end in ends[1:]:
                    total = self.add(Add(**{**at, "inputs": (total, end)}))
                return total
            case ops.Activation():
                raise AssertionError(layer.op)
            case never:
                assert_never(never)

    def _affine(self, layer: Layer, name: str) -> tuple[NDArray[Any], NDArray[Any]]:
        """Scale and shift of a norm, (channels,) each, or of each value the shape of the map."""
        channels = layer.in_shape[0]
        if isinstance(layer.op, ops.Normalization) and layer.op.affine == "none":
            return np.ones(channels), np.zeros(channels)
        scale, shift = (self._array(f"{name}.{it}") for it in ("weight", "bias"))
        if scale.size > channels:
            return scale.reshape(layer.in_shape), shift.reshape(layer.in_shape)
        return np.broadcast_to(scale, channels).copy(), np.broadcast_to(shift, channels).copy()

    def _convolution(self, op: ops.Convolution, name: str, at: dict[str, Any]) -> Convolution:
        """A convolution; of those that share weights the file has only the first by its name."""
        self.uses[op.weights] += 1
        if op.weights not in self.convolutions:
            bias = self._array(f"{name}.bias") if op.bias else np.zeros(op.out)
            self.convolutions[op.weights] = self._array(f"{name}.weight"), bias
        weight, bias = self.convolutions[op.weights]
        return Convolution(
            **at,
            weight=weight,
            bias=bias,
            stride=op.stride,
            sides=op.sides,
            repeats_border=any(op.sides) and op.padding_mode == "replicate",
            groups=op.groups,
        )

    def _gate(self, layer: Layer, hidden: int, name: str, value: int) -> int:
        """The factors of a squeeze-and-excitation, and the product with them."""
        channels, height, width = layer.in_shape
        whole: Shape = (channels, 1, 1)
        place = layer.place

        def pointwise(number: int, shape: Shape, value: int) -> int:
            weight, bias = (self._array(f"{name}.{number}.{it}") for it in ("weight", "bias"))
            at: dict[str, Any] = {"inputs": (value,), "shape": shape, "place": place}
            return self.add(Convolution(**at, weight=weight, bias=bias))

        at: dict[str, Any] = {"inputs": (value,), "shape": whole, "place": place}
        mean = Pool(**at, kind="average", size=(height, width), stride=1)
        inner = pointwise(1, (hidden, 1, 1), self.add(mean))
        inner = self.add(Relu(inputs=(inner,), shape=(hidden, 1, 1), place=place))
        outer = pointwise(3, whole, inner)
        factors = self.add(Curve(inputs=(outer,), shape=whole, place=place, kind="sigmoid"))
        return self.add(Multiply(inputs=(value, factors), shape=layer.out_shape, place=place))

    def _array(self, name: str) -> NDArray[Any]:
        return np.asarray(self.tensors[name], dtype=np.float64)


# ------------------------------------------------------------------------------------------ folding


def _folded(operations: tuple[AnyOperation, ...], shared: set[int]) -> tuple[AnyOperation, ...]:
    """Without the scales that can become part of a convolution. `shared` are ids of weights."""
    at = 0
    while at < len(operations):
        if isinstance(operations[at], Scale):
            changed = _without(operations, at, shared)
            if changed is not None:
                operations = changed
                continue  # what follows has moved here
        at += 1
    return operations


def _without(
    operations: tuple[AnyOperation, ...], at: int, shared: set[int]
) -> tuple[AnyOperation, ...] | None:
    """The same without the scale that stands there, or None where it has to stay."""
    scale = operations[at]
    assert isinstance(scale, Scale)
    uses = Program(operations).uses
    found = list(operations)

    def own(number: int) -> Convolution | None:
        """The convolution with this number, if its weights are used by nothing else."""
        it = operations[number] if number >= 0 else None
        return it if isinstance(it, Convolution) and id(it.weight) not in shared else None

    def before(number: int) -> int:
        """The operation that makes the input of another, if nothing else takes it; else -1."""
        (value,) = operations[number].inputs
        return value - 1 if len(uses[value]) == 1 else -1

    behind = before(at)
    if (first := own(behind)) is not None:
        found[behind] = _behind(first, scale)
        return _removed(found, at)
    follows = _follows(operations, uses, at)
    ahead = own(follows)
    if ahead is not None and (ahead.repeats_border or not any(ahead.sides)):
        found[follows] = _before(ahead, scale.scale, scale.shift)
        return _removed(found, at)
    relu = operations[behind] if behind >= 0 else None
    first = own(before(behind)) if isinstance(relu, Relu) else None
    if not isinstance(relu, Relu) or relu.floor is not None or first is None:
        return None
    sign = np.where(scale.scale < 0, -1.0, 1.0)
    if (sign < 0).any():
        if ahead is None:
            return None
        found[follows] = _before(ahead, sign, np.zeros_like(sign))
    turned = replace(scale, scale=scale.scale * sign, shift=scale.shift * sign)
    found[before(behind)] = _behind(first, turned)
    found[behind] = replace(relu, floor=turned.shift)
    return _removed(found, at)


def _follows(operations: Sequence[AnyOperation], uses: Sequence[Sequence[int]], at: int) -> int:
    """The convolution that takes a scaled value alone, through pools that allow it, or -1."""
    scale = operations[at]
    assert isinstance(scale, Scale)
    rises = bool((scale.scale >= 0).all())
    value = at + 1
    while len(uses[value]) == 1:
        (number,) = uses[value]
        match operations[number]:
            case Convolution():
                return number
            case Pool(kind="max") if rises:
                value = number + 1
            case Pool(kind="average", sides=(0, 0, 0, 0)):
                value = number + 1
            case _:
                return -1
    return -1


def _removed(operations: list[AnyOperation], at: int) -> tuple[AnyOperation, ...]:
    """Without one operation: what took its value takes its input, and later values move up."""
    (source,) = operations[at].inputs

    def moved(value: int) -> int:
        return source if value == at + 1 else value - (value > at)

    kept = operations[:at] + operations[at + 1 :]
    return tuple(replace(it, inputs=tuple(map(moved, it.inputs))) for it in kept)


def _behind(convolution: Convolution, scale: Scale) -> Convolution:
    return replace(
        convolution,
        weight=convolution.weight * scale.scale[:, None, None, None],
        bias=convolution.bias * scale.scale + scale.shift,
    )


def _before(convolution: Convolution, scale: NDArray[Any], shift: NDArray[Any]) -> Convolution:
    """The convolution of x · scale + shift, without padding."""
    out, inputs = convolution.weight.shape[:2]
    group = np.arange(out) // (out // convolution.groups)
    channels = group[:, None] * inputs + np.arange(inputs)  # (out, inputs): of which each weight is
    scales, shifts = (it[channels][:, :, None, None] for it in (scale, shift))
    return replace(
        convolution,
        weight=convolution.weight * scales,
        bias=convolution.bias + (convolution.weight * shifts).sum(axis=(1, 2, 3)),
    )


def _in(
    dtype: type[np.floating[Any]], operations: Iterable[AnyOperation]
) -> tuple[AnyOperation, ...]:
    """With arrays of `dtype`; what was one array is one."""
    made: dict[int, NDArray[Any]] = {}
    found = []
    for operation in operations:
        changes: dict[str, Any] = {}
        for name, value in vars(operation).items():
            if isinstance(value, np.ndarray):
                made.setdefault(id(value), np.ascontiguousarray(value, dtype=dtype))
                changes[name] = made[id(value)]
        found.append(replace(operation, **changes) if changes else operation)
    return tuple(found)
