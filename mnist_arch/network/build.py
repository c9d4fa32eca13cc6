"""From layers to modules."""

from __future__ import annotations

from typing import assert_never

import torch
from torch import Tensor, nn

from mnist_arch.counting import layers as ops
from mnist_arch.counting.layers import Layer
from mnist_arch.counting.plan import Plan, plan_network
from mnist_arch.seeds import stream_seed
from mnist_arch.spec.network import Network

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "prelu": nn.PReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "hardswish": nn.Hardswish,
}


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


def build(network: Network, *, seed: int = 0, plan: Plan | None = None) -> Classifier:
    """A module with torch's initial weights: those that a run of this seed starts with.

    `plan` is the network's plan where it is known. Leaves the global generator alone. Raises
    ShapeError, and CountMismatch where the module does not have the planned parameters.
    """
    plan = plan or plan_network(network)
    model = assemble(plan, seed=seed)
    if (built := count_parameters(model)) != plan.parameters:
        raise CountMismatch(f"the plan has {plan.parameters:,} parameters, the module {built:,}")
    return model


def assemble(plan: Plan, *, seed: int) -> Classifier:
    """The module of a plan, not counted; see `build`."""
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would seed every GPU, too.
        torch.default_generator.manual_seed(stream_seed(seed, "weights"))
        return Classifier(_Builder().sequence(plan.layers))


def count_parameters(model: nn.Module) -> int:
    """Elements of the unique tensors of `model.parameters()`."""
    return sum(tensor.numel() for tensor in model.parameters())


class _Builder:
    """Builds layers in order; convolutions that name the same weights are one module."""

    def __init__(self) -> None:
        self.convolutions: dict[str, nn.Conv2d] = {}

    def sequence(self, layers: tuple[Layer, ...]) -> nn.Sequential:
        return nn.Sequential(*(self.module(layer) for layer in layers))

    def module(self, layer: Layer) -> nn.Module:
        channels = layer.in_shape[0]
        match layer.op:
            case ops.Convolution() as op:
                return self._convolution(channels, op)
            case ops.Normalization(kind="batch"):
                return nn.BatchNorm2d(channels)
            case ops.Normalization(kind="group", groups=groups):
                return nn.GroupNorm(groups, channels)
            case ops.Normalization(kind="instance"):
                return nn.InstanceNorm2d(channels, affine=True)
            case ops.Activation(kind=kind):
                return _ACTIVATIONS[kind]()
            case ops.Dropout(kind="spatial", rate=rate):
                return nn.Dropout2d(rate)
            case ops.Dropout(rate=rate):
                return nn.Dropout(rate)
            case ops.Pooling(kind="max") as op:
                return nn.MaxPool2d(op.size, op.stride)
            case ops.Pooling() as op:
                return nn.AvgPool2d(op.size, op.stride)
            case ops.GlobalPooling(kind="max"):
                return nn.AdaptiveMaxPool2d(1)
            case ops.GlobalPooling():
                return nn.AdaptiveAvgPool2d(1)
            case ops.SqueezeExcitation(hidden=hidden):
                return Gate(channels, hidden)
            case ops.Residual(body=body, skip=skip):
                return Sum(self.sequence(body), None if skip is None else self.module(skip))
            case ops.Flatten():
                return nn.Flatten()
            case ops.Linear() as op:
                return nn.Linear(channels, op.out, bias=op.bias)
            case ops.Normalization():
                raise AssertionError(layer.op)
            case never:
                assert_never(never)

    def _convolution(self, channels: int, op: ops.Convolution) -> nn.Conv2d:
        if op.weights not in self.convolutions:
            self.convolutions[op.weights] = nn.Conv2d(
                channels,
                op.out,
                op.kernel,
                stride=op.stride,
                padding=op.padding,
                groups=op.groups,
                bias=op.bias,
                padding_mode=op.padding_mode,
            )
        return self.convolutions[op.weights]
