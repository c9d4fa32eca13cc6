"""Random changes of images.

All of it is batched and runs where the images live. Background is 0 in every dataset, so the random
changes come before the normalisation and what comes into view is filled with 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from mnist_arch.spec.recipe import Augment, Elastic, Erase


@dataclass(frozen=True)
class Changes:
    """What was drawn for each image of a batch; None where nothing is changed so."""

    affine_N23: Tensor | None = None
    """Maps from output to input coordinates, both in [-1, 1] over the edges of an image."""
    displacement_NHW2: Tensor | None = None
    """Added to input coordinates."""
    erased: Erased | None = None


@dataclass(frozen=True)
class Erased:
    """A square of background in some of the images."""

    top_N1: Tensor
    left_N1: Tensor
    """First row and column, whole float32."""
    happens_N1: Tensor
    """Whether an image has one."""


def draw(x_NCHW: Tensor, spec: Augment, *, rng: Generator) -> Changes:
    """What is to happen to each image, which is not looked at."""
    affine_N23 = displacement_NHW2 = None
    moved = any((spec.rotate_degrees, spec.shift_pixels, spec.scale, spec.shear_degrees))
    if moved or spec.elastic is not None:
        affine_N23 = _affine(x_NCHW, spec, rng)
        if spec.elastic is not None:
            displacement_NHW2 = elastic_displacement(x_NCHW, spec.elastic, rng)
    erased = None if spec.erase is None else _square(x_NCHW, spec.erase, rng)
    return Changes(affine_N23, displacement_NHW2, erased)


def augment(x_NCHW: Tensor, spec: Augment, *, rng: Generator) -> Tensor:
    """Changes each image by its own draw from `rng`. (N, C, H, W) float32 in [0, 1] → same.

    One bilinear resampling does rotation, scale, shear, shift and elastic distortion together.
    """
    changes = draw(x_NCHW, spec, rng=rng)
    if changes.affine_N23 is not None:
        grid_NHW2 = F.affine_grid(changes.affine_N23, list(x_NCHW.shape), align_corners=False)
        if changes.displacement_NHW2 is not None:
            grid_NHW2 = grid_NHW2 + changes.displacement_NHW2
        x_NCHW = F.grid_sample(x_NCHW, grid_NHW2, align_corners=False)
    if spec.erase is not None and changes.erased is not None:
        x_NCHW = _erase(x_NCHW, changes.erased, pixels=spec.erase.pixels)
    return x_NCHW


def _affine(x_NCHW: Tensor, spec: Augment, rng: Generator) -> Tensor:
    """(N, 2, 3) maps from output to input coordinates, both in [-1, 1]."""
    count, _, height, width = x_NCHW.shape
    # Uniform in [-1, 1): angle, shear, size, horizontal and vertical shift.
    draws = torch.rand(5, count, generator=rng, device=x_NCHW.device).mul_(2).sub_(1)
    angle = draws[0] * math.radians(spec.rotate_degrees)
    shear = torch.tan(draws[1] * math.radians(spec.shear_degrees))
    inverse_scale = 1 / (1 + draws[2] * spec.scale)
    cos, sin = torch.cos(angle) * inverse_scale, torch.sin(angle) * inverse_scale
    # A pixel is 2 / side of the coordinate range.
    right, down = (
        draws[3] * (2 * spec.shift_pixels / width),
        draws[4] * (2 * spec.shift_pixels / height),
    )
    rows = [cos, cos * shear - sin, right, sin, sin * shear + cos, down]
    return torch.stack(rows, dim=1).view(count, 2, 3)


def elastic_displacement(x_NCHW: Tensor, spec: Elastic, rng: Generator) -> Tensor:
    """A smooth random field (N, H, W, 2), in coordinates of [-1, 1].

    Its standard deviation is `spec.pixels` pixels.
    """
    count, _, height, width = x_NCHW.shape
    radius = math.ceil(3 * spec.sigma_pixels)
    offsets = torch.arange(-radius, radius + 1, device=x_NCHW.device, dtype=torch.float32)
    kernel = torch.exp(-(offsets**2) / (2 * spec.sigma_pixels**2))
    # A sum of independent unit normals has the variance of the sum of its squared weights.
    kernel = kernel / kernel.square().sum().sqrt()
    shape = (2 * count, 1, height + 2 * radius, width + 2 * radius)
    noise = torch.randn(shape, generator=rng, device=x_NCHW.device)
    smooth = F.conv2d(F.conv2d(noise, kernel.view(1, 1, 1, -1)), kernel.view(1, 1, -1, 1))
    right_NHW, down_NHW = (smooth.view(count, 2, height, width) * spec.pixels).unbind(1)
    return torch.stack((right_NHW * (2 / width), down_NHW * (2 / height)), dim=-1)


def _square(x_NCHW: Tensor, spec: Erase, rng: Generator) -> Erased:
    """A square in a share of the images; the whole of it lies inside."""
    count, _, height, width = x_NCHW.shape
    draws = torch.rand(3, count, 1, generator=rng, device=x_NCHW.device)
    top = (draws[0] * (height - spec.pixels + 1)).floor()
    left = (draws[1] * (width - spec.pixels + 1)).floor()
    return Erased(top, left, draws[2] < spec.probability)


def _erase(x_NCHW: Tensor, square: Erased, *, pixels: int) -> Tensor:
    """Sets the squares to background."""
    height, width = x_NCHW.shape[2:]
    top, left = square.top_N1, square.left_N1
    rows = torch.arange(height, device=x_NCHW.device)
    columns = torch.arange(width, device=x_NCHW.device)
    in_rows = (rows >= top) & (rows < top + pixels) & square.happens_N1
    in_columns = (columns >= left) & (columns < left + pixels)
    return x_NCHW.masked_fill((in_rows[:, :, None] & in_columns[:, None, :])[:, None], 0.0)
