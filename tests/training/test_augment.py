"""Random changes to the images, against what they are said to do."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import scipy.ndimage
import torch
from torch import Generator, Tensor

from mnist_arch.data.catalog import INFO
from mnist_arch.data.pixels import normalize, to_unit
from mnist_arch.data.split import Split
from mnist_arch.spec.recipe import Augment, Crop, Elastic, Erase, Perspective
from mnist_arch.training import augment as module
from mnist_arch.training.augment import augment, draw

NOTHING = Augment(rotate_degrees=0.0, shift_pixels=0.0, scale=0.0, shear_degrees=0.0)
ALL = Augment(elastic=Elastic(pixels=1.0), erase=Erase(probability=0.5))
IN_A_ROW = Augment.model_validate(
    [
        {"crop": {"pixels": 21, "probability": 0.5}, "rotate_degrees": 20, "resample": "nearest"},
        {"crop": {"area": [0.3, 1]}, "brightness": 0.5, "contrast": [0.2, 1.9]},
        {"perspective": {"distortion": 1, "probability": 0.8}, "fill": 0.4},
        {"scale": [0.5, 0.9], "shift_pixels": 3.5, "whole_pixels": True, "fill": 1},
        {"erase": {"probability": 0.9, "area": [0.02, 0.9], "fill": 0.7}},
    ]
)


def only(**changes: Any) -> Augment:
    return NOTHING.model_copy(update=changes)


def rng(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def drawn(monkeypatch: pytest.MonkeyPatch, **draws: float) -> None:
    """Fixes the affine draws, each in [-1, 1), to the same values for all images."""
    names = ("angle", "shear", "size", "right", "down")
    unit = torch.tensor([(draws.get(name, 0.0) + 1) / 2 for name in names])

    def rand(rows: int, count: int, **_: Any) -> Tensor:
        assert rows == len(names)
        return unit[:, None].repeat(1, count)

    monkeypatch.setattr(module.torch, "rand", rand)


def blob(*, x: float, y: float, sigma: float = 1.5) -> Tensor:
    """A smooth spot at pixel (x right, y down), (1, 1, 28, 28)."""
    rows, columns = torch.meshgrid(torch.arange(28.0), torch.arange(28.0), indexing="ij")
    squares = (rows - y) ** 2 + (columns - x) ** 2
    return torch.exp(-squares / (2 * sigma**2))[None, None]


def centre(image_NCHW: Tensor) -> tuple[float, float]:
    """Centre of mass in pixels: right and down."""
    down, right = scipy.ndimage.center_of_mass(image_NCHW[0, 0].numpy())
    return right, down


@pytest.fixture(scope="module")
def digits() -> Tensor:
    """Smooth images with an empty margin, (16, 1, 28, 28)."""
    spots = [blob(x=9 + i % 4 * 3, y=9 + i // 4 * 3, sigma=2.0) for i in range(16)]
    return torch.cat(spots)


# ------------------------------------------------------------------------------------- to numbers


def test_bytes_become_numbers_from_0_to_1() -> None:
    images = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    x = to_unit(images)
    assert x.dtype == torch.float32
    assert torch.equal(x.flatten(), torch.arange(256.0) / 255)
    assert images.dtype == torch.uint8


def test_normalised_images_are_channels_last(training: Split) -> None:
    info = INFO["mnist"]
    x = to_unit(training.images)
    before = x.clone()
    z = normalize(x, info)
    assert torch.equal(x, before)
    assert torch.allclose(z, (x - 0.1307) / 0.3081)
    assert z.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.slow
@pytest.mark.mnist
def test_over_mnist_the_mean_is_0_and_the_deviation_1() -> None:
    from mnist_arch.data.load import load_split

    z = normalize(to_unit(load_split("mnist", "train").images), INFO["mnist"])
    assert float(z.mean()) == pytest.approx(0, abs=1e-3)
    assert float(z.std()) == pytest.approx(1, abs=1e-3)


# ------------------------------------------------------------------------------- what must be kept


def test_without_changes_the_images_stay_and_nothing_is_drawn(digits: Tensor) -> None:
    stream = rng()
    before = stream.get_state()
    assert torch.equal(augment(digits, NOTHING, rng=stream), digits)
    assert torch.equal(stream.get_state(), before)


@pytest.mark.parametrize(
    "spec",
    [
        Augment(),
        ALL,
        IN_A_ROW,
        only(elastic=Elastic(pixels=3.0, sigma_pixels=0.5)),
        only(elastic=Elastic(pixels=2.0, sigma_pixels=14.0)),
        only(erase=Erase(probability=1.0, pixels=28)),
        only(scale=0.99),
        only(rotate_degrees=180.0, shear_degrees=60.0, shift_pixels=28.0),
    ],
)
def test_shape_type_and_range_stay(training: Split, spec: Augment) -> None:
    x = to_unit(training.images)
    before = x.clone()
    changed = augment(x, spec, rng=rng())
    assert (changed.shape, changed.dtype) == (x.shape, torch.float32)
    assert float(changed.min()) >= 0
    assert float(changed.max()) <= 1 + 1e-6
    assert torch.equal(x, before)


@pytest.mark.parametrize("spec", [Augment(), ALL, only(erase=Erase(probability=0.5)), IN_A_ROW])
def test_the_same_stream_gives_the_same_images_and_goes_on(digits: Tensor, spec: Augment) -> None:
    one, two = rng(3), rng(3)
    first = augment(digits, spec, rng=one)
    assert torch.equal(first, augment(digits, spec, rng=two))
    assert torch.equal(one.get_state(), two.get_state())
    assert not torch.equal(first, augment(digits, spec, rng=one))
    assert not torch.equal(first, augment(digits, spec, rng=rng(4)))


def test_draws_stay_what_they_are() -> None:
    """Whoever repeats a run of this format has the same images."""
    stream = rng(7)
    found = draw(torch.zeros(3, 1, 28, 28), ALL, rng=stream)
    assert found.affine_N23 is not None
    assert found.displacement_NHW2 is not None
    assert found.erased is not None
    assert found.affine_N23[1].flatten().tolist() == pytest.approx(
        [0.96932667, 0.02981721, 0.10141233, -0.10228979, 0.97697449, -0.08390875], abs=1e-6
    )
    field = found.displacement_NHW2[1, 3, 4].tolist()
    assert field == pytest.approx([0.03328113, 0.07005246], abs=1e-6)
    assert found.erased.top_N1.flatten().tolist() == [3, 5, 19]
    assert found.erased.left_N1.flatten().tolist() == [8, 10, 2]
    assert torch.rand(1, generator=stream).item() == pytest.approx(0.016621947, abs=1e-8)


@pytest.mark.parametrize("spec", [Augment(), ALL])
def test_torchs_own_stream_is_left_alone(digits: Tensor, spec: Augment) -> None:
    before = torch.get_rng_state()
    augment(digits, spec, rng=rng())
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    "spec",
    [
        only(rotate_degrees=20.0),
        only(shift_pixels=3.0),
        only(scale=0.3),
        only(shear_degrees=20.0),
        only(elastic=Elastic(pixels=2.0)),
        only(erase=Erase(probability=1.0)),
        only(erase=Erase(probability=1.0, area=(0.1, 0.5))),
        only(crop=Crop(area=(0.2, 0.9))),
        only(perspective=Perspective(distortion=0.9)),
        only(brightness=0.5),
        only(contrast=0.9),
    ],
)
def test_each_image_has_draws_of_its_own(spec: Augment) -> None:
    same = blob(x=10, y=12, sigma=4.0).repeat(8, 1, 1, 1)
    changed = augment(same, spec, rng=rng())
    distinct = {tuple(image.flatten().tolist()) for image in changed}
    assert len(distinct) == 8


def test_what_comes_into_view_is_background(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn(monkeypatch, right=0.999999)
    white = torch.ones(2, 1, 28, 28)
    changed = augment(white, only(shift_pixels=5.0), rng=rng())
    assert torch.allclose(changed[..., :23], torch.ones(1), atol=1e-4)
    assert torch.allclose(changed[..., 23:], torch.zeros(1), atol=1e-4)


# ---------------------------------------------------------------------------- by a known amount


@pytest.mark.parametrize(("right", "down"), [(3, 0), (-3, 0), (0, 2), (0, -2), (1, 4)])
def test_a_shift_moves_by_pixels(monkeypatch: pytest.MonkeyPatch, right: int, down: int) -> None:
    # The draw is of the place in the input that an output pixel is taken from.
    drawn(monkeypatch, right=-right / 4, down=-down / 4)
    x = blob(x=13, y=12)
    changed = augment(x, only(shift_pixels=4.0), rng=rng())
    moved = scipy.ndimage.shift(x[0, 0].numpy(), (down, right), order=1)
    assert np.allclose(changed[0, 0].numpy(), moved, atol=1e-5)


@pytest.mark.parametrize("degrees", [90.0, 30.0, -30.0, 7.0])
def test_a_rotation_turns_by_degrees(monkeypatch: pytest.MonkeyPatch, degrees: float) -> None:
    drawn(monkeypatch, angle=degrees / 100)
    x = blob(x=20, y=11)
    changed = augment(x, only(rotate_degrees=100.0), rng=rng())
    turned = scipy.ndimage.rotate(x[0, 0].numpy(), degrees, reshape=False, order=1)
    assert np.allclose(changed[0, 0].numpy(), turned, atol=2e-3)
    # Positive is counter-clockwise, as one sees it.
    right, down = 20 - 13.5, 11 - 13.5
    a = math.radians(degrees)
    expected = (
        13.5 + math.cos(a) * right + math.sin(a) * down,
        13.5 - math.sin(a) * right + math.cos(a) * down,
    )
    assert centre(changed) == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize("factor", [1.4, 0.7])
def test_a_scale_grows_and_shrinks(monkeypatch: pytest.MonkeyPatch, factor: float) -> None:
    drawn(monkeypatch, size=(factor - 1) / 0.5)
    changed = augment(blob(x=18, y=12), only(scale=0.5), rng=rng())
    expected = (13.5 + 4.5 * factor, 13.5 - 1.5 * factor)
    assert centre(changed) == pytest.approx(expected, abs=0.05)
    area = float(changed.sum() / blob(x=18, y=12).sum())
    assert area == pytest.approx(factor**2, rel=0.03)


def test_a_shear_moves_rows_sideways(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn(monkeypatch, shear=0.5)
    for y in (8, 19):
        changed = augment(blob(x=13.5, y=y), only(shear_degrees=40.0), rng=rng())
        slope = math.tan(math.radians(20))
        assert centre(changed) == pytest.approx((13.5 - slope * (y - 13.5), y), abs=0.05)


def test_draws_are_uniform_up_to_the_stated_amount() -> None:
    x = blob(x=13.5, y=13.5).repeat(2000, 1, 1, 1)
    changed = augment(x, only(shift_pixels=3.0), rng=rng())
    places = torch.arange(28.0)
    rights = (changed.sum((1, 2)) * places).sum(1) / changed.sum((1, 2, 3)) - 13.5
    downs = (changed.sum((1, 3)) * places).sum(1) / changed.sum((1, 2, 3)) - 13.5
    for moved in (rights, downs):
        assert float(moved.abs().max()) <= 3.02
        assert float(moved.mean()) == pytest.approx(0, abs=0.15)
        assert float(moved.std()) == pytest.approx(3 / math.sqrt(3), rel=0.05)
    both = torch.stack([rights, downs])
    assert abs(float(torch.corrcoef(both)[0, 1])) < 0.1


# --------------------------------------------------------------------------------------- elastic


@pytest.mark.slow
@pytest.mark.parametrize(("pixels", "sigma"), [(1.0, 4.0), (2.5, 2.0), (0.5, 6.0)])
def test_the_elastic_field_has_the_stated_deviation_and_is_smooth(
    pixels: float, sigma: float
) -> None:
    spec = Elastic(pixels=pixels, sigma_pixels=sigma)
    field = (
        module.elastic_displacement(torch.zeros(1, 1, 28, 28), 400, spec, rng()) * 14
    )  # in pixels
    assert field.shape == (400, 28, 28, 2)
    assert float(field.mean()) == pytest.approx(0, abs=0.1 * pixels)
    for axis in (0, 1):
        assert float(field[..., axis].std()) == pytest.approx(pixels, rel=0.08)
        # As large at the border as in the middle: the noise reaches beyond the image.
        assert float(field[:, 0, :, axis].std()) == pytest.approx(pixels, rel=0.12)
        # White noise smoothed by a Gaussian of σ has this correlation with its neighbour.
        between = torch.corrcoef(
            torch.stack([field[:, :, 1:, axis].flatten(), field[:, :, :-1, axis].flatten()])
        )
        assert float(between[0, 1]) == pytest.approx(math.exp(-1 / (4 * sigma**2)), abs=0.01)
    across = torch.corrcoef(torch.stack([field[..., 0].flatten(), field[..., 1].flatten()]))
    assert abs(float(across[0, 1])) < 0.08


def test_the_elastic_field_is_what_moves_the_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    def two_right_three_down(x_NCHW: Tensor, *_: Any) -> Tensor:
        return torch.tensor([2 * 2 / 28, 3 * 2 / 28]).expand(len(x_NCHW), 28, 28, 2)

    monkeypatch.setattr(module, "elastic_displacement", two_right_three_down)
    changed = augment(blob(x=13, y=13), only(elastic=Elastic(pixels=1.0)), rng=rng())
    assert torch.allclose(changed, blob(x=11, y=10), atol=1e-5)


# ------------------------------------------------------------------------------- crops and views


@pytest.mark.parametrize("name", ["crop", "perspective"])
def test_a_share_of_the_images_is_changed(name: str) -> None:
    same = blob(x=10, y=12, sigma=4.0).repeat(1000, 1, 1, 1)
    crop, view = Crop(pixels=20, probability=0.3), Perspective(distortion=0.9, probability=0.3)
    changed = augment(same, only(**{name: crop if name == "crop" else view}), rng=rng())
    assert 240 < int((changed != same).any(3).any(2).any(1).sum()) < 360


def test_changes_in_a_row_are_made_one_after_the_other(digits: Tensor) -> None:
    two = [{"brightness": 0.9}, {"rotate_degrees": 30, "resample": "nearest"}]
    one, other = rng(5), rng(5)
    found = augment(digits, Augment.model_validate(two), rng=one)
    for step in two:
        digits = augment(digits, Augment.model_validate([step]), rng=other)
    assert torch.equal(found, digits)


# ----------------------------------------------------------------------------------------- erase


@pytest.mark.parametrize("pixels", [1, 8, 28])
def test_an_erased_square_has_its_size_and_lies_inside(pixels: int) -> None:
    white = torch.ones(300, 1, 28, 28)
    erased = augment(white, only(erase=Erase(probability=1.0, pixels=pixels)), rng=rng()) == 0
    assert (erased.sum((1, 2, 3)) == pixels**2).all()
    assert (erased.any(2).sum((1, 2)) == pixels).all()  # columns
    assert (erased.any(3).sum((1, 2)) == pixels).all()  # rows
    if pixels < 28:  # every place is reached, the corners too
        tops = erased.any(3).int().argmax(2).flatten()
        assert {0, 28 - pixels} <= set(tops.tolist())
        assert len({tuple(image.flatten().tolist()) for image in erased}) > 100


@pytest.mark.parametrize(
    ("probability", "low", "high"), [(0.0, 0, 0), (0.3, 240, 360), (1, 1000, 1000)]
)
def test_the_stated_share_of_the_images_is_erased(probability: float, low: int, high: int) -> None:
    white = torch.ones(1000, 1, 28, 28)
    spec = only(erase=Erase(probability=float(probability), pixels=5))
    hit = (augment(white, spec, rng=rng()) == 0).any(3).any(2).any(1)
    assert low <= int(hit.sum()) <= high


def test_erasing_comes_after_the_movement(digits: Tensor) -> None:
    spec = ALL.model_copy(update={"erase": Erase(probability=1.0, pixels=20)})
    changed = augment(digits + 0.1, spec, rng=rng())
    assert ((changed == 0).sum((1, 2, 3)) >= 400).all()  # the square stays a square
