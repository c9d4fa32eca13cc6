"""From stored images to what the network sees: pixels as numbers, and their normalisation."""

from __future__ import annotations

import torch
from torch import Tensor

from mnist_arch.data.catalog import Normalization


def to_unit(images_NCHW: Tensor) -> Tensor:
    """(N, C, H, W) uint8 → float32 in [0, 1], same shape."""
    return images_NCHW.float().div_(255)


def normalize(x_NCHW: Tensor, by: Normalization) -> Tensor:
    """(N, C, H, W) float32 in [0, 1] → (x - mean) / std."""
    return x_NCHW.sub(by.mean).div_(by.std).contiguous(memory_format=torch.channels_last)
