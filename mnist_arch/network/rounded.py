"""Training with 8-bit rounding in the loop: the network as an int8 export will compute it.

Weights of each output channel, and values where an export stores them, are rounded to 8 bits; the
gradient passes as if they were not (straight through; Jacob et al. 2018, Bengio et al. 2013). A
norm that an export folds into a convolution is folded for the rounding: behind a convolution it
only scales the channel, which the scale of its weights takes up, and in front of one it scales the
weights before they are rounded. The range of a value is that of its batch, so that nothing has to
be kept from step to step; the export takes its own from training images.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.func import functional_call

from mnist_arch.counting import layers as ops
from mnist_arch.counting.layers import Layer
from mnist_arch.network.build import Classifier

LARGEST_WEIGHT: Final = 127
LARGEST_VALUE: Final = 255


def rounded_weights(weight: Tensor, scale: Tensor | None = None) -> Tensor:
    """(out, ...) → the same, each output channel rounded to -127…127 times a scale of its own.

    `scale`, (in / groups,) or broadcast to the weights, is what they are multiplied with for it.
    """
    folded = weight if scale is None else weight * scale
    with torch.no_grad():
        step = folded.abs().amax(tuple(range(1, folded.dim())), keepdim=True) / LARGEST_WEIGHT
        step = step.clamp_min(torch.finfo(step.dtype).tiny)
        error = torch.round(folded / step) * step - folded
        if scale is not None:
            error = torch.where(scale == 0, 0, error / scale)
    return weight + error


def rounded_values(x: Tensor) -> Tensor:
    """Any shape → the same, rounded to 256 values from its least to its greatest, 0 among them."""
    with torch.no_grad():
        low, high = x.amin().clamp_max(0), x.amax().clamp_min(0)
        step = ((high - low) / LARGEST_VALUE).clamp_min(torch.finfo(x.dtype).tiny)
        zero = torch.round(-low / step)
        error = (torch.clamp(torch.round(x / step) + zero, 0, LARGEST_VALUE) - zero) * step - x
    return x + error


class RoundedNetwork:
    """What a step calls in place of the network: (N, 1, 28, 28) float32 → logits (N, classes)."""

    def __init__(self, model: Classifier, layers: tuple[Layer, ...]) -> None:
        self.model, self.layers = model, layers

    def __call__(self, x_NCHW: Tensor) -> Tensor:
        return self._sequence(self.layers, self.model.layers, x_NCHW, ends=True).flatten(1)

    def _sequence(
        self, layers: Sequence[Layer], modules: Iterable[Any], x: Tensor, *, ends: bool = False
    ) -> Tensor:
        """`ends` says whether the last layer makes the logits, which are not rounded."""
        folded: Tensor | None = None  # the scale of a norm that the next convolution takes
        for at, (layer, module) in enumerate(zip(layers, modules, strict=True)):
            match layer.op:
                case ops.Convolution() | ops.Linear():
                    weight = rounded_weights(module.weight, _of_inputs(folded, module))
                    x, folded = functional_call(module, {"weight": weight}, (x,)), None
                case ops.Residual(body=body, skip=skip):
                    grown = self._sequence(body, module.body, x)
                    across = x if skip is None else self._sequence((skip,), (module.skip,), x)
                    x = grown + across
                case ops.Join(branches=branches):
                    pairs = zip(branches, module.ways(), strict=True)
                    x = module.joined([self._sequence(a, b, x) if a else x for a, b in pairs])
                case ops.SqueezeExcitation():
                    x = x * self._factors(module, x)
                case _:
                    if _is_before_convolution(layers, at):
                        folded = _scale_of(module)
                    x = module(x)
            is_logits = ends and not any(map(_computes, layers[at + 1 :]))
            if _is_stored(layers, at) and not is_logits:
                x = rounded_values(x)
        return x

    def _factors(self, module: Any, x: Tensor) -> Tensor:
        """Of a squeeze-and-excitation."""
        pool, first, relu, second, sigmoid = module.factors
        x = rounded_values(pool(x))
        for convolution, function in ((first, relu), (second, sigmoid)):
            weight = rounded_weights(convolution.weight)
            x = functional_call(convolution, {"weight": weight}, (x,))
            x = rounded_values(function(x if function is relu else rounded_values(x)))
        return x


def _computes(layer: Layer) -> bool:
    return not isinstance(layer.op, ops.Dropout | ops.Flatten)


def _next(layers: Sequence[Layer], at: int) -> ops.Op | None:
    """The next operation that an export has, too."""
    return next((it.op for it in layers[at + 1 :] if _computes(it)), None)


def _is_stored(layers: Sequence[Layer], at: int) -> bool:
    """Whether an export stores what this layer makes."""
    following = _next(layers, at)
    match layers[at].op:
        case (
            ops.Dropout() | ops.Flatten() | ops.Pooling(kind="max") | ops.GlobalPooling(kind="max")
        ):
            return False  # what they are of is stored as it is
        case ops.Convolution() | ops.Linear() if isinstance(following, ops.Normalization):
            return following.kind != "batch"
        case ops.Normalization(kind="batch") if _is_before_convolution(layers, at):
            return False
        case ops.Convolution() | ops.Linear() | ops.Normalization(kind="batch"):
            return not isinstance(following, ops.Activation) or following.kind != "relu"
        case _:
            return True


def _is_before_convolution(layers: Sequence[Layer], at: int) -> bool:
    """Whether this is a batch norm that an export folds into the convolution that follows."""
    match layers[at].op, _previous(layers, at):
        case ops.Normalization(kind="batch"), ops.Activation(kind="relu"):
            pass
        case _:
            return False
    for layer in layers[at + 1 :]:
        match layer.op:
            case ops.Convolution() | ops.Linear():
                return True
            case ops.Pooling() | ops.GlobalPooling() | ops.Dropout() | ops.Flatten():
                continue
            case _:
                return False
    return False


def _previous(layers: Sequence[Layer], at: int) -> ops.Op | None:
    return next((it.op for it in reversed(layers[:at]) if _computes(it)), None)


def _scale_of(norm: nn.BatchNorm1d | nn.BatchNorm2d) -> Tensor:
    """What a batch norm multiplies each channel with in an export, (channels,)."""
    assert norm.running_var is not None
    weight = norm.weight if norm.affine else torch.ones_like(norm.running_var)
    scale: Tensor = (weight / torch.sqrt(norm.running_var + norm.eps)).detach()
    return scale


def _of_inputs(scale: Tensor | None, taker: nn.Conv2d | nn.Linear) -> Tensor | None:
    """The scale of each input channel as that of each weight of what takes them."""
    if scale is None:
        return None
    if isinstance(taker, nn.Linear):
        return scale.repeat_interleave(taker.in_features // len(scale))
    by_group = scale.reshape(taker.groups, -1)
    return by_group.repeat_interleave(taker.out_channels // taker.groups, dim=0)[:, :, None, None]
