"""The table of changes in docs/porting.md, each line beside the real torchvision."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from small import synthetic
from torch import Tensor

from mnist_arch.data.catalog import INFO
from mnist_arch.data.pixels import normalize, to_unit
from mnist_arch.spec.recipe import Augment, Change, Recipe, about
from mnist_arch.training import augment as ours
from mnist_arch.training.augment import Changes, Rectangle, augment, changed, draw

transforms = pytest.importorskip("torchvision.transforms")
pytestmark = pytest.mark.slow  # torchvision takes seconds to import

PORTING = Path(__file__).parents[2] / "docs" / "porting.md"
IMAGES = synthetic(8, seed=1).images
SIDE, DRAWS = 28, 100
TURNED = slice(5, 23)
"""Rows and columns that no rotation or perspective of these takes from the border."""


def table() -> list[tuple[str, str]]:
    """Code of torchvision, and a recipe, line by line."""
    page = PORTING.read_text(encoding="utf-8")
    part = page.split("## Changes of images")[1].split("\n## ")[0]
    return re.findall(r"^\| `([A-Z].*?\))`[^|]* \| `([^`]*)` \|$", part, flags=re.MULTILINE)


def as_pil(images_NCHW: Tensor) -> list[Image.Image]:
    return [Image.fromarray(it[0].numpy()) for it in images_NCHW]


def as_tensor(images: list[Image.Image]) -> Tensor:
    return torch.stack([torch.from_numpy(np.array(it))[None] for it in images]) / 255


def draws(*values: float) -> Tensor:
    """Draws in [0, 1) of what is given from -1 to 1, the same for all images."""
    unit = (torch.tensor(values) + 1) / 2
    assert bool(((unit >= -1e-6) & (unit <= 1 + 1e-6)).all()), "beyond what the recipe draws"
    return unit[:, None].repeat(1, len(IMAGES))


def share(amount: float, most: float) -> float:
    """A shift that is rounded to whole pixels may be up to a half more than what is drawn."""
    return max(-1.0, min(1.0, amount / most)) if most else amount


def box(top: float, left: float, height: float, width: float) -> Rectangle:
    sides = (torch.full((len(IMAGES), 1), float(it)) for it in (top, left, height, width))
    return Rectangle(*sides, torch.ones(len(IMAGES), 1, dtype=torch.bool))


def as_rotation(it: Any, spec: Change) -> Changes:
    angle = it.get_params(it.degrees)
    uniform = draws(angle / spec.rotate_degrees, 0, 0, 0, 0)
    return Changes(affine_N23=ours.affine(IMAGES, uniform, spec))


def as_affine(it: Any, spec: Change) -> Changes:
    angle, (right, down), size, (shear, _) = it.get_params(
        it.degrees, it.translate, it.scale, it.shear, [SIDE, SIDE]
    )
    middle, most = about(spec.scale)
    uniform = draws(
        -angle / (spec.rotate_degrees or 1),
        shear / (spec.shear_degrees or 1),
        (size - middle) / (most or 1),
        share(-right, spec.shift_pixels),
        share(-down, spec.shift_pixels),
    )
    return Changes(affine_N23=ours.affine(IMAGES, uniform, spec))


def as_perspective(it: Any, spec: Change) -> Changes:
    assert spec.perspective is not None
    assert spec.perspective.probability == it.p
    _, corners = it.get_params(SIDE, SIDE, it.distortion_scale)
    far = SIDE - 1
    most = int(spec.perspective.distortion * SIDE / 2) + 1
    inwards = [min(x, far - x) for x, _ in corners] + [min(y, far - y) for _, y in corners]
    uniform = draws(*(2 * (it + 0.5) / most - 1 for it in inwards), -1)
    return Changes(view=ours.seen_from(IMAGES, uniform, spec.perspective))


def as_jitter(it: Any, spec: Change) -> Changes:
    order, brightness, contrast, _, _ = it.get_params(it.brightness, it.contrast, None, None)
    is_first = order.tolist().index(0) < order.tolist().index(1)
    given = [(brightness, spec.brightness), (contrast, spec.contrast)]
    shares = [(factor - about(amount)[0]) / about(amount)[1] for factor, amount in given]
    return Changes(tones=ours.tones(draws(*shares, -1 if is_first else 1), spec))


def as_crop(it: Any, spec: Change) -> Changes:
    assert spec.crop is not None
    assert (spec.crop.area, spec.crop.ratio, spec.crop.probability) == (tuple(it.scale), None, 1)
    assert it.ratio == pytest.approx((3 / 4, 4 / 3))
    top, left, height, width = it.get_params(IMAGES[0], it.scale, it.ratio)
    return Changes(window=box(top, left, height, width))


def as_erasing(it: Any, spec: Change) -> Changes:
    assert spec.erase is not None
    assert (spec.erase.area, spec.erase.probability, it.ratio) == (it.scale, it.p, (0.3, 3.3))
    top, left, height, width, _ = it.get_params(IMAGES[0], it.scale, it.ratio, [0.0])
    return Changes(erased=box(top, left, height, width))


def as_middle(it: Any, spec: Change) -> Changes:
    assert spec.crop is not None
    assert (spec.crop.pixels, spec.crop.probability) == (22, it.p)
    uniform = draws(*[-1.0] * (2 * ours.TRIES + 3))
    return Changes(window=ours.part(IMAGES, uniform, spec.crop))


KINDS: dict[str, Callable[[Any, Change], Changes]] = {
    "RandomRotation": as_rotation,
    "RandomAffine": as_affine,
    "RandomPerspective": as_perspective,
    "ColorJitter": as_jitter,
    "RandomResizedCrop": as_crop,
    "RandomErasing": as_erasing,
    "RandomApply": as_middle,
}


def beside(code: str, recipe: str, number: int) -> tuple[Tensor, Tensor, Tensor]:
    """Ours, and theirs of PIL images and of tensors, from the same draws."""
    spec = Recipe.model_validate(yaml.safe_load(recipe)).augment
    theirs = eval(code, dict(vars(transforms)))
    steps = [it for it in getattr(theirs, "transforms", [theirs]) if not is_resize(it)]
    x_NCHW, pil, tensors = to_unit(IMAGES), as_pil(IMAGES), to_unit(IMAGES)
    for step, (change, one) in enumerate(zip(spec.in_order, steps, strict=True)):
        name = type(one).__name__
        torch.manual_seed(100 * number + step)
        x_NCHW = changed(x_NCHW, change, KINDS[name](one, change))
        always = sure(one)

        def again(image: Any, *, seed: int = 100 * number + step, it: Any = always) -> Any:
            torch.manual_seed(seed)
            return it(image)

        pil = [*map(again, pil)] if name != "RandomErasing" else pil
        tensors = torch.stack([again(it) for it in tensors])
    return x_NCHW, as_tensor(pil), tensors


def is_resize(transform: Any) -> bool:
    return type(transform).__name__ == "Resize"


def sure(transform: Any) -> Any:
    """The same transform on every image, so that what it draws is the change alone."""
    name = type(transform).__name__
    if name == "RandomApply":
        return transforms.Compose([*transform.transforms, transforms.Resize(SIDE)])
    if name in ("RandomPerspective", "RandomErasing"):
        of = vars(transform)

        def once(image: Any) -> Any:
            if name == "RandomPerspective":
                start, end = transform.get_params(SIDE, SIDE, of["distortion_scale"])
                return transforms.functional.perspective(image, start, end, fill=None)
            place = transform.get_params(image, of["scale"], of["ratio"], [0.0])
            return transforms.functional.erase(image, *place)

        return once
    return transform


def test_the_table_has_lines() -> None:
    assert len(table()) >= 16
    assert {re.match(r"\w+", code)[0] for code, _ in table()} >= {*KINDS} - {"RandomApply"}


@pytest.mark.parametrize(("code", "recipe"), table())
def test_a_line_says_the_same(code: str, recipe: str) -> None:
    if recipe.startswith("normalize"):
        by = Recipe.model_validate(yaml.safe_load(recipe)).normalize.of(INFO["mnist"])
        theirs = eval(code, dict(vars(transforms)))
        if "ToTensor" in code:
            right = torch.stack([theirs(it) for it in as_pil(IMAGES)])
        else:
            right = theirs(to_unit(IMAGES))
        assert torch.allclose(normalize(to_unit(IMAGES), by), right, atol=1e-6)
        return
    nearest = "resample: nearest" in recipe
    for number in range(2):
        own, pil, tensors = beside(code, recipe, number)
        if nearest:
            # Of a rotation a place may lie between two pixels, but for rounding.
            assert float(((own - pil).abs() > 1e-6).float().mean()) < 2e-4
            if "fill" not in recipe:  # on a tensor fill=1 is white
                assert float((own != tensors).float().mean()) < 2e-4
        elif "rotate" in recipe:
            middle = own[..., TURNED, TURNED] - tensors[..., TURNED, TURNED]
            assert float(middle.abs().max()) < 1e-4
        else:
            whole = own - tensors
            assert float(whole.abs().max()) < (1e-3 if "perspective" in recipe else 1e-5)
            if "erase" not in recipe:
                steps = 2.5 if "contrast" in recipe else 1.1  # roundings to a grey
                middle = own[..., TURNED, TURNED] - pil[..., TURNED, TURNED]
                assert float(middle.abs().max()) < steps / 255


@pytest.mark.parametrize(("code", "recipe"), table())
def test_the_whole_range_is_drawn(code: str, recipe: str) -> None:
    """Of the draws of torchvision some are near each end, and none is beyond it."""
    if not re.match(r"Random(Rotation|Affine)|ColorJitter", code):
        return
    theirs = eval(code, dict(vars(transforms)))
    (spec,) = Recipe.model_validate(yaml.safe_load(recipe)).augment.in_order
    found = []
    for seed in range(DRAWS):
        torch.manual_seed(seed)
        changes = KINDS[type(theirs).__name__](theirs, spec)
        if changes.tones is None:
            assert changes.affine_N23 is not None
            found.append(changes.affine_N23[0].flatten())
        else:
            found.append(torch.stack([changes.tones.brightness_N[0], changes.tones.contrast_N[0]]))
    theirs_DK = torch.stack(found)
    blank = torch.zeros(1000, 1, SIDE, SIDE)
    mine = draw(blank, spec, rng=torch.Generator().manual_seed(0))
    if mine.tones is None:
        assert mine.affine_N23 is not None
        mine_DK = mine.affine_N23.flatten(1)
    else:
        mine_DK = torch.stack([mine.tones.brightness_N, mine.tones.contrast_N], dim=1)
    near = 0.12 * (mine_DK.amax(0) - mine_DK.amin(0)) + 1e-5
    assert bool(((theirs_DK.amax(0) - mine_DK.amax(0)).abs() <= near).all())
    assert bool(((theirs_DK.amin(0) - mine_DK.amin(0)).abs() <= near).all())


@pytest.mark.parametrize("code", ["RandomErasing(p=1)", "RandomResizedCrop(28, scale=(0.3, 1.0))"])
def test_rectangles_are_drawn_alike(code: str) -> None:
    """Means over many draws, of places and sides; standard errors are below 0.2 pixels."""
    theirs = eval(code, dict(vars(transforms)))
    torch.manual_seed(0)
    places = [theirs.get_params(IMAGES[0], theirs.scale, theirs.ratio) for _ in range(1000)]
    right = torch.tensor([it[:4] for it in places], dtype=torch.float32)
    blank = torch.zeros(4000, 1, SIDE, SIDE)
    rng = torch.Generator().manual_seed(0)
    erase = {"probability": 1, "area": [0.02, 0.33]}
    steps = [{"erase": erase} if "Erasing" in code else {"crop": {"area": [0.3, 1.0]}}]
    changes = draw(blank, Augment.model_validate(steps).steps[0], rng=rng)
    found = changes.erased or changes.window
    assert found is not None
    assert bool(found.happens_N1.all())
    own = torch.cat((found.top_N1, found.left_N1, found.height_N1, found.width_N1), dim=1)
    assert torch.allclose(own.mean(0), right.mean(0), atol=0.6)
    assert torch.allclose(own.std(0), right.std(0), atol=0.6)


def test_a_rectangle_that_never_fits_is_the_largest_of_its_ratio() -> None:
    theirs = transforms.RandomResizedCrop(28, scale=(1.0, 1.0), ratio=(2.0, 3.0))
    right = theirs.get_params(IMAGES[0], theirs.scale, theirs.ratio)
    crop = {"area": [1, 1], "ratio": [2, 3]}
    (change,) = Augment.model_validate([{"crop": crop}]).steps
    window = draw(to_unit(IMAGES), change, rng=torch.Generator().manual_seed(0)).window
    assert window is not None
    found = window.top_N1, window.left_N1, window.height_N1, window.width_N1
    assert tuple(int(it[0]) for it in found) == right
    erase = {"probability": 1, "area": [1, 1]}
    spec = Augment.model_validate([{"erase": erase}])
    same = augment(to_unit(IMAGES), spec, rng=torch.Generator().manual_seed(0))
    assert torch.equal(same, to_unit(IMAGES))


def test_a_fill_is_what_comes_into_view_between_pixels_too() -> None:
    """Beside a tensor where a pixel is all inside or all outside; see docs/porting.md."""
    (spec,) = Augment.model_validate([{"rotate_degrees": 40, "fill": 0.5}]).steps
    changes = Changes(affine_N23=ours.affine(IMAGES, draws(0.8, 0, 0, 0, 0), spec))
    own = changed(to_unit(IMAGES), spec, changes)
    turned = transforms.functional.rotate
    bilinear = transforms.InterpolationMode.BILINEAR
    right = turned(to_unit(IMAGES), 32.0, bilinear, fill=[0.5])
    inside = turned(torch.ones(len(IMAGES), 1, SIDE, SIDE), 32.0, bilinear)
    settled = (inside < 1e-6) | (inside > 1 - 1e-6)
    assert float(settled.float().mean()) > 0.8
    assert float((own - right)[settled].abs().max()) < 1e-4
    assert float((own[inside < 1e-6] - 0.5).abs().max()) == 0
