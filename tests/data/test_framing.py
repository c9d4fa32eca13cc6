"""Pictures become what a network was trained on, and it is said how."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mnist_arch.data.framing import framed
from mnist_arch.data.load import load_split
from mnist_arch.errors import ImageError, PathError


def drawn(size: int = 200, *, at: tuple[int, int] = (30, 20)) -> NDArray[Any]:
    """An L of white on black, whose longer side is two fifths of the picture."""
    image = np.zeros((size, size), np.uint8)
    long, thick = 2 * size // 5, size // 12
    top, left = at
    image[top : top + long, left : left + thick] = 255
    image[top + long - thick : top + long, left : left + long // 2] = 255
    return image


def mass(pixels: NDArray[Any]) -> tuple[float, float]:
    values = pixels.astype(float)
    rows, columns = np.indices(pixels.shape)
    return (rows * values).sum() / values.sum(), (columns * values).sum() / values.sum()


def box(pixels: NDArray[Any]) -> tuple[int, int]:
    rows, columns = np.nonzero(pixels)
    return int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1


def assert_like_mnist(pixels: NDArray[Any]) -> None:
    assert (pixels.shape, pixels.dtype) == ((28, 28), np.uint8)
    assert max(box(pixels)) == 20
    assert all(abs(it - 14) <= 0.5 for it in mass(pixels))
    assert pixels.max() == 255


def test_a_drawing_is_scaled_and_centred_by_its_mass() -> None:
    found = framed(drawn(), "mnist")
    assert_like_mnist(found.pixels)
    assert found.done == ("scaled from 40×80 to 10×20", "centred by mass")


def test_small_drawings_are_enlarged() -> None:
    assert_like_mnist(framed(drawn(24, at=(1, 1)), "mnist").pixels)


def test_neither_place_nor_light_nor_colours_matter() -> None:
    wanted = framed(drawn(), "mnist").pixels
    light = 255 - drawn(at=(90, 100))
    inked = np.stack([np.where(light, 255, it) for it in (0, 0, 0)], axis=2).astype(np.uint8)
    see_through = np.dstack([np.zeros((200, 200, 3), np.uint8), drawn()])
    for picture in (
        light,
        inked,
        see_through,
        light[None],
        Image.fromarray(light),
        Image.fromarray(light).convert("1"),
        Image.fromarray(inked).convert("P"),
        Image.fromarray(see_through),
        Image.fromarray(light.astype(np.uint16) * 257),
    ):
        found = framed(picture, "mnist")
        assert np.array_equal(found.pixels, wanted), found.done
        assert "inverted, as the background is light" in found.done


def test_a_photo_of_pencil_on_grey_paper() -> None:
    rng = np.random.default_rng(0)
    paper = 180 - 0.4 * drawn(400).astype(float) + rng.normal(0, 2, (400, 400))
    found = framed(paper.clip(0, 255).astype(np.uint8), "mnist")
    assert_like_mnist(found.pixels)
    assert any(it.startswith("contrast stretched from") for it in found.done)


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "bmp", "tiff"])
def test_files_of_many_kinds(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"one.{suffix}"
    Image.fromarray(255 - drawn()).save(path)
    wanted = framed(drawn(), "mnist").pixels.astype(int)
    for name in (path, str(path)):
        found = framed(name, "mnist").pixels
        assert np.abs(found - wanted).mean() < 3  # JPEG loses a little


def test_a_photo_is_turned_as_its_camera_says(tmp_path: Path) -> None:
    path = tmp_path / "turned.png"
    turned = Image.Exif()
    turned[0x0112] = 6  # to be shown a quarter to the right
    Image.fromarray(np.rot90(drawn())).save(path, exif=turned)
    assert np.array_equal(framed(path, "mnist").pixels, framed(drawn(), "mnist").pixels)


def test_other_datasets_have_frames_of_their_own() -> None:
    letters = framed(drawn(), "emnist-letters")
    assert box(letters.pixels) == (24, 12)
    assert framed(drawn(), "fashion-mnist").done == ("scaled from 200×200 to 28×28", "centred")
    bright = np.full((28, 28), 90, np.uint8)
    assert framed(bright, "fashion-mnist").done == ()


@pytest.mark.slow
def test_images_of_the_dataset_are_taken_as_they_are() -> None:
    for image in load_split("mnist-5k", "test").images.numpy():
        found = framed(image, "mnist-5k")
        assert found.done == ()
        assert np.array_equal(found.pixels, image[0])


@pytest.mark.slow
def test_a_digit_of_the_dataset_that_was_moved_comes_back() -> None:
    image = load_split("mnist-5k", "test").images[0, 0].numpy()
    moved = np.zeros((28, 28), np.uint8)
    moved[:-3, 2:] = image[3:, :-2]
    found = framed(moved, "mnist-5k")
    assert found.done == ("centred by mass",)
    assert np.array_equal(found.pixels, image)


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (np.zeros((28, 28), np.float32), "an array of float32 is no image"),
        (np.zeros((28,), np.uint8), r"an array of shape \(28,\) is no image"),
        (np.zeros((0, 28), np.uint8), "is no image"),
        (np.zeros((9, 9, 5), np.uint8), "is no image"),
        (None, "an array of object is no image"),
        ([[1, 2], [3]], "list is no image"),
        (np.zeros((50, 50), np.uint8), "nothing to be seen"),
        (np.full((50, 50), 250, np.uint8), "nothing to be seen"),
        (np.full((50, 50), 100, np.uint8), "nothing to be seen"),
    ],
)
def test_what_is_no_image_is_refused(picture: object, message: str) -> None:
    with pytest.raises(ImageError, match=message) as caught:
        framed(picture, "mnist")
    assert caught.value.hint


def test_files_that_are_no_pictures_are_refused(tmp_path: Path) -> None:
    text, torn = tmp_path / "a.txt", tmp_path / "torn.png"
    text.write_text("seven")
    Image.fromarray(drawn()).save(torn)
    torn.write_bytes(torn.read_bytes()[:100])
    for path, message in ((text, "is no picture"), (torn, "cannot be read"), (tmp_path, "folder")):
        with pytest.raises(ImageError, match=message):
            framed(path, "mnist")
    with pytest.raises(PathError, match="cannot read"):
        framed(tmp_path / "nothing.png", "mnist")
