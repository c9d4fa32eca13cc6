"""Training with rounding in the loop: the network as an export in whole numbers will compute it.

Weights of each output channel are rounded to 8 or to 4 bits, and values where an export stores them
to 8; the gradient passes as if they were not (straight through; Jacob et al. 2018, Bengio et al.
2013). A norm that an export folds into a convolution is folded for the rounding: behind a
convolution it only scales the channel, which the scale of its weights takes up, and in front of one
it scales the weights before they are rounded. The range of a value is that of its batch, so that
nothing has to be kept from step to step; the export takes its own from training images.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call

from mnist_arch.counting import layers as ops
from mnist_arch.counting.layers import Layer, every
from mnist_arch.network.build import Classifier

Quantization = Literal["int8", "int4"]
"""What weights are rounded to."""
LARGEST_WEIGHT: Final[dict[Quantization, int]] = {"int8": 127, "int4": 7}
LARGEST_VALUE: Final = 255


def rounded_weights(weight: Tensor, scale: Tensor | None = None, *, largest: int) -> Tensor:
    """(out, ...) → the same, each output channel rounded to -largest…largest times its own scale.

    `scale`, (in / groups,) or broadcast to the weights, is what they are multiplied with for it.
    """
    folded = weight if scale is None else weight * scale
    with torch.no_grad():
        step = folded.abs().amax(tuple(range(1, folded.dim())), keepdim=True) / largest
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

    def __init__(
        self, model: Classifier, layers: tuple[Layer, ...], *, quantize: Quantization = "int8"
    ) -> None:
        self.model, self.layers = model, layers
        self.largest = LARGEST_WEIGHT[quantize]
        uses = Counter(it.op.weights for it in every(layers) if isinstance(it.op, ops.Convolution))
        shared = {weights for weights, count in uses.items() if count > 1}
        self.norms = dict(_weighted(layers, model.layers, shared))
        """Of each module with weights the norm in front of it that an export folds into them."""

    def __call__(self, x_NCHW: Tensor) -> Tensor:
        return self._sequence(self.layers, self.model.layers, x_NCHW, ends=True).flatten(1)

    @torch.no_grad()
    def stored(self) -> Classifier:
        """The network with rounded weights: what is judged and kept; its values are not rounded."""
        found = copy.deepcopy(self.model)
        for module, other in zip(self.model.modules(), found.modules(), strict=True):
            if module in self.norms:
                other.weight.copy_(self._weight(module))  # type: ignore[operator]  # no module
        return found

    def _weight(self, module: Any) -> Tensor:
        norm = self.norms[module]
        scale = None if norm is None else _of_inputs(_scale_of(norm), module)
        return rounded_weights(module.weight, scale, largest=self.largest)

    def _sequence(
        self, layers: Sequence[Layer], modules: Iterable[Any], x: Tensor, *, ends: bool = False
    ) -> Tensor:
        """`ends` says whether the last layer makes the logits, which are not rounded."""
        for at, (layer, module) in enumerate(zip(layers, modules, strict=True)):
            match layer.op:
                case ops.Convolution() | ops.Linear():
                    x = functional_call(module, {"weight": self._weight(module)}, (x,))
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
            x = functional_call(convolution, {"weight": self._weight(convolution)}, (x,))
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


def _scales_what_follows(layers: Sequence[Layer], at: int) -> bool:
    """Whether an export multiplies weights behind this norm with it, and not those in front of it.

    Those in front of a ReLU take it where zeros are padded.
    """
    if not _is_before_convolution(layers, at):
        return False
    following = next(it.op for it in layers[at:] if isinstance(it.op, ops.Convolution | ops.Linear))
    if isinstance(following, ops.Linear):
        return True
    return following.padding == 0 or following.padding_mode == "replicate"


def _is_before_convolution(layers: Sequence[Layer], at: int) -> bool:
    """Whether an export folds a batch norm behind a ReLU, and stores nothing between them."""
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


def _weighted(
    layers: Sequence[Layer], modules: Iterable[Any], shared: set[str]
) -> Iterator[tuple[nn.Module, nn.Module | None]]:
    """Modules whose weights are rounded, each with the norm that an export folds into them."""
    norm: nn.Module | None = None
    for at, (layer, module) in enumerate(zip(layers, modules, strict=True)):
        match layer.op:
            case ops.Convolution(weights=weights):
                yield module, None if weights in shared else norm
                norm = None
            case ops.Linear():
                yield module, norm
                norm = None
            case ops.Residual(body=body, skip=skip):
                yield from _weighted(body, module.body, shared)
                if skip is not None:
                    yield module.skip, None
            case ops.Join(branches=branches):
                for branch, way in zip(branches, module.ways(), strict=True):
                    yield from _weighted(branch, way or (), shared)
            case ops.SqueezeExcitation():
                _, first, _, second, _ = module.factors
                yield first, None
                yield second, None
            case ops.Normalization() if _scales_what_follows(layers, at):
                norm = module
            case _:
                pass


def _scale_of(norm: Any) -> Tensor:
    """What a batch norm multiplies each channel with in an export, (channels,)."""
    assert norm.running_var is not None
    weight = norm.weight if norm.affine else torch.ones_like(norm.running_var)
    scale: Tensor = (weight / torch.sqrt(norm.running_var + norm.eps)).detach()
    return scale


def _of_inputs(scale: Tensor, taker: nn.Conv2d | nn.Linear) -> Tensor:
    """The scale of each input channel as that of each weight of what takes them."""
    if isinstance(taker, nn.Linear):
        return scale.repeat_interleave(taker.in_features // len(scale))
    by_group = scale.reshape(taker.groups, -1)
    return by_group.repeat_interleave(taker.out_channels // taker.groups, dim=0)[:, :, None, None]
