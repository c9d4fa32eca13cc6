"""Random changes of images.

All of it is batched and runs where the images live. Background is 0 in every dataset, so the random
changes come before the normalisation. What is to happen is drawn first, without a look at the
images, as a `Changes`; `changed` makes it happen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from mnist_arch.spec.recipe import Augment, Change, Crop, Elastic, Erase, Perspective, about

TRIES: Final = 10
"""Rectangles that are drawn for an image, the first of which that fits is taken: as torchvision."""


@dataclass(frozen=True)
class Rectangle:
    """A part of some of the images; all whole float32."""

    top_N1: Tensor
    left_N1: Tensor
    height_N1: Tensor
    width_N1: Tensor
    happens_N1: Tensor
    """Whether an image has one."""


@dataclass(frozen=True)
class View:
    """A perspective of some of the images."""

    homography_N33: Tensor
    """From output to input coordinates, both in pixels from the outer edges, over the side - 1."""
    happens_N1: Tensor
    """Whether an image is changed."""


@dataclass(frozen=True)
class Tones:
    """Factors of the greys, and of their distance from the mean."""

    brightness_N: Tensor
    contrast_N: Tensor
    brightness_is_first_N: Tensor


@dataclass(frozen=True)
class Changes:
    """What was drawn for each image of a batch; None where nothing is changed so."""

    window: Rectangle | None = None
    """What is enlarged."""
    view: View | None = None
    affine_N23: Tensor | None = None
    """Maps from output to input coordinates, both in [-1, 1] over the edges of an image."""
    displacement_NHW2: Tensor | None = None
    """Added to input coordinates."""
    tones: Tones | None = None
    erased: Rectangle | None = None


def augment(x_NCHW: Tensor, spec: Augment, *, rng: Generator) -> Tensor:
    """Changes each image by its own draws from `rng`. (N, C, H, W) float32 in [0, 1] → same."""
    for change in spec.in_order:
        x_NCHW = changed(x_NCHW, change, draw(x_NCHW, change, rng=rng))
    return x_NCHW


def draw(x_NCHW: Tensor, spec: Change, *, rng: Generator) -> Changes:
    """What is to happen to each image, which is not looked at."""
    (changes,) = draw_ahead(x_NCHW, [len(x_NCHW)], spec, rng=rng)
    return changes


def draw_ahead(
    x_NCHW: Tensor, images: Sequence[int], spec: Change, *, rng: Generator
) -> list[Changes]:
    """The same for the next batches, of so many images each, which are like `x_NCHW`.

    It is drawn in the order in which one batch after the other would be.
    """

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=rng, device=x_NCHW.device)

    moves, found = [], []
    for count in images:
        window = view = displacement = tone = erased = None
        if spec.crop is not None:
            window = part(x_NCHW, uniform(2 * TRIES + 3, count), spec.crop)
        if spec.perspective is not None:
            view = seen_from(x_NCHW, uniform(9, count), spec.perspective)
        if spec.moves:
            moves.append(uniform(5, count))
        if spec.elastic is not None:
            displacement = elastic_displacement(x_NCHW, count, spec.elastic, rng)
        if spec.tones:
            tone = tones(uniform(3, count), spec)
        if spec.erase is not None and spec.erase.area is None:
            erased = square(x_NCHW, uniform(3, count, 1), spec.erase)
        elif spec.erase is not None:
            erased = rectangle(x_NCHW, uniform(2 * TRIES + 3, count), spec.erase)
        found.append(Changes(window, view, None, displacement, tone, erased))
    if not moves:
        return found
    affines = torch.split(affine(x_NCHW, torch.cat(moves, dim=1), spec), [*images])
    return [replace(it, affine_N23=own) for it, own in zip(found, affines, strict=True)]


def changed(x_NCHW: Tensor, spec: Change, changes: Changes) -> Tensor:
    """The images with what was drawn for them: (N, C, H, W) float32 in [0, 1] → same.

    One resampling does rotation, scale, shear, shift and elastic distortion together; crop and
    perspective have one each.
    """
    if changes.window is not None:
        x_NCHW = _enlarged(x_NCHW, changes.window)
    if changes.view is not None:
        x_NCHW = _viewed(x_NCHW, changes.view, spec)
    if changes.affine_N23 is not None:
        grid_NHW2 = F.affine_grid(changes.affine_N23, list(x_NCHW.shape), align_corners=False)
        if changes.displacement_NHW2 is not None:
            grid_NHW2 = grid_NHW2 + changes.displacement_NHW2
        x_NCHW = _sampled(x_NCHW, grid_NHW2, spec)
    if changes.tones is not None:
        x_NCHW = _toned(x_NCHW, changes.tones)
    if spec.erase is not None and changes.erased is not None:
        x_NCHW = _erase(x_NCHW, changes.erased, fill=spec.erase.fill)
    return x_NCHW


# ---------------------------------------------------------- what happens, from draws in [0, 1)


def affine(x_NCHW: Tensor, uniform_5N: Tensor, spec: Change) -> Tensor:
    """(N, 2, 3) maps from output to input coordinates, both in [-1, 1].

    Of angle, shear, size, horizontal and vertical shift.
    """
    height, width = x_NCHW.shape[2:]
    draws = uniform_5N.mul_(2).sub_(1)
    angle = draws[0] * math.radians(spec.rotate_degrees)
    shear = torch.tan(draws[1] * math.radians(spec.shear_degrees))
    middle, most = about(spec.scale)
    inverse_scale = 1 / (middle + draws[2] * most)
    cos, sin = torch.cos(angle) * inverse_scale, torch.sin(angle) * inverse_scale
    # A pixel is 2 / side of the coordinate range.
    right, down = (
        draws[3] * (2 * spec.shift_pixels / width),
        draws[4] * (2 * spec.shift_pixels / height),
    )
    rows = [cos, cos * shear - sin, right, sin, sin * shear + cos, down]
    if spec.whole_pixels:  # of the output, so that they go through the rest of the map
        right = (draws[3] * spec.shift_pixels).round() * (2 / width)
        down = (draws[4] * spec.shift_pixels).round() * (2 / height)
        rows[2], rows[5] = rows[0] * right + rows[1] * down, rows[3] * right + rows[4] * down
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


def part(x_NCHW: Tensor, uniform_KN: Tensor, spec: Crop) -> Rectangle:
    """What is enlarged: a square in the middle, or a rectangle as in RandomResizedCrop.

    Where none of the drawn ones fits, that is the whole image, or the largest of a ratio in range.
    """
    height, width = x_NCHW.shape[2:]
    happens_N = uniform_KN[-1] < spec.probability
    if spec.area is None:
        assert spec.pixels is not None
        side = torch.full_like(uniform_KN[-1], spec.pixels)
        middle = ((height - side) / 2).round(), ((width - side) / 2).round()
        return _rectangle(*middle, side, side, happens_N)
    low, high = spec.ratio or (3 / 4, 4 / 3)
    wide_TN, high_TN = _sides(uniform_KN, spec.area, (low, high), pixels=height * width)
    fits_TN = (wide_TN > 0) & (high_TN > 0) & (wide_TN <= width) & (high_TN <= height)
    nearest = min(max(width / height, low), high)
    whole = float(min(height, round(width / nearest))), float(min(width, round(height * nearest)))
    any_N = fits_TN.any(0)
    high_N = _first(high_TN, fits_TN).where(any_N, whole[0])
    wide_N = _first(wide_TN, fits_TN).where(any_N, whole[1])
    top_N = (uniform_KN[-3] * (height - high_N + 1)).floor()
    left_N = (uniform_KN[-2] * (width - wide_N + 1)).floor()
    top_N = top_N.where(any_N, (height - whole[0]) // 2)
    left_N = left_N.where(any_N, (width - whole[1]) // 2)
    return _rectangle(top_N, left_N, high_N, wide_N, happens_N)


def seen_from(x_NCHW: Tensor, uniform_9N: Tensor, spec: Perspective) -> View:
    """A perspective as in RandomPerspective: each corner moves inwards by whole pixels.

    Source of the map of a square to four points: Heckbert, Fundamentals of Texture Mapping and
    Image Warping, 1989, page 20; the inverse is its adjugate.
    """
    height, width = x_NCHW.shape[2:]
    across, along = (int(spec.distortion * (side // 2)) for side in (width, height))
    right_4N = (uniform_9N[0:4] * (across + 1)).floor() / (width - 1)
    down_4N = (uniform_9N[4:8] * (along + 1)).floor() / (height - 1)
    # From above on the left, clockwise; of coordinates in [0, 1] over the first and last pixel.
    x0, x1, x2, x3 = right_4N[0], 1 - right_4N[1], 1 - right_4N[2], right_4N[3]
    y0, y1, y2, y3 = down_4N[0], down_4N[1], 1 - down_4N[2], 1 - down_4N[3]
    return View(
        _to_square((x0, x1, x2, x3), (y0, y1, y2, y3)), uniform_9N[8, :, None] < spec.probability
    )


def _to_square(x: Sequence[Tensor], y: Sequence[Tensor]) -> Tensor:
    """(N, 3, 3): from four points, (N,) each, to the corners of the unit square."""
    (x0, x1, x2, x3), (y0, y1, y2, y3) = x, y
    across = x1 - x2, x3 - x2, x0 - x1 + x2 - x3
    along = y1 - y2, y3 - y2, y0 - y1 + y2 - y3
    det = across[0] * along[1] - across[1] * along[0]
    g = (across[2] * along[1] - across[1] * along[2]) / det
    h = (across[0] * along[2] - across[2] * along[0]) / det
    a, b, c = x1 - x0 + g * x1, x3 - x0 + h * x3, x0
    d, e, f = y1 - y0 + g * y1, y3 - y0 + h * y3, y0
    adjugate = [
        *(e - f * h, c * h - b, b * f - c * e),
        *(f * g - d, a - c * g, c * d - a * f),
        *(d * h - e * g, b * g - a * h, a * e - b * d),
    ]
    return torch.stack(adjugate, dim=1).view(-1, 3, 3)


def tones(uniform_3N: Tensor, spec: Change) -> Tones:
    """Brightness, contrast, and which comes first, as in ColorJitter."""
    (brightness, more), (contrast, clearer) = about(spec.brightness), about(spec.contrast)
    return Tones(
        brightness_N=brightness + (2 * uniform_3N[0] - 1) * more,
        contrast_N=contrast + (2 * uniform_3N[1] - 1) * clearer,
        brightness_is_first_N=uniform_3N[2] < 0.5,
    )


def square(x_NCHW: Tensor, uniform_3N1: Tensor, spec: Erase) -> Rectangle:
    """A square in a share of the images; the whole of it lies inside."""
    height, width = x_NCHW.shape[2:]
    top = (uniform_3N1[0] * (height - spec.pixels + 1)).floor()
    left = (uniform_3N1[1] * (width - spec.pixels + 1)).floor()
    side = torch.full_like(top, spec.pixels)
    return Rectangle(top, left, side, side, uniform_3N1[2] < spec.probability)


def rectangle(x_NCHW: Tensor, uniform_KN: Tensor, spec: Erase) -> Rectangle:
    """A rectangle in a share of the images, as in RandomErasing: none where none fits."""
    height, width = x_NCHW.shape[2:]
    assert spec.area is not None
    ratio = spec.ratio or (0.3, 3.3)
    high_TN, wide_TN = _sides(uniform_KN, spec.area, ratio, pixels=height * width)
    fits_TN = (high_TN < height) & (wide_TN < width)
    high_N, wide_N = _first(high_TN, fits_TN), _first(wide_TN, fits_TN)
    top_N = (uniform_KN[-3] * (height - high_N + 1)).floor()
    left_N = (uniform_KN[-2] * (width - wide_N + 1)).floor()
    happens_N = (uniform_KN[-1] < spec.probability) & fits_TN.any(0)
    return _rectangle(top_N, left_N, high_N, wide_N, happens_N)


def _sides(
    uniform_KN: Tensor, area: tuple[float, float], ratio: tuple[float, float], *, pixels: int
) -> tuple[Tensor, Tensor]:
    """Sides, (TRIES, N) each, whole: of areas drawn evenly, and of ratios by their logarithm."""
    area_TN = pixels * (area[0] + uniform_KN[:TRIES] * (area[1] - area[0]))
    low, high = map(math.log, ratio)
    root_TN = torch.exp((low + uniform_KN[TRIES : 2 * TRIES] * (high - low)) / 2)
    side_TN = area_TN.sqrt()
    return (side_TN * root_TN).round(), (side_TN / root_TN).round()


def _first(values_TN: Tensor, fits_TN: Tensor) -> Tensor:
    """The first of each column that fits; 0 where none does."""
    return (values_TN * (fits_TN & (fits_TN.cumsum(0) == 1))).sum(0)


def _rectangle(*values_N: Tensor) -> Rectangle:
    return Rectangle(*(it[:, None] for it in values_N))


# --------------------------------------------------------------------------- how it happens


def _sampled(x_NCHW: Tensor, grid_NHW2: Tensor, spec: Change) -> Tensor:
    """Pixels of the places in a grid; outside of the image is the fill."""
    y_NCHW = F.grid_sample(x_NCHW, grid_NHW2, mode=spec.resample, align_corners=False)
    if spec.fill == 0:
        return y_NCHW
    white_NCHW = torch.ones_like(x_NCHW)
    inside_NCHW = F.grid_sample(white_NCHW, grid_NHW2, mode=spec.resample, align_corners=False)
    return y_NCHW + (1 - inside_NCHW) * spec.fill


def _enlarged(x_NCHW: Tensor, window: Rectangle) -> Tensor:
    """The windows at the size of the image, between pixels; their edge is continued outwards."""
    height, width = x_NCHW.shape[2:]
    rows = torch.arange(height, device=x_NCHW.device) + 0.5
    columns = torch.arange(width, device=x_NCHW.device) + 0.5
    high_N1, wide_N1 = window.height_N1, window.width_N1
    down_NH = (rows * (high_N1 / height) - 0.5).clamp_(min=0).minimum(high_N1 - 1)
    right_NW = (columns * (wide_N1 / width) - 0.5).clamp_(min=0).minimum(wide_N1 - 1)
    down_NH, right_NW = down_NH + window.top_N1, right_NW + window.left_N1
    right_NHW = ((2 * right_NW + 1) / width - 1)[:, None, :].expand(-1, height, -1)
    down_NHW = ((2 * down_NH + 1) / height - 1)[:, :, None].expand(-1, -1, width)
    grid_NHW2 = torch.stack((right_NHW, down_NHW), dim=-1)
    y_NCHW = F.grid_sample(x_NCHW, grid_NHW2, align_corners=False)
    return y_NCHW.where(window.happens_N1[:, :, None, None], x_NCHW)


def _viewed(x_NCHW: Tensor, view: View, spec: Change) -> Tensor:
    """The images in perspective. Places are the middles of pixels, as torchvision has them."""
    height, width = x_NCHW.shape[2:]
    rows = (torch.arange(height, device=x_NCHW.device) + 0.5) / (height - 1)
    columns = (torch.arange(width, device=x_NCHW.device) + 0.5) / (width - 1)
    ones = torch.ones(height, width, device=x_NCHW.device)
    places_HW3 = torch.stack(
        (columns.expand(height, -1), rows[:, None].expand(-1, width), ones), -1
    )
    across, along, depth = torch.einsum("nij,hwj->inhw", view.homography_N33, places_HW3)
    right_NHW = across / depth * (2 * (width - 1) / width) - 1
    down_NHW = along / depth * (2 * (height - 1) / height) - 1
    grid_NHW2 = torch.stack((right_NHW, down_NHW), dim=-1)
    grid_NHW2 = grid_NHW2.nan_to_num(nan=-3.0).clamp(-3, 3)  # where corners meet; outside
    y_NCHW = _sampled(x_NCHW, grid_NHW2, spec)
    return y_NCHW.where(view.happens_N1[:, :, None, None], x_NCHW)


def _toned(x_NCHW: Tensor, tones: Tones) -> Tensor:
    """Greys times a factor, and their distance from the mean times another, within [0, 1]."""
    brightness, contrast, is_first = (
        it[:, None, None, None]
        for it in (tones.brightness_N, tones.contrast_N, tones.brightness_is_first_N)
    )

    def brighter(x_NCHW: Tensor) -> Tensor:
        return (x_NCHW * brightness).clamp(0, 1)

    def clearer(x_NCHW: Tensor) -> Tensor:
        mean = x_NCHW.mean((1, 2, 3), keepdim=True)
        return (x_NCHW * contrast + mean * (1 - contrast)).clamp(0, 1)

    return clearer(brighter(x_NCHW)).where(is_first, brighter(clearer(x_NCHW)))


def _erase(x_NCHW: Tensor, part: Rectangle, *, fill: float) -> Tensor:
    """Sets the rectangles to one grey."""
    height, width = x_NCHW.shape[2:]
    top, left = part.top_N1, part.left_N1
    rows = torch.arange(height, device=x_NCHW.device)
    columns = torch.arange(width, device=x_NCHW.device)
    in_rows = (rows >= top) & (rows < top + part.height_N1) & part.happens_N1
    in_columns = (columns >= left) & (columns < left + part.width_N1)
    return x_NCHW.masked_fill((in_rows[:, :, None] & in_columns[:, None, :])[:, None], fill)
