"""Networks that look trained: norms with statistics and weights of their own, none of them 0."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mnist_arch.network.build import Classifier, LayerNorm, build
from mnist_arch.network.weights import unique_tensors
from mnist_arch.spec.network import Network


def trained(network: Network, *, seed: int = 0, signs: int = -1) -> Classifier:
    """The network in eval mode, as a training could have left it.

    A few scales have the sign of `signs`.
    """
    model = build(network, seed=seed).eval()
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.PReLU):
                module.weight.copy_(uniform(module.weight, -0.2, 0.6, rng))
            norms = nn.BatchNorm1d | nn.BatchNorm2d | nn.GroupNorm | nn.InstanceNorm2d | LayerNorm
            if isinstance(module, norms) and module.weight is not None:
                module.weight.copy_(uniform(module.weight, 0.3, 1.5, rng))
                module.weight[::3] *= signs
                module.bias.copy_(uniform(module.bias, -1, 1, rng))
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                assert module.running_mean is not None
                assert module.running_var is not None
                module.running_mean.copy_(uniform(module.running_mean, -0.5, 0.5, rng))
                module.running_var.copy_(uniform(module.running_var, 0.05, 2, rng))
    return model


def uniform(like: torch.Tensor, low: float, high: float, rng: torch.Generator) -> torch.Tensor:
    return low + (high - low) * torch.rand(like.shape, generator=rng)


def arrays(model: nn.Module) -> dict[str, NDArray[Any]]:
    """All tensors by the names that a weights file has."""
    return {name: np.asarray(it.detach()) for name, it in unique_tensors(model).items()}
