"""How the weights of a network begin, where torch's own draws are not what is asked for."""

from __future__ import annotations

from typing import Final, Literal

from torch import Tensor, nn

from mnist_arch.spec.recipe import Initialize

TRUNCATED: Final = 0.87962566103423978
"""Standard deviation of a unit normal that is cut at ±2, as Keras and flax have it."""


def initialize(model: nn.Module, spec: Initialize) -> None:
    """Draws the weights of convolutions and linear layers anew, layer by layer.

    It draws from torch's global generator. What a depthwise or grouped convolution has of inputs is
    those of a group, as torch counts them; its outputs are all. Scales and shifts of norms stay 1
    and 0.
    """
    if spec.kind == "torch":
        return
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            _draw(module.weight, spec)
            if module.bias is not None and spec.biases != "torch":
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.PReLU) and spec.kind == "keras":
            nn.init.zeros_(module.weight)  # torch begins at 0.25


def _draw(weight: Tensor, spec: Initialize) -> None:
    match spec.kind, spec.distribution:
        case "orthogonal", _:
            nn.init.orthogonal_(weight)
        case "he", "uniform":
            nn.init.kaiming_uniform_(weight, mode=_mode(spec), nonlinearity="relu")
        case "he", "truncated-normal":
            _truncated(weight, (2 / fans(weight)[spec.fan == "out"]) ** 0.5)
        case "he", _:
            nn.init.kaiming_normal_(weight, mode=_mode(spec), nonlinearity="relu")
        case _, "normal":
            nn.init.xavier_normal_(weight)
        case _, "truncated-normal":
            _truncated(weight, (2 / sum(fans(weight))) ** 0.5)
        case _:
            nn.init.xavier_uniform_(weight)


def fans(weight: Tensor) -> tuple[int, int]:
    """Numbers that an output is made of, and that an input goes into, as torch counts them."""
    window = weight[0, 0].numel()
    return weight.shape[1] * window, weight.shape[0] * window


def _mode(spec: Initialize) -> Literal["fan_in", "fan_out"]:
    return "fan_out" if spec.fan == "out" else "fan_in"


def _truncated(weight: Tensor, deviation: float) -> None:
    """A normal that is cut at two of its deviations, of so much after the cut."""
    whole = deviation / TRUNCATED
    nn.init.trunc_normal_(weight, std=whole, a=-2 * whole, b=2 * whole)
