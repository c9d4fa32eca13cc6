"""Random changes of images.

All of it is batched and runs where the images live. Background is 0 in every dataset, so the random
changes come before the normalisation and what comes into view is filled with 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

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
    (changes,) = draw_ahead(x_NCHW, [len(x_NCHW)], spec, rng=rng)
    return changes


def draw_ahead(
    x_NCHW: Tensor, images: Sequence[int], spec: Augment, *, rng: Generator
) -> list[Changes]:
    """The same for the next batches, of so many images each, which are like `x_NCHW`.

    It is drawn in the order in which one batch after the other would be.
    """
    moves = any((spec.rotate_degrees, spec.shift_pixels, spec.scale, spec.shear_degrees))
    moves = moves or spec.elastic is not None
    uniform, displacements, erased = [], [], []
    for count in images:
        if moves:
            uniform.append(torch.rand(5, count, generator=rng, device=x_NCHW.device))
        if spec.elastic is not None:
            displacements.append(elastic_displacement(x_NCHW, count, spec.elastic, rng))
        if spec.erase is not None:
            erased.append(_square(x_NCHW, count, spec.erase, rng))
    affines: Sequence[Tensor] = ()
    if moves:
        affines = torch.split(_affine(x_NCHW, torch.cat(uniform, dim=1), spec), [*images])
    parts = zip_longest(affines, displacements, erased)
    return [Changes(*part) for part in parts] or [Changes()] * len(images)


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


def _affine(x_NCHW: Tensor, uniform_5N: Tensor, spec: Augment) -> Tensor:
    """(N, 2, 3) maps from output to input coordinates, both in [-1, 1], of draws in [0, 1)."""
    height, width = x_NCHW.shape[2:]
    # Uniform in [-1, 1): angle, shear, size, horizontal and vertical shift.
    draws = uniform_5N.mul_(2).sub_(1)
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
    return torch.stack(rows, dim=1).view(-1, 2, 3)


def elastic_displacement(x_NCHW: Tensor, count: int, spec: Elastic, rng: Generator) -> Tensor:
    """A smooth random field (N, H, W, 2), in coordinates of [-1, 1].

    Its standard deviation is `spec.pixels` pixels.
    """
    height, width = x_NCHW.shape[2:]
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


def _square(x_NCHW: Tensor, count: int, spec: Erase, rng: Generator) -> Erased:
    """A square in a share of the images; the whole of it lies inside."""
    height, width = x_NCHW.shape[2:]
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
