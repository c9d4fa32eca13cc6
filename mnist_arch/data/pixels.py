"""From stored images to what the network sees: pixels as numbers, and their normalisation."""

from __future__ import annotations

import torch
from torch import Tensor

from mnist_arch.data.catalog import DatasetInfo


def to_unit(images_NCHW: Tensor) -> Tensor:
    """(N, C, H, W) uint8 → float32 in [0, 1], same shape."""
    return images_NCHW.float().div_(255)


def normalize(x_NCHW: Tensor, info: DatasetInfo) -> Tensor:
    """(N, C, H, W) float32 in [0, 1] → mean 0 and deviation 1 over all training pixels."""
    return x_NCHW.sub(info.mean).div_(info.std).contiguous(memory_format=torch.channels_last)
