"""From layers to modules."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal, assert_never

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mnist_arch.counting import layers as ops
from mnist_arch.counting.layers import Layer
from mnist_arch.counting.plan import Plan, plan_network
from mnist_arch.network.start import initialize
from mnist_arch.seeds import stream_seed
from mnist_arch.spec.experiment import Experiment
from mnist_arch.spec.network import Network
from mnist_arch.spec.recipe import Initialize

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "prelu": nn.PReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "hardswish": nn.Hardswish,
}


AS_TORCH: Final = Initialize()


class CountMismatch(AssertionError):
    """The built module and the plan count different parameters: a bug of this program."""


class Classifier(nn.Module):
    """A built network. (N, 1, 28, 28) float32 → logits (N, classes), float32 but in an autocast."""

    def __init__(self, layers: nn.Sequential) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, x_NCHW: Tensor) -> Tensor:
        logits: Tensor = self.layers(x_NCHW).flatten(1)
        return logits


class Sum(nn.Module):
    """A residual: body(x) + skip(x)."""

    def __init__(self, body: nn.Sequential, skip: nn.Module | None) -> None:
        super().__init__()
        self.body = body
        self.skip = skip

    def forward(self, x_NCHW: Tensor) -> Tensor:
        grown: Tensor = self.body(x_NCHW)
        return grown + (x_NCHW if self.skip is None else self.skip(x_NCHW))


class Join(nn.Module):
    """Branches on one input, joined by channels or added; None is the input itself."""

    def __init__(
        self, branches: Sequence[nn.Sequential | None], kind: Literal["concat", "add"]
    ) -> None:
        super().__init__()
        self.count, self.kind = len(branches), kind
        self.branches = nn.ModuleDict(
            {str(number): it for number, it in enumerate(branches) if it is not None}
        )

    def ways(self) -> Iterator[nn.Sequential | None]:
        """The branches in their order."""
        for number in range(self.count):
            name = str(number)
            # A ModuleDict does not say what kind of modules it has.
            yield self.branches[name] if name in self.branches else None  # type: ignore[misc]

    def joined(self, ends: list[Tensor]) -> Tensor:
        """What the branches end in, (N, C, H, W) each, made one."""
        if self.kind == "concat":
            return torch.cat(ends, 1)
        total = ends[0]
        for end in ends[1:]:
            total = total + end
        return total

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return self.joined([x_NCHW if way is None else way(x_NCHW) for way in self.ways()])

    def extra_repr(self) -> str:
        return f"{self.kind} of {self.count}"


class Gate(nn.Module):
    """A squeeze-and-excitation: x times one factor in (0, 1) for each channel."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.factors = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, hidden, 1),
            nn.ReLU(),
            nn.Conv2d(hidden, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x_NCHW: Tensor) -> Tensor:
        scaled: Tensor = x_NCHW * self.factors(x_NCHW)
        return scaled


class Conv2d(nn.Conv2d):
    """A convolution that pads its sides differently: above, below, left and right."""

    def __init__(self, channels: int, op: ops.Convolution) -> None:
        super().__init__(
            channels, op.out, op.window, stride=op.stride, groups=op.groups, bias=op.bias
        )
        top, bottom, left, right = op.sides
        self.sides = left, right, top, bottom
        self.fill = "constant" if op.padding_mode == "zeros" else op.padding_mode

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return super().forward(F.pad(x_NCHW, self.sides, mode=self.fill))

    def extra_repr(self) -> str:
        own: str = super().extra_repr()  # type: ignore[no-untyped-call]
        return f"{own}, sides={self.sides}, fill={self.fill}"


class MaxPool2d(nn.MaxPool2d):
    """A max pool that pads its sides differently: above, below, left and right."""

    def __init__(self, op: ops.Pooling) -> None:
        super().__init__(op.size, op.stride)
        top, bottom, left, right = op.sides
        self.sides = left, right, top, bottom

    def forward(self, x_NCHW: Tensor) -> Tensor:
        pooled: Tensor = super().forward(F.pad(x_NCHW, self.sides, value=-math.inf))
        return pooled

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, sides={self.sides}"


class LayerNorm(nn.Module):
    """A norm of all values of an image, with one scale and one shift, or one for each value.

    Both are lists, so that they do not decay. The second is torch's LayerNorm on a whole map.
    `shape` is (channels, height, width), or (values,).
    """

    def __init__(self, shape: tuple[int, ...], *, is_one: bool, eps: float) -> None:
        super().__init__()
        self.shape, self.eps = shape, eps
        count = 1 if is_one else math.prod(shape)
        self.weight = nn.Parameter(torch.ones(count))
        self.bias = nn.Parameter(torch.zeros(count))

    def forward(self, x_NCHW: Tensor) -> Tensor:
        sides = (1,) * len(self.shape) if self.weight.numel() == 1 else self.shape
        y_NCHW = F.layer_norm(x_NCHW, self.shape, eps=self.eps)
        return y_NCHW * self.weight.view(sides) + self.bias.view(sides)

    def extra_repr(self) -> str:
        return f"{self.shape}, affine={self.weight.numel()}, eps={self.eps}"


class GhostBatchNorm2d(nn.BatchNorm2d):
    """A batch norm that takes parts of a batch apart in training (Hoffer et al. 2017).

    Image i is of part i mod `splits`. The running statistics are the means of those of the parts.
    A batch of fewer images has as many parts as have two values a channel. The input is a map, or
    a list of values.
    """

    def __init__(self, channels: int, splits: int, **options: Any) -> None:
        super().__init__(channels, **options)
        self.splits = splits

    def forward(self, x_NCHW: Tensor) -> Tensor:
        if not self.training:  # first, since an export by torch has batches of any size
            return super().forward(x_NCHW)
        values = x_NCHW[:1, 0].numel()
        splits = min(self.splits, len(x_NCHW) if values > 1 else len(x_NCHW) // 2)
        if splits < 2:
            return super().forward(x_NCHW)
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        parts, means, variances = [], [], []
        for part in range(splits):
            means.append(self.running_mean.clone())
            variances.append(self.running_var.clone())
            parts.append(
                F.batch_norm(
                    x_NCHW[part::splits],
                    means[-1],
                    variances[-1],
                    self.weight,
                    self.bias,
                    True,
                    self.momentum,
                    self.eps,
                )
            )
        with torch.no_grad():
            self.running_mean.copy_(torch.stack(means).mean(0))
            self.running_var.copy_(torch.stack(variances).mean(0))
            self.num_batches_tracked.add_(1)
        order = torch.arange(len(x_NCHW), device=x_NCHW.device)
        back = torch.cat([order[part::splits] for part in range(splits)]).argsort()
        return torch.cat(parts)[back]

    def _check_input_dim(self, input: Tensor) -> None:
        pass

    def extra_repr(self) -> str:
        own: str = super().extra_repr()  # type: ignore[no-untyped-call]
        return f"{own}, splits={self.splits}"


def build(network: Network, *, seed: int = 0, plan: Plan | None = None) -> Classifier:
    """A module with initial weights: those that a run of this seed starts with.

    They are as the recipe of an experiment has them, else torch's. `plan` is the network's plan
    where it is known. Leaves the global generator alone. Raises ShapeError, and CountMismatch where
    the module does not have the planned parameters.
    """
    plan = plan or plan_network(network)
    start = network.recipe.initialize if isinstance(network, Experiment) else AS_TORCH
    model = assemble(plan, seed=seed, start=start)
    if (built := count_parameters(model)) != plan.parameters:
        raise CountMismatch(f"the plan has {plan.parameters:,} parameters, the module {built:,}")
    return model


def assemble(plan: Plan, *, seed: int, start: Initialize = AS_TORCH) -> Classifier:
    """The module of a plan, not counted; see `build`."""
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would seed every GPU, too.
        torch.default_generator.manual_seed(stream_seed(seed, "weights"))
        model = Classifier(_Builder().sequence(plan.layers))
        initialize(model, start)
        return model


def count_parameters(model: nn.Module) -> int:
    """Elements of the unique tensors of `model.parameters()`."""
    return sum(tensor.numel() for tensor in model.parameters())


class _Builder:
    """Builds layers in order; convolutions that name the same weights are one module."""

    def __init__(self) -> None:
        self.convolutions: dict[str, nn.Conv2d] = {}
        self.is_flat = False

    def sequence(self, layers: tuple[Layer, ...]) -> nn.Sequential:
        return nn.Sequential(*(self.module(layer) for layer in layers))

    def module(self, layer: Layer) -> nn.Module:
        channels = layer.in_shape[0]
        match layer.op:
            case ops.Convolution() as op:
                return self._convolution(channels, op)
            case ops.Normalization() as op:
                return _norm(op, layer.in_shape, is_flat=self.is_flat)
            case ops.Activation(kind="leaky_relu", slope=slope):
                return nn.LeakyReLU(slope)
            case ops.Activation(kind="prelu", by_channel=True):
                return nn.PReLU(channels)
            case ops.Activation(kind=kind):
                return _ACTIVATIONS[kind]()
            case ops.Dropout(kind="spatial", rate=rate):
                return nn.Dropout2d(rate)
            case ops.Dropout(rate=rate):
                return nn.Dropout(rate)
            case ops.Pooling(kind="max", padding=tuple()) as op:
                return MaxPool2d(op)
            case ops.Pooling(kind="max") as op:
                return nn.MaxPool2d(op.size, op.stride, op.sides[0])
            case ops.Pooling() as op:
                return nn.AvgPool2d(op.size, op.stride, op.sides[0])
            case ops.GlobalPooling(kind="max"):
                return nn.AdaptiveMaxPool2d(1)
            case ops.GlobalPooling():
                return nn.AdaptiveAvgPool2d(1)
            case ops.SqueezeExcitation(hidden=hidden):
                return Gate(channels, hidden)
            case ops.Residual(body=body, skip=skip):
                return Sum(self.sequence(body), None if skip is None else self.module(skip))
            case ops.Join(kind=join, branches=branches):
                return Join([self.sequence(it) if it else None for it in branches], join)
            case ops.Flatten():
                self.is_flat = True
                return nn.Flatten()
            case ops.Linear() as op:
                return nn.Linear(channels, op.out, bias=op.bias)
            case never:
                assert_never(never)

    def _convolution(self, channels: int, op: ops.Convolution) -> nn.Conv2d:
        if op.weights not in self.convolutions:
            self.convolutions[op.weights] = _convolution(channels, op)
        return self.convolutions[op.weights]


def _convolution(channels: int, op: ops.Convolution) -> nn.Conv2d:
    top, bottom, left, right = op.sides
    if (top, left) != (bottom, right):
        return Conv2d(channels, op)
    return nn.Conv2d(
        channels,
        op.out,
        op.window,
        stride=op.stride,
        padding=(top, left),
        groups=op.groups,
        bias=op.bias,
        padding_mode=op.padding_mode,
    )


def _norm(op: ops.Normalization, shape: ops.Shape, *, is_flat: bool) -> nn.Module:
    """The norm of a map, or of a list of values after it was flattened."""
    affine = op.affine != "none"
    match op:
        case ops.Normalization(affine="one" | "value"):
            normed = shape[:1] if is_flat else shape
            return LayerNorm(normed, is_one=op.affine == "one", eps=op.epsilon)
        case ops.Normalization(kind="batch", splits=1):
            kind = nn.BatchNorm1d if is_flat else nn.BatchNorm2d
            return kind(shape[0], op.epsilon, op.momentum, affine)
        case ops.Normalization(kind="batch"):
            options = {"eps": op.epsilon, "momentum": op.momentum, "affine": affine}
            return GhostBatchNorm2d(shape[0], op.splits, **options)
        case ops.Normalization(kind="group"):
            return nn.GroupNorm(op.groups, shape[0], op.epsilon, affine)
        case _:
            return nn.InstanceNorm2d(shape[0], op.epsilon, affine=affine)
